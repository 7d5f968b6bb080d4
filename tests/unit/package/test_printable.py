# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No control character of a host reaches whoever runs the command, whatever ansible-playbook reports."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from unit.package.faking import plays, result, shown, started, stats

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils import _printable
from deploy_flake import ansible_output, api, printable
from deploy_flake.display import Display, Json, Plain
from deploy_flake.events import Event
from deploy_flake.options import RunOptions
from deploy_flake.table import Table

EVIL = "a\x9b2Jb\x1b[31mc\x1b]0;title\x07d\x9d0;title\x9ce\x00\x7f\x85\rf"


def test_collection_and_package_mean_the_same() -> None:
    assert printable.CONTROL.pattern == _printable.CONTROL.pattern
    assert printable.printable(EVIL) == "abcdef"
    assert printable.all_printable({EVIL: [EVIL, 7, None, (EVIL,)]}) == {"abcdef": ["abcdef", 7, None, ["abcdef"]]}


def test_what_is_no_character_is_replaced() -> None:
    assert printable.printable(b"a\xffb".decode(errors="surrogateescape")) == "a\N{REPLACEMENT CHARACTER}b"


def deployed(monkeypatch: pytest.MonkeyPatch, display: Display) -> Any:
    """A run in which everything that a host can say is evil."""
    values = {"msg": f"{EVIL}\n{EVIL}", "notes": [EVIL], "failed_units": [EVIL], "warnings": [f"web1: {EVIL}"]}
    fails = result("web1", "flake_deploy", "failed", state="rolled-back", build={}, test=values, reason=EVIL, **values)

    def script(playing: Any) -> None:
        playing.play(started("web1", "flake_deploy"), shown(f"web1: {EVIL}"), shown(f"[WARNING]: {EVIL}", "warning"))
        playing.play(fails, stats("web1"))

    plays(monkeypatch, script)
    run = api.deploy(run=RunOptions(inventory=["web1,"]), on_event=display.show)
    display.finish(run)
    return run


def is_clean(text: str) -> bool:
    return "abcdef" in text and not printable.CONTROL.search(text.replace("\r\n", "\n"))


def test_results_and_events(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    run = deployed(monkeypatch, SimpleNamespace(show=told.append, finish=lambda _run: None))  # type: ignore[arg-type]
    host = run.hosts["web1"]
    assert (host.error, host.notes, host.failed_units, host.reason) == (
        "abcdef\nabcdef",
        ["abcdef"],
        ["abcdef"],
        "abcdef",
    )
    assert is_clean(json.dumps([event.as_json() for event in told], ensure_ascii=False))


@pytest.mark.parametrize("display", [Plain, Json])
def test_lines(monkeypatch: pytest.MonkeyPatch, display: Any) -> None:
    out = io.StringIO()
    deployed(monkeypatch, display(out))
    assert is_clean(out.getvalue())


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, height=24, force_terminal=True, color_system=None)
    deployed(monkeypatch, Table(console))
    assert is_clean(out.getvalue())


def test_displays_do_not_rely_on_others() -> None:
    """What they are given may come from elsewhere."""
    run: Any = SimpleNamespace(operation="deploy", hosts={}, table=[], remarks={}, absent=[], error=EVIL, seconds=1.0)
    out = io.StringIO()
    Plain(out).finish(run)
    assert is_clean(out.getvalue())
    out = io.StringIO()
    Table(Console(file=out, width=100, color_system=None)).finish(run)
    assert is_clean(out.getvalue())


def test_what_ansible_playbook_says_where_it_has_failed() -> None:
    assert ansible_output.complaint(f"ERROR! {EVIL}\n") == "ERROR! abcdef"
