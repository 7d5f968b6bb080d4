# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is shown before anything is done."""

from __future__ import annotations

import pytest

from deploy_flake import arguments
from deploy_flake.options import RunOptions
from deploy_flake.plan import plan

SYSTEM = f"/nix/store/{'0' * 32}-nixos-system-web-25.11"


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["web1"], ["Deploy the flake in . to", "  web1  the configuration with its own hostname"]),
        (["nixos://me@web1:2222/x", "--flake", "./f"], ["Deploy ./f to", "  me@web1 port 2222  x"]),
        (["web1", "--attribute", "a.b"], ["Deploy the flake in . to", "  web1  a.b"]),
        (["web1", "--flake", "./f", "--file", "default.nix"], ["Deploy ./f to", "  web1  default.nix"]),
        (["web1", "--toplevel", SYSTEM], [f"Deploy {SYSTEM} to", "  web1"]),
        (["-i", "hosts.yml"], ["Deploy what the inventory says to", "  every host of hosts.yml"]),
        (["-i", "a", "-i", "b", "-l", "web*"], ["Deploy what the inventory says to", "  web* of a, b"]),
        (["rollback", "web1"], ["Roll back to the previous generation", "  web1"]),
        (["rollback", "web1", "--to", "3"], ["Roll back to generation 3", "  web1"]),
        (["rollback", "web1", "--to", SYSTEM], [f"Roll back to {SYSTEM}", "  web1"]),
        (
            ["profiles", "web1", "--profile", "home-manager,user=al"],
            ["Deploy profiles to", "  web1", "The profile home-manager, al."],
        ),
        (["revoke", "web1"], ["Roll back what waits for confirmation on", "  web1"]),
    ],
)
def test_hosts(argv: list[str], shown: list[str]) -> None:
    chosen = arguments.parser().parse_args(arguments.with_command(argv))
    assert plan(chosen, RunOptions(inventory=chosen.inventory, limit=chosen.limit)).splitlines() == shown


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--specialisation", "debug"], "specialisation debug"),
        (["--test", "skip"], "WITHOUT"),
        (["--until-reboot"], "until the next reboot"),
        (["--all-or-nothing"], "unless every host"),
        (["--serial", "25%"], "25% hosts"),
        (["--on-reboot-required", "boot_and_reboot"], "REBOOTED"),
    ],
)
def test_what_is_unusual(argv: list[str], said: str) -> None:
    chosen = arguments.parser().parse_args(["deploy", "web1", *argv])
    *_before, last = plan(chosen, RunOptions()).splitlines()
    assert said in last
