# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that was built elsewhere, in place of a flake: the host has it, fetches it, or says why it can't."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from integration.faulting import FEATURES, QUICK, build, is_whole, last_record
from integration.playing import DEPLOY, Played, outcomes, play, remains, systems

from lab import Host, Lab

CACHE = "/var/cache/binary-cache"


def deploy_prebuilt(lab: Lab, directory: Path, host: Host, toplevel: str, nix_config: str = "", **more: Any) -> Played:
    """The collection's own playbook, with a store path in place of a flake."""
    given = {"deploy_flake_limits": QUICK, "deploy_flake_toplevel": toplevel, "deploy_flake_nix_config": nix_config}
    return play(lab, directory, DEPLOY, [host.name], **given | more)


def test_system_that_the_host_has(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """No flake is copied or built, and garbage collection between any two steps does not take it."""
    host = whole["host1"]
    new = build(host, version="prebuilt")
    collect = tmp_path / "collect.yml"
    collect.write_text("- name: Collect garbage\n  ansible.builtin.raw: nix-store --gc\n  become: true\n", "utf-8")
    # There is no such flake.
    played = deploy_prebuilt(lab, tmp_path, host, new, deploy_flake_flake="/nowhere", deploy_flake_checks=str(collect))
    assert played.code == 0, played.output
    assert [action.rpartition(".")[2] for action in played.changed(host.name)] == ["system_test", "raw", "system_boot"]
    assert played.of(host.name, "flake_build")["toplevel"] == new
    is_whole(host, new, "committed")
    assert (last_record(host)["flake"], last_record(host)["configuration"]) == ("", "")

    # Found, and collected before the test: it was rooted.
    other = build(host, version="rooted")
    keeps = {"toplevel": other}
    plays: list[dict[str, Any]] = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": []}]
    plays[0]["tasks"] = [
        {"deploy_flake.nixos.flake_build": keeps},
        {"ansible.builtin.raw": "nix-store --gc"},
        {"deploy_flake.nixos.system_test": keeps | {"limits": QUICK}, "register": "tested"},
        {"deploy_flake.nixos.system_boot": keeps | {"deployment": "{{ tested.deployment }}"}},
        {"deploy_flake.nixos.system_test": keeps | {"limits": QUICK}},
    ]
    kept = play(lab, tmp_path, plays, [host.name])
    assert kept.code == 0, kept.output
    assert kept.of(host.name, "system_test")["state"] == "unchanged"
    is_whole(host, other, "committed")


def publish(builder: Host, toplevel: str, to: Host) -> str:
    """Put a system into a binary cache on another host, which does not have it; the key that it is signed with."""
    script = f"""
    set -e
    cd /root && rm -rf {CACHE} && mkdir -p {CACHE}
    nix {FEATURES} key generate-secret --key-name lab-1 >key
    nix {FEATURES} copy --to 'file://{CACHE}?secret-key=/root/key&compression=none' {toplevel}
    nix {FEATURES} key convert-secret-to-public <key
    """
    key = builder.run(script, check=True).stdout.strip()
    cache = to.root / CACHE.lstrip("/")
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(builder.root / CACHE.lstrip("/"), cache)
    assert to.run(f"nix-store --check-validity {toplevel}").returncode != 0
    return key


def test_system_that_the_host_fetches(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """From a substituter that only the task names; the login user is not one whom Nix trusts."""
    builder, host = whole["host1"], whole["host3"]
    # Another one each time: hosts of a lab that was up before may have it already.
    version = f"elsewhere-{os.getpid()}"
    flake = builder.root / f"var/lib/lab-flake-{version}"
    build(builder, version=version)
    installable = f"path:/var/lib/{flake.name}#nixosConfigurations.{host.name}.config.system.build.toplevel"
    new = builder.run(f"nix {FEATURES} build --no-link --print-out-paths '{installable}'", check=True).stdout.strip()
    key = publish(builder, new, host)
    before, known = systems(host), outcomes(host)

    # Without a key that the host trusts it does not take it, though it is there.
    untrusted = deploy_prebuilt(lab, tmp_path, host, new, f"substituters = file://{CACHE}")
    assert untrusted.code != 0
    failure = untrusted.of(host.name, "flake_build")
    assert failure["reason"] == "not-there"
    assert "not signed by any of the keys in 'trusted-public-keys'" in failure["msg"], failure["msg"]
    assert (systems(host), outcomes(host), remains(host)) == (before, known, "")

    config = f"substituters = file://{CACHE}\ntrusted-public-keys = {key}"
    fetched = deploy_prebuilt(lab, tmp_path, host, new, config)
    assert fetched.code == 0, fetched.output
    built = fetched.of(host.name, "flake_build")
    assert (built["changed"], built["built"]) == (True, 0)
    assert built["copied"] >= 2, built
    is_whole(host, new, "committed")


def test_system_that_is_nowhere(lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """The error says what to do, and the host is untouched."""
    host = whole["host2"]
    before, known = systems(host), outcomes(host)
    nowhere = f"/nix/store/{'0' * 32}-nixos-system"
    failed = deploy_prebuilt(lab, tmp_path, host, nowhere)
    assert failed.code != 0
    message = failed.of(host.name, "flake_build")["msg"]
    assert f"host2 does not have {nowhere}, and could not get it; its system is untouched" in message
    assert "nix copy --to ssh://" in message

    kernel = host.run(f"readlink -f {before.running}/kernel-modules").stdout.strip()
    paths = [kernel, "/etc", f"{before.running}/sw", "/nix/store/x; reboot", f"/nix/store/{'0' * 32}-x.drv"]
    tasks = [{"deploy_flake.nixos.flake_build": {"toplevel": path}, "ignore_errors": True} for path in paths]
    plays = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]
    not_a_system, *refused = play(lab, tmp_path, plays, [host.name]).results[host.name]
    assert f"{kernel} is not a NixOS system: it has no nixos-version" in not_a_system["msg"]
    assert [result["reason"] for result in refused] == ["not-a-store-path"] * 4
    assert (systems(host), outcomes(host), remains(host)) == (before, known, "")
