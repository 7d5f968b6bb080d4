# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of many hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status import fleet_table

WELL: dict[str, Any] = {
    "current_system": "/nix/store/abcdefghijkl-nixos-system-web1-25.11",
    "configuration_revision": "0123456789abcdef-dirty",
    "age": 7200,
    "drift": {"state": "drifted", "text": "3 behind", "revision": "", "why": ""},
    "reboot_reasons": [],
    "health": "running",
    "failed_units": [],
    "open_deployment": None,
    "boot_default": "/nix/store/abcdefghijkl-nixos-system-web1-25.11",
    "trial": None,
    "explanations": [],
}
ILL = WELL | {
    "configuration_revision": "",
    "drift": {"state": "unknown", "text": "unknown", "revision": "", "why": "nobody knows"},
    "reboot_reasons": ["kernel", "initrd"],
    "health": "degraded",
    "failed_units": ["a.service", "b.service"],
    "open_deployment": {"deployment": "x", "state": "window", "in_progress": True},
    "explanations": [{"state": "deploying", "text": "deployment x is in progress"}],
}


def test_rows() -> None:
    assert fleet_table.shown(fleet_table.row("web1", WELL)) == {
        "host": "web1",
        "system": "abcdefg-web1-25.11",
        "revision": "01234567-dirty",
        "age": "2h",
        "drift": "3 behind",
        "reboot": "no",
        "health": "running",
        "deployment": "-",
    }
    assert fleet_table.shown(fleet_table.row("web2", ILL)) | {"system": "", "host": "", "age": ""} == {
        "host": "",
        "system": "",
        "revision": "-",
        "age": "",
        "drift": "unknown",
        "reboot": "kernel, initrd",
        "health": "degraded, 2 failed",
        "deployment": "window",
    }
    left = WELL | {"open_deployment": {"deployment": "x", "state": "window", "in_progress": False}}
    assert fleet_table.row("web3", left)["deployment"] == "interrupted"


def test_hosts_that_do_not_answer_are_rows_too() -> None:
    assert fleet_table.row("web1", {"unreachable": True, "msg": "no route"})["health"] == "unreachable"
    assert fleet_table.row("web1", {"failed": True, "msg": "a\nb"})["health"] == "failed"
    assert fleet_table.remarks({"failed": True, "msg": "\na\nb"}) == ["a"]


def test_lines_are_a_table_without_empty_columns() -> None:
    gone = fleet_table.row("a-long-name", {"unreachable": True})
    lines = fleet_table.table([fleet_table.row("web1", WELL), gone])
    assert lines[0].split() == ["host", "system", "revision", "age", "drift", "reboot", "health"]
    assert [line.index(word) for line, word in zip(lines, ("health", "running", "unreachable"), strict=True)] == [
        lines[0].index("health")
    ] * 3


def test_remarks() -> None:
    assert fleet_table.remarks(WELL) == []
    assert fleet_table.remarks(ILL) == [
        "deployment x is in progress",
        "failed units: a.service, b.service",
        "drift is unknown: nobody knows",
    ]


def test_trials_are_remarked_on_where_nothing_else_tells_of_them() -> None:
    failed = {"toplevel": "/nix/store/x", "in_progress": False, "outcome": "x was not kept"}
    assert fleet_table.remarks(WELL | {"trial": failed}) == ["x was not kept"]
    (about,) = fleet_table.remarks(WELL | {"trial": failed | {"in_progress": True, "outcome": ""}})
    assert "/nix/store/x is about to be booted once" in about
    assert fleet_table.remarks(WELL | {"trial": failed | {"toplevel": WELL["current_system"]}}) == []


def test_hosts_with_the_same_remark_share_a_line() -> None:
    assert fleet_table.grouped({"a": ["x", "y"], "b": ["x"]}) == ["a, b: x", "a: y"]


def test_spans() -> None:
    assert [fleet_table.span(seconds) for seconds in (0, 59, 60, 3600, 86399, 86400 * 400)] == [
        "0s", "59s", "1m", "1h", "23h", "400d"
    ]  # fmt: skip


def test_systems_that_are_in_no_store() -> None:
    assert [fleet_table.short(path) for path in ("", "/elsewhere/x")] == ["", "/elsewhere/x"]
    assert fleet_table.short("/nix/store/0123456789-other") == "0123456-other"
