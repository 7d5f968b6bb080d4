# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles that are no NixOS system, from the options of a task."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import State
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import messages
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.profile import Profile, profiles_from
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError


def profile(kind: str, **options: Any) -> Profile:
    given: dict[str, Any] = dict.fromkeys(("profile", "user", "activate", "configuration", "toplevel"))
    given |= {"first": False, "expected_generation": None, "attribute": "packages.x" if kind == "profile" else None}
    return Profile.from_options({"kind": kind, **given, **options})


def test_what_a_kind_says_by_itself() -> None:
    manager = profile("system-manager")
    assert manager.path == "/nix/var/nix/profiles/system-manager-profiles/system-manager"
    assert (manager.user, manager.attribute_for("web1")) == ("root", 'systemConfigs."web1"')
    home = profile("home-manager", user="alice")
    assert home.path == "~/.local/state/nix/profiles/home-manager"
    assert home.attribute_for("web1") == 'homeConfigurations."alice@web1".activationPackage'
    other = profile("profile", profile="/nix/var/nix/profiles/site", user="web", activate="bin/it", first=True)
    assert other.attribute_for("web1") == "packages.x"
    assert profile("system-manager", attribute="a.b").attribute_for("web1") == "a.b"
    assert profile("system-manager", configuration="web").attribute_for("web1") == 'systemConfigs."web"'
    named = profile("home-manager", user="alice", configuration="al").attribute_for("web1")
    assert named == 'homeConfigurations."al".activationPackage'
    assert other.on_host.name == "profile"
    assert {name: other.on_host.inputs[name] for name in ("profile_user", "activate", "first")} == {
        "profile_user": "web",
        "activate": "bin/it",
        "first": "yes",
    }


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("profile", {}, "name it with profile"),
        ("profile", {"profile": "relative"}, "from / on or from ~/ on"),
        ("profile", {"profile": "/a/../b"}, "from / on or from ~/ on"),
        ("profile", {"profile": "/a\nb"}, "from / on or from ~/ on"),
        ("profile", {"profile": "/nix/var/nix/profiles/system"}, "flake_deploy"),
        ("profile", {"profile": "/a", "user": "a b"}, "name of a user"),
        ("profile", {"profile": "/a", "user": "--help"}, "name of a user"),
        ("profile", {"profile": "/a", "activate": "/bin/sh"}, "path of a program in what was built"),
        ("profile", {"profile": "/a", "activate": "../x"}, "path of a program in what was built"),
        ("home-manager", {}, "name it with user"),
        ("home-manager", {"user": "a", "activate": "x"}, "has a program of its own"),
        ("system-manager", {"user": "alice"}, "is root's"),
        ("profile", {"profile": "/a", "attribute": None}, "nobody knows which output"),
        ("system-manager", {"toplevel": "/nix/store/x", "attribute": "a"}, "and not both"),
        ("system-manager", {"configuration": "x", "attribute": "a"}, "and not both"),
        ("system-manager", {"expected_generation": "/etc"}, "expected_generation must be"),
    ],
)
def test_what_cannot_be_meant(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HostError, match=said):
        profile(kind, **options)


def test_no_two_profiles_have_the_same_place_or_name() -> None:
    every = [
        profile("system-manager"),
        profile("system-manager", profile="/other"),
        profile("home-manager", user="alice"),
        profile("home-manager", user="bob"),
        profile("profile", profile="~/p", user="alice"),
        profile("profile", profile="~/p", user="bob"),
        profile("profile", profile="/a/system-manager"),
        profile("profile", profile="/b/system-manager"),
        profile("profile", profile="/a/$(reboot)"),
    ]
    places = {each.on_host.inputs["place"] for each in every}
    assert len(places) == len({str(each) for each in every}) == len(every)
    assert all(place.replace("-", "").isalnum() for place in places)


def test_a_failure_names_no_boot_default() -> None:
    kind = profile("system-manager").on_host
    record = {"live": "/nix/store/a", "boot": "/nix/store/a", "why": "x", "phase": "window", "log": "y"}
    for state in frozenset(State) - {State.UNTIL_REBOOT}:
        said = messages.failure("web1", "id", state, record, kind)
        assert "boot default" not in said and "switch-to-configuration" not in said, said
        assert f"/var/lib/deploy-flake-{kind.inputs['place']}/deployments.jsonl" in said


@pytest.mark.parametrize(
    ("outcome", "said"), [(State.COMMIT_FAILED, "What is active is not known"), (State.ROLLED_BACK, "Nothing of")]
)
def test_what_is_active_where_nothing_is_known(outcome: State, said: str) -> None:
    record = {"outcome": outcome, "live": "", "boot": "/nix/store/a"}
    assert said in messages.failure("web1", "the-id", outcome, record, profile("system-manager").on_host)


def test_one_profile_of_two_users() -> None:
    given = dict.fromkeys(("user", "configuration", "toplevel", "expected_generation", "activate"))
    one = {**given, "kind": "profile", "profile": "/nix/var/nix/profiles/a", "attribute": "a", "first": False}
    its = [{**one, "user": "alice"}, {**one, "user": "bob"}]
    with pytest.raises(HostError, match="several users"):
        profiles_from({"profiles": its, "flake": "."})
    assert len(profiles_from({"profiles": [{**each, "profile": "~/a"} for each in its], "flake": "."})) == 2
