# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the randomised test: somebody else works on the host, with our playbooks or with NixOS's own programs."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable

from integration.faulting import inside
from integration.soak_scene import Missed, Scene

from lab.shell import LabError

# From when on our system is there to be switched to.
TRIED = (
    "activating",
    "settling",
    "window",
    "confirmed",
    "commit-check",
    "commit-profile",
    "commit-boot",
    "rolling-back",
)
# Somebody who does not wait for the lock tries again.
_PATIENCE = 20


def controller(playbook: str) -> Callable[[Scene], None]:
    """Another controller; it is waited for later."""

    def begin(scene: Scene) -> None:
        scene.is_to_reboot |= playbook in ("reboot", "trial")
        scene.others.append(scene.beside(playbook))

    return begin


def revoke(scene: Scene) -> None:
    """Again, where it came too early."""
    for _turn in range(scene.random.randint(1, 2)):
        scene.others.append(scene.beside("revoke"))


def _system(scene: Scene, whose: str) -> str:
    """Another system that the host has, or the one that is deployed."""
    if whose == "another":
        return scene.theirs
    for settings in inside(scene.host, "/run/deploy-flake").glob("2*/settings"):
        with contextlib.suppress(OSError):
            if found := re.search(r"^new='(.+)'$", settings.read_text(), re.MULTILINE):
                return found[1]
    raise Missed


def switch(whose: str, *sides: str) -> Callable[[Scene], None]:
    """As `nixos-rebuild test`, `boot` and `switch` do, with a system that is built already."""
    action = "switch" if len(sides) > 1 else {"live": "test", "boot": "boot"}[sides[0]]

    def act(scene: Scene) -> None:
        system = _system(scene, whose)
        _act(scene, system, sides, _script(system, action, "boot" in sides))

    return act


def auto_upgrade(scene: Scene) -> None:
    """NixOS's own, with operation = "boot", in its unit."""
    system = _system(scene, "another")
    unit = "systemd-run --quiet --collect --wait --unit=nixos-upgrade.service --service-type=oneshot"
    script = _script(system, "boot", profile=True).replace("'", "'\\''")
    _act(scene, system, ("boot",), f"{unit} /bin/sh -c '{script}'")


def _script(system: str, action: str, profile: bool) -> str:
    move = f"nix-env -p /nix/var/nix/profiles/system --set {system} || exit 1\n" if profile else ""
    again = f"[ $status = 11 ] && [ $turn -lt {_PATIENCE} ] || exit $status"
    switch = f"{system}/bin/switch-to-configuration {action}; status=$?; {again}; turn=$((turn + 1)); sleep 1"
    return f"PATH=/usr/sbin:/usr/bin\n{move}turn=0\nwhile :; do {switch}; done"


def _act(scene: Scene, system: str, sides: tuple[str, ...], script: str) -> None:
    live = system if "live" in sides else None
    boot = system if "boot" in sides else None
    with scene.changes(live=live, boot=boot) as sure:
        began = time.monotonic()
        try:
            status = scene.run(script, limit=_PATIENCE + 60)
        except (LabError, subprocess.TimeoutExpired):
            # The host went down, or stands still: nobody knows how far it got.
            return
        if status == 0:
            sure()
    if status == 11 and time.monotonic() - began > _PATIENCE:
        raise Missed
