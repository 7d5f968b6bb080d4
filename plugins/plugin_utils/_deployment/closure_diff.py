# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `nix store diff-closures` prints, as a list of packages.

A line is `NAME: BEFORE → AFTER, SIZE`, where the versions or the size may be missing: `∅` stands for no version at all,
`ε` for an empty one, several are separated by commas. Sizes below 8 KiB are not printed. Older releases write the size
in KiB and with a sign, newer ones with any unit and a sign only where it shrinks. The size is coloured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypedDict

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A version has no space in it, since a store path has none; so this can't be one.
_SIZE = re.compile(r"(?P<number>[+-]?\d+(?:\.\d+)?) (?P<unit>B|[KMGTPEZY]iB)")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_ARROW = " → "
_NONE, _EMPTY = "∅", "ε"


class Package(TypedDict):
    """A package whose versions or size differ between two closures."""

    name: str
    before: list[str]
    """Versions that are in the old closure alone; "" for one without a version."""
    after: list[str]
    """Versions that are in the new closure alone."""
    size_change_bytes: int
    """How much more the package takes in the new closure, as exactly as Nix says it; 0 below 8 KiB."""


def parse(text: str) -> list[Package]:
    """Read the whole output; what is no line of it, such as a warning, is passed over."""
    found = (_package(_COLOUR.sub("", line).strip()) for line in text.splitlines())
    return [package for package in found if package is not None]


def _package(line: str) -> Package | None:
    name, colon, rest = line.partition(": ")
    if not colon or " " in name:
        return None
    change, comma, last = rest.rpartition(", ")
    size = _size(last)
    if size is None:
        change, size = rest, 0
    elif not comma:
        # Only the size differs: the same version was built in another way.
        return Package(name=name, before=[], after=[], size_change_bytes=size)
    before, arrow, after = change.partition(_ARROW)
    if not arrow:
        return None
    versions = (_versions(before), _versions(after))
    if any(" " in version for side in versions for version in side):
        return None
    return Package(name=name, before=versions[0], after=versions[1], size_change_bytes=size)


def _versions(text: str) -> list[str]:
    return [] if text == _NONE else ["" if version == _EMPTY else version for version in text.split(", ")]


def _size(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return round(float(match["number"]) * 1024 ** _UNITS.index(match["unit"])) if match else None


def size(number: int, sign: bool = False) -> str:
    """A number of bytes for people, `+12.6 KiB`."""
    amount, unit = float(abs(number)), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    mark = "-" if number < 0 else "+" if sign else ""
    return f"{mark}{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{mark}{amount:.1f} {_UNITS[unit]}"


def labels(package: Package, side: Iterable[str]) -> list[str]:
    """The package in some of its versions, a line each: `hello 2.12.1`."""
    return [f"{package['name']} {version}".rstrip() for version in side]
