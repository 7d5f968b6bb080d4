# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other outputs of a flake than systems, the links to them, and configurations that are no flake's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from integration.commanding import Command, destination, limits, reaching, results
from integration.faulting import QUICK, is_whole, last_record
from integration.playing import DEPLOY, Played, change_the_flake, forget_builds, outcomes, play, remains, systems

from lab import Host, Lab

TOOL = "packages.x86_64-linux.tool"
LINK = "/root/built/tool"
# Two outputs, as packages have them, and a name that the hosts' version goes into.
PACKAGE = """
      packages.x86_64-linux.tool = derivation {
        name = "tool-${hosts.version}";
        system = "x86_64-linux";
        outputs = [ "out" "man" ];
        builder = "/bin/sh";
        args = [ "-euc" "echo ${hosts.version} >$out; echo ${hosts.version} >$man; exit 0" ];
      } // { meta.outputsToInstall = [ "out" "man" ]; };
"""
# The hosts of the flake's own file, under a name that Nix does not look for.
NO_FLAKE = "((import ./outputs.nix).outputs { self = { }; }).nixosConfigurations\n"
BY_NAME = "{{ inventory_hostname }}.config.system.build.toplevel"


@pytest.fixture
def tools(flake: Path) -> Path:
    """The flake with a package beside its systems."""
    text = (flake / "flake.nix").read_text("utf-8")
    systems = "      nixosConfigurations =\n"
    assert text.count(systems) == 1
    (flake / "flake.nix").write_text(text.replace(systems, PACKAGE.lstrip("\n") + systems), "utf-8")
    return flake


@pytest.fixture
def tree(flake: Path) -> Path:
    """A git repository with the hosts of the flake, and without a flake."""
    (flake / "flake.nix").rename(flake / "outputs.nix")
    (flake / "flake.lock").unlink()
    (flake / "default.nix").write_text(NO_FLAKE, "utf-8")
    git(flake, "init", "-q")
    commit(flake)
    return flake


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "hosts")
    return git(root, "rev-parse", "HEAD")


def links(host: Host, path: str = LINK) -> list[str]:
    """Where the link of each output leads; nothing for one that is not there."""
    return [host.run(["readlink", f"{path}{suffix}"]).stdout.strip() for suffix in ("", "-man")]


def collect(host: Host, paths: Iterable[str]) -> list[bool]:
    """Collect garbage, with nothing rooted for a deployment that was to come; which of these paths are there then."""
    forget_builds([host])
    host.run("nix-store --gc", check=True)
    return [host.run(["test", "-e", path]).returncode == 0 for path in paths]


def test_output_that_is_no_system(command: Command, lab: Lab, whole: dict[str, Host], tools: Path) -> None:
    """Built on two hosts and printed; its links keep it from garbage collection, until the next one has their place."""
    hosts = [whole["host1"], whole["host3"]]
    before = {host.name: (systems(host), outcomes(host)) for host in hosts}
    built: dict[str, dict[str, list[str]]] = {}
    for version in ("linked", "replaced"):
        change_the_flake(tools, version)
        given = [*map(destination, hosts), "--flake", str(tools), "--attribute", TOOL, "--out-link", LINK]
        code, lines = command.json("build", *given, *reaching(hosts))
        assert code == 0, lines
        # No host need say which configuration is its own.
        assert "asking" not in {line.get("phase") for line in lines}
        for host in hosts:
            told = results(lines)[host.address]
            assert (told["outcome"], told["configuration"], told["state"]) == ("done", "", "")
            assert list(told["outputs"]) == ["out", "man"]
            assert told["new_system"] == told["outputs"]["out"]
            paths = list(told["outputs"].values())
            assert links(host) == paths
            assert host.run(["cat", *paths], check=True).stdout.split() == [version] * 2
            built.setdefault(host.name, {})[version] = paths
            assert collect(host, paths) == [True, True]
    for host in hosts:
        assert collect(host, built[host.name]["linked"]) == [False, False]
        # All that is built already is said to be so, and the paths alone are printed.
        code, output = command.run(
            *("build", destination(host), "--flake", str(tools), "--attribute", TOOL, *reaching([host])),
            *("--instrumentation", "plain"),
        )
        assert code == 0, output
        assert f": done: {' '.join(built[host.name]['replaced'])}" in output, output
        host.run(f"rm {LINK} {LINK}-man && rmdir {Path(LINK).parent}", check=True)
        assert collect(host, built[host.name]["replaced"]) == [False, False]
        assert (systems(host), outcomes(host), remains(host)) == (*before[host.name], "")


def test_link_to_a_system(lab: Lab, whole: dict[str, Host], tools: Path, tmp_path: Path) -> None:
    """The playbook; a link that stays is no change, and a deployment does not take it away."""
    host = whole["host1"]
    change_the_flake(tools, "stays")
    given: dict[str, Any] = {"deploy_flake_flake": str(tools), "deploy_flake_out_link": "/root/result"}
    playbook = "deploy_flake.nixos.build"
    first, again = (play(lab, tmp_path, playbook, [host.name], **given) for _time in range(2))
    assert (first.code, again.code) == (0, 0), first.output + again.output
    made = first.of(host.name, "flake_build")
    assert (made["out_link"], made["outputs"], made["configuration"]) == (
        *("/root/result", {"out": made["toplevel"]}, host.name),
    )
    assert (made["changed"], again.of(host.name, "flake_build")["changed"]) == (True, False)
    assert f'"msg": "{made["toplevel"]}"' in first.output
    assert links(host, "/root/result") == [made["toplevel"], ""]
    assert collect(host, [made["toplevel"]]) == [True]
    other = play(lab, tmp_path, DEPLOY, [host.name], deploy_flake_flake=str(tools), deploy_flake_limits=QUICK)
    assert other.code == 0, other.output
    assert other.of(host.name, "flake_build")["toplevel"] == made["toplevel"]
    is_whole(host, made["toplevel"], "committed")
    assert links(host, "/root/result") == [made["toplevel"], ""]
    host.run("rm /root/result", check=True)


def test_configuration_without_a_flake(lab: Lab, whole: dict[str, Host], tree: Path, tmp_path: Path) -> None:
    """Deployed to three hosts, each by its name, with the revision; and once more, when nothing is to be done."""
    change_the_flake(tree, "without-a-flake")
    revision = commit(tree)
    given: dict[str, Any] = {
        "deploy_flake_flake": str(tree),
        "deploy_flake_file": "default.nix",
        "deploy_flake_attribute": BY_NAME,
        "deploy_flake_limits": QUICK,
    }
    first, second = (play(lab, tmp_path, DEPLOY, whole, **given) for _time in range(2))
    assert first.code == 0, first.output
    assert second.code == 0, second.output
    for name, host in whole.items():
        built = first.of(name, "flake_build")
        assert (built["configuration"], built["revision"], built["dirty"]) == ("", revision, False)
        assert built["bytes_sent"] == built["nar_size"] > 0
        is_whole(host, built["toplevel"], "committed")
        record = last_record(host)
        assert (record["revision"], record["configuration"], record["flake"]) == (revision, "", str(tree))
        assert second.changed(name) == []
        assert second.of(name, "system_test")["state"] == "unchanged"
        assert remains(host) == ""


def test_file_of_one_system(command: Command, lab: Lab, whole: dict[str, Host], tree: Path) -> None:
    """The command, in a directory of the repository; the file is the system, and no attribute need be named."""
    host = whole["host1"]
    (tree / "one").mkdir()
    (tree / "one/host.nix").write_text('{ name ? "host1" }: (import ../default.nix).${name}\n', "utf-8")
    change_the_flake(tree, "of-one-file")
    commit(tree)
    given = ["--flake", str(tree / "one"), "--file", "host.nix", *reaching([host]), *limits()]
    code, lines = command.json(destination(host), *given)
    assert code == 0, lines
    told = results(lines)[host.address]
    assert (told["outcome"], told["configuration"]) == ("deployed", "")
    is_whole(host, told["system"], "committed")
    code, lines = command.json("build", destination(host), *given[: -len(limits())])
    assert (code, results(lines)[host.address]["new_system"]) == (0, told["system"])
    forget_builds([host])


def reason(played: Played, host: Host) -> tuple[str, str]:
    assert played.code != 0, played.output
    failure = played.failure(host.name)
    return failure["reason"], failure["msg"]


@pytest.mark.parametrize("steps", [False, True], ids=["one task", "step by step"])
def test_what_is_no_system_is_not_deployed(
    lab: Lab, whole: dict[str, Host], tools: Path, tmp_path: Path, steps: bool
) -> None:
    """One clear error, and nothing is left on the host."""
    host = whole["host2"]
    change_the_flake(tools, "no-system")
    before, known = systems(host), outcomes(host)
    checks = tmp_path / "checks.yml"
    checks.write_text("- name: Fail\n  ansible.builtin.fail:\n", "utf-8")
    given: dict[str, Any] = {"deploy_flake_checks": str(checks)} if steps else {}
    given |= {"deploy_flake_flake": str(tools), "deploy_flake_attribute": TOOL}
    word, message = reason(play(lab, tmp_path, DEPLOY, [host.name], **given), host)
    assert word == "not-a-system"
    assert "is not a NixOS system" in message
    assert "it has no nixos-version" in message
    assert (systems(host), outcomes(host), remains(host)) == (before, known, "")


def test_errors_before_a_host_is_touched(lab: Lab, whole: dict[str, Host], tree: Path, tmp_path: Path) -> None:
    (tree / "untracked.nix").write_text("{ }\n", "utf-8")
    wrong: Mapping[str, dict[str, Any]] = {
        "there is no nowhere.nix in": {"file": "nowhere.nix"},
        "git does not track it": {"file": "untracked.nix"},
        "is a directory; name the file in it": {"file": "units"},
        "as host1.config.system.build.toplevel": {"file": "default.nix", "configuration": "host1"},
        "is a remote flake; give a clone of it": {"file": "default.nix", "flake": "github:nobody/nothing"},
        "must be names with dots between them": {"file": "default.nix", "attribute": "--impure"},
        "must be the path of a link on the host": {"file": "default.nix", "out_link": "result"},
    }
    # Whoever connected would fail otherwise.
    nobody: dict[str, Any] = {"ansible_host": "192.0.2.1", "ansible_port": 9}
    tasks = [
        {"deploy_flake.nixos.flake_build": {"flake": str(tree), **given}, "ignore_errors": True, "vars": nobody}
        for given in wrong.values()
    ]
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]
    played = play(lab, tmp_path, plays, ["host1"])
    assert not played.unreachable, played.output
    assert [text in result["msg"] for text, result in zip(wrong, played.results["host1"], strict=True)] == [True] * 7
    both = {"deploy_flake_flake": str(tree), "deploy_flake_file": "default.nix", "deploy_flake_configuration": "host1"}
    for playbook in (DEPLOY, "deploy_flake.nixos.build", "deploy_flake.nixos.trial"):
        refused = play(lab, tmp_path, playbook, ["host1"], **both, **nobody)
        assert [result["action"].rpartition(".")[2] for result in refused.results["host1"]] == ["fleet_validate"]
        assert reason(refused, whole["host1"])[0] == "bad-option"


def test_errors_on_the_host(lab: Lab, whole: dict[str, Host], tools: Path, tmp_path: Path) -> None:
    """What has the place of a link stays, and nothing is built. What is not there Nix tells. Check mode makes none."""
    host = whole["host1"]
    change_the_flake(tools, "errors")
    host.run("mkdir -p /root/taken && echo mine >/root/file && ln -sfn /etc /root/other", check=True)
    # The last one is in the way of its output `man` alone.
    host.run("ln -sfn $(readlink -f /run/current-system) /root/system && echo mine >/root/made-man", check=True)
    given = {"flake": str(tools), "attribute": TOOL}
    taken = ("/root/taken", "/root/file", "/root/other", "/root/system", "/run/current-system", "/root/made")
    lead_elsewhere = ("/root/file/below", "/root/other/below", "/tmp/result")
    places = [given | {"out_link": path} for path in (*taken, *lead_elsewhere)]
    missing = [given | {"attribute": "packages.x86_64-linux.none"}]
    missing += [{"flake": str(tools), "file": "hosts.nix", "attribute": "none"}]
    tasks: list[dict[str, Any]] = [
        {"deploy_flake.nixos.flake_build": one, "ignore_errors": True} for one in (*places, *missing)
    ]
    checked = {"deploy_flake.nixos.flake_build": given | {"out_link": "/root/checked"}, "check_mode": True}
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": [*tasks, checked]}]
    played = play(lab, tmp_path, plays, [host.name])
    *refused, in_check_mode = played.results[host.name]
    assert [result["reason"] for result in refused] == ["not-linked"] * 9 + ["build-failed"] * 2, json.dumps(refused)
    for result in refused[: len(taken)]:
        assert "has something else at" in result["msg"]
    for result in refused[len(taken) : len(places)]:
        assert "makes no link" in result["msg"]
    assert "/root/made-man" in refused[5]["msg"]
    assert not any(result.get("built") for result in refused)
    assert "packages.x86_64-linux.none" in refused[-2]["msg"]
    assert "nixosConfigurations" not in refused[-2]["msg"]
    assert "'none of hosts.nix'" in refused[-1]["msg"]
    assert host.run(["cat", in_check_mode["toplevel"]], check=True).stdout == "errors\n"
    assert "out_link" not in in_check_mode
    assert host.run("cat /root/file; readlink /root/other; ls -A /root/taken").stdout.split() == ["mine", "/etc"]
    assert host.run("test -e /root/checked").returncode != 0
    assert host.run("readlink -f /root/system", check=True).stdout.strip() == systems(host).running
    host.run("rm -r /root/taken /root/file /root/other /root/system /root/made-man", check=True)
    forget_builds([host])
    assert remains(host) == ""
