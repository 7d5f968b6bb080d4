# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the benchmark is logic: which peers there are, what is run, and what is made of the figures."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import contenders, weight
from bench.contenders import Command, Contender, DeployRs, Playbook, RustDeployFlake
from bench.figures import Figures
from bench.fleet import DEFAULTS, Fleet
from bench.measurement import Measurement
from bench.process import Used
from tools import bench, peers
from tools.shell import Failed

ONE = Used(1.0, 0.5, None)
TWO = Used(2.0, 0.5, None)


@pytest.fixture(name="fleet")
def a_fleet(tmp_path: Path) -> Any:
    """What a contender asks of a fleet."""
    return SimpleNamespace(
        directory=tmp_path,
        flake=tmp_path / "flake",
        ssh_config=tmp_path / "ssh_config",
        hosts=[
            SimpleNamespace(name="host1", address="198.18.1.1"),
            SimpleNamespace(name="host2", address="198.18.1.2"),
        ],
        lab=SimpleNamespace(inventory=tmp_path / "hosts.yml"),
        limit="host1,host2",
    )


def _program(file: Path, text: str = "#!/bin/sh\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


# Peers that are built


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("deploy_rs", "there is no deploy_rs. PEERS takes deploy-rs;"),
        ("deploy-rs colmena", "its authors publish no crate of colmena"),
        ("deploy-flake", "its authors publish no crate of deploy-flake"),
    ],
)
def test_a_peer_that_cannot_be_built_is_one_error(said: str, error: str) -> None:
    with pytest.raises(Failed, match=re.escape(error)):
        peers.wanted(said)


def test_peers_are_named_once() -> None:
    assert peers.wanted(" deploy-rs  deploy-rs ") == ["deploy-rs"]
    assert peers.wanted("") == []


def _built(directory: Path, version: str) -> None:
    for name in ("deploy", "activate"):
        _program(directory / "bin" / name)
    (directory / ".crates.toml").write_text(
        f'[v1]\n"deploy-rs {version} (registry+https://example.org)" = ["activate", "deploy"]\n'
    )


def test_a_peer_is_built_once_and_without_cargo_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "BUILT", tmp_path / "peers")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed, match="cargo is not on the PATH, and deploy-rs is built with it"):
        peers.build(["deploy-rs"])
    _built(tmp_path / "peers", "1.0.0")
    assert peers.build(["deploy-rs"]) == tmp_path / "peers" / "bin"
    # Another version is another peer, and a program that is missing is not there.
    _built(tmp_path / "peers", "1.0.1")
    with pytest.raises(Failed):
        peers.build(["deploy-rs"])
    _built(tmp_path / "peers", "1.0.0")
    (tmp_path / "peers" / "bin" / "activate").unlink()
    with pytest.raises(Failed):
        peers.build(["deploy-rs"])
    assert peers.build([]) is None


def test_cargo_is_told_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "BUILT", tmp_path / "peers")
    monkeypatch.setenv("PATH", str(_program(tmp_path / "cargo").parent))
    ran: list[list[str]] = []
    monkeypatch.setattr(peers, "must", ran.append)
    peers.build(["deploy-rs"])
    assert ran == [
        ["cargo", "install", "deploy-rs", "--version=1.0.0", "--locked", "--force", f"--root={tmp_path / 'peers'}"]
    ]


# Peers that are found


def test_our_own_command_is_not_the_rust_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _program(tmp_path / "ours" / "deploy-flake")
    theirs = tmp_path / "theirs" / "deploy-flake"
    theirs.parent.mkdir()
    monkeypatch.setenv("PATH", str(ours.parent))
    assert contenders.peers(None, None) == []
    shutil.copy("/bin/true", theirs)
    monkeypatch.setenv("PATH", f"{ours.parent}:{theirs.parent}")
    assert [each.name for each in contenders.peers(None, None)] == ["deploy-flake (Rust)"]


def test_what_was_built_comes_before_the_path_and_gets_the_nix_of_the_hosts(
    fleet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = _program(tmp_path / "built" / "deploy").parent
    monkeypatch.setenv("PATH", str(_program(tmp_path / "path" / "deploy").parent))
    (other,) = contenders.peers(None, None)
    assert other.command(fleet, tmp_path)[0] == tmp_path / "path" / "deploy"
    assert other.environment(tmp_path)["PATH"] == f"{tmp_path}:{tmp_path / 'path'}"
    # Whose Nix it is, knows what it needs.
    assert other.environment(tmp_path).get("NIX_CONFIG") == os.environ.get("NIX_CONFIG")
    (mine,) = contenders.peers(built, tmp_path / "nix")
    assert mine.command(fleet, tmp_path)[0] == built / "deploy"
    assert mine.environment(tmp_path)["PATH"] == f"{tmp_path}:{tmp_path / 'nix'}:{tmp_path / 'path'}"


# What is run


@pytest.mark.parametrize("peer", [RustDeployFlake, DeployRs])
def test_ssh_can_share_a_connection_whatever_the_name(
    peer: type[DeployRs], fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrappers: list[str] = []

    def run(command: list[str | Path], environment: dict[str, str], *_others: object) -> Used:
        assert command
        wrappers.append(Path(environment["PATH"].split(os.pathsep)[0], "ssh").read_text(encoding="utf-8"))
        return ONE

    monkeypatch.setattr(contenders, "run", run)
    peer(Path("/bin/true")).deploy(fleet, 1, "first")
    (path,) = [word for word in shlex.split(wrappers[0]) if word.startswith("ControlPath=")]
    # ssh takes it apart at spaces, and a socket's name is short.
    assert re.fullmatch(r"ControlPath=[\w./-]+/%n", path)


@pytest.mark.parametrize("contender", [Playbook(Path("/bin"), "/collections"), Command(Path("/bin/deploy-flake"))])
def test_nothing_is_set_where_all_defaults_hold(contender: Contender, fleet: Any, tmp_path: Path) -> None:
    def words(kind: str) -> str:
        contender.kind = kind
        return shlex.join(map(str, contender.command(fleet, tmp_path)))

    assert "settle" in words("changed")
    assert "settle" not in words(DEFAULTS)
    environment = contender.environment(tmp_path)
    assert "ANSIBLE_FORKS" not in environment
    assert Path(environment.get("ANSIBLE_CONFIG", os.devnull)).read_text(encoding="utf-8") == ""


def test_one_builds_for_all(fleet: Any, tmp_path: Path) -> None:
    playbook = Playbook(Path("/bin"), "/collections", one_builds=True)
    assert "deploy_flake_build_on=host1" in playbook.command(fleet, tmp_path)
    command = Command(Path("/bin/deploy-flake"), one_builds=True)
    assert shlex.join(map(str, command.command(fleet, tmp_path))).endswith(" --build-on host1")
    assert playbook.name != Playbook.name
    assert command.name != Command.name


# How it ended


class _Peer(DeployRs):
    """One that says it has deployed, and has not but for the first time."""

    def prepare(self, fleet: Fleet) -> None:
        assert fleet

    def deploy(self, fleet: Fleet, number: int, kind: str, ssh: Path | None = None) -> Used:
        assert (kind, ssh) == ("first", None)
        if number == 1:
            vars(fleet.hosts[0])["version"] = self.version
        return ONE

    version = ""


class _Host:
    """What a host runs and boots."""

    name = "host1"
    version = "old"

    def run(self, script: str, **_options: object) -> Any:
        assert "readlink" in script
        init = f"/nix/store/00000000-nixos-system-host1-25.11.{self.version}/init\n"
        return SimpleNamespace(stdout=init * 2)


def test_a_deploy_that_left_a_host_as_it_was_has_failed_whatever_it_said(tmp_path: Path, fleet: Any) -> None:
    host, peer, figures = _Host(), _Peer(Path("/bin/true")), Figures()
    fleet.hosts = [host]
    fleet.each = lambda work: [work(host)]
    fleet.demand = lambda version: Fleet.demand(fleet, version)
    fleet.tidy = fleet.settle = lambda: None

    def change(kind: str, version: str) -> None:
        assert kind == "first"
        peer.version = version

    fleet.change = change
    assert list(Measurement([peer], ["first"], 2, figures).run(fleet)) == [1, 2]
    assert not figures.runs
    assert [(each["contender"], each["hosts"]) for each in figures.failed] == [("deploy-rs", 1)] * 2
    assert "host1 runs /nix/store/00000000-nixos-system-host1-25.11." in figures.failed[0]["why"]
    assert not figures.left_out

    # One that cannot deploy at all is left out, and nothing is measured with it.
    host.version = "old"
    peer.deploy = lambda *_words: ONE  # type: ignore[method-assign]
    list(Measurement([peer], ["first"], 0, figures).run(fleet))
    assert list(figures.left_out) == ["deploy-rs"]


# The weight


def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, str]) -> Any:
    """A tree of cgroups, and a lab that is in system.slice/lab of it."""
    for name, text in weights.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(weight, "TREE", tmp_path)
    monkeypatch.setattr("lab.cgroup.root", lambda _state: tmp_path / "system.slice" / "lab")
    return SimpleNamespace(state=SimpleNamespace(name="lab"))


def test_the_lab_and_what_it_is_in_weigh_more_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = _tree(tmp_path, monkeypatch, {"system.slice/cpu.weight": "50", "system.slice/lab/cpu.weight": "100"})
    files = [tmp_path / "system.slice/cpu.weight", tmp_path / "system.slice/lab/cpu.weight"]
    with weight.heavy(lab) as heavy:
        assert heavy
        assert [file.read_text() for file in files] == ["10000", "10000"]
    assert [file.read_text() for file in files] == ["50", "100"]


def test_where_there_is_no_weight_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The lab's own has none, and it cannot be had.
    lab = _tree(tmp_path, monkeypatch, {"system.slice/cpu.weight": "50"})
    with weight.heavy(lab) as heavy:
        assert not heavy
    assert "what else runs on this machine is in the figures" in capsys.readouterr().out
    assert (tmp_path / "system.slice/cpu.weight").read_text() == "50"


# What is made of the figures


def _figures() -> Figures:
    figures = Figures()
    for name, used in (("floor", ONE), ("playbook", TWO)):
        for kind in ("first", "changed", "no-op"):
            figures.add(name, kind, 1, used)
    figures.add("playbook", DEFAULTS, 1, Used(3.0, 0.5, None))
    # It failed whenever it was to deploy to four.
    figures.add("deploy-rs", "first", 1, ONE)
    figures.add("floor", "first", 4, ONE)
    return figures


def test_what_has_not_succeeded_has_no_row() -> None:
    tables = _figures().tables()
    rows = [line.split() for line in tables.splitlines()]
    # to floor, to playbook, to deploy-rs
    assert ["4", "floor", "1.00", "1.00..1.00", "1.00", "-", "-", "0.12", "-"] in rows
    assert not [row for row in rows if row[:2] == ["4", "deploy-rs"]]


def test_all_defaults_are_beside_what_has_none_of_ours() -> None:
    rows = [line.split() for line in _figures().tables().partition(DEFAULTS)[2].splitlines()]
    assert ["1", "playbook", "3.00", "3.00..3.00", "3.00", "1.00", "-", "0.50", "-"] in rows


def test_the_table_has_the_peers() -> None:
    rows = bench._ratios(json.loads(json.dumps(_figures().as_json())))
    assert [list(row) for row in rows] == [
        ["deploy", "hosts", "floor", "playbook", "deploy-rs", "controller's CPU for each host, in this order"],
        ["first", 1, "1.0 s", "2.0 s, 2.00", "1.0 s, 1.00", "0.50 s, 0.50 s"],
        ["changed", 1, "1.0 s", "2.0 s, 2.00", "-", "0.50 s, -"],
        ["no-op", 1, "1.0 s", "2.0 s, 2.00", "-", "0.50 s, -"],
        [DEFAULTS, 1, "1.0 s", "3.0 s, 3.00", "-", "0.50 s, -"],
        ["first", 4, "1.0 s", "-", "-", "-, -"],
    ]


@pytest.mark.parametrize("said", ["five", "-1", "1e3", "5 s", "1000"])
def test_an_evaluation_that_is_no_number_is_one_error(said: str) -> None:
    with pytest.raises(Failed, match="it is the seconds that evaluating takes for each host, as EVALUATION=5"):
        bench._evaluation(said)


def test_a_flake_of_ones_own_gets_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_FLAKE", raising=False)
    assert bench._evaluation("2.5") == "2.5"
    monkeypatch.setenv("BENCH_FLAKE", "/srv/flake")
    assert bench._evaluation("0") == "0"
    with pytest.raises(Failed, match="set one of them"):
        bench._evaluation("5")
