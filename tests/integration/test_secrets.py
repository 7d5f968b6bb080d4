# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on real hosts: placed and undone with a deployment, there again after a boot, and said nowhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from integration.commanding import Command, limits, results
from integration.faulting import (
    QUICK,
    SHORT,
    Deploying,
    at_once,
    boots_again,
    build,
    deploying,
    deploys_again,
    inside,
    is_whole,
    kill_both_units,
    kill_main_process,
    kill_whole_cgroup,
    last_record,
    nobody_confirms,
    settled,
    state,
    wait_for,
)
from integration.playing import DEPLOY, Played, play, systems
from integration.test_security import processes_with

from lab import Host, Lab

TOKEN = "/run/secrets/token"
KEY = "/etc/secrets/key"
WHEN_MADE = "ls -l --time-style=full-iso /run/current-system /boot/loader/loader.conf 2>&1"


def secrets(token: str, key: str, **more: Any) -> list[dict[str, Any]]:
    """Two that reader.service reads as it starts: one below /run, one that outlives a boot."""
    reads = {"restart_units": ["reader.service"], **more}
    return [
        {"name": "token", "path": TOKEN, "content": token, "owner": "nobody", "mode": "0440", **reads},
        {"name": "key", "path": KEY, "content": key, **reads},
    ]


def files(host: Host) -> dict[str, str]:
    """What is there: owner, mode, inode and content of each."""
    script = f"""
    for file in {TOKEN} {KEY} /etc/secrets/more /etc/secrets/other; do
        [ ! -e $file ] || printf '%s %s %s\\n' $file "$(stat -c '%U:%G %a %i' $file)" "$(cat $file)"
    done
    """
    return dict(line.split(" ", 1) for line in host.run(script, check=True).stdout.splitlines())


def contents(host: Host) -> list[str]:
    return [text.rpartition(" ")[2] for text in files(host).values()]


def read_by_unit(host: Host) -> str:
    return host.run("cat /run/has-read").stdout


def run_of_unit(host: Host) -> str:
    return host.run("systemctl show -p InvocationID --value reader.service").stdout.strip()


def deploy(lab: Lab, directory: Path, host: Host, toplevel: str, given: list[dict[str, Any]], **more: Any) -> Played:
    settings: dict[str, Any] = {"deploy_flake_toplevel": toplevel, "deploy_flake_limits": QUICK}
    return play(lab, directory, DEPLOY, [host.name], **settings, deploy_flake_secrets=given, **more)


def sent(host: Host) -> list[Path]:
    """What waits on the host for a deployment."""
    return list(inside(host, "/run/deploy-flake-secrets").glob("2*"))


def change_secrets(lab: Lab, directory: Path, host: Host, options: str = "", **given: Any) -> Played:
    task = {"deploy_flake.nixos.system_secrets": {"limits": QUICK, **given}, "become": True}
    return play(lab, directory, [{"hosts": "all", "gather_facts": False, "tasks": [task]}], [host.name], options)


def forget(host: Host) -> None:
    host.run("rm -rf /etc/secrets /run/secrets /var/lib/deploy-flake/secrets", check=False)


@pytest.fixture(scope="module", autouse=True)
def _as_others_know_them(lab: Lab) -> Iterator[None]:
    """A unit whose secrets are gone cannot be started again, which other tests would take for a fault."""
    yield
    reads = "systemctl cat reader.service"
    lab.reset(host for host in lab.hosts.values() if host.alive and host.run(reads).returncode == 0)


@pytest.fixture
def clean(whole: dict[str, Host]) -> dict[str, Host]:
    """Hosts without secrets."""
    for host in whole.values():
        forget(host)
    return whole


@pytest.fixture
def host(whole: dict[str, Host], lab: Lab, tmp_path: Path, with_first: dict[str, tuple[Any, ...]]) -> Host:
    """One that runs reader.service with its first secrets; it still does after a test that has left all of that."""
    found = whole["host1"]
    if with_first.get(found.name) != has_now(found):
        forget(found)
        give_first(lab, tmp_path, found)
        with_first[found.name] = has_now(found)
    return found


@pytest.fixture(scope="module")
def with_first() -> dict[str, tuple[Any, ...]]:
    """What a host had when it got its first secrets."""
    return {}


def has_now(host: Host) -> tuple[Any, ...]:
    """Its boot, systems and secrets, what it keeps of those, and the unit that reads them."""
    kept = host.run("find /var/lib/deploy-flake/secrets -printf '%p %u %m %s\\n' | sort").stdout
    unit = host.run("systemctl is-active reader.service").stdout
    return host.leader, systems(host), files(host), kept, read_by_unit(host), unit


def give_first(lab: Lab, directory: Path, host: Host) -> str:
    toplevel = build(host, "reads-secrets")
    directory.mkdir(exist_ok=True)
    played = deploy(lab, directory, host, toplevel, secrets("one", "first"))
    assert played.code == 0, played.output
    is_whole(host, toplevel, "committed")
    return toplevel


def test_placed_left_alone_and_changed(lab: Lab, clean: dict[str, Host], tmp_path: Path) -> None:
    host = clean["host2"]
    toplevel = give_first(lab, tmp_path, host)
    first, run = files(host), run_of_unit(host)
    assert first[TOKEN].startswith("nobody:root 440 ")
    assert first[KEY].startswith("root:root 400 ")
    assert (contents(host), read_by_unit(host)) == (["one", "first"], "onefirst")
    assert host.run("find /var/lib/deploy-flake/secrets ! -user root -o -perm /077").stdout == ""

    # The same once more: nothing is touched, nothing restarted.
    again = deploy(lab, tmp_path, host, toplevel, secrets("one", "first"))
    assert again.code == 0, again.output
    result = again.of(host.name, "system_test")
    assert (result["state"], result["secrets"], again.changed(host.name)) == ("unchanged", [], [])
    assert (files(host), run_of_unit(host)) == (first, run)

    # One of them: the system is not activated again, the other file is the same, the unit is restarted once.
    booted = host.run(WHEN_MADE).stdout
    changed = deploy(lab, tmp_path, host, toplevel, secrets("two", "first"))
    assert changed.code == 0, changed.output
    result = changed.of(host.name, "system_test")
    change: dict[str, Any] = {
        "name": "token",
        "path": TOKEN,
        "change": "content",
        "owner": "nobody",
        "group": "root",
        "mode": "0440",
    }
    # This one has no unit for the boot.
    change["lasts"] = False
    assert result["secrets"] == [change]
    assert (files(host)[KEY], contents(host), read_by_unit(host)) == (first[KEY], ["two", "first"], "twofirst")
    assert run_of_unit(host) != run
    is_whole(host, toplevel, "committed")
    assert last_record(host)["secrets"] == "token"
    after = host.run(WHEN_MADE).stdout
    assert after == booted

    # Its mode alone.
    given = secrets("two", "first", mode="0400")
    changed = deploy(lab, tmp_path, host, toplevel, given)
    assert [one["change"] for one in changed.of(host.name, "system_test")["secrets"]] == ["permissions"]
    assert files(host)[TOKEN].startswith("nobody:root 400 ")


def test_rollback_puts_the_old_ones_back(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Those files, and the unit has read them again; also one that is new, or that was removed, is as before."""
    more = {"name": "more", "path": "/etc/secrets/more", "content": "x"}
    assert change_secrets(lab, tmp_path, host, secrets=[*secrets("one", "first"), more]).code == 0
    before, old = files(host), systems(host).running
    assert len(before) == 3
    new = build(host, "secrets")
    given = [*secrets("two", "second"), {"name": "other", "path": "/etc/secrets/other", "content": "y"}]
    with deploying(lab, host, new, confirm=False, secrets=given, remove_other_secrets=True) as deployment:
        nobody_confirms_after(host, lambda: contents(host) == ["two", "second", "y"])
        deployment.end()
    is_whole(host, old, "rolled-back")
    assert files(host) == before
    wait_for(lambda: read_by_unit(host) == "onefirst", 10)


@pytest.mark.parametrize(("fault", "words"), [("replaces-secret", KEY), ("takes-secrets", "in which others than root")])
def test_what_is_not_in_place_is_not_committed(lab: Lab, host: Host, tmp_path: Path, fault: str, words: str) -> None:
    """An activation has put a link of its own in the place of one, or given its directory to somebody else."""
    before, old = files(host), systems(host).running
    try:
        played = deploy(lab, tmp_path, host, build(host, fault), secrets("two", "second"))
    finally:
        host.run("chown root /etc/secrets", check=True)
    assert played.code != 0
    assert words in played.failure(host.name)["msg"], played.output
    is_whole(host, old, "rolled-back")
    assert last_record(host)["why_code"] == "secrets"
    assert files(host) == before
    wait_for(lambda: read_by_unit(host) == "onefirst", 10)


@pytest.mark.parametrize("change", ["rm", "chmod 0644", "chown nobody", "cp /etc/hostname"])
def test_what_is_changed_in_the_window_is_not_committed(lab: Lab, host: Host, change: str) -> None:
    """By whomever: the old ones come back, but in the place of what somebody else has put there."""
    before, old = files(host), systems(host).running
    with deploying(lab, host, build(host, "secrets"), confirm=False, secrets=secrets("two", "second")) as deployment:
        deployment.wait_for("window")
        host.run(f"{change} {KEY}", check=True)
        confirms(host)
        deployment.end()
    is_whole(host, old, "rolled-back")
    assert files(host) == before
    record = last_record(host)
    assert (record["why_code"], KEY in record["why"]) == ("secrets", True)


def test_without_a_live_test(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Tried all the same where the system runs already; brought by the boot, where that is to come."""
    old, run = systems(host), run_of_unit(host)
    played = deploy(lab, tmp_path, host, old.running, secrets("two", "first"), deploy_flake_test=False)
    assert played.code == 0, played.output
    is_whole(host, old.running, "committed")
    assert (systems(host), last_record(host)["mode"], read_by_unit(host)) == (old, "test", "twofirst")
    assert run_of_unit(host) != run

    # The boot would take away what is below /run.
    lacks = build(host, "new-units")
    played = deploy(lab, tmp_path, host, lacks, secrets("three", "first"), deploy_flake_test=False)
    assert TOKEN in played.failure(host.name)["msg"], played.output
    is_whole(host, old.running, "refused")
    assert contents(host) == ["two", "first"]

    # Once for the system, and once more while that waits for its boot.
    new, run = build(host, "secrets"), run_of_unit(host)
    for given in (("three", "second"), ("four", "second")):
        played = deploy(lab, tmp_path, host, new, secrets(*given), deploy_flake_test=False)
        assert played.code == 0, played.output
        settled(host)
        now = systems(host)
        assert (now.running, now.boot_default, now.loader) == (old.running, new, new)
        assert (contents(host), read_by_unit(host), run_of_unit(host)) == (list(given), "twofirst", run)
    leader = host.leader
    host.run("systemctl reboot", check=False)
    boots_again(host, leader)
    wait_for(lambda: read_by_unit(host) == "foursecond", 60)
    assert systems(host).running == new


def confirms(host: Host) -> None:
    """Somebody does, over whatever connection."""
    (window,) = inside(host, "/run/deploy-flake").glob("*-*/window")
    window.rename(window.with_name("confirmed"))


def nobody_confirms_after(host: Host, holds: Callable[[], bool]) -> None:
    wait_for(lambda: state(host) == "window")
    assert holds(), files(host)
    nobody_confirms(host)


KILLS: list[Callable[[Host], None]] = [kill_main_process, kill_whole_cgroup, kill_both_units]
STATES: list[tuple[str, dict[str, int]]] = [("activating", {}), ("settling", {"settle": 30}), ("window", {})]


@pytest.mark.parametrize("turn", range(len(KILLS)))
def test_kills(lab: Lab, clean: dict[str, Host], tmp_path: Path, turn: int) -> None:
    """Each kill in each state, three states at a time on three shells."""

    def case(number: int, host: Host) -> None:
        old = give_first(lab, tmp_path / str(number), host)
        before = files(host)
        name, limits = STATES[(turn + number) % len(STATES)]
        system = build(host, "hangs") if name == "activating" else build(host, "secrets")
        # What does not come up has no such unit, which is known before.
        given = secrets("two", "second", **({"restart_units": []} if name == "activating" else {}))
        options: dict[str, Any] = {"secrets": given, "limits": SHORT | limits}
        with deploying(lab, host, system, confirm=False, **options) as deployment:
            deployment.wait_for(name)
            wait_for(lambda: contents(host) == ["two", "second"])
            KILLS[turn](host)
            wait_for(lambda: state(host) != name, 20)
            deployment.end()
        is_whole(host, old, "rolled-back")
        assert files(host) == before
        wait_for(lambda: read_by_unit(host) == "onefirst", 10)

    at_once({host: partial(case, number) for number, host in enumerate(clean.values())})


def secrets_alone(lab: Lab, host: Host, **options: Any) -> Deploying:
    task = {"deploy_flake.nixos.system_secrets": {"limits": SHORT, "reconnect_timeout": 60, **options}, "become": True}
    return Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": [task]}])


def test_secrets_without_a_deployment(lab: Lab, host: Host, tmp_path: Path) -> None:
    old, run = systems(host), run_of_unit(host)
    played = change_secrets(lab, tmp_path, host, secrets=secrets("two", "first"))
    assert played.code == 0, played.output
    result = played.of(host.name, "system_secrets")
    assert (result["state"], [one["name"] for one in result["secrets"]]) == ("committed", ["token"])
    assert (systems(host), contents(host), read_by_unit(host)) == (old, ["two", "first"], "twofirst")
    assert run_of_unit(host) != run
    is_whole(host, old.running, "committed")

    again = change_secrets(lab, tmp_path, host, secrets=secrets("two", "first"))
    assert (again.code, again.changed(host.name)) == (0, []), again.output


def test_group_and_reload(lab: Lab, host: Host, tmp_path: Path) -> None:
    """A unit that is told to reload goes on as the process that it was, and reads the file after it is there."""
    name, text = (
        "keeps.service",
        "[Service]\nExecStart=/usr/bin/sleep infinity\nExecReload=/bin/cp -p {} /run/has-read\n",
    )
    host.run(f"cat >/run/systemd/system/{name}", stdin=text.format(KEY), check=True)
    host.run(f"systemctl daemon-reload; systemctl start {name}; rm -f /run/has-read", check=True)
    try:
        shown = f"systemctl show -P InvocationID -P MainPID {name} reader.service"
        before = host.run(shown, check=True).stdout
        key = secrets("one", "second", group="adm", mode="0440", reload_units=[name])[1] | {"restart_units": []}
        played = change_secrets(lab, tmp_path, host, secrets=[key])
        assert played.code == 0, played.output
        (change,) = played.of(host.name, "system_secrets")["secrets"]
        assert (change["name"], change["owner"], change["group"], change["mode"]) == ("key", "root", "adm", "0440")
        assert files(host)[KEY].startswith("root:adm 440 ")
        assert contents(host) == ["one", "second"]
        assert host.run("stat -c %G /run/has-read; cat /run/has-read").stdout == "adm\nsecond"
        assert host.run(shown).stdout == before
    finally:
        host.run(f"systemctl stop {name}; rm /run/systemd/system/{name}; systemctl daemon-reload", check=True)


@pytest.mark.parametrize("lost", ["dropped", "power"])
def test_secrets_alone_behind_another_deployment(lab: Lab, host: Host, lost: str) -> None:
    """They wait for its end. If they are gone by then, by themselves or with the power, they are sent again."""
    with deploying(lab, host, build(host, "secrets"), confirm=False, secrets=secrets("two", "second")) as before:
        before.wait_for("window")
        with secrets_alone(lab, host, secrets=secrets("three", "third")) as killed:
            wait_for(lambda: len(sent(host)) == 2)
            wait_for(lambda: "waits up to" in killed.output)
            killed.kill()
        # They wait in memory, and nobody but root sees even their names.
        assert host.run("stat -f -c %T /run/deploy-flake-secrets").stdout == "tmpfs\n"
        waiting = host.run("find /run/deploy-flake-secrets -printf '%y %u %g %#m\\n' | sort -u").stdout
        assert waiting == "d root root 0700\nf root root 0600\n"
        # Nobody comes for them: systemd has them removed in ten minutes, or when it is told to.
        timers = host.run("systemctl list-units --plain --no-legend 'deploy-flake-secrets-drop-*.timer'").stdout
        left = host.run("systemctl show -P NextElapseUSecMonotonic 'deploy-flake-secrets-drop-*.timer'").stdout
        assert len(timers.splitlines()) == 2, timers
        assert left.strip()
        with secrets_alone(lab, host, secrets=secrets("three", "third"), lock_timeout=120) as behind:
            wait_for(lambda: len(sent(host)) == 3)
            wait_for(lambda: "waits up to" in behind.output)
            if lost == "power":
                host.power_off()
                before.kill()
                host.power_on(wait=False)
                host.wait_ssh(90)
            else:
                for waits in sent(host):
                    host.run(f"systemctl start deploy-flake-secrets-drop-{waits.name}.service", check=True)
                    host.run(f"systemctl stop deploy-flake-secrets-drop-{waits.name}.timer", check=True)
                # That of the deployment that has begun stays.
                assert len(sent(host)) == 1
                assert contents(host) == ["two", "second"]
                nobody_confirms(host)
                before.end()
            assert behind.end(120) == 0, behind.output
    settled(host)
    assert last_record(host)["outcome"] == "committed"
    assert contents(host) == ["three", "third"]
    wait_for(lambda: read_by_unit(host) == "threethird", 30)


def test_power_lost_with_secrets_alone(lab: Lab, clean: dict[str, Host], tmp_path: Path) -> None:
    """In the window, where it can only be undone, and as it is confirmed."""
    cases = {"host1": "window", "host3": "confirmed"}
    at_once(
        {
            clean[name]: partial(power_lost_with_secrets_alone, lab, tmp_path / name, when)
            for name, when in cases.items()
        }
    )


def power_lost_with_secrets_alone(lab: Lab, directory: Path, moment: str, host: Host) -> None:
    """What its record says afterwards is what is there."""
    directory.mkdir()
    toplevel = build(host, "secrets")
    assert deploy(lab, directory, host, toplevel, secrets("one", "first")).code == 0
    mark = host.root / "var/lib/deploy-flake/open.confirmed"
    with secrets_alone(lab, host, secrets=secrets("two", "second"), confirm=moment == "confirmed") as task:
        wait_for(mark.exists if moment == "confirmed" else lambda: state(host) == "window", 60, 0.001)
        host.power_off()
        task.kill()
    host.power_on(wait=False)
    host.wait_ssh(90)
    more = {"name": "more", "path": "/etc/secrets/more", "content": "x"}
    assert change_secrets(lab, directory, host, secrets=[more]).code == 0
    lost = recorded_lines(host)[-2]
    assert lost["outcome"] == "interrupted" if moment == "window" else lost["outcome"] in ("interrupted", "committed")
    expected = ["two", "second", "x"] if lost["outcome"] == "committed" else ["one", "first", "x"]
    assert contents(host) == expected
    is_whole(host, toplevel, "committed")


def test_what_the_activation_replaces_is_undone(lab: Lab, host: Host) -> None:
    """Here somebody puts a link in its place in the window, as environment.etc would."""
    old, before = systems(host), files(host)
    with secrets_alone(lab, host, secrets=secrets("two", "second"), limits=SHORT | {"settle": 3}) as task:
        task.wait_for("settling")
        host.run(f"ln -sfn /etc/hostname {KEY}", check=True)
        assert task.end() != 0, task.output
        assert f"{KEY} that is no regular file" in task.output, task.output
    host.run(f"rm {KEY}")
    assert (systems(host), list(files(host))) == (old, [TOKEN])
    assert last_record(host)["outcome"] == "rolled-back"
    assert before[TOKEN] == files(host)[TOKEN]


def recorded_lines(host: Host) -> list[dict[str, Any]]:
    return [json.loads(one) for one in host.read("/var/lib/deploy-flake/deployments.jsonl").splitlines()]


# What reads a secret and puts up with no other one.
CHOOSY = f"""[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '[ "$(cat {KEY})" = first ]'
"""


@pytest.mark.parametrize("how", ["unit", "kill", "revoked"])
def test_secrets_alone_are_undone(lab: Lab, host: Host, tmp_path: Path, how: str) -> None:
    """Where a unit cannot be restarted, both units are killed, or nobody confirms."""
    old, before, made = systems(host), files(host), host.run(WHEN_MADE).stdout
    options: dict[str, Any] = {"secrets": secrets("two", "second"), "confirm": False}
    if how == "unit":
        host.run("cat >/run/systemd/system/choosy.service", stdin=CHOOSY, check=True)
        host.run("systemctl daemon-reload; systemctl start choosy.service", check=True)
        options["secrets"] = secrets("two", "second", restart_units=["reader.service", "choosy.service"])
    with secrets_alone(lab, host, **options) as task:
        if how != "unit":
            task.wait_for("window")
            assert read_by_unit(host) == "twosecond"
            (kill_both_units if how == "kill" else nobody_confirms)(host)
        failed = task.end() != 0
        assert failed or how != "unit", task.output
        assert how != "unit" or "after their secrets had changed: choosy.service." in task.output, task.output
    is_whole(host, old.running, "rolled-back")
    assert (systems(host), files(host)) == (old, before)
    # Nothing was activated for that, and no boot loader written.
    assert host.run(WHEN_MADE).stdout == made
    wait_for(lambda: read_by_unit(host) == "onefirst", 10)
    if how == "unit":
        host.run(
            "systemctl stop choosy.service; rm -f /run/systemd/system/choosy.service; systemctl daemon-reload",
            check=True,
        )


@pytest.mark.parametrize("options", ["--check", ""], ids=["check", "deploy"])
def test_units_that_cannot_read_them_again(lab: Lab, host: Host, tmp_path: Path, options: str) -> None:
    """Refused before anything is put in place, where it is known which units there are."""
    before = files(host)
    units = {"restart_units": ["not-there.service"], "reload_units": ["reader.service"]}
    played = change_secrets(lab, tmp_path, host, options, secrets=secrets("two", "second", **units))
    failure = played.failure(host.name)
    for words in ("there is no unit not-there.service", "reader.service has no reload", "nothing was changed"):
        assert words in failure["msg"], played.output
    assert failure["state"] == ("would-refuse" if options else "refused")
    assert files(host) == before
    settled(host)


def test_removed_where_asked(lab: Lab, host: Host, tmp_path: Path) -> None:
    key = secrets("one", "first")[1:]
    kept = change_secrets(lab, tmp_path, host, secrets=key)
    assert (kept.code, kept.changed(host.name), len(files(host))) == (0, [], 2), kept.output
    gone = change_secrets(lab, tmp_path, host, secrets=key, remove_other_secrets=True)
    assert gone.of(host.name, "system_secrets")["secrets"] == [{"name": "token", "path": TOKEN, "change": "removed"}]
    assert contents(host) == ["first"]
    assert host.run("ls /var/lib/deploy-flake/secrets/content").stdout == ""
    gone = change_secrets(lab, tmp_path, host, remove_other_secrets=True)
    assert (gone.code, files(host)) == (0, {}), gone.output
    assert change_secrets(lab, tmp_path, host, remove_other_secrets=True).changed(host.name) == []


def test_check_and_diff(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Which secrets, where and with which mode, and never what; nothing of it stays."""
    before, toplevel = files(host), systems(host).running
    given = secrets("not-to-be-seen", "first", mode="0400")
    shown = [
        change_secrets(lab, tmp_path, host, "--check --diff -v", secrets=given, remove_other_secrets=True),
        deploy(lab, tmp_path, host, toplevel, given, options="--check --diff"),
    ]
    for played in shown:
        assert played.code == 0, played.output
        assert f"+secret token {TOKEN}, content, nobody:root 0400" in played.output, played.output
        assert "not-to-be-seen" not in played.output
        assert "would keep its system, and restart reader.service" in played.output, played.output
    assert files(host) == before
    settled(host)


def test_check_foretells_what_a_deployment_does(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Of a unit that has failed for want of its secret, of one that the boot takes away, and beside another one."""
    toplevel, given = systems(host).running, secrets("one", "first")
    host.run(f"rm {TOKEN}; systemctl restart reader.service", check=False)
    wait_for(lambda: host.run("systemctl is-failed reader.service").stdout == "failed\n", 30)
    for module, played in {
        "system_secrets": change_secrets(lab, tmp_path, host, "--check", secrets=given),
        "system_test": deploy(lab, tmp_path, host, toplevel, given, options="--check"),
    }.items():
        assert played.code == 0, played.output
        assert played.of(host.name, module)["state"] == "would-test"
        assert (sent(host), contents(host)) == ([], ["first"])
    lacks = build(host, "new-units")
    played = deploy(lab, tmp_path, host, lacks, given, options="--check", deploy_flake_test=False)
    assert TOKEN in played.failure(host.name)["msg"], played.output
    assert "would refuse the new system; nothing was changed" in played.output
    played = change_secrets(lab, tmp_path, host, secrets=given)
    assert played.code == 0, played.output

    # What another deployment has put in place may still go.
    two = secrets("two", "second")
    with deploying(lab, host, build(host, "secrets"), confirm=False, secrets=two) as deployment:
        deployment.wait_for("window")
        played = change_secrets(lab, tmp_path, host, "--check", secrets=two, lock_timeout=1)
        assert played.failure(host.name)["reason"] == "busy", played.output
        nobody_confirms(host)
        deployment.end()
    is_whole(host, toplevel, "rolled-back")
    assert contents(host) == ["one", "first"]


def test_places_that_are_refused(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Before anything is changed, with what mends it."""
    host.run("mkdir -p /srv/open && chmod 777 /srv/open && ln -sfn /etc/secrets /srv/link", check=True)
    before = files(host), last_record(host)["id"]
    bad = {
        "/srv/open/x": "in which others than root can write",
        "/srv/link/x": "/etc/secrets",
        "/etc/ssh": "no regular file",
        "/etc/hostname": f"which is a file of {systems(host).running} (environment.etc)",
    }
    for path, words in bad.items():
        played = change_secrets(lab, tmp_path, host, secrets=[{"name": "x", "path": path, "content": "x"}])
        failure = played.failure(host.name)
        assert (failure["reason"], words in failure["msg"]) == ("bad-secret", True), played.output
    unknown = [{"name": "x", "path": "/etc/secrets/more", "content": "x", "owner": "nobody-here"}]
    assert change_secrets(lab, tmp_path, host, secrets=unknown).failure(host.name)["reason"] == "no-user"
    assert (files(host), last_record(host)["id"]) == before
    settled(host)


def test_wrong_options_touch_no_host(lab: Lab, host: Host, tmp_path: Path) -> None:
    """For the role, all hosts of the play are looked at first; nobody answers at that port."""
    for change, words in {"mode": "in quotes", "path": "absolute"}.items():
        given = secrets("not-to-be-seen", "first")
        given[0][change] = 256
        played = play(
            lab, tmp_path, DEPLOY, [host.name], deploy_flake_toplevel=systems(host).running, deploy_flake_secrets=given,
            ansible_port=1,
        )  # fmt: skip
        assert played.code != 0
        assert not played.unreachable, played.output
        assert words in played.output
        assert "not-to-be-seen" not in played.output
    for wrong in (
        "not-to-be-seen",
        ["not-to-be-seen"],
        [{"name": "a", "path": "/x", "content": {"a": "not-to-be-seen"}}],
    ):
        played = play(
            lab, tmp_path, DEPLOY, [host.name], deploy_flake_toplevel=systems(host).running, deploy_flake_secrets=wrong,
            ansible_port=1,
        )  # fmt: skip
        assert played.code != 0
        assert not played.unreachable, played.output
        assert "not-to-be-seen" not in played.output, played.output


def test_full_disk_and_full_run(lab: Lab, host: Host, tmp_path: Path) -> None:
    before = files(host)
    big = secrets("two", "x" * 900_000)
    host.run("cat /dev/zero >/run/filler 2>/dev/null; head -c 1 /dev/zero >>/run/filler", check=False)
    try:
        played = change_secrets(lab, tmp_path, host, secrets=big)
        assert played.failure(host.name)["reason"] == "no-space", played.output
    finally:
        host.run("rm -f /run/filler", check=True)
    host.fill_disk()
    try:
        played = change_secrets(lab, tmp_path, host, secrets=big)
        assert played.failure(host.name)["state"] in ("refused", "rolled-back"), played.output
    finally:
        host.free_disk()
    settled(host)
    assert files(host) == before
    assert change_secrets(lab, tmp_path, host, secrets=secrets("two", "second")).code == 0
    assert contents(host) == ["two", "second"]


def test_there_again_after_a_boot(lab: Lab, clean: dict[str, Host], tmp_path: Path) -> None:
    """With the unit of the NixOS module what is below /run is there before the units that read it."""
    host = clean["host3"]
    toplevel = build(host, "secrets")
    assert deploy(lab, tmp_path, host, toplevel, secrets("one", "first")).code == 0
    before = files(host)
    leader = host.leader
    host.run("systemctl reboot", check=False)
    boots_again(host, leader)
    wait_for(lambda: read_by_unit(host) == "onefirst", 60)
    assert [text.split()[:2] for text in files(host).values()] == [text.split()[:2] for text in before.values()]
    assert contents(host) == ["one", "first"]
    deploys_again(lab, host)


def test_power_lost_in_the_window(lab: Lab, clean: dict[str, Host], tmp_path: Path) -> None:
    """The previous system is booted with the secrets that it had, with the unit for the boot and without it."""
    cases = {"host1": "secrets", "host2": "reads-secrets"}
    at_once(
        {clean[name]: partial(power_lost_in_the_window, lab, tmp_path / name, what) for name, what in cases.items()}
    )


def power_lost_in_the_window(lab: Lab, directory: Path, fault: str, host: Host) -> None:
    """And the next deployment says what happened."""
    directory.mkdir()
    old = build(host, fault)
    assert deploy(lab, directory, host, old, secrets("one", "first")).code == 0
    new = build(host, "secrets" if fault == "reads-secrets" else "reads-secrets")
    with deploying(lab, host, new, confirm=False, secrets=secrets("two", "second")) as deployment:
        deployment.wait_for("window")
        assert contents(host) == ["two", "second"]
        host.power_off()
        deployment.kill()
    # Where its secret is gone, the unit fails.
    host.power_on(wait=False)
    host.wait_ssh(90)
    expected = ["one", "first"] if fault == "secrets" else ["first"]
    wait_for(lambda: contents(host) == expected, 30)
    assert host.run("ls -d /var/lib/deploy-flake/secrets.open /etc/systemd/system.attached").stdout == ""
    # Without the unit for the boot, what is below /run is gone, and reader.service has failed; it is started now.
    played = deploy(lab, directory, host, old, secrets("one", "first"))
    assert played.code == 0, played.output
    assert (contents(host), systems(host).running) == (["one", "first"], old)
    settled(host)


def test_what_a_boot_cannot_put_back_is_named(lab: Lab, host: Host, tmp_path: Path) -> None:
    """Its file system is not mounted: that is no way back, and whoever is refused hears which path it is, each time."""
    toplevel, path = systems(host).running, "/srv/keys/more"
    mount = f"mount --bind /srv/disk {Path(path).parent}"
    more = {"name": "more", "path": path, "content": "old"}
    host.run(f"mkdir -p /srv/disk /srv/keys && {mount}", check=True)
    assert change_secrets(lab, tmp_path, host, secrets=[more]).code == 0
    new = build(host, "secrets")
    with deploying(lab, host, new, confirm=False, secrets=[{**more, "content": "new"}]) as deployment:
        deployment.wait_for("window")
        host.power_off()
        deployment.kill()
    host.power_on(wait=False)
    host.wait_ssh(90)
    for _time in range(2):
        played = change_secrets(lab, tmp_path, host, secrets=[more])
        assert f"could not be put back: {path};" in played.failure(host.name)["msg"], played.output
    (lost,) = (one for one in recorded_lines(host) if one["outcome"] == "rollback-failed")
    assert path in lost["notes"]
    host.run(f"cat {path} && exit 1; {mount} && [ $(cat {path}) = new ]", check=True)
    played = deploy(lab, tmp_path, host, toplevel, [*secrets("one", "first"), more])
    assert played.code == 0, played.output
    assert (host.run(f"cat {path}").stdout, systems(host).running) == ("old", toplevel)
    # What could not be rolled back keeps its systems, until a whole deployment commits.
    deploys_again(lab, host)
    host.run("umount /srv/keys && rm -r /srv/keys /srv/disk", check=True)


def test_they_appear_nowhere(lab: Lab, clean: dict[str, Host], tmp_path: Path, command: Command) -> None:
    """Neither in arguments, environments, units, files that others can read, logs, results, events nor artifacts; with
    -vvv."""
    host = clean["host3"]
    word, canary = f"s3cr3t-{token_hex(8)}", f"canary-{token_hex(8)}"
    (tmp_path / "word").write_text(word, encoding="utf-8")
    # One comes from a file by a lookup, the other one by a command, so nobody has them in his arguments.
    given = secrets("", "", mode="0400")
    given[0]["content"] = f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/word') }}}}"
    given[1] = {key: value for key, value in given[1].items() if key != "content"}
    given[1]["command"] = ["cat", f"{tmp_path}/word"]
    (tmp_path / "vars.yml").write_text(json.dumps({"deploy_flake_secrets": given}), encoding="utf-8")
    script = """
    for unit in $(systemctl list-units --plain --no-legend 'deploy-flake*' | cut -d' ' -f1); do
        systemctl show "$unit" | grep -F -f /root/word
    done
    find /run /tmp /var /home /nix/var /etc -xdev -type f -perm /044 -size -100k -exec grep -lF -f /root/word {} + |
        grep -v '^/run/has-read$'
    find /etc /home /nix/var /root /run /tmp /var -xdev -type f -size -100k ! -path /root/word -exec \\
        grep -lF -f /root/word {} + |
        grep -v -e '^/run/deploy-flake-secrets/' -e '^/run/secrets/' -e '^/etc/secrets/' \\
            -e '^/var/lib/deploy-flake/secrets/' -e '^/run/has-read$'
    """
    # The looks find what is there.
    (host.root / "root/word").write_text(canary, encoding="utf-8")
    host.run(f"install -m 600 /root/word /root/leak; install -m 604 /root/word /run/leak; logger {canary}", check=True)
    host.run(f"systemd-run --unit=deploy-flake-leak /bin/sh -c 'sleep 60; :' {canary}", check=True)
    found = host.run(script, check=False).stdout
    assert [found.count(place) for place in ("/run/leak", "/root/leak", "ExecStart=")] == [2, 1, 1], found
    assert processes_with(canary)
    assert canary in host.run("journalctl --no-pager -o cat").stdout
    host.run("systemctl stop deploy-flake-leak; rm /run/leak /root/leak", check=True)
    (host.root / "root/word").write_text(word, encoding="utf-8")
    seen: list[str] = []
    over = threading.Event()

    def watch(look: Callable[[], str], pause: float) -> None:
        while not over.is_set():
            seen.append(look())
            time.sleep(pause)

    looks = [(lambda: host.run(script, check=False).stdout, 3.0), (partial(processes_with, word), 0.1)]
    watchers = [threading.Thread(target=watch, args=look) for look in looks]
    for watcher in watchers:
        watcher.start()
    try:
        options = f"-e @{tmp_path}/vars.yml -vvv --diff"
        more = {"deploy_flake_limits": SHORT, "deploy_flake_remove_other_secrets": True}
        # Undone, and then kept.
        runs = [
            play(lab, tmp_path, DEPLOY, [host.name], options, deploy_flake_toplevel=build(host, fault), **more)
            for fault in ("hangs", "reads-secrets")
        ]
        # Others than those before: modes of their own.
        modes = [[{**one, "mode": mode} for one in given] for mode in ("0600", "0500")]
        runs.append(change_secrets(lab, tmp_path, host, "-vvv --diff", secrets=modes[0]))
        (tmp_path / "vars.yml").write_text(json.dumps({"deploy_flake_secrets": modes[1]}), encoding="utf-8")
        where = ["--inventory", str(lab.inventory), "--limit", host.name, "--toplevel", systems(host).running]
        code, events = command.json(*where, "--extra-vars", f"@{tmp_path}/vars.yml", "--diff", *limits())
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert [run.code for run in runs] == [2, 0, 0], runs[-1].output
    assert (code, results(events)[host.name]["outcome"]) == (0, "deployed"), events
    assert [text.split()[1] for text in files(host).values()] == ["500", "500"]
    assert contents(host) == [word, word]
    assert len(seen) > 30
    assert not any(seen), set(seen)
    assert all(word not in run.output for run in runs)
    assert word not in json.dumps(events)
    # What ansible-runner keeps of a run, but for what the test itself has written.
    places = (tmp_path, command.directory)
    kept = [file for place in places for file in place.rglob("*") if file.is_file() and file != tmp_path / "word"]
    assert [file for file in kept if word.encode() in file.read_bytes()] == []
    assert word not in host.run("journalctl --no-pager -o cat").stdout
    assert word not in host.run("cat /var/lib/deploy-flake/deployments.jsonl").stdout
