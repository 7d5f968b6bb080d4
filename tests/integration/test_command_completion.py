# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shells make of the completion scripts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pexpect
import pytest
from integration.commanding import Command

# A line, and what it becomes, or what there is to choose from.
LINES = [
    ("deploy-flake --tes", {"--test"}),
    ("deploy-flake --test s", {"skip"}),
    ("deploy-flake rollb", {"rollback"}),
    ("deploy-flake status --fla", {"--flake"}),
    ("deploy-flake rollback --preflight-check r", {"run"}),
    ("deploy-flake status web", {"web1", "web2"}),
]


@pytest.fixture
def home(command: Command, tmp_path: Path) -> Path:
    """A home with an ssh_config, and the scripts."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host web1 web2\nHost *.example.org\n")
    for shell in ("bash", "zsh", "fish"):
        code, script = command.run("completion", shell)
        assert code == 0
        (tmp_path / shell).write_text(script)
    return tmp_path


def _ask(home: Path, *program: str) -> str:
    environment = {**os.environ, "HOME": str(home), "TERM": "dumb"}
    return subprocess.run(program, env=environment, cwd=home, capture_output=True, text=True, check=True).stdout


def test_bash(home: Path) -> None:
    for line, words in LINES:
        asked = f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}"
        tried = f'. ./bash; {asked}; _deploy_flake; echo "${{COMPREPLY[@]}}"'
        assert set(_ask(home, "bash", "-c", tried).split()) == words, line


def test_fish(home: Path) -> None:
    for line, words in LINES:
        offered = _ask(home, "fish", "-c", f"source ./fish; complete -C '{line}'")
        assert {offer.partition("\t")[0] for offer in offered.splitlines()} == words, line


def test_zsh(home: Path) -> None:
    """It completes only where somebody types."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    child = pexpect.spawn("zsh", ["-f"], env=environment, cwd=str(home), encoding="utf-8", dimensions=(40, 160))
    child.sendline("PS1='> '; autoload -U compinit; compinit -u -D; source ./zsh; echo rea''dy")
    child.expect("ready", timeout=60)
    for line, words in LINES:
        if len(words) > 1:
            continue
        (word,) = words
        # What the line has become is told by an `echo` before it.
        child.send(f'{line}\t\x01echo "<\x05>"\r')
        child.expect(r"\r\n<([^\r\n]*)>", timeout=60)
        match = child.match
        assert isinstance(match, re.Match)
        assert match[1].split()[-1] == word, (line, match[1])
    child.close(force=True)
