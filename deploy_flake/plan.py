# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is about to happen, for a person to agree to."""

from __future__ import annotations

import argparse

from deploy_flake.destination import parse_all
from deploy_flake.options import RunOptions

_FROM_A_FLAKE = ("deploy", "trial", "build", "install")
_VERB = {
    "revoke": "Roll back what waits for confirmation on",
    "reboot": "REBOOT, where it is needed,",
    "generations": "Remove old generations of",
    "profiles": "Deploy profiles to",
}


def plan(chosen: argparse.Namespace, run: RunOptions) -> str:
    """A line for each host, and those that say what is unusual."""
    lines = [_title(chosen)]
    for one in parse_all(chosen.destinations):
        where = f"{one.user}@{one.host}" if one.user else one.host
        what = ""
        if chosen.command in _FROM_A_FLAKE and not getattr(chosen, "toplevel", None):
            otherwise = chosen.file or "the configuration with its own hostname"
            what = f"  {chosen.attribute or one.configuration or otherwise}"
        lines.append(f"  {where}{f' port {one.port}' if one.port else ''}{what}")
    if run.inventory:
        lines.append(f"  {run.limit or 'every host'} of {', '.join(run.inventory)}")
    for one in getattr(chosen, "profiles", None) or ():
        lines.append(f"The profile {', '.join(one.values())}.")
    if getattr(chosen, "specialisation", None):
        lines.append(f"The specialisation {chosen.specialisation} is activated; after a reboot the system itself runs.")
    if getattr(chosen, "test", "run") == "skip":
        lines.append("It becomes the boot default WITHOUT a test.")
    if getattr(chosen, "until_reboot", False):
        lines.append("It runs until the next reboot; the boot default stays what it is.")
    if getattr(chosen, "all_or_nothing", False):
        lines.append("No host commits unless every host is ready to.")
    if getattr(chosen, "serial", None):
        lines.append(f"{chosen.serial} hosts, then the next.")
    if getattr(chosen, "on_reboot_required", None) == "boot_and_reboot":
        lines.append("A host that needs a reboot for it is REBOOTED.")
    return "\n".join(lines)


def _title(chosen: argparse.Namespace) -> str:
    if chosen.command in _FROM_A_FLAKE:
        otherwise = "what the inventory says" if chosen.inventory else "the flake in ."
        what = getattr(chosen, "toplevel", None) or chosen.flake or otherwise
        disks = " ".join(getattr(chosen, "install_disks", None) or ["the disks that the inventory names"])
        verbs = {
            "deploy": f"Deploy {what} to",
            "trial": f"REBOOT into {what}, once, of",
            "build": f"Build {what} on",
            "install": f"ERASE {disks}, and install {what} on",
        }
        return verbs[chosen.command]
    if chosen.command == "rollback":
        to = f"generation {chosen.to}" if isinstance(chosen.to, int) else chosen.to
        return f"Roll back to {to or 'the previous generation'}"
    if chosen.command == "reboot" and chosen.always:
        return "REBOOT"
    return _VERB[chosen.command]
