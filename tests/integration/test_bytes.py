# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new system prints is anything at all: no terminal gets it as it is, and a record stays one."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from pathlib import Path

from integration.commanding import Command, destination, limits, reaching
from integration.playing import change_the_flake, deploy

from lab import Host, Lab

# A C1 sequence, a byte that is no UTF-8, what every terminal knows, and half a character at the end of a line.
PRINTS = r"printf 'a\\302\\2332Jb\\377c\\033[2Jd\\303\\nnext\\n'; false"
# On the host control characters go, and what they begin is text like any other.
LEFT = "a2Jbc[2Jd"


def control_characters(text: str) -> set[str]:
    return {letter for letter in text if unicodedata.category(letter) == "Cc" and letter not in "\n\t"}


def test_what_a_system_prints(command: Command, lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Through the command, through Ansible's own display, and in the record on the host."""
    host = whole["host3"]
    change_the_flake(flake, "bytes")
    faults = flake / "faults.nix"
    text = faults.read_text("utf-8")
    assert text.count('never = "false"') == 1
    faults.write_text(text.replace('never = "false"', f'never = "{PRINTS}"'), "utf-8")

    given = [destination(host, "host3-check-fails"), "--flake", str(flake), *reaching([host]), *limits()]
    done = subprocess.run(
        [str(command.program), *given],
        cwd=command.directory,
        env=command.environment(),
        capture_output=True,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 1, said
    assert LEFT in said
    assert control_characters(said) == set()

    played = deploy(lab, tmp_path, flake, "host3", deploy_flake_configuration="host3-check-fails")
    assert LEFT in played.of("host3", "system_test")["msg"]
    assert control_characters(json.dumps(played.results["host3"], ensure_ascii=False)) == set()

    *_others, last = (host.root / "var/lib/deploy-flake/deployments.jsonl").read_bytes().splitlines()
    record = json.loads(last.decode())
    assert f"{LEFT}\nnext" in record["log"]
    assert control_characters("".join(map(str, record.values()))) == set()
