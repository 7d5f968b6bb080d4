# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment that was sent secrets goes nowhere without them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join, script

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


def says(shell: list[str], root: Path, text: str) -> str:
    """What it prints, in a deployment id1 whose directories are below `root`."""
    before = f"id=id1\nbrings_secrets=yes\ninterpreter=sh\ndir={root}\n"
    whole = f"{before}{join('lib/deployed_secrets')}\nvar_dir={root}\nsecrets_dir={root}\n{text}"
    return subprocess.run([*shell, "-s"], input=whole, text=True, capture_output=True, check=True, timeout=60).stdout


@every_shell
@pytest.mark.parametrize("task", ["prepare", "place", "restart"])
def test_staged_secrets_that_are_gone(shell: list[str], tmp_path: Path, task: str) -> None:
    text = f'with_secrets {task} 60 && echo done || echo "$code: $complaint"'
    said = says(shell, tmp_path, text)
    assert said.startswith(f"secrets: its secrets, which were sent to {tmp_path}/id1, are gone"), said
    assert says(shell, tmp_path, f"brings_secrets=no\n{text}") == "done\n"


@every_shell
@pytest.mark.parametrize(
    ("code", "failed", "goes_on"),
    [
        ("units-failed-before", "a.service", True),
        ("units-failed-before", "a.service b.service", True),
        ("units-failed-before", "a.service c.service", False),
        # It is only reloaded.
        ("units-failed-before", "d.service", False),
        ("not-up", "a.service", False),
    ],
)
def test_units_that_have_failed_for_want_of_a_secret(
    shell: list[str], tmp_path: Path, code: str, failed: str, goes_on: bool
) -> None:
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/units").write_text("restart:b.service\nrestart:a.service\nreload:d.service\n")
    (tmp_path / "failed").write_text(failed.replace(" ", "\n") + "\n")
    text = f"code={code}; secrets_mend_that && echo goes on"
    assert ("goes on" in says(shell, tmp_path, f"{text} || :")) == goes_on
    assert (tmp_path / "failed").read_text() == ("" if goes_on else failed.replace(" ", "\n") + "\n")
    (tmp_path / "failed").write_text(failed)
    assert says(shell, tmp_path, f"brings_secrets=no; {text} || :") == ""


@every_shell
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "placed"),
        ("echo id1 >secrets.open/id", "secrets: its secrets are not in their places"),
        ("echo id1 >secrets.open/id && touch secrets.open/placed", "placed"),
        ("echo id2 >secrets.open/id && touch secrets.open/placed", "secrets: its secrets are not in their places"),
    ],
)
def test_nothing_is_confirmed_before_they_are_in_place(
    shell: list[str], tmp_path: Path, change: str, said: str
) -> None:
    if change:
        (tmp_path / "secrets.open").mkdir()
        subprocess.run(["sh", "-c", change], cwd=tmp_path, check=True)
    text = 'secrets_are_placed && echo placed || echo "$code: $complaint"'
    assert says(shell, tmp_path, text).startswith(said)


@every_shell
@pytest.mark.parametrize(
    ("mode", "only", "fails", "said"),
    [
        ("test", "yes", "", "verify marked finish"),
        ("test", "yes", "verify", "verify undo"),
        ("test", "no", "verify", "verify undo"),
        ("boot", "no", "verify", "place verify undo"),
        # What runs already has read the old ones.
        ("boot", "yes", "", "place restart verify marked finish"),
        ("boot", "yes", "restart", "place restart undo"),
        ("boot", "yes", "place", "place undo"),
    ],
)
def test_looked_at_before_it_counts_as_confirmed(
    shell: list[str], tmp_path: Path, mode: str, only: str, fails: str, said: str
) -> None:
    text = (
        of("lib/commit", "commit")
        + f"""
        with_secrets() {{ echo "$1"; [ "$1" != "{fails}" ]; }}
        for name in may_commit still_healthy secrets_are_placed boot_files; do eval "$name() {{ :; }}"; done
        give_up() {{ echo undo; exit; }}
        mark_open() {{ echo marked; }}
        finish() {{ echo finish; }}
        mode={mode} only_secrets={only} secrets_limit=60 code=x complaint=x dir={tmp_path}
        commit
    """
    )
    assert printed(shell, text).split() == said.split()


@every_shell
@pytest.mark.parametrize(
    ("files", "there"),
    [
        ("", False),
        ("program", True),
        # Another one has ended since they were compared, or is there still and is repaired first.
        ("program not-sure", False),
        ("program not-sure open.json", True),
        ("program not-sure secrets.open", True),
        ("program not-sure current", True),
    ],
)
def test_start_asks_for_them_again(shell: list[str], tmp_path: Path, files: str, there: bool) -> None:
    for name in files.split():
        (tmp_path / name).touch()
    function = script("command/start").partition("refuse_if_switched() {")[2].partition("\n}\n")[0]
    text = f"""{join("lib/staged_secrets")}
        remove_directory() {{ echo "removes $1"; }}
        note_systems() {{ live=a default=a; }}
        answer() {{ echo "$1 $2"; }}
        refuse() {{ echo "refuses $1" && exit; }}
        mode=test new=b new_live=b seen_live=a seen_boot=a secrets=yes
        dir={tmp_path}/dir staged={tmp_path} run_dir={tmp_path} var_dir={tmp_path}
        refuse_if_switched() {{ {function}
        }}
        refuse_if_switched && echo goes on
    """
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60)
    asks = f"removes {tmp_path}/dir\nsend_secrets yes\nrefuses busy\n"
    assert done.stdout == ("goes on\n" if there else asks)


def of(name: str, function: str) -> str:
    """A function of a script of lib/, by itself."""
    text = (Path(__file__).parents[5] / f"plugins/plugin_utils/_sh/{name}.sh").read_text(encoding="utf-8")
    return f"{function}() {{" + text.partition(f"\n{function}() {{")[2].partition("\n}\n")[0] + "\n}\n"


def printed(shell: list[str], text: str) -> str:
    return subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60).stdout


@every_shell
@pytest.mark.parametrize(("secrets", "new"), [("only", "/now"), ("yes", "/then"), ("", "/then")])
def test_secrets_alone_are_for_what_runs(shell: list[str], secrets: str, new: str) -> None:
    text = (
        of("lib/preflight", "preflight")
        + f"""
        readlink() {{ echo /now; }}
        answer() {{ :; }}
        note_systems() {{ echo "$new"; exit; }}
        look_at_system() {{ :; }}
        new=/then secrets={secrets} just_built=yes
        preflight
    """
    )
    assert printed(shell, text) == f"{new}\n"


@every_shell
@pytest.mark.parametrize(
    ("mode", "live", "default", "keeps"),
    [
        ("test", "/new", "/new", True),
        ("test", "/old", "/new", False),
        ("boot", "/new", "/new", True),
        # It waits for a boot, and gets them as a whole deployment does.
        ("boot", "/old", "/new", False),
        ("boot", "/new", "/old", False),
    ],
)
def test_system_that_is_kept(shell: list[str], tmp_path: Path, mode: str, live: str, default: str, keeps: bool) -> None:
    text = (
        of("lib/preflight", "preflight")
        + of("lib/system", "is_unchanged")
        + f"""
        answer() {{ echo "$*"; }}
        for name in look_at_system as_expected loader_names; do eval "$name() {{ :; }}"; done
        note_systems() {{ live={live} default={default}; }}
        mode={mode} new=/new secrets=yes just_built=yes var_dir={tmp_path} run_dir={tmp_path}
        preflight
    """
    )
    assert ("only_secrets yes" in printed(shell, text).splitlines()) == keeps


@every_shell
@pytest.mark.parametrize(
    ("only", "live", "verifies", "said"),
    [
        ("yes", "/before", "true", "verified yes\nends rolled-back\n"),
        # What was not well then, a way back may mend.
        ("yes", "/before", "false", "goes back\nverified no\nends rollback-failed\n"),
        ("yes", "/other", "true", "goes back\nverified no\nends rollback-failed\n"),
        ("no", "/before", "true", "goes back\nverified no\nends rollback-failed\n"),
    ],
)
def test_undo_of_secrets_alone_activates_nothing(
    shell: list[str], tmp_path: Path, only: str, live: str, verifies: str, said: str
) -> None:
    text = (
        of("lib/undo", "only_secrets_went_back")
        + of("lib/undo", "undo_live")
        + f"""
        readlink() {{ echo {live}; }}
        go_back() {{ echo goes back; way=none; }}
        verify_previous() {{ {verifies}; }}
        for name in begin_ways forget_failures wait_for_jobs note failed_units unit_journals; do
            eval "$name() {{ :; }}"
        done
        for name in boot_is_theirs live_is_theirs was_confirmed; do eval "$name() {{ return 1; }}"; done
        end_as() {{ printf 'verified %s\\nends %s\\n' "$verified" "$1"; }}
        mode=test only_secrets={only} previous_live=/before boot=kept secrets_left=no complaint=x dir={tmp_path}
        undo_live
    """
    )
    assert printed(shell, text) == said


@every_shell
@pytest.mark.parametrize(
    ("marked", "begun_back", "goes_back", "said"),
    [
        (True, False, "true", "finishes committed\n"),
        (True, True, "true", "goes back\nfinishes interrupted\n"),
        (False, False, "true", "goes back\nfinishes interrupted\n"),
        (False, False, "false", "goes back\nfinishes rollback-failed\n"),
        # It was put back already.
        (True, None, "true", "goes back\nfinishes interrupted\n"),
    ],
)
def test_power_cut_in_a_deployment_of_secrets_alone(
    shell: list[str], tmp_path: Path, marked: bool, begun_back: bool | None, goes_back: str, said: str
) -> None:
    """It has touched neither profile nor boot loader, so a repair does neither."""
    if begun_back is not None:
        (tmp_path / "secrets.open").mkdir()
    if begun_back:
        (tmp_path / "secrets.open/back").touch()
    text = (
        of("lib/repair", "secrets_after_power_loss")
        + f"""
        why() {{ :; }}
        is_marked() {{ {"true" if marked else "false"}; }}
        change_of_secrets() {{ echo goes "$1"; {goes_back}; }}
        finish() {{ echo finishes "$1"; }}
        var_dir={tmp_path}
        secrets_after_power_loss
    """
    )
    assert printed(shell, text) == said
    repair = script("lib/repair")
    assert repair.index("open_field only_secrets") < repair.index("if forward_after_power_loss")
