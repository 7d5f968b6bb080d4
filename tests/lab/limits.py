# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel limits that are too low for many hosts; raised while any lab of this machine is up, and put back.

They count the hosts of all labs, and whatever else root runs, so no lab knows alone whether they would do.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.shell import say
from lab.state import State

# At the defaults about 16 hosts fit; at these more than any machine can run.
WANTED = {
    "fs/inotify/max_user_instances": 8192,
    "kernel/keys/maxkeys": 20000,
    "kernel/keys/maxbytes": 2000000,
}
SYSCTL = Path("/proc/sys")
# Of all labs; it goes with a reboot, as the raised limits do.
RECORD = Path("/run/deploy-flake-lab-limits")


def raise_for(state: State) -> None:
    """Raise them for this lab, until it is down."""
    with _locked():
        _user(state).write_text(str(state.running))
        before = _before()
        lower = {name: value for name, value in _now().items() if value < WANTED[name]}
        # On record before the change: a crash in between must not lose the old numbers.
        _write(lower | before)
        for name in lower:
            try:
                (SYSCTL / name).write_text(str(WANTED[name]))
            except OSError as error:
                say(f"{name.replace('/', '.')} stays at {lower[name]}, so many hosts may not come up: {error}")


def restore(state: State) -> None:
    """Put them back where no other lab is up."""
    with _locked():
        _user(state).unlink(missing_ok=True)
        for user in (RECORD / "labs").iterdir():
            # Its directory was removed by somebody, and the lab with it.
            if not Path(user.read_text()).is_dir():
                user.unlink()
        if any((RECORD / "labs").iterdir()):
            return
        for name, value in _before().items():
            # Somebody else may have set another number meanwhile: that one is theirs.
            if _now()[name] == WANTED[name]:
                (SYSCTL / name).write_text(str(value))
        _write({})


def said() -> str:
    """What they are now."""
    return ", ".join(f"{name.replace('/', '.')} {value}" for name, value in _now().items())


def _now() -> dict[str, int]:
    return {name: int((SYSCTL / name).read_text()) for name in WANTED}


def _user(state: State) -> Path:
    return RECORD / "labs" / state.name


def _before() -> dict[str, int]:
    try:
        before: dict[str, int] = json.loads((RECORD / "before.json").read_text())
    except FileNotFoundError:
        return {}
    return before


def _write(before: dict[str, int]) -> None:
    unfinished = RECORD / "before.json.new"
    unfinished.write_text(json.dumps(before))
    unfinished.rename(RECORD / "before.json")


@contextmanager
def _locked() -> Iterator[None]:
    (RECORD / "labs").mkdir(parents=True, exist_ok=True)
    with (RECORD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
