# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old generations: which go, what goes with them, and that nothing goes that is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import SWITCH_LOCK, Deploying, build, inside, locked, next_system, wait_for
from integration.playing import Played, play, remains, systems

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import program
from lab import Host, Lab

PROFILE = "/nix/var/nix/profiles/system"
ASIDE = f"{PROFILE}-deploy-flake-removed"


@pytest.fixture
def host(lab: Lab) -> Host:
    """host1 with five generations: it runs and has booted the first, and boots the last."""
    lab.reset([lab.hosts["host1"]])
    host = lab.hosts["host1"]
    made = [build(host, version=str(number)) for number in range(2, 6)]
    for number, system in enumerate(made, 2):
        host.run(f"nix-env -p {PROFILE} --set {system} && touch -h -d '-{10 - number} days' {PROFILE}-{number}-link")
    host.run(f"{made[-1]}/bin/switch-to-configuration boot", check=True)
    return host


def tasks(**options: Any) -> list[dict[str, Any]]:
    task = {"deploy_flake.nixos.system_generations": options, "become": True}
    return [{"hosts": "all", "gather_facts": False, "tasks": [task]}]


def prune(lab: Lab, directory: Path, host: Host, words: str = "", **options: Any) -> Played:
    return play(lab, directory, tasks(**options), [host.name], words)


def result(played: Played) -> dict[str, Any]:
    return played.of("host1", "system_generations")


def generations(host: Host) -> list[int]:
    found = host.run(f"ls -d {PROFILE}-*-link").stdout.split()
    return sorted(int(link.split("-")[-2]) for link in found)


def entries(host: Host) -> list[int]:
    """The generations that the boot loader offers."""
    names = [path.name for path in (host.boot / "loader/entries").glob("nixos-generation-*.conf")]
    return sorted({int(re.split(r"[-.]", name)[2]) for name in names})


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [one["generation"] for one in found]


@pytest.mark.core
def test_removes_by_number_and_age_and_collects_garbage(lab: Lab, host: Host, tmp_path: Path) -> None:
    # The second is eight days old, each that follows a day less; the first one was made today.
    foretold = prune(lab, tmp_path, host, "--check", keep_days=8)
    assert "host1: would remove generations 2; keeps 1 (current, young), 3 (young), 4 (young)," in foretold.output
    by_age = result(foretold)
    assert (by_age["changed"], numbers(by_age["removed"])) == (True, [2])
    assert generations(host) == [1, 2, 3, 4, 5]

    gone = host.run(f"readlink -f {PROFILE}-2-link {PROFILE}-3-link").stdout.split()
    played = prune(lab, tmp_path, host, keep=2, collect_garbage=True)
    assert played.code == 0, played.output
    told = result(played)
    assert numbers(told["removed"]) == [2, 3]
    assert {one["generation"]: one["why"] for one in told["kept"]} == {
        1: ["current"],
        4: ["newest"],
        5: ["boot default", "newest"],
    }
    assert generations(host) == entries(host) == [1, 4, 5]
    assert systems(host).loader == systems(host).boot_default
    assert host.run(f"ls -d {' '.join(gone)} 2>/dev/null").stdout == ""
    assert told["garbage"]["paths"] >= 2
    assert told["garbage"]["freed_bytes"] > 0
    assert "host1: removes generations 2, 3; keeps 1 (current)," in played.output
    assert re.search(
        r"host1: freed [1-9][\d.]* KiB in \d+ store paths; there are .* on /nix and .* on /boot free now", played.output
    ), played.output
    assert told["free_space"]["boot"]["free_bytes"] > told["free_space_before"]["boot"]["free_bytes"]
    assert remains(host) == ""

    again = result(prune(lab, tmp_path, host, keep=2))
    assert (again["changed"], again["removed"], again["boot_entries_written"]) == (False, [], False)


def test_what_an_open_deployment_needs_stays(lab: Lab, host: Host, tmp_path: Path) -> None:
    previous = host.run(f"readlink -f {PROFILE}-3-link").stdout.strip()
    record = inside(host, "/var/lib/deploy-flake")
    record.mkdir(mode=0o700)
    (record / "open.json").write_text(f'{{\n"id": "left",\n"previous_boot": "{previous}"\n}}\n', encoding="utf-8")
    told = result(prune(lab, tmp_path, host, keep=1))
    assert numbers(told["removed"]) == [2, 4]
    assert {"generation": 3, "why": ["open deployment"]} in told["kept"]


def test_what_is_about_to_be_booted_once_stays(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Between the preparation of a trial and its boot nobody has the lock."""
    two, three = host.run(f"readlink -f {PROFILE}-2-link {PROFILE}-3-link").stdout.split()
    record = inside(host, "/var/lib/deploy-flake")
    record.mkdir(mode=0o700)
    boot_id, until = host.run("cat /proc/sys/kernel/random/boot_id; date +%s").stdout.split()
    armed = {"state": "armed", "new": two, "boot_id": boot_id, "reboot_until": str(int(until) + 60)}
    text = ",\n".join(f'"{name}": "{value}"' for name, value in armed.items())
    (record / "trial.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    told = result(prune(lab, tmp_path, host, keep=1))
    assert {"generation": 2, "why": ["trial"]} in told["kept"]
    assert generations(host) == [1, 2, 5]

    # One that has begun since the choice was made.
    (record / "trial.json").write_text(f"{{\n{text.replace(two, three)}\n}}\n", encoding="utf-8")
    script = f"""{program("prune").rpartition('main "$@"')[0]}
    dir=$(mktemp -d) default=$(boot_default) wanted='2 {two}
3 {three}'
    ln -s {three} {PROFILE}-3-link
    set_aside
    cat "$dir/removed" """
    assert host.run(["sh", "-c", script]).stdout.split() == ["2"]


def test_not_while_a_deployment_is_in_progress_and_the_other_way_round(lab: Lab, host: Host, tmp_path: Path) -> None:
    allowed = {"allow": ["untested_boot_default"]}
    new = next_system(host)
    # Whatever has that name: the name is the lock.
    for unit in ("deploy-flake.service", "deploy-flake-guard-x.service", "nixos-upgrade.service"):
        host.run(f"systemd-run --quiet --collect --unit={unit} sleep 60", check=True)
        refused = result(prune(lab, tmp_path, host, keep=1, lock_timeout=1))
        assert (refused["reason"], refused["failed"]) == ("busy", True)
        host.run(f"systemctl stop {unit}", check=True)
    assert (generations(host), remains(host)) == ([1, 2, 3, 4, 5], "")

    with locked(host, SWITCH_LOCK), Deploying(lab, host, tasks(keep=1)) as removal:
        wait_for(lambda: inside(host, ASIDE).is_dir())
        test = {"deploy_flake.nixos.system_test": {"toplevel": new, "lock_timeout": 1, **allowed}, "become": True}
        played = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": [test]}], [host.name])
        assert played.of("host1", "system_test")["reason"] == "busy"
        # Ended in the middle, it leaves what the boot loader still offers, and says so; the next one finishes it.
        host.run("systemctl kill -s KILL deploy-flake.service", check=True)
        assert removal.end() != 0
        assert "run this again, which finishes it" in removal.output
    assert inside(host, ASIDE).is_dir()
    assert entries(host) == [1, 2, 3, 4, 5]
    told = result(prune(lab, tmp_path, host, keep=1))
    assert (told["changed"], told["boot_entries_written"]) == (True, True)
    assert generations(host) == entries(host) == [1, 5]
    assert not inside(host, ASIDE).exists()
    assert remains(host) == ""


def test_boot_default_moves_while_a_removal_waits(lab: Lab, host: Host) -> None:
    """Whoever held the lock has moved it: the boot loader is theirs, and nothing is removed."""
    old, new = systems(host).loader, next_system(host)
    with Deploying(lab, host, tasks(keep=1, collect_garbage=True)) as removal:
        with locked(host, SWITCH_LOCK):
            wait_for(lambda: inside(host, ASIDE).is_dir())
            host.run(f"nix-env -p {PROFILE} --set {new}", check=True)
            # Without a word in the boot loader of what is not its default.
            written = {path: path.read_text() for path in (host.boot / "loader").rglob("*.conf")}
            # Not free before it has looked again: it may have looked, and not have called yet.
            assert removal.end() != 0
        assert "somebody else has made another system the boot default meanwhile" in removal.output, removal.output
    assert {path: path.read_text() for path in (host.boot / "loader").rglob("*.conf")} == written
    assert (systems(host).boot_default, systems(host).loader) == (new, old)
    assert generations(host) == [1, 2, 3, 4, 5, 6]
    assert not inside(host, ASIDE).exists()
    assert remains(host) == ""


def test_full_boot_partition(lab: Lab, host: Host, tmp_path: Path) -> None:
    """A new kernel is refused before anything is changed; old generations free some space, if they can."""
    new = build(host, "new-kernel")
    host.fill_boot(64 << 10)
    options = {"toplevel": new, "allow": ["untested_boot_default"]}
    test = {"deploy_flake.nixos.system_test": options, "become": True}
    played = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": [test]}], [host.name])
    refused = played.of("host1", "system_test")
    assert refused["reason"] == "no-space"
    assert re.search(r"has \d+ KiB free on /boot, and needs [5-9]\d\d KiB for the kernel", refused["msg"]), refused[
        "msg"
    ]
    assert "system_generations" in refused["msg"]

    # Nothing is free, and the entries that go free some space.
    host.fill_boot()
    told = result(prune(lab, tmp_path, host, keep=3))
    host.free_boot()
    assert numbers(told["removed"]) == [2]
    assert generations(host) == entries(host) == [1, 3, 4, 5]

    # Nothing can be written: all generations are there again, as old as they were, and nothing is collected. What an
    # interrupted removal has left takes nobody's place.
    host.run(f"mkdir {ASIDE} && ln -s $(readlink -f {PROFILE}-3-link) {ASIDE}/system-5-link", check=True)
    links = host.run(f"stat -c '%Y %N' {PROFILE}-*-link").stdout
    host.run("mount -o remount,ro,bind /boot", check=True)
    failed = result(prune(lab, tmp_path, host, keep=1, collect_garbage=True))
    assert (failed["reason"], failed["changed"], failed["garbage"]) == ("boot-failed", False, None)
    assert "Read-only file system" in failed["msg"]
    assert host.run(f"stat -c '%Y %N' {PROFILE}-*-link").stdout == links
    assert not inside(host, ASIDE).exists()
    assert systems(host).loader == systems(host).boot_default
    assert remains(host) == ""


def test_without_root_and_without_a_choice(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    wrong = [{"keep": 1}, {}, {"keep": -1}]
    each = [{"deploy_flake.nixos.system_generations": options, "ignore_errors": True} for options in wrong]
    played = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": each}], ["host3"])
    assert [one["reason"] for one in played.results["host3"]] == ["not-root", "bad-option", "bad-option"]
    assert "set 'become: true'" in played.results["host3"][0]["msg"]
