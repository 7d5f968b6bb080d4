# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a deployment, for the modules that can start one."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.deployment`."""

    DOCUMENTATION = r"""
options:
  specialisation:
    description:
      - The name of a specialisation of the system (C(specialisation/<name>) in it) that is activated in its place, as
        C(nixos-rebuild --specialisation) does.
      - The boot default becomes the system itself, so after a reboot the host runs that, unless the specialisation is
        chosen in the boot menu.
      - Without it the system itself is activated, also on a host that runs one of its specialisations.
      - A name that the system does not have is an error, which lists those that it has. So is one where nothing is
        tested live, but only made the boot default.
    type: str
  expected_system:
    description:
      - The store path of the system that has to be the host's boot default before, as the result of the last deployment
        names it. Any other one refuses the deployment, since somebody else has deployed meanwhile. For pipelines.
      - It is looked at once more when no other deployment can begin any more. A host that runs and boots the new system
        already is left alone, whatever is expected.
    type: str
  on_reboot_required:
    description:
      - What to do with a system that cannot be activated live, as a switch inhibitor or C(switch-to-configuration)
        (status 100) says.
      - V(fail) refuses it. V(boot) makes it the boot default without a test and activates nothing; you reboot the
        host.
      - V(boot_and_reboot) does that as well and then reboots the host when M(deploy_flake.nixos.system_boot)
        confirms.
    type: str
    choices: [fail, boot, boot_and_reboot]
    default: fail
  last_resort_reboot:
    description:
      - When the host reboots into its boot default because it cannot roll back to its previous system otherwise.
      - V(auto), where nobody may be able to log in any more either. The host was deployed over ssh, an ssh unit was
        active before, and now none is, or a unit still runs that only the new system has, or has made another.
      - V(always), wherever no way back could be verified. V(never) leaves the host as it is.
      - In any case only if the boot default still is the system that ran before, or what ran was to run until the next
        reboot, and the boot loader starts no other.
    type: str
    choices: [never, auto, always]
    default: auto
  install_bootloader:
    description: Whether C(switch-to-configuration) also installs the boot loader itself
      (E(NIXOS_INSTALL_BOOTLOADER)).
    type: bool
    default: false
  all_or_nothing:
    description:
      - Whether the host is one of a fleet that commits everywhere or nowhere, so that it has to wait for the slowest
        host.
      - O(limits.confirm) must then allow for the slowest test in every batch of forks; a smaller one is refused, and
        without one it is made long enough.
    type: bool
    default: false
"""
