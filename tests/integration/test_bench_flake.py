# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flake that the benchmark deploys, for the Nix of a host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.evaluation import rounds_for
from bench.fleet import Fleet
from lab import Host, Lab

PLACE = "/var/lib/bench-flake"


def _nix(host: Host, verb: str, output: str) -> str:
    features = {"NIX_CONFIG": "experimental-features = nix-command flakes"}
    return host.run(f"nix {verb} 'path:{PLACE}#{output}'", check=True, env=features).stdout.strip()


def test_the_flake_of_the_benchmark(
    lab: Lab, hosts: dict[str, Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_FLAKE", raising=False)
    host = hosts["host1"]
    system = "nixosConfigurations.host1.config.system.build.toplevel"
    derivations = []
    for rounds in (0, rounds_for(host, 1)):
        fleet = Fleet(lab, 1, tmp_path / str(rounds), rounds)
        fleet.change("changed", "bench")
        host.put(fleet.flake, PLACE)
        before = os.times()
        derivations.append(_nix(host, "eval --raw", f"{system}.drvPath"))
        after = os.times()
        took = after.children_user + after.children_system - before.children_user - before.children_system
        assert (took > 0.7) == bool(rounds), took
    # The work is for the evaluator alone.
    assert derivations[0] == derivations[1]

    # What deploy-rs takes for a profile is the system, and what its own lib puts beside it.
    toplevel = _nix(host, "build --no-link --print-out-paths", system)
    profile = _nix(host, "build --no-link --print-out-paths", "deploy.nodes.host1.profiles.system.path")
    assert host.run(f"readlink -f {profile}/init", check=True).stdout == f"{toplevel}/init\n"
    names = host.run(f"ls {profile}", check=True).stdout.split()
    assert sorted({*names} - {*host.run(f"ls {toplevel}", check=True).stdout.split()}) == [
        "activate-rs",
        "deploy-rs-activate",
    ]
    # It starts the second one, which starts what the benchmark has put there.
    program = host.root / "usr/local/libexec/deploy-rs/activate"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text('#!/bin/sh\necho "told $*"\n')
    program.chmod(0o755)
    assert host.run(f"{profile}/activate-rs wait x", check=True).stdout == "told wait x\n"
