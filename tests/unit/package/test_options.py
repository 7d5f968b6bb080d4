# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options: what they become, and which make no sense. And what of the user's settings for Ansible holds."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_flake import arguments
from deploy_flake.ansible import asks_become_password, environment
from deploy_flake.cli import main
from deploy_flake.destination import parse_all
from deploy_flake.inventory import write
from deploy_flake.options import (
    ALLOWABLE,
    PHASES,
    POLICIES,
    REBOOT,
    DeployOptions,
    OptionError,
    RunOptions,
    build_arguments,
)

SYSTEM = f"/nix/store/{'0' * 32}-nixos-system-web-25.11"
ROLE = Path(__file__).parents[3] / "roles" / "deploy"


def test_nothing_chosen_leaves_everything_to_the_inventory() -> None:
    assert DeployOptions().role_variables() == {}


def test_every_variable_is_one_of_the_role() -> None:
    chosen = DeployOptions(
        preflight_check=False,
        test=False,
        ignore_units=["a"],
        allow=["no_ssh"],
        on_reboot_required="boot",
        pre_activate_script="x",
        build_args=["--quiet"],
        copy_timeout=1,
        build_timeout=2,
        lock_timeout=3,
        limits={"confirm": 4},
    ).role_variables()
    known = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert set(chosen) <= set(known)
    assert chosen["deploy_flake_health_policy"] == "no_new_failures"
    assert chosen["deploy_flake_test"] is False


def test_choices_are_the_role_s() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert list(POLICIES) == options["deploy_flake_health_policy"]["choices"]
    assert list(REBOOT) == options["deploy_flake_on_reboot_required"]["choices"]
    assert list(ALLOWABLE) == options["deploy_flake_allow"]["choices"]
    limits = " ".join(options["deploy_flake_limits"]["description"])
    assert all(f"C({phase})" in limits for phase in PHASES)


@pytest.mark.parametrize(
    "options",
    [
        {"health_policy": "lax"},
        {"allow": ["anything"]},
        {"limits": {"lunch": 1}},
        {"serial": "some"},
        {"test": False, "all_or_nothing": True},
        {"preflight_check": False, "health_policy": "strict"},
        {"test": False, "specialisation": "debug"},
        {"ignore_units": "backup.service"},
        {"copy_timeout": 0},
    ],
)
def test_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        DeployOptions(**options)


def test_build_command_line() -> None:
    assert build_arguments("nix build --option cores 2") == ["--option", "cores", "2"]
    assert build_arguments("") == []
    with pytest.raises(OptionError, match="nom"):
        build_arguments("nom build")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--bogus"],
        ["host1:22"],
        ["host1", "--inventory", "x"],
        ["host1", "--time-limit", "lunch=3"],
        ["host1", "--parallel", "0"],
        ["host1", "--toplevel", "/etc"],
        ["host1", "--toplevel", f"{SYSTEM}.drv"],
        ["host1", "--toplevel", SYSTEM, "--flake", "."],
        ["rollback", "host1", "--to", "yesterday"],
        ["rollback", "host1", "--to", "/nix/store/x; reboot"],
        ["rollback", "host1", "--to", "3", "--generation", "3"],
        ["status"],
        ["completion", "tcsh"],
    ],
)
def test_usage_errors_exit_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(argv)
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert "deploy-flake" in capsys.readouterr().err


def test_every_option_reaches_the_playbook(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that say what is shown, and those that the other tests are about."""
    begun: list[Any] = []

    def begin(
        operation: str, where: object, run: RunOptions, variables: dict[str, Any], more: list[str], *_: object
    ) -> None:
        begun.extend([operation, run, variables, more])
        raise ValueError

    monkeypatch.setattr("deploy_flake.api._begin", begin)
    options = (
        "-i one -i two -l web* --parallel 3 --ssh-args=-Jgate --reconnect-timeout 4 -e a=b -e @c -vv --flake f"
        " --copy-timeout 5 --check-builds skip --build-timeout 6 --check --diff --preflight-check skip"
        " --pre-activate-script s --ignore-unit u --ignore-unit v --allow no_ssh --allow other_hostname"
        " --on-reboot-required boot --time-limit settle=0 --time-limit confirm=7 --lock-timeout 8 --all-or-nothing"
        " --serial 25%"
    )
    assert main(["--yes", *options.split(), "--build-cmdline", "nix build --option cores 2"]) == 2
    operation, run, variables, more = begun
    assert operation == "deploy"
    assert (run.inventory, run.parallel, run.artifacts) == (["one", "two"], 3, None)
    ansibles = ["--limit=web*", "--extra-vars=a=b", "--extra-vars=@c", "--ssh-extra-args=-Jgate", "-vv"]
    assert (run.arguments(), more) == (ansibles, ["--check", "--diff"])
    assert run.role_variables() == {"deploy_flake_reconnect_timeout": 4}
    assert {name.removeprefix("deploy_flake_"): value for name, value in variables.items()} == {
        "flake": "f",
        "toplevel": "",
        "copy_timeout": 5,
        "check_builds": False,
        "build_timeout": 6,
        "health_policy": "no_new_failures",
        "pre_activate_script": "s",
        "ignore_units": ["u", "v"],
        "allow": ["no_ssh", "other_hostname"],
        "on_reboot_required": "boot",
        "limits": {"settle": 0, "confirm": 7},
        "lock_timeout": 8,
        "all_or_nothing": True,
        "serial": "25%",
        "build_args": ["--option", "cores", "2"],
    }


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ([], {}),
        (["--to", "3"], {"deploy_flake_generation": 3}),
        (["--generation", "3"], {"deploy_flake_generation": 3}),
        (["--to", SYSTEM], {"deploy_flake_rollback_toplevel": SYSTEM}),
    ],
)
def test_where_a_rollback_leads(given: list[str], target: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []

    class Begun(Exception):
        pass

    def begin(_operation: str, _where: object, _run: object, variables: dict[str, Any], *_others: object) -> None:
        begun.append(variables)
        raise Begun

    monkeypatch.setattr("deploy_flake.api._begin", begin)
    with pytest.raises(Begun):
        main(["rollback", "host1", "--yes", *given])
    assert begun == [target]


def test_command_may_be_left_out() -> None:
    assert arguments.with_command(["host1"]) == ["deploy", "host1"]
    assert arguments.with_command(["--flake", ".", "host1"])[0] == "deploy"
    assert arguments.with_command(["status", "host1"]) == ["status", "host1"]


def test_inventory_says_no_more_than_the_destination(tmp_path: Path) -> None:
    file = write(parse_all(["host1", "nixos://deploy@[2001:db8::1]:2222/web"]), tmp_path)
    written = json.loads(file.read_text())["all"]
    # What is left out is left to ssh_config.
    assert written["hosts"]["host1"] == {"ansible_host": "host1"}
    assert written["hosts"]["2001-db8--1"]["ansible_port"] == 2222
    assert list(written["children"]["deploy_flake_own_hostname"]["hosts"]) == ["host1"]


def test_users_settings_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = "[defaults]\ncollections_path = theirs:/opt/collections\nhost_key_checking = False\nforks = 3\n"
    (tmp_path / "ansible.cfg").write_text(cfg)
    made = environment(Path("/ours"), {})
    assert made["ANSIBLE_COLLECTIONS_PATH"] == f"/ours:{tmp_path}/theirs:/opt/collections"
    assert made["ANSIBLE_HOST_KEY_CHECKING"] == "False"
    assert made["ANSIBLE_FORKS"] == "3"


def test_own_settings_hold_where_the_user_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = environment(Path("/ours"), {})
    assert ("ANSIBLE_CONFIG" in made) is not Path("/etc/ansible/ansible.cfg").exists()
    assert configparser.ConfigParser().read(made.get("ANSIBLE_CONFIG", "/etc/ansible/ansible.cfg"))
    assert "ANSIBLE_CONFIG" not in environment(Path("/ours"), {"ANSIBLE_CONFIG": "/dev/null"})
    (tmp_path / "ansible.cfg").write_text("")
    assert "ANSIBLE_CONFIG" not in environment(Path("/ours"), {})
    # Ansible passes over this one, and says so.
    tmp_path.chmod(0o777)
    assert "ANSIBLE_CONFIG" not in environment(Path("/ours"), {})


def test_whether_the_password_of_sudo_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ansible.cfg").write_text("[privilege_escalation]\nbecome_ask_pass = yes\n")
    assert asks_become_password({})
    assert not asks_become_password({"ANSIBLE_BECOME_ASK_PASS": "false"})
    # ansible-playbook itself would wait for ever.
    assert environment(Path("/ours"), {})["ANSIBLE_BECOME_ASK_PASS"] == "False"


def test_run_options_that_make_no_sense() -> None:
    for options in ({"inventory": "hosts.yml"}, {"parallel": 0}):
        with pytest.raises(OptionError):
            RunOptions(**options)


def test_host_keys_are_checked_unless_the_user_says_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ansible.cfg").write_text("")
    assert environment(Path("/ours"), {})["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert environment(Path("/ours"), {"ANSIBLE_RUN_TAGS": "x"})["ANSIBLE_RUN_TAGS"] == "all"
