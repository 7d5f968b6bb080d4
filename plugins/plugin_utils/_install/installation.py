# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit on the installer that erases and installs: started, or found there, and followed to its end."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._codes import InstallResult, InstallStep, Refusal, ResultState
from .._host.answer import Answer, HostError, HostLostError
from .._host.connection import Host
from .settings import HostKey, InstallSettings, one_a_line

_POLL = 5
"""Seconds for which one poll waits on the host for the end."""
_STILL_EVERY = 30.0
_LAST_LINES = 20
_ERASED = (
    "What was on its disks is erased or may be, and nothing boots from them yet; the installer runs on. Mend {what},"
    " and run install again, which begins anew; but stop first what was made of them, if they have such things (zpool"
    " export, vgchange -an, mdadm --stop, cryptsetup close)"
)
_STEPS = {
    InstallStep.ERASE: "erases and partitions its disks",
    InstallStep.KEYS: "gets its host keys",
    InstallStep.INSTALL: "gets its system (nixos-install)",
}


@dataclass(frozen=True)
class Job:
    """What is installed where."""

    name: str
    """Of one that installs the same, in one word."""
    toplevel: str
    script: str
    installer: str
    root: str
    devices: tuple[str, ...]


def look(host: Host, settings: InstallSettings, toplevel: str, root: str, devices: Sequence[str]) -> Answer:
    """What would be erased; HostError for what may not be. Nothing is changed."""
    return host.contact(
        settings.build.reconnect_timeout,
        lambda: host.run(
            "install_look",
            disks=one_a_line(settings.disks),
            devices=one_a_line(devices),
            toplevel=toplevel,
            root=root,
            allow=" ".join(settings.allow),
        ),
        "looking at its disks",
    )


class Installation:
    """One installation on one host."""

    def __init__(self, host: Host, settings: InstallSettings, job: Job, boot_id: str) -> None:
        self._host = host
        self._settings = settings
        self._job = job
        self._boot_id = boot_id
        self._begun = False
        """Whether the host has said that it has begun."""
        self._id = secrets.token_hex(8)
        self._offset = 0
        self._rest = b""
        self._last: list[str] = []
        self._step = ""
        self._told = self._began = time.monotonic()

    def follow(self) -> Answer:
        """Start it, and poll until there is a result; HostError where that is not a whole system on the disks."""
        patience = self._settings.build.reconnect_timeout
        # Each limit of the unit's own, and time to tell.
        ends = time.monotonic() + self._limit + 300
        while True:
            try:
                answer = self._host.persist(patience, self._poll, "installing", begun=self._begun)
            except HostLostError as error:
                raise HostError(
                    f"{error}. The installation goes on there by itself, and does not reboot; run install again to"
                    " follow it",
                    error.reason,
                ) from error
            except HostError as error:
                if not (self._begun and error.reason in (Refusal.REBOOTED, Refusal.KILLED)):
                    raise
                failure = HostError(
                    f"{error}. The installation there is over: its disks are erased or may be, and it is installed only"
                    " if it has booted the new system. Look at its console; if it runs the installer, run install"
                    " again",
                    error.reason,
                )
                failure.result = {"erased": True}
                raise failure from error
            if answer.get("attached") and not self._begun:
                self._host.tell("is being installed already, with the same; following that")
            self._begun = True
            self._tell(answer)
            if answer.get("result") or answer.get("runs"):
                break
            if time.monotonic() > ends:
                raise self._failed(Refusal.TOO_SLOW, "has not ended the installation in time", "what holds it up")
        if answer.get("result"):
            self._require_whole(answer)
        return answer

    @property
    def _limit(self) -> int:
        return 3 * self._settings.install_timeout + 300

    def _poll(self) -> Answer:
        job = self._job
        values = {
            "job": job.name,
            "script": job.script,
            "installer": job.installer,
            "toplevel": job.toplevel,
            "root": job.root,
            "keys": str(len(self._settings.host_keys)),
            "limit": str(self._settings.install_timeout),
        }
        return self._host.run(
            "install",
            limit=_POLL + 240,
            job=job.name,
            id=self._id,
            begun="yes" if self._begun else "no",
            boot_id=self._boot_id,
            values=values,
            host_keys="\n".join(map(_line, self._settings.host_keys)),
            runtime_limit=str(self._limit),
            offset=str(self._offset),
            patience=str(_POLL),
            disks=one_a_line(self._settings.disks),
            devices=one_a_line(job.devices),
            toplevel=job.toplevel,
            root=job.root,
            allow=" ".join(self._settings.allow),
        )

    def _tell(self, answer: Answer) -> None:
        log = base64.b64decode(answer.get("log"))
        self._offset += len(log)
        *lines, self._rest = (self._rest + log).split(b"\n")
        for line in (one.decode(errors="replace") for one in lines):
            self._host.tell_more(line)
            self._last = [*self._last, line][-_LAST_LINES:]
        step, now = answer.get("step"), time.monotonic()
        if step != self._step and step in list(InstallStep):
            self._host.tell(_STEPS[InstallStep(step)])
            self._step, self._told = step, now
        elif step == self._step and now - self._told >= _STILL_EVERY:
            said = f": {self._last[-1]}" if self._last else ""
            self._host.tell(f"still {_STEPS.get(step, 'begins')}, for {now - self._began:.0f} s{said}")  # type: ignore[call-overload]
            self._told = now

    def _require_whole(self, answer: Answer) -> None:
        word, _space, status = answer.get("result").partition(" ")
        # Whoever left anything else did not come to its end.
        result = InstallResult(word) if word in list(InstallResult) else InstallResult.KILLED
        root, erased = self._job.root, bool(answer.get("erased"))
        in_time = "did not end in time" if status == "124" else f"ended with {status}"
        more_time = " or raise install_timeout (deploy_flake_install_timeout)" if status == "124" else ""
        match result:
            case InstallResult.OK:
                return
            case InstallResult.NOT_PROTECTED:
                raise self._failed(
                    Refusal.NOT_PROTECTED,
                    "could not keep disks that the flake does not erase from being written to, so all were left alone",
                    "that (or unplug them)",
                    erased,
                )
            case InstallResult.NO_SPACE:
                raise self._failed(Refusal.NO_SPACE, "cannot write to /run or to the new disk", "that", erased)
            case InstallResult.DISKO_FAILED:
                raise self._failed(
                    Refusal.NOT_PARTITIONED,
                    f"could not make its disks: the flake's disko script {in_time}",
                    f"disko.devices in the flake{more_time}",
                )
            case InstallResult.NOT_MOUNTED:
                raise self._failed(
                    Refusal.NOT_MOUNTED,
                    f"has nothing mounted at {root}, or something there or below it that does not lie on the disks that"
                    " the flake erases alone, after the flake's disko script, which ended well; nothing was installed",
                    "the file systems in disko.devices in the flake (or unplug an old disk that has the same labels)",
                )
            case InstallResult.KEYS_FAILED:
                raise self._failed(
                    Refusal.NO_HOST_KEY, "does not have its host keys on the new disk", "what its last lines name"
                )
            case InstallResult.INSTALL_FAILED:
                raise self._failed(
                    Refusal.NOT_INSTALLED, f"was not installed: nixos-install {in_time}", f"that{more_time}"
                )
            case InstallResult.NOT_INSTALLED:
                raise self._failed(
                    Refusal.NOT_INSTALLED,
                    f"was not installed: nixos-install ended well, and the profile below {root} is not the new system",
                    "nixos-install of the installer",
                )
        text = "was not installed: the installation was ended by somebody before it was done"
        raise self._failed(Refusal.KILLED, text, "that", erased)

    def _failed(self, reason: Refusal, text: str, mend: str, erased: bool = True) -> HostError:
        state = _ERASED.format(what=mend) if erased else f"It has erased nothing. Mend {mend}, and run install again"
        last = "".join(f"\n  {line}" for line in self._last if line.strip())
        said = f"\nIts last lines:{last}" if last else ""
        error = HostError(f"{self._host.name} {text}. {state}.{said}", reason)
        error.result = {"erased": erased}
        return error


def _line(key: HostKey) -> str:
    return f"{key.path} {base64.b64encode(key.content.encode()).decode()}"


def reboot(host: Host, settings: InstallSettings, job: Job, boot_id: str) -> None:
    """Have the installer reboot; where its answer is lost, it may have begun to."""
    patience = min(settings.build.reconnect_timeout, 30)
    try:
        host.persist(
            patience,
            lambda: host.run(
                "install_reboot",
                limit=240,
                boot_id=boot_id,
                root=job.root,
                job=job.name,
                toplevel=job.toplevel,
            ),
            "asking it to reboot",
            begun=True,
        )
    except HostLostError as error:
        host.tell_more(f"it may have begun to reboot: {error}")


def result_of(job: Job, state: ResultState) -> dict[str, Any]:
    """The return values about what is installed."""
    return {"changed": True, "state": state, "toplevel": job.toplevel, "disks": list(job.devices)}
