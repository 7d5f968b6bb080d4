# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of the lab that is no NixOS any more: what it is made of, Debian with Nix, systemd and sshd."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import Host

_SSHD = """
Include /etc/ssh/lab-port.conf
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM yes
UseDNS no
MaxStartups 200
MaxSessions 100
"""
_NIXOS = ("etc/NIXOS", "etc/static", "nix/var/nix/gcroots/booted-system", "nix/var/nix/gcroots/current-system")


def become_debian(host: Host) -> None:
    """Take away what makes it NixOS, while it is off, and boot Debian's own systemd."""
    host.power_off()
    root, etc = host.root, host.root / "etc"
    for path in [
        *_NIXOS,
        *(f"nix/var/nix/profiles/{link.name}" for link in (root / "nix/var/nix/profiles").glob("system*")),
    ]:
        (root / path).unlink(missing_ok=True)
    for link in [
        path for path in etc.rglob("*") if path.is_symlink() and str(path.readlink()).startswith("/etc/static")
    ]:
        link.unlink()
    shutil.rmtree(etc / "systemd", ignore_errors=True)
    for wanted, unit in (
        ("multi-user", "ssh.service"),
        ("sockets", "nix-daemon.socket"),
        ("multi-user", "getty.target"),
    ):
        wants = etc / f"systemd/system/{wanted}.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / unit).unlink(missing_ok=True)
        (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    (etc / "ssh/sshd_config").write_text(_SSHD)
    (etc / "ssh/lab-port.conf").touch()
    (etc / "hostname").write_text(f"{host.name}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.0.2 {host.name}\n")
    shutil.copy(root / "usr/lib/os-release", etc / "os-release")
    _boots(host.boot, "/usr/lib/systemd/systemd")
    host.power_on()
    assert host.run("test -e /run/current-system").returncode, "it has booted a NixOS system"


def _boots(boot: Path, init: str) -> None:
    """The boot loader's one entry."""
    for entry in (boot / "loader/entries").glob("*"):
        entry.unlink()
    (boot / "loader/loader.conf").write_text("default debian.conf\n")
    (boot / "loader/entries/debian.conf").write_text(f"title Debian\noptions init={init}\n")
