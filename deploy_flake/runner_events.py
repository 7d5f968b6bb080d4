# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes results and events of what ansible-runner reports."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deploy_flake.events import Event, Phase, Progress, Result, Warned
from deploy_flake.result import HostResult, HostStatus, Outcome

PHASES = {
    "flake_deploy": "building",
    "flake_build": "building",
    "system_test": "testing",
    "system_rollback": "testing",
    "system_check": "checking",
    "system_boot": "confirming",
    "system_revoke": "revoking",
    "system_info": "asking",
}
# The steps of flake_deploy, and the line with which one begins.
_STEPS = {"build": "flake_build", "test": "system_test", "boot": "system_boot"}
_BEGINS = {"is to try ": "testing", "is to boot ": "confirming", "is asked to confirm ": "confirming"}
_COLLECTION = "deploy_flake.nixos."
_LINE = re.compile(r"(?P<host>[^\s:]+): (?P<text>.*)")
_LABEL = re.compile(r"^\[(?:[A-Z ]*WARNING|ERROR)\]:? *")
_RESULTS = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_on_skipped")
# What each return value of the modules is called in a result.
_VALUES = {
    "configuration": "configuration",
    "deployment": "deployment",
    "previous_system": "previous_system",
    "system": "system",
    "toplevel": "new_system",
    "generation": "generation",
    "reboot_required": "reboot_required",
    "revision": "revision",
    "bytes_sent": "bytes_sent",
    "decides_by": "decides_by",
    "failed_units": "failed_units",
    "notes": "notes",
    "reason": "reason",
    "would": "would",
    "reboot_reasons": "reboot_reasons",
    "free_space": "free_space",
    "changes": "changes",
}
_STATUS = {
    "hostname": "hostname",
    "current_system": "system",
    "booted_system": "booted_system",
    "boot_default": "boot_default",
    "generation": "generation",
    "nixos_version": "nixos_version",
    "configuration_revision": "revision",
    "health": "health",
    "failed_units": "failed_units",
    "reboot_required": "reboot_required",
    "reboot_reasons": "reboot_reasons",
    "generations": "generations",
    "deployments": "deployments",
    "open_deployment": "open_deployment",
    "specialisation": "specialisation",
    "boot_loader_default": "boot_loader_default",
    "boot_default_revision": "boot_default_revision",
    "kernel_version": "kernel_version",
    "age": "age",
    "free_space": "free_space",
    "explanations": "explanations",
    "drift": "drift",
    "complete": "complete",
}
# The modules after which a host may have ended.
_LAST = ("flake_deploy", "system_test", "system_rollback", "system_boot", "system_revoke")
_WORKING = ("testing", "checking", "confirming", "revoking")


class Follower:
    """Follows one run of a playbook. `hosts` may be empty: those of an inventory are learnt as they turn up."""

    def __init__(
        self,
        operation: str,
        hosts: Mapping[str, HostResult],
        tell: Callable[[Event], None],
        at_end: bool = False,
        under_way: bool = False,
    ) -> None:
        self.operation = operation
        self.hosts = dict(hosts)
        self.pid: int | None = None
        """ansible-playbook's, once it has said anything."""
        self.finished = False
        """Whether ansible-playbook came to its end."""
        self.table: list[dict[str, str]] = []
        """What `status` shows."""
        self.remarks: dict[str, list[str]] = {}
        self._tell = tell
        self._at_end = at_end
        """Whether another host may yet change how a host ends, as in a fleet that commits everywhere or nowhere."""
        self._under_way = under_way
        """Whether another run has begun something on these hosts, and was broken off."""
        self._phases: dict[str, str] = {}
        self._modules: dict[str, str] = {}
        self._failed: set[str] = set()
        self._unreachable: set[str] = set()
        self._told: set[str] = set()
        self._began = time.monotonic()

    def handle(self, event: Mapping[str, Any]) -> bool:
        """An event of ansible-runner's. False: it need not keep it."""
        kind = str(event.get("event", ""))
        data = event.get("event_data") or {}
        if isinstance(event.get("pid"), int):
            self.pid = event["pid"]
        if kind == "runner_on_start":
            self._begin(str(data.get("host", "")), _module(data))
        elif kind in _RESULTS:
            self._result(kind, str(data.get("host", "")), _module(data), data)
        elif kind == "playbook_on_stats":
            self._stats(data)
        elif kind in ("verbose", "warning", "system_warning", "error"):
            self._speak(kind, str(event.get("stdout", "")))
        return False

    def phase(self, host: str) -> str:
        """What the host does now; "" before it does anything."""
        return self._phases.get(host, "")

    def may_wait(self) -> list[str]:
        """The hosts that may have a deployment under way which nobody will confirm any more."""
        # One that builds may have begun with the next step, and its line is still on the way.
        mine = [name for name in self.hosts if name not in self._told]
        return [name for name in mine if self._is_tried(name) or self._modules.get(name) == "flake_deploy"]

    def end(self, interrupted: bool) -> None:
        """Nothing more will come: tell of the hosts that have not ended."""
        for name, host in self.hosts.items():
            if name not in self._told:
                host.outcome = self._outcome(name, host, interrupted)
                self._end_of(name)

    def ended(self, names: Iterable[str]) -> None:
        """Others have told how these hosts ended."""
        self._told.update(names)

    # The kinds of events

    def _begin(self, name: str, module: str) -> None:
        self._host(name)
        self._modules[name] = module
        self._enter(name, "looking" if self.operation == "status" else PHASES.get(module, "working"))

    def _enter(self, name: str, phase: str) -> None:
        if name not in self._told and self._phases.get(name) != phase:
            self._phases[name] = phase
            self._tell(Phase(host=name, phase=phase))

    def _result(self, kind: str, name: str, module: str, data: Mapping[str, Any]) -> None:
        host, res = self._host(name), data.get("res") or {}
        if kind == "runner_on_unreachable":
            self._unreachable.add(name)
            host.outcome, host.error = Outcome.UNREACHABLE, _first(host.error, str(res.get("msg", "")).strip())
            # One that answered before is no host that was never touched.
            if self._is_tried(name):
                host.outcome = Outcome.FAILED
            self._end_of(name)
            return
        # The playbook of `status` ignores errors, so that its table has every host.
        ignored = data.get("ignore_errors") and self.operation != "status"
        if kind == "runner_on_skipped" or (kind == "runner_on_failed" and ignored):
            return
        if module == "fleet_status":
            self.table, self.remarks = list(res.get("rows", [])), dict(res.get("remarks", {}))
        if module == "flake_deploy":
            for step, its in _STEPS.items():
                self._take(host, its, res.get(step) or {})
        elif module in PHASES:
            self._take(host, module, res)
        if kind == "runner_on_failed":
            self._failed.add(name)
            host.error = _first(host.error, str(res.get("msg") or "the task failed and did not say why").strip())
            if module.endswith("fail") and not self._at_end:
                host.outcome = self._outcome(name, host, False)
                self._end_of(name)
        elif module in _LAST and self._is_done(host):
            host.outcome = self._outcome(name, host, False)
            self._end_of(name)

    def _take(self, host: HostResult, module: str, res: Mapping[str, Any]) -> None:
        """Take over the return values of one of the collection's modules."""
        names: Mapping[str, str] = _VALUES
        if module == "system_info":
            # Others ask too, and there only what ran before is of interest.
            before = {} if host.previous_system else {"current_system": "previous_system"}
            names = _STATUS if isinstance(host, HostStatus) else before
        for theirs, ours in names.items():
            if res.get(theirs) is not None:
                setattr(host, ours, res[theirs])
        if res.get("state"):
            host.state = str(res["state"])
        if host.state in ("window", "unchanged") and not res.get("system"):
            host.system = host.new_system
        if host.state in ("committed", "rolled-back", "unchanged"):
            host.decides_by = ""

    def _stats(self, data: Mapping[str, Any]) -> None:
        self.finished = True
        for name in data.get("failures") or {}:
            self._host(name)
            self._failed.add(name)
        for name in data.get("processed") or {}:
            self._host(name)
        self.end(interrupted=False)

    def _speak(self, kind: str, text: str) -> None:
        warning = kind != "verbose" or bool(_LABEL.match(text))
        # A warning may have been folded; progress comes a line at a time.
        lines = [" ".join(_LABEL.sub("", text).split())] if warning else text.splitlines()
        for line in lines:
            match = _LINE.fullmatch(line.strip())
            name = match["host"] if match and match["host"] in self.hosts else None
            said = match["text"] if match and name else line.strip()
            if said == "User interrupted execution":
                # That was us.
                continue
            if warning and said:
                self._tell(Warned(text=said, host=name))
            elif name:
                begun = next((phase for begins, phase in _BEGINS.items() if said.startswith(begins)), None)
                if begun and self._modules.get(name) == "flake_deploy":
                    self._enter(name, begun)
                self._tell(Progress(host=name, text=said))

    # What it means

    def _is_tried(self, name: str) -> bool:
        """Whether a system may be on trial there. The operator's own checks are a phase of no module of ours."""
        return self.phase(name) in _WORKING or self.hosts[name].state in ("window", "prepared")

    def _is_done(self, host: HostResult) -> bool:
        if self._at_end:
            return False
        return host.state in ("committed", "unchanged", "would-boot") or self.operation == "revoke"

    def _outcome(self, name: str, host: HostResult, interrupted: bool) -> Outcome:
        if name in self._unreachable:
            return host.outcome
        failed = name in self._failed
        if host.state in ("unchanged", "committed") and not (failed and _about(host)):
            return Outcome.UNCHANGED if host.state == "unchanged" else Outcome.DEPLOYED
        if host.state == "rolled-back":
            return Outcome.ROLLED_BACK
        if failed:
            return Outcome.FAILED
        if host.state in ("would-test", "would-rollback", "would-boot", "would-revoke"):
            return Outcome.WOULD_CHANGE
        if self.finished and self.operation in ("status", "revoke"):
            host.reason = host.reason or ("nothing-waits" if self.operation == "revoke" else "")
            return Outcome.INTERRUPTED if self._under_way else Outcome.UNCHANGED
        if interrupted and not self._under_way and not self._is_tried(name):
            return Outcome.INTERRUPTED
        # Otherwise Ansible ended before it began with this host.
        return Outcome.UNKNOWN if self._under_way or self.phase(name) else Outcome.FAILED

    def _end_of(self, name: str) -> None:
        if name in self._told:
            return
        self._told.add(name)
        host = self.hosts[name]
        host.seconds = round(time.monotonic() - self._began, 3)
        if not host.error and host.outcome is Outcome.FAILED:
            host.error = f"nothing was done on {name}: the run ended before its turn"
        if not host.error and host.outcome is Outcome.UNKNOWN:
            by = f", at the latest by {host.decides_by}" if host.decides_by else ""
            host.error = (
                f"{name} did not say how it went. What was begun there, it finishes or undoes by itself{by};"
                f" 'deploy-flake status {name}' tells."
            )
        self._tell(Result(result=host))

    def _host(self, name: str) -> HostResult:
        if name not in self.hosts:
            self.hosts[name] = HostStatus(name) if self.operation == "status" else HostResult(name)
        return self.hosts[name]


def _module(data: Mapping[str, Any]) -> str:
    """The module of a task: the collection's own by its short name, others in full."""
    action = str(data.get("resolved_action") or data.get("task_action") or "")
    return action.removeprefix(_COLLECTION)


def _about(host: HostResult) -> bool:
    """Whether the failure is this host's own, and not that of another one of its fleet."""
    return not host.error.startswith("another host of the fleet failed")


def _first(known: str, new: str) -> str:
    """The first failure is the cause; those after it, in a rescue, say how it went on."""
    if not known or new.startswith(known):
        return new
    rest = new.removeprefix(known.splitlines()[0]).strip()
    return f"{known}\n{rest}" if rest and rest not in known else known
