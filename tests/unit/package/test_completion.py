# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shells make of the completion scripts. In zsh somebody has to type: that is an integration test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy_flake.cli import main

# A line, and what there is to choose from.
LINES = [
    ("deploy-flake --tes", {"--test"}),
    ("deploy-flake --test s", {"skip"}),
    ("deploy-flake rollb", {"rollback"}),
    ("deploy-flake status --fla", {"--flake"}),
    ("deploy-flake rollback --preflight-check r", {"run"}),
    ("deploy-flake web", {"web1", "web2"}),
    ("deploy-flake web1 we", {"web1", "web2"}),
    ("deploy-flake web1 --all-", {"--all-or-nothing"}),
    ("deploy-flake status web", {"web1", "web2"}),
    ("deploy-flake completion f", {"fish"}),
]


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A home with an ssh_config, something to choose as a flake, and the scripts."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host web1 web2\nHost *.example.org\n")
    (tmp_path / "flake-of-mine").mkdir()
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        (tmp_path / shell).write_text(capsys.readouterr().out)
    return tmp_path


def ask(home: Path, *program: str) -> str:
    environment = {**os.environ, "HOME": str(home), "TERM": "dumb"}
    return subprocess.run(program, env=environment, cwd=home, capture_output=True, text=True, check=True).stdout


@pytest.mark.shell
def test_bash(home: Path) -> None:
    for line, words in LINES:
        asked = f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}"
        assert (
            set(ask(home, "bash", "-c", f'. ./bash; {asked}; _deploy_flake; echo "${{COMPREPLY[@]}}"').split()) == words
        )


@pytest.mark.shell
def test_fish(home: Path) -> None:
    for line, words in [*LINES, ("deploy-flake --flake flake-of", {"flake-of-mine/"})]:
        offered = ask(home, "fish", "-c", f"source ./fish; complete -C '{line}'")
        assert {offer.partition("\t")[0] for offer in offered.splitlines()} == words


@pytest.mark.shell
def test_zsh_can_read_it(home: Path) -> None:
    assert ask(home, "zsh", "-n", "./zsh") == ""


def test_every_option_is_known_to_every_shell(home: Path) -> None:
    for shell, written in (("bash", "--{}"), ("zsh", "--{}"), ("fish", "-l {}")):
        script = (home / shell).read_text()
        for option in ("flake", "on-reboot-required", "reason", "generation", "instrumentation", "inventory"):
            assert written.format(option) in script, (shell, option)
