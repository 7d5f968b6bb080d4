# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the units are those of before, in the shells that a host may have; systemd's answers are played."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
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
    [ "$1" = list-units ] || {{ echo "$*" >>done; return 0; }}
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
leads_to() {{ echo same; }}
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


@every_shell
@pytest.mark.parametrize("noted", ["but-mounts", "no"])
def test_a_unit_may_not_have_been_reloaded(shell: list[str], tmp_path: Path, noted: str) -> None:
    """All else is mended meanwhile."""
    assert verified(shell, tmp_path, "failed active", noted=noted) == "units-failed"
    assert "start --no-block -- sshd.service" in (tmp_path / "done").read_text()


def verified(shell: list[str], directory: Path, looks: str, emergency: int = 1, noted: str = "yes") -> str:
    script = f"reloads_are_noted={noted}\n"
    script += f"dir={directory} over_ssh=yes previous_live=same new_live=/new\n{join('lib/verify')}\n"
    script += f"cd {directory}\n{PLAYED.format(looks=looks, emergency=emergency)}"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


# As systemd shows a job that a timer has started; what differs from it, and whether nobody misses it.
JOB = {
    "ActiveState": "inactive",
    "Result": "success",
    "RemainAfterExit": "no",
    "TriggeredBy": "job.timer",
    "WantedBy": "",
    "InvocationID": "second",
    "ExecMainExitTimestampMonotonic": "7000000",
    "ActiveExitTimestampMonotonic": "7000900",
}
ENDED: list[tuple[str, dict[str, str], bool]] = [
    ("job.service", {}, True),
    ("job.service", {"Result": "exit-code"}, False),
    ("job.service", {"ActiveState": "failed"}, False),
    ("job.service", {"WantedBy": "multi-user.target"}, False),
    ("job.service", {"UpheldBy": "x.service"}, False),
    # It was stopped: its process ended after that.
    ("job.service", {"ExecMainExitTimestampMonotonic": "7100000"}, False),
    # As a firewall: its process is long gone.
    ("job.service", {"RemainAfterExit": "yes"}, False),
    ("job.service", {"ActiveExitTimestampMonotonic": "99000000"}, False),
    # It has no process, or systemd knows nothing of it any more.
    ("job.service", {"ExecMainExitTimestampMonotonic": "0", "ActiveExitTimestampMonotonic": "0"}, False),
    # Somebody started it by hand: it is the run that there was, or another one.
    ("job.service", {"TriggeredBy": "", "InvocationID": "first"}, True),
    ("job.service", {"TriggeredBy": ""}, False),
    ("job.timer", {}, False),
    ("talk@4-1.service", {"ActiveState": "failed", "Result": "exit-code"}, True),
    ("getty@tty1.service", {"TriggeredBy": ""}, False),
]


@every_shell
@pytest.mark.parametrize(("unit", "differs", "ended"), ENDED)
def test_what_has_ended_by_itself(
    shell: list[str], tmp_path: Path, unit: str, differs: dict[str, str], ended: bool
) -> None:
    """It is not missed, and not started once more."""
    shown = "\\n".join(f"{name}={value}" for name, value in (JOB | differs).items())
    script = f"dir={tmp_path} over_ssh=no previous_live=/old new_live=/new\n{join('lib/verify')}\n"
    script += "echo 'l 1 invocation:job.service -> first' >$dir/invocations\n"
    script += (
        f"sc() {{ case $* in *Accept*talk.socket) echo yes ;; *Accept*) echo no ;; *) printf '{shown}\\n' ;; esac; }}\n"
    )
    script += f"if ended_by_itself {unit}; then echo ended; else echo missing; fi"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended\n" if ended else "missing\n", "")


@every_shell
def test_a_connection_that_failed_is_no_fault_of_the_system(shell: list[str], tmp_path: Path) -> None:
    script = f"dir={tmp_path} over_ssh=no previous_live=/old new_live=/new\n{join('lib/verify')}\n"
    script += (
        "sc() { case $* in *list-units*failed*) echo talk@4-1.service ;; *Accept*talk.socket) echo yes ;; esac; }\n"
    )
    script += ": >$dir/active\n: >$dir/failed-before\n: >$dir/invocations\n: >$dir/invocations-new\n"
    script += 'if units_are_as_before; then echo "as before"; else echo "$complaint"; fi\n'
    script += "echo talk@4-1.service >$dir/changed\n"
    script += "sc() { case $* in *Accept*) echo yes ;; *) echo $* >>$dir/said ;; esac; }\n"
    script += ": >$dir/only-new\n: >$dir/missing\n: >$dir/failed-now\nmend_units\n"
    script += "cat $dir/said"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("as before\nstop --no-block -- talk@4-1.service\n", "")
