# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's firmware and boot loader do: find the init that /boot names."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from lab.shell import LabError


def init_of(boot: Path) -> str:
    """The init of the default entry, read as systemd-boot reads it."""
    conf = boot / "loader" / "loader.conf"
    if not conf.is_file():
        raise LabError("/boot/loader/loader.conf is missing: nothing to boot")
    default = _fields(conf).get("default", "")
    entries = sorted((boot / "loader" / "entries").glob("*.conf"), reverse=True)
    for entry in entries:
        if fnmatch(entry.name, default) or fnmatch(entry.stem, default):
            return _init(boot, entry)
    raise LabError(f"no entry of /boot/loader/entries matches the default {default!r}")


def _init(boot: Path, entry: Path) -> str:
    fields = _fields(entry)
    for key in ("linux", "initrd"):
        if key in fields and not (boot / fields[key].lstrip("/")).is_file():
            raise LabError(f"{entry.name} names {fields[key]}, which is not in /boot")
    for option in fields.get("options", "").split():
        if option.startswith("init="):
            return option.removeprefix("init=")
    raise LabError(f"{entry.name} has no init= in its options")


def _fields(file: Path) -> dict[str, str]:
    pairs = (line.split(None, 1) for line in file.read_text().splitlines() if line.strip() and line[0] != "#")
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
