# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of the source of its boot default, in the shells that a host may have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import MARKER, Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


def record(identity: str, to: Path | str, revision: str = "", dirty: str = "", outcome: str = "committed") -> str:
    """In the order in which a host writes it."""
    said = f'says "to": "{to}", "outcome": "committed", "started": "x" and "revision": "no"'
    fields = {"id": identity, "by": "a", "revision": revision, "dirty_revision": dirty, "message": said}
    return json.dumps(fields | {"outcome": outcome, "started": "now", "from": "/x", "to": str(to), "log": said}) + "\n"


def asked(shell: list[str], root: Path, records: str) -> Answer:
    """The answer of a host whose boot default is `system` and says that it was built from the revision `own`."""
    tool = root / "system/sw/bin/nixos-version"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho own $1\n")
    tool.chmod(0o755)
    (root / "profile").symlink_to("system")
    if records:
        (root / "deployments.jsonl").write_text(records)
    script = (
        f"{join('lib/last_committed')}\nvar_dir={root} profile={root}/profile\nanswer_begin; answer_last_committed\n"
    )
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert done.stderr == "deploy-flake has begun\n"
    return Answer.parse(done.stdout[done.stdout.index(MARKER) :])


@every_shell
def test_the_last_deployment_of_the_boot_default_that_had_a_source(shell: list[str], tmp_path: Path) -> None:
    system = tmp_path / "system"
    lines = (
        record("1", system, "one"),
        record("2", system, "two"),
        record("3", "/nix/store/other", "three"),
        record("4", system, "four", outcome="rolled-back"),
        record("5", f"{system}-longer", "five"),
        # A rollback has none.
        record("6", system),
    )
    answer = asked(shell, tmp_path, "".join(lines))
    found = json.loads(answer.get("committed_record"))
    assert (found["id"], found["revision"], "log" in found, answer.get("committed_revision")) == ("2", "two", False, "")


@every_shell
def test_changes_that_were_not_committed_are_a_source(shell: list[str], tmp_path: Path) -> None:
    lines = record("1", tmp_path / "system", "one") + record("2", tmp_path / "system", "", "x-dirty")
    assert json.loads(asked(shell, tmp_path, lines).get("committed_record"))["dirty_revision"] == "x-dirty"


@every_shell
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_boot_default_without_a_record_says_it_itself(shell: list[str], tmp_path: Path, elsewhere: bool) -> None:
    answer = asked(shell, tmp_path, record("1", "/nix/store/other", "one") if elsewhere else "")
    assert (answer.get("committed_record"), answer.get("committed_revision")) == ("", "own --configuration-revision")


@every_shell
def test_expected_system(shell: list[str]) -> None:
    script = f"{join('lib/expected_system')}\n" + "\n".join(
        f"expected_system={expected}; as_expected '{default}' && echo yes || echo $code"
        for expected, default in (("", "/a"), ("/a", "/a"), ("/a", "/b"), ("/a", ""))
    )
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == (["yes", "yes", "other-previous", "other-previous"], "")
