# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets: checks before the commit, all or nothing, a canary first, a share of hosts that may fail."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.faulting import build, settled, wait_for
from integration.playing import LIMITS, change_the_flake, deploy, outcomes, play, remains, systems

from lab import Host, Lab

EXAMPLES = Path(__file__).parents[2] / "examples"
# host2's configuration fails, the others' do not.
ONE_FAILS = "{{ inventory_hostname }}{{ '-exit-4' if inventory_hostname == 'host2' else '' }}"
QUICK = {name: limit for name, limit in LIMITS.items() if name != "confirm"} | {"settle": 1}


@pytest.fixture
def changed(flake: Path) -> Path:
    """A flake that no host has yet."""
    change_the_flake(flake, "fleet")
    return flake


@pytest.mark.core
def test_one_failure_does_not_stop_the_others(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    played = deploy(lab, tmp_path, changed, *fresh, deploy_flake_configuration=ONE_FAILS)

    assert played.code != 0
    assert {name: list(outcomes(host).values()) for name, host in fresh.items()} == {
        "host1": ["committed"],
        "host2": ["rolled-back"],
        "host3": ["committed"],
    }


@pytest.mark.core
def test_all_or_nothing_goes_back_everywhere(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    before = {name: systems(host) for name, host in fresh.items()}

    played = deploy(
        lab,
        tmp_path,
        changed,
        *fresh,
        deploy_flake_configuration=ONE_FAILS,
        deploy_flake_all_or_nothing=True,
        deploy_flake_limits=QUICK,
    )

    assert played.code != 0
    assert {name: systems(host) for name, host in fresh.items()} == before
    assert {list(outcomes(host).values())[-1] for host in fresh.values()} == {"rolled-back"}
    assert "committed: none" in played.output
    assert "previous: host1, host2, host3" in played.output
    assert "another host of the fleet failed" in played.failure("host1")["msg"]
    assert {name: played.failure(name).get("reason") for name in fresh} == {
        "host1": "another-host-failed",
        "host2": "units-failed",
        "host3": "another-host-failed",
    }
    assert "".join(remains(host) for host in fresh.values()) == ""


def test_batches_get_the_same_flake(lab: Lab, whole: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    """The flake is edited while a play is at its first batch: all get what the canary got. The next task looks anew."""
    copied: dict[str, Any] = {"deploy_flake.nixos.flake_copy": {"flake": str(changed)}, "become": True}
    edit: dict[str, Any] = {
        "ansible.builtin.lineinfile": {"path": str(changed / "hosts.nix"), "line": "# {{ inventory_hostname }}"},
        "delegate_to": "localhost",
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
    }
    tasks = [copied, edit, copied]
    plays = [{"hosts": "all", "gather_facts": False, "serial": 1, "tasks": tasks}]

    played = play(lab, tmp_path, plays, whole)

    assert played.code == 0, played.output
    paths = [
        [result["store_path"] for result in results if "store_path" in result] for results in played.results.values()
    ]
    assert len(paths) == 3
    assert {tuple(found) for found in paths} == {tuple(paths[0])}
    assert len(set(paths[0])) == 2


def names_of_one_host(lab: Lab, directory: Path, *names: str) -> str:
    """The option for an inventory in which host1 has these names."""
    known = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))["nixos"]["hosts"]["host1"]
    twins = {name: known | {"deploy_flake_configuration": "host1"} for name in names}
    (directory / "twins.yml").write_text(yaml.safe_dump({"all": {"hosts": twins}}), encoding="utf-8")
    return f"-i {directory / 'twins.yml'}"


def test_names_of_one_host_deploy_it_once(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    """Whoever comes later looks again, and changes nothing."""
    host = fresh["host1"]
    first, names = systems(host).running, ["twin1", "twin2", "twin3"]
    given: dict[str, Any] = {"deploy_flake_flake": str(changed), "deploy_flake_limits": QUICK}
    played = play(lab, tmp_path, limit=names, options=names_of_one_host(lab, tmp_path, *names), **given)
    assert played.code == 0, played.output
    states = [played.of(name, "system_test")["state"] for name in names]
    assert sorted(states) == ["unchanged", "unchanged", "window"], played.output
    assert list(outcomes(host).values()) == ["committed"]
    assert systems(host).running == systems(host).boot_default != first
    assert remains(host) == ""


# What a deployment looks like that has made its last step and not ended: until another one has its directory.
NEARLY_OVER = """
mkdir -p -m 0700 /run/deploy-flake/ours /var/lib/deploy-flake
echo committed >/run/deploy-flake/ours/state
echo ours >/run/deploy-flake/current
systemd-run --quiet --collect --service-type=exec --unit=deploy-flake.service sh -c '
    until ls -d /run/deploy-flake/*-*/settings; do sleep 0.05; done
    sleep 0.3
    rm -r /run/deploy-flake/current /run/deploy-flake/ours
    sleep 0.3'
"""


@pytest.mark.parametrize("options", ["", "--diff"], ids=["one-step", "two-steps"])
def test_look_between_a_commit_and_its_end_deploys_nothing_twice(
    lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path, options: str
) -> None:
    host = fresh["host1"]
    given: dict[str, Any] = {"deploy_flake_flake": str(changed), "deploy_flake_limits": QUICK}
    assert play(lab, tmp_path, limit=["host1"], **given).code == 0
    before = systems(host)
    host.run(NEARLY_OVER, check=True)
    played = play(lab, tmp_path, limit=["host1"], options=options, **given)
    assert played.code == 0, played.output
    assert (played.of("host1", "system_test")["state"], played.changed("host1")) == ("unchanged", [])
    assert (list(outcomes(host).values()), systems(host)) == (["committed"], before)
    # What was played beside it may be at its own end still.
    wait_for(lambda: remains(host) == "", 30)


def test_names_of_one_host_that_would_wait_for_each_other_are_named(
    lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path
) -> None:
    """Step by step: no name is confirmed before all have been tested."""
    host, names = fresh["host1"], ["twin1", "twin2"]
    before = systems(host)
    given: dict[str, Any] = {"deploy_flake_flake": str(changed), "deploy_flake_all_or_nothing": True}
    began = time.monotonic()
    played = play(lab, tmp_path, limit=names, options=names_of_one_host(lab, tmp_path, *names), **given)
    # Who waits for the other does so for 300 s.
    assert time.monotonic() - began < 240
    assert played.code != 0
    assert {played.failure(name)["reason"] for name in names} == {"same-host", "another-host-failed"}
    assert "another name in the inventory" in played.output
    assert (list(outcomes(host).values()), systems(host)) == (["rolled-back"], before)
    assert remains(host) == ""


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_fleet_that_does_not_keep_step_is_refused(
    lab: Lab, hosts: dict[str, Host], changed: Path, tmp_path: Path, strategy: str
) -> None:
    before = {name: systems(host) for name, host in hosts.items()}
    theirs = [{"hosts": "all", "gather_facts": False, "strategy": strategy, "roles": ["deploy_flake.nixos.deploy"]}]
    given: dict[str, Any] = {"deploy_flake_flake": str(changed), "deploy_flake_all_or_nothing": True}
    played = play(lab, tmp_path, theirs, hosts, **given)
    assert played.code != 0
    # With the first one that is refused the play ends, and one that is slower is not asked any more.
    refused = [result for results in played.results.values() for result in results if result.get("failed")]
    assert {result["reason"] for result in refused} == {"bad-option"}
    assert {name: systems(host) for name, host in hosts.items()} == before


def test_all_or_nothing_commits_everywhere(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    played = deploy(lab, tmp_path, changed, *fresh, deploy_flake_all_or_nothing=True, deploy_flake_limits=QUICK)

    assert played.code == 0, played.output
    for name, host in fresh.items():
        booted = [result for result in played.results[name] if "system_boot" in result["action"]]
        states = [result["state"] for result in booted if "state" in result]
        assert states == ["prepared", "committed"]
        assert systems(host).boot_default == played.of(name, "flake_build")["toplevel"]


def test_window_that_is_too_short_for_the_fleet_is_refused(
    lab: Lab, hosts: dict[str, Host], changed: Path, tmp_path: Path
) -> None:
    limits = QUICK | {"confirm": 5}
    played = deploy(lab, tmp_path, changed, *hosts, deploy_flake_all_or_nothing=True, deploy_flake_limits=limits)
    assert played.code != 0
    assert re.search(r"'confirm' is 5 s, and a fleet .* needs \d+ s \(1 batches", played.output)


def test_full_boot_partition_keeps_the_whole_fleet(
    lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path
) -> None:
    """Found out when all were tested: nobody has looked before."""
    before = {name: systems(host) for name, host in fresh.items()}
    fresh["host3"].fill_boot()
    played = deploy(
        lab,
        tmp_path,
        changed,
        *fresh,
        deploy_flake_all_or_nothing=True,
        deploy_flake_limits=QUICK,
        deploy_flake_min_free_space={"boot": 0},
        deploy_flake_configuration="{{ inventory_hostname }}-new-kernel",
    )
    fresh["host3"].free_boot()

    assert played.code != 0
    assert re.search(r"has \d+ KiB free on /boot, and needs \d+ KiB", played.output)
    assert {name: systems(host) for name, host in fresh.items()} == before


CHECKS = """
- name: Another tool switches one of the hosts
  ansible.builtin.raw: {theirs}/bin/switch-to-configuration test
  become: true
  when: inventory_hostname == 'host2'
- name: Pull the cable of another
  ansible.builtin.raw: nohup sh -c 'sleep 5; ip link set eth0 down' >/dev/null 2>&1 &
  become: true
  when: inventory_hostname == 'host3'
- name: Wait until it is out
  ansible.builtin.pause:
    seconds: 12
"""


def test_all_or_nothing_says_what_is_not_known(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    """Found out before the first commit: somebody has switched one host, another does not answer any more."""
    before = systems(fresh["host1"])
    theirs = build(fresh["host2"], version="theirs")
    checks = tmp_path / "checks.yml"
    checks.write_text(CHECKS.format(theirs=theirs), encoding="utf-8")
    played = deploy(
        lab,
        tmp_path,
        changed,
        *fresh,
        deploy_flake_all_or_nothing=True,
        deploy_flake_checks=str(checks),
        deploy_flake_limits=QUICK,
        deploy_flake_reconnect_timeout=10,
        ansible_ssh_timeout=10,
    )
    # It would wait for confirmation for minutes.
    fresh["host3"].run("ip link set eth0 up; cd /run/deploy-flake/*-*/ && mv window expired", check=True)
    for host in fresh.values():
        settled(host)

    assert played.code != 0
    assert "committed: none" in played.output
    assert "previous: host1" in played.output
    said = r"unknown: host2 \(superseded\), host3 \(deployment (\S+) decides by itself by (20\S+)\)"
    unknown = re.search(said, played.output)
    assert unknown, played.output
    # Whether its window was extended is not known either. It was asked to roll back, in vain, and says where it stands.
    waits, lost = played.of("host3", "system_test"), played.of("host3", "fleet_outcome")
    assert (unknown[1], unknown[2]) == (waits["deployment"], lost["decides_by"])
    assert lost["decides_by"] > waits["decides_by"]
    assert (lost["state"], lost["deployment"]) == ("unknown", waits["deployment"])
    assert "host2 was switched by somebody else meanwhile" in played.of("host2", "system_boot")["msg"]
    assert systems(fresh["host1"]) == before
    assert systems(fresh["host2"]).running == theirs
    assert list(outcomes(fresh["host3"]).values()) == ["rolled-back"]


def test_failed_check_on_the_controller_undoes_at_once(
    lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path
) -> None:
    checks = tmp_path / "checks.yml"
    tasks = [{"name": "Look at the site", "ansible.builtin.fail": {"msg": "the site is down"}}]
    checks.write_text(yaml.safe_dump(tasks), encoding="utf-8")
    before = systems(fresh["host1"])

    limits = QUICK | {"confirm": 600}
    played = deploy(lab, tmp_path, changed, "host1", deploy_flake_checks=str(checks), deploy_flake_limits=limits)

    assert played.code != 0
    assert systems(fresh["host1"]) == before
    assert played.of("host1", "system_revoke")["revoked"] is True
    assert played.failure("host1")["msg"].startswith("the site is down\nhost1 has rolled back.")
    assert remains(fresh["host1"]) == ""


class Site(BaseHTTPRequestHandler):
    """A page that is well from its third answer on."""

    answers = 0

    def do_GET(self) -> None:
        """Answer."""
        Site.answers += 1
        self.send_response(204 if Site.answers > 2 else 503)
        self.end_headers()


@pytest.fixture
def site() -> Iterator[str]:
    """The address of the page, on the controller."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_checks_before_it_stays(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path, site: str) -> None:
    """The declared ones, again and again until they are well or the time is up; and the operator's own from here."""
    own = tmp_path / "checks.yml"
    page = {"url": site, "status_code": 204}
    own.write_text(yaml.safe_dump([{"ansible.builtin.uri": page, "delegate_to": "localhost", "name": "Look"}]), "utf-8")
    well = {
        "units": ["hello.service"],
        "ports": ["{{ ansible_port }}"],
        "urls": [{"url": site, "status": 204}],
        "timeout": 20,
    }
    played = deploy(lab, tmp_path, changed, "host3", deploy_flake_health_checks=well, deploy_flake_checks=str(own))
    assert played.code == 0, played.output
    assert played.of("host3", "system_check")["attempts"] == 3
    assert Site.answers == 4

    change_the_flake(changed, "fleet-2")
    ill = {
        "units": ["nothing.service"],
        "ports": [81],
        "urls": [{"url": f"http://{fresh['host3'].address}:81/"}, {"url": site}],
        "timeout": 2,
    }
    played = deploy(lab, tmp_path, changed, "host3", deploy_flake_health_checks=ill)
    assert played.code != 0
    message = played.of("host3", "system_check")["msg"]
    for words in ("nothing.service is inactive", "port 81 of", ":81/ does not answer", "answers with 204 and not 200"):
        assert words in message
    assert list(outcomes(fresh["host3"]).values()) == ["committed", "rolled-back"]


def test_revoke_of_a_committed_deployment_changes_nothing(
    lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path
) -> None:
    played = deploy(lab, tmp_path, changed, "host1")
    before = systems(fresh["host1"])
    task = {"deploy_flake.nixos.system_revoke": {"deployment": played.of("host1", "system_boot")["deployment"]}}
    revoked = play(lab, tmp_path, [{"hosts": "all", "gather_facts": False, "tasks": [task]}], ["host1"])
    assert revoked.code == 0, revoked.output
    assert revoked.of("host1", "system_revoke")["state"] == "committed"
    assert revoked.changed("host1") == []
    assert systems(fresh["host1"]) == before


def test_canary_first(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    before = {name: systems(host) for name, host in fresh.items()}
    settings: dict[str, Any] = {"deploy_flake_flake": str(changed), "deploy_flake_limits": QUICK}

    played = play(
        lab,
        tmp_path,
        str(EXAMPLES / "canary.yml"),
        deploy_flake_configuration="{{ inventory_hostname }}{{ '-exit-4' if inventory_hostname == 'host1' else '' }}",
        **settings,
    )

    assert played.code != 0
    assert set(played.results) == {"host1"}
    assert {name: systems(host) for name, host in fresh.items()} == before

    played = play(lab, tmp_path, str(EXAMPLES / "canary.yml"), **settings)
    assert played.code == 0, played.output
    assert all(list(outcomes(host).values())[-1] == "committed" for host in fresh.values())


def test_share_of_hosts_that_may_fail(lab: Lab, fresh: dict[str, Host], changed: Path, tmp_path: Path) -> None:
    played = play(
        lab,
        tmp_path,
        str(EXAMPLES / "max_fail_percentage.yml"),
        deploy_flake_flake=str(changed),
        deploy_flake_limits=QUICK,
        deploy_flake_configuration=ONE_FAILS,
    )
    # A batch of two with one failure is within the share, so the third host has its turn.
    assert played.code != 0
    assert {name: list(outcomes(host).values()) for name, host in fresh.items()} == {
        "host1": ["committed"],
        "host2": ["rolled-back"],
        "host3": ["committed"],
    }

    change_the_flake(changed, "fleet-2")
    plays = yaml.safe_load((EXAMPLES / "max_fail_percentage.yml").read_text(encoding="utf-8"))
    plays[0]["max_fail_percentage"] = 49
    played = play(
        lab,
        tmp_path,
        plays,
        deploy_flake_flake=str(changed),
        deploy_flake_limits=QUICK,
        deploy_flake_configuration=ONE_FAILS,
    )
    # Now it is more than that, and the third host is left alone.
    assert played.code != 0
    assert set(played.results) == {"host1", "host2"}
    assert list(outcomes(fresh["host3"]).values()) == ["committed"]
