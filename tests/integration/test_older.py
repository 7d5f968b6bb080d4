# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that would go backwards, one on which somebody else has deployed, and a tree with changes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from integration.playing import change_the_flake, deploy, remains, systems

from lab import Host, Lab


def test_stale_checkout_and_unexpected_system(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host1"]

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        argv = ["git", "-C", str(flake), *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    revisions = []
    for version in ("2", "3"):
        change_the_flake(flake, version)
        git("add", ".")
        git("commit", "-q", "-m", version)
        revisions.append(git("rev-parse", "HEAD"))
    forwards = deploy(lab, tmp_path, flake, "host1", deploy_flake_on_older="refuse")
    assert forwards.code == 0, forwards.output
    before = systems(host)

    git("checkout", "-q", revisions[0])
    for options in ("", "--check"):
        refused = deploy(lab, tmp_path, flake, "host1", options=options, deploy_flake_on_older="refuse")
        failure = refused.failure("host1")
        assert failure["reason"] == "older-flake", refused.output
        assert f"host1 last committed {revisions[1]}" in failure["msg"]
        assert systems(host) == before

    # On top of it changes that nobody has committed; and somebody expects another system.
    change_the_flake(flake, "4")
    other = f"/nix/store/{'0' * 32}-nixos-system-host1"
    refused = deploy(lab, tmp_path, flake, "host1", deploy_flake_expected_system=other)
    assert refused.failure("host1")["reason"] == "other-previous", refused.output
    assert systems(host) == before

    warned = deploy(lab, tmp_path, flake, "host1", deploy_flake_expected_system=before.boot_default)
    assert warned.code == 0, warned.output
    output = " ".join(warned.output.split())
    assert f"{revisions[0]} with changes is older" in output
    assert "has changes that are not committed to git" in output
    built = warned.of("host1", "flake_build")
    assert (built["dirty"], built["dirty_revision"]) == (True, f"{revisions[0]}-dirty")
    line = json.loads(host.run("tail -n 1 /var/lib/deploy-flake/deployments.jsonl").stdout)
    assert (line["revision"], line["dirty"], line["dirty_revision"]) == ("", "yes", f"{revisions[0]}-dirty")
    assert systems(host).boot_default == built["toplevel"]
    assert remains(host) == ""
