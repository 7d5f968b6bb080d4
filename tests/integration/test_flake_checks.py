# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flake's checks, evaluated by real Nix against a stand-in for nixpkgs: what they say, not that they pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
import yaml
from integration.commanding import ROOT
from integration.driving import drive
from integration.evaluating import Nix

from lab import Host


@pytest.fixture
def nix(hosts: dict[str, Host]) -> Nix:
    return Nix(hosts["host1"])


def test_checks_of_each_system(nix: Nix) -> None:
    names = nix.json("checks", "builtins.mapAttrs (_: builtins.attrNames)")
    assert names == {
        "aarch64-linux": ["deploy", "package", "systemd-boot"],
        "x86_64-linux": ["deploy", "grub", "package", "systemd-boot"],
    }
    # A public forge runs all of them.
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["nixos"]["strategy"]["matrix"]["check"] == names["x86_64-linux"]


def test_scripts_of_the_checks(nix: Nix) -> None:
    """They run to their end, with machines that say what is promised; the command understands what it is told."""
    told = "builtins.mapAttrs (_: t: { inherit (t) script; machines = builtins.attrNames t.nodes; })"
    found = nix.json("checks.x86_64-linux", f'checks: {told} (removeAttrs checks [ "package" ])')
    done = {name: drive(check["script"], check["machines"]).done for name, check in found.items()}
    loader = ["deploy deployed", "reboot done", "trial rolled-back", "trial deployed", "reboot done"]
    assert done == {
        "deploy": [f"deploy {outcome}" for outcome in ("deployed", "unchanged", "rolled-back") for _time in range(2)],
        "grub": loader,
        "systemd-boot": loader,
    }


def test_targets_evaluate_the_systems_that_are_built_for_them(nix: Nix) -> None:
    """The flake of the check, made by the commands of its script: a target has all that it wants to build."""
    check = nix.json(
        "checks.x86_64-linux.deploy",
        "t: { inherit (t) script; paths = map toString t.nodes.target1.virtualisation.additionalPaths; }",
    )
    said = [[one for one in call if "/root/hosts" in one] for call in _commands(ast.parse(check["script"]))]
    made, changed = filter(None, said)
    told = "builtins.mapAttrs (_: s: with s.config; [ system.build.toplevel.outPath environment.etc.deployed.text ])"
    for commands, deployed in ((made, "1"), (changed, "2")):
        systems = nix.shell(
            *(["rm -rf /root/hosts"] if commands is made else []),
            *commands,
            f"nix eval --json path:/root/hosts#nixosConfigurations --apply '{told}'",
        )
        assert sorted(systems) == ["target1", "target2"]
        for path, version in systems.values():
            assert version == deployed
            assert path in check["paths"]


@pytest.mark.parametrize(
    ("file", "good", "bad", "error"),
    [
        ("flake.nix", "pkgs.nixfmt-tree", "pkgs.nixfmt-treee", "attribute 'nixfmt-treee' missing"),
        ("flake.nix", "final.callPackage", "final.callpackage", "attribute 'callpackage' missing"),
        ("nix/metrics.nix", "wantedBy", "wantedby", "deploy-flake-metrics.wantedby' does not exist"),
        ("nix/module.nix", "isNormalUser", "isNormaluser", "`users.users.deploy.isNormaluser' does not exist"),
        ("nix/module.nix", "pathsToLink", "pathsToLinks", "`environment.pathsToLinks' does not exist"),
        ("nix/secrets.nix", "wantedBy", "wantedby", "`systemd.services.deploy-flake-secrets.wantedby' does not exist"),
        ("nix/trial.nix", "wantedBy", "wantedby", "`systemd.services.deploy-flake-trial.wantedby' does not exist"),
        ("nix/tests/default.nix", "useEFIBoot", "useEfiBoot", "`virtualisation.useEfiBoot' does not exist"),
        ("nix/tests/deploy.nix", "networkConfig", "networkconfig", "attribute 'networkconfig' missing"),
        ("nix/tests/flake/locked-out.nix", "openFirewall", "firewall", "`services.openssh.firewall' does not exist"),
        ("nix/tests/flake/target.nix", "cores = 2", "cores = true", "`virtualisation.cores' is not of type"),
        ("nix/tests/trial.nix", "openFirewall", "firewall", "`services.openssh.firewall' does not exist"),
    ],
)
def test_what_is_misspelt_is_found(nix: Nix, file: str, good: str, bad: str, error: str) -> None:
    """The stand-in would be worth nothing otherwise."""
    text = (ROOT / file).read_text()
    assert good in text
    nix.write(file, text.replace(good, bad))
    done = nix.attempt("flake check --no-build", "")
    assert done.returncode != 0
    assert error in done.stderr


def _commands(tree: ast.AST) -> Iterator[list[str]]:
    """What the controller is told to run, call by call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "succeed":
            yield [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
