# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the boot loaders' own files say they would start, in the shells that a host may have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
A, B = "/nix/store/aaa-nixos-system-web1", "/nix/store/bbb-nixos-system-web1"
GRUB = f"""
if [ "${{next_entry}}" ]; then
  set default="${{next_entry}}"
else
  set default=DEFAULT
fi
function savedefault {{
}}
menuentry "NixOS - Default" --class nixos {{
  linux ($drive1)/kernels/x-bzImage init={A}/init loglevel=4
}}
submenu "NixOS - All configurations" {{
menuentry "NixOS - Configuration 1" {{
  linux ($drive1)/kernels/x-bzImage init={B}/init loglevel=4
}}
}}
"""
EXTLINUX = f"""
DEFAULT nixos-default
LABEL nixos-1
  APPEND init={B}/init
LABEL nixos-default
  LINUX ../nixos/x-Image
  APPEND init={A}/init loglevel=4
"""
ENTRY = "options init=SYSTEM/init loglevel=4\n"
SYSTEMD = {
    "loader/entries/nixos-generation-1.conf": f"title NixOS\n{ENTRY.replace('SYSTEM', B)}",
    "loader/entries/nixos-generation-2.conf": f"title NixOS\n{ENTRY.replace('SYSTEM', A)}",
}


@pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
@pytest.mark.parametrize(
    ("files", "found"),
    [
        (SYSTEMD | {"loader/loader.conf": "timeout 5\ndefault nixos-generation-2.conf\n"}, A),
        (SYSTEMD | {"loader/loader.conf": "default nixos-generation-1\n"}, B),
        (SYSTEMD | {"loader/loader.conf": "default nixos-generation-*\n"}, ""),
        (SYSTEMD | {"loader/loader.conf": "default @saved\n"}, ""),
        (SYSTEMD | {"loader/loader.conf": "timeout 5\n"}, ""),
        ({"grub/grub.cfg": GRUB.replace("DEFAULT", "0")}, A),
        ({"grub/grub.cfg": GRUB.replace("DEFAULT", '"0"')}, A),
        ({"grub/grub.cfg": GRUB.replace("DEFAULT", '"${saved_entry}"')}, ""),
        ({"grub/grub.cfg": GRUB.replace("DEFAULT", "0").replace("init=", "")}, ""),
        ({"extlinux/extlinux.conf": EXTLINUX}, A),
        ({}, ""),
    ],
)
def test_loader_default(shell: list[str], files: dict[str, str], found: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = f"{join('lib/boot_loader')}\nloader_default /nowhere {tmp_path}"
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, check=True, timeout=30, text=True)
    assert done.stdout.strip() == found
