# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options: what they become, and which make no sense. And what of the user's settings for Ansible holds."""

from __future__ import annotations

import argparse
import configparser
import json
import re
from collections.abc import Callable
from dataclasses import Field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from deploy_flake import arguments, generated_options
from deploy_flake.ansible import asks_become_password, environment
from deploy_flake.cli import main
from deploy_flake.destination import parse_all
from deploy_flake.generated_options import DeployVariables, RunVariables
from deploy_flake.inventory import write
from deploy_flake.options import DeployOptions, OptionError, RunOptions, build_arguments

SYSTEM = f"/nix/store/{'0' * 32}-nixos-system-web-25.11"
ROLE = Path(__file__).parents[3] / "roles" / "deploy"


@cache
def role_options() -> dict[str, Any]:
    """Read once: it takes longer than each of the tests."""
    specs: dict[str, Any] = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    return specs


def test_nothing_chosen_leaves_everything_to_the_inventory() -> None:
    assert DeployOptions().role_variables() == {}


# One that is not what it is where nobody chooses, for each kind of field.
SAMPLES: dict[str, Any] = {
    "str | None": "25%",
    "int | None": 7,
    "Sequence[str]": ["one", "two"],
    "Mapping[str, int]": {"confirm": 7},
}
CHOSEN = {
    "health_policy": "no_new_failures",
    "allow": ["no_ssh"],
    "install_allow": ["data_on_disks"],
    "on_reboot_required": "boot",
    "last_resort_reboot": "never",
    "on_older": "refuse",
    "copy_inputs": "all",
}


def sample(field: Field[Any]) -> Any:
    if isinstance(field.default, bool) or str(field.type) == "bool | None":
        return not field.default
    return CHOSEN.get(field.name, SAMPLES[str(field.type)])


@pytest.mark.parametrize("field", fields(DeployOptions), ids=lambda field: field.name)
def test_every_field_reaches_the_playbook(field: Field[Any]) -> None:
    """As the role's variable of that name, or as an argument of ansible-playbook."""
    options = DeployOptions(**{field.name: sample(field)})
    arguments = {"check": ["--check"], "diff": ["--diff"]}
    variables = {"preflight_check": {"deploy_flake_health_policy": "no_new_failures"}}
    assert options.arguments() == arguments.get(field.name, [])
    expected = {} if field.name in arguments else {f"deploy_flake_{field.name}": sample(field)}
    assert options.role_variables() == variables.get(field.name, expected)


def test_every_field_has_a_flag() -> None:
    known = {one.name for kind in (RunVariables, DeployVariables) for one in fields(kind)}
    assert {flag.field for flag in generated_options.FLAGS} == known


def test_every_variable_is_one_of_the_role() -> None:
    specs = role_options()
    known = specs["main"]["options"] | specs["rollback"]["options"] | specs["install"]["options"]
    ours = {f"deploy_flake_{one.name}" for one in fields(DeployOptions)}
    assert ours - known.keys() == {f"deploy_flake_{name}" for name in ("check", "diff", "preflight_check")}


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
        {"test": False, "until_reboot": True},
        {"all_or_nothing": True, "until_reboot": True},
        {"on_reboot_required": "boot", "until_reboot": True},
        {"ignore_units": "backup.service"},
        {"copy_timeout": 0},
        {"last_resort_reboot": False},
    ],
)
def test_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        DeployOptions(**options)


def test_misspelt_variable_is_offered_the_nearest_name() -> None:
    both: list[dict[str, Any]] = [{"variables": {"deploy_flake_tset": 1}}, {"extra_vars": ["deploy_flake_tset=1"]}]
    for options in both:
        with pytest.raises(OptionError, match="did you mean deploy_flake_test"):
            RunOptions(**options)
    RunOptions(variables={"mine": 1, "deploy_flake_nix_config": ""}, extra_vars=["x='", "@file", '{"a": 1}', "b=c"])


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
        [".#host1"],
        ["github:me/hosts#host1"],
        ["./hosts"],
        ["statsu", "host1"],
        ["check", "host1"],
        ["Status", "host1"],
        ["--yes", "status", "host1"],
        ["host1", "--flake", "/nowhere"],
        ["host1", "--flake", "./nowhere"],
        ["host1", "--flake", "path:/nowhere"],
        ["host1", "--flake", "git+file:///nowhere"],
        ["host1", "--flake", ".#host1"],
        ["host1", "--flake", "github:me/hosts#host1"],
        ["host1", "--flake", ""],
        ["host1", "--flake", "/etc/passwd"],
        ["status", "host1", "--flake", "/nowhere"],
        ["--inventory", "nothing.yml"],
        ["host1", "-e", "a=b deploy_flake_tset=false"],
        ["status", "--inventory", "/nowhere/hosts.yml"],
        ["host1", "--inventory", "x"],
        ["host1", "--time-limit", "lunch=3"],
        ["host1", "--parallel", "0"],
        ["host1", "--toplevel", "/etc"],
        ["host1", "--toplevel", f"{SYSTEM}.drv"],
        ["host1", "--toplevel", SYSTEM, "--flake", "."],
        ["host1", "--toplevel", SYSTEM, "--attribute", "packages.x86_64-linux.x"],
        ["host1", "--toplevel", SYSTEM, "--file", "galaxy.yml"],
        ["nixos://host1/web", "--flake", ".", "--file", "galaxy.yml"],
        ["host1", "--flake", ".", "--file", "nowhere.nix"],
        ["host1", "--flake", "github:me/x", "--file", "default.nix"],
        ["host1", "--flake", "nixpkgs", "--file", "default.nix"],
        ["host1", "--out-link", "/root/result"],
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


Begun = tuple[list[str], dict[str, Any], list[str]]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Begun]:
    """What a command line comes to: arguments for ansible-playbook of two kinds, and variables in between."""

    class Started(Exception):
        pass

    found: list[Begun] = []

    def begin(_name: str, _on: object, run: RunOptions, values: dict[str, Any], more: list[str], *_: object) -> None:
        found.append((run.arguments(), run.role_variables() | values, more))
        raise Started

    monkeypatch.setattr("deploy_flake.api._begin", begin)

    def run(argv: list[str]) -> Begun:
        with pytest.raises(Started):
            main(argv)
        return found.pop()

    return run


WORDS = re.compile(r"[\w/.%-]+")
# What is shown, and what other tests are about.
OTHERS = {
    "help",
    "destinations",
    "instrumentation",
    "artifacts",
    "yes",
    "ask_become_pass",
    "parallel",
    "inventory",
    "on_event",
}
VALUES = {
    "flake": "github:me/x",
    "build_args": "nix build --quiet",
    "limits": "settle=0",
    "profiles": "home-manager,user=alice",
    "serial": "25%",
    "to": "3",
    "toplevel": SYSTEM,
    # There is one here.
    "file": "galaxy.yml",
}
# What a command does not do without.
NEEDED = MappingProxyType({"profiles": ["--profile", "system-manager"]})
FLAGS = [
    (command, action)
    for command in arguments.COMMANDS
    if command not in ("diff", "completion")
    for action in arguments.subparsers(arguments.parser())[command]._actions
    if action.dest not in OTHERS
]


@pytest.mark.parametrize(("command", "action"), FLAGS, ids=[f"{one[0]}{one[1].option_strings[-1]}" for one in FLAGS])
def test_every_flag_reaches_the_playbook(
    command: str, action: argparse.Action, begun: Callable[[list[str]], Begun]
) -> None:
    """Each by itself changes what ansible-playbook is told, and its value is in there."""
    value = VALUES.get(action.dest) or (list(action.choices)[-1] if action.choices else "7")
    given = [action.option_strings[-1], *([] if action.nargs == 0 else [value])]
    plain, chosen = (begun([command, "host1", "--yes", *NEEDED.get(command, ()), *more]) for more in ([], given))
    differs = [one for one, other in zip(chosen, plain, strict=True) if one != other]
    assert len(differs) == 1
    if action.nargs != 0 and value not in ("run", "skip"):
        assert {*WORDS.findall(value.removeprefix("nix build "))} <= {*WORDS.findall(str(differs))}
    variables = chosen[1].keys() - {"deploy_flake_show"}
    assert variables <= role_options()["main" if command == "deploy" else command]["options"].keys()


def test_many_flags_together(begun: Callable[[list[str]], Begun]) -> None:
    options = (
        "-i one, -i two, -l web* --parallel 3 --ssh-args=-Jgate --reconnect-timeout 4 -e a=b -e @c -vv"
        " --flake github:f/g --check --diff"
        " --preflight-check skip --check-builds skip --ignore-unit u --ignore-unit v --allow no_ssh"
        " --allow other_hostname --time-limit settle=0 --time-limit confirm=7 --serial 25%"
    )
    run, variables, more = begun(["--yes", *options.split(), "--build-cmdline", "nix build --option cores 2"])
    assert run == ["--limit=web*", "--extra-vars=a=b", "--extra-vars=@c", "--ssh-extra-args=-Jgate", "-vv"]
    assert more == ["--check", "--diff"]
    assert {name.removeprefix("deploy_flake_"): value for name, value in variables.items()} == {
        "reconnect_timeout": 4,
        "flake": "github:f/g",
        "toplevel": "",
        "check_builds": False,
        "health_policy": "no_new_failures",
        "ignore_units": ["u", "v"],
        "allow": ["no_ssh", "other_hostname"],
        "limits": {"settle": 0, "confirm": 7},
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
def test_where_a_rollback_leads(given: list[str], target: dict[str, Any], begun: Callable[[list[str]], Begun]) -> None:
    assert begun(["rollback", "host1", "--yes", *given]) == ([], target, [])


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
