# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time limits of the phases on a host."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.limits`."""

    DOCUMENTATION = r"""
options:
  limits:
    description: How long each phase on the host may take, in seconds. The host itself enforces it.
    type: dict
    default: {}
    suboptions:
      health:
        description: Waiting until the host has finished starting, before anything else. The host refuses after it.
        type: int
        default: 60
      check:
        description: The checks before the switch, each. The host refuses after it.
        type: int
        default: 60
      activate:
        description: C(switch-to-configuration test). The host rolls back after it.
        type: int
        default: 300
      settle:
        description:
          - How long the new system runs before its units are checked; V(0) for no wait.
          - If not given, until they are quiet, which takes a second, and 3 at most. Units are quiet when no job waits,
            and no service starts, stops, reloads or has changed within the last second. They are checked once more
            before the commit, two seconds after the activation at the soonest.
          - After a reboot it is 3 if not given.
        type: int
      confirm:
        description:
          - Waiting for confirmation from outside. The host rolls back after it.
          - If not given 120, or what a fleet needs that commits everywhere or nowhere.
        type: int
      commit:
        description: Each step of the commit.
        type: int
        default: 120
      rollback:
        description: Each way of rolling back to the previous system.
        type: int
        default: 300
      reboot:
        description:
          - Until a host that reboots is up again and has finished starting. The task fails after it, and says what the
            host boots at a power cycle.
          - A system that is booted once to try it, and has the unit C(deploy-flake-trial.service), boots its boot
            default again by itself 20 seconds later; the task waits for that too, at most two minutes more.
        type: int
        default: 600
"""
