# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows of evaluations: found for the very same question alone, and whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

from .test_scripts import every_shell

pytestmark = pytest.mark.shell
EVAL = join("command/nix_eval").rpartition("\nmain")[0]


class Memory:
    """What one host knows."""

    def __init__(self, shell: list[str], directory: Path) -> None:
        self._shell = shell
        self._directory = directory
        self.file = directory / "evaluated"
        self.build = directory / "build"
        self.build.mkdir()
        self.conf = directory / "nix.conf"
        self.nix = directory / "nix"
        self.nix.touch(0o755)
        self.conf.write_text("cores = 1\n")
        self.flake_nix = directory / "flake.nix"
        self.flake_nix.write_text("{ outputs = _: { }; }\n")

    def run(self, commands: str, pure: str) -> str:
        where = f"run_dir={self._directory}\nevaluated={self.file}\nnix_conf={self.conf}\nflake_nix={self.flake_nix}\n"
        where += f"PATH={self._directory}:$PATH\npure={pure}\n"
        script = f"{EVAL}\n{where}{commands}\n"
        run = subprocess.run([*self._shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
        assert not run.stderr
        return run.stdout

    def note(self, value: str, pure: str = "a1") -> None:
        """As a build does, whose result is read later, perhaps by another controller."""
        later = f"read_line {self.build}/asked\nnote_value {self.build} \"$line\" '{value}'"
        self.run(f"name_to_note\nprintf '%s\\n' \"$asked\" >{self.build}/asked\n{later}", pure)

    def find(self, pure: str = "a1") -> str | None:
        found = self.run('! find_value || printf "found %s" "$value"', pure)
        return found.removeprefix("found ") if found else None


@every_shell
def test_what_was_asked_counts(shell: list[str], tmp_path: Path) -> None:
    """Another question, another nix.conf, and a question that may have other answers later on."""
    memory = Memory(shell, tmp_path)
    assert memory.find() is None
    memory.note("/nix/store/x /nix/store/x.drv")
    memory.note("of another", "a")
    memory.note("of none", "''")
    assert memory.find() == "/nix/store/x /nix/store/x.drv"
    assert (memory.find("a"), memory.find("1"), memory.find("''")) == ("of another", None, None)
    memory.conf.write_text("cores = 2\n")
    assert memory.find() is None
    memory.conf.unlink()
    assert memory.find() is None
    memory.note("without")
    assert memory.find() == "without"
    # Another Nix.
    memory.nix.write_text("another\n")
    assert memory.find() is None


@every_shell
def test_a_flake_that_may_be_evaluated_impurely(shell: list[str], tmp_path: Path) -> None:
    """With accept-flake-config a host evaluates as the flake says."""
    memory = Memory(shell, tmp_path)
    memory.flake_nix.write_text("{ nixConfig.pure-eval = false; outputs = _: { }; }\n")
    memory.note("now")
    assert memory.find() is None


@every_shell
def test_the_latest_is_kept(shell: list[str], tmp_path: Path) -> None:
    memory = Memory(shell, tmp_path)
    memory.note("first")
    memory.note("second")
    assert memory.find() == "second"
    for number in range(49):
        memory.note("more", f"b{number}")
    assert memory.find() == "second"
    memory.note("one too many", "c")
    assert memory.find() is None
    assert len(memory.file.read_text().splitlines()) == 50


@every_shell
def test_nothing_is_kept_in_part(shell: list[str], tmp_path: Path) -> None:
    """What is long, and what there is no room for."""
    memory = Memory(shell, tmp_path)
    memory.note("x" * 16384)
    assert memory.find() is None
    memory.note("kept")
    before = memory.file.read_text()
    memory.run(f"ulimit -f 0\ntrap '' XFSZ\n! note_value {memory.build} \"$pure\" lost", "a1")
    memory.run(f'! note_value {tmp_path}/gone "$pure" lost', "a1")
    assert memory.file.read_text() == before


@every_shell
def test_derivations_that_are_gone(shell: list[str], tmp_path: Path) -> None:
    """They were garbage: what was built of them may be needed again."""
    memory = Memory(shell, tmp_path)
    here, gone = tmp_path / "here.drv", tmp_path / "gone.drv"
    here.touch()
    script = EVAL.replace("/nix/store/*.drv", f"{tmp_path}/*.drv")
    for value, expected in (
        (f"{here}", "yes"),
        (f'{{"host1":["/nix/store/x","{here}"],"host2":["/nix/store/y","{gone}"]}}', "no"),
        (f"/nix/store/y {gone}", "no"),
        ('["a * b"]', "yes"),
    ):
        asks = f"{script}\nvalue='{value}'\nif derivations_are_there; then echo yes; else echo no; fi\n"
        run = subprocess.run([*shell, "-s"], input=asks, text=True, capture_output=True, check=True, timeout=30)
        assert (run.stdout.strip(), run.stderr) == (expected, ""), value
    assert memory.find() is None
