# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that run in the background while something happens to the host, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import yaml
from integration.playing import FLAKE, LIMITS, REMAINS, SYSTEMS, remains, systems

from lab import Host, Lab, Machine
from lab.state import State

FINAL = frozenset(
    (
        "committed",
        "until-reboot",
        "rolled-back",
        "rollback-failed",
        "commit-failed",
        "refused",
        "superseded",
        "interrupted",
    )
)
# Short, and yet long enough for three hosts on two busy cores.
SHORT = LIMITS | {"settle": 1}
QUICK = SHORT | {"settle": 0}
UNIT = "deploy-flake.service"
FEATURES = "--extra-experimental-features 'nix-command flakes'"


# Systems


def build(host: Host, fault: str = "", version: str = "") -> str:
    """The toplevel of a host's configuration, or of one of its faults, built on the host itself."""
    flake = f"/var/lib/lab-flake-{version}" if version else "/var/lib/lab-flake"
    if host.run(["test", "-e", f"{flake}/flake.nix"]).returncode:
        host.put(FLAKE, flake)
    if version:
        edit = f's/version = "/version = "{version}./'
        host.run(["sed", "-i", edit, f"{flake}/hosts.nix"], check=True)
    name = f"{host.name}-{fault}" if fault else host.name
    installable = f"path:{flake}#nixosConfigurations.{name}.config.system.build.toplevel"
    # An emulated processor takes its time.
    limit = 600 if isinstance(host, Machine) else 60
    done = host.run(f"nix {FEATURES} build --no-link --print-out-paths '{installable}'", check=True, timeout=limit)
    return done.stdout.strip()


def next_system(host: Host) -> str:
    """A good system that the host neither runs nor has as a generation: a commit of such a one leaves out a step."""
    kept = host.run("readlink -f /nix/var/nix/profiles/system-*-link").stdout.split()
    avoided = {systems(host).running, *kept}
    candidates = chain(
        (build(host, fault) for fault in ("", "new-units")),
        (build(host, version=f"next-{number}") for number in count(len(kept))),
    )
    return next(system for system in candidates if system not in avoided)


# The host, looked at and touched from outside


def inside(host: Host, path: str) -> Path:
    """A path of the running host, also below /run; without a process inside."""
    return Path(f"/proc/{host.leader}/root{path}")


def directory(host: Host) -> Path | None:
    """The directory of the host's deployment."""
    return next((found.parent for found in inside(host, "/run/deploy-flake").glob("*/settings")), None)


def state(host: Host) -> str:
    """The state of the host's deployment; "" if there is none."""
    if isinstance(host, Machine):
        return host.run("cat /run/deploy-flake/*/state 2>/dev/null").stdout.strip()
    try:
        return (found / "state").read_text().strip() if (found := directory(host)) else ""
    except OSError:
        return ""


def wait_for(
    what: Callable[[], Any], limit: float = 60, pause: float = 0.02, saying: str | Callable[[], str] = ""
) -> Any:
    """Wait until it is true, and return it; on a machine, which is slow, longer."""
    deadline = time.monotonic() + (max(limit, 400) if State().all_machines else limit)
    while True:
        began = time.monotonic()
        if found := what():
            return found
        ended = time.monotonic()
        said = saying() if callable(saying) and ended > deadline else saying
        assert ended < deadline, said or f"{what} did not become true within {limit} s"
        # To look may take a process or two, and others want the processor as well.
        time.sleep(max(pause, min(ended - began, 0.5)))


def processes(host: Host, unit: str = UNIT) -> list[int]:
    """The processes of a unit, as this machine numbers them; the main one first."""
    found: list[int] = []
    # A unit that may have cgroups of its own has its ExecStopPost in one: the undo.
    for path in (unit, f"{unit}/.control"):
        # A cgroup may go away before it is opened, and also while it is read.
        with contextlib.suppress(OSError):
            procs = host.cgroup / "machine/payload/system.slice" / path / "cgroup.procs"
            found += [int(pid) for pid in procs.read_text().split()]
    return sorted(found, key=lambda pid: _parent(pid) != host.leader)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_line(pid: int | str) -> str:
    """A process's arguments, NUL after each; some are no text, of whichever lab. OSError where it has ended."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def switching(host: Host) -> bool:
    """Whether the deployment's switch-to-configuration is at work; what limits its time does not count."""
    for pid in processes(host):
        # Many come and go beside it.
        with contextlib.suppress(OSError):
            command = command_line(pid)
            if "switch-to-configuration\0" in command and "timeout\0" not in command:
                return True
    return False


def _command_line(pid: int) -> str:
    """As `command_line`; nothing of one that has ended."""
    try:
        return command_line(pid)
    except OSError:
        return ""


def setting_profile(host: Host) -> bool:
    """Whether the deployment's nix-env has begun."""
    for pid in processes(host):
        with contextlib.suppress(OSError):
            if command_line(pid).startswith("nix-env\0"):
                return True
    return False


def guard(host: Host) -> str:
    """The name of the guard's unit."""
    units = (host.cgroup / "machine/payload/system.slice").glob("deploy-flake-guard-*.service")
    return next((unit.name for unit in units), "")


def kill_main_process(host: Host) -> None:
    """Kill the supervisor, and nothing that it has started."""
    os.kill(processes(host)[0], signal.SIGKILL)


def kill_whole_unit(host: Host) -> None:
    """Kill all that the supervisor's unit has, as systemctl does."""
    host.run(["/usr/bin/systemctl", "kill", "-s", "KILL", UNIT], check=True)


def kill_whole_cgroup(host: Host) -> None:
    """Kill it as the kernel does, with whatever is started there meanwhile."""
    (host.cgroup / "machine/payload/system.slice" / UNIT / "cgroup.kill").write_text("1")


def kill_both_units(host: Host) -> None:
    """Kill the supervisor's unit and the guard's."""
    host.run(f"systemctl kill -s KILL {UNIT} {guard(host)}", check=True)


# Units that come and go by themselves, or with a login.
PASSING = re.compile(r"(user@|user-runtime-dir@|run-user-|run-credentials|session-|sshd?@|deploy-flake|modprobe@)")


def active_units(host: Host) -> set[str]:
    """What is active on the host, as systemd says; sockets, mounts and targets too."""
    listed = "systemctl list-units --plain --no-legend --full --state=active"
    types = "--type=service,socket,timer,mount,automount,path,target"
    units = {line.split()[0] for line in host.run(f"{listed} {types}").stdout.splitlines()}
    # Each switch starts the first one, so the first switch brings it; the second stays when nobody wants it any more.
    return {unit for unit in units if not PASSING.match(unit)} - {
        "sysinit-reactivation.target",
        "network-online.target",
    }


def soft_reboots(host: Host) -> int:
    """How often systemd was started anew since the boot; -1 while it does not say."""
    # One that asks in between hangs.
    asked = "timeout -k 1 3 systemctl show --value --property=SoftRebootsCount"
    try:
        return int(host.run(asked, timeout=10).stdout or -1)
    except subprocess.TimeoutExpired:
        return -1


def boots_again(host: Host, leader: int | None, limit: float = 120) -> None:
    """Wait until a host whose PID 1 was this one has booted again."""
    wait_for(lambda: host.leader not in (None, leader), limit, 0.1, f"{host.name} did not reboot\n{journal(host)}")
    host.wait_running()


@contextmanager
def locked(host: Host, path: str) -> Iterator[Callable[[], None]]:
    """Hold a lock on the host as somebody else would; gives a function that lets go of it."""
    file = inside(host, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


SWITCH_LOCK = "/run/nixos/switch-to-configuration.lock"
# Whoever opens the store without the daemon waits for it, nix-env among them.
STORE_LOCK = "/nix/var/nix/db/big-lock"


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes; those that still live go on in the end."""
    _signal(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        _signal(signal.SIGCONT, pids)


@contextmanager
def units_stopped(host: Host, *units: str) -> Iterator[None]:
    """Stop all processes of units, the supervisor's by default, and what they start meanwhile."""
    pids: set[int] = set()
    with contextlib.ExitStack() as held:
        while new := {pid for unit in units or [UNIT] for pid in processes(host, unit)} - pids:
            pids |= new
            held.enter_context(stopped(*new))
        yield


def _signal(number: int, pids: tuple[int, ...]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# Deployments


class Deploying:
    """A playbook in the background, in a process group of its own."""

    def __init__(
        self, lab: Lab, hosts: Host | Sequence[Host], plays: list[dict[str, Any]] | str, **variables: Any
    ) -> None:
        hosts = [hosts] if isinstance(hosts, Host) else hosts
        self.host = hosts[0]
        self.directory = Path(tempfile.mkdtemp(prefix="df-"))
        self.said = self.directory / "output"
        playbook = plays
        if not isinstance(plays, str):
            playbook = str(self.directory / "plays.yml")
            Path(playbook).write_text(yaml.safe_dump(plays), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(lab.inventory)]
        limit = ",".join(host.name for host in hosts)
        # No connection is shared with another test's.
        environment = {"ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.directory)}
        with self.said.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "-l", limit, "-e", json.dumps(variables), str(playbook)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.said.read_text()

    def wait_for(self, *wanted: str, limit: float = 60, pause: float = 0.02) -> str:
        """Wait until the host's deployment is in one of these states; fail if it can't be any more."""
        deadline = time.monotonic() + limit
        while (now := state(self.host)) not in wanted:
            assert self.process.poll() is None, f"ended before it was {wanted}:\n{self.output}"
            assert time.monotonic() < deadline, f"is {now}, not {wanted}, after {limit} s:\n{self.output}"
            time.sleep(pause)
        return now

    def end(self, limit: float = 90) -> int:
        """Wait for its end; its exit code."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {limit} s:\n{self.output}") from None

    def kill(self) -> None:
        """End the whole controller at once: no process of it can say or tidy up anything.

        Workers and ssh may have sessions of their own, but all have the environment that they were started with.
        """
        for _turn in range(3):
            for pid in self._processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[int]:
        """The processes of ansible-playbook, but for those that only keep a connection."""
        return [pid for pid in self._processes() if "ansible-playbook\0" in _command_line(pid)]

    def _processes(self) -> Iterator[int]:
        mark = f"ANSIBLE_SSH_CONTROL_PATH_DIR={self.directory}\0".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in environ.read_bytes():
                    yield int(environ.parent.name)

    def __enter__(self) -> Deploying:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def deploying(
    lab: Lab,
    host: Host,
    toplevel: str,
    *,
    confirm: bool = True,
    variables: Mapping[str, Any] | None = None,
    **options: Any,
) -> Deploying:
    """Deploy a system that is built already, with the bare modules; without `confirm` nobody confirms it."""
    settings = {"toplevel": toplevel, "limits": SHORT, "reconnect_timeout": 60, **options}
    tasks: list[dict[str, Any]] = [{"deploy_flake.nixos.system_test": settings, "become": True, "register": "tested"}]
    if confirm:
        boot = {**settings, "deployment": "{{ tested.deployment }}"}
        tasks.append({"deploy_flake.nixos.system_boot": boot, "become": True, "when": "tested.state == 'window'"})
    return Deploying(lab, host, [{"hosts": "all", "gather_facts": False, "tasks": tasks}], **(variables or {}))


def nobody_confirms(host: Host) -> None:
    """Its window ends now: nothing that a test does in it has to be faster than the window."""
    wait_for(lambda: state(host) == "window")
    (window,) = inside(host, "/run/deploy-flake").glob("*-*/window")
    window.rename(window.with_name("expired"))


# What must hold


def records(host: Host) -> list[Mapping[str, Any]]:
    """The lines of the host's record."""
    return [json.loads(line) for line in host.read("/var/lib/deploy-flake/deployments.jsonl").splitlines()]


def last_record(host: Host) -> Mapping[str, Any]:
    """The last line of the host's record."""
    found = records(host)
    return found[-1] if found else {}


def settled(host: Host, limit: float = 60) -> None:
    """Wait until no deployment is open and none of its units is left."""
    try:
        # Most of the time the first says enough, and needs no process.
        wait_for(lambda: not _is_open(host) and remains(host) == "", limit, 0.1)
    except AssertionError:
        raise AssertionError(f"{host.name} still has:\n{remains(host)}\n{journal(host)}") from None


def _is_open(host: Host) -> bool:
    """Whether there is a deployment's directory, where that can be seen from outside."""
    return not isinstance(host, Machine) and directory(host) is not None


def journal(host: Host) -> str:
    """What the units of deployments said."""
    return host.run("journalctl --no-pager -q -o short-monotonic -u 'deploy-flake*' -n 60").stdout


def is_whole(host: Host, system: str, outcome: str, limit: float = 60, boots: str = "") -> None:
    """The deployment has ended like this, the host runs this system and boots it (or `boots`), and nothing is left."""
    boots = boots or system
    settled(host, limit)
    now = systems(host)
    text = f"{host.name}: {json.dumps(last_record(host), indent=1)}\n{journal(host)}"
    assert last_record(host).get("outcome") == outcome, text
    assert (now.running, now.boot_default, now.loader) == (system, boots, boots), text
    assert host.run("readlink -f /etc/static").stdout.strip() == f"{system}/etc", text
    # A job may still be at its end.
    wait_for(lambda: host.run("systemctl is-system-running").stdout.strip() == "running", 15, 0.2, text)
    assert host.ssh("true").returncode == 0, text


# Together: each program that is begun on a host takes as long as most of these do.
_AT_REST = (
    *(SYSTEMS, REMAINS, "systemctl is-system-running"),
    # The unit of an earlier test that takes its time to end would fail in the next one.
    "systemctl list-units --state=deactivating --plain --no-legend",
    "ls -d /nix/var/nix/profiles/system-*-link",
)


def at_rest(host: Host) -> bool:
    """Whether a host is as good as a new one for the next test."""
    looked = host.run("\nprintf '\\0'\n".join(_AT_REST)).stdout.split("\0")
    now, left, said, ends, generations = (each.split() for each in looked)
    running, boot_default, _booted, loader = now
    return (
        running == boot_default == loader
        and not left
        and said == ["running"]
        and not ends
        and len(generations) < 12
        # Somebody may have left a firewall.
        and answers(host)
    )


def answers(host: Host) -> bool:
    """Whether sshd says its name to whoever comes in; a login takes ten times as long."""
    try:
        with socket.create_connection((host.address, host.port), 10) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def deploys_again(lab: Lab, host: Host) -> None:
    """The next deployment works."""
    system = next_system(host)
    with deploying(lab, host, system) as again:
        assert again.end() == 0, f"{again.output}\n{journal(host)}"
    is_whole(host, system, "committed")


def at_once(cases: Mapping[Host, Callable[[Host], None]]) -> None:
    """Run a case on each host at the same time; the first that fails is raised."""
    with ThreadPoolExecutor(len(cases)) as pool:
        for done in [pool.submit(case, host) for host, case in cases.items()]:
            done.result()
