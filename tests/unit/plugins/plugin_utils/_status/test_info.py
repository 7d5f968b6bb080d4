# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is returned of a host, from what the command `info` answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit.fake_host import answered

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import RemoteFlake, find_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status import info
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.facts import OpenDeployment

A, B = "/nix/store/a", "/nix/store/b"
WELL: dict[str, Any] = {
    "root": "0",
    "now": "1000",
    "current": A,
    "booted": A,
    "boot_default": A,
    "generation": "7",
    "loader": "systemd-boot",
    "loader_default": A,
    "loader_why": "",
    "hostname": "web1",
    "kernel": "6.12.1",
    "nixos_version": "25.11",
    "configuration_revision": "f" * 40,
    "boot_default_revision": "f" * 40,
    "manager": "running",
    "generation_of": [f"7 900\n{A}\n6.12.1\n25.11\n{A}/debug debug", f"6 100\n{A}\n6.12.1\n25.11", f"5 50\n{B}\n\n"],
    "free_space_nix": "/nix 4 8",
    "ssh_host_key": ["ssh-ed25519 AAAA root@web1", "broken"],
    "deployment": [json.dumps({"id": "x", "outcome": "committed"}), "broken"],
    "open_unit": "inactive",
    "open_id": "",
}


def values(**more: Any) -> dict[str, Any]:
    return info.values(answered(WELL | more), None, None)


def states(found: dict[str, Any]) -> list[str]:
    return [one["state"] for one in found["explanations"]]


def test_a_host_that_is_whole() -> None:
    found = values()
    generations = found.pop("generations")
    assert [one["generation"] for one in generations] == [5, 6, 7]
    assert found == {
        "current_system": A,
        "specialisation": "",
        "booted_system": A,
        "boot_default": A,
        "boot_loader": "systemd-boot",
        "boot_loader_default": A,
        "generation": 7,
        "hostname": "web1",
        "kernel_version": "6.12.1",
        "nixos_version": "25.11",
        "configuration_revision": "f" * 40,
        "boot_default_revision": "f" * 40,
        # By the youngest of its generations.
        "age": 100,
        "health": "running",
        "failed_units": [],
        "reboot_required": False,
        "reboot_reasons": [],
        "deployments": [{"id": "x", "outcome": "committed"}, {}],
        "open_deployment": None,
        "trial": None,
        "explanations": [],
        "free_space": {"nix": {"path": "/nix", "free_bytes": 4096, "total_bytes": 8192}, "boot": None},
        "ssh_host_keys": [{"type": "ssh-ed25519", "key": "ssh-ed25519 AAAA"}],
        "complete": True,
        "drift": None,
    }


def test_a_host_of_which_little_is_known() -> None:
    found = info.values(answered({"root": "1000", "now": "1"}), None, None)
    assert (found["complete"], found["generation"], found["age"], found["generations"]) == (False, None, None, [])
    assert states(found) == ["no-boot-default"]
    assert found["reboot_reasons"] == []


def test_a_specialisation() -> None:
    found = values(current=f"{A}/debug")
    assert (found["specialisation"], found["age"], states(found), found["reboot_reasons"]) == ("debug", 100, [], [])
    assert states(values(loader_default=f"{A}/debug", loader_disagrees="yes", loader_why="it starts that")) == []


def test_a_boot_loader_that_does_not_agree() -> None:
    assert states(values(loader_default=B, loader_disagrees="yes", loader_why=f"it starts {B}")) == ["loader-disagrees"]
    # A system that is wrapped: the loader names the one within, and the host says that it is the same.
    assert states(values(loader_default=B)) == []
    assert states(values(loader_default="", loader_disagrees="yes", loader_why="x")) == ["loader-disagrees"]


def test_a_boot_loader_of_which_nothing_is_known() -> None:
    unknown = {"loader": "unknown", "loader_default": "", "loader_why": "/boot should be mounted, and is not"}
    found = values(**unknown)
    assert (found["boot_loader"], found["boot_loader_default"], states(found)) == ("unknown", "", ["loader-unknown"])
    assert "unknown: /boot should be mounted, and is not" in found["explanations"][0]["text"]
    # Who may not read is not told of it.
    assert states(values(**unknown, root="1000")) == []


def test_a_clock_that_was_set_back() -> None:
    assert values(now="800")["age"] == 0


@pytest.mark.parametrize(
    ("more", "reasons"),
    [
        ({"reboot_for": ["kernel", "initrd"]}, ["kernel", "initrd"]),
        ({"boot_default": B}, ["boot-default"]),
        ({"reboot_for": "kernel", "boot_default": B}, ["kernel", "boot-default"]),
        # Something is tried, which is not over.
        ({"boot_default": B, "booted": B}, []),
        ({"boot_default": B, "trial": A, "trial_outcome": "it runs"}, []),
        ({"boot_default": B, "trial": B, "trial_outcome": "it failed"}, ["boot-default"]),
        ({"boot_default": B, "current": f"{B}/x", "booted": f"{B}/x",
          "generation_of": [f"5 50\n{B}\n\n\n{B}/x x"]}, []),
    ],
)  # fmt: skip
def test_what_a_reboot_is_needed_for(more: dict[str, Any], reasons: list[str]) -> None:
    found = values(**more)
    assert (found["reboot_reasons"], found["reboot_required"]) == (reasons, bool(reasons))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"open_unit": "inactive"}, None),
        ({"open": "x", "open_state": "window", "open_unit": "active"}, OpenDeployment("x", State.WINDOW, True)),
        ({"open": "x", "open_state": "window", "open_unit": "failed"}, OpenDeployment("x", State.WINDOW, False)),
        ({"open": "x", "open_unit": "deactivating"}, OpenDeployment("x", State.INTERRUPTED, True)),
        ({"open": "x", "open_state": "of-the-future"}, OpenDeployment("x", State.UNKNOWN, False)),
        # Without root.
        ({"open_unit": "activating", "open_id": "x"}, OpenDeployment("x", State.UNKNOWN, True)),
        ({"open_unit": "inactive", "open_id": "x"}, None),
        # A removal of generations has the same name, and is no deployment.
        ({"open_unit": "active", "open_id": ""}, None),
    ],
)
def test_open_deployment(answer: dict[str, str], expected: OpenDeployment | None) -> None:
    assert OpenDeployment.read(answered(answer)) == expected


def test_what_is_open_is_returned_in_plain_strings() -> None:
    found = values(open="x", open_state="activating", trial=B, trial_in_progress="yes")
    assert found["open_deployment"] == {"deployment": "x", "state": "activating", "in_progress": False}
    assert found["trial"] == {"toplevel": B, "in_progress": True, "outcome": ""}
    assert found["open_deployment"]["state"].__class__ is str
    assert found["explanations"][0]["state"].__class__ is str
    assert values(trial=B, trial_outcome="gone")["trial"] == {"toplevel": B, "in_progress": False, "outcome": "gone"}


def test_the_last_deployment_counts() -> None:
    failed = {"id": "x", "outcome": "rollback-failed", "live": A, "boot": A, "why": "no space"}
    record = [json.dumps({}), json.dumps(failed)]
    assert states(values(deployment=record)) == ["rollback-failed"]
    assert states(values(deployment=record[::-1])) == []
    assert states(values(deployment=[json.dumps(failed | {"outcome": ["x"]})])) == []


def test_an_interrupted_removal() -> None:
    assert states(values(unfinished_removal="yes")) == ["removal-interrupted"]


def test_drift(tmp_path: Path) -> None:
    flake = RemoteFlake(f"github:a/b/{'f' * 40}")
    assert info.values(answered(WELL), flake, None)["drift"] == {
        "state": "none", "text": "no", "flake_revision": "f" * 40, "revision": "f" * 40, "why": "",
    }  # fmt: skip
    assert info.values(answered(WELL), flake, None)["drift"]["state"].__class__ is str
    recorded = {"deployment_of_current": json.dumps({"configuration": "web2"})}
    assert info.values(answered(WELL | recorded), flake, "web1")["drift"]["text"] == "configuration web2"
    assert info.values(answered(WELL | recorded), flake, "web2")["drift"]["state"] == "none"
    # The system does not know, and its record does.
    (tmp_path / "flake.nix").write_text("{ }")
    local = find_flake(f"path:{tmp_path}", Path("/"))
    assert not isinstance(local, RemoteFlake)
    with local.snapshot() as snapshot:
        recorded = {"deployment_of_current": json.dumps({"nar_hash": snapshot.nar_hash})}
    found = info.values(answered(WELL | recorded | {"configuration_revision": ""}), local, None)
    assert found["drift"]["state"] == "none"
