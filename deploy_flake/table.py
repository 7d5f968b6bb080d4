# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live table: a row per host while it works, errors in full when it is over."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from deploy_flake import display
from deploy_flake.check_and_diff import lines_about
from deploy_flake.events import Entered, Event, Phase, Progress, Result, Warned
from deploy_flake.printable import printable
from deploy_flake.result import HostResult, HostStatus, Outcome

if TYPE_CHECKING:
    from deploy_flake.run import Run

_STYLE = {
    Outcome.DEPLOYED: "green",
    Outcome.UNTIL_REBOOT: "green",
    Outcome.DONE: "green",
    Outcome.UNCHANGED: "green",
    Outcome.WOULD_CHANGE: "cyan",
    Outcome.ROLLED_BACK: "yellow",
    Outcome.INTERRUPTED: "yellow",
    Outcome.FAILED: "bold red",
    Outcome.UNREACHABLE: "red",
    Outcome.UNKNOWN: "bold red",
}
_ORDER = ("failed", "working", "waiting", "done")
_AROUND = 4
"""Lines that the table needs beside its rows."""


class Table(display.Display):
    """Drawn again a few times a second, and never higher or wider than the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        # rich itself honours NO_COLOR.
        self.console = console or Console(highlight=False)
        self._lock = threading.Lock()
        self._saying: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._ended: dict[str, HostResult] = {}
        self._notice = ""
        self._began = time.monotonic()
        self._live: Live | None = None
        self._run: Run | None = None

    def show(self, event: Event) -> None:
        """Note it; warnings are printed above the table."""
        with self._lock:
            match event:
                case Entered(host=host):
                    self._since.setdefault(host, time.monotonic())
                    self._saying[host] = ""
                case Progress(host=host, text=text) if self._run and host not in self._run.hosts:
                    # It builds for those that wait for that.
                    for name in self._run.hosts:
                        if self._run.phase(name) is Phase.BUILDING:
                            self._saying[name] = f"{host}: {text}"
                case Progress(host=host, text=text):
                    self._saying[host] = text
                case Result(result=result):
                    self._ended[result.name] = result
        if isinstance(event, Warned):
            about = f"{event.host}: " if event.host else ""
            self.console.print(_text(f"{about}{event.text}", "yellow"))

    @contextmanager
    def showing(self, run: Run) -> Iterator[None]:
        """Draw it while the run is in progress."""
        self._run = run
        self._live = Live(console=self.console, get_renderable=self._live_view, refresh_per_second=5, transient=True)
        with self._live:
            yield

    def interrupted(self, signal: str) -> None:
        """Say that it was heard."""
        self._notice = f"{signal}: stopping; once more to leave at once"

    def finish(self, run: Run) -> None:
        """The whole table, the errors, and what `status` asked for."""
        self._run = run
        hosts = list(run.hosts.values())
        if run.table:
            self.console.print(self._status(run.table))
            for text in display.below(run, self.generations):
                # In a terminal that is too narrow, columns stay columns.
                self.console.print(_text(text), soft_wrap=True)
        elif hosts:
            self.console.print(self._grid(hosts, self.console.width))
        for text in display.errors(run):
            self.console.print(_text(f"\n{text}"))
        for host in hosts:
            if lines := lines_about(host):
                self.console.print(_text("\n" + "\n".join(lines)))
        self.console.print(_text(f"{display.counted(run)} in {run.seconds:.1f} s", "bold"))

    # Drawing

    def _live_view(self) -> RenderableType:
        run = self._run
        if run is None:
            return _text("")
        with self._lock:
            hosts = sorted(run.hosts.values(), key=lambda host: _ORDER.index(self._kind(host)))
            height = max(3, self.console.height - _AROUND - bool(self._notice))
            shown, hidden = (hosts, []) if len(hosts) <= height else (hosts[: height - 1], hosts[height - 1 :])
            parts: list[RenderableType] = [self._grid(shown, self.console.width)] if hosts else []
            if hidden:
                kinds = Counter(self._kind(host) for host in hidden)
                more = ", ".join(f"{kinds[kind]} {kind}" for kind in _ORDER if kinds[kind])
                parts.append(_text(f"and {more}", "dim"))
            parts.append(self._footer(hosts))
            return Group(*parts)

    def _footer(self, hosts: list[HostResult]) -> Text:
        ended = sum(host.name in self._ended for host in hosts)
        text = f"{ended} of {len(hosts)} hosts, {_clock(time.monotonic() - self._began)}"
        return _text(f"{text}  {self._notice}" if self._notice else text, "dim", no_wrap=True, overflow="ellipsis")

    def _status(self, rows: list[dict[str, str]]) -> Grid:
        grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        names = display.columns(rows)
        for name in names:
            # Where the terminal is too narrow, it is the longest that is cut off, and not the health.
            grid.add_column(name, no_wrap=name != "system")
        for row in rows:
            grid.add_row(*(_text(row[name], no_wrap=True, overflow="ellipsis") for name in names))
        return grid

    def _grid(self, hosts: list[HostResult], width: int) -> Grid:
        grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=width, header_style="dim")
        longest = max(len(host.name) for host in hosts)
        grid.add_column("host", no_wrap=True, overflow="ellipsis", width=min(longest, max(8, width // 4)))
        grid.add_column("phase", no_wrap=True, width=12)
        grid.add_column("time", no_wrap=True, justify="right", width=6)
        grid.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for host in hosts:
            grid.add_row(_text(host.name), *self._cells(host))
        return grid

    def _cells(self, host: HostResult) -> tuple[Text, str, Text]:
        if host.name in self._ended:
            style = _STYLE[host.outcome]
            said, took = display.detail(host), host.seconds
            word = "ok" if isinstance(host, HostStatus) and host.outcome is Outcome.UNCHANGED else str(host.outcome)
            return _text(word, style), _clock(took), _text(said, style if not host.ok else "")
        phase = self._run.phase(host.name) if self._run else ""
        took = time.monotonic() - self._since.get(host.name, time.monotonic())
        said = self._saying.get(host.name, "")
        return _text(phase or "waiting", "cyan" if phase else "dim"), _clock(took), _text(said)

    def _kind(self, host: HostResult) -> str:
        if host.name in self._ended:
            return "done" if host.ok else "failed"
        return "working" if host.name in self._since else "waiting"


def _text(text: str, style: str = "", **how: Any) -> Text:
    """As it may be shown, and with no markup in it."""
    return Text(printable(text), style, **how)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
