# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown: lines, and a table."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from unit.package.faking import NEW, OLD, Event, Playing, deployed, plays, result, shown, started, stats

import deploy_flake
from deploy_flake import HostResult, HostStatus, Outcome, Run, State
from deploy_flake.display import Display, Json, Plain, choose, errors, status_lines, summary
from deploy_flake.table import Table

GIB = 1 << 30
STATUS = HostStatus(
    "web1",
    Outcome.UNCHANGED,
    hostname="web",
    system=NEW,
    booted_system=OLD,
    boot_default=NEW,
    generation=3,
    health="degraded",
    failed_units=["a.service"],
    kernel_version="6.12",
    free_space={
        "nix": {"path": "/nix", "free_bytes": GIB, "total_bytes": 2 * GIB},
        "boot": {"path": "/efi", "free_bytes": GIB, "total_bytes": GIB},
    },
    revision="abc",
    reboot_reasons=["kernel"],
    open_deployment={"deployment": "d", "state": "window", "in_progress": False},
    deployments=[{"id": "c", "outcome": "committed", "to": NEW}],
)


@pytest.mark.parametrize(
    ("host", "line"),
    [
        (
            HostResult("h", Outcome.DEPLOYED, generation=3, previous_system=OLD, new_system=NEW),
            "deployed: generation 3, 0000000-web-1 → 1111111-web-2",
        ),
        (HostResult("h", Outcome.DEPLOYED, reboot_required=True), "deployed: it has to be rebooted to run all of it"),
        (HostResult("h", Outcome.DEPLOYED), "deployed"),
        (
            HostResult("h", Outcome.UNTIL_REBOOT, generation=3, new_system=NEW),
            "until reboot: runs 1111111-web-2; the next reboot starts generation 3 again",
        ),
        (HostResult("h", Outcome.UNCHANGED, system=NEW, generation=3), "unchanged: runs 1111111-web-2, generation 3"),
        (
            HostResult("h", Outcome.UNCHANGED, system=NEW, new_system=NEW, generation=3, boot_loader_default=OLD),
            "unchanged: runs 1111111-web-2; the next reboot starts 0000000-web-1",
        ),
        (
            HostResult("h", Outcome.UNCHANGED, reason="nothing-waits"),
            "unchanged: nothing waits for confirmation",
        ),
        (HostResult("h", Outcome.WOULD_CHANGE, State.WOULD_TEST, new_system=NEW), "would run 1111111-web-2"),
        (HostResult("h", Outcome.WOULD_CHANGE, State.WOULD_BOOT, new_system="x"), "would boot x"),
        (HostResult("h", Outcome.WOULD_CHANGE), "would run another system"),
        (HostResult("h", Outcome.ROLLED_BACK, system=OLD), "rolled back: runs 0000000-web-1 again"),
        (HostResult("h", Outcome.DONE, new_system=NEW), f"done: {NEW}"),
        (HostResult("h", Outcome.DONE, new_system=OLD, outputs={"out": OLD, "man": NEW}), f"done: {OLD} {NEW}"),
        (HostResult("h", Outcome.ROLLED_BACK), "rolled back: runs its previous system again"),
        (HostResult("h", Outcome.FAILED, error="one\ntwo"), "failed: one"),
        (HostResult("h", Outcome.INTERRUPTED), "interrupted"),
        (STATUS, "runs 1111111-web-2, degraded, generation 3"),
    ],
)
def test_how_a_host_ended(host: HostResult, line: str) -> None:
    assert summary(host) == line


def test_all_about_one_host() -> None:
    assert status_lines(STATUS) == [
        "web1 (web): NixOS ?",
        f"  runs          {NEW}",
        f"  boots         {NEW} (generation 3)",
        f"  booted        {OLD}",
        "  health        degraded: a.service",
        "  kernel        6.12",
        "  free space    1024 of 2048 MiB are free on /nix",
        "  free space    1024 of 1024 MiB are free on /efi",
        "  revision      abc",
        "  reboot        needed for kernel",
        "  in progress   d, window; left unfinished, the next deployment repairs it",
        "  deployment    c committed 1111111-web-2",
    ]


def play(monkeypatch: pytest.MonkeyPatch, show: Display, *events: Event, begin: Callable[..., Run]) -> str:
    """Show a run."""

    def script(playing: Playing) -> None:
        playing.play(*events, stats("web1", "web2"))

    plays(monkeypatch, script)
    run = begin(["nixos://web1/x", "nixos://web2/x"], on_event=show.show, wait=False)
    with show.showing(run):
        run.wait(60)
    show.interrupted("SIGINT")
    show.finish(run)
    return "".join(line.rstrip() + "\n" for line in out_of(show).getvalue().splitlines())


def out_of(show: Display) -> io.StringIO:
    out = show.console.file if isinstance(show, Table) else show._out if isinstance(show, Plain) else None
    assert isinstance(out, io.StringIO)
    return out


FAILS = result("web2", "flake_build", "failed", msg="it broke\nin two lines")
EVENTS = [
    *deployed("web1"),
    started("web2", "flake_build"),
    shown("web2: 3 of 7"),
    shown("[WARNING]: web2: odd", "warning"),
    shown("[WARNING]: odd too", "warning"),
    FAILS,
]
SAID = """\
web1: building
web2: building
web2: 3 of 7
web2: warning: odd
warning: odd too
web1: deployed: generation 3, 0000000-web-1 → 1111111-web-2
web2: failed
SIGINT: stopping

web2: failed
  it broke
  in two lines
1 deployed, 1 failed in"""


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = play(monkeypatch, Plain(io.StringIO()), *EVENTS, begin=deploy_flake.deploy)
    assert sorted(text.splitlines()[:7]) == sorted(SAID.splitlines()[:7])
    assert "\n".join(SAID.splitlines()[7:]) in text


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    show = Table(Console(file=io.StringIO(), width=100))
    text = play(monkeypatch, show, *EVENTS, begin=deploy_flake.deploy)
    rows = [line.split(maxsplit=3) for line in text.splitlines()]
    assert ["web1", "deployed", "0:00", "generation 3, 0000000-web-1 → 1111111-web-2"] in rows
    assert ["web2", "failed", "0:00", "it broke"] in rows
    assert "web2: odd" in text
    assert "web2: failed\n  it broke\n  in two lines" in text


LOOKED = [result(f"web{n}", "system_info", current_system=NEW, health="running") for n in (1, 2)]
ROWS = [{"host": f"web{n}", "system": "n", "health": "running", "drift": "-"} for n in (1, 2)]
TABLE = result("web1", "fleet_status", rows=ROWS, remarks={"web1": ["odd"], "web2": ["odd"]})


@pytest.mark.parametrize("kind", [Plain, Table])
def test_status(monkeypatch: pytest.MonkeyPatch, kind: type[Plain | Table]) -> None:
    out = io.StringIO()
    show = Plain(out) if kind is Plain else Table(Console(file=out, width=100))
    text = play(monkeypatch, show, *LOOKED, TABLE, begin=deploy_flake.status)
    assert "host  system  health\nweb1  n       running\nweb2  n       running\nweb1, web2: odd\n" in text
    assert "2 answered in" in text


@pytest.mark.parametrize("kind", [Plain, Table])
def test_generations(monkeypatch: pytest.MonkeyPatch, kind: type[Plain | Table]) -> None:
    """Oldest first, and what runs, was booted and would boot; nothing of it where nobody asks."""
    common: dict[str, Any] = {"kernel_version": "", "nixos_version": "2", "specialisations": []}
    generations = [
        {"generation": 2, "date": "2026-01-01T09:14:59+00:00", "system": OLD, "revision": "", **common},
        {"generation": 3, "date": "2026-01-02T09:14:59+00:00", "system": NEW, "revision": "f" * 40, **common},
    ]
    found: dict[str, Any] = {"current_system": NEW, "booted_system": OLD, "generation": 3, "generations": generations}
    looked = [result("web1", "system_info", health="running", **found), LOOKED[1]]
    for asked in (True, False):
        out = io.StringIO()
        show = Plain(out) if kind is Plain else Table(Console(file=out, width=40))
        show.generations = asked
        text = play(monkeypatch, show, *looked, TABLE, begin=deploy_flake.status)
        told = [
            "web1: generations",
            "generation  date              revision  system         now",
            "2           2026-01-01 09:14  -         0000000-web-1  booted",
            "3           2026-01-02 09:14  ffffffff  1111111-web-2  runs, boot default",
        ]
        assert ("\n".join(told) in text) is asked
        assert ("web1: generations" in text, "web2: generations" in text) == (asked, False)
    assert choose("plain", generations=True).generations


def test_table_while_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    show = Table(Console(file=out, width=80, force_terminal=True, color_system=None))
    show.console.print(show._live_view())
    play(monkeypatch, show, *EVENTS, begin=deploy_flake.deploy)
    show.console.print(show._live_view())
    assert "2 of 2 hosts" in out.getvalue()
    assert "SIGINT: stopping; once more to leave at once" in out.getvalue()


def test_error_beside_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, lambda playing: setattr(playing, "code", -9))
    run = deploy_flake.deploy(["nixos://web1/x"])
    assert errors(run)[-1] == "error: ansible-playbook was killed."


@pytest.mark.parametrize(
    ("wanted", "terminal", "term", "kind"),
    [
        ("json", True, "xterm", Json),
        ("plain", True, "xterm", Plain),
        ("tui", False, "xterm", Table),
        (None, True, "xterm", Table),
        (None, True, "dumb", Plain),
        (None, False, "xterm", Plain),
    ],
)
def test_which_display(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, terminal: bool, term: str, kind: type[Display]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", term)
    assert choose(wanted).__class__ is kind
