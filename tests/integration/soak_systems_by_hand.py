# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flakes and systems for the randomised test: what is deployed, and what somebody else puts on a host by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from integration.faulting import FEATURES
from integration.playing import change_the_flake, copy_of_the_flake
from integration.soak_scene import TOOLS

from lab import Host

INSTALLERS = {
    "systemd-boot": "install-boot-loader",
    "grub": "install-boot-loader-grub",
    "extlinux": "install-boot-loader-extlinux",
}
# What each of them has in /boot, apart from kernels.
_FILES = {"systemd-boot": "loader EFI", "grub": "grub kernels", "extlinux": "extlinux nixos"}
# More configurations. Once the system of this one is the boot default, its installer names it as that, and leaves a
# boot partition to which nobody can write. So the way back fails, too.
BOOT_LOST = "boot-lost"
_MORE = r"""
  boot-lost = c: {
    installBootLoader = "/usr/bin/dash ${builtins.toFile "boot-lost" ''
      ${c.installBootLoader} "$1" || exit
      [ "$(readlink -f /nix/var/nix/profiles/system)" = "$1" ] || exit 0
      mount -o remount,ro /boot
      exit 1
    ''}";
  };

  # An installer that does nothing, and one that ends before it has named a default.
  boot-idle = _: { installBootLoader = "/usr/bin/true"; };

  boot-half = c: {
    installBootLoader = "/usr/bin/dash ${builtins.toFile "half" "${c.installBootLoader} /nix/store/none; exit 1"}";
  };
}
"""


class Flake:
    """A copy of the example flake, for one host and one controller at a time."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.path = copy_of_the_flake(directory)
        self.loaders = [name for name, file in INSTALLERS.items() if (self.path / file).exists()]
        faults = self.path / "faults.nix"
        faults.write_text(faults.read_text(encoding="utf-8").rstrip().removesuffix("}") + _MORE, "utf-8")

    def become(self, version: str, loader: str) -> None:
        """Another version, for hosts with this boot loader."""
        change_the_flake(self.path, version)
        file = self.path / "configuration.nix"
        text = file.read_text(encoding="utf-8")
        changed, count = re.subn(r'(installBootLoader = ")\$\{./[a-z-]*\}', rf"\1${{./{INSTALLERS[loader]}}}", text)
        assert count == 1, "configuration.nix names no installBootLoader"
        file.write_text(changed, "utf-8")

    def build(self, host: Host, configuration: str = "") -> str:
        """The toplevel, built on the host by hand and kept from garbage collection until the next one is."""
        there = host.root / "var/lib/soak-flake"
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.path, there)
        name = f"{host.name}-{configuration}" if configuration else host.name
        installable = f"path:/var/lib/soak-flake#nixosConfigurations.{name}.config.system.build.toplevel"
        done = host.run(
            f"nix {FEATURES} build --out-link /var/lib/soak-system --print-out-paths '{installable}'",
            check=True,
            timeout=90,
        )
        return done.stdout.strip()


def loader_of(host: Host) -> str:
    """Which boot loader starts the host."""
    if (host.boot / "loader/loader.conf").exists():
        return "systemd-boot"
    return "extlinux" if (host.boot / "extlinux/extlinux.conf").exists() else "grub"


def switch_by_hand(host: Host, system: str) -> None:
    """As `nixos-rebuild switch` does."""
    profile = "/nix/var/nix/profiles/system"
    host.run(
        f"nix-env -p {profile} --set {system} && {system}/bin/switch-to-configuration switch", check=True, env=TOOLS
    )


def give_loader(host: Host, flake: Flake, version: str, loader: str) -> None:
    """Somebody puts another boot loader on the host, with a system for it, and takes away the one that was there."""
    before = loader_of(host)
    flake.become(version, loader)
    switch_by_hand(host, flake.build(host))
    host.run(f"cd /boot && rm -rf {_FILES[before]}", check=True)
    assert loader_of(host) == loader


def system_of(host: Host, version: str) -> str:
    """The store path of the host's system of a version; "" if there is none. Its specialisations have the same name."""
    found = list((host.root / "nix/store").glob(f"*-nixos-system-{host.name}-25.11.{version}"))
    found.sort(key=lambda path: (path / "specialisation/debug").is_symlink())
    return f"/nix/store/{found[-1].name}" if found else ""
