# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes from one system to another: packages, sizes, kernel, units; for `--diff`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._codes import Mode, Named
from .._flake.store_path import is_store_path
from .._host.answer import Answer, HostError, HostLostError
from .._host.connection import Host
from . import closure_diff

_MOST = 1500
"""Packages that are named; a result over 700 kB would be lost."""
LIMIT = 150
"""Seconds for looking at both closures."""


def compare(host: Host, old: str, new: str, patience: float) -> Answer:
    """What changes between two systems, each in one of the words that compare.sh knows."""
    return host.persist(
        patience, lambda: host.run("compare", limit=LIMIT + 60, old=old, new=new), "comparing the systems"
    )


def look(host: Host, toplevel: str, mode: Mode, patience: float) -> dict[str, Any]:
    """Return values about what would change on the host; none where nothing would, or where it can't be told."""
    if not is_store_path(toplevel):
        return {}
    try:
        # A host that has it already is left alone.
        answer = compare(host, Named.BOOT_DEFAULT if mode == Mode.BOOT else Named.RUNNING, toplevel, patience)
    except HostLostError:
        raise
    except HostError as error:
        # What is wrong here, the deployment finds out and says better.
        host.tell_more(f"could not compare the systems: {error}")
        return {}
    return result_of(host, answer)


def result_of(host: Host, answer: Answer) -> dict[str, Any]:
    """The return values `changes` and `diff`, from what differences.sh answered."""
    if not answer.get("changes_to"):
        return {}
    changes = read(answer)
    if answer.get("packages_failed"):
        host.warn(f"the packages could not be compared: {answer.get('packages_failed')}")
    return {"changes": changes, "diff": [diff(changes)]}


def read(answer: Answer) -> dict[str, Any]:
    """The return value `changes`."""
    before, after = answer.get("changes_from"), answer.get("changes_to")
    packages = closure_diff.parse(answer.get("packages"))
    sizes = dict(line.split()[:2] for line in answer.get("closures").splitlines() if len(line.split()) > 1)
    units: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    for found in answer.all("unit"):
        how, _space, name = found.partition(" ")
        units[how].append(name)
    return {
        "from": before,
        "to": after,
        "closure_bytes": {"before": _number(sizes.get(before)), "after": _number(sizes.get(after))},
        "kernel": {"before": answer.get("kernel_before"), "after": answer.get("kernel_after")},
        "packages": packages[:_MOST],
        "packages_left_out": max(0, len(packages) - _MOST),
        "units": {how: sorted(names) for how, names in units.items()},
    }


def diff(changes: dict[str, Any]) -> dict[str, str]:
    """The same in Ansible's own form, a line for each thing."""
    before, after = [], []
    kernel, closure, units = changes["kernel"], changes["closure_bytes"], changes["units"]
    if kernel["before"] != kernel["after"]:
        before += [f"kernel {kernel['before']}"] if kernel["before"] else []
        after += [f"kernel {kernel['after']}"] if kernel["after"] else []
    if closure["before"] != closure["after"] and None not in closure.values():
        before.append(f"closure {closure_diff.size(closure['before'])}")
        grown = closure_diff.size(closure["after"] - closure["before"], sign=True)
        after.append(f"closure {closure_diff.size(closure['after'])}, {grown}")
    for package in changes["packages"]:
        grown = package["size_change_bytes"]
        size = f", {closure_diff.size(grown, sign=True)}" if grown else ""
        old = closure_diff.labels(package, package["before"])
        new = closure_diff.labels(package, package["after"])
        if not old and not new:
            # The same version, built in another way.
            old, new = [package["name"]], [package["name"]]
        before += [f"package {label}{'' if new else size}" for label in old]
        after += [f"package {label}{size if label == new[-1] else ''}" for label in new]
    if changes["packages_left_out"]:
        after.append(f"and {changes['packages_left_out']} packages more")
    before += _units(units["removed"], ", removed")
    before += _units(units["changed"])
    after += _units(units["added"], ", added")
    after += _units(units["changed"], ", changed")
    return {
        "before_header": changes["from"],
        "after_header": changes["to"],
        "before": _text(before),
        "after": _text(after),
    }


def _units(names: Iterable[str], note: str = "") -> list[str]:
    return [f"unit {name}{note}" for name in names]


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in sorted(lines, key=_order))


def _order(line: str) -> tuple[int, str]:
    """Kernel and closure first, then packages, then units, so that both sides go together."""
    kind, _space, rest = line.partition(" ")
    kinds = ("kernel", "closure", "package", "and", "unit")
    return kinds.index(kind), rest
