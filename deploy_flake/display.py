# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person or a program sees of it: lines, JSON objects, or a live table."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from deploy_flake.check_and_diff import lines_about, reboot_reasons
from deploy_flake.events import Entered, Event, Operation, Phase, Progress, Result, Warned
from deploy_flake.printable import printable
from deploy_flake.result import HostResult, HostStatus, Outcome, Reason, State

if TYPE_CHECKING:
    from deploy_flake.run import Run

_STORE = "/nix/store/"


class Display:
    """One way to show it. `show` is called from the run's thread, the rest from the main one."""

    generations = False
    """Whether `status` shows those of each host."""

    def show(self, event: Event) -> None:
        """Something happened."""
        raise NotImplementedError

    @contextmanager
    def showing(self, _run: Run) -> Iterator[None]:
        """While it is in progress."""
        yield

    def interrupted(self, signal: str) -> None:
        """Somebody interrupted it."""

    def finish(self, run: Run) -> None:
        """It is over."""


class Json(Display):
    """One object a line, as events.schema.json describes it."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def show(self, event: Event) -> None:
        """The event as it is."""
        print(json.dumps(event.as_json()), file=self._out, flush=True)


class Plain(Display):
    """Lines, for logs and pipes."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def show(self, event: Event) -> None:
        """A line for most events."""
        match event:
            case Progress(host=host, text=text):
                self._line(f"{host}: {text}")
            case Entered(host=host, phase=Phase.BUILDING):
                self._line(f"{host}: building")
            case Warned(host=host, text=text):
                self._line(f"{f'{host}: ' if host else ''}warning: {text}")
            # What `status` finds is told in a table at the end.
            case Result(result=result) if not isinstance(result, HostStatus):
                self._line(f"{result.name}: {first_word(result)}")

    def interrupted(self, signal: str) -> None:
        """Say that it was heard."""
        self._line(f"{signal}: stopping")

    def finish(self, run: Run) -> None:
        """The errors in full, and how many hosts ended how."""
        if run.operation is Operation.STATUS:
            for text in [*table_lines(run.table), *below(run, self.generations)]:
                self._line(text)
        for text in errors(run):
            self._line(f"\n{text}")
        for host in run.hosts.values():
            if lines := lines_about(host):
                self._line("\n" + "\n".join(lines))
        self._line(f"{counted(run)} in {run.seconds:.1f} s")

    def _line(self, text: str) -> None:
        print(printable(text), file=self._out, flush=True)


def choose(wanted: str | None, generations: bool = False) -> Display:
    """The display that was asked for, else the one that fits where the output goes."""
    chosen = _choose(wanted)
    chosen.generations = generations
    return chosen


def _choose(wanted: str | None) -> Display:
    if wanted == "json":
        return Json()
    if wanted == "plain" or (wanted is None and not (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")):
        return Plain()
    from deploy_flake.table import Table

    return Table()


# Words


def short(path: str) -> str:
    """A system by what tells it from another: the beginning of its hash, and its name."""
    if not path.startswith(_STORE):
        return path
    digest, _dash, name = path.removeprefix(_STORE).partition("-")
    return f"{digest[:7]}-{name.removeprefix('nixos-system-')}"


def summary(host: HostResult) -> str:
    """How a host ended, in a line."""
    said = detail(host)
    if host.outcome is Outcome.WOULD_CHANGE or (isinstance(host, HostStatus) and host.outcome is Outcome.UNCHANGED):
        return said
    return f"{host.outcome.replace('-', ' ')}{': ' if said else ''}{said}"


def first_word(host: HostResult) -> str:
    """How a host ended, where the error is told in full in the end: it is not told twice."""
    if host.outcome in (Outcome.FAILED, Outcome.UNREACHABLE):
        return f"{host.outcome}{f' ({host.reason})' if host.reason else ''}"
    return summary(host)


def detail(host: HostResult) -> str:
    """What there is to say beside the outcome, in a line."""
    generation = [f"generation {host.generation}"] if host.generation is not None else []
    reboot = ["it has to be rebooted to run all of it"] if host.reboot_required else []
    match host.outcome:
        case Outcome.DEPLOYED | Outcome.UNCHANGED | Outcome.WOULD_CHANGE | Outcome.ROLLED_BACK if host.profiles:
            return "; ".join(f"{one['name']} {one['state']}" for one in host.profiles)
        case Outcome.DEPLOYED:
            new = short(host.new_system or host.system)
            moved = [f"{short(host.previous_system)} → {new}"] if host.previous_system else []
            return "; ".join(part for part in (", ".join([*generation, *moved]), *reboot) if part)
        case Outcome.UNTIL_REBOOT:
            boots = f"generation {host.generation}" if host.generation is not None else "what it booted before"
            return f"runs {short(host.new_system or host.system)}; the next reboot starts {boots} again"
        case Outcome.DONE:
            if host.changes:
                return f"{short(host.previous_system)} → {short(host.new_system)}"
            # Whoever has built something wants its path in full.
            built = " ".join(host.outputs.values()) or host.new_system
            return built or ", ".join([*([f"runs {short(host.system)}"] if host.system else []), *generation])
        case Outcome.UNCHANGED if isinstance(host, HostStatus):
            return ", ".join([f"runs {short(host.system)}", host.health, *generation])
        case Outcome.UNCHANGED:
            # It runs until the next reboot, and the generation is of what boots.
            if host.system and host.boot_loader_default not in ("", host.system, host.new_system):
                return f"runs {short(host.system)}; the next reboot starts {short(host.boot_loader_default)}"
            runs = [f"runs {short(host.system)}"] if host.system else []
            waits = ["nothing waits for confirmation"] if host.reason == Reason.NOTHING_WAITS else []
            return ", ".join([*runs, *generation, *waits])
        case Outcome.WOULD_CHANGE:
            verb = "boot" if host.state is State.WOULD_BOOT else "run"
            return "; ".join([f"would {verb} {short(host.new_system) or 'another system'}", *reboot])
        case Outcome.ROLLED_BACK:
            return ", ".join([f"runs {short(host.system) or 'its previous system'} again", *generation])
        case Outcome.UNKNOWN if host.deployment:
            by = f"by {host.decides_by}" if host.decides_by else "if anything was begun"
            return f"decides by itself {by}: deployment {host.deployment}"
    return host.error.splitlines()[0] if host.error else ""


def errors(run: Run) -> list[str]:
    """Every error in full, under its host's name; of hosts that were left out their names alone."""
    found = []
    for host in run.hosts.values():
        if host.error and host.name not in run.absent:
            text = host.error.replace("\n", "\n  ")
            found.append(f"{host.name}: {host.outcome}\n  {text}")
    if run.absent:
        found.append(f"not reached, and left as they were: {', '.join(run.absent)}")
    return [*found, *([f"error: {run.error}"] if run.error else [])]


def counted(run: Run) -> str:
    """How many hosts ended how."""
    numbers = Counter(str(host.outcome) for host in run.hosts.values())
    if run.operation is Operation.STATUS and (answered := numbers.pop(Outcome.UNCHANGED, 0)):
        numbers["answered"] = answered
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(numbers.items())) or "no host"


def table_lines(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The rows of `status` as lines, with the names of the columns first."""
    names = columns(rows)
    cells = [names, *([row[name] for name in names] for row in rows)] if rows else []
    widths = [max(len(line[number]) for line in cells) for number in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns that are not empty throughout."""
    return [name for name in (rows[0] if rows else {}) if name == "host" or any(row[name] != "-" for row in rows)]


def below(run: Run, generations: bool) -> list[str]:
    """What `status` says below its table."""
    found = [*remarks(run), *details(run)]
    for host in run.hosts.values() if generations else ():
        if isinstance(host, HostStatus) and host.generations:
            found += ["", f"{host.name}: generations", *table_lines(generation_rows(host))]
    return found


def generation_rows(host: HostStatus) -> list[dict[str, str]]:
    """The generations of a host, oldest first, as rows of a table."""
    of = {"runs": host.system, "booted": host.booted_system}
    return [
        {
            "generation": str(one["generation"]),
            "date": one["date"][:16].replace("T", " "),
            "revision": one["revision"][:8] or "-",
            "kernel": one["kernel_version"] or "-",
            "system": short(one["system"]),
            "specialisations": ", ".join(one["specialisations"]) or "-",
            "now": ", ".join(
                [
                    *(word for word, system in of.items() if system == one["system"]),
                    *(["boot default"] if one["generation"] == host.generation else []),
                ]
            )
            or "-",
        }
        for one in host.generations
    ]


def remarks(run: Run) -> list[str]:
    """What `status` finds unusual; errors are told by themselves."""
    failed = {host.name for host in run.hosts.values() if host.error}
    about: dict[str, list[str]] = {}
    for name, said in run.remarks.items():
        for text in said if name not in failed else ():
            about.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in about.items()]


def details(run: Run) -> list[str]:
    """All that `status` knows, where it was asked about one host."""
    hosts = list(run.hosts.values())
    if len(hosts) != 1 or not isinstance(hosts[0], HostStatus) or hosts[0].outcome is not Outcome.UNCHANGED:
        return []
    return ["", *status_lines(hosts[0])]


def status_lines(host: HostStatus) -> list[str]:
    """All that `status` tells of a host."""
    lines = [
        f"{host.name}{f' ({host.hostname})' if host.hostname != host.name else ''}: NixOS {host.nixos_version or '?'}",
        f"  runs          {host.system}",
        f"  boots         {host.boot_default or 'nothing'} (generation {host.generation})",
        f"  booted        {host.booted_system}",
        f"  health        {host.health}{': ' if host.failed_units else ''}{', '.join(host.failed_units)}",
        f"  kernel        {host.kernel_version}",
    ]
    nix, boot = host.free_space.get("nix"), host.free_space.get("boot")
    for where, found in (("/nix", nix), (boot.get("path", "/boot") if boot else "", boot)):
        if found:
            free, total = (round(number / (1 << 20)) for number in (found["free_bytes"], found.get("total_bytes", 0)))
            lines.append(f"  free space    {free} of {total} MiB are free on {where}")
    if host.revision:
        lines.append(f"  revision      {host.revision}")
    if host.reboot_reasons:
        lines.append(f"  reboot        needed for {reboot_reasons(host)}")
    if host.open_deployment:
        opened = host.open_deployment
        in_progress = "" if opened["in_progress"] else "; left unfinished, the next deployment repairs it"
        lines.append(f"  in progress   {opened['deployment']}, {opened['state']}{in_progress}")
    for one in host.deployments[-3:]:
        lines.append(f"  deployment    {one.get('id')} {one.get('outcome')} {short(str(one.get('to', '')))}")
    return lines
