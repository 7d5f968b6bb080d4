#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_check
short_description: Check units, ports and web pages of a host until they are well
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Checks units on the host, and ports and web pages from the controller, again and again until all are well or the
    time is up.
  - Meant for the time between M(deploy_flake.nixos.system_test) and M(deploy_flake.nixos.system_boot).
options:
  units:
    description: Units that must be active.
    type: list
    elements: str
    default: []
  ports:
    description: TCP ports of the host that must take a connection from the controller.
    type: list
    elements: int
    default: []
  address:
    description: The address at which to try the ports. The one that Ansible connects to if not given.
    type: str
  urls:
    description: Web pages that must answer a GET request from the controller. Redirections are not followed.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: The address of the page.
        type: str
        required: true
      status:
        description: The HTTP status that it must answer with.
        type: int
        default: 200
      validate_certs:
        description: Whether the certificate of an HTTPS page must be valid.
        type: bool
        default: true
  timeout:
    description: For how many seconds to try. The task fails after that, and says what is wrong.
    type: int
    default: 30
  delay:
    description: How many seconds to wait between two attempts.
    type: int
    default: 1
extends_documentation_fragment:
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode nothing is checked.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.system_test
"""

EXAMPLES = r"""
- name: Check the site
  deploy_flake.nixos.system_check:
    units: [nginx.service]
    ports: [443]
    urls:
      - url: https://{{ inventory_hostname }}/health
"""

RETURN = r"""
attempts:
  description: How many attempts it took.
  type: int
  returned: success
"""
