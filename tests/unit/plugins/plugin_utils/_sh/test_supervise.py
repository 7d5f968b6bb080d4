# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a test by what switch-to-configuration exits with and says, as the supervisor decides it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
SWITCHES = Path(__file__).parent / "switches"

PERL = "#!/bin/perl\n"
RUST = "#!/bin/sh\nexport TOPLEVEL=/nix/store/x\n"
BEHIND = "gives up: activation: the activation script of the new system failed, behind a switch-to-configuration test"
STATUS = "gives up: activation: switch-to-configuration test exited"
FORGIVEN = "notes: failed while the system was activated, as it may:"


@every_shell
@pytest.mark.parametrize(
    ("status", "form", "switch", "activate", "options", "expected"),
    [
        # Its own status hides what failed before the units.
        (
            4,
            "rust-2024",
            RUST,
            "exit 0",
            "ignore_units='*'",
            f"{BEHIND} that exited 4: Activation script snippet 'agenix'",
        ),
        (
            4,
            "perl-2020-killed",
            PERL,
            "exit 1",
            "ignore_units='*'",
            f"{BEHIND} that exited 4: activate, run once more, ",
        ),
        (
            4,
            "perl-2020-manager",
            PERL,
            "exit 0",
            "policy=no_new_failures",
            f"{BEHIND} that exited 4: Failed to reload daemon",
        ),
        (4, "perl-2020-killed", PERL, "exit 0", "ignore_units='may.*'", f"{FORGIVEN} may.service\ngoes on"),
        (4, "perl-2020-killed", PERL, "exit 0", "policy=no_new_failures", f"{FORGIVEN} may.service\ngoes on"),
        (
            4,
            "perl-2020-killed",
            PERL,
            "exit 0",
            "",
            "gives up: units-failed: units failed while the system was activated: may.service.",
        ),
        (4, "rust-2026-users", RUST, "exit 1", "allow=user_failures", f"{FORGIVEN} the units of alice bob\ngoes on"),
        (
            4,
            "rust-2026-users",
            RUST,
            "exit 1",
            "ignore_units='*'",
            "gives up: units-failed: the units of users who are logged in",
        ),
        (
            2,
            "rust-2024",
            RUST,
            "exit 0",
            "ignore_units='*'",
            f"{STATUS} 2: Activation script snippet 'agenix' failed (2)",
        ),
        # Somebody else's turn came before activate could be run once more.
        (
            4,
            "perl-2020-killed",
            PERL,
            "exit 0",
            "looks=0; nobody_else_has_switched() { looks=$((looks + 1)); [ $looks -le 2 ]; }",
            "gives up: superseded: somebody else has switched the host meanwhile",
        ),
        # Its own status is the number of an error.
        (
            4,
            "rust-2026-logind",
            RUST,
            "exit 0",
            "ignore_units='*'",
            "gives up: units-failed: switch-to-configuration test exited 4, and not for a unit alone (Unable to list",
        ),
        (1, "rust-2024-error", RUST, "exit 0", "ignore_units='*'", f"{STATUS} 1: Failed to reset failed units"),
        (0, "rust-2024-users", RUST, "exit 1", "", "goes on"),
    ],
)
def test_what_becomes_of_a_test(
    shell: list[str], tmp_path: Path, status: int, form: str, switch: str, activate: str, options: str, expected: str
) -> None:
    said = tried(shell, tmp_path, status, form, switch, activate, options)
    assert said.startswith(expected), said
    assert "goes on" not in said or "goes on" in expected


@every_shell
@pytest.mark.parametrize(
    ("status", "form", "switch", "was", "expected"),
    [
        # Killed half way. It would pass if it were run again, and the units were started from what it had not made.
        (
            4,
            "perl-2020-killed",
            PERL,
            "previous",
            f"{BEHIND} that exited 4: activate ended before it made the new system",
        ),
        (
            4,
            "rust-2026-users",
            RUST,
            "previous",
            f"{BEHIND} that exited 4: activate ended before it made the new system",
        ),
        (0, "rust-2024-users", RUST, "previous", "gives up: not-live: "),
        # What ran before names the same.
        (
            4,
            "perl-2020-killed",
            PERL,
            "system",
            f"{BEHIND} that exited 4: activate ended before it made the new system",
        ),
        (0, "rust-2024-users", RUST, "system", "gives up: not-live: "),
    ],
)
def test_an_activation_that_makes_nothing_live(
    shell: list[str], tmp_path: Path, status: int, form: str, switch: str, was: str, expected: str
) -> None:
    options = "ignore_units='*' allow=user_failures"
    activate = f"touch {tmp_path}/ran"
    said = tried(shell, tmp_path, status, form, switch, activate, options, was=was, moves=False)
    assert said.startswith(expected), said
    assert "goes on" not in said
    assert not (tmp_path / "ran").exists()


def tried(
    shell: list[str],
    tmp_path: Path,
    status: int,
    form: str,
    switch: str,
    activate: str,
    options: str,
    was: str = "previous",
    moves: bool = True,
) -> str:
    """What is said of it; `was` is what ran before, and `moves` whether the call makes the new system live."""
    (tmp_path / "previous").mkdir()
    for name, text in {"bin/switch-to-configuration": switch, "activate": f"#!/bin/sh\n{activate}\n"}.items():
        file = tmp_path / "system" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    shutil.copy(SWITCHES / f"{form}.log", tmp_path / "said-then")
    for name, text in {"failed-before": "may.service\n", "restarting": "", "failed.all": "may.service\n"}.items():
        (tmp_path / name).write_text(text)
    library = join("lib/supervise").replace("/run/current-system", f"{tmp_path}/current-system")
    move = 'ln -sfn "$new_live" "$dir/current-system"' if moves else ""
    script = f"""dir={tmp_path} previous_live={tmp_path}/previous
new_live={tmp_path}/system activate_limit=30 settle_limit=0 over_ssh=no mode=test
policy=strict ignore_units= allow=
{library}
sc() {{ :; }}
reap() {{ :; }}
state() {{ :; }}
nobody_else_has_switched() {{ :; }}
boot_default() {{ :; }}
switch_to() {{ {move}
cat "$dir/said-then" >>"$log_file"; switch_status={status}; return {status}; }}
note_restarts() {{ :; }}
failed_units() {{ cat "$dir/failed.all"; }}
healthy() {{ :; }}
may_commit() {{ :; }}
tools_work() {{ :; }}
note() {{ echo "notes: $1"; }}
give_up() {{ echo "gives up: $1: $2"; exit; }}
{options}
log_file=$dir/log log_reader= log_marks=0
: >"$log_file"; : >"$log_file.whole"
exec 7>>"$log_file"
ln -s "$dir/{was}" "$dir/current-system"
profile=$dir/profile
note_links
try_live
echo "goes on"
"""
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    return done.stdout
