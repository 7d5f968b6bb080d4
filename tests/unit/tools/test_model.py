# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of the protocol names functions of the scripts; it must not drift apart from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import model


def test_each_function_that_the_model_names_is_there() -> None:
    assert model.missing_functions() == []


def test_the_model_names_the_steps_of_the_protocol() -> None:
    named = {
        (function, script)
        for file in model.SOURCE.glob("*.pml")
        for function, script in model.functions_named(file.read_text(encoding="utf-8"))
    }
    assert len(named) > 50
    assert named >= {
        ("supervise", "lib/supervise.sh"),
        ("commit", "lib/commit.sh"),
        ("finish_commit", "lib/commit.sh"),
        ("undo", "lib/undo.sh"),
        ("try_ways", "lib/ways_back.sh"),
        ("close", "lib/record.sh"),
        ("repair_after_power_loss", "lib/repair.sh"),
    }


# A file, what stands there, what is put in its place, and what is said of it.
DEFECTS = [
    (
        "scripts/lib/undo.sh",
        "go_forward() {",
        "forward() {",
        "undo.pml names go_forward() of lib/undo.sh, and there is none",
    ),
    (
        "model/undo.pml",
        "go_forward(), lib/undo.sh",
        "go_forward(), lib/do.sh",
        "undo.pml names go_forward() of lib/do.sh, and there is none",
    ),
    (
        "model/undo.pml",
        "go_forward(), lib/undo.sh",
        "go_forward()",
        "undo.pml names go_forward() and no script behind it",
    ),
    (
        "model/undo.pml",
        "go_forward(), lib",
        "go_forwards(), go_forward(), lib",
        "undo.pml names go_forwards() of lib/undo.sh, and there is none",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "said"), DEFECTS, ids=[defect[3] for defect in DEFECTS])
def test_what_has_drifted_apart_is_found(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    shutil.copytree(model.SOURCE, tmp_path / "model")
    shutil.copytree(model.SCRIPTS, tmp_path / "scripts")
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    assert model.missing_functions(tmp_path / "model", tmp_path / "scripts") == [said]
