# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's tasks: that each module is given the role's variables, which no task says again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._lists import split_lists

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "roles/deploy/tasks"
PREFIX = "deploy_flake.nixos."
ARGUMENTS = yaml.safe_load((ROOT / "roles/deploy/vars/main.yml").read_text("utf-8"))["deploy_flake_arguments"]
DEFAULTS = yaml.safe_load((ROOT / "roles/deploy/defaults/main.yml").read_text("utf-8"))
SPECS = yaml.safe_load((ROOT / "roles/deploy/meta/argument_specs.yml").read_text("utf-8"))["argument_specs"]

LEFT_OUT = "left out"

Task = Mapping[str, Any]


def tasks(file: str, defaults: Mapping[str, str]) -> Iterator[tuple[Task, Mapping[str, str]]]:
    """Every task with the defaults for modules that hold for it, those of included files as well."""
    yield from _within(yaml.safe_load((TASKS / file).read_text("utf-8")), defaults)


def _within(those: list[Task], defaults: Mapping[str, str]) -> Iterator[tuple[Task, Mapping[str, str]]]:
    for task in those:
        here = {**defaults, **task.get("module_defaults", {})}
        for part in ("block", "rescue", "always"):
            yield from _within(task.get(part, []), here)
        file = task.get("ansible.builtin.include_tasks", {}).get("file", "{{")
        if "{{" not in file:
            yield from tasks(file, here)
        if "block" not in task:
            yield task, here


@pytest.mark.parametrize("entry_point", SPECS)
def test_every_module_is_given_the_role_s_variables(entry_point: str) -> None:
    """One that is not would run with its own defaults, whatever the variables say."""
    found = set()
    for task, defaults in tasks(f"{entry_point}.yml", {}):
        for module in (key.removeprefix(PREFIX) for key in task if key.startswith(PREFIX)):
            # What else system_info has to know when it is asked for something else than the status.
            if module in ARGUMENTS and (entry_point, module) != ("revoke", "system_info"):
                assert defaults.get(PREFIX + module) == f"{{{{ deploy_flake_arguments.{module} }}}}", task["name"]
                found.add(module)
    assert found


def given_to(module: str, **variables: Any) -> dict[str, Any]:
    """What the role gives to a module where these variables are set, those that it would leave out left out."""
    templar = Templar(loader=DataLoader(), variables={**DEFAULTS, "omit": LEFT_OUT, **variables})
    given = templar.template(trust_as_template(ARGUMENTS[module]))
    return {name: value for name, value in given.items() if value != LEFT_OUT}


def test_every_module_gets_the_words_of_allow_that_it_takes() -> None:
    """One that is stripped cannot be followed where an error names it; one that it does not take fails its task."""
    every = set(argument_spec("flake_deploy")["allow"]["choices"])
    for module in ARGUMENTS:
        spec = argument_spec(module)
        if "allow" not in spec:
            continue
        # As `-e` gives them as well.
        for words in (sorted(every), ", ".join(every)):
            allow = given_to(module, deploy_flake_allow=words, deploy_flake_install_allow=[])["allow"]
            given = set(split_lists(spec, {"allow": allow})["allow"])
            assert given <= set(spec["allow"]["choices"]), module
            if module in ("flake_build", "flake_deploy"):
                assert {"little_space", "secrets_in_flake"} <= given


def test_values_are_given_as_they_are() -> None:
    """Of their own type, with the templates in them resolved, and without those that nobody has set."""
    variables = {
        "inner": "two words",
        "deploy_flake_limits": {"settle": 7, "test": trust_as_template("{{ 3 + 4 }}")},
        "deploy_flake_build_args": ["--option", trust_as_template("{{ inner }}")],
        "deploy_flake_message": 'it\'s "quoted", \\ and {{ no template',
        "deploy_flake_test": "no",
    }
    given = given_to("flake_deploy", **variables)
    assert given["limits"] == {"settle": 7, "test": 7}
    assert given["build_args"] == ["--option", "two words"]
    assert given["message"] == variables["deploy_flake_message"]
    assert given["test"] == "no"
    assert given["lock_timeout"] == DEFAULTS["deploy_flake_lock_timeout"]
    assert "configuration" not in given and "toplevel" not in given


@pytest.mark.parametrize(("entry_point", "needs_system"), [("main", True), ("trial", True), ("build", None)])
def test_what_is_deployed_has_to_be_a_system(entry_point: str, needs_system: bool | None) -> None:
    """Where another host builds it, it comes to its own for that reason."""
    name = f"{PREFIX}flake_build"
    found = [
        (task[name] or {}).get("needs_system") for task, _defaults in tasks(f"{entry_point}.yml", {}) if name in task
    ]
    assert found
    assert {*found} == {needs_system}


def test_sequence_is_the_same_for_a_fleet_that_commits_everywhere_or_nowhere() -> None:
    for file in ("main.yml", "rollback.yml"):
        *_others, alone, _end, fleet = yaml.safe_load((TASKS / file).read_text("utf-8"))
        assert fleet["any_errors_fatal"] is True
        assert "any_errors_fatal" not in alone
        for part in ("block", "rescue", "become", "module_defaults"):
            assert alone[part] == fleet[part]


def test_a_trial_leaves_out_nobody_after_the_build() -> None:
    """One that is gone after the build is lost."""
    (reboot,) = (task for task, _defaults in tasks("trial.yml", {}) if PREFIX + "system_reboot" in task)
    assert reboot[PREFIX + "system_reboot"]["allow_unreachable"] is False


def test_playbooks_are_entry_points() -> None:
    """Each has the name of one, and runs it."""
    for name in SPECS:
        (play,) = yaml.safe_load((ROOT / f"playbooks/{'deploy' if name == 'main' else name}.yml").read_text("utf-8"))
        parts = [task["ansible.builtin.import_role"]["tasks_from"] for task in play["tasks"]]
        # Who was not there is told where something was to be done.
        assert parts == [f"{name}.yml", *(["absent.yml"] if name not in ("diff", "revoke", "status") else [])]


def test_every_entry_point_first_validates_what_it_reads() -> None:
    """A revocation is in a hurry, and a mistake in an inventory must not hold it up."""
    for name in SPECS:
        first, *_others = yaml.safe_load((TASKS / f"{name}.yml").read_text("utf-8"))
        validates = first.get("ansible.builtin.import_tasks") == {"file": "validate.yml"}
        assert validates == (name != "revoke")
        if validates:
            assert first["vars"] == {"deploy_flake_entry_point": name}


def test_every_task_says_what_it_does() -> None:
    for file in TASKS.glob("*.yml"):
        for task, _defaults in tasks(file.name, {}):
            assert task["name"][0].isupper(), file


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"deploy_flake_test": False}, True),
        ({"deploy_flake_test": False, "deploy_flake_tested": {"skipped": True}}, True),
        # What was tested has them, and an earlier system that is rolled back to needs none.
        ({"deploy_flake_test": False, "deploy_flake_tested": {"deployment": "1"}}, False),
        ({"deploy_flake_test": True}, False),
    ],
)
@pytest.mark.parametrize("name", ["secrets", "remove_other_secrets"])
def test_a_confirmation_asks_for_no_secrets(given: Mapping[str, Any], asked: bool, name: str) -> None:
    """A lookup that fails must not be what ends it."""
    said = given_to("system_boot", **given, **{f"deploy_flake_{name}": "asked"})
    assert (said.get(name) == "asked") == asked


@pytest.mark.parametrize(
    ("tested", "brings"),
    [({"secrets": []}, True), ({"deployment": "1"}, False), ({"skipped": True}, False), (None, False)],
)
def test_a_confirmation_knows_that_there_are_some(tested: Mapping[str, Any] | None, brings: bool) -> None:
    variables = {} if tested is None else {"deploy_flake_tested": tested}
    assert given_to("system_boot", **variables)["brings_secrets"] is brings


@pytest.mark.parametrize(
    ("tested", "booted", "revoked"),
    [
        ({"state": "window", "deployment": "1"}, None, "1"),
        ({"state": "window", "deployment": "1"}, {"state": "unknown", "deployment": "1"}, "1"),
        ({"state": "window", "deployment": "1"}, {"state": "committed", "deployment": "1"}, ""),
        # Of an earlier deployment in the same play.
        ({"state": "window", "deployment": "2"}, {"state": "committed", "deployment": "1"}, "2"),
        # Secrets alone, without a test, in one task and step by step.
        ({}, {"state": "unknown", "deployment": "3"}, "3"),
        ({"skipped": True}, {"state": "unknown", "deployment": "3"}, "3"),
        ({"skipped": True}, {"state": "refused", "deployment": "3"}, ""),
        ({"skipped": True}, {"state": "committed", "deployment": "1"}, ""),
        (None, None, ""),
    ],
)
def test_what_waits_for_confirmation_is_rolled_back(
    tested: Mapping[str, Any] | None, booted: Mapping[str, Any] | None, revoked: str
) -> None:
    task = yaml.safe_load((TASKS / "rescue.yml").read_text("utf-8"))[0]
    given = {"deploy_flake_tested": tested, "deploy_flake_booted": booted}
    variables = {name: value for name, value in given.items() if value is not None}
    variables |= {name: trust_as_template(text) for name, text in task["vars"].items()}
    templar = Templar(loader=DataLoader(), variables=variables)

    def of(text: str) -> Any:
        return templar.template(trust_as_template(text))

    assert all(of(f"{{{{ {condition} }}}}") for condition in task["when"]) == bool(revoked)
    if revoked:
        assert of(task["deploy_flake.nixos.system_revoke"]["deployment"]) == revoked


def test_arguments_of_a_command_are_split_as_ansible_does_it() -> None:
    """One may be empty, as in `--option builders ''`; names lose what is not theirs."""
    given = {"build_args": "--option,builders,", "build_on": "build1, build2,"}
    split = {"build_args": ["--option", "builders", ""], "build_on": ["build1", "build2"]}
    assert split_lists(argument_spec("flake_build"), given) == split
    assert split_lists(argument_spec("flake_build"), {"build_args": ""}) == {"build_args": []}
