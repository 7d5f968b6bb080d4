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
def test_a_stop_that_was_refused_counts_for_what_was_changed_too(shell: list[str], tmp_path: Path) -> None:
    """Its old command does not take back what the new one has made; a drop-in may have brought it."""
    part = tmp_path / "new/etc/systemd/system/worker.service.d/end.conf"
    part.parent.mkdir(parents=True)
    part.write_text("[Service]\nExecStopPost=/bin/true\n")
    script = f"wanted_units() {{ {UNITS.replace(' loaded active', '')}; }}\nsystemctl() {{ return 1; }}\n"
    script += "list_only_new() { echo gate.service >only-new; }\nlist_changed() { echo worker.service >changed; }\n"
    assert run(shell, tmp_path, f"{script}stop_new_units\ncat not-stopped") == ["gate.service", "worker.service"]


@every_shell
def test_what_has_stopped_since_is_forgotten(shell: list[str], tmp_path: Path) -> None:
    """A stop that took its time may have ended after an undo was killed."""
    script = "printf 'gate.service\\nworker.service\\n' >not-stopped\nwanted_units() { echo worker.service; }\n"
    script += "forget_stopped\ncat not-stopped\nwanted_units() { return 1; }\nforget_stopped\ncat not-stopped\n"
    assert run(shell, tmp_path, f"{script}wanted_units() {{ :; }}\nforget_stopped\ncat not-stopped") == [
        "worker.service",
        "worker.service",
    ]


@every_shell
def test_what_is_not_to_be_stopped_was_not_refused_a_stop(shell: list[str], tmp_path: Path) -> None:
    """It is restarted later, by the previous system's commands; a drop-in may say so."""
    part = tmp_path / "new/etc/systemd/system/gate.service.d/overrides.conf"
    part.parent.mkdir(parents=True)
    part.write_text("[Service]\nX-StopIfChanged=false\n")
    script = "wanted_units() { echo gate.service; echo worker.service; }\nsystemctl() { echo $*; return 1; }\n"
    script += "list_only_new() { echo worker.service >only-new; }\nlist_changed() { echo gate.service >changed; }\n"
    assert run(shell, tmp_path, f"{script}stop_new_units\ncat not-stopped") == ["--no-pager stop -- worker.service"]


@every_shell
def test_a_switch_that_saw_what_differs_has_stopped_it(shell: list[str], tmp_path: Path) -> None:
    """What both systems have runs again by now; what the previous one does not have should not."""
    part = tmp_path / "old/etc/systemd/system/worker.service"
    part.parent.mkdir(parents=True)
    part.touch()
    script = "wanted_units() { echo gate.service; echo worker.service; }\n"
    script += "printf '%s\\n' gate.service worker.service gone.service >not-stopped\nforget_switched\ncat not-stopped"
    assert run(shell, tmp_path, script) == ["gate.service"]


@every_shell
def test_where_systemd_falls_silent_somebody_may_come_in(shell: list[str], tmp_path: Path) -> None:
    script = "over_ssh=yes\necho sshd.service >active\nlist_only_new() { :; }\nlist_changed() { : >changed; }\n"
    script += "wanted_units() { [ ! -e silent ] && : >silent; }\nway_in && echo may\n"
    script += "wanted_units() { :; }\nway_in || echo nobody"
    assert run(shell, tmp_path, script) == ["may", "nobody"]


@every_shell
@pytest.mark.parametrize("failing", ["lines_without", "not_mounted_otherwise", "autofs_here", "list_changed"])
def test_a_list_that_is_not_whole_is_none(shell: list[str], tmp_path: Path, failing: str) -> None:
    """A filter that could not be started is no empty list, after which all is well."""
    script = "wanted_units() { :; }\nfailed_units() { :; }\necho app.service >active\n: >failed-before\n"
    script += f"ended_by_itself() {{ :; }}\nunits_are_as_before && echo well\n{failing}() {{ return 1; }}\n"
    said = run(shell, tmp_path, f"{script}units_are_as_before || echo $complaint")
    assert said == ["well", "nobody could look which units are as before"]


@every_shell
def test_what_is_somebody_else_s_is_left_as_it_is(shell: list[str], tmp_path: Path) -> None:
    script = "begin_ways() { rounds=0; }\nprune_lists() { echo prunes; }\nforget_failures() { echo forgets; }\n"
    script += "try_ways() { way=theirs; }\nlive_is_ours() { return 1; }\ngo_back\necho $way"
    assert run(shell, tmp_path, script) == ["theirs"]


@every_shell
def test_mounts_are_reloaded_last_and_all_in_time(shell: list[str], tmp_path: Path) -> None:
    """A server that is gone holds each of them up."""
    script = "list_reloaded() { printf '%s\\n' a.mount b.mount gate.service c.mount >reloaded; }\nsc() { :; }\n"
    script += "is_over() { read -r now <now; [ $now -ge $1 ]; }\necho 0 >now\nis_mounted_as_before() { return 1; }\n"
    script += "systemctl() { echo $4 >>asked; read -r now <now; echo $((now + 5)) >now; [ $4 = gate.service ]; }\n"
    assert run(shell, tmp_path, f"{script}reload_units\ncat asked\necho\ncat not-reloaded") == [
        *("gate.service", "a.mount"),
        "",
        *("a.mount", "b.mount", "c.mount"),
    ]


@every_shell
def test_a_mount_that_nothing_has_changed_needs_no_reload(shell: list[str], tmp_path: Path) -> None:
    """The kernel refuses to mount an overlay anew, also as it is."""
    script = "sc() { :; }\nsystemctl() { return 1; }\nmounts_here >mounts\n"
    script += "reload_unit proc.mount && echo as-before\nreload_unit gone.mount || echo gone\n"
    script += "sed -i 's/^=proc.mount= /&noexec2,/' mounts\nreload_unit proc.mount || echo changed\n"
    assert run(shell, tmp_path, f"{script}rm mounts\nreload_unit proc.mount || echo unknown") == [
        *("as-before", "gone", "changed", "unknown")
    ]


@every_shell
def test_the_lock_is_waited_for_no_longer_than_there_is_time(shell: list[str], tmp_path: Path) -> None:
    script = (
        "switch_log=x\nread_log() { :; }\nreap_logged() { :; }\nlog_line() { :; }\nlock_held() { :; }\nexec 7>out\n"
    )
    script += "logged() { status=11; }\nall_until=20\nswitch_to 300 old test live_is_ours\necho $now"
    assert run(shell, tmp_path, script) == ["30"]


@every_shell
@pytest.mark.parametrize(
    ("full", "refused", "expected"),
    [
        ("not-reloaded", "gate.service", ["no", "out"]),
        ("not-reloaded", "home.mount", ["but-mounts", "in"]),
        ("not-reloaded", "*", ["no", "out"]),
        ("to-reload", "", ["no", "out"]),
        ("", "gate.service", ["yes", "out"]),
        ("", "home.mount", ["yes", "in"]),
    ],
)
def test_a_list_that_is_not_whole_is_known_as_such(
    shell: list[str], tmp_path: Path, full: str, refused: str, expected: list[str]
) -> None:
    """On a full /run; all that is listed is reloaded all the same. No mount keeps anybody out."""
    script = "list_reloaded() { printf '%s\\n' gate.service home.mount >reloaded; }\nsc() { :; }\n"
    script += f"reload_unit() {{ echo $1 >>asked; case $1 in {refused or 'none'}) return 1 ;; esac; }}\n"
    script += "over_ssh=yes\necho sshd.service >active\nwanted_units() { echo sshd.service; }\n"
    script += "list_only_new() { :; }\nlist_changed() { :; }\n"
    script += f"ln -s /dev/full {full}\n" if full else ""
    script += "touch asked\nreload_units 2>/dev/null\necho $reloads_are_noted\n"
    # Of what did not fit nothing is there.
    script += "if [ -h not-reloaded ]; then rm not-reloaded; : >not-reloaded; fi\n"
    script += "if way_in; then echo in; else echo out; fi\ncat asked"
    asked = [] if full == "to-reload" else ["gate.service", "home.mount"]
    assert run(shell, tmp_path, script) == [*expected, *asked]


@every_shell
@pytest.mark.parametrize("known", ["only-new", "not-stopped", "not-reloaded"])
def test_what_is_known_to_keep_everybody_out_needs_no_second_look(shell: list[str], tmp_path: Path, known: str) -> None:
    script = (
        "over_ssh=yes\necho sshd.service >active\nwanted_units() { echo sshd.service; }\nlist_changed() { return 1; }\n"
    )
    script += "list_only_new() { :; }\nway_in && echo in\n"
    assert run(shell, tmp_path, f"{script}echo gate.service >{known}\nway_in || echo out") == ["in", "out"]


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
    script += "sc() { case $* in *is-active*is-down*) return 3 ;; esac; }\nis_mounted_as_before() { return 1; }\n"
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
