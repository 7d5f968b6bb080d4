# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that is booted once, on the host: the boot loaders' files and the record."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
OLD, NEW = "/nix/store/a-old", "/nix/store/b-new"
# The shape that NixOS gives it; an entry of the user's own comes first, and a title has the letter that divides menus.
GRUB_CFG = f"""
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${{next_entry}}" ]; then
  set default="${{next_entry}}"
  set next_entry=
  save_env next_entry
else
  set default=1
fi
menuentry 'memtest "86"' {{
  linux ($drive1)/memtest.bin
}}
menuentry "NixOS" --class nixos --unrestricted {{
search --set=drive1 --fs-uuid 1A2B
  linux ($drive1)//kernels/k1-bzImage init={OLD}/init loglevel=4
  initrd ($drive1)//kernels/i1-initrd
}}

submenu "NixOS - All configurations" --class submenu {{
menuentry "NixOS - Configuration 8 (2026-01-02 - 25.11>x)" --class nixos --unrestricted {{
  linux ($drive1)//kernels/k2-bzImage init={NEW}/init loglevel=4
}}
menuentry "NixOS - Configuration 7 (2026-01-01 - 25.11)" --class nixos --unrestricted {{
  linux ($drive1)//kernels/k1-bzImage init={OLD}/init loglevel=4
}}
}}
"""


def run(shell: list[str], script: str) -> str:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    return done.stdout.strip()


@every_shell
def test_grub_entries(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "grub.cfg").write_text(GRUB_CFG)
    ask = f"{join('lib/boot_once')}\ngrub_cfg={tmp_path}/grub.cfg\nloader=grub\n"
    entry = "NixOS - All configurations>NixOS - Configuration 8 (2026-01-02 - 25.11>>x)"
    assert run(shell, f"{ask} entry_of {NEW} 8") == entry
    assert run(shell, f"{ask} entry_of {OLD} 7").endswith("Configuration 7 (2026-01-01 - 25.11)")
    assert run(shell, f"{ask} entry_of /nix/store/c 9") == ""
    assert run(shell, f"{ask} is_default {OLD} && echo yes") == "yes"
    assert run(shell, f"{ask} is_default {NEW} || echo no") == "no"


@every_shell
def test_systemd_boot_entries(shell: list[str], tmp_path: Path) -> None:
    entries = tmp_path / "entries"
    entries.mkdir()
    for name, system in (("7", OLD), ("8+2-1", NEW), ("7-specialisation-b", f"{OLD}x")):
        text = f"title NixOS\nlinux /EFI/nixos/k.efi\noptions init={system}/init loglevel=4\n"
        (entries / f"nixos-generation-{name}.conf").write_text(text)
    (tmp_path / "loader.conf").write_text("timeout 5\ndefault nixos-generation-7.conf\n")
    ask = f"{join('lib/boot_once')}\nentries={entries}\nconf={tmp_path}/loader.conf\nloader=systemd-boot\n"
    # What counts the tries of an entry is no part of its name.
    assert run(shell, f"{ask} entry_of {NEW} 8") == "nixos-generation-8.conf"
    assert run(shell, f"{ask} entry_of {OLD} 7") == "nixos-generation-7.conf"
    assert run(shell, f"{ask} is_default {OLD} && echo yes") == "yes"
    assert run(shell, f"{ask} is_default {NEW} || echo no") == "no"
    (tmp_path / "loader.conf").write_text("default nixos-generation-8*\n")
    assert run(shell, f"{ask} is_default {NEW} && echo yes") == "yes"


@every_shell
def test_the_record_is_read_back(shell: list[str], tmp_path: Path) -> None:
    script = f"""{join("lib/note_trial")}{join("lib/trial_outcome")}
    var_dir={tmp_path}
    trial_file={tmp_path}/trial.json
    trial_id=1 trial_new={NEW} trial_old={OLD} trial_generation=8 trial_made=yes trial_loader=grub
    trial_entry='A>B (c)' trial_boot_id=x trial_started=now trial_reboot_until=1 trial_until=5 trial_host_limit=30
    note_trial failed 'it said "no"'
    trial_entry= trial_state= trial_until=
    load_trial
    echo "$trial_state|$trial_entry|$trial_until|$trial_host_limit"
    boot_default() {{ echo {OLD}; }}
    trial_outcome"""
    first, second = run(shell, script).splitlines()
    assert first == "failed|A>B (c)|5|30"
    assert second == rf"{NEW} was to be booted once, and was not kept: it said \"no\""


def test_the_examples_unit_runs_what_the_module_brings() -> None:
    root = Path(__file__).parents[5]
    assert (root / "nix/trial.sh").read_bytes() == (root / "examples/flake/trial.sh").read_bytes()
