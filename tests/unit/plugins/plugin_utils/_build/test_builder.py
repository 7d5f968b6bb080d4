# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a builder does for a whole fleet: what it keeps for how long, and what happens when it is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from unit.elsewhere import DERIVATIONS, NAMES, SYSTEMS, Builder, Deployed, built
from unit.fake_host import Asked, Clock, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import builder as module
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.turns import Turns
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

LOST = AnsibleConnectionFailure("ssh exited 255")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "time", Clock())


@pytest.fixture
def flake(tmp_path: Path) -> str:
    directory = tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    return f"path:{directory}"


@pytest.mark.parametrize("together", [True, False])
def test_nothing_stays_for_one_that_there_is_no_system_for(flake: str, together: bool) -> None:
    """Nor of a build that has failed, nor of one that was brought by itself."""
    builder = Builder(evaluates=["web1", "web3"])
    names = [*NAMES, "web4"]
    for name in ("web1", "web3"):
        built(flake, Deployed(name), builder, names=names, build_together=together)
    with pytest.raises(HostError, match="could not build"):
        built(flake, Deployed("web2"), builder, names=names, build_together=together)
    assert (builder.held, builder.roots) == ({}, set())


def test_what_is_left_out_is_kept_by_its_hold_alone(flake: str) -> None:
    """Which ends by itself: there may never be a deployment on a builder that ends."""
    builder = Builder()
    built(flake, Deployed("web1"), builder)
    with pytest.raises(HostError, match="web2 has 0 MiB"):
        built(flake, Deployed("web2", free=0), builder)
    (held,) = builder.held.values()
    assert ({*SYSTEMS.values()} <= held, builder.roots) == (True, set())


def test_a_hold_that_cannot_be_made(flake: str) -> None:
    """What was built is built, and no other host has to have it built anew."""
    builder = Builder()
    full = {"refused": "no-space", "message": "cannot write to /run"}
    builder.instead["closure_hold"] = [full] * 3
    for name in NAMES:
        assert built(flake, Deployed(name), builder)["toplevel"] == SYSTEMS[name]
    assert (len(builder.builds), builder.roots) == (1, set())
    assert [said for said in builder.warned if "cannot write to /run" in said]


@pytest.mark.parametrize("command", ["closure_hold", "copy_ask", "nix_eval", "build"])
def test_a_connection_that_is_lost_once(flake: str, command: str) -> None:
    """It fails nobody, and each system is built with the others all the same."""
    builder = Builder()
    builder.reached = True
    builder.instead[command] = [LOST]
    for name in NAMES:
        assert built(flake, Deployed(name), builder)["toplevel"] == SYSTEMS[name]
    assert (len(builder.builds), builder.held) == (1 + (command == "build"), {})


def test_a_builder_that_is_back(flake: str, tmp_path: Path) -> None:
    """What it did not answer, nobody has tried: the next one has them built together."""
    builder = Builder()
    builder.reached = True
    builder.instead["nix_eval"] = [LOST] * 400
    with pytest.raises(HostError, match=r"for web1, cannot build: build1 has not answered for 300 s.*is untouched"):
        built(flake, Deployed("web1"), builder)
    builder.instead.clear()
    with pytest.raises(HostError, match="build1, which is to build for web2, cannot build: build1 has not answered"):
        built(flake, Deployed("web2"), builder)
    (noted,) = tmp_path.glob("*why*")
    os.utime(noted, (1, 1))
    assert built(flake, Deployed("web3"), builder)["toplevel"] == SYSTEMS["web3"]
    assert (len(builder.builds), builder.builds[0].count("^out")) == (1, len(NAMES))


@pytest.mark.parametrize("lost", [AnsibleConnectionFailure("No route to host"), AnsibleError("Missing sudo password")])
def test_a_builder_that_is_down_is_tried_once(flake: str, lost: AnsibleError) -> None:
    builder = Builder()
    builder.instead["closure_hold"] = [lost] * 3
    for name in NAMES:
        host = Deployed(name)
        said = f"build1, which is to build for {name}, cannot be .*: {lost}. {name}'s system is untouched"
        with pytest.raises(HostError, match=said):
            built(flake, host, builder)
        assert (len(builder.asked), host.commands) == (1, [])


@pytest.mark.parametrize("refused", ["not-root", "no-nix"])
def test_one_that_can_build_for_nobody_is_asked_once(flake: str, refused: str) -> None:
    builder = Builder()
    builder.instead["closure_hold"] = [{"refused": refused, "message": "says no"}] * 3
    for name in NAMES:
        said = f"build1, which is to build for {name}, cannot build: build1 says no. {name}'s system is untouched"
        with pytest.raises(HostError, match=said) as caught:
            built(flake, Deployed(name), builder)
        assert (caught.value.reason, builder.commands) == (refused, ["closure_hold", "closure_end"])


def test_those_who_wait_for_their_turn_are_told_too(tmp_path: Path) -> None:
    """Each would wait for the builder anew otherwise, one after the other."""
    context = BuildContext(False, lambda name: tmp_path / name)
    builder = Builder()
    waiting = Turns(builder, Deployed("web2"), context)
    assert "build1, which is to build for web1," in str(Turns(builder, Deployed("web1"), context).failed(LOST))
    with pytest.raises(HostError, match="for web2, cannot be reached: ssh exited 255"), waiting.take("builds"):
        pytest.fail("it has a turn")


def test_it_is_noted_before_the_turn_ends(tmp_path: Path) -> None:
    context = BuildContext(False, lambda name: tmp_path / name)
    mine, next_one = (Turns(Builder(), Deployed(name), context) for name in ("web1", "web2"))
    with pytest.raises(AnsibleConnectionFailure), mine.take("builds"):
        raise LOST
    with pytest.raises(HostError, match="for web2, cannot be reached: ssh exited 255"), next_one.take("builds"):
        pytest.fail("it has a turn")


def test_a_large_fleet_is_evaluated_in_parts(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is given back after each; the build is one."""
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    builder = Builder()
    for name in NAMES:
        assert built(flake, Deployed(name), builder)["toplevel"] == SYSTEMS[name]
    assert (builder.commands.count("nix_eval"), len(builder.builds)) == (2, 1)


def test_what_was_evaluated_is_kept_until_it_is_built(flake: str) -> None:
    """Its derivations are nobody's else."""

    class Collecting(Builder):
        def answer(self, asked: Asked) -> Scripted:
            if asked.command == "build":
                (held,) = self.held.values()
                assert {*DERIVATIONS.values()} <= held
            return super().answer(asked)

    assert built(flake, Deployed("web1"), Collecting())["toplevel"] == SYSTEMS["web1"]
