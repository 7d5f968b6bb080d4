# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of an option: a variable of the role, an argument of the modules, a field, a flag, lines in tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import option_docs, option_package, option_role, option_table, options
from tools.option_table import Table, TableError, module_options
from tools.shell import ROOT


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


@pytest.fixture(autouse=True)
def ruff_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """How it is laid out is the checks' matter."""
    monkeypatch.setattr(option_package, "_formatted", lambda text: text)


def argument_specs(table: Table) -> Mapping[str, Any]:
    specs: Mapping[str, Any] = yaml.safe_load(option_role.argument_specs(table))["argument_specs"]
    return specs


def test_usual_option_needs_no_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documented for the modules that deploy, it is everywhere."""
    new = {"description": ["How many C(things) there are. And more."], "type": "int", "default": 7}
    documented = module_options

    def with_new(module: str) -> Mapping[str, Any]:
        there = documented(module)
        return {**there, "things": new} if "last_resort_reboot" in there else there

    monkeypatch.setattr(option_table, "module_options", with_new)
    table = Table()
    specs = argument_specs(table)
    assert {name for name, spec in specs.items() if "deploy_flake_things" in spec["options"]} == {
        *("main", "rollback", "install")
    }
    assert specs["main"]["options"]["deploy_flake_things"] == {**new, "description": new["description"]}
    assert yaml.safe_load(option_role.defaults(table))["deploy_flake_things"] == 7
    given = yaml.safe_load(option_role.arguments(table))["deploy_flake_arguments"]
    assert {module for module, one in given.items() if "\n  'things': deploy_flake_things,\n" in one} == {
        *("flake_deploy", "system_test", "system_boot", "system_rollback")
    }
    assert "    things: int | None = None\n" in option_package.python(table)
    (flag,) = (one for one in option_package.flags(table) if one["field"] == "things")
    assert (flag["name"], flag["commands"]) == ("--things", ("deploy", "rollback", "install"))
    assert flag["help"] == "how many things there are (default: 7)"
    assert "| `deploy_flake_things` | int | `7` | main, rollback, install | How many things there are |" in (
        option_docs.variables(table)
    )


def test_every_option_of_a_module_has_a_variable_or_a_reason(table: Table) -> None:
    """What the role gives to no module, it says so by name."""
    said = yaml.safe_load((ROOT / option_table.TABLE).read_text("utf-8"))["modules"]
    for module, given in table.arguments.items():
        if not isinstance(given, str):
            left_out = module_options(module).keys() - given.keys()
            assert left_out == {name for name, expression in said.get(module, {}).items() if expression is None}


def test_every_variable_that_is_read_is_documented(table: Table) -> None:
    """In the playbooks, in the role's tasks and templates, and in what its modules are given."""
    root = ROOT
    files = [
        *(root / "playbooks").glob("*.yml"),
        *(root / "roles/deploy").rglob("*.yml"),
        *(root / "roles").rglob("*.j2"),
    ]
    texts = [file.read_text("utf-8") for file in files if file.name != "argument_specs.yml"]
    read = {word for text in texts for word in re.findall(r"\bdeploy_flake_\w+", text)}
    registered = {word for text in texts for word in re.findall(r"register: (\w+)", text)}
    inner = {
        f"deploy_flake_{name}"
        for name in (
            *("arguments", "entry_point", "is_earlier", "known", "own", "own_found", "own_hostname"),
            *("told_in_the_end", "waiting"),
        )
    }
    documented = {name for spec in argument_specs(table).values() for name in spec["options"]}
    assert read - registered - inner == documented


def test_keys_of_dictionaries_are_known(table: Table) -> None:
    main = argument_specs(table)["main"]["options"]
    assert "settle" in main["deploy_flake_limits"]["options"]
    assert set(main["deploy_flake_min_free_space"]["options"]) == {"nix", "boot"}
    checks = main["deploy_flake_health_checks"]["options"]
    assert set(checks) == {"units", "ports", "address", "urls", "timeout", "delay"}
    assert checks["urls"]["options"]["url"]["required"] is True


def test_what_validates_once_for_all_hosts_is_the_same(table: Table) -> None:
    def bare(option: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in option.items() if key not in ("description", "default", "options")}
        inner = option.get("options", {})
        return found | ({"options": {name: bare(one) for name, one in inner.items()}} if inner else {})

    types = json.loads(option_role.types(table))
    specs = argument_specs(table)
    assert types.keys() == specs.keys()
    for name, spec in specs.items():
        assert types[name] == {option: bare(its) for option, its in spec["options"].items()}


def test_secret_is_one_everywhere(table: Table) -> None:
    specs = argument_specs(table)
    assert specs["main"]["options"]["deploy_flake_nix_config"]["no_log"] is True
    assert specs["trial"]["options"]["deploy_flake_nix_config"]["no_log"] is True


def test_references_name_what_the_reader_can_set(table: Table) -> None:
    """The role's own variables where it has one, else the module and its option."""
    specs = argument_specs(table)
    text = str(specs)
    assert "O(deploy_flake_attribute)" in str(specs["main"]["options"]["deploy_flake_configuration"])
    for name, spec in specs.items():
        for found in re.findall(r"\bO\((deploy_flake_\w+)", str(spec)):
            assert found in spec["options"], name
    assert not re.search(r"\bO\((?!deploy_flake[._])", text)
    assert not re.search(r"\bRV\((?!deploy_flake\.)", text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modules": {"system_test": {"colour": None}}}, "has no option colour"),
        ({"modules": {"nix_build": {}}}, "no entry point runs nix_build"),
        ({"variables": {"colour": {"entry_points": ["main"]}}}, "has no description"),
        ({"variables": {"colour": {"of": "system_test.allow"}}}, "no entry point reads colour"),
        ({"survey": ["message", "colour"]}, "the survey asks for colour"),
    ],
)
def test_line_that_fits_nothing_is_refused(change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = yaml.safe_load((ROOT / option_table.TABLE).read_text("utf-8"))
    for part, lines in change.items():
        loaded[part] = loaded[part] | lines if isinstance(lines, dict) else lines
    documented = yaml.safe_load
    monkeypatch.setattr(yaml, "safe_load", lambda text: loaded if "entry_points:" in text else documented(text))
    with pytest.raises(TableError, match=words):
        Table()


def test_what_is_out_of_date_is_found_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "ROOT", tmp_path)
    monkeypatch.setattr(options, "files", lambda: [(Path("a/b.yml"), "new"), (Path("c"), "same")])
    (tmp_path / "c").write_text("same")
    assert options.stale(write=False) == ["a/b.yml"]
    assert options.stale(write=True) == ["a/b.yml"]
    assert options.stale(write=False) == []
