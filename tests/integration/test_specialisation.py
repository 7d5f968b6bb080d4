# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A specialisation is live, and the system that it belongs to is the boot default."""

from __future__ import annotations

import json
from pathlib import Path

from integration.committing import again_if_missed, at, profile_moved
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
from integration.playing import outcomes, play, systems

from lab import Host, Lab


def specialisation_of(host: Host, toplevel: str, name: str = "debug") -> str:
    """The store path of a system's specialisation."""
    return host.run(f"readlink -f {toplevel}/specialisation/{name}", check=True).stdout.strip()


def another_version(host: Host) -> str:
    """A system with the specialisation debug that the host does not run."""
    now = systems(host)
    versions = (build(host, version=version) for version in ("one", "two"))
    return next(system for system in versions if system not in (now.running, now.boot_default))


def commits(deployment: Deploying) -> str:
    """The deployment ends well; what was said."""
    assert deployment.end() == 0, deployment.output
    return deployment.output


def test_specialisation_is_kept_and_gone_back_to(lab: Lab, whole: dict[str, Host]) -> None:
    host = whole["host1"]
    new = another_version(host)
    special = specialisation_of(host, new)
    with deploying(lab, host, new, specialisation="debug", limits=QUICK) as deployment:
        commits(deployment)
    is_whole(host, special, "committed", boots=new)
    record = last_record(host)
    assert (record["to"], record["to_live"], record["specialisation"]) == (new, special, "debug")

    # The same again changes nothing: no deployment begins.
    with deploying(lab, host, new, specialisation="debug") as again:
        assert "changed=0" in commits(again)
    assert last_record(host) == record

    # That it would boot another one than it runs is no reason to refuse; and the way back leads to the specialisation.
    with deploying(lab, host, build(host, "exit-4"), limits=QUICK) as broken:
        assert broken.end() != 0
    is_whole(host, special, "rolled-back", boots=new)

    # Without the name the system itself is meant.
    with deploying(lab, host, new, limits=QUICK) as plain:
        assert "changed=0" not in commits(plain)
    is_whole(host, new, "committed")

    # The specialisation of what runs and boots already: no new generation.
    before = host.run("readlink /nix/var/nix/profiles/system").stdout
    with deploying(lab, host, new, specialisation="debug", limits=QUICK) as debugged:
        commits(debugged)
    is_whole(host, special, "committed", boots=new)
    assert host.run("readlink /nix/var/nix/profiles/system").stdout == before

    # Nobody chooses it in the boot menu.
    host.power_off()
    host.power_on()
    now = systems(host)
    assert (now.running, now.booted, now.boot_default) == (new, new, new)


def test_specialisation_that_is_not_kept(lab: Lab, whole: dict[str, Host]) -> None:
    """Revoked, killed, or its time runs out, each from another system: the host goes back."""

    def is_revoked(host: Host) -> None:
        before, new = systems(host).running, another_version(host)
        with deploying(lab, host, new, confirm=False, specialisation="debug") as deployment:
            deployment.wait_for("window")
            assert systems(host).running == specialisation_of(host, new)
            commits(deployment)
            found = wait_for(lambda: directory(host)).name
            revoke = {"deployment": found, "reason": "for a test"}
            tasks = [{"deploy_flake.nixos.system_revoke": revoke, "become": True}]
            with Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": tasks}]) as revoked:
                commits(revoked)
        is_whole(host, before, "rolled-back")

    def is_killed(host: Host) -> None:
        """The supervisor dies, and what ran before was a specialisation too."""
        boots = another_version(host)
        before = specialisation_of(host, boots)
        with deploying(lab, host, boots, specialisation="debug", limits=QUICK) as deployment:
            commits(deployment)
        with deploying(
            lab, host, another_version(host), confirm=False, specialisation="debug", limits=SHORT | {"settle": 30}
        ) as deployment:
            deployment.wait_for("settling")
            kill_main_process(host)
            assert deployment.end() != 0
        is_whole(host, before, "rolled-back", boots=boots)

    def is_of_the_same_system(host: Host) -> None:
        """Nobody confirms, and the boot default would have been the same."""
        same = build(host)
        with deploying(lab, host, same, limits=QUICK) as deployment:
            commits(deployment)
        with deploying(lab, host, same, confirm=False, specialisation="debug", limits=QUICK | {"confirm": 1}) as trial:
            trial.end()
        is_whole(host, same, "rolled-back")

    at_once(dict(zip(whole.values(), (is_revoked, is_killed, is_of_the_same_system), strict=True)))


def test_faults_of_specialisations(lab: Lab, whole: dict[str, Host]) -> None:
    """One fails; power is lost while another waits; and while a third is committed."""

    def fails(host: Host) -> None:
        before, new = systems(host).running, build(host, "specialisation-fails")
        with deploying(lab, host, new, specialisation="broken") as deployment:
            assert deployment.end() != 0
            assert "broken.service" in deployment.output, deployment.output
        is_whole(host, before, "rolled-back")
        # The system that it belongs to is well.
        with deploying(lab, host, new, limits=QUICK) as well:
            commits(well)
        is_whole(host, new, "committed")

    def loses_power(host: Host) -> None:
        before, new = systems(host).running, another_version(host)
        with deploying(lab, host, new, confirm=False, specialisation="debug") as deployment:
            deployment.wait_for("window")
            lost = wait_for(lambda: directory(host)).name
            deployment.kill()
            host.power_off()
            host.power_on()
        now = systems(host)
        assert (now.running, now.booted, now.boot_default, now.loader) == (before, before, before, before)
        with deploying(lab, host, new, specialisation="debug", limits=QUICK) as again:
            assert "was interrupted by a power loss or reboot" in commits(again)
        is_whole(host, specialisation_of(host, new), "committed", boots=new)
        assert outcomes(host)[lost] == "interrupted"

    def loses_power_while_committing(host: Host) -> None:
        new = another_version(host)
        with deploying(lab, host, new, specialisation="debug", limits=QUICK) as deployment:
            lost = wait_for(lambda: directory(host)).name
            with at(profile_moved, deployment, host, new):
                deployment.kill()
                host.power_off()
            host.power_on()
        # The link has moved, so it goes forward, to the boot default alone.
        with deploying(lab, host, next_system(host), limits=QUICK) as again:
            commits(again)
        record = next(line for line in wait_for(lambda: _records(host)) if line["id"] == lost)
        assert (record["outcome"], record["to"], record["to_live"]) == (
            "committed",
            new,
            specialisation_of(host, new),
        )

    def is_met(host: Host) -> None:
        again_if_missed(loses_power_while_committing, host)

    at_once(dict(zip(whole.values(), (fails, loses_power, is_met), strict=True)))


def _records(host: Host) -> list[dict[str, str]]:
    text = host.run("cat /var/lib/deploy-flake/deployments.jsonl", check=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def test_somebody_else_leaves_the_specialisation(lab: Lab, whole: dict[str, Host]) -> None:
    """The system that it belongs to was not what we activated: somebody else did, and it is theirs."""
    host = whole["host2"]
    new = another_version(host)
    with deploying(lab, host, new, specialisation="debug", limits=SHORT | {"settle": 10}) as deployment:
        deployment.wait_for("settling")
        host.run(
            f"nix-env -p /nix/var/nix/profiles/system --set {new} && {new}/bin/switch-to-configuration switch",
            check=True,
        )
        assert deployment.end() != 0
        assert "was switched by somebody else" in deployment.output, deployment.output
    is_whole(host, new, "superseded")


def test_specialisation_that_is_not_there(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """Those that there are are named, and the host is untouched."""
    host = whole["host3"]
    before, known = systems(host), outcomes(host)
    new = another_version(host)
    names = ["no-such", "..", "debug/../debug"]
    given = [("system_test", name) for name in names] + [("system_boot", "debug")]
    tasks = [
        {f"deploy_flake.nixos.{module}": {"toplevel": new, "specialisation": name}, "ignore_errors": True}
        for module, name in given
    ]
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]
    *results, untried = play(lab, tmp_path, plays, [host.name]).results[host.name]
    for name, result in zip(names, results, strict=True):
        assert f"has no specialisation '{name}' in {new}, which has debug" in result["msg"]
        assert result["reason"] == "no-specialisation"
    assert "a specialisation can only be tried live" in untried["msg"]
    assert (systems(host), outcomes(host)) == (before, known)
