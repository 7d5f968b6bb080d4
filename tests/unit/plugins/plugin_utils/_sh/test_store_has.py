# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which store paths a host lacks, in the shells that a host may have; one that cannot tell does not have all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import command

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
PATHS = [f"/nix/store/{letter * 32}-{letter}" for letter in "abc"]


def asked(shell: list[str], directory: Path, nix_store: str) -> Answer:
    """The answer of a host with this nix-store."""
    tool = directory / "bin/nix-store"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{nix_store}\n")
    tool.chmod(0o755)
    text = command("store_has", {"paths": "\n".join(PATHS), "ask_committed": "no"})
    text = text.replace("PATH=/run/wrappers/bin", f"PATH={tool.parent}").replace("require_root\n", "")
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    return Answer.parse(done.stdout)


@every_shell
def test_what_is_lacking(shell: list[str], tmp_path: Path) -> None:
    right = f'[ "$*" = "--check-validity --print-invalid {" ".join(PATHS)}" ]'
    answer = asked(shell, tmp_path, f'{right} && echo "$3" && echo "$5"')
    assert answer.all("missing") == [PATHS[0], PATHS[2]]


@every_shell
def test_a_database_that_cannot_be_read(shell: list[str], tmp_path: Path) -> None:
    assert asked(shell, tmp_path, "echo error: database is locked >&2; exit 1").get("refused") == "no-answer"
