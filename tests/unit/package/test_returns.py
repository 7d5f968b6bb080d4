# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated of return values: that it is up to date, and that a change of any of it is noticed."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from deploy_flake import returned
from deploy_flake.result import HostResult, HostStatus
from tools import event_schema, returns

ROOT = Path(__file__).parents[3]
# What no module returns.
OURS = {"name", "outcome", "state", "seconds", "error"}


def test_it_is_up_to_date() -> None:
    assert returns.check() == []


def test_every_field_has_a_return_value() -> None:
    known = {field.name for field in dataclasses.fields(HostResult)}
    assert set(returned.OF_A_DEPLOYMENT.values()) | OURS == known
    assert set(returned.OF_A_HOST.values()) <= {field.name for field in dataclasses.fields(HostStatus)}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy in which something can be changed."""
    for name in ("plugins/modules", "deploy_flake", "tests/tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr(returns, "ROOT", tmp_path)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_a_value_is_changed_in_one_place(tree: Path) -> None:
    table = tree / "tests/tools/return_values.yml"
    change(table, "The system that would have booted before.", '"What it booted by default: something."')
    modules = ("system_boot", "system_revoke", "system_rollback", "system_secrets", "system_test")
    assert returns.check() == [f"plugins/modules/{module}.py" for module in modules]
    change(table, "When the host will have rolled back", "When it will have rolled back")
    assert "deploy_flake/result.py" in returns.generate()
    for module in modules:
        text = (tree / f"plugins/modules/{module}.py").read_text("utf-8")
        read = yaml.safe_load(text.partition('RETURN = r"""')[2].partition('"""')[0])
        assert read["previous_boot_default"]["description"] == "What it booted by default: something."
    assert "When it will have rolled back" in (tree / "deploy_flake/result.py").read_text("utf-8")
    assert returns.check() == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("plugins/modules/system_test.py", "The system that ran before.", "Another."),
        ("deploy_flake/result.py", "generation: int | None = None", "generation: int = 0"),
        ("deploy_flake/returned.py", '"toplevel": "new_system"', '"toplevel": "system"'),
        ("deploy_flake/events.schema.json", '"deployed"', '"done"'),
    ],
)
def test_what_was_changed_by_hand_is_noticed(tree: Path, name: str, old: str, new: str) -> None:
    change(tree / name, old, new)
    assert returns.check() == [name]


def test_module_without_a_place_for_them(tree: Path) -> None:
    change(tree / "plugins/modules/system_test.py", "# Until here.", "#")
    with pytest.raises(ValueError, match="system_test"):
        returns.check()


def test_schema_is_one() -> None:
    schema = event_schema.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    (status,) = [form for form in schema["oneOf"] if "hostname" in form["properties"]]
    assert status["properties"]["time"]["format"] == "date-time"
    assert status["properties"]["age"]["type"] == ["integer", "null"]
    assert schema["$defs"]["FreeSpace"]["required"] == []
    assert schema["$defs"]["Changes"]["properties"]["closure_bytes"] == {
        "$ref": "#/$defs/ClosureBytes",
        "description": "The sizes of the two closures in bytes.",
    }


def test_type_that_the_schema_does_not_know() -> None:
    with pytest.raises(KeyError):
        event_schema._of(list[bytes])
