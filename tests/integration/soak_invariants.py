# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for a host after any fault."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from integration import playing
from integration.faulting import inside, journal, last_record, wait_for
from integration.playing import Systems, systems

from lab import Host
from lab.shell import LabError

# Outcomes of which nobody has to take care.
HARMLESS = {"committed", "rolled-back", "refused", "interrupted"}

WHOLE = """
readlink -f /etc/static
systemctl is-system-running
systemctl show -p Id -p NeedDaemonReload '*' | grep -B 1 -x NeedDaemonReload=yes | grep Id= | tr '\\n' ' '
echo
for link in /run/current-system/etc/systemd/system/*.wants/*; do
    # There is work for this one only while a boot is tried.
    [ "${link##*/}" != deploy-flake-trial.service ] || continue
    systemctl is-active --quiet "${link##*/}" || printf '%s ' "${link##*/}"
done
echo
nix-store --check-validity $(nix-store -qR /run/current-system /nix/var/nix/profiles/system) 2>&1 | tail -n 1
"""


class Broken(Exception):
    """An invariant does not hold; the message says which."""


def demand(holds: object, saying: str) -> None:
    if not holds:
        raise Broken(saying)


def version_of(system: str) -> str:
    """The versions of the flake are the seeds', so they tell the systems apart."""
    return system.rpartition("-25.11.")[2]


def answers(host: Host, limit: float) -> None:
    """A new login works."""

    def login() -> bool:
        try:
            return host.ssh("true", timeout=20).returncode == 0
        except (LabError, subprocess.TimeoutExpired):
            return False

    try:
        wait_for(login, limit, 0.5)
    except AssertionError:
        raise Broken(f"does not answer over ssh within {limit} s") from None


def at_rest(host: Host, left_over: Callable[[str], bool], limit: float) -> None:
    """No deployment is at work, and nothing of one is left but what `left_over` allows."""
    deadline = time.monotonic() + limit
    while left := [line for line in _remains(host).splitlines() if not left_over(line)]:
        if time.monotonic() > deadline:
            raise Broken(f"has left after {limit:.0f} s: {'; '.join(left)}")
        time.sleep(0.3)


def _remains(host: Host) -> str:
    """Looked at from outside first: the tools of a system that is still being tried may all be broken."""
    found = [*inside(host, "/run/deploy-flake").glob("2*"), *_slice(host).glob("deploy-flake*")]
    if found or not host.alive:
        return "\n".join(path.name for path in found) or "no power"
    try:
        return playing.remains(host)
    except (LabError, subprocess.TimeoutExpired) as error:
        return str(error)


def _slice(host: Host) -> Path:
    return host.cgroup / "machine/payload/system.slice"


def runs_whole(host: Host, limit: float = 30) -> Systems:
    """One system, and no part of another one."""
    deadline = time.monotonic() + limit
    while True:
        now = systems(host)
        static, running, stale, missing, invalid = host.run(WHOLE, timeout=60).stdout.split("\n")[:5]
        wrong = [
            static != f"{now.running}/etc" and f"runs {now.running}, and /etc is of {static}",
            running != "running" and f"systemctl is-system-running says {running}",
            stale.strip() and f"systemd has not loaded anew: {stale}",
            missing.strip() and f"not active: {missing}",
            invalid.strip() and f"store: {invalid}",
        ]
        if not any(wrong):
            return now
        if time.monotonic() > deadline:
            raise Broken("; ".join(str(each) for each in wrong if each))
        time.sleep(0.5)


def outcomes_since(host: Host, count: int) -> list[dict[str, Any]]:
    """The records of the host behind the first `count`."""
    return [yaml.safe_load(line) for line in _records(host)[count:]]


def _records(host: Host) -> list[str]:
    file = host.root / "var/lib/deploy-flake/deployments.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def count_records(host: Host) -> int:
    return len(_records(host))


def is_open(host: Host) -> bool:
    """Whether a deployment was interrupted by a power loss, and waits for the next one to repair it."""
    return (host.root / "var/lib/deploy-flake/open.json").exists()


class Watch:
    """Looks at profile and boot loader from outside all the while: neither may name a system that nobody confirmed."""

    def __init__(self, host: Host, old: str) -> None:
        self.host = host
        self.old = old
        self.unconfirmed = ""
        self._confirmed: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.03):
            for system in self._named():
                if system and system != self.old and not self._is_confirmed(system) and not self.unconfirmed:
                    self.unconfirmed = system

    def _is_confirmed(self, system: str) -> bool:
        if system in self._confirmed:
            return True
        for directory in Path(f"/proc/{self.host.leader}/root/run/deploy-flake").glob("2*"):
            try:
                if (directory / "confirmed").exists() and f"new='{system}'\n" in (directory / "settings").read_text():
                    self._confirmed.add(system)
            except OSError:
                continue
        if system not in self._confirmed and any(
            each["to"] == system and each["outcome"] == "committed" for each in outcomes_since(self.host, 0)
        ):
            self._confirmed.add(system)
        return system in self._confirmed

    def _named(self) -> list[str]:
        """What the profile and the default entry of the boot loader name."""
        found = []
        try:
            profiles = self.host.root / "nix/var/nix/profiles"
            found.append(str((profiles / (profiles / "system").readlink()).readlink()))
            loader = self.host.boot / "loader"
            if default := re.search(r"^default (.*)$", (loader / "loader.conf").read_text(), re.MULTILINE):
                entry = (loader / "entries" / default[1]).read_text()
                found += re.findall(r"init=(\S+)/init", entry)
        except OSError:
            # In the middle of a change.
            pass
        return found


def evidence(host: Host, output: str) -> str:
    """What to look at when an invariant is broken."""
    parts = [f"--- the controller said\n{output}"]
    try:
        parts += [f"--- {systems(host)}", f"--- last record\n{last_record(host)}", f"--- left\n{_remains(host)}"]
        parts.append(f"--- journal\n{journal(host)}")
        parts.append(
            host.run(
                "head -v -n 50 /run/deploy-flake/2*/* /var/lib/deploy-flake/open.json; systemctl --failed; date"
            ).stdout
        )
    except (LabError, TypeError, ValueError, subprocess.TimeoutExpired) as error:
        parts.append(f"--- no more can be seen: {error}")
    return "\n".join(parts)
