# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closures on hosts of the lab, and copies of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.faulting import FEATURES, Deploying, inside, wait_for
from integration.playing import Played, play, remains

from lab import Host, Lab

ROOTS = "/nix/var/nix/gcroots/deploy-flake-closures"
_made = 0


def make(host: Host, files: int = 3, size: int = 64 << 10) -> str:
    """A store path that needs so many files, each a path of its own and of random bytes; other ones each time."""
    global _made
    _made += 1
    name = f"top-{os.getpid()}-{_made}"
    script = f"""
    set -e
    mkdir /var/tmp/{name}
    cd /var/tmp/{name}
    needs=
    for number in $(seq {files}); do
        head -c {size} /dev/urandom >"file-$number"
        path=$(nix-store --add-fixed --recursive sha256 "file-$number")
        rm "file-$number"
        needs="$needs \\${{builtins.storePath $path}}"
    done
    nix-instantiate --eval --read-write-mode --expr "builtins.toFile ''{name}'' ''$needs''" | tr -d '"'
    cd /
    rmdir /var/tmp/{name}
    """
    return host.run(script, check=True, timeout=300).stdout.strip()


def built(host: Host, needed: str) -> str:
    """A store path that was built, and needs another one."""
    name = f"built-{needed.rpartition('/')[2][-12:]}"
    text = f"""derivation {{
        name = "{name}"; system = builtins.currentSystem; builder = "/bin/sh";
        args = [ "-c" "echo what was signed: ${{builtins.storePath {needed}}} >$out" ];
    }}"""
    return host.run(["nix-build", "--no-out-link", "--expr", text], check=True).stdout.strip()


def new_key(host: Host, name: str) -> str:
    """The public key of a pair; the secret one is in the file of that name in /root."""
    script = f"""
    set -e
    nix {FEATURES} key generate-secret --key-name {name} >/root/{name}
    nix {FEATURES} key convert-secret-to-public </root/{name}
    """
    return host.run(script, check=True).stdout.strip()


def closure(host: Host, top: str) -> list[str]:
    """All that it needs."""
    return host.run(f"nix-store --query --requisites {top}", check=True, timeout=120).stdout.split()


def is_there(host: Host, top: str) -> bool:
    """Whether all of it is in the host's store, with the bytes that it should have."""
    if host.run(f"nix-store --check-validity {top}").returncode:
        return False
    script = f"nix-store --query --requisites {top} | xargs nix-store --verify-path"
    return host.run(script, timeout=300).returncode == 0


def has_any(host: Host, paths: list[str]) -> bool:
    """Whether anything of it is in the host's store."""
    listed = "\n".join(paths)
    done = host.run("xargs nix-store --check-validity --print-invalid | wc -l", stdin=listed, check=True, timeout=120)
    return int(done.stdout) < len(paths)


def tasks(**options: Any) -> list[dict[str, Any]]:
    """The plays of one copy."""
    task = {"name": "Copy", "deploy_flake.nixos.closure_copy": options, "become": True, "run_once": True}
    return [{"name": "Copy", "hosts": "all", "gather_facts": False, "tasks": [task]}]


def copy(lab: Lab, directory: Path, source: Host, *targets: Host, **options: Any) -> Played:
    """A copy from one host to others, to its end."""
    options = {"source": source.name, "targets": [target.name for target in targets], **options}
    return play(lab, directory, tasks(**options))


def copying(lab: Lab, source: Host, *targets: Host, **options: Any) -> Deploying:
    """The same in the background."""
    options = {"source": source.name, "targets": [target.name for target in targets], **options}
    return Deploying(lab, targets[0], tasks(**options))


def of_task(played: Played) -> dict[str, Any]:
    """Of the task."""
    (results,) = played.results.values()
    return results[-1]


def came(played: Played) -> dict[str, Any]:
    """What the task says of each target."""
    found: dict[str, Any] = of_task(played)["targets"]
    return found


def received(host: Host) -> int:
    """How many pieces a copy in progress has brought to a host."""
    for file in inside(host, "/run/deploy-flake").glob("closure-to-*/received"):
        try:
            return int(file.read_text() or 0)
        except (OSError, ValueError):
            return 0
    return 0


def is_under_way(host: Host, pieces: int = 3) -> None:
    """Wait until a few pieces have come."""
    wait_for(lambda: received(host) >= pieces, 60, 0.01, f"{host.name} has got nothing of a closure")


def left(host: Host) -> str:
    """What a copy may not leave behind; roots of what has come may be there."""
    host.run("rm -rf /nix/var/nix/gcroots/deploy-flake", check=True)
    return remains(host) + host.run(f"ls -A {ROOTS} 2>/dev/null").stdout.strip()


@contextmanager
def nix_conf(host: Host, *lines: str) -> Iterator[None]:
    """More lines in a host's nix.conf for a while."""
    before = host.read("/etc/nix/nix.conf")
    text = "\n".join([before, *lines, ""])
    # systemd has a limit for how often it is started.
    put = "cat >/etc/nix/nix.conf; systemctl reset-failed nix-daemon.service; systemctl restart nix-daemon.service"
    host.run(put, stdin=text, check=True)
    try:
        yield
    finally:
        host.run(put, stdin=before, check=True)
