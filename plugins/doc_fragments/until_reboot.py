# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of those that test a system which is not to stay."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.until_reboot`."""

    DOCUMENTATION = r"""
options:
  until_reboot:
    description:
      - Whether a system that is confirmed runs until the next reboot alone, as after C(nixos-rebuild test). It is
        tested, confirmed and otherwise undone as any other system, and then neither the system profile nor the boot
        loader is touched, so a reboot starts the boot default again. The state is C(until-reboot) then.
      - A deploy without this keeps what runs. A reboot ends it, and so does a rollback without a generation, which
        leads back to the boot default then.
      - A host on which a deployment of this kind has made the system live in this boot is left alone. Where it is the
        boot default already, it is deployed as without this, and stays.
      - Not with O(secrets), which outlive a reboot, O(install_bootloader), O(all_or_nothing), or another
        O(on_reboot_required) than V(fail), nor without a test. That is an error before the host is touched.
      - What a reboot alone would bring, such as another kernel, is not tried. There is a note then.
    type: bool
    default: false
"""
