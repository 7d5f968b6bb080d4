# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a system on the host, in a unit there, and follows it to its end."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .nix_log import BuildLog
from .._flake.reference import configurations, toplevel
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .._host.scripts import program
from .._action import HostAction
from .transfer import Sources
from .._flake.store_path import is_store_path

_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_SAYING = ("--json", "--print-out-paths", "--log-format", "internal-json")
_QUIET = 3
"""Seconds for which a poll keeps to itself what is only progress."""
_POLL = 5
"""Seconds for which it waits for any news after that."""
_PROGRESS_EVERY = 2.0
_STILL_EVERY = 8.0
_NAMES = 20
_ERROR_LINES = 30
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def build(
    host: Host, options: Mapping[str, Any], task: HostAction, look: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Answer]:
    """Send what the host lacks of the flake, build, and follow that to its end; the return values and the last answer.

    With `look`, the variables of look.sh, the host says as well when it runs the system already (`unchanged`).
    """
    check_mode = task.check_mode
    prebuilt = _prebuilt(options)
    if not options["flake"]:
        return _Building(host, options, check_mode, look).build(prebuilt)
    with Sources(host, options["flake"], task.common_file(options["flake"])) as sources:
        options = {**options, "reference": sources.reference}
        result, answer = _Building(host, options, check_mode, look).build(prebuilt, sources)
        return {**result, **sources.facts(), "changed": result["changed"] or sources.bytes_sent > 0}, answer


class _Building:
    """What is to be built on a host, or evaluated."""

    def __init__(
        self, host: Host, options: Mapping[str, Any], check_mode: bool, look: Mapping[str, str] | None
    ) -> None:
        self._host = host
        self._options = options
        self._check_mode = check_mode
        self._look = look

    def build(self, prebuilt: str, sources: Sources | None = None) -> tuple[dict[str, Any], Answer]:
        """Build it, or get the system that was built before."""
        host, options = self._host, self._options
        configuration = "" if prebuilt else options["configuration"] or host.name
        if self._check_mode and not options["check_builds"] and not prebuilt:
            if sources:
                sources.bring(options)
            return self._evaluate(configuration), Answer()
        installable = prebuilt or toplevel(options["reference"], configuration)
        its = _Build(host, options, installable, sources, self._look or {})
        answer = its.follow()
        result, _space, status = answer.get("result").partition(" ")
        path = answer.get("toplevel")
        if result != "success" or not path:
            if prebuilt:
                raise HostError(_why_not_there(host, options, its.log, answer, result, status), "not-there")
            raise HostError(self._why(configuration, its.log, answer, result, status), "build-failed")
        if lacks := answer.all("lacks"):
            what = path if prebuilt else f"the configuration '{configuration}' built {path}, which"
            raise HostError(f"{what} is not a NixOS system: it has no {' and no '.join(lacks)}", "not-a-system")
        for warning in its.log.warnings:
            host.tell_more(warning)
        return {
            "changed": its.log.did_something,
            "toplevel": path,
            "valid": True,
            "derivation": answer.get("derivation"),
            "configuration": configuration,
            "built": its.log.built,
            "copied": its.log.copied,
            "downloaded_bytes": its.log.downloaded_bytes,
            "attached": its.attached,
        }, answer

    def _evaluate(self, configuration: str) -> dict[str, Any]:
        """Which system it would be, without building it; the derivation is put into the store."""
        host, options = self._host, self._options
        host.tell("evaluates its configuration")
        paths = 's: builtins.unsafeDiscardStringContext (s.outPath + " " + s.drvPath)'
        arguments = ["--raw", "--apply", paths, toplevel(options["reference"], configuration)]
        answer = self._nix_eval(arguments, "evaluating the configuration", options["build_timeout"])
        path, _space, derivation = answer.get("value").partition(" ")
        if answer.get("status") != "0" or not is_store_path(path):
            error = _nix_error(answer.get("error")) or f"nix eval ended with {answer.get('status')}"
            parts = [f"{host.name} could not evaluate '{configuration}'; its system is untouched.", error]
            if "does not provide attribute" in error:
                parts.append(self._configurations(configuration))
            raise HostError("\n".join(parts), "evaluation-failed")
        valid = path in answer.all("valid")
        return {
            "changed": not valid,
            "toplevel": path,
            "valid": valid,
            "derivation": derivation,
            "configuration": configuration,
            "built": 0,
            "copied": 0,
            "downloaded_bytes": 0,
            "attached": False,
        }

    def _nix_eval(self, arguments: list[str], doing: str, limit: int) -> Answer:
        host, options = self._host, self._options
        words = _for_systemd(["eval", *_FEATURES, *options["build_args"], *arguments])
        return host.persist(
            options["reconnect_timeout"],
            lambda: host.run(
                "nix_eval",
                limit=limit + 60,
                eval_limit=str(limit),
                login_user=host.login_user,
                nix_arguments=shlex.join(words),
                nix_config=options["nix_config"],
                source=_source(options["reference"]),
            ),
            doing,
        )

    def _why(self, configuration: str, log: BuildLog, answer: Answer, result: str, status: str) -> str:
        what = f"{self._host.name} could not build '{configuration}'; its system is untouched"
        if result == "timeout":
            return f"{what}. The build did not end within {self._options['build_timeout']} s ('build_timeout')."
        if result == "killed":
            return f"{what}. The build was killed, or the host was restarted, before it could end."
        message = log.error or f"nix ended with {status or result}"
        parts = [f"{what}.", message]
        if "does not provide attribute" in message:
            parts.append(self._configurations(configuration))
        if log.failed_derivations:
            parts.append(f"Failing derivation: {', '.join(log.failed_derivations)}")
        if log.log_tail:
            parts.append("\n".join(("Its last lines:", *(f"  {line}" for line in log.log_tail))))
        if space := _space(log, answer):
            parts.append(space)
        if "lock file" in message and "write" in message:
            parts.append("The lock file does not name every input: run 'nix flake lock' and deploy again.")
        return "\n".join(parts)

    def _configurations(self, wanted: str) -> str:
        arguments = ["--json", "--apply", "builtins.attrNames", configurations(self._options["reference"])]
        answer = self._nix_eval(arguments, "listing the configurations", 120)
        try:
            names = json.loads(answer.get("value"))
        except ValueError:
            return "The flake has no nixosConfigurations that could be listed."
        if len(names) > _NAMES:
            alike = difflib.get_close_matches(wanted, names, _NAMES, 0.4) or names[:_NAMES]
            return f"The flake has {len(names)} nixosConfigurations, among them {', '.join(alike)}."
        return f"The flake has these nixosConfigurations: {', '.join(names) or 'none'}."


def _prebuilt(options: Mapping[str, Any]) -> str:
    """The store path of a system that is built already; "" where a flake is to be built."""
    path = str(options["toplevel"] or "")
    if sum(bool(options[name]) for name in ("flake", "reference", "toplevel")) != 1:
        raise HostError(
            "give one of 'flake' and 'reference', what is to be built, or 'toplevel', a system that is built already",
            "bad-option",
        )
    if path and (not is_store_path(path) or path.endswith(".drv")):
        raise HostError(f"toplevel must be the store path of a system, and is {path!r}", "not-a-store-path")
    return path


def _why_not_there(
    host: Host, options: Mapping[str, Any], log: BuildLog, answer: Answer, result: str, status: str
) -> str:
    what = f"{host.name} does not have {options['toplevel']}, and could not get it; its system is untouched"
    if result == "timeout":
        return f"{what}. Fetching it did not end within {options['build_timeout']} s ('build_timeout')."
    if result == "killed":
        return f"{what}. Fetching it was killed, or the host was restarted, before it could end."
    parts = [f"{what}.", log.error or f"nix ended with {status or result}", *log.warnings]
    if space := _space(log, answer):
        parts.append(space)
    else:
        parts.append(
            f"Copy it there ('nix copy --to ssh://{host.address or host.name} {options['toplevel']}'), or name a"
            " substituter that has it and the key that it is signed with ('substituters' and 'trusted-public-keys' in"
            " nix_config)."
        )
    return "\n".join(parts)


def _space(log: BuildLog, answer: Answer) -> str:
    """What to do if the disk is full; "" if it is not."""
    if not re.search(
        r"No space left|disk is full|database or disk is full", "\n".join((log.error or "", *log.log_tail))
    ):
        return ""
    return f"There are {int(answer.get('free') or 0) // 1024} MiB free on /nix; make room there."


class _Build:
    """One build on one host."""

    def __init__(
        self,
        host: Host,
        options: Mapping[str, Any],
        installable: str,
        sources: Sources | None,
        look: Mapping[str, str],
    ) -> None:
        self.host = host
        self._sources = sources
        self._paths = sources.paths if sources else ""
        self._look = look
        self.options = options
        self.log = BuildLog()
        self.attached = False
        arguments = ["build", *_FEATURES, *_SAYING, *options["build_args"]]
        self._arguments = shlex.join(_for_systemd([*arguments, installable]))
        self._name = hashlib.sha256(self._arguments.encode(errors="surrogateescape")).hexdigest()[:16]
        # No flake is evaluated where the system is built already, and only root may name a substituter to everybody.
        self._user = host.login_user if options["reference"] else "root"
        self._source = _source(options["reference"] or "")
        self._offset = 0
        self._told = ("", 0.0)
        self._began = time.monotonic()

    def follow(self) -> Answer:
        """Poll until there is a result. What the host does meanwhile does not depend on us."""
        answer = self._start()
        if self._sources and (missing := answer.all("missing")):
            answer = self._send_and_start(self._sources, missing)
        while not answer.get("result"):
            if answer.all("missing"):
                raise HostError(f"{self.host.name} has lost what it was sent of the flake", "not-valid")
            # Another controller that followed the same build has tidied up: the result is in the store.
            answer = self._start() if answer.get("gone") else self._poll("no")
        return answer

    def _send_and_start(self, sources: Sources, missing: Sequence[str]) -> Answer:
        """The last of what is missing goes with the script that builds. All are rooted, and not asked for again."""
        *others, last = missing
        sources.send(others, self.options)
        nar = sources.read(last)
        self._paths = ""
        answer = self._start(data=nar, path=last, nar_size=str(len(nar)))
        sources.bytes_sent += len(nar)
        return answer

    def _start(self, data: bytes = b"", **snapshot: str) -> Answer:
        self._offset, self.log = 0, BuildLog()
        return self._poll("yes", data, **snapshot)

    def _poll(self, may_start: str, data: bytes = b"", **snapshot: str) -> Answer:
        quiet = self.host.quiet(_QUIET)
        patience = quiet + _POLL
        # With a reference, somebody has spoken with the host before.
        wait_for = self.host.persist if self.options["reference"] and not self._sources else self.host.contact
        answer = wait_for(
            self.options["reconnect_timeout"],
            lambda: self.host.run(
                "build",
                limit=patience + 120 + (self.options["copy_timeout"] if data else 0),
                data=data,
                name=self._name,
                login_user=self._user,
                build_limit=str(self.options["build_timeout"]),
                nix_arguments=self._arguments,
                at_end=program("build_ended"),
                nix_config=self.options["nix_config"],
                offset=str(self._offset),
                patience=str(patience),
                quiet=str(quiet),
                may_start=may_start,
                source=self._source,
                paths=self._paths,
                **{"nar_size": "", **snapshot},
                **({"look": "yes", **self._look} if self._look else {"look": "no"}),
            ),
            f"{'copying the flake and ' if data else ''}building (a build that has begun goes on there)",
        )
        if answer.get("attached"):
            self.attached = True
            self.host.tell("is building this already; following that build")
        log = base64.b64decode(answer.get("log"))
        self._offset += len(log)
        self.log.feed(log)
        self._tell()
        return answer

    def _tell(self) -> None:
        line = self.log.progress()
        before, at = self._told
        quiet_for = time.monotonic() - at
        if line and quiet_for >= (_PROGRESS_EVERY if line != before else _STILL_EVERY):
            self.host.tell(line if line != before else f"still {line}, for {time.monotonic() - self._began:.0f} s")
            self._told = (line, time.monotonic())


def _source(reference: str) -> str:
    """The store path of a snapshot; of a flake that the host fetches itself what no root is named by."""
    return reference.partition("?")[0].removeprefix("path:")


def _nix_error(text: str) -> str:
    """Nix's own message; what it warned of before is left out, and a trace that goes on and on."""
    lines = _COLOUR.sub("", text).splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("error:")), None)
    return "\n".join(lines[first:][-_ERROR_LINES:]).strip() if first is not None else ""


def _for_systemd(arguments: list[str]) -> list[str]:
    """systemd replaces `$NAME` in the arguments of a unit; two dollars are one."""
    return [argument.replace("$", "$$") for argument in arguments]
