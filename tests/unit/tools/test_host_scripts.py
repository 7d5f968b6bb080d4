# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of the hosts' scripts finds each kind of defect that it is there for, put into the real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import host_scripts

ROOT = Path(__file__).parents[3]
SH = "plugins/plugin_utils/_sh"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The plugins, to be spoilt."""
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def spoil(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


REBOOT = "plugins/plugin_utils/_host/reboot.py"
# A file, what stands there, what is put in its place, and what is said of it.
DEFECTS = [
    # Functions.
    (
        f"{SH}/command/revoke.sh",
        "# needs: base decide deployment_state\n",
        "# needs: base\n",
        "command/revoke calls begin, and no",
    ),
    (
        f"{SH}/lib/deployment_state.sh",
        " wait_for_line\n",
        "\n",
        "lib/deployment_state calls wait_for_line, and no script",
    ),
    (
        f"{SH}/command/poll.sh",
        "base deployment_state",
        "base deployment_state quote",
        "needs quote, and uses nothing of it",
    ),
    (f"{SH}/command/poll.sh", "\nmain() {", "\ntell() { :; }\n\nmain() {", "tell has two definitions"),
    (f"{SH}/lib/supervise.sh", " reports_to_directory", " reports_to_answer reports_to_directory", "why has two"),
    # Commands: of a misspelt name, in a trap, named to another command, and of a name that is made.
    (f"{SH}/lib/undo.sh", "    free_switch_lock\n", "    free_switch_lok\n", "lib/undo calls free_switch_lok, and no"),
    (f"{SH}/lib/switch_live.sh", "give_up activation", "giveup activation", "lib/switch_live calls giveup, and no"),
    (f"{SH}/lib/commit.sh", "finish committed", "finsh committed", "lib/commit calls finsh, and no"),
    (f"{SH}/lib/record.sh", "&& sync -f", "&& snyc -f", "lib/record calls snyc, and no"),
    (f"{SH}/lib/undo.sh", "trap 'end_child;", "trap 'end_chld;", "lib/undo calls end_chld, and no"),
    (f"{SH}/lib/ssh.sh", "each_setting login_key", "each_setting login_kye", "lib/ssh calls login_kye, and no"),
    (f"{SH}/lib/base.sh", "30 systemctl", "30 systemclt", "timeout is to run systemclt, which is no known tool"),
    (f"{SH}/lib/commit.sh", " nix-env -p", " nixenv -p", "for_profile is to run nixenv, which is no known tool"),
    (f"{SH}/lib/ways_back.sh", "way_by_hand() {", "way_byhand() {", "lib/ways_back calls way_by_hand, and no"),
    (
        f"{SH}/lib/ways_back.sh",
        "in test restart-bus",
        "in test restart-bs",
        "lib/ways_back calls way_restart_bs, and no",
    ),
    # Inputs.
    (f"{SH}/command/poll.sh", "# needs:", "# inputs: extra\n# needs:", "nobody passes its input extra"),
    (f"{SH}/command/units.sh", "# inputs: units", "# inputs: units id", "units is not given its input id"),
    (REBOOT, "may_reboot=may_reboot,\n", "may_rebot=may_reboot,\n", "reboot does not declare the input may_rebot"),
    (REBOOT, "trying=trying,\n        patience", "patience", "reboot is not given its input trying"),
    (f"{SH}/lib/directory.sh", "fact boot_id", "fact boot_ids", "nobody notes the fact boot_id"),
    # Answers.
    (f"{SH}/command/info.sh", "answer hostname", "answer host_name", "nobody reads the answer host_name"),
    (f"{SH}/command/info.sh", "answer kernel", "answer hostname", "no script answers with kernel"),
    # Codes.
    (f"{SH}/lib/busy.sh", "refuse busy", "refuse bussy", "refuse bussy: bussy is no Refusal"),
    (f"{SH}/lib/supervise.sh", "give_up revoked", "give_up revokd", "give_up revokd: revokd is no Why"),
    (
        f"{SH}/lib/health.sh",
        "complain units-failed ",
        "complain units-faild ",
        "complain units-faild: units-faild is no Why or Refusal",
    ),
    (f"{SH}/lib/supervise.sh", "state settling", "state setling", "setling is no State"),
    (f"{SH}/lib/supervise.sh", "give_up not-confirmed ", "give_up ", "a code and a text are needed"),
    (f"{SH}/lib/supervise.sh", "give_up not-live ", 'give_up "not-livee" ', '"not-livee" is no Why'),
    (f"{SH}/lib/supervise.sh", "stop_unchanged no-guard", "stop_unchanged no-unit", "no-unit is no Why"),
    (f"{SH}/lib/supervise.sh", "'why stopped", "'why stoped", "why stoped: stoped is no Why"),
    (f"{SH}/lib/repair.sh", "why power-lost", "why no-root", "why no-root: no-root is no Why"),
    (f"{SH}/command/build.sh", "refuse_unbegun no-user", "refuse_unbegun profile", "profile is no Refusal"),
    (f"{SH}/lib/preflight.sh", "refuse_system not-valid", "refuse_system profile", "profile is no Refusal"),
    (f"{SH}/lib/receive_snapshot.sh", "lost_snapshot not-added", "lost_snapshot added", "added is no Refusal"),
    (f"{SH}/lib/verify.sh", "complain not-live", "complain in-progress", "in-progress is no Why or Refusal of"),
    (
        f"{SH}/command/reboot.sh",
        "complain in-progress",
        "complain in-progres",
        "in-progres is no Why or Refusal or Blocked",
    ),
    (f"{SH}/lib/check_before_switch.sh", "needs_reboot status-100", "needs_reboot profile", "no RebootBecause"),
    # States, and other words.
    (
        f"{SH}/lib/undo.sh",
        "    commit-boot |",
        "    commit-bot |",
        "$phase is compared with commit-bot, which is no State",
    ),
    (f"{SH}/lib/undo.sh", "= rolling-back ]", "= rollingback ]", '"$phase" is compared with rollingback, which is no'),
    (
        f"{SH}/lib/record.sh",
        "in rollback-failed",
        "in rollback-faild",
        "compared with rollback-faild, which nobody says",
    ),
    (f"{SH}/lib/health.sh", "no_new_failures:", "no_new_failurs:", "compared with no_new_failurs, which nobody says"),
    (f"{SH}/lib/health.sh", "= no_new_failures", "= no_new_failurs", "no_new_failurs, which is no HealthPolicy"),
    (f"{SH}/lib/reports_to_answer.sh", "mode=boot", "mode=boott", "mode=boott, which nobody says"),
    (
        f"{SH}/lib/undo.sh",
        "end_as refused",
        "end_as checking",
        "checking is no State of _codes.py that end_as may give",
    ),
    (f"{SH}/lib/states.sh", "superseded interrupted", "superseded", "final_states is not what FINAL"),
    # What would be lost.
    (
        f"{SH}/lib/differences.sh",
        "awk '\n",
        "awk '\n        # awk has comments too\n",
        "differences.sh: a text in it would lose",
    ),
    (f"{SH}/lib/boot_files.sh", "\n$needed KiB for", "\n    $needed KiB for", "boot_files.sh: a text in it would lose"),
]
UNKNOWN_OR_UNUSED = [
    (f"{SH}/lib/switch_live.sh", "$activate_limit", "$activate_limt", "activate_limt is referenced but not assigned"),
    (f"{SH}/lib/health.sh", "# inputs: health_limit ", "# inputs: ", "health_limit is referenced but not assigned"),
    (f"{SH}/command/units.sh", "# inputs: units", "# inputs: units other", "other appears unused"),
    (f"{SH}/lib/commit.sh", "set_status=$status", "set_statuss=$status", "set_statuss appears unused"),
]


def missed(said: list[str], defects: list[tuple[str, str, str, str]]) -> list[str]:
    return [about for *_what, about in defects if not any(about in problem for problem in said)]


def test_nothing_is_wrong() -> None:
    assert list(host_scripts.problems(ROOT)) == []


def test_defects_are_found(tree: Path) -> None:
    for file, old, new, _about in DEFECTS:
        spoil(tree, file, old, new)
    said = list(host_scripts.problems(tree))
    assert missed(said, DEFECTS) == [], said


def test_a_script_that_is_not_there_is_missed(tree: Path) -> None:
    spoil(tree, f"{SH}/command/poll.sh", "needs: base deployment_state", "needs: base deployment_stat")
    assert list(host_scripts.problems(tree)) == [
        f"{SH}/command/poll.sh: needs deployment_stat, and there is no lib/deployment_stat.sh"
    ]


def test_variables_are_known_and_used(tree: Path) -> None:
    for file, old, new, _about in UNKNOWN_OR_UNUSED:
        spoil(tree, file, old, new)
    # `make lint` looks at all programs, which takes half a minute; every one of these scripts is in one of these.
    said = list(host_scripts.shellcheck(tree, ["unit/deployment", "command/units"]))
    assert missed(said, UNKNOWN_OR_UNUSED) == [], said
