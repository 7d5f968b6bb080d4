# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of files, against what git itself says of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.git_attributes import Attributes
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import directory_tree

FILES = (
    "a.key", "a.nix", "secrets/a.key", "secrets/deep/er/b", "secrets/.gitattributes", "x/secrets/a.key", "x/y/z/a.key",
    "with space/a", "[b]racket", "b", "#hash", "café", "x/y/a.nix", "deep/x/y/end", "-dash", "!bang", "back\\slash",
    "x\nline",
)  # fmt: skip
LINES = (
    "*.key filter=git-crypt diff=git-crypt",
    "secrets/** filter=git-crypt",
    "secrets/* filter=git-crypt",
    "/a.key filter=crypt",
    "secrets filter=crypt",
    "secrets/ filter=crypt",
    "**/secrets/** filter=crypt",
    "x/**/a.key filter=crypt",
    "deep/**/end filter=crypt",
    "**/y/* filter=crypt",
    "[ab] filter=crypt",
    "[!a] filter=crypt",
    "[a-c]* filter=crypt",
    "? filter=crypt",
    "\\[b]racket filter=crypt",
    '"with space/a" filter=crypt',
    "# filter=crypt",
    "\\#hash filter=crypt",
    "!bang filter=crypt",
    "caf* filter=crypt",
    "* filter=crypt\n*.nix !filter\nsecrets/deep/** -filter",
    "[attr]secret filter=crypt diff=x\n*.key secret",
    "*.key\n*.nix text eol=lf",
    "[ filter=crypt",
    "* filter",
    "",
)  # fmt: skip


def by_git(root: Path) -> dict[str, str]:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(root), "check-attr", "-z", "--stdin", "filter"]
    paths = "\0".join(FILES).encode()
    said = subprocess.run(command, input=paths, check=True, capture_output=True, env=environment).stdout
    words = said.decode().split("\0")[:-1]
    # What is unset and what was never set is the same to us.
    nothing = {"unspecified": "", "unset": ""}
    return {path: nothing.get(value, value) for path, value in zip(words[::3], words[2::3], strict=True)}


@pytest.mark.parametrize("inner", ["", "*.key !filter\ndeep/** filter=inner"])
@pytest.mark.parametrize("line", LINES)
def test_as_git_says(tmp_path: Path, line: str, inner: str) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitattributes").write_text(line)
    (tmp_path / "secrets/.gitattributes").write_text(inner)
    attributes = Attributes.of(directory_tree(tmp_path), "filter")
    ours = {name: attributes.value(os.fsencode(name)) for name in FILES}
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    assert ours == by_git(tmp_path)
