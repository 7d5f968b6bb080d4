# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closures that go from one host to others: only what each lacks, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from integration.closing import (
    ROOTS,
    built,
    came,
    closure,
    copy,
    copying,
    has_any,
    is_there,
    is_under_way,
    left,
    make,
    new_key,
    nix_conf,
    of_task,
    received,
    tasks,
)
from integration.faulting import FEATURES, Deploying, wait_for
from integration.jump_host import alone_with, ways_to
from integration.playing import play, systems
from integration.test_prebuilt import CACHE, publish

from lab import Host, Lab

# The first directory with tools that the scripts look into.
FIRST = "/run/wrappers/bin"
# Some 15 pieces.
LARGE = {"files": 15, "size": 2 << 20}


@pytest.mark.core
@pytest.mark.parametrize("names", [("host1", "host2", "host3"), ("host3", "host1", "host2")])
def test_two_targets_from_one_reading(lab: Lab, hosts: dict[str, Host], tmp_path: Path, names: tuple[str, ...]) -> None:
    """Between users and shells of every kind; each gets what it lacks, and once."""
    source, first, second = (hosts[name] for name in names)
    common, own = make(source), make(source)
    tops = {"paths": [common], "paths_of": {second.name: own}}
    played = copy(lab, tmp_path, source, first, second, **tops)
    assert played.code == 0, played.output
    results = came(played)
    assert (results[first.name]["copied"], results[first.name]["paths"]) == (4, 4)
    # Before any of it is sent.
    for host, all_paths in ((first, 4), (second, 8)):
        assert f"{host.name}: gets {all_paths} of {all_paths} paths from {source.name}, " in played.output
    assert (results[second.name]["copied"], results[second.name]["changed"]) == (8, True)
    assert results[first.name]["bytes"] >= 3 * (64 << 10)
    assert is_there(first, common)
    assert is_there(second, common)
    assert is_there(second, own)
    assert not has_any(first, closure(source, own))
    # It is kept until a deployment has ended.
    assert first.run(f"readlink /nix/var/nix/gcroots/deploy-flake/{common.rpartition('/')[2]}").stdout.strip() == common
    first.run("nix-store --gc", check=True)
    assert is_there(first, common)
    again = copy(lab, tmp_path, source, first, second, **tops)
    assert again.code == 0, again.output
    assert [each["changed"] for each in came(again).values()] == [False, False]
    assert [each["bytes_sent"] for each in came(again).values()] == [0, 0]
    # What it lacks of it comes alone.
    more = make(source, files=1)
    played = copy(lab, tmp_path, source, second, paths=[common, more])
    assert came(played)[second.name]["copied"] == 2
    assert f"{second.name}: gets 2 of 6 paths from {source.name}, " in played.output
    assert [left(host) for host in (source, first, second)] == ["", "", ""]


def test_more_paths_than_a_process_takes_arguments(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """16,000 of them."""
    source, target = hosts["host1"], hosts["host2"]
    name = f"many-{time.time_ns()}"
    text = (
        f'builtins.toFile "{name}" (toString (builtins.genList (n: builtins.toFile "{name}-${{toString n}}" "") 16000))'
    )
    top = source.run(["nix-instantiate", "--eval", "--read-write-mode", "--expr", text], check=True, timeout=300)
    played = copy(lab, tmp_path, source, target, paths=[top.stdout.strip().strip('"')])
    assert played.code == 0, played.output
    assert came(played)[target.name]["copied"] == 16001
    assert (left(source), left(target)) == ("", "")


def test_much_through_little_memory(lab: Lab, hosts: dict[str, Host]) -> None:
    """It needs hardly more of the controller's memory than a few KiB do. 2 GiB need no more than this, and minutes."""
    source, target = hosts["host1"], hosts["host2"]
    small, large = make(source, 1), make(source, files=3, size=32 << 20)
    peaks = []
    for top in (small, large):
        # Random bytes do not get smaller.
        with copying(lab, source, target, paths=[top], compress=top == small) as running:
            peak = 0
            while running.process.poll() is None:
                peak = max(peak, peak_memory(running.directory))
                time.sleep(0.05)
            assert running.end() == 0, running.output
        peaks.append(peak)
    assert is_there(target, large)
    assert peaks[1] - peaks[0] < 32 << 10, f"{peaks} KiB"
    for host in (source, target):
        assert left(host) == ""
        host.run("nix-store --gc", check=True)


def peak_memory(directory: Path) -> int:
    """KiB that the largest process of a controller has had at most."""
    mark = f"ANSIBLE_SSH_CONTROL_PATH_DIR={directory}\0".encode()
    found = 0
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError, StopIteration):
            if mark in environ.read_bytes():
                lines = (environ.parent / "status").read_text().splitlines()
                found = max(found, int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))))
    return found


@pytest.mark.parametrize("cut", ["host1", "host2"])
def test_a_cut_link_is_resumed(lab: Lab, hosts: dict[str, Host], cut: str) -> None:
    source, target = hosts["host1"], hosts["host2"]
    top = make(source, **LARGE)
    with copying(lab, source, target, paths=[top], compress=False) as running:
        is_under_way(target)
        hosts[cut].cut()
        before = received(target)
        # ssh takes so long to find out.
        wait_for(lambda: f"{cut}: lost the connection" in running.output, 120, 0.2)
        hosts[cut].mend()
        assert running.end(120) == 0, running.output
        assert "begins again" not in running.output
        assert f"{cut}: is back" in running.output
    assert before > 0
    assert is_there(target, top)
    assert (left(source), left(target)) == ("", "")


def test_a_link_that_stays_silent(lab: Lab, hosts: dict[str, Host]) -> None:
    """It ends in an error, and the other target gets all of it."""
    source, away, other = hosts["host1"], hosts["host2"], hosts["host3"]
    top = make(source, **LARGE)
    began = time.monotonic()
    with copying(lab, source, away, other, paths=[top], compress=False, reconnect_timeout=5) as running:
        is_under_way(away)
        away.cut()
        try:
            assert running.end(150) != 0, running.output
            assert time.monotonic() - began < 120
            assert "host2 has not answered for 5 s while getting the closure" in running.output
            # It stands still, and says so, and not every other second.
            told = re.findall(r"^host2: (has got .* were sent.*)$", running.output, re.MULTILINE)
            assert re.search(r"; nothing more for [1-9]\d s$", told[-1]), running.output
            assert len(set(told)) == len(told)
        finally:
            away.mend()
    assert is_there(other, top)
    assert not is_there(away, top)
    assert (left(source), left(other)) == ("", "")
    # What has begun there ends by itself, or with the next copy.
    away.run("systemctl stop 'deploy-flake-closure-to-*'", check=True)
    wait_for(lambda: left(away) == "", 30, 0.5)


@pytest.mark.parametrize("end", ["from", "to"])
def test_a_killed_end_begins_again(lab: Lab, hosts: dict[str, Host], end: str) -> None:
    source, target = hosts["host1"], hosts["host2"]
    top = make(source, **LARGE)
    with copying(lab, source, target, paths=[top], compress=False) as running:
        is_under_way(target)
        host = {"from": source, "to": target}[end]
        host.run(f"systemctl kill -s KILL 'deploy-flake-closure-{end}-*'", check=True)
        assert running.end(120) == 0, running.output
        assert "begins again" in running.output, running.output
    assert is_there(target, top)
    assert (left(source), left(target)) == ("", "")


def half_way(source: Host, target: Host) -> tuple[list[str], dict[str, Any]]:
    """What a target gets when two get something: first what both of them need, and then its own, which is large."""
    common, own = make(source), make(source, **LARGE)
    return [common, own], {"paths": [common], "paths_of": {target.name: own}, "compress": False}


def has_the_first_half(running: Deploying, target: Host, common: str) -> None:
    """Wait until the target has it whole, and has said how far it is; it gets the other one still."""
    wait_for(lambda: re.search(rf"{target.name}: has got 4 of 20 paths, .* were sent", running.output), 60, 0.02)
    wait_for(lambda: target.run(f"nix-store --check-validity {common}").returncode == 0, 10, 0.02)
    assert running.process.poll() is None, running.output


def test_a_killed_controller(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """The next copy does not wait for the one that was lost, whose ends find out by themselves, after minutes; what
    was whole by then is not sent again."""
    source, target, other = hosts["host1"], hosts["host2"], hosts["host3"]
    tops, given = half_way(source, target)
    with copying(lab, source, target, other, **given) as running:
        has_the_first_half(running, target, tops[0])
        running.kill()
    assert not is_there(target, tops[1])
    played = copy(lab, tmp_path, source, target, paths=tops)
    assert played.code == 0, played.output
    # Of what was on its way some paths may have been whole as well.
    assert (0 < came(played)[target.name]["copied"] <= 16, came(played)[target.name]["paths"]) == (True, 20)
    assert all(is_there(target, top) for top in tops)
    for host in (source, target):
        assert "deploy-flake-closure-" in left(host)
    for host in (source, target, other):
        host.run("systemctl stop 'deploy-flake-closure-*'", check=True)
        assert left(host) == ""


def test_a_restarted_target(lab: Lab, hosts: dict[str, Host]) -> None:
    """By a power cut; what was whole by then is not sent again."""
    source, target, other = hosts["host1"], hosts["host2"], hosts["host3"]
    tops, given = half_way(source, target)
    with copying(lab, source, target, other, **given) as running:
        has_the_first_half(running, target, tops[0])
        target.power_off()
        target.power_on()
        assert running.end(150) == 0, running.output
        first, begins, again = running.output.partition("begins again")
        assert begins, running.output
    assert "host2: gets 20 of 20 paths from host1, 30." in first
    lacking = re.search(r"host2: gets (\d+) of 20 paths from host1, ", again)
    assert lacking and 0 < int(lacking[1]) <= 16, again
    assert all(is_there(target, top) for top in tops)
    assert is_there(other, tops[0])
    assert (left(source), left(target), left(other)) == ("", "", "")


def test_behind_a_jump_host(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """One target is; the way to it is its own, and not that of the others."""
    jump, target, source = hosts["host1"], hosts["host2"], hosts["host3"]
    top = make(source)
    plays = tasks(source=source.name, targets=[jump.name, target.name], paths=[top])
    plays[0]["vars"] = ways_to(hosts, {target.name: jump})
    with alone_with(target, jump.address):
        played = play(lab, tmp_path, plays)
        assert played.code == 0, played.output
    assert [each["copied"] for each in came(played).values()] == [4, 4]
    assert is_there(target, top)
    assert [left(host) for host in hosts.values()] == ["", "", ""]


def test_a_small_disk(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """It is told before anything is sent; where that is allowed, the disk that gets full keeps nothing of it."""
    source, small, other = hosts["host1"], hosts["host2"], hosts["host3"]
    top = make(source, **LARGE)
    paths = closure(source, top)
    before = systems(small)
    small.fill_disk(20 << 20)
    try:
        played = copy(lab, tmp_path, source, small, other, paths=[top])
        assert played.code != 0
        refused = came(played)[small.name]
        assert refused["reason"] == "no-space"
        assert "MiB free on /nix, and needs" in refused["msg"]
        assert (refused["bytes_sent"], has_any(small, paths)) == (0, False)
        assert is_there(other, top)

        full = came(copy(lab, tmp_path, source, small, paths=[top], allow=["little_space"], compress=False))[small.name]
        assert full["reason"] == "no-space", full
        assert "has no more room on /nix" in full["msg"]
        assert (left(source), left(small), left(other)) == ("", "", "")
        small.run("nix-store --gc", check=True)
        assert not has_any(small, paths)
        assert small.run(f"ls -d {' '.join(paths)} 2>/dev/null").stdout == ""
        assert systems(small) == before
    finally:
        small.free_disk()
    assert copy(lab, tmp_path, source, small, paths=[top]).code == 0
    assert is_there(small, top)
    assert left(small) == ""


def test_too_little_memory(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """Nix has a path whole in it; where it gets no more, the error says so, and the other target gets all of it."""
    source, small, other = hosts["host1"], hosts["host2"], hosts["host3"]
    top = make(source, files=1, size=48 << 20)
    limits = "/run/systemd/system/deploy-flake-closure-to-.service.d"
    # Containers have no limit in which the kernel would end it.
    text = "[Service]\nLimitDATA=48M\n"
    small.run(f"mkdir {limits} && cat >{limits}/memory.conf && systemctl daemon-reload", stdin=text, check=True)
    try:
        results = came(copy(lab, tmp_path, source, small, other, paths=[top]))
    finally:
        small.run(f"rm -r {limits} && systemctl daemon-reload", check=True)
    assert results[small.name]["reason"] == "no-memory", results[small.name]
    assert "with 48.0 MiB" in results[small.name]["msg"]
    assert not is_there(small, top)
    assert is_there(other, top)
    assert (left(source), left(small), left(other)) == ("", "", "")


def test_garbage_is_collected_meanwhile(lab: Lab, hosts: dict[str, Host]) -> None:
    """On both ends, again and again; the target has some of it already, which nothing else needs."""
    source, target = hosts["host1"], hosts["host2"]
    part = make(source, files=2)
    top = make(source, **LARGE)
    ended = threading.Event()

    def collect(host: Host) -> None:
        while not ended.is_set():
            host.run("nix-store --gc", timeout=120)

    export = source.run(f"nix-store --export $(nix-store -qR {part}) | base64 -w 0", check=True).stdout
    target.run("base64 -d | nix-store --import", stdin=export, check=True)
    with copying(lab, source, target, paths=[part, top], compress=False) as running:
        wait_for(lambda: target.run(f"ls {ROOTS} 2>/dev/null").stdout, 60, 0.05, running.output)
        threads = [threading.Thread(target=collect, args=(host,)) for host in (source, target)]
        for thread in threads:
            thread.start()
        try:
            assert running.end(180) == 0, running.output
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert is_there(target, top)
    assert is_there(target, part)
    assert (left(source), left(target)) == ("", "")


def test_substituters_of_the_target(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """What they have is not sent."""
    source, target = hosts["host1"], hosts["host3"]
    needed = make(source)
    name = f"above-{time.time_ns()}"
    text = f'builtins.toFile "{name}" "${{builtins.storePath {needed}}}"'
    made = source.run(["nix-instantiate", "--eval", "--read-write-mode", "--expr", text], check=True)
    top = made.stdout.strip().strip('"')
    key = publish(source, needed, target)
    with nix_conf(target, f"substituters = file://{CACHE}", f"trusted-public-keys = {key}"):
        played = copy(lab, tmp_path, source, target, paths=[top], substitute=True)
        assert played.code == 0, played.output
    result = came(played)[target.name]
    assert (result["substituted"], result["copied"]) == (4, 1), result
    # With one that takes all its time what is lacking is sent.
    slow = make(source)
    with socket.create_server((lab.state.controller_address, 0)) as silent:
        address = f"http://{lab.state.controller_address}:{silent.getsockname()[1]}"
        with nix_conf(target, f"substituters = {address}"):
            given: dict[str, Any] = {"paths": [slow], "substitute": True, "fetch_timeout": 3}
            played = copy(lab, tmp_path, source, target, **given)
            assert played.code == 0, played.output
    assert (came(played)[target.name]["substituted"], came(played)[target.name]["copied"]) == (0, 4)
    assert is_there(target, top)
    assert (left(source), left(target)) == ("", "")


def test_signatures(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """Where they are checked, a target takes what a key of its own configuration has signed, and nothing else."""
    source, target = hosts["host1"], hosts["host2"]
    top, other = make(source), make(source)
    key = new_key(source, "lab-2")
    # Of random bytes under a fixed hash nobody has to sign anything; of what was built somebody has, and of texts.
    tops = [built(source, top), built(source, other)]
    refused = came(copy(lab, tmp_path, source, target, paths=tops, check_signatures=True))[target.name]
    assert refused["reason"] == "not-signed", refused
    said = "no key of its trusted-public-keys has signed {} and 3 other paths of the closure"
    assert any(said.format(path) in refused["msg"] for path in (*tops, top, other)), refused["msg"]
    assert "nothing was copied" in refused["msg"]
    assert not has_any(target, closure(source, tops[0]))
    # A key that the target does not know changes nothing about that.
    again = came(copy(lab, tmp_path, source, target, paths=tops, check_signatures=True, sign_key="/root/lab-2"))
    assert again[target.name]["reason"] == "not-signed", again
    with nix_conf(target, f"trusted-public-keys = {key}"):
        played = copy(lab, tmp_path, source, target, paths=tops, check_signatures=True, sign_key="/root/lab-2")
        assert played.code == 0, played.output
        # It has them as from a binary cache.
        verify = f"nix {FEATURES} store verify --no-contents --sigs-needed 1 {' '.join(tops)}"
        assert target.run(verify).returncode == 0
    assert all(is_there(target, each) for each in tops)
    third = built(source, make(source))
    with nix_conf(target, "require-sigs = false"):
        assert copy(lab, tmp_path, source, target, paths=[third], check_signatures=True).code == 0
    failed = of_task(copy(lab, tmp_path, source, target, paths=[third], sign_key="/nowhere"))
    assert (failed["reason"], "/nowhere" in failed["msg"]) == ("no-key", True)
    assert (left(source), left(target)) == ("", "")


def test_what_comes_is_what_was_signed(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """A source that shows one thing and sends another, which its Nix would not: the target has it at no time."""
    source, target = hosts["host1"], hosts["host2"]
    key = new_key(source, "lab-3")
    top = built(source, make(source))
    source.run(f"nix {FEATURES} store sign --key-file /root/lab-3 --recursive {top}", check=True)
    nix_store = source.run("command -v nix-store", check=True).stdout.strip()
    fake = f"""#!/bin/sh
    case $1 in
    --export) {nix_store} "$@" | LC_ALL=C sed 's/what was signed/what WAS signed/' ;;
    *) exec {nix_store} "$@" ;;
    esac
    """
    source.run(f"mkdir -p {FIRST} && cat >{FIRST}/nix-store && chmod +x {FIRST}/nix-store", stdin=fake, check=True)
    given: dict[str, Any] = {"paths": [top], "check_signatures": True}
    with nix_conf(target, f"trusted-public-keys = {key}"):
        try:
            result = came(copy(lab, tmp_path, source, target, **given))[target.name]
        finally:
            source.run(f"rm {FIRST}/nix-store", check=True)
        assert (result["failed"], result["reason"]) == (True, "not-signed"), result
        assert "has sent something else than what it has shown signatures of" in result["msg"]
        assert target.run(f"nix-store --check-validity {top}").returncode != 0
        assert not target.run(f"ls -d {top} 2>/dev/null").stdout
        assert (left(source), left(target)) == ("", "")
        # What it has fetched itself by then it need not be shown.
        assert came(copy(lab, tmp_path, source, target, **given, substitute=True))[target.name]["copied"] > 0
    assert is_there(target, top)
    assert (left(source), left(target)) == ("", "")


def test_what_cannot_be(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """A path that the source does not have, and hosts that there are not: one clear error, and nothing is left."""
    source, target = hosts["host1"], hosts["host2"]
    nowhere = f"/nix/store/{'0' * 32}-nowhere"
    failed = of_task(copy(lab, tmp_path, source, target, paths=[nowhere]))
    assert failed["reason"] == "not-valid"
    assert f"host1 does not have {nowhere}" in failed["msg"]
    failed = of_task(play(lab, tmp_path, tasks(source="build9", targets=[target.name], paths=[nowhere])))
    assert (failed["reason"], "no host 'build9'" in failed["msg"]) == ("no-host", True)
    assert (left(source), left(target)) == ("", "")
