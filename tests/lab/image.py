# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that every host starts from: Debian shaped like NixOS, with a first system in its Nix store.

It has two layers, so that a change of the example flake costs seconds: `base-<key>` is Debian with Nix, `system-<key>`
on top of it holds what building and installing `nixosConfigurations.initial` has written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import cgroup, mounts, nspawn, reason
from lab.shell import LabError, say, sh
from lab.state import State

FLAKE = Path(__file__).resolve().parents[2] / "examples" / "flake"
SUITE = "trixie"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "nix-bin", "nix-setup-systemd"),
    *(
        "bash",
        "dash",
        "busybox-static",
        "iproute2",
        "nftables",
        "iptables",
        "procps",
        "ca-certificates",
        "grub2-common",
    ),
    # Other ways to become root.
    *("opendoas", "polkitd"),
)

# /etc/systemd and sshd's configuration come from the toplevel, as on NixOS.
PREPARE_BASE = r"""
set -e
useradd --create-home --shell /bin/bash --groups nix-users deploy
echo deploy:lab-sudo | chpasswd
# Nix ends every process of a build user before a build. With ids that no other Nix has, one that runs on this machine
# does not reach into the hosts.
for number in 1 2 3 4 5 6 7 8 9 10; do
    usermod --uid $((198180000 + number)) "nixbld$number"
done
touch /etc/NIXOS
# A host has no polkit until a test starts its unit.
rm /usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service
rm -rf /etc/systemd /etc/ssh/sshd_config /etc/ssh/sshd_config.d /etc/ssh/ssh_host_* /etc/hostname /etc/machine-id
mkdir -p /etc/systemd /etc/ssh /etc/nix /nix/store /var/log/journal /root/.ssh /home/deploy/.ssh
chmod 1775 /nix/store
chgrp nixbld /nix/store
chmod 700 /root/.ssh /home/deploy/.ssh
chown deploy: /home/deploy/.ssh
cat > /etc/nix/nix.conf <<END
sandbox = false
substituters =
build-users-group = nixbld
END
cat > /etc/sudoers.d/00-path <<END
Defaults secure_path="/run/wrappers/bin:/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END
chmod 440 /etc/sudoers.d/00-path
# Nobody answers here, and an empty list of name servers says so at once.
: > /etc/resolv.conf
: > /etc/default/locale
# What systemd would otherwise do at each host's first boot.
journalctl --update-catalog
/usr/lib/systemd/systemd-update-done
"""

# The flake lies in a directory of its own, not in /tmp: systemd-nspawn mounts an empty one there.
INSTALL_SYSTEM = r"""
set -e
mkdir -p /boot/loader/entries
toplevel=$(nix --extra-experimental-features 'nix-command flakes' build --no-link --print-out-paths \
    'path:/mnt#nixosConfigurations.@configuration@.config.system.build.toplevel')
nix-env -p /nix/var/nix/profiles/system --set "$toplevel"
NIXOS_INSTALL_BOOTLOADER=1 "$toplevel/bin/switch-to-configuration" boot
rm -rf /root/.cache
# A soft-reboot unmounts these, and a container could not mount them again. NixOS mounts /boot
# again, by fstab, and keeps the store.
cd /usr/lib/systemd/system
mkdir boot.mount.d
printf '[Unit]\nDefaultDependencies=no\n' | tee boot.mount.d/stays.conf >nix-store.mount
printf '[Mount]\nWhat=/nix/store\nWhere=/nix/store\nOptions=bind,ro\n' >>nix-store.mount
"""


@dataclass(frozen=True)
class Recipe:
    """What an image is made of."""

    prefix: str
    packages: tuple[str, ...]
    prepare: str
    configuration: str
    """The host's first system."""
    install: str

    @property
    def base_key(self) -> str:
        return _digest([SUITE, *self.packages, self.prepare])

    @property
    def system_key(self) -> str:
        if not (FLAKE / "flake.nix").is_file():
            raise LabError(f"the example flake is missing: {FLAKE}/flake.nix")
        files = [path for path in sorted(FLAKE.rglob("*")) if path.is_file()]
        texts = [f"{path.relative_to(FLAKE)} {os.access(path, os.X_OK)} {_file_hash(path)}" for path in files]
        return _digest([self.base_key, self.install, self.configuration, *texts])


CONTAINER = Recipe("", PACKAGES, PREPARE_BASE, "initial", INSTALL_SYSTEM)


def layers(state: State, recipe: Recipe = CONTAINER) -> list[Path]:
    """The image's layers, upper first, made if they are not there yet."""
    system, base = paths(state, recipe)
    if not base.is_dir():
        _make_base(state, base, recipe)
    if not system.is_dir():
        _make_system(state, base, system, recipe)
    return [system, base]


def paths(state: State, recipe: Recipe) -> tuple[Path, Path]:
    """Where the layers are, or are to be."""
    return (
        state.dir / f"{recipe.prefix}system-{recipe.system_key}",
        state.dir / f"{recipe.prefix}base-{recipe.base_key}",
    )


def drop_old(state: State, keep: list[Path]) -> None:
    """Remove layers of earlier recipes; nothing may be mounted over them."""
    for pattern in ("base-*", "system-*"):
        for path in state.dir.glob(pattern):
            if path not in keep:
                mounts.remove_tree(path)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _finished(target: Path) -> Iterator[Path]:
    """A directory that gets its name only when it is complete."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    mounts.remove_tree(unfinished)
    yield unfinished
    unfinished.rename(target)


def _make_base(state: State, base: Path, recipe: Recipe) -> None:
    say(f"building the image: Debian {SUITE} with Nix (about half a minute, once)")
    state.dir.mkdir(parents=True, exist_ok=True)
    with _finished(base) as root:
        log = state.dir / "image.log"
        packages = f"--include={','.join(recipe.packages)}"
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", packages, SUITE, str(root)]
        with log.open("w") as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
        if done.returncode:
            raise LabError(f"mmdebstrap failed, see {log}: {reason.of_log(log.read_text(errors='replace'))}")
        sh("chroot", root, "/bin/sh", "-s", stdin=recipe.prepare)


def _make_system(state: State, base: Path, system: Path, recipe: Recipe) -> None:
    say("building the first system of the example flake")
    with _finished(system) as upper:
        scratch = state.dir / "build"
        mounts.remove_tree(scratch)
        for path in (upper, scratch / "work", scratch / "root", scratch / "flake"):
            path.mkdir(parents=True)
        shutil.copytree(FLAKE, scratch / "flake", symlinks=True, dirs_exist_ok=True)
        mounts.overlay(scratch / "root", [base], upper, scratch / "work")
        cgroup.make(state)
        group = cgroup.root(state) / "image"
        try:
            options = ("--private-network", f"--bind-ro={scratch / 'flake'}:/mnt", "--console=pipe")
            log = state.dir / "system.log"
            command = ["/bin/sh", "-c", recipe.install.replace("@configuration@", recipe.configuration)]
            machine = f"{state.name}-image"
            if nspawn.run(group, machine, scratch / "root", *options, command=command, log=log).returncode:
                why = reason.of_log(log.read_text(errors="replace"))
                raise LabError(f"the first system of the example flake does not build, see {log}: {why}")
        finally:
            cgroup.kill(group)
            mounts.remove_tree(scratch)
