# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroups of the lab. What is in them is what the lab has started, so nothing else is ever killed.

- `<lab>/host1/watcher`: the process that powers the host
- `<lab>/host1/machine`: systemd-nspawn and everything inside the host
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from lab.shell import LabError, sh
from lab.state import State


def root(state: State) -> Path:
    """The lab's own cgroup. Where systemd rules the tree, it is one that systemd has delegated to us."""
    tree = _tree()
    if not Path("/run/systemd/system").is_dir():
        return tree / state.name
    return tree / "system.slice" / f"{state.name}.service"


def make(state: State) -> None:
    path = root(state)
    if path.parent.name == "system.slice" and not path.is_dir():
        # The unit exists for its cgroup alone.
        properties = ["--property=Delegate=yes", "--property=TasksMax=infinity", "--collect", "--quiet"]
        sh("systemd-run", f"--unit={state.name}", *properties, "sleep", "infinity")
    path.mkdir(exist_ok=True)
    if not (path / "cgroup.kill").exists():
        raise LabError("the lab needs Linux 5.14 or newer (cgroup.kill)")


def remove(state: State) -> None:
    path = root(state)
    if path.parent.name == "system.slice":
        sh("systemctl", "stop", f"{state.name}.service", check=False)
    kill(path)


def host(state: State, name: str) -> Path:
    return root(state) / name


def hosts(state: State) -> list[str]:
    """Hosts that have a cgroup, whether something runs there or not."""
    return [path.name for path in root(state).glob("host*") if path.is_dir()]


def enter(path: Path) -> None:
    """Move this process."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text(str(os.getpid()))


def kill(path: Path) -> None:
    """End every process of a cgroup at once, and remove it."""
    if not path.is_dir():
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + 30
    while populated(path):
        if time.monotonic() > deadline:
            raise LabError(f"processes in {path} do not die")
        time.sleep(0.005)
    # Where the tree is a hybrid of both versions, nspawn mirrors the cgroup in systemd's own hierarchy.
    mirror = Path("/sys/fs/cgroup/systemd") / path.relative_to(_tree())
    for top in (path, mirror):
        for directory, _names, _files in os.walk(top, topdown=False):
            Path(directory).rmdir()


def populated(path: Path) -> bool:
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except OSError:
        return False


def leader(path: Path) -> int | None:
    """The process that is PID 1 inside the host, if the host is on."""
    for procs in path.glob("machine/**/cgroup.procs"):
        try:
            pids = procs.read_text().split()
        except OSError:
            continue
        for pid in pids:
            if _is_pid_one(pid):
                return int(pid)
    return None


def _is_pid_one(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    own_depth = len(_ns_pids(Path("/proc/self/status").read_text()))
    ids = _ns_pids(status)
    return len(ids) == own_depth + 1 and ids[-1] == "1"


def _ns_pids(status: str) -> list[str]:
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return line.split()[1:]
    return []


def _tree() -> Path:
    for path in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (path / "cgroup.controllers").exists():
            return path
    raise LabError("the lab needs cgroup2, mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified")
