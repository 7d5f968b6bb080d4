# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems that another host builds: all at once for the first that comes, and each error its own host's alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from unit.building import done, failed, settings
from unit.closures import settings as closure_settings
from unit.elsewhere import DERIVATIONS, NAMES, SYSTEMS, Builder, Deployed, built
from unit.fake_host import Asked, Clock, FakeHost, Scripted
from unit.repository import commit, git

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import elsewhere
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.transfer import Sources
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import Kind

EVALUATED = {"status": "0", "value": f"{SYSTEMS['web1']} {DERIVATIONS['web1']}"}


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "time", Clock())


@pytest.fixture
def flake(tmp_path: Path) -> str:
    directory = tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    return f"path:{directory}"


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
        # All of it is kept there until the last one was brought.
        kept = [path for paths in builder.held.values() for path in paths if path in SYSTEMS.values()]
        assert sorted(kept) == ([] if name == NAMES[-1] else sorted(SYSTEMS.values()))
        assert (len(builder.held) > 0, builder.roots) == (name != NAMES[-1], set())
    assert builder.commands.count("nix_eval") == 1
    assert len(builder.builds) == 1
    assert all(f"{derivation}^out" in builder.builds[0] for derivation in DERIVATIONS.values())


def test_one_that_has_lost_what_it_built_builds_it_again(flake: str) -> None:
    """Garbage was collected there, after another process had it built."""
    builder = Builder()
    builder.gone = {SYSTEMS["web2"]}
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


def test_a_host_that_cannot_tell_what_it_has_is_no_builder_that_has_lost_it(flake: str) -> None:
    """The reason is the same word, and nothing is done twice."""
    builder, host = Builder(), Deployed("web1")
    host.instead["closure_begin"] = [{"refused": "not-valid", "message": "cannot say which paths it has"}]
    with pytest.raises(HostError, match="web1 cannot say which paths it has"):
        built(flake, host, builder)
    assert (len(builder.builds), host.commands.count("closure_begin")) == (1, 1)
    assert not [line for line in builder.told if "any more" in line]


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


def test_no_settings_name_another_word_than_a_store_path() -> None:
    """Whoever has put it there: they become words of Nix as root."""
    with pytest.raises(HostError, match="toplevel must be the store path"):
        replace(settings(toplevel=SYSTEMS["web1"]), toplevel="github:evil/flake#system")
    copied = closure_settings(paths=[SYSTEMS["web1"]], targets=["web2"])
    with pytest.raises(HostError, match="is not a store path"):
        replace(copied, wanted={"web2": (f"{SYSTEMS['web1']} --option",)})


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


@pytest.mark.parametrize("names", [NAMES, []], ids=["of the same", "each of its own"])
def test_work_is_spread_one_by_one(flake: str, names: Sequence[str]) -> None:
    """Also where nobody builds for others, or knows of them."""
    first, second = Builder(builds_all=False), Builder(builds_all=False)
    second.name = second.on_behalf_of = "build2"
    by = [
        built(flake, Deployed(name), first, second, names=names, build_together=bool(not names))["built_on"]
        for name in NAMES
    ]
    assert {*by} == {"build1", "build2"}, by


def test_nothing_is_built_for_hosts_that_have_failed(flake: str) -> None:
    """And whose share the others are stays as it was."""
    first, second = Builder(), Builder()
    second.name = second.on_behalf_of = "build2"
    assert built(flake, Deployed("web3"), first, second, failed=["web1"])["built_on"] == "build1"
    assert not [name for name in ("web1", "web2") if SYSTEMS[name] in first.builds[0]]
    assert (first.commands.count("nix_eval"), second.commands) == (0, [])


@pytest.mark.parametrize("given", [[""], [], [" "]])
def test_an_empty_list_of_builders_is_none(flake: str, given: list[str]) -> None:
    """As `-e deploy_flake_build_on=` has it, which turns off the one of an inventory."""
    assert settings(flake=flake, build_on=given).build_on == ()
    assert settings(flake=flake, build_on=["build1", " build2", *given]).build_on == ("build1", "build2")


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
        (AnsibleConnectionFailure("ssh exited 255"), "build1 has not answered for 300 s .*: ssh exited 255"),
        (AnsibleError("Missing sudo password"), "build1, which is to build for web1, cannot be asked: Missing sudo"),
    ],
)
@pytest.mark.usefixtures("no_waiting")
def test_a_builder_that_fails_is_named(flake: str, error: Exception, said: str) -> None:
    """Once it was reached, too."""
    builder, host = FakeHost([error] * 400, name="build1"), FakeHost(name="web1")
    builder.reached = True
    with pytest.raises(HostError, match=said):
        built(flake, host, builder, check_mode=True, check_builds=False)
    assert host.commands == []


def test_a_host_that_fails_is_not_its_builder(flake: str) -> None:
    builder = FakeHost([{}, EVALUATED, {}], name="build1")
    host = FakeHost([AnsibleConnectionFailure("No route to host")], name="web1")
    with pytest.raises(AnsibleConnectionFailure, match=r"^No route to host"):
        built(flake, host, builder, check_mode=True, check_builds=False)


@pytest.mark.parametrize("is_deployed", [True, False])
def test_an_attribute_goes_to_its_host_if_it_is_deployed(flake: str, is_deployed: bool) -> None:
    """What is only built stays where it was built, as an image for another machine."""
    attribute = "nixosConfigurations.web1.config.system.build.toplevel"
    builder, host = Builder(), Deployed("web1")
    result = built(flake, host, builder, is_deployed=is_deployed, attribute=attribute, out_link="/root/result")
    assert (result["toplevel"], result["built_on"]) == (SYSTEMS["web1"], "build1")
    assert host.has == ([SYSTEMS["web1"]] if is_deployed else [])
    assert "out_link" in (host if is_deployed else builder).commands
    assert "out_link" not in (builder if is_deployed else host).commands
    # The link keeps it, and the flake nobody needs any more.
    assert builder.roots == set()
    if not is_deployed:
        built(flake, host, builder, is_deployed=False, attribute=attribute)
        assert builder.roots == {SYSTEMS["web1"]}


def test_too_small_a_disk(flake: str) -> None:
    with pytest.raises(HostError, match="web1 has 0 MiB free on /nix") as caught:
        built(flake, Deployed("web1", free=0), Builder())
    assert caught.value.reason == Refusal.NO_SPACE
    # What it says can be done.
    assert "allow 'little_space' (deploy_flake_allow)" in str(caught.value)
    assert built(flake, Deployed("web1", free=0), Builder(), allow=["little_space"])["toplevel"] == SYSTEMS["web1"]


def test_check_mode_evaluates_there_too(flake: str) -> None:
    """Nothing is kept for that, neither here nor there: the host may keep the same system for its next deployment."""
    builder = FakeHost([{}, EVALUATED, {}], name="build1")
    host = FakeHost([{"missing": SYSTEMS["web1"]}], name="web1")
    result = built(flake, host, builder, check_mode=True, check_builds=False)
    assert (result["valid"], result["changed"], result["toplevel"]) == (False, True, SYSTEMS["web1"])
    assert (host.commands, builder.commands) == (["store_has"], ["copy_ask", "nix_eval", "copy_drop"])
    assert builder.asked[-1].inputs["paths"] == builder.asked[0].inputs["paths"]


def test_check_mode_gives_the_builder_what_it_cannot_fetch(flake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a deploy does."""
    lost = {"status": "1", "error": "error: unable to download 'https://example.org': Couldn't resolve host name"}
    monkeypatch.setattr(Sources, "offer_more", lambda _sources: True)
    builder, host = FakeHost([{}, lost, {}, EVALUATED, {}], name="build1"), FakeHost([{}], name="web1")
    assert built(flake, host, builder, check_mode=True, check_builds=False)["valid"]


def test_check_mode_refuses_what_leads_back(tmp_path: Path) -> None:
    """By what the host has committed, not its builder."""
    repository = tmp_path / "flake"
    repository.mkdir()
    git(repository, "init", "--quiet")
    older, newer = (commit(repository, text) for text in ("{ }", "{ a = 1; }"))
    git(repository, "checkout", "--quiet", older)
    builder, host = FakeHost([{}, EVALUATED, {}], name="build1"), FakeHost([{"committed_revision": newer}], name="web1")
    given: dict[str, Any] = {"check_builds": False, "on_older": "refuse", "flake": str(repository)}
    with pytest.raises(HostError, match=f"web1 last committed {newer}") as refused:
        built(f"path:{repository}", host, builder, check_mode=True, **given)
    assert (refused.value.reason, host.asked[0].inputs["ask_committed"]) == (Refusal.OLDER_FLAKE, "yes")
    assert builder.asked[1].inputs["ask_committed"] == "no"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_system_that_was_built_there_before(flake: str, is_there: bool) -> None:
    """A host that has it, or can fetch it, asks nobody."""
    system = SYSTEMS["web1"]
    builder, host = Builder(), Deployed("web1")
    given: dict[str, Any] = {"flake": None, "toplevel": system}
    assert built(flake, host, builder, **given)["toplevel"] == system
    assert builder.commands == []
    host.instead["build"] = [failed()]
    builder.gone = set() if is_there else {system}
    if is_there:
        result = built(flake, host, builder, **given)
        assert (result["toplevel"], result["built_on"], host.has) == (system, "build1", [system])
        assert result["changed"]
    else:
        with pytest.raises(HostError, match=r"web1 does not have (.|\n)*\nNor has it build1"):
            built(flake, host, builder, **given)
        assert builder.commands == ["store_has"]


@pytest.mark.parametrize("was_built", [True, False])
def test_a_profile_is_no_root_by_two_names(flake: str, was_built: bool) -> None:
    """On its way it is kept as a system is; then the host lets go of that, which nobody else would."""
    builder, host = Builder(), Deployed("web1")
    inputs = {"place": "it", "profile_path": "/it", "profile_user": "root", "activate": "", "first": "no"}
    host.kind = Kind("profile", inputs)
    if was_built:
        host.instead["build"] = [failed()]
    given: dict[str, Any] = {"flake": None, "toplevel": SYSTEMS["web1"]} if was_built else {}
    built(flake, host, builder, **given)
    at = host.commands.index("copy_drop")
    assert (host.commands[at - 1], host.asked[at].inputs["paths"]) == ("build", SYSTEMS["web1"])
    assert host.kind.name == "profile"


def test_a_reference_on_the_host_is_no_flake_of_the_controllers() -> None:
    with pytest.raises((HostError, FlakeError), match="build_on"):
        settings(reference="path:/nix/store/x", build_on=["build1"])


@pytest.mark.parametrize(("count", "together", "looks"), [(1, False, 0), (1, True, 1), (2, False, 1)])
def test_nobody_looks_at_all_hosts_for_one_system(flake: str, count: int, together: bool, looks: int) -> None:
    """A play may have hundreds, and a single builder of single systems has no use for what they are built of."""
    asked: list[str] = []

    def of_all() -> dict[str, bool]:
        asked.append("all")
        return dict.fromkeys(NAMES, True)

    directory = Path(flake.removeprefix("path:")).parent
    builders = [Builder(builds_all=False), Builder(builds_all=False)]
    builders[1].name = builders[1].on_behalf_of = "build2"
    by_name = {each.name: each for each in builders}
    context = BuildContext(
        False, lambda name: directory / name.replace("/", "-"), by_name.__getitem__, configurations=of_all
    )
    given = {"flake": flake, "build_on": list(by_name)[:count], "build_together": together}
    elsewhere.build(Deployed("web1"), settings(**given), context)
    assert len(asked) == looks
