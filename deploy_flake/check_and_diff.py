# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host would do (--check) and what changes there (--diff), in lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from deploy_flake.result import HostResult, Outcome, State
from deploy_flake.returned import Changes, Package, Would

_REBOOT = {"status-100": "what switch-to-configuration found (status 100)"}
"""What a reason is called where the code says too little."""
_PACKAGES = 60
"""Lines about packages for one host; --instrumentation json has all of them."""


def lines_about(host: HostResult) -> list[str]:
    """Under the host's name; nothing where there is nothing to tell."""
    lines = [*_would(host), *_changes(host.changes)]
    return [f"{host.name}:", *lines] if lines else []


def reboot_reasons(host: HostResult) -> str:
    """Why a reboot is needed, for people."""
    return ", ".join(_REBOOT.get(reason, reason) for reason in host.reboot_reasons)


def _would(host: HostResult) -> Iterable[str]:
    if host.would is not None:
        units = _units(host.would)
        for verb, names in units.items():
            if names:
                yield _line(verb, ", ".join(names))
        if host.would["restart_systemd"]:
            yield _line("restarts", "systemd itself")
        if not any(units.values()) and host.state is State.WOULD_TEST:
            yield _line("units", "all stay as they are")
    if host.reboot_reasons:
        yield _line("reboot", f"needed for {reboot_reasons(host)}")
    elif host.would is not None and host.outcome is Outcome.WOULD_CHANGE:
        yield _line("reboot", "not needed")
    for name, found in (("nix", host.free_space.get("nix")), ("boot", host.free_space.get("boot"))):
        if found and "enough" in found:
            short = "" if found["enough"] else ", NOT ENOUGH"
            text = f"{_size(found['free_bytes'])} free, {_size(found['needed_bytes'])} needed{short}"
            yield _line("free space", f"/{name} {text}")


def _units(would: Would) -> dict[str, list[str]]:
    return {
        "stops": would["stop"],
        "starts": would["start"],
        "restarts": would["restart"],
        "reloads": would["reload"],
        "leaves alone": would["keep"],
        "takes away": would["swapoff"],
    }


def _changes(changes: Changes | None) -> Iterable[str]:
    if changes is None:
        return
    kernel, closure, units = changes["kernel"], changes["closure_bytes"], changes["units"]
    if kernel["before"] != kernel["after"]:
        yield _line("kernel", f"{kernel['before'] or 'none'} → {kernel['after'] or 'none'}")
    before, after = closure["before"], closure["after"]
    if before is not None and after is not None:
        yield _line("closure", f"{_size(before)} → {_size(after)} ({_size(after - before, sign=True)})")
    packages = changes["packages"]
    for package in packages[:_PACKAGES]:
        yield _line("package", _package(package))
    if more := len(packages[_PACKAGES:]) + changes["packages_left_out"]:
        yield _line("package", f"and {more} more")
    for mark, names in (("+", units["added"]), ("-", units["removed"]), ("~", units["changed"])):
        if names:
            yield _line("units", ", ".join(f"{mark}{name}" for name in names))


def _package(package: Package) -> str:
    before, after = package["before"], package["after"]
    sides = [", ".join(version or "no version" for version in side) for side in (before, after)]
    grown = package["size_change_bytes"]
    size = f" ({_size(grown, sign=True)})" if grown else ""
    if not before and not after:
        return f"{package['name']}{size}"
    return f"{package['name']} {sides[0] or 'none'} → {sides[1] or 'none'}{size}"


def _line(title: str, text: str) -> str:
    return f"  {title:<13} {text}"


def _size(number: int, sign: bool = False) -> str:
    amount, unit = float(abs(number)), 0
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    while amount >= 1024 and unit < len(units) - 1:
        amount, unit = amount / 1024, unit + 1
    mark = "-" if number < 0 else "+" if sign else ""
    return f"{mark}{amount:.1f} {units[unit]}" if unit else f"{mark}{amount:.0f} {units[unit]}"
