# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests on virtual machines have in common: these are slow, so they wait long and are asked seldom."""

from __future__ import annotations

from integration.faulting import Deploying, wait_for
from integration.playing import PATIENT, Systems

from lab import Lab, Machine

# Emulated, on a machine that has other things to do.
SLOWLY = 400
# In their order.
STATES = (
    *("checking", "activating", "settling", "window", "confirmed"),
    *("commit-check", "commit-profile", "commit-boot", "commit-verify", "committed"),
)


def only(system: str) -> Systems:
    """A machine that has booted this one and will boot it again."""
    return Systems(system, system, system, system)


def wait_for_state(machine: Machine, state: str) -> None:
    """Wait until the first deployment to a new machine has come as far, or has ended.

    The machine itself looks, since a question from outside takes longer than a step of the commit; and starts little,
    since each process that it starts is slow.
    """
    pattern = "|".join(STATES[STATES.index(state) :])
    script = f"""
        until [ -s /var/lib/deploy-flake/deployments.jsonl ]; do
            for file in /run/deploy-flake/*/state; do
                read -r now 2>/dev/null <"$file" && case $now in {pattern}) exit ;; esac
            done
            sleep 0.1
        done
    """
    machine.run(["timeout", str(SLOWLY), "/bin/sh", "-c", script], check=True, timeout=SLOWLY + 10)


def trying(lab: Lab, machine: Machine, system: str, **limits: int) -> Deploying:
    """Boot a system once."""
    settings = {"toplevel": system, "trial": True, "limits": PATIENT | limits}
    tasks = [{"deploy_flake.nixos.system_reboot": settings, "become": True}]
    return Deploying(lab, machine, [{"hosts": "all", "gather_facts": False, "tasks": tasks}])


class Console:
    """What a machine says from now on."""

    def __init__(self, machine: Machine) -> None:
        self.file = machine.console
        self.begun = self.file.stat().st_size

    def has(self, text: bytes) -> bool:
        with self.file.open("rb") as file:
            file.seek(self.begun)
            return text in file.read()

    def wait_for(self, text: bytes) -> None:
        wait_for(lambda: self.has(text), SLOWLY, 0.5, f"{text!r} is not on the console {self.file}")


# A copy for the boot loader that a power cut has cut off would be left there by its installer.
WHOLE = """
for part in kernel initrd; do
    file=$(readlink -f "/nix/var/nix/profiles/system/$part")
    name=$(echo "${file#/nix/store/}" | tr / -)
    for copy in "/boot/kernels/$name" "/boot/EFI/nixos/$name.efi"; do
        [ ! -e "$copy" ] || cmp "$file" "$copy"
    done
done
"""


def boots_what_it_should(machine: Machine) -> None:
    """Kernel and initrd of the boot default are on /boot as they are in the store."""
    machine.run(f"set -e\n{WHOLE}", check=True)
