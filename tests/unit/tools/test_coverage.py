# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import coverage
from tools.environments import Environment
from tools.shell import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a file of which half is run, and the settings of the real one."""
    # What measures this very test would be told to do this as well, with the settings and the data of its own.
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)
    (tmp_path / "half.py").write_text("import sys\nif len(sys.argv) > 9:\n    print(1)\n    print(2)\n")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.coverage.report]\nfail_under = 40\n[tool.deploy-flake.floors]\n'half.py' = 40\n"
    )
    subprocess.run([sys.executable, "-m", "coverage", "run", "--source=.", "half.py"], cwd=tmp_path, check=True)
    monkeypatch.setattr(coverage, "ROOT", tmp_path)

    def run(command: Sequence[str | Path], **_options: object) -> bool:
        return subprocess.run(command, cwd=tmp_path, check=False).returncode == 0

    monkeypatch.setattr(coverage, "run", run)
    return tmp_path / "pyproject.toml"


def report() -> list[str]:
    return coverage.report(Environment(Path(sys.prefix), ""))


def test_what_is_above_the_floors_passes(measured: Path) -> None:
    assert report() == []


def test_a_regression_trips_over_the_floor_of_the_whole(measured: Path) -> None:
    measured.write_text(measured.read_text().replace("fail_under = 40", "fail_under = 60"))
    assert report() == ["coverage of all files"]


@pytest.mark.parametrize(("pattern", "floor"), [("half.py", 60), ("moved.py", 1)])
def test_a_regression_trips_over_the_floor_of_a_place(measured: Path, pattern: str, floor: int) -> None:
    measured.write_text(measured.read_text().replace("'half.py' = 40", f"'{pattern}' = {floor}"))
    assert report() == [f"coverage of {pattern}, at least {floor} %"]


def test_there_is_a_floor() -> None:
    assert SETTINGS["coverage"]["report"]["fail_under"] >= 95
    assert min(SETTINGS["deploy-flake"]["floors"].values()) >= 95
