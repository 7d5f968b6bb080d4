# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reason of a failure: in the last message, once, and soon where nothing can come of waiting."""

from __future__ import annotations

import time
from pathlib import Path
from subprocess import run

from integration.playing import DEPLOY, deploy, play

from lab import Host, Lab


def test_what_nix_said_is_in_the_last_message(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """And nowhere before it, in what ansible-playbook shows."""
    said = "this is the reason"
    nix = flake / "hosts.nix"
    nix.write_text(f'builtins.throw "{said}"', encoding="utf-8")
    played = deploy(lab, tmp_path, flake, "host1")
    last = played.failure("host1")
    assert last["action"] == "deploy_flake.nixos.fleet_outcome"
    assert said in last["msg"], played.output
    before, _task, _end = played.output.partition(": Fail with the reason]")
    assert said not in before, played.output


def test_what_git_and_ssh_said_is_told(lab: Lab, hosts: dict[str, Host], tmp_path: Path) -> None:
    """Of a flake that can be fetched neither by this machine nor by a host."""
    reference = "git+ssh://nobody@localhost/none?ref=main"
    played = play(lab, tmp_path, DEPLOY, ["host1"], deploy_flake_flake=reference)
    assert played.code != 0
    assert "Could not read from remote repository." in played.failure("host1")["msg"], played.output


def test_connection_that_can_never_work(lab: Lab, hosts: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Neither a stranger's host key nor a key that the host does not know is tried again for minutes."""
    key, known = tmp_path / "key", tmp_path / "known_hosts"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    stranger = key.with_suffix(".pub").read_text().split()[:2]
    known.write_text(f"{hosts['host1'].address} {' '.join(stranger)}\n", encoding="utf-8")
    options = "-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    for own, said in (
        ({"ansible_ssh_common_args": f"{options} -o UserKnownHostsFile={known}"}, "Host key verification failed"),
        ({"ansible_ssh_private_key_file": str(key)}, "Permission denied"),
    ):
        for playbook in (DEPLOY, "deploy_flake.nixos.rollback"):
            began = time.monotonic()
            # No connection is shared with another test's.
            control = {"ansible_control_path": str(tmp_path / "c")}
            played = play(lab, tmp_path, playbook, ["host1"], deploy_flake_flake=str(flake), **own, **control)
            assert played.unreachable == {"host1"}, played.output
            assert said in played.output
            assert "trying again" not in played.output
            assert time.monotonic() - began < 60
