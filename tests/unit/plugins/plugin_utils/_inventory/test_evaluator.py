# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is asked which hosts a flake has. What real Nix says is tested on a host of the lab."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.fake_host import FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import CopySettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import CopyInputs, Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._inventory.evaluator import Evaluator

HAS_ALL: Scripted = {}
SAYS: Scripted = {"status": "0", "value": '{"nixosConfigurations": {}}', "error": ""}


class Asked:
    """A flake, and a host that answers so."""

    def __init__(self, directory: Path, *answers: Scripted, flake: str = "", known: Any = None) -> None:
        (directory / "flake.nix").write_text("{ }")
        settings = CopySettings(
            flake=flake or f"path:{directory}",
            copy_timeout=5,
            reconnect_timeout=1,
            allow=(),
            copy_inputs=CopyInputs.MISSING,
            nix_config="access-tokens = a=b",
        )
        self.remembered: list[str] = []

        def remember(key: str) -> Any:
            self.remembered.append(key)
            return known

        paths = {"evil": ["networking", 'a"${b}']}
        self.evaluator = Evaluator(settings, paths, 60, directory.with_suffix(".shared"), remember)
        self.host: Any = FakeHost(answers)


def test_it_gets_a_snapshot_and_evaluates_that(tmp_path: Path) -> None:
    asked = Asked(tmp_path, HAS_ALL, SAYS, {})
    assert asked.evaluator.on(asked.host) == {"nixosConfigurations": {}}
    assert asked.host.commands == ["copy_ask", "nix_eval", "copy_drop"]
    given = asked.host.asked[1].inputs
    assert given["nix_config"] == "access-tokens = a=b"
    arguments = shlex.split(given["nix_arguments"].replace("$$", "$"))
    assert arguments[0] == "eval"
    expression = arguments[arguments.index("--expr") + 1]
    # As a string of Nix it can do nothing.
    assert r'"{\"evil\": [\"networking\", \"a\\\"\${b}\"]}"' in expression
    assert f'getFlake "path:{given["sources"]}?narHash=' in expression
    assert asked.remembered == [asked.evaluator.key]
    assert asked.host.done()


def test_what_is_known_is_not_asked_for(tmp_path: Path) -> None:
    asked = Asked(tmp_path, known={"deploy": None})
    assert asked.evaluator.on(asked.host) == {"deploy": None}
    assert asked.host.commands == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("error: it is broken", Refusal.EVALUATION_FAILED),
        ("error: unable to download 'https://a'", Refusal.INPUT_NOT_FETCHED),
        ("", Refusal.EVALUATION_FAILED),
    ],
)
def test_what_cannot_be_evaluated(tmp_path: Path, error: str, reason: Refusal) -> None:
    asked = Asked(tmp_path, HAS_ALL, {"status": "1", "value": "", "error": error}, {})
    with pytest.raises(HostError, match="host1 could not evaluate which hosts the flake has") as caught:
        asked.evaluator.on(asked.host)
    assert caught.value.reason == reason
    assert (error or "nix eval ended with 1") in str(caught.value)
    # It keeps nothing of it.
    assert asked.host.commands[-1] == "copy_drop"


def test_an_answer_that_is_none(tmp_path: Path) -> None:
    asked = Asked(tmp_path, HAS_ALL, {"status": "0", "value": "{", "error": ""}, {})
    with pytest.raises(FlakeError, match="nothing of the flake's hosts that is known here"):
        asked.evaluator.on(asked.host)


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    gone = AnsibleConnectionFailure("timed out")
    asked = Asked(tmp_path, gone, gone)
    with pytest.raises(AnsibleConnectionFailure, match="timed out"):
        asked.evaluator.on(asked.host)


def test_a_remote_flake_that_nobody_can_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    asked = Asked(tmp_path, flake="tarball+http://127.0.0.1:1/flake.tar.gz")
    with pytest.raises(FlakeError, match="could not be fetched") as caught:
        asked.evaluator.here()
    assert "no other host is named with 'evaluate_on'" in str(caught.value)
    assert "asked to build" not in str(caught.value)
