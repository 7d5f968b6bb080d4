# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a build that prints much, in the shells that a host may have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join, program

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
KIB = 1 << 10
HEAD, TAIL = 256 * KIB, 192 * KIB


def bound(shell: list[str], directory: Path) -> None:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    script = directory / "bound"
    script.write_text(f"punch=$(command -v fallocate)\n{program('bound_log')}")
    subprocess.run([*shell, str(script), str(directory), "0"], check=True, timeout=30)


def handed_out(shell: list[str], directory: Path) -> tuple[bytes, int]:
    """What a controller would get, piece by piece, and how much was left out."""
    text = join("command/build")
    functions = text[text.index("log_from_offset()") : text.index("hand_out()")]
    functions += "find_interpreter() { interpreter=sh; }\n"
    script = f"{join('lib/base')}\nbuild={directory}\n{functions}\n"
    script += f"dropped=; answer() {{ echo $2 >>{directory}/skipped; }}\nskip_what_was_dropped\nlog_from_offset\n"
    data, skipped = b"", 0
    while True:
        (directory / "skipped").write_text("")
        command = f"offset={len(data) + skipped}\n{script}"
        piece = subprocess.run([*shell, "-s"], input=command.encode(), capture_output=True, check=True, timeout=30)
        assert not piece.stderr, piece.stderr
        skipped += sum(map(int, (directory / "skipped").read_text().split()))
        if not piece.stdout:
            return data, skipped
        data += piece.stdout


@every_shell
def test_beginning_and_end_are_kept(shell: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    whole = b"".join(b"%07d\n" % number for number in range(1 << 19))
    log.write_bytes(whole)
    bound(shell, tmp_path)
    assert (tmp_path / "dropped").read_text() == f"{HEAD} {len(whole) - TAIL}\n"
    assert log.stat().st_size == len(whole)
    assert log.stat().st_blocks * 512 <= HEAD + TAIL + 16 * KIB
    expected = whole[:HEAD] + whole[-TAIL:]
    assert handed_out(shell, tmp_path) == (expected, len(whole) - HEAD - TAIL)
    # Nix goes on at its end. Who reads does not wait until somebody has looked at it again.
    with log.open("ab") as written:
        written.write(whole)
    assert handed_out(shell, tmp_path) == (expected, 2 * len(whole) - HEAD - TAIL)
    assert log.stat().st_blocks * 512 <= HEAD + TAIL + 16 * KIB
    assert handed_out(shell, tmp_path) == (expected, 2 * len(whole) - HEAD - TAIL)


@every_shell
def test_short_log_is_whole(shell: list[str], tmp_path: Path) -> None:
    whole = bytes(range(256)) * (2 * KIB + 512)
    (tmp_path / "log").write_bytes(whole)
    bound(shell, tmp_path)
    assert not (tmp_path / "dropped").exists()
    assert handed_out(shell, tmp_path) == (whole, 0)
