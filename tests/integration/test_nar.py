# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worked out on the controller without Nix, against the Nix of a real host."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import LocalFlake, find_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import toplevel
from lab import Host

NIX = "nix --extra-experimental-features 'nix-command flakes'"
PLACE = "/tmp/deploy-flake-nar"
# No quote: Nix's command line cannot express it.
NAMES = ["web", "web.example.org", "a b", "a'b", "a#b", "a^b", "a^*", "a%b", "a%22b", "a?b", "a&b=c", "a/b",
         "new\nline", "ünï", "${x}", "a\\b", "-x", "0", " lead", "a,b", "a+b", "a:b",
         "@", "*", ".", "..", "\x01", "日本"]  # fmt: skip


@pytest.fixture
def nix(hosts: dict[str, Host]) -> Iterator[Host]:
    """A host with nothing of these tests on it, before and after."""
    host = hosts["host1"]
    host.run(f"rm -rf {PLACE}; mkdir {PLACE}", check=True)
    yield host
    host.run(f"for path in $(cat {PLACE}/added); do nix-store --delete $path; done; rm -rf {PLACE}", check=True)


def send(host: Host, flake: LocalFlake) -> tuple[str, bytes]:
    """Put a snapshot into the host's store; give back what Nix calls it, and how Nix would serialise it."""
    script = (
        f"cd {PLACE} && rm -rf source && nix-store --restore source && path=$(nix-store --add-fixed --recursive sha256"
        f" source) && echo $path >> added && echo $path && exec nix-store --dump $path"
    )
    with flake.snapshot() as snapshot:
        done = subprocess.run(host.ssh_command(script), input=snapshot.nar.read(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        path, _newline, dumped = done.stdout.partition(b"\n")
        snapshot.nar.seek(0)
        assert dumped == snapshot.nar.read()
        assert path.decode() == snapshot.store_path
        return path.decode(), dumped


def local(directory: Path) -> LocalFlake:
    flake = find_flake(f"path:{directory}", Path("/"))
    assert isinstance(flake, LocalFlake)
    return flake


@pytest.mark.parametrize("seed", range(3))
def test_nix_reads_our_nars(nix: Host, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folders = [os.fsencode(tmp_path)]
    for number in range(60):
        name = bytes(chance.choice([*range(1, 47), *range(48, 256)]) for _place in range(chance.randint(1, 12)))
        path = os.path.join(chance.choice(folders), b"%d" % number + name)
        kind = chance.randrange(4)
        if kind == 0:
            os.mkdir(path)
            folders.append(path)
        elif kind == 1:
            os.symlink(name, path)
        else:
            Path(os.fsdecode(path)).write_bytes(chance.randbytes(chance.choice([0, 1, 7, 8, 9, 70000])))
            os.chmod(path, 0o755 if kind == 2 else 0o644)
    (tmp_path / "flake.nix").write_text("{ }")
    send(nix, local(tmp_path))


def test_the_locked_reference_is_what_nix_takes(nix: Host, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    text = "{ outputs = { self }: { is = [ self.rev self.lastModified self.narHash ]; }; }"
    (tmp_path / "a b" / "flake.nix").write_text(text)
    commands = "git init -q && git add . && git -c user.name=a -c user.email=a@example.org commit -q -m one"
    subprocess.run(["sh", "-c", commands], cwd=tmp_path, check=True)
    flake = find_flake("./a b", tmp_path)
    assert isinstance(flake, LocalFlake)
    send(nix, flake)
    with flake.snapshot() as snapshot:
        reference = flake.locked_reference(snapshot)
        done = nix.run(f"{NIX} eval {shlex.quote(reference)}#is", check=True)
        assert done.stdout.strip() == f'[ "{flake.revision}" {flake.last_modified} "{snapshot.nar_hash}" ]'


def test_every_name_finds_its_configuration(nix: Host, tmp_path: Path) -> None:
    configurations = "\n".join(f"  {_nix_string(name)} = make {number};" for number, name in enumerate(NAMES))
    make = 'make = number: { config.system.build.toplevel = "is ${toString number}"; };'
    text = f"{{ outputs = _: let {make} in {{ nixosConfigurations = {{\n{configurations}\n}}; }}; }}"
    (tmp_path / "flake.nix").write_text(text)
    path, _nar = send(nix, local(tmp_path))
    script = "\n".join(f"{NIX} eval --raw {shlex.quote(toplevel(f'path:{path}', name))} && echo" for name in NAMES)
    assert nix.run(script, check=True).stdout.splitlines() == [f"is {number}" for number in range(len(NAMES))]


def _nix_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("${", "\\${") + '"'
