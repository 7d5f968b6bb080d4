# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's firmware and boot loader do: find the init that /boot names.

Like systemd-boot, or like GRUB or extlinux where only that is installed. An entry that was chosen for one boot is
forgotten before it is started: systemd-boot removes an EFI variable, for which a file stands here, and GRUB empties
`next_entry` in its environment block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from lab.shell import LabError

GRUBENV_SIZE = 1024


def next_init(boot: Path) -> str:
    """The init of the entry that is booted now."""
    if _with_grub(boot):
        chosen = _forget_next_entry(boot / "grub" / "grubenv")
        return _grub_init(boot, chosen)
    once = boot / "loader" / "lab-oneshot"
    chosen = once.read_text().strip() if once.is_file() else ""
    once.unlink(missing_ok=True)
    entry = boot / "loader" / "entries" / chosen
    # One that is not there is no reason not to boot.
    return _init(boot, entry) if chosen and entry.is_file() else init_of(boot)


def init_of(boot: Path) -> str:
    """The init of the default entry, read as the boot loader reads it."""
    if _with_grub(boot):
        return _grub_init(boot, "")
    if _with_extlinux(boot):
        return _extlinux_init(boot)
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


def _with_grub(boot: Path) -> bool:
    return (boot / "grub" / "grub.cfg").is_file() and not (boot / "loader" / "loader.conf").is_file()


def _with_extlinux(boot: Path) -> bool:
    return (boot / "extlinux/extlinux.conf").is_file() and not (boot / "loader/loader.conf").is_file()


def _extlinux_init(boot: Path) -> str:
    text = (boot / "extlinux" / "extlinux.conf").read_text()
    if not (default := re.search(r"^DEFAULT (\S+)$", text, re.MULTILINE)):
        raise LabError("extlinux.conf names no default")
    labels = dict(re.findall(r"^LABEL (\S+)\n((?:  .*\n)*)", text, re.MULTILINE))
    body = labels.get(default[1], "")
    for kernel in re.findall(r"^  (?:LINUX|INITRD) (\S+)", body, re.MULTILINE):
        if not (boot / "extlinux" / kernel).is_file():
            raise LabError(f"extlinux.conf names {kernel}, which is not in /boot")
    if not (found := re.search(r" init=(\S+)", body)):
        raise LabError(f"the label {default[1]} of extlinux.conf has no init=")
    return found[1]


def _grub_init(boot: Path, chosen: str) -> str:
    entries = dict(_grub_entries((boot / "grub" / "grub.cfg").read_text()))
    if not entries:
        raise LabError("/boot/grub/grub.cfg has no entry")
    body = entries.get(chosen) or next(iter(entries.values()))
    for kernel in re.findall(r"^\s*(?:linux|initrd) \(\$drive1\)/(\S+)", body, re.MULTILINE):
        if not (boot / kernel.lstrip("/")).is_file():
            raise LabError(f"grub.cfg names {kernel}, which is not in /boot")
    if not (found := re.search(r" init=(\S+)", body)):
        raise LabError("an entry of grub.cfg has no init=")
    return found[1]


def _grub_entries(text: str) -> Iterator[tuple[str, str]]:
    """The entries under the names that GRUB has for them, and what is in them; the default first."""
    menu = title = ""
    body: list[str] = []
    for line in text.splitlines():
        if found := re.match(r'\s*(submenu|menuentry) "([^"]*)"', line):
            name = found[2].replace(">", ">>")
            if found[1] == "submenu":
                menu = f"{name}>"
            else:
                title, body = menu + name, []
        elif line.strip() == "}" and title:
            yield title, "\n".join(body)
            title = ""
        elif title:
            body.append(line)


def _forget_next_entry(grubenv: Path) -> str:
    """GRUB keeps the file's size: it writes into the blocks that it has."""
    if not grubenv.is_file():
        return ""
    text = grubenv.read_text()
    found = re.search(r"^next_entry=(.*)$", text, re.MULTILINE)
    if not found:
        return ""
    kept = text.replace(found[0], "next_entry=").rstrip("#")
    grubenv.write_text(kept.ljust(GRUBENV_SIZE, "#"))
    return found[1]
