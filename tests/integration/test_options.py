# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator may choose: health policy, allowances, reboots, other addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from integration.faulting import wait_for
from integration.playing import LIMITS, change_the_flake, deploy, outcomes, play, remains, systems

from lab import Host, Lab

QUICK = LIMITS | {"settle": 1}


@pytest.fixture
def host(lab: Lab) -> Host:
    """host1, as new."""
    lab.reset([lab.hosts["host1"]])
    return lab.hosts["host1"]


def test_unit_that_had_failed_before(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    host.run(
        "systemd-run --quiet --wait --unit=old-sore.service /bin/false; systemctl is-failed old-sore.service",
        check=True,
    )

    strict = deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=QUICK)
    assert strict.code != 0
    assert "units have failed already: old-sore.service" in strict.of("host1", "system_test")["msg"]
    assert "old-sore.service" in strict.of("host1", "system_test")["failed_units"]

    ignoring = deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=QUICK, deploy_flake_ignore_units=["old-*"])
    assert ignoring.code == 0, ignoring.output


def test_no_new_failures(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    host.run(
        "systemd-run --quiet --wait --unit=old-sore.service /bin/false; systemctl is-failed old-sore.service",
        check=True,
    )
    choice = {"deploy_flake_health_policy": "no_new_failures", "deploy_flake_limits": QUICK}

    worse = deploy(lab, tmp_path, flake, "host1", deploy_flake_configuration="host1-exit-4", **choice)
    assert worse.of("host1", "system_test")["state"] == "rolled-back"
    assert worse.of("host1", "system_test")["failed_units"] == ["broken.service"]

    well = deploy(lab, tmp_path, flake, "host1", **choice)
    assert well.code == 0, well.output


def test_failing_unit_that_is_ignored(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    played = deploy(
        lab,
        tmp_path,
        flake,
        "host1",
        deploy_flake_configuration="host1-exit-4",
        deploy_flake_ignore_units=["broken.service"],
        deploy_flake_limits=QUICK,
    )
    assert played.code == 0, played.output
    assert played.of("host1", "system_boot")["state"] == "committed"


@pytest.mark.parametrize(
    ("fault", "allowance"),
    [
        ("wrong-hostname", "other_hostname"),
        ("other-architecture", "other_architecture"),
        ("other-sshd", "no_ssh"),
    ],
)
def test_allowances(lab: Lab, host: Host, flake: Path, tmp_path: Path, fault: str, allowance: str) -> None:
    """Without them they are refused: test_bad_input.py has that."""
    choice = {"deploy_flake_configuration": f"host1-{fault}", "deploy_flake_limits": QUICK}
    allowed = deploy(lab, tmp_path, flake, "host1", deploy_flake_allow=[allowance], **choice)
    assert allowed.code == 0, allowed.output


def test_names_that_mean_the_same_host(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    """With a domain and in another case; a fresh host's is told what allows it, once."""
    try:
        change_the_flake(flake, "named")
        host.run("hostname nixos", check=True)
        fresh = deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=QUICK)
        assert fresh.of("host1", "system_test")["reason"] == "other-hostname"
        assert "allow 'other_hostname'" in fresh.failure("host1")["msg"]
        host.run("hostname HOST1.example.org", check=True)
        assert deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=QUICK).code == 0
    finally:
        host.run("hostname host1", check=True)


def test_untested_boot_default(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    assert deploy(lab, tmp_path, flake, "host1", deploy_flake_test=False).code == 0
    before = systems(host)
    change_the_flake(flake, "2")
    refused = deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=QUICK)
    assert refused.of("host1", "system_test")["reason"] == "untested-boot-default"
    assert systems(host) == before
    choice = {"deploy_flake_limits": QUICK, "deploy_flake_allow": ["untested_boot_default"]}
    # Undone, each goes back to its own: the running system and the boot default.
    undone = deploy(lab, tmp_path, flake, "host1", deploy_flake_configuration="host1-exit-4", **choice)
    assert undone.of("host1", "system_test")["state"] == "rolled-back"
    assert systems(host) == before
    assert deploy(lab, tmp_path, flake, "host1", **choice).code == 0


def test_closures_own_checks(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    unsafe = {"deploy_flake_configuration": "host1-unsafe", "deploy_flake_limits": QUICK}
    before = systems(host)
    refused = deploy(lab, tmp_path, flake, "host1", **unsafe)
    assert refused.of("host1", "system_test")["state"] == "refused"
    assert "pre-activate-safety-checks" in refused.of("host1", "system_test")["msg"]
    assert systems(host) == before
    assert deploy(lab, tmp_path, flake, "host1", deploy_flake_pre_activate_script="", **unsafe).code == 0


# Each says what runs, and what it knows; and ends with the status that the host has for it.
HOOKS = r"""
      for hook in before after; do
        echo '#!/bin/sh' >$hook
        echo "{ readlink -f /run/current-system; env | grep ^DEPLOY_FLAKE_; } >/root/$hook" >>$hook
        echo "exit \$(cat /root/exit-$hook)" >>$hook
        chmod +x $hook
      done
"""


def test_programs_before_and_after_the_activation(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    text = (flake / "faults.nix").read_text()
    of_the_fault = "      printf '#!/bin/sh\\nexit 0\\n' >pre-activate-safety-checks\n"
    assert text.count(of_the_fault) == 1
    (flake / "faults.nix").write_text(text.replace(of_the_fault, of_the_fault + HOOKS.lstrip("\n")))
    choice: dict[str, Any] = {
        "deploy_flake_configuration": "host1-safe-checks",
        "deploy_flake_pre_activate_script": "before",
        "deploy_flake_post_activate_script": "after",
        "deploy_flake_message": 'a "message"',
        "deploy_flake_limits": QUICK,
    }
    before = systems(host)

    def says(hook: str) -> tuple[str, dict[str, str]]:
        live, *lines = host.read(f"/root/{hook}").splitlines()
        return live, dict(line.split("=", 1) for line in lines)

    # Where the one before it fails, nothing was activated.
    host.run("echo 0 >/root/exit-after; echo 3 >/root/exit-before", check=True)
    refused = deploy(lab, tmp_path, flake, "host1", **choice)
    assert refused.of("host1", "system_test")["state"] == "refused"
    assert refused.of("host1", "system_test")["reason"] == "pre-activate-script"
    assert systems(host) == before

    # Where the one after it fails, the host rolls back.
    host.run("echo 0 >/root/exit-before; echo 4 >/root/exit-after", check=True)
    failed = deploy(lab, tmp_path, flake, "host1", **choice)
    tested = failed.of("host1", "system_test")
    assert (tested["state"], tested["reason"]) == ("rolled-back", "post-activate-script")
    assert "after of the new system exited 4" in failed.failure("host1")["msg"]
    assert systems(host) == before
    new = says("after")[1]["DEPLOY_FLAKE_TOPLEVEL"]
    host.run("echo 0 >/root/exit-after", check=True)
    played = deploy(lab, tmp_path, flake, "host1", **choice)
    assert played.code == 0, played.output
    assert systems(host).running == systems(host).boot_default == new
    for hook, live in (("before", before.running), ("after", new)):
        found, known = says(hook)
        assert found == live
        about = json.loads(known["DEPLOY_FLAKE_ABOUT"])
        assert (about["id"], about["message"]) == (list(outcomes(host))[-1], 'a "message"')
        assert about["configuration"] == "host1-safe-checks"
        assert known["DEPLOY_FLAKE_SYSTEM"] == known["DEPLOY_FLAKE_TOPLEVEL"] == new
        assert known["DEPLOY_FLAKE_PREVIOUS_SYSTEM"] == before.running
        assert known["DEPLOY_FLAKE_PREVIOUS_BOOT_DEFAULT"] == before.boot_default
    assert list(outcomes(host).values()) == ["refused", "rolled-back", "committed"]
    assert not remains(host)


@pytest.mark.parametrize("tested", [True, False], ids=["tested", "boot-only"])
def test_own_tasks_before_the_activation(lab: Lab, host: Host, flake: Path, tmp_path: Path, tested: bool) -> None:
    """On the controller, with what is known; not where nothing would be activated, or the host refuses it."""
    note = {"cmd": "printenv >>seen; echo end of one >>seen; exit $(cat code)", "chdir": str(tmp_path)}
    (tmp_path / "own.yml").write_text(json.dumps([{"ansible.builtin.shell": note, "delegate_to": "localhost"}]))
    choice: dict[str, Any] = {
        "deploy_flake_configuration": "host1-check-fails",
        "deploy_flake_pre_activate_tasks": str(tmp_path / "own.yml"),
        "deploy_flake_checks": str(tmp_path / "own.yml"),
        "deploy_flake_test": tested,
        "deploy_flake_message": 'a "message"',
        "deploy_flake_limits": QUICK,
    }

    def seen() -> list[dict[str, str]]:
        """The environments of those that were run since it was asked last."""
        text = (tmp_path / "seen").read_text() if (tmp_path / "seen").exists() else ""
        (tmp_path / "seen").write_text("")
        runs = text.split("end of one\n")[:-1]
        return [dict(line.split("=", 1) for line in one.splitlines() if "=" in line) for one in runs]

    before = systems(host)
    (tmp_path / "code").write_text("3")
    refused = deploy(lab, tmp_path, flake, "host1", **choice)
    assert refused.failure("host1").get("reason") == "pre-switch-checks", refused.output
    assert not seen()
    failed = deploy(lab, tmp_path, flake, "host1", **choice | {"deploy_flake_configuration": "host1"})
    assert failed.failure("host1")["msg"].endswith("host1 is as it was: nothing was activated.")
    assert len(seen()) == 1
    assert systems(host) == before
    (tmp_path / "code").write_text("0")
    change_the_flake(flake, f"own-tasks-{tested}")
    played = deploy(lab, tmp_path, flake, "host1", **choice | {"deploy_flake_configuration": "host1"})
    assert played.code == 0, played.output
    runs = seen()
    # The checks as well.
    assert len(runs) == (2 if tested else 1)
    for known in runs:
        about = json.loads(known["DEPLOY_FLAKE_ABOUT"])
        assert (known["DEPLOY_FLAKE_HOST"], known["DEPLOY_FLAKE_TOPLEVEL"]) == ("host1", systems(host).boot_default)
        assert known["DEPLOY_FLAKE_PREVIOUS_SYSTEM"] == before.running
        assert (about["configuration"], about["message"]) == ("host1", 'a "message"')
    assert json.loads(runs[-1]["DEPLOY_FLAKE_ABOUT"])["id"] == (list(outcomes(host))[-1] if tested else "")
    again = deploy(lab, tmp_path, flake, "host1", **choice | {"deploy_flake_configuration": "host1"})
    assert (again.code, again.changed("host1"), seen()) == (0, [], [])


@pytest.mark.parametrize("fault", ["exit-100", "inhibitor"])
def test_system_that_needs_a_reboot(lab: Lab, host: Host, flake: Path, tmp_path: Path, fault: str) -> None:
    before = systems(host)
    choice = {"deploy_flake_configuration": f"host1-{fault}", "deploy_flake_limits": QUICK}

    refused = deploy(lab, tmp_path, flake, "host1", **choice)
    assert refused.of("host1", "system_test")["state"] == "refused"
    assert "needs a reboot" in refused.of("host1", "system_test")["msg"]
    assert "set on_reboot_required" in refused.of("host1", "system_test")["msg"]
    assert systems(host) == before

    made_default = deploy(lab, tmp_path, flake, "host1", deploy_flake_on_reboot_required="boot", **choice)
    assert made_default.code == 0, made_default.output
    assert made_default.of("host1", "system_boot")["reboot_required"] is True
    after = systems(host)
    assert after.running == before.running
    assert after.boot_default == after.loader == made_default.of("host1", "flake_build")["toplevel"]
    assert remains(host) == ""


def test_reboot_into_a_system_that_needs_it(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    played = deploy(
        lab,
        tmp_path,
        flake,
        "host1",
        deploy_flake_configuration="host1-exit-100",
        deploy_flake_on_reboot_required="boot_and_reboot",
        deploy_flake_limits=QUICK,
    )
    assert played.code == 0, played.output
    booted = played.of("host1", "system_boot")
    assert booted["rebooted"] is True
    now = systems(host)
    assert now.running == now.booted == now.boot_default == booted["system"]
    # From here every other system would need a reboot too, which the next test does not expect.
    lab.reset([host])


def test_host_that_answers_at_another_address(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    """The new system has another address: only that way in works. A stranger's key is not taken for its own."""
    address, other = host.address, f"{host.address.rpartition('.')[0]}.201"
    host.run(f"ip address add {other}/24 dev eth0")
    checks = tmp_path / "checks.yml"
    # The operator's own task takes the old address away, as a new network configuration would.
    checks.write_text(
        f"""
- name: Lose the old address
  ansible.builtin.raw: nohup sh -c 'sleep 5; ip address del {address}/24 dev eth0' >/dev/null 2>&1 &
  changed_when: false
- name: Wait until it is gone
  ansible.builtin.pause:
    seconds: 8
""",
        encoding="utf-8",
    )
    played = deploy(
        lab,
        tmp_path,
        flake,
        "host1",
        deploy_flake_checks=str(checks),
        deploy_flake_confirm_hosts=[lab.hosts["host2"].address, other],
        deploy_flake_limits=QUICK,
        deploy_flake_reconnect_timeout=40,
    )
    assert played.code == 0, played.output
    assert list(outcomes(host).values()) == ["committed"]


def test_host_that_answers_at_another_of_its_addresses_from_the_start(
    lab: Lab, host: Host, flake: Path, tmp_path: Path
) -> None:
    """A stranger at one of them is not taken for it. A system that takes away the one that answers is rolled back."""
    address, other = host.address, f"{host.address.rpartition('.')[0]}.201"
    move = f"ip address del {address}/24 dev eth0; ip address add {other}/24 dev eth0"
    back = f"ip address del {other}/24 dev eth0; ip address add {address}/24 dev eth0"
    host.run(move, check=True)
    asked = {"deploy_flake_addresses": [lab.hosts["host2"].address, other], "deploy_flake_limits": QUICK}
    played = deploy(lab, tmp_path, flake, "host1", deploy_flake_health_checks={"units": ["hello.service"]}, **asked)
    assert played.code == 0, played.output
    assert list(outcomes(host).values()) == ["committed"]
    before = systems(host)

    change_the_flake(flake, "moved")
    checks = tmp_path / "checks.yml"
    checks.write_text(
        f"""
- name: Lose the address, and have the old one again
  ansible.builtin.raw: nohup sh -c 'sleep 3; {back}' >/dev/null 2>&1 &
  changed_when: false
- name: Wait until it is gone
  ansible.builtin.pause:
    seconds: 6
""",
        encoding="utf-8",
    )
    played = deploy(
        lab, tmp_path, flake, "host1", deploy_flake_checks=str(checks), deploy_flake_reconnect_timeout=5, **asked
    )
    assert played.code != 0, played.output
    wait_for(lambda: systems(host) == before and not remains(host), 150)
    assert list(outcomes(host).values()) == ["committed", "rolled-back"]


def test_message_is_in_the_record(lab: Lab, host: Host, flake: Path, tmp_path: Path) -> None:
    """Whatever it says, the record is one line of JSON, and says no more of the systems."""
    said = f"""new 'certificate', "to": "/nix/store/{"0" * 32}-x", $(id)\nfür alle {{}}"""
    played = deploy(lab, tmp_path, flake, "host1", deploy_flake_message=said, deploy_flake_limits=QUICK)
    assert played.code == 0, played.output
    record = json.loads(host.run("tail -n 1 /var/lib/deploy-flake/deployments.jsonl").stdout)
    assert record["message"] == said
    assert record["to"] == played.of("host1", "flake_build")["toplevel"]


def test_addresses_of_a_builder_and_of_a_host_that_is_delegated_to(
    lab: Lab, host: Host, flake: Path, tmp_path: Path
) -> None:
    """They are those of its own variables, and not of the host that the task is for."""
    address, other = host.address, f"{host.address.rpartition('.')[0]}.201"
    host.run(f"ip address del {address}/24 dev eth0; ip address add {other}/24 dev eth0", check=True)
    change_the_flake(flake, "addresses.of.a.builder")
    asked: dict[str, Any] = {
        "deploy_flake_addresses": f"{{{{ ['{other}'] if inventory_hostname == 'host1' else [] }}}}",
        "deploy_flake_build_on": "host1",
        "deploy_flake_limits": QUICK,
    }
    played = deploy(lab, tmp_path, flake, "host3", **asked)
    assert played.code == 0, played.output
    assert systems(lab.hosts["host3"]).boot_default.endswith(".addresses.of.a.builder")

    look = {"deploy_flake.nixos.system_info": {}, "become": True, "delegate_to": "host1"}
    plays = [{"hosts": "host3", "gather_facts": False, "tasks": [look]}]
    played = play(lab, tmp_path, plays, **asked)
    assert played.code == 0, played.output
    assert played.of("host3", "system_info")["current_system"] == systems(host).running
