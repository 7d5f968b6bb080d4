# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `deploy-flake`."""

from __future__ import annotations

import argparse
import io
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from deploy_flake import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from deploy_flake.display import Display
    from deploy_flake.events import Event
    from deploy_flake.options import DeployOptions, RunOptions
    from deploy_flake.run import Run

USAGE = 2
"""What ExitCode has too; it is not imported for a usage error."""
INTERRUPTED = 130
_TO_LEAVE = 15.0
"""Seconds after the second signal; the run itself needs a few."""
_TO_READ = 3.0
"""Seconds that somebody has to read the rest after a signal, once the run is over."""
_UNREAD = 10_000
"""So many events wait for somebody to read them, before mere progress is left out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    given = arguments.with_command(words)
    top = arguments.parser()
    chosen = top.parse_args(given)
    chosen.named = given == words
    if chosen.help is True and not chosen.command:
        _help(top)
        return 0
    if chosen.command == "diff" and chosen.compare_from is None and chosen.compare_to is None:
        chosen.command = "deploy"
    if not chosen.command:
        top.print_usage(sys.stderr)
        print("deploy-flake: name at least one destination, or an inventory", file=sys.stderr)
        return USAGE
    if chosen.command == "completion":
        from deploy_flake.completion import script

        print(script(chosen.shell, top), end="")
        return 0
    try:
        return _operate(chosen)
    except (KeyboardInterrupt, EOFError):
        # At a question; while hosts are deployed to, a signal ends the run first.
        return INTERRUPTED
    except ValueError as error:
        print(f"deploy-flake: {error}", file=sys.stderr)
        return USAGE


def _help(top: argparse.ArgumentParser) -> None:
    """The text of the whole command, with the options of deploy, whose name may be left out."""
    argparse.ArgumentParser(
        prog=top.prog,
        usage=top.usage,
        description=f"{top.description}\nThose of deploy are:",
        epilog=top.epilog,
        formatter_class=top.formatter_class,
        parents=[top, arguments.subparsers(top)["deploy"]],
        # Both have one for --help.
        conflict_handler="resolve",
        add_help=False,
    ).print_help()


def _operate(chosen: argparse.Namespace) -> int:
    from deploy_flake import display, inventory
    from deploy_flake.destination import parse_all
    from deploy_flake.flake import reference

    if chosen.destinations and not chosen.named:
        from deploy_flake.first_word import refuse_a_command

        refuse_a_command(chosen.destinations[0], arguments.COMMANDS, chosen.ssh_args)
    destinations = parse_all(chosen.destinations)
    run, how = _run_options(chosen), _deploy_options(chosen)
    if chosen.command == "diff" and (said := arguments.of_a_deploy(chosen)):
        raise ValueError(f"--from and --to compare what hosts have; leave them out, or {', '.join(said)}")
    if not destinations and not run.inventory:
        raise ValueError("name at least one destination, or an inventory (--inventory)")
    if destinations and run.inventory:
        raise ValueError("give destinations, or an inventory that has them, and not both")
    # Before a person is asked about it.
    inventory.must_be_there(run.inventory)
    if getattr(chosen, "flake", None) is not None:
        reference(chosen.flake, getattr(chosen, "file", None))
    if not _agreed(chosen, run):
        print("deploy-flake: nothing was done", file=sys.stderr)
        return INTERRUPTED
    run = _with_password(chosen, run)
    shown: Display | None = None
    generations = getattr(chosen, "generations", False)
    teller = _Teller(_read_no_more)
    with _listening(chosen.on_event) as listening:
        tellers = [teller, *listening]

        def tell(event: Event) -> None:
            for one in tellers:
                one.tell(event)

        begun = _begin(chosen, run, how, tell)
        with _interruptible(begun, lambda: shown) as signals:
            # What shows it is loaded while Ansible starts. Hosts are not to feel it where that fails.
            try:
                shown = display.choose(chosen.instrumentation, generations)
            except Exception as error:
                shown = display.choose("plain", generations)
                print(f"deploy-flake: the table cannot be shown: {type(error).__name__}: {error}", file=sys.stderr)
            for _when, name in signals:
                _say(shown, name)
            teller.show = shown.show
            for one in tellers:
                one.start()
            with shown.showing(begun):
                _wait(begun, teller, signals)
        begun.error = begun.error or teller.error
        shown.finish(begun)
    return int(begun.exit_code)


@contextmanager
def _listening(command: str | None) -> Iterator[Sequence[_Teller]]:
    """Whoever is to hear what happens, for as long as something does. People have read how it ended by then."""
    if not command:
        yield ()
        return
    from deploy_flake.listener import Listener

    listener = Listener(command)
    teller = _Teller(listener.read_no_more, listener.show)
    try:
        yield (teller,)
    finally:
        if wrong := listener.end(teller.has_told_all):
            print(f"deploy-flake: {wrong}", file=sys.stderr)


def _begin(
    chosen: argparse.Namespace, run: RunOptions, how: DeployOptions | None, tell: Callable[[Event], None]
) -> Run:
    from deploy_flake import api

    common: dict[str, Any] = {"run": run, "on_event": tell, "wait": False}
    if chosen.command == "install":
        return api.install(chosen.destinations, chosen.flake, options=how, **common)
    if chosen.command in ("deploy", "trial", "build"):
        begin = {"deploy": api.deploy, "trial": api.trial, "build": api.build}[chosen.command]
        if chosen.command == "build":
            common["out_link"] = chosen.out_link
        return begin(chosen.destinations, chosen.flake, toplevel=chosen.toplevel, options=how, **common)
    if chosen.command == "rollback":
        to: dict[str, Any] = {"generation" if isinstance(chosen.to, int) else "toplevel": chosen.to}
        return api.rollback(chosen.destinations, **to, options=how, **common)
    if chosen.command == "reboot":
        return api.reboot(chosen.destinations, only_if_needed=not chosen.always, options=how, **common)
    if chosen.command == "generations":
        which = {name: getattr(chosen, name) for name in ("keep", "keep_days", "collect_garbage")}
        return api.generations(chosen.destinations, **which, options=how, **common)
    if chosen.command == "profiles":
        return api.profiles(chosen.destinations, chosen.flake, chosen.profiles, options=how, **common)
    if chosen.command == "diff":
        return api.diff(chosen.destinations, chosen.compare_from, chosen.compare_to, **common)
    if chosen.command == "revoke":
        return api.revoke(chosen.destinations, reason=chosen.reason, **common)
    return api.status(chosen.destinations, chosen.flake, revisions=chosen.generations, **common)


def _run_options(chosen: argparse.Namespace) -> RunOptions:
    from deploy_flake.options import RunOptions

    return RunOptions(
        inventory=chosen.inventory,
        limit=chosen.limit,
        parallel=chosen.parallel,
        extra_vars=chosen.extra_vars,
        ssh_args=chosen.ssh_args,
        verbosity=chosen.verbose,
        reconnect_timeout=chosen.reconnect_timeout,
        artifacts=chosen.artifacts,
    )


def _with_password(chosen: argparse.Namespace, run: RunOptions) -> RunOptions:
    from deploy_flake import ansible

    if not chosen.ask_become_pass and not (sys.stdin.isatty() and ansible.asks_become_password()):
        return run
    from dataclasses import replace
    from getpass import getpass

    return replace(run, become_password=getpass("Password of sudo on the hosts: "))


def _deploy_options(chosen: argparse.Namespace) -> DeployOptions | None:
    from deploy_flake.options import DeployOptions

    return (
        DeployOptions(**arguments.deploy_options(chosen))
        if chosen.command not in ("status", "revoke", "diff")
        else None
    )


def _agreed(chosen: argparse.Namespace, run: RunOptions) -> bool:
    """Show a person the plan and ask, where there is a person to ask."""
    harmless = chosen.command in ("status", "build") or getattr(chosen, "check", False)
    asks = sys.stdin.isatty() and sys.stdout.isatty() and chosen.instrumentation != "json"
    if chosen.yes or harmless or not asks:
        return True
    from deploy_flake.plan import plan

    print(plan(chosen, run))
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _wait(run: Run, teller: _Teller, signals: list[tuple[float, str]]) -> None:
    """Wait, and let signals in meanwhile, until all was told. `signals` is when they came, and their names."""
    while not run.done:
        try:
            run.wait(0.5)
        except TimeoutError:
            if len(signals) > 1 and time.monotonic() - signals[1][0] > _TO_LEAVE:
                # It cannot tell of anything: whoever reads its output does not. ansible-playbook ends with us.
                os._exit(INTERRUPTED)
    over = time.monotonic()
    while not teller.has_told_all(0.5):
        # Nobody reads it, and who has interrupted us does not wait for that; the run is over.
        if signals and time.monotonic() - max(over, signals[0][0]) > _TO_READ:
            os._exit(INTERRUPTED)


@contextmanager
def _interruptible(run: Run, shown: Callable[[], Display | None]) -> Iterator[list[tuple[float, str]]]:
    """Ctrl-C, or whatever else asks us to end, ends the run first. Yields when they came, and their names."""
    came: list[tuple[float, str]] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        came.append((time.monotonic(), name))
        run.cancel()
        if len(came) > 2:
            os._exit(INTERRUPTED)
        # Not here, where a pipe that nobody reads would hold us up for ever.
        threading.Thread(target=_say, args=(shown(), name), daemon=True).start()

    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has it ignored.
        if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN:
            before[one] = signal.signal(one, interrupt)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Teller(threading.Thread):
    """Shows what happens, in a thread of its own: whoever reads our output may go, as `head` does, or not read on.

    The hosts are not to feel it, nor is a signal to wait for it.
    """

    def __init__(self, read_no_more: Callable[[], None], show: Callable[[Event], None] | None = None) -> None:
        super().__init__(name="deploy-flake output", daemon=True)
        self.error = ""
        """What went wrong with showing it, beside that nobody reads it."""
        self.show = show
        """How; to be known before it is started."""
        self._read_no_more = read_no_more
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def tell(self, event: Event) -> None:
        """Show it when its turn comes. What is mere progress is left out where too much of it waits."""
        from deploy_flake.events import Progress

        if not isinstance(event, Progress) or self._events.qsize() < _UNREAD:
            self._events.put(event)

    def has_told_all(self, timeout: float) -> bool:
        """Wait for that; nothing more is to come."""
        if self.is_alive():
            self._events.put(None)
            self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        """The work of the thread."""
        show = self.show
        assert show is not None
        while (event := self._events.get()) is not None:
            try:
                show(event)
            except OSError:
                # A pipe, a terminal that was closed, or a disk that is full.
                self._read_no_more()
            except Exception as error:
                self.error = f"its output failed with {type(error).__name__}: {error}"
                return


def _say(shown: Display | None, name: str) -> None:
    with suppress(OSError):
        if shown is not None:
            shown.interrupted(name)


def _read_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_what_is_closed() -> None:
    """Who started us may have closed them; a file of ours would come in their place, and be written to."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def run() -> None:
    """The console script."""
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every locale has an arrow.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Do not complain of it once more at exit.
        _read_no_more()
        code = 1
    sys.exit(code)
