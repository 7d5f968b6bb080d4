# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a new system has brought or changed, in the shells that a host may have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


def run(shell: list[str], script: str) -> list[str]:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@every_shell
def test_sockets_come_first(shell: list[str]) -> None:
    """None can be started while its service runs."""
    listed = "".join(f"{name} loaded active x\\n" for name in ("a.mount", "b.service", "sshd@1.service", "b.socket"))
    script = f"{join('lib/directory')}\nsc() {{ printf '{listed}'; }}\nwanted_units active"
    assert run(shell, script) == ["b.socket", "a.mount", "b.service"]


def files(directory: Path, **units: str) -> Path:
    """A system with these units; the last _ of a name stands for the dot."""
    where = directory / "etc/systemd/system"
    where.mkdir(parents=True)
    for name, text in units.items():
        (where / ".".join(name.rsplit("_", 1))).write_text(text)
    return directory


@every_shell
def test_changed_units(shell: list[str], tmp_path: Path) -> None:
    """Those that were started while the new system was live, that it made another of, and that nobody started since."""
    changed = {"socket_socket": "new", "timer_timer": "new", "again_socket": "new", "old_timer": "new"}
    new = files(tmp_path / "new", **changed, same_path="same", kept_socket="X-RestartIfChanged=false\n")
    old = files(
        tmp_path / "old", **dict.fromkeys(changed, "old"), same_path="same", kept_socket="X-RestartIfChanged=false"
    )
    runs = {
        "invocations": {"socket.socket": 1, "timer.timer": 1, "again.socket": 1, "old.timer": 1, "same.path": 1},
        "invocations-new": {"socket.socket": 2, "timer.timer": 2, "again.socket": 2, "old.timer": 1, "same.path": 2},
        "invocations-now": {"socket.socket": 2, "timer.timer": 2, "again.socket": 3, "old.timer": 1, "same.path": 2},
    }
    script = f"new_live={new} previous_live={old} dir={tmp_path}\n{join('lib/invocations')}\n"
    for note, each in runs.items():
        # One has never run, and systemd has an order of its own.
        shown = "Id=never.socket\\nInvocationID=\\n\\n"
        shown += "\\n".join(f"InvocationID={number}\\nId={name}\\n" for name, number in each.items())
        script += f"sc() {{ printf '{shown}'; }}\nnote_invocations $dir/{note}\n"
    script += f"printf '%s\\n' {' '.join([*runs['invocations'], 'never.socket'])} >$dir/active-now\n"
    script += "list_changed\nsort $dir/changed"
    assert run(shell, script) == ["socket.socket", "timer.timer"]


@every_shell
def test_a_first_look_without_an_answer_hides_no_change(shell: list[str], tmp_path: Path) -> None:
    """Else nothing would count as changed, as if the list were empty."""
    new, old = files(tmp_path / "new", wall_service="new"), files(tmp_path / "old", wall_service="old")
    script = f"new_live={new} previous_live={old} dir={tmp_path}\n{join('lib/invocations')}\n"
    script += (
        "sc() { :; }\necho 'x invocation:wall.service -> 1' >$dir/invocations\necho wall.service >$dir/active-now\n"
    )
    script += "note_invocations() { [ ! -e $dir/silent ] && echo 'x invocation:wall.service -> 2' >$1; }\n"
    script += "echo >$dir/silent\nlist_changed || echo unknown\nrm $dir/silent\nlist_changed && cat $dir/changed"
    assert run(shell, script) == ["unknown", "wall.service"]


@every_shell
def test_a_unit_that_ends_meanwhile_hinders_no_look(shell: list[str], tmp_path: Path) -> None:
    """Its link is gone then, and ls fails."""
    functions = join("lib/invocations").replace("/run/systemd/units", str(tmp_path))
    script = f"dir={tmp_path}\n{functions}\nsc() {{ :; }}\ntried=0\n"
    script += "ls() { tried=$((tried + 1)); echo a; [ $tried -ge 3 ]; }\nnote_invocations $dir/it && cat $dir/it\n"
    script += "ls() { return 1; }\nnote_invocations $dir/it || cat $dir/it"
    assert run(shell, script) == ["a", "a"]


def test_reloaded_units(tmp_path: Path) -> None:
    """Those that switch-to-configuration may only have reloaded: by what a file of theirs says; and mounts."""
    form = "[Service]\nX-ReloadIfChanged=true\nExecReload={}\n"
    trigger = "[Unit]\nX-Reload-Triggers={}\n"
    same = {"same_service": form.format("x"), "gone_service": form.format("x")}
    new = files(
        tmp_path / "new",
        **same,
        **{
            "nftables_service": form.format("new"),
            "networkd_service": trigger.format("new"),
            "of@_service": form.format(1),
        },
        restarted_service="new",
        srv_mount="new",
        dropped_service="same",
        never_service=form.format("new"),
    )
    old = files(
        tmp_path / "old",
        same_service=form.format("x"),
        nftables_service=form.format("old"),
        networkd_service="[Unit]\n",
        **{"of@_service": form.format(2), "restarted_service": "old", "srv_mount": "old", "dropped_service": "same"},
        never_service=form.format("old"),
    )
    for system, text in ((new, "new"), (old, "old")):
        drop_ins = system / "etc/systemd/system/dropped.service.d"
        drop_ins.mkdir()
        (drop_ins / "overrides.conf").write_text(trigger.format(text))
        options = {"home": "rw", "var": "rw"} | ({"home": "ro"} if text == "new" else {})
        lines = [f"/dev/{name} /{name} ext4 {how} 0 0" for name, how in options.items()]
        (system / "etc/fstab").write_text("\n".join(lines))
    active = "nftables networkd same gone restarted dropped of@a.b"
    names = [*(f"{name}.service" for name in active.split()), "srv.mount", "home.mount", "var.mount"]
    (tmp_path / "active").write_text("\n".join(names) + "\n")
    script = f"new_live={new} previous_live={old} dir={tmp_path}\n{join('lib/invocations')}\n"
    script += 'sc() { shift 5; echo "/${1%.mount}"; }\nlist_reloaded\nsort $dir/reloaded'
    expected = ["dropped.service", "home.mount", "networkd.service", "nftables.service", "of@a.b.service", "srv.mount"]
    for shell in SHELLS.values():
        assert run(shell, script) == expected


def test_more_units_than_one_command_line_takes(tmp_path: Path) -> None:
    """All are looked at; where nobody could look, that is no list that is empty."""
    form = "[Service]\nX-ReloadIfChanged=true\nExecReload={}\n"
    new, old = (files(tmp_path / name, firewall_service=form.format(name)) for name in ("new", "old"))
    for system in (new, old):
        for number in range(6000):
            (system / f"etc/systemd/system/{number:0200}.service").touch()
    (tmp_path / "active").write_text("firewall.service\n")
    script = f"new_live={new} previous_live={old} dir={tmp_path}\n{join('lib/invocations')}\n"
    ask = "if list_reloaded; then cat $dir/reloaded; else echo nobody knows; fi\n"
    assert run(SHELLS["dash"], f"{script}{ask}xargs() {{ return 127; }}\n{ask}") == ["firewall.service", "nobody knows"]
