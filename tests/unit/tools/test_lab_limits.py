# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel limits of a machine that several labs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import limits
from lab.state import State

INSTANCES = "fs/inotify/max_user_instances"


class Kernel:
    """Its limits, as files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in limits.WANTED:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            self.set(name, 128)

    def set(self, name: str, value: int) -> None:
        (self.path / name).write_text(f"{value}\n")

    @property
    def now(self) -> dict[str, int]:
        return {name: int((self.path / name).read_text()) for name in limits.WANTED}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(limits, "SYSCTL", tmp_path / "sys")
    monkeypatch.setattr(limits, "RECORD", tmp_path / "record")
    return Kernel(tmp_path / "sys")


def lab(tmp_path: Path, name: str) -> State:
    state = State(tmp_path / name)
    state.running.mkdir(parents=True, exist_ok=True)
    return state


def test_they_are_raised_until_the_last_lab_is_down(kernel: Kernel, tmp_path: Path) -> None:
    """Also by a lab of few hosts, and a lab that is brought up twice, or goes down twice, counts once."""
    before = kernel.now
    first, second = lab(tmp_path, "first"), lab(tmp_path, "second")
    limits.raise_for(first)
    assert kernel.now == limits.WANTED
    limits.raise_for(second)
    limits.raise_for(first)
    limits.restore(first)
    limits.restore(first)
    assert kernel.now == limits.WANTED
    limits.restore(second)
    assert kernel.now == before


def test_a_lab_whose_directory_is_gone_holds_nothing(kernel: Kernel, tmp_path: Path) -> None:
    before = kernel.now
    gone, other = lab(tmp_path, "gone"), lab(tmp_path, "other")
    limits.raise_for(gone)
    limits.raise_for(other)
    gone.running.rmdir()
    limits.restore(other)
    assert kernel.now == before


def test_what_somebody_else_has_set_stays(kernel: Kernel, tmp_path: Path) -> None:
    """What is higher than the lab needs, and what was set while it was up."""
    first = "kernel/keys/maxkeys"
    kernel.set(first, 10 * limits.WANTED[first])
    limits.raise_for(lab(tmp_path, "lab"))
    assert kernel.now == limits.WANTED | {first: 10 * limits.WANTED[first]}
    kernel.set(INSTANCES, 4000)
    limits.restore(lab(tmp_path, "lab"))
    assert kernel.now == dict.fromkeys(limits.WANTED, 128) | {INSTANCES: 4000, first: 10 * limits.WANTED[first]}


def test_what_was_lowered_meanwhile_is_raised_again(kernel: Kernel, tmp_path: Path) -> None:
    """And the numbers from before the first lab are those that come back."""
    before = kernel.now
    limits.raise_for(lab(tmp_path, "first"))
    kernel.set(INSTANCES, 500)
    limits.raise_for(lab(tmp_path, "second"))
    assert kernel.now == limits.WANTED
    for name in ("first", "second"):
        limits.restore(lab(tmp_path, name))
    assert kernel.now == before


def test_where_they_cannot_be_written(kernel: Kernel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Few hosts fit all the same, so it is said and no more."""
    (kernel.path / INSTANCES).unlink()
    (kernel.path / INSTANCES).mkdir()
    wanted = dict(limits.WANTED)
    now = dict.fromkeys(wanted, 128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_now", lambda: now)
        limits.raise_for(lab(tmp_path, "lab"))
    assert "fs.inotify.max_user_instances stays at 128" in capsys.readouterr().err
