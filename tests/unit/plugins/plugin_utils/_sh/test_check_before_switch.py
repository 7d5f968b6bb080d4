# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed pre-switch check is put down to: switch inhibitors, which are about a switch, or another check."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
SWITCHES = Path(__file__).parent / "switches"
# What a check that failed says.
INHIBITOR = (SWITCHES / "rust-2026-inhibitor.log").read_text()
OTHER = (SWITCHES / "rust-2026-check.log").read_text()
# What some other program in the place of NixOS's own says.
SILENT = "--- switch-to-configuration check of /nix/store/x\nPre-switch checks failed\n"

SAME = {"dbus-implementation": "dbus"}
CHANGED = {"dbus-implementation": "broker"}
SAME_TEXT, CHANGED_TEXT = (json.dumps(inhibitors, indent=1) for inhibitors in (SAME, CHANGED))


def checked(
    shell: list[str],
    directory: Path,
    *calls: tuple[int, str],
    mode: str = "test",
    choice: str = "boot",
    old: dict[str, str] | str | None = SAME_TEXT,
    new: dict[str, str] | str | None = CHANGED_TEXT,
) -> list[str]:
    """What is done and said, a line each; a call of switch-to-configuration has a status and what it says."""
    systems = directory / "current", directory / "new"
    for system, inhibitors in zip(systems, (old, new), strict=True):
        (system / "bin").mkdir(parents=True)
        (system / "bin/switch-to-configuration").write_text("PRE_SWITCH_CHECK TOPLEVEL\n")
        if inhibitors is not None:
            text = inhibitors if isinstance(inhibitors, str) else json.dumps(inhibitors, indent=1)
            (system / "switch-inhibitors").write_text(text)
    for number, (status, text) in enumerate(calls, 1):
        (directory / f"status{number}").write_text(f"{status}\n")
        (directory / f"text{number}").write_text(text)
    library = join("lib/check_before_switch").replace("/run/current-system", f"{directory}/current")
    script = f"""check_limit=9 pre_activate_script= mode={mode} dir={directory} new={directory}/new
new_live=$new
{library}
log_file=$dir/log; number=0
lock_held() {{ return 1; }}
switch_to() {{
    number=$((number + 1))
    echo "$3 of ${{2##*/}}"
    cat "$dir/text$number" >>"$log_file"
    read -r switch_status <"$dir/status$number"
}}
stop_unchanged() {{ echo "stops: $1: $2"; exit; }}
needs_reboot() {{ echo "needs a reboot: $1: $2"; [ {choice} != fail ] || exit 0; mode=boot; }}
check_before_switch
echo "goes on: $mode"
"""
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


ITS_OWN = "needs a reboot: switch-inhibitor: it changes what its switch inhibitors name: dbus-implementation"
FAILED = "the pre-switch checks of the new system failed: switch-to-configuration"
BACK_UP = f"{FAILED} {{}} exited 1: pre-switch check 'back-up' failed"


@every_shell
def test_inhibitors_and_nothing_else(shell: list[str], tmp_path: Path) -> None:
    said = checked(shell, tmp_path, (1, INHIBITOR), (0, ""))
    assert said == ["check of new", ITS_OWN, "dry-activate of new", "goes on: boot"]


@every_shell
def test_inhibitors_that_are_an_end(shell: list[str], tmp_path: Path) -> None:
    assert checked(shell, tmp_path, (1, INHIBITOR), choice="fail") == ["check of new", ITS_OWN]


@every_shell
def test_inhibitors_do_not_matter_where_nothing_is_switched(shell: list[str], tmp_path: Path) -> None:
    said = checked(shell, tmp_path, (1, INHIBITOR), (0, ""), mode="boot")
    assert said == ["check of new", "dry-activate of new", "goes on: boot"]


@every_shell
def test_a_check_behind_the_inhibitors(shell: list[str], tmp_path: Path) -> None:
    """NixOS ends with the first that fails; the others would fail when the boot loader is written."""
    said = checked(shell, tmp_path, (1, INHIBITOR), (1, OTHER))
    stops = f"stops: pre-switch-checks: {BACK_UP.format('dry-activate')}"
    assert said == ["check of new", ITS_OWN, "dry-activate of new", stops]


@every_shell
def test_releases_whose_inhibitors_are_checked_for_dry_activate_too(shell: list[str], tmp_path: Path) -> None:
    assert checked(shell, tmp_path, (1, INHIBITOR), (1, INHIBITOR))[-1] == "goes on: boot"


@every_shell
def test_a_lock_in_the_way_of_the_other_checks_is_no_failed_check(shell: list[str], tmp_path: Path) -> None:
    said = checked(shell, tmp_path, (1, INHIBITOR), (11, "Could not acquire lock\n"))
    assert said[-1] == "stops: switch-locked: switch-to-configuration dry-activate could not run (exit 11)"


@every_shell
@pytest.mark.parametrize("mode", ["test", "boot"])
def test_another_check_is_not_put_down_to_inhibitors(shell: list[str], tmp_path: Path, mode: str) -> None:
    """Also where some have changed, and where its output has ended without the end of a line."""
    for number, end in enumerate(("\n", "", "\033[0m")):
        text = OTHER.replace("dry-activate", "check").replace("not backed up\n", f"not backed up{end}")
        said = checked(shell, tmp_path / str(number), (1, text), mode=mode)
        assert said == ["check of new", f"stops: pre-switch-checks: {BACK_UP.format('check')}"]


@every_shell
@pytest.mark.parametrize(
    ("old", "new", "inhibited"),
    [
        (SAME, CHANGED, "dbus-implementation"),
        (SAME, SAME, ""),
        # In only one of both.
        (SAME, SAME | {"new": "1"}, ""),
        (SAME | {"old": "1"}, SAME, ""),
        ({}, CHANGED, ""),
        (None, CHANGED, ""),
        (SAME, None, ""),
        ({"a": "1", "b": 'x "y", \\ {z}', "c": "3"}, {"a": "2", "b": 'x "y", \\ {z}', "c": "4"}, "a, c"),
        ('{"a":"1","b":"2"}', '{"b" : "3" , "a":"1"}\n', "b"),
    ],
)
def test_what_nixos_compares(
    shell: list[str], tmp_path: Path, old: dict[str, str], new: dict[str, str], inhibited: str
) -> None:
    """Where a check that failed is not named: what both systems name, and not as the same, against what runs."""
    said = checked(shell, tmp_path, (1, SILENT), (0, ""), old=old, new=new)
    assert said[1].startswith("needs a reboot: ") == bool(inhibited), said
    assert said[1].endswith(f": {inhibited}") or not inhibited, said


@every_shell
def test_checks_that_hang_are_no_inhibitors(shell: list[str], tmp_path: Path) -> None:
    said = checked(shell, tmp_path, (124, SILENT))
    assert said[1] == f"stops: pre-switch-checks: {FAILED} check did not end within 9 s"


@every_shell
def test_checks_that_pass_and_a_lock(shell: list[str], tmp_path: Path) -> None:
    assert checked(shell, tmp_path, (0, "")) == ["check of new", "goes on: test"]
    assert "another one" not in "".join(checked(shell, tmp_path / "locked", (11, "Could not acquire lock\n")))
