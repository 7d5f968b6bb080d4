# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every output of the flake, evaluated by real Nix against a stand-in for nixpkgs."""

from __future__ import annotations

import pytest
from integration.evaluating import Nix

from lab import Host

SYSTEMS = ["aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"]


@pytest.fixture
def nix(hosts: dict[str, Host]) -> Nix:
    return Nix(hosts["host1"])


def test_whole_flake(nix: Nix) -> None:
    nix.run("flake check --no-build --all-systems", "")


def test_packages_and_apps(nix: Nix) -> None:
    packages = nix.json(
        "packages",
        "builtins.mapAttrs (_: p: { inherit (p.default) name system; main = p.deploy-flake.meta.mainProgram; })",
    )
    assert sorted(packages) == SYSTEMS
    for system, package in packages.items():
        assert package["system"] == system
        assert package["name"].startswith("deploy-flake-0.")
        assert package["main"] == "deploy-flake"
    apps = nix.json("apps")
    assert sorted(apps) == SYSTEMS
    assert all(app["deploy-flake"]["program"].endswith("/bin/deploy-flake") for app in apps.values())
    assert all(app["default"] == app["deploy-flake"] for app in apps.values())
    assert sorted(nix.json("devShells", "builtins.mapAttrs (_: shell: shell.default.name)")) == SYSTEMS


@pytest.mark.parametrize("helper", [True, False])
@pytest.mark.parametrize("enabled", [True, False])
def test_module_makes_a_host_a_good_target(nix: Nix, enabled: bool, helper: bool) -> None:
    given = f'{{ enable = {str(enabled).lower()}; helper = {str(helper).lower()}; name = "deploy";'
    given += ' keys = [ "ssh-ed25519 A" ]; passwordlessSudo = true; }'
    lib = "{ mkIf = wanted: content: if wanted then content else null; mkOption = x: x; mkEnableOption = x: x;"
    lib += " types = { str = 1; bool = 2; listOf = x: x; }; }"
    pkgs = '{ callPackage = file: _: import file { python3 = "PYTHON"; runCommand = _: _: script: script; }; }'
    module = f"m {{ lib = {lib}; pkgs = {pkgs}; config.deploy-flake.user = {given}; }}"
    made = nix.json("nixosModules.default", f"m: ({module}).config")
    assert made["nix"]["settings"]["experimental-features"] == ["nix-command", "flakes"]
    assert made["services"]["openssh"]["enable"] is True
    if enabled:
        user = made["users"]["users"]["deploy"]
        assert user["openssh"]["authorizedKeys"]["keys"] == ["ssh-ed25519 A"]
        assert user["extraGroups"] == ([] if helper else ["wheel"])
        ((rule,),) = (one["commands"] for one in made["security"]["sudo"]["extraRules"])
        assert rule["options"] == ["NOPASSWD"]
        assert rule["command"] == ('/run/current-system/sw/bin/deploy-flake-host ""' if helper else "ALL")
    else:
        assert made["users"]["users"] is None
        assert made["security"]["sudo"]["extraRules"] is None
    if enabled and helper:
        (script,) = made["environment"]["systemPackages"]
        assert "PYTHON/bin/python3 -m _host.helper" in script
        assert made["environment"]["pathsToLink"] == ["/share/deploy-flake-host"]
    else:
        assert made["environment"] == {"systemPackages": None, "pathsToLink": None}
