# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems that another host builds: all at once for the first that comes, and each error its own host's alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from unit.building import done, failed, settings
from unit.closures import Source, Target
from unit.fake_host import Asked, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.elsewhere import build
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

NAMES = ("web1", "web2", "web3")
SYSTEMS = {name: f"/nix/store/{name[-1] * 32}-nixos-system-{name}" for name in NAMES}
DERIVATIONS = {name: f"{system}.drv" for name, system in SYSTEMS.items()}


class Builder(Source):
    """A host that evaluates and builds these configurations, and has what it builds."""

    def __init__(self, evaluates: Sequence[str] = NAMES, builds_all: bool = True) -> None:
        super().__init__(dict.fromkeys(SYSTEMS.values(), 100), {system: [system] for system in SYSTEMS.values()})
        self._evaluates = evaluates
        self._builds_all = builds_all

    def answer(self, asked: Asked) -> Scripted:
        arguments = asked.inputs.get("nix_arguments", "")
        match asked.command:
            case "nix_eval":
                found = {
                    name: {"success": name in self._evaluates, "value": [SYSTEMS[name], DERIVATIONS[name]]}
                    for name in NAMES
                    if name in arguments
                }
                return {"status": "0", "value": json.dumps(found)}
            case "build" if "^out" in arguments:
                return done() if self._builds_all else failed()
            case "build":
                (name,) = [name for name in NAMES if name in arguments]
                return (
                    done(toplevel=SYSTEMS[name], derivation=DERIVATIONS[name]) if name in self._evaluates else failed()
                )
        return super().answer(asked)

    @property
    def builds(self) -> list[str]:
        """What `nix build` was asked for."""
        return [asked.inputs["nix_arguments"] for asked in self.asked if asked.command == "build"]


class Deployed(Target):
    """A host that gets a system, and looks at it."""

    def answer(self, asked: Asked) -> Scripted:
        if asked.command == "build":
            return done(toplevel=SYSTEMS[self.name], derivation="")
        return super().answer(asked)


@pytest.fixture
def flake(tmp_path: Path) -> str:
    directory = tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    return f"path:{directory}"


def built(
    flake: str,
    host: FakeHost,
    *builders: FakeHost,
    check_mode: bool = False,
    names: Sequence[str] = NAMES,
    needs_system: bool = True,
    **given: Any,
) -> Mapping[str, Any]:
    """The return values of one host's task."""
    given = {"flake": flake, "build_on": [each.name for each in builders], "build_together": True} | given
    directory = Path(flake.removeprefix("path:")).parent
    by_name = {each.name: each for each in (host, *builders)}

    def shared(name: str) -> Path:
        return directory / f"shared-{name.replace('/', '-')}"

    context = BuildContext(check_mode, shared, by_name.__getitem__, lambda: names, needs_system)
    result, _answer = build(host, settings(**given), context, None)
    return result


def test_all_are_built_at_once_and_each_gets_its_own(flake: str) -> None:
    builder = Builder()
    for name in NAMES:
        host = Deployed(name)
        result = built(flake, host, builder)
        assert (result["toplevel"], result["built_on"], result["configuration"]) == (SYSTEMS[name], "build1", name)
        assert (result["flake"], result["changed"]) == (flake, True)
        assert host.has == [SYSTEMS[name]]
        # Nothing of the flake goes to it, and nothing is built there.
        assert "copy_ask" not in host.commands
        arguments = [asked.inputs["nix_arguments"] for asked in host.asked if asked.command == "build"]
        assert arguments[0].endswith(SYSTEMS[name])
    assert builder.commands.count("nix_eval") == 1
    assert len(builder.builds) == 1
    assert all(f"{derivation}^out" in builder.builds[0] for derivation in DERIVATIONS.values())
    # Nothing is kept there that was brought to its host.
    dropped = [asked.inputs["paths"] for asked in builder.asked if asked.command == "copy_drop"]
    assert set(SYSTEMS.values()) <= set(dropped)
    (held,) = [asked.inputs for asked in builder.asked if asked.command == "closure_hold"]
    assert held["paths"].split() == list(SYSTEMS.values())
    # As the very last thing.
    assert (builder.commands[-1], builder.asked[-1].inputs["id"]) == ("closure_end", held["id"])
    assert len([asked for asked in builder.asked if asked.inputs.get("id") == held["id"]]) == 2


def test_one_that_has_lost_what_it_built_builds_it_again(flake: str) -> None:
    """Garbage was collected there, after another process had it built."""
    builder = Builder()
    built(flake, Deployed("web1"), builder)
    gone = {"refused": "not-valid", "message": f"does not have {SYSTEMS['web2']}"}
    builder.instead["closure_ask"] = [gone]
    host = Deployed("web2")
    assert built(flake, host, builder)["toplevel"] == SYSTEMS["web2"]
    assert len(builder.builds) == 2
    assert host.has == [SYSTEMS["web2"]]
    # Not for ever.
    builder.instead["closure_ask"] = [gone] * 2
    with pytest.raises(HostError, match="does not have") as refused:
        built(flake, Deployed("web2"), builder)
    assert refused.value.reason == Refusal.NOT_VALID


def test_one_that_cannot_be_evaluated_fails_alone(flake: str) -> None:
    builder = Builder(evaluates=["web1", "web3"])
    assert built(flake, Deployed("web1"), builder)["toplevel"] == SYSTEMS["web1"]
    with pytest.raises(HostError, match="build1 could not build 'web2'") as caught:
        built(flake, Deployed("web2"), builder)
    assert caught.value.reason == Refusal.BUILD_FAILED
    assert built(flake, Deployed("web3"), builder)["toplevel"] == SYSTEMS["web3"]
    assert builder.commands.count("nix_eval") == 1


def test_one_that_cannot_be_built_fails_alone(flake: str) -> None:
    """And the others are built by themselves."""
    builder = Builder(builds_all=False)
    for name in NAMES:
        assert built(flake, Deployed(name), builder)["toplevel"] == SYSTEMS[name]
    assert len(builder.builds) == 1 + len(NAMES)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "lie",
    [
        "github:evil/flake#system",
        f"{SYSTEMS['web1']} --option plugin-files /tmp/evil.so",
        f"{SYSTEMS['web1']}\n/nix/store/x",
        DERIVATIONS["web1"],
    ],
)
def test_a_builder_that_names_no_system(flake: str, lie: str, together: bool) -> None:
    """Root on the host would have Nix evaluate and build it, whoever has signed what."""

    class Liar(Builder):
        def answer(self, asked: Asked) -> Scripted:
            match asked.command:
                case "nix_eval":
                    return {"status": "0", "value": json.dumps({"web1": {"success": True, "value": [lie, lie]}})}
                case "build":
                    return done(toplevel=lie, derivation=DERIVATIONS["web1"])
                case "closure_ask":
                    return {"paths": SYSTEMS["web1"], "sizes": "100", "group": "0"}
            return super().answer(asked)

    host = Deployed("web1", has=[SYSTEMS["web1"]])
    with pytest.raises(HostError, match="store path"):
        built(flake, host, Liar(), build_together=together, check_signatures=True)
    assert host.commands == []


@pytest.mark.parametrize(
    "said", ["", "{", '{"web1": 1}', '{"web1": {"success": true}}', '{"web1": {"success": true, "value": [1]}}']
)
def test_a_builder_whose_words_are_not_understood(flake: str, said: str) -> None:
    """Each is built by itself, as where they cannot be evaluated together."""
    builder, host = Builder(), Deployed("web1")
    builder.instead["nix_eval"] = [{"status": "0", "value": said}]
    assert built(flake, host, builder)["toplevel"] == SYSTEMS["web1"]
    assert len(builder.builds) == 1
    assert [line for line in builder.told if "could not evaluate all of them at once" in line]


@pytest.mark.parametrize("other", ["flake", "build_args", "nix_config"])
@pytest.mark.parametrize("together", [True, False])
def test_the_same_name_in_two_builds_is_two_systems(flake: str, tmp_path: Path, other: str, together: bool) -> None:
    """Nobody gets what was built of another one's flake, or with another one's arguments."""
    directory = tmp_path / "another"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ description = ''another''; }")
    theirs = f"path:{directory}" if other == "flake" else flake
    given: dict[str, Any] = {"build_together": together, "configuration": "web1"}
    if other != "flake":
        given[other] = {"build_args": ["--impure"], "nix_config": "cores = 1"}[other]
    builder = Builder(builds_all=together)
    built(flake, Deployed("web1"), builder, build_together=together)
    begun = len(builder.builds)
    built(flake, Deployed("web2"), builder, configuration="web1", build_together=together)
    assert len(builder.builds) == begun
    result = built(theirs, Deployed("web1"), builder, **given)
    assert len(builder.builds) > begun
    assert result["flake"] == theirs


def test_work_is_spread(flake: str) -> None:
    first, second = Builder(), Builder()
    second.name = second.on_behalf_of = "build2"
    for name in NAMES:
        built(flake, Deployed(name), first, second)
    assert len(first.builds) == 1
    assert [name for name in NAMES if DERIVATIONS[name] in first.builds[0]] == ["web1", "web3"]
    # Its only one.
    assert [name for name in NAMES if name in second.builds[0]] == ["web2"]


def test_a_host_that_builds_for_itself_copies_nothing(flake: str) -> None:
    class Both(Builder):
        def answer(self, asked: Asked) -> Scripted:
            if asked.command == "build" and asked.inputs["nix_arguments"].endswith(SYSTEMS["web1"]):
                return done(toplevel=SYSTEMS["web1"], derivation="")
            return super().answer(asked)

    host = Both()
    host.name = host.on_behalf_of = "web1"
    assert built(flake, host, host)["toplevel"] == SYSTEMS["web1"]
    assert not {"closure_ask", "closure_begin", "copy_drop"} & set(host.commands)


def test_nobody_can_reach_the_builder(flake: str) -> None:
    """That is no unreachable host of the play."""
    builder, host = FakeHost([AnsibleConnectionFailure("No route to host")], name="build1"), FakeHost(name="web1")
    with pytest.raises(HostError, match="build1, which is to build for web1, cannot be reached: No route") as caught:
        built(flake, host, builder, build_together=False)
    assert caught.value.reason == Refusal.LOST
    assert host.commands == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AnsibleConnectionFailure("ssh exited 255"), "build1, which is to build for web1, was lost: ssh exited 255"),
        (AnsibleError("Missing sudo password"), "build1, which is to build for web1, cannot be asked: Missing sudo"),
    ],
)
def test_a_builder_that_fails_is_named(flake: str, error: Exception, said: str) -> None:
    """Once it was reached, too."""
    builder, host = FakeHost([error] * 9, name="build1"), FakeHost(name="web1")
    builder.reached = True
    with pytest.raises(HostError, match=said):
        built(flake, host, builder, check_mode=True, check_builds=False)
    assert host.commands == []


def test_a_host_that_fails_is_not_its_builder(flake: str) -> None:
    found = {"status": "0", "value": f"{SYSTEMS['web1']} {DERIVATIONS['web1']}"}
    builder = FakeHost([{}, found], name="build1")
    host = FakeHost([AnsibleConnectionFailure("No route to host")], name="web1")
    with pytest.raises(AnsibleConnectionFailure, match=r"^No route to host"):
        built(flake, host, builder, check_mode=True, check_builds=False)


@pytest.mark.parametrize("needs_system", [True, False])
def test_an_attribute_goes_to_its_host_if_it_is_deployed(flake: str, needs_system: bool) -> None:
    """What is only built stays where it was built, as an image for another machine."""
    attribute = "nixosConfigurations.web1.config.system.build.toplevel"
    builder, host = Builder(), Deployed("web1")
    result = built(flake, host, builder, needs_system=needs_system, attribute=attribute, out_link="/root/result")
    assert (result["toplevel"], result["built_on"]) == (SYSTEMS["web1"], "build1")
    assert host.has == ([SYSTEMS["web1"]] if needs_system else [])
    assert "out_link" in (host if needs_system else builder).commands
    assert "out_link" not in (builder if needs_system else host).commands


def test_too_small_a_disk(flake: str) -> None:
    with pytest.raises(HostError, match="web1 has 0 MiB free on /nix") as caught:
        built(flake, Deployed("web1", free=0), Builder())
    assert caught.value.reason == Refusal.NO_SPACE


def test_check_mode_evaluates_there_too(flake: str) -> None:
    found = {"status": "0", "value": f"{SYSTEMS['web1']} {DERIVATIONS['web1']}"}
    builder, host = FakeHost([{}, found], name="build1"), FakeHost([{"missing": SYSTEMS["web1"]}, {}], name="web1")
    result = built(flake, host, builder, check_mode=True, check_builds=False)
    assert (result["valid"], result["changed"], result["toplevel"]) == (False, True, SYSTEMS["web1"])
    assert host.commands == ["copy_ask", "copy_drop"]


def test_a_reference_on_the_host_is_no_flake_of_the_controllers() -> None:
    with pytest.raises((HostError, FlakeError), match="build_on"):
        settings(reference="path:/nix/store/x", build_on=["build1"])
