# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what runs was confirmed, as the records say, in the shells that a host may have."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
A, B, C, D = (f"/nix/store/{letter}-nixos-system" for letter in "abcd")


def record(live: str, to: str, before: str, before_boot: str, outcome: str = "committed", to_live: str = "") -> str:
    """In the order in which a host writes it."""
    said = f'mentions "live": "{C}" and "outcome": "committed"'
    fields = {"id": "x", "message": said, "outcome": outcome, "mode": "test" if live == to else "boot"}
    fields |= {"from": before, "from_boot": before_boot, "to": to, "to_live": to_live or to, "live": live, "boot": to}
    return json.dumps(fields | {"log": said}) + "\n"


def of_secrets(live: str, boot: str) -> str:
    """Of secrets alone: what runs is what it was deployed for."""
    return record(live, live, live, boot).replace('"mode"', '"only_secrets": "yes", "mode"')


THIS_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def until_reboot(live: str, boots: str, boot_id: str = THIS_BOOT, boot_ran: str = "yes") -> str:
    """Of a system that was confirmed, and did not become the boot default, which had run before or not."""
    fields = {"id": "y", "message": "", "outcome": "until-reboot", "mode": "test", "boot_id": boot_id, "from": boots}
    fields |= {"from_boot": boots, "to": live, "to_live": live, "live": live, "boot": boots}
    return json.dumps(fields | {"boot_ran": boot_ran}) + "\n"


LIVE = record(B, B, A, A)


@every_shell
@pytest.mark.parametrize(
    ("records", "system", "confirmed"),
    [
        ("", B, False),
        (LIVE, B, True),
        (LIVE, A, False),
        # Boot-only deployments leave what runs as it was.
        (LIVE + record(B, C, B, B), B, True),
        (LIVE + record(B, C, B, B) + record(B, D, B, C), B, True),
        # What ran was the boot default, whoever had made it that.
        (record(B, C, B, B), B, True),
        (record(B, C, B, B) + record(B, D, B, C), B, True),
        # It was tested by hand, and then another system was made the boot default.
        (record(B, C, B, A), B, False),
        (LIVE + record(C, D, C, B) + record(B, D, B, D), B, False),
        # A specialisation.
        (record(f"{B}-debug", B, A, A, to_live=f"{B}-debug"), f"{B}-debug", True),
        # Those of secrets alone say nothing of the systems.
        (of_secrets(B, A), B, False),
        (LIVE + record(B, C, B, B) + of_secrets(B, C), B, True),
        # Nor do those that did not commit.
        (LIVE + record(B, C, B, B, "rolled-back") + record(B, C, B, A, "refused"), B, True),
        (record(B, B, A, A, "rolled-back"), B, False),
        (LIVE + record(C, C, B, B), B, False),
        # Another one ran until a reboot, which led back to it.
        (LIVE + until_reboot(C, B, "another-boot"), B, True),
    ],
)
def test_what_the_records_say(shell: list[str], tmp_path: Path, records: str, system: str, confirmed: bool) -> None:
    if records:
        (tmp_path / "deployments.jsonl").write_text(records)
    script = f"{join('lib/committed_live')}\nvar_dir={tmp_path}\ncommitted_live {system} && echo yes || echo no\n"
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout.strip() == "yes", done.stderr) == (confirmed, "")


@every_shell
@pytest.mark.parametrize(
    ("records", "kept"),
    [
        (LIVE + until_reboot(C, B), "until-reboot"),
        (until_reboot(D, B) + until_reboot(C, B) + record(C, D, C, B, "rolled-back"), "until-reboot"),
        (until_reboot(C, B) + of_secrets(C, B), "until-reboot"),
        # It was ended by a reboot, and somebody has made it live by hand.
        (until_reboot(C, B, "another-boot"), ""),
        (record(C, C, B, B) + until_reboot(C, B, "another-boot"), ""),
        # By a deployment of another one.
        (until_reboot(C, B) + until_reboot(D, B), ""),
        (until_reboot(C, B) + LIVE, ""),
        # By one that keeps it.
        (until_reboot(C, B) + record(C, C, C, B), "committed"),
        # Somebody has moved the boot default since, by a deployment or by hand: that waits for a reboot.
        (until_reboot(C, A) + record(C, B, C, A), "committed"),
        (until_reboot(C, A), "committed"),
        # The boot default had never run: it waits as well.
        (record(C, B, C, C) + until_reboot(C, B, boot_ran="no"), "committed"),
    ],
)
def test_what_runs_until_the_next_reboot(shell: list[str], tmp_path: Path, records: str, kept: str) -> None:
    """The host runs C, and boots B."""
    (tmp_path / "deployments.jsonl").write_text(records)
    script = f"{join('lib/committed_live')}\nvar_dir={tmp_path}\nboot_default() {{ echo {B}; }}\nkept_live {C}\n"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{kept}\n", "")


def test_what_runs_until_the_next_reboot_may_be_left(tmp_path: Path) -> None:
    """By a deployment of a third system, by a rollback to what boots, by a reboot where no other way back is left, or
    where somebody asks for one."""
    script = f"""{join("unit/deployment").rpartition("main ")[0]}
        {join("lib/rollback_target")}
        {join("command/reboot").rpartition("main ")[0]}
        var_dir={tmp_path} mode=test allow= new=/new new_live=/new rollback_to=previous
        previous_boot={B} previous_live={C}
        boot_default() {{ echo {B}; }}
        is_system_of() {{ return 1; }}
        readlink() {{ echo "$2"; }}
        leads_to() {{ case $1 in /run/*) echo {C} ;; *) echo "$1" ;; esac; }}
        current_generation() {{ echo 7; }}
        require_generation() {{ chosen=6; }}
        tested_boot_default {C} {B} && boots_what_ran && echo yes || echo no
        live={C} default={B}
        waits_for_reboot && echo yes || echo no
        answer_reboot_for() {{ echo "kernel of $1"; }}
        toplevel= && answer_reasons | wc -l
        toplevel={D} && answer_reasons
        choose_target | tr '\\000' ' '
    """
    said = []
    never_ran = record(C, B, C, C) + until_reboot(C, B, boot_ran="no")
    for records in ("", until_reboot(C, B), never_ran):
        (tmp_path / "deployments.jsonl").write_text(records)
        done = subprocess.run(["dash", "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
        may_go_on, waits, reasons, of_another, target = done.stdout.splitlines()
        said.append((may_go_on, waits, reasons.strip(), target.split()[-1]))
        assert of_another == f"kernel of {D}"
    assert said == [("no", "yes", "1", "6"), ("yes", "no", "0", "7"), ("no", "yes", "1", "6")]


@pytest.mark.parametrize(
    ("records", "same", "ran"),
    [("", True, "yes"), (until_reboot(C, B), False, "yes"), (until_reboot(C, B, boot_ran="no"), False, "no")],
)
def test_whether_the_boot_default_had_run(tmp_path: Path, records: str, same: bool, ran: str) -> None:
    """As its line says: what runs is of the boot default, or ran until the next reboot in place of one that had run."""
    (tmp_path / "deployments.jsonl").write_text(records)
    script = f"""{join("unit/deployment").rpartition("main ")[0]}
        var_dir={tmp_path} previous_boot={B} previous_live={C}
        boot_default() {{ echo {B}; }}
        is_system_of() {{ {"true" if same else "false"}; }}
        boot_default_ran
    """
    done = subprocess.run(["dash", "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{ran}\n", "")


@every_shell
@pytest.mark.parametrize(
    ("records", "live", "booted", "words"),
    [
        # The boot-only deployment of C.
        (LIVE + record(B, C, B, B), B, B, "made the boot default without being tested"),
        (LIVE + record(B, C, B, B), B, A, "made the boot default without being tested"),
        ("", B, A, "was tested and never confirmed"),
        # C was committed live, and somebody has booted the generation before it.
        (LIVE + record(C, C, B, B), B, B, "somebody has chosen it in the boot menu"),
        # Or tries it by hand.
        (LIVE + record(C, C, B, B), D, C, "was tested and never confirmed"),
    ],
    ids=["boot-only", "boot-only-after-a-live-one", "tested", "chosen", "tried"],
)
def test_why_a_host_would_boot_another_system(
    shell: list[str], tmp_path: Path, records: str, live: str, booted: str, words: str
) -> None:
    """Each has another way on; whoever has left a system on purpose is not told to boot it."""
    (tmp_path / "deployments.jsonl").write_text(records)
    script = f"""{join("lib/tested_boot_default")}
        var_dir={tmp_path} mode=test allow= new=/new new_live=/new
        is_system_of() {{ return 1; }}
        leads_to() {{ echo {booted}; }}
        tested_boot_default {live} {C}
        echo "$code: $complaint"
    """
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert done.stdout.startswith("untested-boot-default: ")
    assert words in done.stdout
    assert ("Reboot the host into it first" in done.stdout) == ("without being" in words)
