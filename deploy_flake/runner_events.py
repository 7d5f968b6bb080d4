# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes results and events of what ansible-runner reports.

What comes of a host is read from the results of tasks alone: their states, their reasons, and whether they failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from deploy_flake import ansible_output
from deploy_flake.ansible_output import Step
from deploy_flake.events import Entered, Event, Operation, Phase, Progress, Result, Warned
from deploy_flake.printable import all_printable, printable
from deploy_flake.result import GOOD, HostResult, HostStatus, Outcome, Reason, State
from deploy_flake.returned import OF_A_DEPLOYMENT, OF_A_HOST


class Module(StrEnum):
    """The modules of the collection whose results say something about a host. Others are known in full."""

    FLAKE_DEPLOY = "flake_deploy"
    FLAKE_BUILD = "flake_build"
    FLAKE_INSTALL = "flake_install"
    SYSTEM_TEST = "system_test"
    SYSTEM_ROLLBACK = "system_rollback"
    SYSTEM_CHECK = "system_check"
    SYSTEM_BOOT = "system_boot"
    SYSTEM_REVOKE = "system_revoke"
    SYSTEM_REBOOT = "system_reboot"
    SYSTEM_GENERATIONS = "system_generations"
    SYSTEM_INFO = "system_info"
    SYSTEM_DIFF = "system_diff"
    PROFILE_DEPLOY = "profile_deploy"
    FLEET_STATUS = "fleet_status"
    FLEET_OUTCOME = "fleet_outcome"
    FLEET_VALIDATE = "fleet_validate"


_PHASES = {
    Module.FLAKE_DEPLOY: Phase.BUILDING,
    Module.FLAKE_BUILD: Phase.BUILDING,
    Module.FLAKE_INSTALL: Phase.INSTALLING,
    Module.SYSTEM_TEST: Phase.TESTING,
    Module.SYSTEM_ROLLBACK: Phase.TESTING,
    Module.SYSTEM_CHECK: Phase.CHECKING,
    Module.SYSTEM_BOOT: Phase.CONFIRMING,
    Module.SYSTEM_REVOKE: Phase.REVOKING,
    Module.SYSTEM_REBOOT: Phase.REBOOTING,
    Module.SYSTEM_GENERATIONS: Phase.REMOVING,
    Module.SYSTEM_INFO: Phase.ASKING,
    Module.SYSTEM_DIFF: Phase.LOOKING,
    Module.PROFILE_DEPLOY: Phase.BUILDING,
}
_OF_STEPS = (Module.FLAKE_DEPLOY, Module.PROFILE_DEPLOY)
"""The modules that do in one task what others do step by step."""
# The steps of flake_deploy: the module whose result each has, and whose phase a host enters with it.
_STEPS = {Step.BUILD: Module.FLAKE_BUILD, Step.TEST: Module.SYSTEM_TEST, Step.BOOT: Module.SYSTEM_BOOT}
_COLLECTION = "deploy_flake.nixos."
_MODULES = {str(module): module for module in Module}
_RESULTS = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped")
# The modules after which a host may have ended.
_LAST = (
    Module.FLAKE_DEPLOY,
    Module.SYSTEM_TEST,
    Module.SYSTEM_ROLLBACK,
    Module.SYSTEM_BOOT,
    Module.SYSTEM_REVOKE,
    Module.PROFILE_DEPLOY,
)
_REBOOTED = {
    "rebooted": Outcome.DONE,
    "not-needed": Outcome.UNCHANGED,
    "would-reboot": Outcome.WOULD_CHANGE,
    "committed": Outcome.DEPLOYED,
    "unchanged": Outcome.UNCHANGED,
    "would-try": Outcome.WOULD_CHANGE,
    "reverted": Outcome.ROLLED_BACK,
    "unconfirmed": Outcome.FAILED,
    "unknown": Outcome.UNKNOWN,
}
"""The states of system_reboot, which are not those of a deployment."""
_WELL = {
    State.UNCHANGED: Outcome.UNCHANGED,
    State.COMMITTED: Outcome.DEPLOYED,
    State.UNTIL_REBOOT: Outcome.UNTIL_REBOOT,
}
"""The states of a deployment that has ended well, or had nothing to do."""
_INSTALLED = {"installed": Outcome.DEPLOYED, "would-install": Outcome.WOULD_CHANGE}
"""Those of flake_install, after which a host may be deployed to as any other."""
_WORKING = (Phase.TESTING, Phase.CHECKING, Phase.CONFIRMING, Phase.REVOKING)
_OPEN = (State.WINDOW, State.PREPARED, State.UNKNOWN)
"""A deployment that is open, or may be: nobody knows how it ends."""
_WOULD = (State.WOULD_TEST, State.WOULD_ROLLBACK, State.WOULD_BOOT, State.WOULD_REVOKE)
_PRE_ACTIVATE = "/deploy/tasks/pre_activate.yml:"
"""Where the role looks, before it runs the operator's own tasks and then does, or in check mode looks, once more."""


class RunnerEvents:
    """Reads what ansible-runner reports of one playbook.

    `hosts` may be empty: those of an inventory are learnt as they turn up.
    """

    def __init__(
        self,
        operation: Operation,
        hosts: Mapping[str, HostResult],
        tell: Callable[[Event], None],
        at_end: bool = False,
        begun_before: bool = False,
        builders: Iterable[str] = (),
        allows_absent: bool = False,
    ) -> None:
        self.operation = operation
        self.hosts = dict(hosts)
        self._builders = frozenset(builders)
        """Hosts that may tell what they do for others, whether or not they are among those."""
        self.pid: int | None = None
        """ansible-playbook's, once it has said anything."""
        self.finished = False
        """Whether ansible-playbook came to its end."""
        self.table: list[dict[str, str]] = []
        """What `status` shows."""
        self.remarks: dict[str, list[str]] = {}
        self.check_mode = False
        self._refused = False
        """Whether the variables are wrong, and nothing was begun with those hosts that come after."""
        self._tell = tell
        self._at_end = at_end
        """Whether another host may yet change how a host ends, as in a fleet that commits everywhere or nowhere."""
        self._allows_absent = allows_absent
        """Whether hosts that do not answer are left out."""
        self._begun_before = begun_before
        """Whether another run has begun something on these hosts, and was broken off."""
        self._phases: dict[str, Phase] = {}
        self._modules: dict[str, Module | None] = {}
        self._failed: set[str] = set()
        self._others: set[str] = set()
        """Those whose failure is another host's."""
        self._unreachable: set[str] = set()
        self.absent: set[str] = set()
        """Those of them that nobody has answered from, and that the run was to leave out."""
        self._answered: set[str] = set()
        """Those where a module of ours has done something, or was refused it."""
        self._ends: dict[str, Outcome] = {}
        """What came of hosts of which a module other than those of a deployment says it."""
        self._told: set[str] = set()
        self._began = time.monotonic()

    def handle(self, event: Mapping[str, Any]) -> bool:
        """An event of ansible-runner's. False: it need not keep it."""
        kind = str(event.get("event", ""))
        data = all_printable(event.get("event_data") or {})
        if isinstance(event.get("pid"), int):
            self.pid = event["pid"]
        if kind == "runner_on_start":
            self._begin(str(data.get("host", "")), _module(data))
        elif kind in _RESULTS:
            self._result(kind, str(data.get("host", "")), _module(data), data)
        elif kind == "playbook_on_stats":
            self._stats(data)
        elif kind in ansible_output.STATED:
            for line in ansible_output.lines(kind, printable(str(event.get("stdout", ""))), self._known):
                self._speak(line)
        return False

    def phase(self, host: str) -> Phase:
        """What the host does now."""
        return self._phases.get(host, Phase.WAITING)

    @property
    def untouched(self) -> bool:
        """Whether nothing was begun anywhere, since the variables are wrong."""
        return self._refused and all(host.outcome is Outcome.FAILED and not host.state for host in self.hosts.values())

    def may_wait(self) -> list[str]:
        """The hosts that may have a deployment in progress which nobody will confirm any more."""
        # A revocation is of systems. What is tried of a profile nobody confirms any more, so the host takes it back.
        if self.operation is Operation.PROFILES:
            return []
        # One that builds may have begun with the next step, and its line is still on the way.
        mine = [name for name in self.hosts if name not in self._told]
        return [name for name in mine if self._is_tested(name) or self._modules.get(name) is Module.FLAKE_DEPLOY]

    def end(self, interrupted: bool) -> None:
        """Nothing more will come: tell of the hosts that have not ended."""
        for name, host in self.hosts.items():
            if name not in self._told:
                host.outcome = self._outcome(name, host, interrupted)
                self._end_of(name)

    def ended(self, names: Iterable[str]) -> None:
        """Others have told how these hosts ended."""
        self._told.update(names)

    @property
    def _known(self) -> frozenset[str]:
        return self._builders.union(self.hosts)

    # The kinds of events

    def _begin(self, name: str, module: Module | None) -> None:
        self._host(name)
        self._modules[name] = module
        phase = _PHASES.get(module, Phase.WORKING) if module else Phase.WORKING
        self._enter(name, Phase.LOOKING if self.operation is Operation.STATUS else phase)

    def _enter(self, name: str, phase: Phase) -> None:
        if name not in self._told and self._phases.get(name) is not phase:
            self._phases[name] = phase
            self._tell(Entered(host=name, phase=phase))

    def _result(self, kind: str, name: str, module: Module | None, data: Mapping[str, Any]) -> None:
        host, res = self._host(name), data.get("res") or {}
        # Ansible keeps what a task warns of until it has ended. The collection puts the host's name before it.
        for text in res.get("warnings") or ():
            self._tell(Warned(text=str(text).removeprefix(f"{name}: "), host=name))
        # Left out, its task has succeeded. A play that asks for names, or where nobody answers, has it unreachable.
        # Other collections may have a value of that name.
        absent = module in _PHASES and bool(res.get("absent"))
        left_out = kind == "runner_on_ok" and absent
        if kind == "runner_on_unreachable" or left_out:
            self._unreachable.add(name)
            if (left_out or (absent and self._allows_absent)) and name not in self._answered:
                self.absent.add(name)
            host.outcome, host.error = Outcome.UNREACHABLE, _first(host.error, str(res.get("msg", "")).strip())
            # One that answered before is no host that was never touched.
            if self._is_tested(name):
                host.outcome = Outcome.UNKNOWN
                host.error = _first(host.error, _by_itself(host))
            self._end_of(name)
            return
        # The playbook of `status` ignores errors, so that its table has every host.
        ignored = data.get("ignore_errors") and self.operation is not Operation.STATUS
        if kind == "runner_on_skipped" or (kind == "runner_on_failed" and ignored):
            return
        # It was looked whether there is anything to do, before it is done: nothing has come of that yet.
        only_looked = _PRE_ACTIVATE in str(data.get("task_path", "")) and res.get("state") in _WOULD
        if kind == "runner_on_ok" and only_looked:
            return
        # Who was asked for its name alone is as it was.
        if module in _PHASES and module is not Module.SYSTEM_INFO:
            self._answered.add(name)
        if module is Module.FLEET_VALIDATE:
            # What an inventory says of them, nobody else has told us.
            self._builders |= set(res.get("builders") or ())
        if module is Module.FLEET_STATUS:
            self.table, self.remarks = list(res.get("rows", [])), dict(res.get("remarks", {}))
        if module is Module.FLAKE_DEPLOY:
            for step, its in _STEPS.items():
                self._take(host, its, res.get(step) or {})
            # Where it ended before it had begun with a step.
            host.reason = str(res.get("reason") or host.reason)
        elif module in _PHASES:
            self._take(host, module, res)
        self._end_by(name, module, res)
        if kind == "runner_on_failed":
            self._failed.add(name)
            if module is Module.FLEET_VALIDATE:
                self._refused = True
                host.reason = str(res.get("reason") or "")
            if module is Module.FLEET_OUTCOME:
                host.reason = host.reason or str(res.get("reason") or "")
                if res.get("reason") == Reason.ANOTHER_HOST_FAILED:
                    self._others.add(name)
            host.error = _first(host.error, str(res.get("msg") or "the task failed and did not say why").strip())
            if module is Module.FLEET_OUTCOME and not self._at_end:
                host.outcome = self._outcome(name, host, False)
                self._end_of(name)
        elif module in _LAST and self._is_done(host):
            host.outcome = self._outcome(name, host, False)
            self._end_of(name)

    def _end_by(self, name: str, module: Module | None, res: Mapping[str, Any]) -> None:
        """What comes of a host where no deployment is tested."""
        if module is Module.SYSTEM_REBOOT and res.get("state") in _REBOOTED:
            self._ends[name] = _REBOOTED[res["state"]]
        elif module is Module.FLAKE_INSTALL and res.get("state") in _INSTALLED:
            self._ends[name] = _INSTALLED[res["state"]]
        elif module is Module.SYSTEM_GENERATIONS and "changed" in res:
            done = Outcome.WOULD_CHANGE if self.check_mode else Outcome.DONE
            self._ends[name] = done if res["changed"] else Outcome.UNCHANGED
        elif module is Module.SYSTEM_DIFF and "changes" in res:
            self._ends[name] = Outcome.DONE if res["changes"] else Outcome.UNCHANGED
        elif module is Module.FLAKE_BUILD and self.operation is Operation.BUILD and res.get("toplevel"):
            self._ends[name] = Outcome.DONE

    def _take(self, host: HostResult, module: Module, res: Mapping[str, Any]) -> None:
        """Take over the return values of one of the collection's modules."""
        names: Mapping[str, str] = OF_A_DEPLOYMENT
        if module is Module.SYSTEM_INFO:
            # Others ask too, and there only what ran before is of interest.
            before = {} if host.previous_system else {"current_system": "previous_system"}
            names = OF_A_HOST if isinstance(host, HostStatus) else before
        for theirs, ours in names.items():
            if res.get(theirs) is not None:
                setattr(host, ours, res[theirs])
        if res.get("state") and module not in (Module.SYSTEM_REBOOT, Module.FLAKE_INSTALL):
            host.state = State(str(res["state"]))
        if host.state in (State.WINDOW, State.UNCHANGED) and not res.get("system"):
            host.system = host.new_system
        if host.state not in _OPEN:
            host.decides_by = ""

    def _stats(self, data: Mapping[str, Any]) -> None:
        self.finished = True
        for name in data.get("failures") or {}:
            self._host(name)
            self._failed.add(name)
        for name in data.get("processed") or {}:
            self._host(name)
        self.end(interrupted=False)

    def _speak(self, line: ansible_output.Line) -> None:
        if line.warns:
            self._tell(Warned(text=line.text, host=line.host))
        elif line.host:
            if line.step and self._modules.get(line.host) in _OF_STEPS:
                self._enter(line.host, _PHASES[_STEPS[line.step]])
            self._tell(Progress(host=line.host, text=line.text))

    # What it means

    def _is_tested(self, name: str) -> bool:
        """Whether a system that is tested may run there. The operator's own checks are a phase of no module of ours."""
        return self.phase(name) in _WORKING or self.hosts[name].state in _OPEN

    def _is_done(self, host: HostResult) -> bool:
        if self._at_end:
            return False
        done = (*_WELL, State.WOULD_BOOT)
        return host.state in done or self.operation is Operation.REVOKE

    def _outcome(self, name: str, host: HostResult, interrupted: bool) -> Outcome:
        if name in self._unreachable:
            return host.outcome
        failed = name in self._failed
        if (end := self._ends.get(name)) and not (failed and end in GOOD):
            return end
        if host.state in _WELL and (not failed or name in self._others):
            return _WELL[host.state]
        if host.state is State.ROLLED_BACK:
            return Outcome.ROLLED_BACK
        if host.deployment and host.state in _OPEN:
            return Outcome.UNKNOWN
        if failed:
            return Outcome.FAILED
        if host.state in _WOULD:
            return Outcome.WOULD_CHANGE
        if self.finished and self.operation in (Operation.STATUS, Operation.REVOKE):
            if self.operation is Operation.REVOKE:
                host.reason = host.reason or Reason.NOTHING_WAITS
            return Outcome.INTERRUPTED if self._begun_before else Outcome.UNCHANGED
        begun = self._is_tested(name) or self.phase(name) in (Phase.REBOOTING, Phase.REMOVING, Phase.INSTALLING)
        begun = begun or self._modules.get(name) is Module.PROFILE_DEPLOY
        if interrupted and not self._begun_before and not begun:
            return Outcome.INTERRUPTED
        # Otherwise Ansible ended before it began with this host.
        return Outcome.UNKNOWN if self._begun_before or self.phase(name) else Outcome.FAILED

    def _end_of(self, name: str) -> None:
        if name in self._told:
            return
        self._told.add(name)
        host = self.hosts[name]
        host.seconds = round(time.monotonic() - self._began, 3)
        if not host.error and host.outcome is Outcome.FAILED:
            host.error = f"nothing was done on {name}: the run ended before it began there"
        if not host.error and host.outcome is Outcome.UNKNOWN:
            host.error = _by_itself(host)
        self._tell(Result(result=host))

    def _host(self, name: str) -> HostResult:
        if name not in self.hosts:
            self.hosts[name] = HostStatus(name) if self.operation is Operation.STATUS else HostResult(name)
        return self.hosts[name]


def _by_itself(host: HostResult) -> str:
    """What becomes of a host that nobody hears of."""
    of = f" of deployment {host.deployment}" if host.deployment else ""
    by = f", by {host.decides_by} at the latest" if host.decides_by else ""
    return (
        f"outcome unknown: {host.name} did not say how it went. What was begun there{of}, it finishes or undoes by"
        f" itself{by}; see 'deploy-flake status {host.name}'."
    )


def _module(data: Mapping[str, Any]) -> Module | None:
    """The module of a task; None for one that says nothing about a host."""
    action = str(data.get("resolved_action") or data.get("task_action") or "")
    name = action.removeprefix(_COLLECTION)
    return _MODULES.get(name)


def _first(known: str, new: str) -> str:
    """The first failure is the cause; those after it, in a rescue, say how it went on."""
    if not known or new.startswith(known):
        return new
    rest = new.removeprefix(known.splitlines()[0]).strip()
    return f"{known}\n{rest}" if rest and rest not in known else known
