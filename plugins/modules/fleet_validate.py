#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_validate
short_description: Validate the variables of the role for all hosts before one is touched
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Fails if a variable that begins with C(deploy_flake_) is none of the role's, or if the value of one cannot be meant,
    on any host of the play. The first task of the role, which runs it once. Hosts that the C(when) of the task, or of
    the role that it is in, leaves out are not looked at.
  - With C(serial) the first batch that is not left out looks at all hosts of the play.
  - Without C(run_once) each host is looked at by itself, and with C(any_errors_fatal) one of them looks at all of the
    play. The role does that where its C(when) leaves out the first host, with which Ansible would skip what runs once
    for all of them.
  - Values are those that each host has, templated with its own variables. Those of a host in a later batch that cannot
    be templated yet are looked at with that batch.
  - A file that C(deploy_flake_checks) or C(deploy_flake_pre_activate_tasks) names is looked for beside the playbook and
    in C(tasks/) there, or in the current directory for a playbook of the collection; and it is loaded, so that an
    unknown module is found.
  - Works on the controller alone.
  - Before a rollback, a revocation, a reboot, a removal of generations, a diff or a status a misspelt variable that
    only a deploy would read is a warning.
options:
  entry_point:
    description: The entry point of the role whose variables are meant.
    type: str
    required: true
    choices: [main, rollback, trial, build, install, reboot, generations, diff, profiles, revoke, status]
extends_documentation_fragment: [deploy_flake.nixos.controller]
seealso:
  - module: deploy_flake.nixos.flake_deploy
"""

EXAMPLES = r"""
- name: Validate the variables before other tasks, since the role does it when its turn comes
  deploy_flake.nixos.fleet_validate:
    entry_point: main
  run_once: true
"""

RETURN = r"""
checks:
  description: For each host that has C(deploy_flake_checks) the file that is meant.
  type: dict
  returned: success
pre_activate_tasks:
  description: For each host that has C(deploy_flake_pre_activate_tasks) the file that is meant.
  type: dict
  returned: success
builders:
  description: The hosts that C(deploy_flake_build_on) names, sorted. They tell how they get on, for others.
  type: list
  elements: str
  returned: success
reason:
  description: The word C(bad-option), where a variable is wrong.
  type: str
  returned: failure
"""
