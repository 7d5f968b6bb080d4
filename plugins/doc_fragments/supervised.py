# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of whatever is tried under a supervisor, a system or a profile."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.supervised`."""

    DOCUMENTATION = r"""
options:
  health_policy:
    description:
      - Which state of the host is good enough.
      - V(strict) wants C(systemctl is-system-running) to say C(running) before, and no failed unit after the test.
      - V(no_new_failures) accepts units that had failed before.
      - A service that systemd starts again and again counts as failed, from the end of the test until the commit,
        though it may be up whenever one looks. One that ended well and waited to be started again before the
        deployment is meant to do so. One that was started again once is looked at for ten seconds more, and is well
        where it stays up; terminals (C(getty@.service) and the like) end whenever somebody logs out.
      - A host on which something fails is deployed to with V(no_new_failures), or with O(ignore_units), also where the
        new system is what mends it.
      - Otherwise the host refuses the system, or rolls back.
    type: str
    choices: [strict, no_new_failures]
    default: strict
  ignore_units:
    description:
      - Units that may fail, as shell patterns such as V(backup-*.service).
      - They count by name, also those that C(switch-to-configuration) names and that have not failed any more, such as
        one that could not be reloaded.
      - An activation script that fails is never forgiven.
    type: list
    elements: str
    default: []
  pre_activate_script:
    description:
      - A file of the new system that is run as root before anything is activated, if it exists.
      - A status other than 0 refuses the new system. Empty for none.
      - It has O(limits.check) seconds. In its environment is what is known. C(DEPLOY_FLAKE_TOPLEVEL) is the new system,
        C(DEPLOY_FLAKE_SYSTEM) what of it is activated (it, or a specialisation), C(DEPLOY_FLAKE_PREVIOUS_SYSTEM) what
        runs before, C(DEPLOY_FLAKE_PREVIOUS_BOOT_DEFAULT) what would boot before. C(DEPLOY_FLAKE_ABOUT) is JSON, an
        object of strings with the first fields of the deployment's record, such as C(id), C(by), C(flake),
        C(revision), C(configuration) and C(message).
    type: str
    default: pre-activate-safety-checks
  post_activate_script:
    description:
      - A file of the new system that is run as root after it was activated and has settled, before anybody is asked to
        confirm it, if it exists. It has the time and the environment of O(pre_activate_script). That units are quiet
        does not say that each service answers already, so try more than once, or give O(limits.settle).
      - A status other than 0 rolls back, and so does one that does not end in time. What it has done itself stays.
      - Not run where nothing is activated. Empty for none.
    type: str
    default: ""
  allow:
    description:
      - What to allow that is refused otherwise, before anything is changed.
      - V(other_hostname), a system whose C(etc/hostname) is another host's.
      - V(no_ssh), a system that starts no ssh unit, on a host that is deployed over ssh.
      - V(other_architecture), a system for another kind of machine.
      - V(untested_boot_default), a host that runs one system and would boot another. One that runs a specialisation
        of what it would boot is not refused, nor is a deployment of either of the two.
      - V(boot_not_mounted), a host whose boot partition should be mounted, as C(/etc/fstab) or a unit says, and is
        not. What a boot loader is written there is not what starts the host.
      - V(unproven_way_in), a live test over a connection that works although nobody can come in from outside. That is
        any but ssh, as C(ansible_connection=local), and ssh to the very machine that Ansible runs on.
      - V(user_failures), the units of users who are logged in, which newer releases of NixOS switch as well. One of
        them that fails undoes the deployment otherwise.
      - V(secrets_in_flake), files that look like secrets in a flake that is copied. See
        M(deploy_flake.nixos.flake_copy), which refuses them.
      - V(little_space), a host that has less free space on C(/nix) than what another host has built for it has bytes.
        For file systems that compress or share what they have. See M(deploy_flake.nixos.closure_copy).
    type: list
    elements: str
    choices:
      - other_hostname
      - no_ssh
      - other_architecture
      - untested_boot_default
      - boot_not_mounted
      - unproven_way_in
      - user_failures
      - secrets_in_flake
      - little_space
    default: []
  message:
    description:
      - Why the system is deployed, for the record on the host (C(/var/lib/deploy-flake/deployments.jsonl)).
      - M(deploy_flake.nixos.system_info) returns it with the deployment.
    type: str
    default: ""
  lock_timeout:
    description: For how many seconds to wait while another deployment is in progress on the host. After that the task
      fails.
    type: int
    default: 300
"""
