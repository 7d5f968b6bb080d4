# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back to an earlier system: by one command, by the playbook, and what holds while that goes wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from integration.faulting import (
    QUICK,
    SHORT,
    Deploying,
    at_once,
    build,
    deploying,
    directory,
    is_whole,
    kill_main_process,
    last_record,
    next_system,
    wait_for,
)
from integration.playing import outcomes, play, remains, systems

from lab import Host, Lab

PROFILE = "/nix/var/nix/profiles/system"
ROLLBACK = "deploy_flake.nixos.system_rollback"
PLAYBOOK = "deploy_flake.nixos.rollback"


def ad_hoc(lab: Lab, host: Host, *options: str, **arguments: Any) -> dict[str, Any]:
    """What a person types at three in the morning: one module, one host."""
    program = str(Path(sys.executable).with_name("ansible"))
    given = json.dumps({"limits": QUICK, **arguments})
    done = subprocess.run(
        [program, host.name, "-i", str(lab.inventory), "-b", "-m", ROLLBACK, "-a", given, *options],
        env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "True"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    head, _arrow, result = done.stdout.partition(" => ")
    assert result, done.stdout + done.stderr
    values: dict[str, Any] = json.JSONDecoder().raw_decode(result)[0]
    assert ("FAILED" in head) == (done.returncode != 0), done.stdout
    return values


def rolling_back(lab: Lab, host: Host, **options: Any) -> Deploying:
    """A rollback in the background."""
    settings = {"limits": SHORT, "reconnect_timeout": 60, **options}
    return Deploying(
        lab, host, [{"hosts": "all", "gather_facts": False, "tasks": [{ROLLBACK: settings, "become": True}]}]
    )


def set_profile(host: Host, *toplevels: str) -> None:
    """Another tool makes generations; the last one is the boot default, and its system runs."""
    for toplevel in toplevels:
        host.run(f"nix-env -p {PROFILE} --set {toplevel}", check=True)
    host.run(f"{PROFILE}/bin/switch-to-configuration switch", check=True)


def test_diff_of_two_generations(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    """By the playbook, of several hosts; nothing is changed."""
    hosts = [fresh["host1"], fresh["host3"]]
    old = {host.name: build(host, version="2") for host in hosts}
    for host in hosts:
        set_profile(host, old[host.name], build(host, "new-units", version="3"))
    before = [systems(host) for host in hosts]
    played = play(lab, tmp_path, "deploy_flake.nixos.diff", ["host1", "host3"])
    assert played.code == 0, played.output
    for host in hosts:
        found = played.of(host.name, "system_diff")
        assert not found["changed"]
        assert found["toplevel"] == systems(host).boot_default == found["changes"]["to"]
        assert found["previous_system"] == found["changes"]["from"] == old[host.name]
        assert found["changes"]["units"]["added"]
    assert "  + unit " in played.output
    asked: dict[str, Any] = {"deploy_flake_compare_from": 1, "deploy_flake_compare_to": "booted"}
    played = play(lab, tmp_path, "deploy_flake.nixos.diff", ["host1"], **asked)
    assert (played.code, played.of("host1", "system_diff")["changes"]) == (0, None), played.output
    assert [systems(host) for host in hosts] == before


def generation(host: Host) -> int:
    """The number of the boot default's generation."""
    return int(host.run(f"readlink {PROFILE}").stdout.split("-")[1])


def test_one_command_does_it_all(lab: Lab, fresh: dict[str, Host]) -> None:
    """To the previous generation; and what is there already stays as it is."""
    host = fresh["host2"]
    first, second = systems(host).running, build(host, version="2")
    with deploying(lab, host, second, limits=QUICK) as deployment:
        assert deployment.end() == 0, deployment.output

    before = systems(host)
    would = ad_hoc(lab, host, "--check", "--diff")
    assert (would["state"], would["changed"], would["toplevel"]) == ("would-rollback", True, first)
    assert "hello.service" in would["would"]["stop"]
    assert (would["changes"]["from"], would["changes"]["to"]) == (second, first)
    assert systems(host) == before

    # Why somebody goes back is no reason to refuse.
    host.run("systemd-run --quiet --wait --unit=sore.service /bin/false; systemctl is-failed sore.service", check=True)
    strict = ad_hoc(lab, host, health_policy="strict")
    assert (strict["state"], strict["changed"]) == ("refused", False)
    assert "units have failed already: sore.service" in strict["msg"]
    back = ad_hoc(lab, host)
    assert (back["state"], back["changed"]) == ("committed", True)
    assert (back["toplevel"], back["previous_system"], back["system"]) == (first, second, first)
    # It is a generation of its own.
    assert (back["generation_from"], back["generation_to"], back["generation"]) == (2, 1, 3)
    assert "decides_by" not in back
    is_whole(host, first, "committed")
    assert last_record(host)["configuration"] == "generation 1"

    there = ad_hoc(lab, host, generation=1)
    assert (there["state"], there["changed"], there["generation"]) == ("unchanged", False, 3)
    # The highest generation below with another system is that of before the rollback.
    special = ad_hoc(lab, host, specialisation="debug")
    assert (special["generation_to"], special["specialisation"], special["state"]) == (2, "debug", "committed")
    now = systems(host)
    assert (now.boot_default, now.loader) == (second, second)
    assert host.run(f"readlink -f {second}/specialisation/debug").stdout.strip() == now.running == special["system"]
    assert remains(host) == ""
    assert list(outcomes(host).values()) == ["committed", "refused", "committed", "committed"]


def test_what_is_not_there(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    """The host is untouched, and what there is to choose from is said."""
    host = fresh["host3"]
    before = systems(host)
    there = before.running
    asked: list[dict[str, Any]] = [
        {},
        {"generation": 77},
        {"toplevel": "/nix/store/x"},
        {"toplevel": f"/nix/store/{'0' * 32}-gone"},
        {"toplevel": there, "generation": 1},
        {"all_or_nothing": True},
        {"toplevel": there},
    ]
    tasks: list[dict[str, Any]] = [{ROLLBACK: each, "ignore_errors": True} for each in asked]
    # The same system once more is no way back.
    again = f"cp -P {PROFILE}-1-link {PROFILE}-2-link && ln -sfn system-2-link {PROFILE}"
    tasks += [{"ansible.builtin.raw": again}, tasks[0]]
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]

    results = play(lab, tmp_path, plays, [host.name]).results[host.name]
    none, missing, _malformed, _gone, _both, _alone, same, _raw, twice = results
    assert [result.get("reason", "") for result in results] == [
        *("no-generation", "no-generation", "not-a-store-path", "not-valid", "bad-option", "bad-option", "", ""),
        "no-generation",
    ]
    assert "no generation before its boot default that has another system; it has 1 (20" in none["msg"]
    assert "the boot default)" in none["msg"]
    assert "host3 has no generation 77; it has 1 (20" in missing["msg"]
    assert (same["state"], same["changed"]) == ("unchanged", False)
    assert ", 2 (20" in twice["msg"]
    assert systems(host) == before
    assert remains(host) == ""
    assert outcomes(host) == {}


def test_after_nixos_rollback_of_its_own(lab: Lab, whole: dict[str, Host]) -> None:
    """`nixos-rebuild --rollback` goes to an older generation: the way forward makes no new one."""
    host = whole["host1"]
    newer = next_system(host)
    set_profile(host, newer)
    highest = generation(host)
    host.run(f"nix-env -p {PROFILE} --rollback && {PROFILE}/bin/switch-to-configuration switch", check=True)
    assert generation(host) < highest
    forward = ad_hoc(lab, host, generation=highest)
    assert (forward["state"], forward["generation"]) == ("committed", highest)
    is_whole(host, newer, "committed")


def test_rollbacks_that_go_wrong(lab: Lab, whole: dict[str, Host]) -> None:
    """The earlier system fails; the supervisor is killed; power is lost. The host stays with what it had."""

    def prepared(host: Host, earlier: str) -> tuple[str, int]:
        """A host with that system in the generation before its boot default."""
        now = systems(host).running
        set_profile(host, earlier, now)
        return now, generation(host)

    def fails(host: Host) -> None:
        now, number = prepared(host, build(host, "exit-4"))
        with rolling_back(lab, host) as rollback:
            assert rollback.end() != 0
            assert "broken.service" in rollback.output, rollback.output
            assert "runs its previous system again" in rollback.output, rollback.output
        is_whole(host, now, "rolled-back")
        assert generation(host) == number

    def is_killed(host: Host) -> None:
        now, number = prepared(host, next_system(host))
        with rolling_back(lab, host, limits=SHORT | {"settle": 30}) as rollback:
            rollback.wait_for("settling")
            kill_main_process(host)
            assert rollback.end() != 0
        is_whole(host, now, "rolled-back")
        assert generation(host) == number

    def loses_power(host: Host) -> None:
        earlier = next_system(host)
        now, number = prepared(host, earlier)
        with rolling_back(lab, host, confirm=False) as rollback:
            rollback.wait_for("window")
            lost = wait_for(lambda: directory(host)).name
            rollback.kill()
            host.power_off()
            host.power_on()
        after = systems(host)
        assert (after.running, after.booted, after.boot_default, after.loader) == (now, now, now, now)
        assert generation(host) == number
        assert ad_hoc(lab, host)["state"] == "committed"
        is_whole(host, earlier, "committed")
        assert outcomes(host)[lost] == "interrupted"

    at_once(dict(zip(whole.values(), (fails, is_killed, loses_power), strict=True)))


def test_playbook(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """The operator's checks come before the commit; a fleet goes back everywhere or nowhere."""
    names = ["host1", "host3"]
    earlier = {name: next_system(whole[name]) for name in names}
    now = {name: systems(whole[name]).running for name in names}
    for name in names:
        set_profile(whole[name], earlier[name], now[name])
    task = {"ansible.builtin.fail": {"msg": "the page is gone"}, "when": "inventory_hostname == 'host1'"}
    checks = tmp_path / "checks.yml"
    checks.write_text(yaml.safe_dump([{"name": "Look", **task}]), encoding="utf-8")
    limits = {name: seconds for name, seconds in QUICK.items() if name != "confirm"}
    given: dict[str, Any] = {"deploy_flake_limits": limits, "deploy_flake_checks": str(checks)}

    together = play(lab, tmp_path, PLAYBOOK, names, deploy_flake_all_or_nothing=True, **given)
    assert together.code != 0
    assert "the page is gone" in together.output
    for name in names:
        is_whole(whole[name], now[name], "rolled-back")

    alone = play(lab, tmp_path, PLAYBOOK, names, **given)
    assert alone.code != 0
    assert re.search(rf"host3: rolls back to generation \d+, {earlier['host3']}", alone.output), alone.output
    is_whole(whole["host1"], now["host1"], "rolled-back")
    is_whole(whole["host3"], earlier["host3"], "committed")
    assert alone.of("host3", "system_boot")["generation"] == alone.of("host3", "system_rollback")["generation_from"] + 1


def test_deploy_and_rollback_in_one_play(lab: Lab, fresh: dict[str, Host], tmp_path: Path) -> None:
    """What the deploy has committed is not taken for the rollback's: a failed check rolls the host back at once."""
    host = fresh["host1"]
    new = next_system(host)
    role = {"name": "deploy_flake.nixos.deploy", "public": False}
    no_such_unit = {"units": ["no-such.service"], "timeout": 1}
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.import_role": role, "vars": {"deploy_flake_toplevel": new, "deploy_flake_checks": ""}},
        {
            "ansible.builtin.import_role": role | {"tasks_from": "rollback"},
            "vars": {"deploy_flake_health_checks": no_such_unit},
        },
    ]
    # Step by step, so that the deploy registers what it has confirmed.
    tasks[0]["vars"]["deploy_flake_health_checks"] = {"units": ["hello.service"]}
    played = play(
        lab,
        tmp_path,
        [{"hosts": "all", "gather_facts": False, "tasks": tasks}],
        ["host1"],
        deploy_flake_limits=QUICK | {"confirm": 100},
    )
    assert played.code != 0
    assert played.of("host1", "system_revoke")["state"] == "rolled-back", played.output
    assert "has committed" not in played.failure("host1")["msg"]
    assert systems(host).running == systems(host).boot_default == new
    assert remains(host) == ""
