# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables are validated before any host is touched: real playbooks, and hosts that are not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.deploy_flake.nixos.plugins.action import fleet_validate
from tools.shell import ROOT

pytestmark = pytest.mark.shell
DEPLOY = "deploy_flake.nixos.deploy"
ROLE: list[dict[str, Any]] = [{"hosts": "all", "gather_facts": False, "roles": [{"role": DEPLOY}]}]
SHOW: list[dict[str, Any]] = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"deploy_flake.nixos.fleet_validate": {"entry_point": "main"}, "run_once": True, "register": "found"},
            {"debug": {"msg": "checks={{ found.checks[inventory_hostname] | default('none') }}"}},
            {"debug": {"msg": "builders={{ found.builders | join(' ') }}"}},
        ],
    }
]


def play(
    directory: Path, hosts: Mapping[str, Any], playbook: str | list[dict[str, Any]] = DEPLOY, *options: str
) -> tuple[int, str]:
    """Run a playbook; nobody answers at the hosts' address."""
    nowhere = {"ansible_host": "127.0.0.1", "ansible_port": 1, "deploy_flake_reconnect_timeout": 0}
    inventory = directory / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"vars": nowhere, "hosts": dict(hosts)}}), "utf-8")
    if not isinstance(playbook, str):
        (directory / "site.yml").write_text(yaml.safe_dump(playbook), "utf-8")
        playbook = str(directory / "site.yml")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), playbook, *options],
        cwd=directory,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


WRONG: dict[str, tuple[Mapping[str, Any], str]] = {
    "name": (
        {"deploy_flake_tset": False},
        "deploy_flake_tset: there is no such variable; did you mean deploy_flake_test?",
    ),
    "own": (
        {"deploy_flake_zzz": 1},
        "deploy_flake_zzz: there is no such variable; variables of your own must not begin",
    ),
    "key": (
        {"deploy_flake_health_checks": {"unit": ["a"]}},
        "deploy_flake_health_checks: there is no key 'unit'; did you mean units?",
    ),
    "deepkey": (
        {"deploy_flake_health_checks": {"urls": [{"url": "http://a", "staus": 200}]}},
        "deploy_flake_health_checks.urls: there is no key 'staus'; did you mean status?",
    ),
    "limit": ({"deploy_flake_limits": {"confrim": 3}}, "deploy_flake_limits: there is no key 'confrim'"),
    "port": ({"deploy_flake_health_checks": {"ports": [99999]}}, "99999 is not a port"),
    "page": ({"deploy_flake_health_checks": {"urls": [{"url": "web"}]}}, "'web' is not the address of a page"),
    "unit": ({"deploy_flake_health_checks": {"units": ["a b"]}}, "'a b' is not the name of a unit"),
    "choice": ({"deploy_flake_allow": ["no_shh"]}, "value of deploy_flake_allow must be one or more of"),
    "words": ({"deploy_flake_allow": "no_ssh, no_hss"}, "Got no match for: no_hss"),
    "builder": ({"deploy_flake_build_on": "well, build9,"}, "there is no host 'build9' in the inventory"),
    "type": ({"deploy_flake_build_timeout": "soon"}, "argument 'deploy_flake_build_timeout' is of type str"),
    "small": ({"deploy_flake_copy_timeout": 0}, "deploy_flake_copy_timeout: it must be at least 1, and is 0"),
    "negative": ({"deploy_flake_limits": {"check": -1}}, "the limit 'check' must be a positive number"),
    "attribute": ({"deploy_flake_attribute": "--impure"}, "attribute (deploy_flake_attribute) must be names with dots"),
    "built": (
        {"deploy_flake_file": "default.nix", "deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x"},
        "file (deploy_flake_file) says what to build, and toplevel (deploy_flake_toplevel) is a system that was built",
    ),
    "file": (
        {"deploy_flake_file": "default.nix", "deploy_flake_configuration": "web"},
        "name what is meant in default.nix with attribute (deploy_flake_attribute), as web.config.system.build",
    ),
    "path": ({"deploy_flake_toplevel": "/nix/x"}, "toplevel must be the store path of a system, and is '/nix/x'"),
    "untested": (
        {"deploy_flake_test": False, "deploy_flake_specialisation": "x"},
        "a specialisation can only be tried live",
    ),
    "nobody": ({"deploy_flake_checks": "~nobody-of-that-name/x.yml"}, "x.yml is not there; it is a file of tasks"),
    "drain": ({"deploy_flake_pre_activate_tasks": "drain.yml"}, "drain.yml is not there; it is a file of tasks"),
    "nowhere": ({"deploy_flake_checks": "none.yml"}, "none.yml is not there; it is a file of tasks"),
    "module": ({"deploy_flake_checks": "module.yml"}, "couldn't resolve module/action 'no_such_module'"),
    "keyword": ({"deploy_flake_checks": "keyword.yml"}, "keyword.yml cannot be loaded"),
    "import": ({"deploy_flake_checks": "import.yml"}, "import.yml has 'import_tasks'"),
    "nolist": ({"deploy_flake_checks": "nolist.yml"}, "nolist.yml has no list of tasks"),
    "undefined": ({"deploy_flake_message": "{{ nobody }}"}, "deploy_flake_message: 'nobody' is undefined"),
}
"""By host: what is wrong there, and what is said of it."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the user's files are."""
    (tmp_path / "module.yml").write_text("[{no_such_module: {}}]", "utf-8")
    (tmp_path / "keyword.yml").write_text("[{debug: {}, whenn: true}]", "utf-8")
    (tmp_path / "import.yml").write_text("[{block: [{import_tasks: more.yml}]}]", "utf-8")
    (tmp_path / "nolist.yml").write_text("debug:", "utf-8")
    return tmp_path


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_whatever_is_wrong_on_any_host_is_said_before_one_is_touched(directory: Path, options: tuple[str, ...]) -> None:
    hosts: dict[str, Any] = {"well": {}} | {name: variables for name, (variables, _said) in WRONG.items()}
    code, said = play(directory, hosts, DEPLOY, *options)
    assert code == 2
    assert "unreachable=1" not in said
    assert "the variables are wrong, and no host was touched:" in said
    for name, (_variables, words) in WRONG.items():
        line = next((line for line in said.splitlines() if words in line and not line.startswith("fatal")), "")
        assert line.endswith(f"({name})"), words


@pytest.mark.parametrize("playbook", ["build", "trial"])
def test_what_is_built_is_looked_at_where_nothing_is_tested(directory: Path, playbook: str) -> None:
    """What is allowed for a deployment is no matter of the build."""
    hosts = {"well": {"deploy_flake_allow": ["no_ssh"]}, "wrong": {"deploy_flake_attribute": "a b"}}
    code, said = play(directory, hosts, f"deploy_flake.nixos.{playbook}")
    assert code == 2
    assert "attribute (deploy_flake_attribute) must be names" in said
    assert "secrets_in_flake" not in said
    assert "and is 'a b' (wrong)" in said


def test_installation_is_looked_at_with_the_deploy_that_follows(directory: Path) -> None:
    """Before a disk is erased; no key is shown, and no name."""
    hosts = {
        "limit": {"deploy_flake_limits": {"check": -1}},
        "word": {"deploy_flake_install_allow": ["data_on_disk"]},
        "key": {"deploy_flake_install_host_keys": ["PRIVATE KEY"]},
    }
    code, said = play(directory, hosts, "deploy_flake.nixos.install")
    assert code == 2 and "no host was touched" in said, said
    assert "the limit 'check' must be a positive number" in said and "data_on_disks" in said, said
    assert "deploy_flake_install_host_keys must be a list of dictionaries" in said and "PRIVATE" not in said, said


def test_play_of_the_user_s_own(directory: Path) -> None:
    """The role in it; batches do not matter, since the last host counts as the first one does."""
    play_of_theirs = [{**ROLE[0], "serial": 1, "vars": {"deploy_flake_flake": "."}}]
    hosts: dict[str, Any] = {"well": {}, "wrong": {"deploy_flake_health_check": {}}}
    code, said = play(directory, hosts, play_of_theirs)
    assert code == 2
    assert "unreachable=1" not in said
    assert (
        "deploy_flake_health_check: there is no such variable; did you mean deploy_flake_health_checks? (wrong)" in said
    )


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        ([{"kind": "system-manager"}, {"kind": "home-manager"}], "needs the user whose home it is"),
        ([{"kind": "system-manager"}, {"kind": "system-manager"}], "system-manager is named twice"),
        ([{"kind": "home-manager", "usr": "al"}], "there is no key 'usr'; did you mean user?"),
        ([{"kind": "profile", "profile": "/p", "attribute": "$(reboot)"}], "attribute"),
        ([{"kind": "darwin"}], "must be one of"),
    ],
)
def test_profiles_that_cannot_be_meant(directory: Path, profiles: list[dict[str, Any]], said: str) -> None:
    task = {"deploy_flake.nixos.fleet_validate": {"entry_point": "profiles"}, "run_once": True}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    hosts: dict[str, Any] = {"a": {"deploy_flake_profiles": [{"kind": "system-manager"}]}, "b": {}}
    assert play(directory, hosts, plays)[0] == 0
    hosts["b"]["deploy_flake_profiles"] = profiles
    code, output = play(directory, hosts, plays)
    assert code == 2 and said in " ".join(output.split()), output


@pytest.mark.parametrize("entry_point", ["rollback", "status", "revoke", "reboot", "generations"])
def test_rollback_does_not_fail_for_what_only_a_deploy_would_read(directory: Path, entry_point: str) -> None:
    task = {"deploy_flake.nixos.fleet_validate": {"entry_point": entry_point}, "run_once": True}
    plays = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    hosts: dict[str, Any] = {"a": {"deploy_flake_buildd_args": []}, "b": {}}
    code, said = play(directory, hosts, plays)
    assert code == 0, said
    assert (
        "[WARNING]: deploy_flake_buildd_args: there is no such variable; did you mean deploy_flake_build_args? (a)"
        in (" ".join(said.split()))
    )
    hosts["b"]["deploy_flake_becom"] = True
    code, said = play(directory, hosts, plays)
    # That one would be read.
    assert code == 2
    assert "deploy_flake_becom: there is no such variable; did you mean deploy_flake_become? (b)" in said


ONLY = {"when": "inventory_hostname in wanted"}
ROLES: dict[str, dict[str, Any]] = {
    "role": {"roles": [{"role": DEPLOY, **ONLY}]},
    "imported": {"tasks": [{"import_role": {"name": DEPLOY}, **ONLY}]},
    "included": {"tasks": [{"include_role": {"name": DEPLOY}, **ONLY}]},
    "in-a-block": {"tasks": [{"block": [{"include_role": {"name": DEPLOY}}], **ONLY}]},
}
LEFT_OUT = {"deploy_flake_tset": 1}


@pytest.mark.parametrize("how", ROLES)
@pytest.mark.parametrize(
    ("hosts", "wanted", "wrong"),
    [
        ({"a": {}, "left": LEFT_OUT}, ["a"], False),
        ({"left": LEFT_OUT, "z": {}}, ["z"], False),
        # The first one, for which Ansible would run what it runs once, is not of those that are wrong.
        ({"left": {}, "y": {}, "z": LEFT_OUT}, ["y", "z"], True),
        ({"a": {}, "left": {}, "z": LEFT_OUT}, ["a", "z"], True),
    ],
    ids=["later", "first", "wrong-without-the-first", "wrong"],
)
def test_hosts_that_the_role_leaves_out_are_not_judged_and_all_others_are(
    directory: Path, how: str, hosts: dict[str, Any], wanted: list[str], wrong: bool
) -> None:
    known = {"wanted": wanted, "deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x"}
    plays = [{"hosts": "all", "gather_facts": False, "vars": known, **ROLES[how]}]
    code, said = play(directory, hosts, plays)
    assert ("deploy_flake_tset: there is no such variable" in said) == wrong
    assert code == (2 if wrong else 4), said
    # Nobody is touched where anybody is wrong.
    assert ("unreachable=1" in said) != wrong


@pytest.mark.parametrize(
    ("how", "when"), [*((how, "wanted") for how in ROLES), ("imported", ["wanted"]), ("imported", True)]
)
def test_later_batches_are_judged_with_the_first_one(directory: Path, how: str, when: Any) -> None:
    """However the role is told for whom it is."""
    known = {"wanted": True, "deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x"}
    role = {part: [{**what[0], "when": when}] for part, what in ROLES[how].items()}
    plays = [{"hosts": "all", "gather_facts": False, "serial": 1, "vars": known, **role}]
    code, said = play(directory, {"a": {}, "b": {}, "z": LEFT_OUT}, plays)
    assert code == 2, said
    assert "deploy_flake_tset: there is no such variable; did you mean deploy_flake_test? (z)" in said
    assert "unreachable=1" not in said


@pytest.mark.parametrize("how", ["role", "included"])
@pytest.mark.parametrize("serial", [1, 2])
def test_later_batches_are_judged_where_the_first_host_or_batch_is_left_out(
    directory: Path, how: str, serial: int
) -> None:
    known = {"wanted": ["y", "z"], "deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x"}
    plays = [{"hosts": "all", "gather_facts": False, "serial": serial, "vars": known, **ROLES[how]}]
    code, said = play(directory, {"left": {}, "y": {}, "z": LEFT_OUT}, plays)
    assert code == 2, said
    assert "the variables are wrong, and no host was touched:" in said
    assert "deploy_flake_tset: there is no such variable; did you mean deploy_flake_test? (z)" in said
    assert "unreachable=1" not in said


@pytest.mark.parametrize("how", ["import_role", "include_role"])
@pytest.mark.parametrize("first", [[], ["a"]], ids=["first", "first-left-out"])
def test_error_names_whom_it_kept_untouched(directory: Path, how: str, first: list[str]) -> None:
    """Hosts of an earlier batch were touched, where an error could not be known before."""
    role = {how: {"name": DEPLOY, "tasks_from": "validate.yml", "rolespec_validate": False}, "when": "it != 'no'"}
    set_its = {"set_fact": {"its_message": "x"}, "when": "inventory_hostname != 'z'"}
    known = {"deploy_flake_entry_point": "main", "deploy_flake_message": "{{ its_message }}"}
    hosts = {name: {"it": "no" if name in first else ""} for name in ("a", "b", "c", "z")}
    plays = [{"hosts": "all", "gather_facts": False, "serial": 2, "vars": known, "tasks": [set_its, role]}]
    code, said = play(directory, hosts, plays)
    assert code == 2, said
    assert "the variables are wrong, and no host of this batch was touched:" in said
    assert "undefined (z)" in " ".join(said.split())


def test_error_of_one_host_says_nothing_of_the_others(directory: Path) -> None:
    """Where hosts do not wait for one another."""
    plays = [{**ROLE[0], "strategy": "free"}]
    _code, said = play(directory, {"a": {}, "z": LEFT_OUT}, plays)
    assert "the variables are wrong, and z was not touched:" in said
    assert "no host" not in said


@pytest.mark.parametrize("wanted", [["a", "z"], ["z"]], ids=["all", "not-the-first"])
def test_checks_that_were_validated_are_those_that_run(directory: Path, wanted: list[str]) -> None:
    """The file that validation found runs in the window, whichever task validated it: there must be no other search."""
    (directory / "tasks").mkdir()
    (directory / "tasks/more.yml").write_text("[{debug: {msg: theirs}}]", "utf-8")
    given = {"deploy_flake_tested": {"state": "window"}, "deploy_flake_checks": "more.yml", "wanted": wanted}
    validate, checks = (
        {"import_role": {"name": DEPLOY, "tasks_from": each, "rolespec_validate": False}, **ONLY}
        for each in ("validate.yml", "checks.yml")
    )
    # From here on it can only be known from the validation.
    forget = {"set_fact": {"deploy_flake_checks": "~nobody/gone.yml"}}
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [validate, forget, checks],
            "vars": {**given, "deploy_flake_entry_point": "main"},
        }
    ]
    code, said = play(directory, {"a": {}, "z": {}}, plays)
    assert (code, said.count('"msg": "theirs"')) == (0, len(wanted)), said


@pytest.mark.parametrize(
    ("place", "given"), [(".", "~/more.yml"), ("tasks", "more.yml"), (".", "more.yml")], ids=["home", "tasks", "ours"]
)
def test_checks_are_found_where_validation_would_find_them(
    directory: Path, place: str, given: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Of a host that was left out when the others were validated, and with `free`."""
    (directory / place).mkdir(exist_ok=True)
    (directory / place / "more.yml").write_text("[{debug: {msg: theirs}}]", "utf-8")
    known = {"deploy_flake_tested": {"state": "window"}, "deploy_flake_checks": given}
    checks = {"import_role": {"name": DEPLOY, "tasks_from": "checks.yml", "rolespec_validate": False}}
    plays: Any = [{"hosts": "all", "gather_facts": False, "tasks": [checks], "vars": known}]
    if request.node.callspec.id == "ours":
        # A playbook of the collection: the current directory counts.
        copy = directory / "ansible_collections/deploy_flake/nixos"
        shutil.copytree(Path(fleet_validate.__file__).parents[2], copy)
        monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(directory))
        (copy / "playbooks/site.yml").write_text(yaml.safe_dump(plays), "utf-8")
        plays = str(copy / "playbooks/site.yml")
    code, said = play(directory, {"a": {}}, plays)
    assert (code, said.count('"msg": "theirs"')) == (0, 1), said


def test_only_hosts_of_the_deploy_are_asked_for_their_names(directory: Path) -> None:
    asked: dict[str, Any] = {"all": {"children": {"deploy_flake_own_hostname": {"hosts": {"a": {}, "b": {}}}}}}
    (directory / "own.yml").write_text(yaml.safe_dump(asked), "utf-8")
    its = {"deploy_flake_configuration": "{{ deploy_flake_asked.hostname }}"}
    given = ("-i", str(directory / "own.yml"), "-e", "deploy_flake_hosts=a")
    _code, said = play(directory, {"a": its, "b": {**its, **LEFT_OUT}}, f"{DEPLOY}_by_hostname", *given)
    assert ("b   " in said, said.count("unreachable=1")) == (False, 1), said


def test_error_of_all_hosts_is_told_once_and_names_none(directory: Path) -> None:
    code, said = play(directory, {"a": {}, "b": {}}, DEPLOY, "-e", "deploy_flake_mesage=x")
    assert code == 2
    assert "did you mean deploy_flake_message?\n" in said
    assert said.count("[ERROR]") == 1


def test_the_command_s_playbook_validates_before_it_asks_hosts_for_their_names(directory: Path) -> None:
    asked: dict[str, Any] = {"all": {"children": {"deploy_flake_own_hostname": {"hosts": {"a": {}}}}}}
    (directory / "own.yml").write_text(yaml.safe_dump(asked), "utf-8")
    wrong = {"deploy_flake_mesage": "x", "deploy_flake_configuration": "{{ deploy_flake_asked.hostname }}"}
    playbook = f"{DEPLOY}_by_hostname"
    code, said = play(directory, {"a": wrong}, playbook, "-i", str(directory / "own.yml"))
    assert code == 2
    assert "did you mean deploy_flake_message?\n" in said
    assert "unreachable=1" not in said
    del wrong["deploy_flake_mesage"]
    code, said = play(directory, {"a": wrong}, playbook, "-i", str(directory / "own.yml"))
    assert "unreachable=1" in said


def test_file_of_checks_is_looked_for_where_the_user_s_playbook_is(directory: Path) -> None:
    """Not among the role's own tasks, where there is a checks.yml too."""
    (directory / "tasks").mkdir()
    for file in ("checks.yml", "tasks/more.yml"):
        (directory / file).write_text("[{debug: {}}]", "utf-8")
    hosts = {
        "beside": {"deploy_flake_checks": "checks.yml"},
        "tasks": {"deploy_flake_checks": "more.yml"},
        "absolute": {"deploy_flake_checks": "{{ playbook_dir }}/checks.yml"},
        "none": {"deploy_flake_health_checks": {"urls": [{"url": "https://{{ inventory_hostname }}:8443/health"}]}},
        "omitted": {"deploy_flake_limits": "{{ omit }}", "deploy_flake_build_on": ["none", "beside"]},
    }
    code, said = play(directory, hosts, SHOW)
    assert code == 0, said
    assert said.count(f"checks={directory}/checks.yml") == 2
    assert said.count(f"checks={directory}/tasks/more.yml") == 1
    assert said.count("checks=none") == 2
    assert said.count('"msg": "builders=beside none"') == len(hosts)


def test_what_a_later_batch_is_to_know_it_need_not_know_yet(directory: Path) -> None:
    asks = {"set_fact": {"its_message": "of {{ inventory_hostname }}"}}
    plays = [
        {
            **SHOW[0],
            "serial": 1,
            "tasks": [asks, *SHOW[0]["tasks"]],
            "vars": {"deploy_flake_message": "{{ its_message }}"},
        }
    ]
    code, said = play(directory, {"a": {}, "b": {}}, plays)
    assert code == 0, said


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.host_pinned"])
def test_fleet_that_does_not_keep_step_is_refused(directory: Path, strategy: str) -> None:
    """It was split: a host had committed before another one failed."""
    everywhere = {"deploy_flake_all_or_nothing": True}
    code, said = play(directory, {"a": {}, "b": {}}, [{**ROLE[0], "strategy": strategy, "vars": everywhere}])
    assert code == 2
    assert f"with the strategy '{strategy}' no host waits for the others" in said
    assert "unreachable=1" not in said


def test_module_by_itself_refuses_a_fleet_that_does_not_keep_step(directory: Path) -> None:
    test = {"deploy_flake.nixos.system_test": {"toplevel": f"/nix/store/{'0' * 32}-x", "all_or_nothing": True}}
    code, said = play(
        directory, {"a": {}}, [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": [test]}]
    )
    assert code == 2
    assert "with the strategy 'free' no host waits for the others" in said


def test_strategies_that_keep_step(directory: Path) -> None:
    """What is derived from linear does, as mitogen_linear."""
    (directory / "strategies").mkdir()
    derived = (
        "from ansible.plugins.strategy.linear import StrategyModule as Linear\n\nclass StrategyModule(Linear): pass\n"
    )
    (directory / "strategies/mitogen_linear.py").write_text(derived, "utf-8")
    (directory / "ansible.cfg").write_text("[defaults]\nstrategy_plugins = strategies\n", "utf-8")
    keeps = {**SHOW[0], "strategy": "mitogen_linear", "vars": {"deploy_flake_all_or_nothing": True}}
    code, said = play(directory, {"a": {}, "b": {}}, [keeps, {**keeps, "strategy": "ansible.builtin.linear"}])
    assert code == 0, said


MEANT: dict[str, Any] = {"production": {"deploy_flake_allow_all": False}, "staging": {}}


@pytest.mark.parametrize("playbook", ["deploy", "rollback", "trial", "install", "reboot", "generations"])
def test_not_all_of_an_inventory_are_meant(directory: Path, playbook: str) -> None:
    code, said = play(directory, MEANT, f"deploy_flake.nixos.{playbook}")
    assert code == 2, said
    assert "deploy_flake_allow_all is false, and the play is one of all hosts of the inventory: choose" in said
    assert "unreachable=1" not in said


@pytest.mark.parametrize(
    "choice",
    [
        ("--limit", "production"),
        ("--limit", "all"),
        ("-e", "deploy_flake_hosts=production,staging"),
        ("-e", "deploy_flake_allow_all=true"),
    ],
)
def test_somebody_has_chosen(directory: Path, choice: tuple[str, str]) -> None:
    code, said = play(directory, MEANT, DEPLOY, *choice, "-e", f"deploy_flake_toplevel=/nix/store/{'0' * 32}-x")
    assert code == 4, said


def test_the_inventory_chooses_no_hosts(directory: Path) -> None:
    """The play does not read it there."""
    (directory / "group_vars").mkdir()
    (directory / "group_vars/all.yml").write_text("deploy_flake_hosts: staging\n", "utf-8")
    code, said = play(directory, MEANT, DEPLOY)
    assert code == 2, said
    assert "deploy_flake_hosts of the inventory chooses nothing, so give it with -e" in said
    assert "unreachable=1" not in said


def test_variables_of_a_play_choose(directory: Path) -> None:
    known = {"deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x", "deploy_flake_hosts": "all"}
    hosts = "{{ deploy_flake_hosts }}"
    plays = [{"hosts": hosts, "gather_facts": False, "vars": known, "roles": ["deploy_flake.nixos.deploy"]}]
    code, said = play(directory, MEANT, plays)
    assert code == 4, said


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ("all", 2),
        ("*", 2),
        ("all:!empty", 2),
        ("production,all", 2),
        (["staging", "all:!empty"], 2),
        ("production:staging", 4),
        ("all:!staging", 4),
        ("all:&ungrouped", 4),
    ],
)
def test_a_play_of_the_user_s_own_is_one_of_all_hosts(directory: Path, hosts: str | list[str], code: int) -> None:
    known = {"deploy_flake_toplevel": f"/nix/store/{'0' * 32}-x"}
    plays = [
        {"hosts": hosts, "gather_facts": False, "serial": 1, "vars": known, "roles": ["deploy_flake.nixos.deploy"]}
    ]
    found, said = play(directory, MEANT, plays)
    assert found == code, said


def test_one_host_is_all_that_there_can_be(directory: Path) -> None:
    given = f"deploy_flake_toplevel=/nix/store/{'0' * 32}-x"
    code, said = play(directory, {"production": {"deploy_flake_allow_all": "false"}}, DEPLOY, "-e", given)
    assert code == 4, said


def test_what_changes_nothing_may_be_of_all(directory: Path) -> None:
    code, said = play(directory, MEANT, "deploy_flake.nixos.status")
    assert "is false, and the play" not in said
    assert code == 2


def test_answers_of_the_survey(tmp_path: Path) -> None:
    """Each answer that the example of a survey offers can be meant, beside what it has for the other questions."""
    survey = json.loads((ROOT / "examples/survey.json").read_text("utf-8"))["spec"]
    unchanged = {question["variable"]: question["default"] for question in survey}
    hosts: dict[str, Any] = {"unchanged": unchanged}
    for question in survey:
        name = question["variable"]
        for choice in question.get("choices", []):
            answer = [choice] if question["type"] == "multiselect" else choice
            hosts[f"{name}-{choice}"] = unchanged | {name: answer}
    code, said = play(tmp_path, hosts, SHOW)
    assert code == 0, said
    # What is not offered cannot.
    code, said = play(tmp_path, {"other": unchanged | {"deploy_flake_on_older": "perhaps"}}, SHOW)
    assert (code, "deploy_flake_on_older" in said) == (2, True), said


@pytest.mark.parametrize("everywhere", [True, False])
def test_what_an_earlier_deployment_of_the_run_has_ended_with_is_not_told_of_this_one(
    tmp_path: Path, everywhere: bool
) -> None:
    """It is still registered when the next one does not even come to its test."""
    earlier: dict[str, Any] = {
        "deploy_flake_tested": {"state": "window", "deployment": "the-id", "toplevel": "/nix/store/x"},
        "deploy_flake_booted": {"state": "committed", "deployment": "the-id"},
    }
    (tmp_path / "drain.yml").write_text("- debug: {msg: drained}", "utf-8")
    # This machine is no host of NixOS, so the build fails.
    host = {"ansible_connection": "local", "deploy_flake_become": False}
    variables = {"deploy_flake_pre_activate_tasks": "drain.yml", "deploy_flake_all_or_nothing": everywhere}
    play_again: list[dict[str, Any]] = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [
                {"set_fact": earlier},
                {
                    "include_role": {"name": DEPLOY},
                    "vars": variables | {"deploy_flake_toplevel": f"/nix/store/{'a' * 32}-y"},
                },
            ],
        }
    ]
    code, output = play(tmp_path, {"web1": host, "web2": host}, play_again)
    assert code != 0
    assert "Fail with the reason" in output, output
    assert "has committed" not in output, output
    assert "committed: web" not in output, output
    assert ("previous: web1, web2" in output) == everywhere, output
