# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for a host after any fault."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from integration import playing
from integration.faulting import inside, journal, last_record, wait_for
from integration.soak_scene import TOOLS, loader, truth
from integration.soak_truth import Unreadable, read_records
from integration.soak_watch import RECORDS

from lab import Host
from lab.shell import LabError

# Outcomes of which nobody has to take care.
HARMLESS = {"committed", "rolled-back", "refused", "interrupted", "superseded"}

WHOLE = """
readlink -f /run/current-system
readlink -f /run/booted-system
readlink -f /etc/static
systemctl is-system-running
systemctl show -p Id -p NeedDaemonReload '*' | grep -B 1 -x NeedDaemonReload=yes | grep Id= | tr '\\n' ' '
echo
wanted=
for link in /run/current-system/etc/systemd/system/*.wants/*; do
    # There is work for this one only while a boot is tried.
    [ "${link##*/}" = deploy-flake-trial.service ] || wanted="$wanted ${link##*/}"
done
systemctl show -p Id -p ActiveState $wanted | grep -B 1 '^ActiveState=' | grep -v -e '^--' | paste - - |
    sed '/ActiveState=active/d' | tr '\\n' ' '
echo
echo $(nix-store --check-validity $(nix-store -qR /run/current-system /nix/var/nix/profiles/system) 2>&1 | tail -n 1)
# What this start of hello.service has said; nothing where journald was killed meanwhile.
journalctl -q -o cat "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value hello.service)" -u hello.service |
    sed -n 's/^hello from version //p' | tail -n 1
"""
# Units that some other system of the host has, the live one lacks, and that are up all the same.
FOREIGN = r"""
for system in %s; do
    ls "$system/etc/systemd/system/"
done 2>/dev/null | sort -u | while read -r unit; do
    case $unit in *.wants | *.requires | *.d | *@.*) continue ;; esac
    [ ! -e "/run/current-system/etc/systemd/system/$unit" ] && [ ! -e "/usr/lib/systemd/system/$unit" ] || continue
    case $(systemctl show -p ActiveState --value "$unit") in active | activating | reloading) echo "$unit" ;; esac
done
"""


@dataclass(frozen=True)
class Runs:
    """The systems that a host runs and has booted."""

    live: str
    booted: str


class Broken(Exception):
    """An invariant does not hold; the message says which."""


def demand(holds: object, saying: str) -> None:
    if not holds:
        raise Broken(saying)


def version_of(system: str) -> str:
    """The versions of the flake are the seeds', so they tell the systems apart."""
    return system.rpartition("-25.11.")[2]


def answers(host: Host, limit: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """A new login works; while it does not, something may be done about that again and again."""

    def login() -> bool:
        try:
            if host.ssh("true", timeout=20).returncode == 0:
                return True
        except (LabError, subprocess.TimeoutExpired):
            pass
        meanwhile()
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


def is_busy(host: Host) -> bool:
    """Whether a deployment is at work or waits for its undo; looked at from outside."""
    return bool([*inside(host, "/run/deploy-flake").glob("2*"), *_slice(host).glob("deploy-flake*")])


def builds(host: Host) -> set[str]:
    """The names of what builds keep on the host."""
    return {path.name for path in inside(host, "/run/deploy-flake").glob("build-*")}


def _remains(host: Host) -> str:
    """Looked at from outside first: the tools of a system that is still being tried may all be broken."""
    found = [*inside(host, "/run/deploy-flake").glob("2*"), *_slice(host).glob("deploy-flake*")]
    if found or not host.alive:
        return "\n".join(path.name for path in found) or "no power"
    try:
        return playing.remains(host)
    except (LabError, subprocess.TimeoutExpired) as error:
        return str(error)


def boots_where_it_said_so(host: Host, new: Sequence[Mapping[str, Any]], limit: float) -> None:
    """A host that reboots as its last resort may be looked at while it does, where no controller waited for it."""
    if not new or new[-1]["rung"] != "reboot":
        return
    ended = datetime.fromisoformat(new[-1]["ended"]).timestamp()
    deadline = time.monotonic() + limit
    while not (host.leader and _began(host.leader) >= ended):
        if time.monotonic() > deadline:
            raise Broken(f"did not reboot within {limit} s, though its record says so")
        time.sleep(0.1)
    host.wait_running()


def _began(pid: int) -> float:
    """When a process of this machine was started, since 1970."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except OSError:
        return 0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _slice(host: Host) -> Path:
    return host.cgroup / "machine/payload/system.slice"


def runs_whole(host: Host, others: Collection[str] = (), limit: float = 30) -> Runs:
    """One system, and no part of another one, of which some are named."""
    deadline = time.monotonic() + limit
    while True:
        lines = host.run(WHOLE, timeout=60).stdout.split("\n")
        live, booted, static, running, stale, missing, invalid, hello = (*lines, "", "")[:8]
        foreign = host.run(FOREIGN % " ".join(others), timeout=60, env=TOOLS).stdout.split()
        wrong = [
            static != f"{live}/etc" and f"runs {live}, and /etc is of {static}",
            running != "running" and f"systemctl is-system-running says {running}",
            stale.strip() and f"systemd has not loaded anew: {stale}",
            missing.strip() and f"not active: {missing}",
            invalid.strip() and f"store: {invalid}",
            hello.strip() not in ("", version_of(live)) and f"hello.service is of version {hello}",
            foreign and f"units of another system are active: {' '.join(foreign)}",
            not loader(host) and "the boot loader would start nothing",
        ]
        if not any(wrong):
            return Runs(live, booted)
        if time.monotonic() > deadline:
            raise Broken("; ".join(str(each) for each in wrong if each))
        time.sleep(0.5)


def records(host: Host) -> list[dict[str, Any]]:
    """All of the host's records; Broken where one is not what it has to be."""
    file = host.root / RECORDS
    try:
        return read_records(file.read_bytes()) if file.exists() else []
    except Unreadable as error:
        raise Broken(str(error)) from None


def is_open(host: Host) -> bool:
    """Whether a deployment was interrupted by a power loss, and waits for the next one to repair it."""
    return (host.root / "var/lib/deploy-flake/open.json").exists()


def evidence(host: Host, output: str) -> str:
    """What to look at when an invariant is broken."""
    parts = [f"--- the controller said\n{output}"]
    try:
        parts += [f"--- {truth(host)}", f"--- last record\n{last_record(host)}", f"--- left\n{_remains(host)}"]
        parts.append(f"--- journal\n{journal(host)}")
        parts.append(
            host.run(
                "head -v -n 50 /run/deploy-flake/2*/* /var/lib/deploy-flake/open.json; systemctl --failed; date"
            ).stdout
        )
    except (LabError, TypeError, ValueError, subprocess.TimeoutExpired) as error:
        parts.append(f"--- no more can be seen: {error}")
    return "\n".join(parts)
