# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ways back do to units, in the shells that a host may have; systemd's answers are played."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
# The time passes while somebody waits.
PLAYED = """
dir=. new_live=new previous_live=old rollback_limit=9 over_ssh=no
now=0
clock() { uptime=$now; }
pause() { now=$((now + $1)); }
note() { :; }
complain() { complaint=$2; return 1; }
note_invocations() { : >"$1"; }
machine_stopping() { return 1; }
live_is_ours() { :; }
logged() { echo "$2"; status=0; }
limited() { shift; "$@"; }
: >active
: >invocations
: >invocations-new
"""
UNITS = "echo 'gate.service loaded active'; echo 'worker.service loaded active'"


def run(shell: list[str], directory: Path, script: str) -> list[str]:
    for name, text in {"gate": "ExecStop=/bin/true\n", "worker": ""}.items():
        file = directory / f"new/etc/systemd/system/{name}.service"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[Service]\n{text}")
    script = f"{join('lib/ways_back')}\n{PLAYED}\n{script}"
    done = subprocess.run(
        [*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30, cwd=directory
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@every_shell
def test_what_is_to_be_stopped_is_asked_for_again(shell: list[str], tmp_path: Path) -> None:
    """Afterwards systemd knows no command any more by which a firewall would take its rules back."""
    script = f"units_in() {{ told=; [ $now -ge 30 ] || return 1; {UNITS}; }}\n"
    script += "systemctl() { shift; echo $*; }\nread_previous_units() { echo reads; return 1; }\nway_by_hand"
    script = script.replace("units_in()", "wanted_units() { units_in | cut -d' ' -f1; [ $now -ge 30 ]; }\nunits_in()")
    assert run(shell, tmp_path, script) == ["stop -- gate.service worker.service", "old/activate", "reads"]


@every_shell
def test_nothing_is_lost_where_systemd_does_not_answer(shell: list[str], tmp_path: Path) -> None:
    script = "wanted_units() { return 1; }\nread_previous_units() { echo reads; }\nin_emergency() { :; }\n"
    assert run(shell, tmp_path, f"{script}way_by_hand\nleave_emergency\necho $now") == ["120"]


@every_shell
def test_a_stop_that_was_refused_is_not_forgotten(shell: list[str], tmp_path: Path) -> None:
    """Of what has something to do at its end: it is not called undone, whatever becomes of it."""
    script = f"wanted_units() {{ {UNITS.replace(' loaded active', '')}; }}\nfailed_units() {{ :; }}\n"
    script += "systemctl() { return 1; }\nread_previous_units() { :; }\nsc() { :; }\nway_by_hand\ncat not-stopped\n"
    script += "wanted_units() { :; }\n: >failed-before\nunits_are_as_before || echo $complaint"
    assert run(shell, tmp_path, script) == [
        "old/activate",
        "gate.service",
        "units are not as before: gate.service",
    ]


@every_shell
def test_reload_or_else_restart(shell: list[str], tmp_path: Path) -> None:
    """What can be neither is listed, and so the host is not called as before. A mount is never taken away."""
    units = {"reloads": "", "restarts": "", "is-down": "", "must-not": "X-RestartIfChanged=false\n", "neither": ""}
    directory = tmp_path / "old/etc/systemd/system"
    directory.mkdir(parents=True)
    for name, text in units.items():
        (directory / f"{name}.service").write_text(text)
    names = " ".join([*(f"{name}.service" for name in units), "home.mount"])
    script = f"list_reloaded() {{ printf '%s\\n' {names} >reloaded; }}\n"
    script += "sc() { case $* in *is-active*is-down*) return 3 ;; esac; }\n"
    script += """systemctl() {
        echo "$2 $4" >>asked
        case $2:$4 in reload:reloads.service | try-restart:restarts.service) ;; *) return 1 ;; esac
    }
    reload_units
    cat asked
    echo
    cat not-reloaded
    """
    assert run(shell, tmp_path, script) == [
        "reload reloads.service",
        *("reload restarts.service", "try-restart restarts.service"),
        "reload must-not.service",
        *("reload neither.service", "try-restart neither.service"),
        "reload home.mount",
        "",
        *("must-not.service", "neither.service", "home.mount"),
    ]


@every_shell
def test_what_failed_in_the_new_system_is_history(shell: list[str], tmp_path: Path) -> None:
    script = "failed_units() { printf 'old.service\\nlate.service\\n'; }\necho old.service >failed-before\n"
    assert run(shell, tmp_path, f"{script}sc() {{ echo $*; }}\nforget_failures") == ["reset-failed -- late.service"]
