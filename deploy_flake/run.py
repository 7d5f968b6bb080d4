# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: a playbook of the collection for all hosts, through ansible-runner, and what came of each."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from deploy_flake import ansible, ansible_output, inventory, left_behind
from deploy_flake.destination import Destination
from deploy_flake.events import Ended, Event, Operation, Phase, Started, Warned
from deploy_flake.options import FORKS, OptionError, RunOptions
from deploy_flake.result import ExitCode, HostResult, HostStatus, Outcome, exit_code
from deploy_flake.runner_events import RunnerEvents

_COLLECTION = "deploy_flake.nixos"
_TO_END = 15.0
"""Seconds that ansible-playbook gets to end when it is told to."""
_TO_LEAVE = 3.0
"""And when it is told to twice."""
_AGAIN = 1.0
"""Seconds until it is told again."""

Listener = Callable[[Event], None]


class Run:
    """A deploy, a rollback, a revocation or a look at hosts: in progress, or over.

    Its work is done in a thread. `wait` waits for its end, `cancel` ends it early.
    """

    def __init__(
        self,
        operation: Operation,
        destinations: Sequence[Destination],
        options: RunOptions,
        variables: Mapping[str, Any],
        arguments: Sequence[str] = (),
        on_event: Listener | None = None,
    ) -> None:
        self.operation = operation
        self.error = ""
        """What went wrong beside the hosts, such as a killed ansible-playbook; "" if nothing did."""
        self.interrupted = False
        """Whether `cancel` was called before the end."""
        self.seconds = 0.0
        """How long it took; 0 while it is in progress."""
        self.output = ""
        """What ansible-playbook would have shown, once it has ended."""
        self._destinations = list(destinations)
        self._options = options
        self._variables = dict(variables)
        self._arguments = list(arguments)
        self._listener = on_event
        self._lock = threading.Lock()
        new = HostStatus if operation is Operation.STATUS else HostResult
        hosts = {one.name: new(one.name, configuration=one.configuration or "") for one in destinations}
        at_end = bool(variables.get("deploy_flake_all_or_nothing"))
        given = {**options.role_variables(), **variables, **options.variables}
        absent = bool(given.get("deploy_flake_allow_unreachable"))
        named = given.get("deploy_flake_build_on") or ()
        builders = map(str.strip, named.split(",")) if isinstance(named, str) else named
        self._own = self._running = RunnerEvents(
            operation, hosts, self._tell, at_end, builders=builders, allows_absent=absent
        )
        self._own.check_mode = "--check" in arguments
        self._nobody = False
        """Whether Ansible found no host to begin with."""
        self._cancels = 0
        self._signalled_at: float | None = None
        self._signal_at = 0.0
        self._killed = False
        """Whether ansible-runner was told to kill ansible-playbook, which it does not say itself."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"deploy-flake {operation}", daemon=True)

    @property
    def hosts(self) -> dict[str, HostResult]:
        """Every host by its name; what an inventory has is known once Ansible has begun with it."""
        return self._own.hosts

    @property
    def table(self) -> list[dict[str, str]]:
        """What `status` shows, a row for each host; empty before it is over."""
        return self._own.table

    @property
    def remarks(self) -> dict[str, list[str]]:
        """What `status` finds unusual, by the names of the hosts."""
        return self._own.remarks

    @property
    def absent(self) -> list[str]:
        """The hosts that did not answer at the beginning and were left out, since `allow_unreachable` says so."""
        return [name for name in self._own.hosts if name in self._own.absent]

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._over.is_set()

    @property
    def ok(self) -> bool:
        """Whether it is over and every host is as it was meant to be."""
        return self.done and self.exit_code is ExitCode.OK

    @property
    def exit_code(self) -> ExitCode:
        """What `deploy-flake` would exit with."""
        if (self._own.untouched or self._nobody) and not self.interrupted:
            return ExitCode.USAGE
        hosts = list(self.hosts.values())
        if self.operation is Operation.REVOKE:
            # This is what a revocation is for.
            hosts = [host for host in hosts if host.outcome is not Outcome.ROLLED_BACK] or [_WELL]
        # Where nobody answers, nothing was done.
        hosts = [host for host in hosts if host.name not in self._own.absent] or hosts
        code = exit_code(hosts, self.interrupted)
        return ExitCode.FAILED if code is ExitCode.OK and self.error else code

    def phase(self, host: str) -> Phase:
        """What a host does now."""
        running = self._running if host in self._running.hosts else self._own
        return running.phase(host)

    def start(self) -> Run:
        """Begin, and return at once. Raises OptionError where its files cannot be written."""
        kept = self._options.artifacts
        try:
            self._private = Path(tempfile.mkdtemp(prefix="deploy-flake-", dir=_directory(kept)))
        except OSError as error:
            where = f"artifacts {str(kept)!r}" if kept is not None else "the temporary directory (TMPDIR)"
            raise OptionError(f"{where} cannot be written to: {error.strerror or error}") from error
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until it is over, at most `timeout` seconds. Raises TimeoutError; it then goes on."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("on_event waits for the run that calls it, which would never end")
        if not self._over.wait(timeout):
            raise TimeoutError(f"not over after {timeout} s")
        return self

    def cancel(self) -> None:
        """End it early. Once: end ansible-playbook, and revoke what waits for confirmation. Twice: leave at once;
        the hosts roll back by themselves where nobody confirms. Returns at once."""
        if not self.done:
            self.interrupted = True
            self._cancels += 1
            self._signal()

    # The work, in a thread of its own

    def _run(self) -> None:
        try:
            self._work(self._private)
        finally:
            # Whatever happens, whoever waits must not wait for ever.
            self._over.set()

    def _work(self, private: Path) -> None:
        began = time.monotonic()
        kept = self._options.artifacts
        try:
            flake = self._variables.get("deploy_flake_flake")
            self._tell(Started(operation=self.operation, hosts=tuple(self.hosts), flake=flake))
            # Of a listener that cannot even hear of that nobody can learn how it went: nothing is begun.
            if not self.error:
                self._play(self.operation, self._own, private)
            if self._cancels == 1 and (waiting := self._own.may_wait()):
                self._revoke(waiting, private)
        except Exception as error:
            # Whatever it is, whoever waits has to hear of it.
            self.error = self.error or f"{type(error).__name__}: {error}"
        finally:
            self._own.end(self.interrupted)
            if kept is None:
                shutil.rmtree(private, ignore_errors=True)
            self.seconds = round(time.monotonic() - began, 3)
            counted = dict(Counter(str(host.outcome) for host in self.hosts.values()))
            self._tell(Ended(exit_code=self.exit_code, outcomes=counted, seconds=self.seconds, error=self.error))

    def _play(self, playbook: Operation, reports: RunnerEvents, private: Path, limit: Sequence[str] = ()) -> None:
        # It takes a moment, and who only wants to know the usage does not need it. It has no types.
        ansible_runner: Any = import_module("ansible_runner")

        options = self._options
        values = private / f"{playbook}-variables.json"
        self._write(values, {**options.role_variables(), **self._variables, **options.variables})
        sources = [os.path.abspath(one) if os.path.exists(one) else one for one in options.inventory]
        environment = ansible.environment(ansible.our_collections(_made(private / "c" / playbook)))
        environment |= ansible.in_place_of_home(private)
        if self._destinations:
            sources = [str(inventory.write(self._destinations, private))]
            # The plugins that the user has enabled may not read it.
            environment["ANSIBLE_INVENTORY_ENABLED"] = "ansible.builtin.yaml"
        mark = environment[left_behind.MARK] = str(private / playbook)
        forks = options.parallel or (None if environment["ANSIBLE_FORKS"] else FORKS)
        environment = {name: value for name, value in environment.items() if value or name == "ANSIBLE_SKIP_TAGS"}
        given = [f"--extra-vars=@{values}", *options.arguments()]
        given += self._arguments if playbook is self.operation else []
        given += [f"--limit={','.join(limit)}"] if limit else []
        asks = playbook in (Operation.DEPLOY, Operation.TRIAL, Operation.BUILD) and self._needs_names()
        # How often it asks whether to go on. Given as an argument it is forgotten where there is no such file.
        self._write(_made(private / "runner" / "env") / "settings", {"pexpect_timeout": 0.5})
        named = f"{_COLLECTION}.{playbook}{'_by_hostname' if asks else ''}"
        self._killed = False
        binary, *before = ansible.bound_playbook_program(private if options.artifacts is None else None)
        run = ansible_runner.run(
            private_data_dir=str(private / "runner"),
            ident=playbook,
            # Where it is run, so that ansible.cfg and relative paths mean what they always do.
            project_dir=str(Path.cwd()),
            playbook=named,
            inventory=sources,
            forks=forks,
            # Of a program that is given, ansible-runner does not name the playbook.
            binary=binary,
            cmdline=shlex.join([*before, named, *given]),
            envvars=environment,
            passwords={ansible_output.BECOME_PROMPT: options.become_password} if options.become_password else None,
            fact_cache_type="",
            suppress_env_files=True,
            quiet=True,
            event_handler=lambda event: self._handle(reports, event),
            status_handler=_forget_the_environment,
            cancel_callback=self._must_kill,
        )
        if self._killed or run.rc is None or run.rc < 0:
            left_behind.end(reports.pid, mark)
        self.output += _read(Path(run.config.artifact_dir) / "stdout")
        if not reports.finished and not self.interrupted:
            self.error = _why(run.rc, self.output)
        # Whether there was a host, only Ansible knows: the inventory, a limit and deploy_flake_hosts say it together.
        self._nobody = not reports.hosts and (reports.finished or run.rc == 1)
        if self._nobody and not self.error:
            self.error = "no host was matched: see the inventory, --limit and deploy_flake_hosts"

    def _needs_names(self) -> bool:
        """Whether some host has to say which configuration is its own, since nothing else names what is built."""
        given = {**self._variables, **self._options.variables}
        if given.get("deploy_flake_attribute") or given.get("deploy_flake_file"):
            return False
        return any(one.configuration is None for one in self._destinations)

    def _revoke(self, hosts: Sequence[str], private: Path) -> None:
        """Tell the hosts to roll back now, and take over how they end."""
        names = ", ".join(hosts)
        self._tell(Warned(text=f"revoking on {names}; interrupt again to leave, and they roll back by themselves"))
        self._signalled_at = None
        known = {name: self.hosts[name] for name in hosts}
        self._running = RunnerEvents(Operation.REVOKE, known, self._tell, begun_before=True)
        self._play(Operation.REVOKE, self._running, private, hosts)
        self._running.end(self.interrupted)
        self._own.ended(hosts)

    # Its end

    def _signal(self) -> None:
        """Ask ansible-playbook to end as Ctrl-C at a terminal does: it then ends its workers itself."""
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = self._signal_at = now
        # One that comes while it starts a worker is lost in Python; others too soon would disturb it while it ends.
        if (pid := self._running.pid) and now >= self._signal_at:
            self._signal_at = now + _AGAIN
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    def _must_kill(self) -> bool:
        """Whether ansible-runner is to kill ansible-playbook: it began nothing yet, or does not end.

        Its workers have sessions of their own and would survive that.
        """
        if self._signalled_at is None:
            return False
        self._signal()
        limit = _TO_END if self._cancels < 2 else _TO_LEAVE
        self._killed = self._running.pid is None or time.monotonic() - self._signalled_at > limit
        return self._killed

    # Help

    def _handle(self, reports: RunnerEvents, event: Mapping[str, Any]) -> bool:
        """An error here would leave ansible-playbook to itself."""
        try:
            return reports.handle(event)
        except Exception as error:
            self.error = self.error or f"{type(error).__name__}: {error}"
            return False

    def _tell(self, event: Event) -> None:
        """A listener that raises hears no more; hosts that are being deployed to are not to feel it."""
        with self._lock:
            if self._listener is None:
                return
            try:
                self._listener(event)
            except BaseException as error:
                self._listener = None
                self.error = self.error or f"on_event raised {type(error).__name__}: {error}"

    def _write(self, file: Path, values: Mapping[str, Any]) -> None:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            json.dump(values, opened)


_WELL = HostResult("", Outcome.UNCHANGED)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _directory(kept: str | Path | None) -> Path | None:
    return _made(Path(kept)) if kept is not None else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _forget_the_environment(status: Mapping[str, Any], runner_config: Any) -> None:
    """Remove the file in which ansible-runner keeps the whole environment, as soon as it has written it."""
    if status["status"] == "running":
        Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)


def _why(code: int | None, output: str) -> str:
    """Why ansible-playbook did not come to its end."""
    how = "was killed" if code is None or code < 0 else f"ended with {code} and did nothing"
    said = ansible_output.complaint(output)
    return f"ansible-playbook {how}.{' It said:' if said else ''}\n{said}".strip()
