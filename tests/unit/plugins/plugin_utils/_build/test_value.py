# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a function of Nix makes of a configuration, here or on another host; and what that one has built is brought."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unit.building import REFERENCE, settings
from unit.elsewhere import SYSTEMS, Builder, Deployed
from unit.fake_host import Asked, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.elsewhere import bring, evaluated
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

APPLY = "c: c.disko.devices.disk"
DISKS = {"main": "/dev/sda"}


class Evaluator(Builder):
    """It is asked for a value alone."""

    def __init__(self, **said: str) -> None:
        super().__init__()
        self._said = {"status": "0", "value": json.dumps(DISKS)} | said

    def answer(self, asked: Asked) -> Scripted:
        return self._said if asked.command == "nix_eval" else super().answer(asked)


def value(place: Path, host: FakeHost, *builders: FakeHost) -> object:
    """What comes of it on a host, or on the first one that builds for it."""
    flake = place / "flake"
    flake.mkdir()
    (flake / "flake.nix").write_text("{ }")
    by_name = {each.name: each for each in (host, *builders)}
    context = BuildContext(False, lambda name: place / f"shared-{name.replace('/', '-')}", by_name.__getitem__)
    given = {"flake": f"path:{flake}", "configuration": "web1", "build_on": [each.name for each in builders]}
    return evaluated(host, settings(**given), context, APPLY)


def test_host_evaluates_it_itself(tmp_path: Path) -> None:
    host = Evaluator()
    assert value(tmp_path, host) == DISKS
    (arguments,) = (asked.inputs["nix_arguments"] for asked in host.asked if asked.command == "nix_eval")
    assert f"--json --apply '{APPLY}'" in arguments


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (Evaluator(value="{ nix }"), Refusal.NO_ANSWER),
        (Evaluator(status="1", error="error: attribute 'disko' missing"), Refusal.EVALUATION_FAILED),
    ],
)
def test_what_cannot_be_evaluated(tmp_path: Path, host: Evaluator, reason: Refusal) -> None:
    with pytest.raises(HostError) as caught:
        value(tmp_path, host)
    assert caught.value.reason == reason


def test_another_host_evaluates_it(tmp_path: Path) -> None:
    host, builder = Deployed("web1"), Evaluator()
    assert value(tmp_path, host, builder) == DISKS
    assert host.asked == []
    # Nothing is kept there for it.
    assert not builder.roots


def test_what_another_host_has_is_brought() -> None:
    host, builder = Deployed("web1"), Builder()
    bring(host, builder, settings(reference=REFERENCE), SYSTEMS["web1"])
    assert host.has == [SYSTEMS["web1"]]
    bring(builder, builder, settings(reference=REFERENCE), SYSTEMS["web1"])
