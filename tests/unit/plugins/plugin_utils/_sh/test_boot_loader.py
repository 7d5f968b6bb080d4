# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the boot loaders' own files say they would start, in the shells that a host may have."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
A, B, C = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "abc")
UNTOLD = ""


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


@dataclass
class Found:
    """What `ask_loader` says, and whether it would be said of A that the loader starts it."""

    loader: str
    starts: str
    why: str
    names: int


@dataclass
class Host:
    """The directories of a boot loader, below one of the test's own."""

    root: Path
    shell: list[str]
    mounts: dict[str, str] = field(default_factory=lambda: {"boot": "vfat"})
    """Where something is mounted, and its type."""
    fstab: str = ""

    def put(self, files: Mapping[str, str], at: str = "boot") -> None:
        for name, text in files.items():
            path = self.root / at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def ask(self, system: str = A, path: str = "") -> Found:
        mounts = "".join(
            f"{number} 1 0:{number} / {self.root / at} rw shared:1 - {kind} device rw\n"
            for number, (at, kind) in enumerate(self.mounts.items(), 100)
        )
        self.put({"mountinfo": f"22 1 0:5 / / rw - ext4 device rw\n{mounts}", "fstab": self.fstab}, at=".")
        script = f"""{join("lib/boot_loader")}
            [ -z '{path}' ] || PATH='{path}'
            boot_places='{self.root}/boot {self.root}/efi {self.root}/boot/efi'
            mount_table={self.root}/mountinfo mounts_wanted={self.root}/fstab
            mount_units={self.root}/units efi_variables={self.root}/efivars
            names=0
            loader_names {system} || names=$?
            printf '%s\\n' "$loader" "$loader_starts" "$loader_why" "$names"
        """
        done = subprocess.run([*self.shell, "-eu"], input=script, capture_output=True, timeout=30, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        loader, starts, why, names = done.stdout.split("\n")[:4]
        return Found(loader, starts, why, int(names))


@pytest.fixture
def host(tmp_path: Path, shell: list[str]) -> Host:
    return Host(tmp_path, shell)


def entry(system: str, **fields: str) -> str:
    """An entry as NixOS writes it, its kernel and initrd being there."""
    lines = {"title": "NixOS", "linux": "/EFI/nixos/kernel.efi", "initrd": "/EFI/nixos/initrd.efi"} | fields
    options = "" if "efi" in fields else f"options init={system}/init loglevel=4\n"
    return "".join(f"{key.replace('_', '-')} {value}\n" for key, value in lines.items() if value) + options


def entries(**systems: str) -> dict[str, str]:
    """systemd-boot's, `a_b` for the generation a+b."""
    return {
        "EFI/nixos/kernel.efi": "kernel\n",
        "EFI/nixos/initrd.efi": "initrd\n",
        **{
            f"loader/entries/nixos-generation-{name.removeprefix('g').replace('_', '+', 1).replace('_', '-')}.conf": entry(
                system, sort_key="nixos", version=f"Generation {name.removeprefix('g')} NixOS 25.11"
            )
            for name, system in systems.items()
        },
    }


def loader_conf(*lines: str) -> dict[str, str]:
    return {"loader/loader.conf": "".join(f"{line}\n" for line in ("timeout 5", *lines))}


# --- systemd-boot ---


@pytest.mark.parametrize(
    ("conf", "systems", "starts"),
    [
        (["default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        (["default nixos-generation-1.conf"], {"g1": B, "g2": A}, B),
        (["  default\t nixos-generation-1.conf "], {"g1": B, "g2": A}, B),
        (["default nixos-generation-1.conf", "default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        (["#default nixos-generation-1.conf", "default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        # Where there is no such entry, or no default, it is the first by version, not by the letters of its name.
        (["default nixos-generation-7.conf"], {"g1": B, "g9": B, "g10": A}, A),
        ([], {"g1": B, "g9": B, "g10": A}, A),
        # A pattern is the first that it matches.
        (["default nixos-generation-*"], {"g1": B, "g9": B, "g10": A}, A),
        (["default nixos-generation-?.conf"], {"g1": B, "g9": A, "g10": B}, A),
        (["default nixos-*"], {"g1": B}, B),
        (["default NixOS-Generation-1.conf"], {"g1": B, "g2": A}, B),
        # Without .conf it is no entry of today's releases, and one of old ones.
        (["default nixos-generation-2"], {"g1": B, "g2": A}, A),
        (["default nixos-generation-1"], {"g1": B, "g2": A}, UNTOLD),
        (["default @saved"], {"g1": A}, UNTOLD),
        (["default nixos-generation-[12].conf"], {"g1": A}, UNTOLD),
        # Tries that are counted are part of the name for some releases.
        (["default nixos-generation-2.conf"], {"g1": B, "g2_3": A}, A),
        (["default nixos-generation-1.conf"], {"g1_3_1": B, "g2": A}, UNTOLD),
        (["default nixos-generation-1.conf"], {"g1_3": B, "g1": A}, UNTOLD),
        # Its tries are used up: the last of all, but for who names it.
        (["default nixos-*"], {"g1": A, "g2_0_3": B}, A),
        (["default nixos-*"], {"g1": B, "g2_1_2": A}, A),
        # NixOS with tries of booting: the releases that know the word take the tries for no part of the name.
        (["preferred nixos-generation-1.conf", "default nixos-*"], {"g1_3": A, "g2": B}, A),
        (["preferred nixos-generation-1.conf", "default nixos-*"], {"g1": A, "g2": B}, A),
        (["preferred nixos-generation-2.conf", "default nixos-*"], {"g1": A, "g2_0_3": B}, A),
        (["preferred nixos-generation-3.conf", "default nixos-generation-1.conf"], {"g1": A, "g2": B}, A),
        ([], {}, UNTOLD),
        (["default nixos-generation-1.conf"], {}, UNTOLD),
    ],
)
def test_systemd_boot(host: Host, conf: list[str], systems: dict[str, str], starts: str) -> None:
    host.put(loader_conf(*conf) | entries(**systems))
    found = host.ask(starts or A)
    assert (found.loader, found.starts, found.names) == ("systemd-boot", starts, 0 if starts else 2)
    assert bool(found.why) == (not starts)
