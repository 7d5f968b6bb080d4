# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the units are those of before, in the shells that a host may have; systemd's answers are played."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

# A look a word: what sshd.service is then, and what it is at the last look it stays.
PLAYED = """
looks=0
sshd() {{
    set -- {looks}
    shift $(($looks < $# ? $looks : $# - 1))
    printf '%s\\n' "$1"
}}
# The state, the state below it.
sc() {{
    local state
    [ "$1" = list-units ] || return 0
    state=$(sshd)
    case ",${{2#--state=}}," in
    *,active,*) echo "hello.service loaded active running" ;;
    esac
    case $state:,${{2#--state=}}, in
    active:*,active,* | start:*,activating,* | failed:*,failed,* | \\
        auto-restart:*,activating,* | auto-restart:*,auto-restart,*)
        echo "sshd.service loaded $state"
        ;;
    esac
}}
pause() {{ looks=$((looks + 1)); }}
in_emergency() {{ return {emergency}; }}
readlink() {{ echo same; }}
list_only_new() {{ :; }}
list_changed() {{ :; }}
printf 'hello.service\\nsshd.service\\n' >active
: >failed-before
units_are_read=yes
if verify_previous; then echo verified; else echo "$code"; fi
"""


@every_shell
@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ("active", "verified"),
        ("start active", "verified"),
        ("start failed", "units-failed"),
        # It is started again and again: systemd calls that activating, too.
        ("auto-restart", "units-failed"),
        ("auto-restart active", "verified"),
        ("failed", "units-failed"),
        ("inactive", "units-failed"),
        ("failed active", "verified"),
    ],
    ids=lambda value: "-".join(value.split()[:3]),
)
def test_the_way_in_is_up_again(shell: list[str], tmp_path: Path, looks: str, expected: str) -> None:
    assert verified(shell, tmp_path, looks) == expected


@pytest.mark.parametrize(
    ("looks", "expected"),
    [("start " * 20 + "active", "verified"), ("start", "unreachable"), ("auto-restart start " * 40, "unreachable")],
    ids=["slow", "endless", "loop"],
)
def test_sshd_has_half_a_minute(tmp_path: Path, looks: str, expected: str) -> None:
    assert verified(SHELLS["dash"], tmp_path, looks) == expected


@every_shell
def test_rescue_is_not_the_system_that_ran(shell: list[str], tmp_path: Path) -> None:
    assert verified(shell, tmp_path, "active", emergency=0) == "not-live"


def verified(shell: list[str], directory: Path, looks: str, emergency: int = 1) -> str:
    script = f"dir={directory} over_ssh=yes previous_live=same new_live=/new\n{join('lib/verify')}\n"
    script += f"cd {directory}\n{PLAYED.format(looks=looks, emergency=emergency)}"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.strip()
