# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action makes of its task's arguments, before it does anything."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import HostAction, argument_spec

SYSTEM = f"/nix/store/{'0' * 32}-nixos-system-web-25.11"


def options(module: str, arguments: dict[str, Any]) -> dict[str, Any]:
    package = f"ansible_collections.deploy_flake.nixos.plugins.action.{module}"
    action: HostAction = object.__new__(import_module(package).ActionModule)
    action._task = SimpleNamespace(args=arguments)  # type: ignore[assignment]
    action._load_name = module
    return action._options()


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("flake_build", {}, "one of the following is required: flake, reference, toplevel"),
        ("flake_build", {"flake": ".", "toplevel": SYSTEM}, "mutually exclusive: flake|reference|toplevel"),
        ("flake_build", {"flake": "", "toplevel": ""}, "one of the following is required"),
        ("flake_deploy", {"flake": ".", "toplevel": SYSTEM}, "mutually exclusive: flake|toplevel"),
        ("flake_deploy", {}, "one of the following is required: flake, toplevel"),
        ("system_rollback", {"generation": 3, "toplevel": SYSTEM}, "mutually exclusive: generation|toplevel"),
        ("system_reboot", {"trial": True}, "trial is True but all of the following are missing: toplevel"),
        ("system_boot", {"toplevel": SYSTEM, "prepare": True}, "all of the following are missing: deployment"),
        ("system_generations", {}, "any of the following are missing: keep, keep_days"),
        ("system_test", {"toplevel": ""}, "missing required arguments: toplevel"),
        ("system_test", {"toplevel": SYSTEM, "limits": {"lunch": 3}}, "limits.lunch"),
        ("system_test", {"toplevel": SYSTEM, "min_free_space": {"root": 3}}, "min_free_space.root"),
        ("system_check", {"unit": ["x"]}, "unit"),
        # What a boolean means of the three, nobody has to guess.
        ("flake_deploy", {"flake": ".", "last_resort_reboot": True}, "must be one of: never, auto, always, got: True"),
        ("flake_deploy", {"flake": ".", "last_resort_reboot": "no"}, "must be one of: never, auto, always, got: no"),
    ],
)
def test_arguments_that_make_no_sense(module: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail) as raised:
        options(module, arguments)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("flake_build", {"flake": ".", "toplevel": "", "reference": None}),
        ("flake_deploy", {"flake": "", "toplevel": SYSTEM}),
        ("system_rollback", {"generation": None, "toplevel": ""}),
        ("system_generations", {"keep": 0}),
        ("system_generations", {"collect_garbage": True}),
        ("system_reboot", {}),
    ],
)
def test_what_is_empty_is_not_given(module: str, arguments: dict[str, Any]) -> None:
    found = options(module, dict(arguments))
    assert found.keys() == argument_spec(module).keys()
    assert {name: found[name] for name, value in arguments.items() if not value and value != 0} == dict.fromkeys(
        (name for name, value in arguments.items() if not value and value != 0)
    )


def test_empty_text_is_one_where_the_default_is_another() -> None:
    assert options("system_test", {"toplevel": SYSTEM, "pre_activate_script": ""})["pre_activate_script"] == ""


def test_a_string_is_a_list_without_blanks() -> None:
    found = options("flake_build", {"flake": ".", "build_on": "build1, build2,", "build_args": ""})
    assert (found["build_on"], found["build_args"]) == (["build1", "build2"], [])


def test_secrets_are_marked() -> None:
    marked = {name for name, option in argument_spec("flake_deploy").items() if option.get("no_log")}
    assert marked == {"nix_config", "secrets"}
    assert argument_spec("flake_build")["nix_config"]["no_log"] is True
