# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that runs what locked sources have led to before just says so; what may lead elsewhere is evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from integration.closing import nix_conf
from integration.faulting import QUICK, build
from integration.playing import Played, change_the_flake, deploy, remains
from integration.test_build_elsewhere import evaluations, now

from lab import Host, Lab

QUICKLY = {"deploy_flake_limits": QUICK}


def states(lab: Lab, directory: Path, flake: Path, hosts: Mapping[str, Host], **given: object) -> set[str]:
    """What has come of each, where all is well."""
    played = deploy(lab, directory, flake, *hosts, **QUICKLY | given)
    assert played.code == 0, played.output
    return {state_of(played, name) for name in hosts}


def state_of(played: Played, name: str) -> str:
    changed = any(action.endswith("system_boot") for action in played.changed(name))
    return str(played.of(name, "system_boot" if changed else "system_test")["state"])


def test_only_what_may_lead_elsewhere_is_evaluated(
    lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """Not where all is as before, whether the host still has the flake or not."""
    change_the_flake(flake, f"evaluated-{os.getpid()}")
    assert states(lab, tmp_path, flake, whole) == {"committed"}
    began = now(whole["host1"])

    def asked() -> list[int]:
        return [evaluations(host, began) for host in whole.values()]

    before = asked()
    for host in whole.values():
        host.run("nix-store --gc", check=True)
    assert states(lab, tmp_path, flake, whole) == {"unchanged"}
    assert asked() == before
    # Nor in check mode, but where it may not build.
    for builds, more in ((True, 0), (False, 1)):
        how = {"options": "--check", "deploy_flake_check_builds": builds}
        foretold = deploy(lab, tmp_path, flake, "host1", **QUICKLY | how)
        assert foretold.code == 0, foretold.output
        assert asked() == [before[0] + more, *before[1:]]

    # Another nix.conf there or here, and arguments that may have anything evaluated.
    with nix_conf(whole["host1"], "cores = 1"):
        assert states(lab, tmp_path, flake, whole) == {"unchanged"}
        assert asked() == [before[0] + 2, *before[1:]]
    for given in ({"deploy_flake_nix_config": "cores = 1"}, {"deploy_flake_build_args": ["--impure"]}) * 2:
        assert states(lab, tmp_path, flake, whole, **given) == {"unchanged"}
    assert asked() == [before[0] + 5, *(count + 3 for count in before[1:])]
    assert [remains(host) for host in whole.values()] == ["", "", ""]


def test_what_somebody_else_has_switched(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """What is known of a flake says nothing of what the host runs, or boots."""
    other = build(whole["host2"], version="by-hand")
    change_the_flake(flake, f"switched-{os.getpid()}")
    assert states(lab, tmp_path, flake, whole) == {"committed"}
    whole["host2"].run(f"{other}/bin/switch-to-configuration test", check=True)
    whole["host3"].run("nix-env -p /nix/var/nix/profiles/system --rollback", check=True)
    played = deploy(lab, tmp_path, flake, *whole, **QUICKLY)
    assert played.code == 0, played.output
    found = {name: state_of(played, name) for name in whole}
    assert found == {"host1": "unchanged", "host2": "committed", "host3": "committed"}
    assert states(lab, tmp_path, flake, whole) == {"unchanged"}
