# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The become plugin: what it starts, and for whom."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.loader import become_loader

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import helper


def plugin(**options: str) -> Any:
    found: Any = become_loader.get(helper.METHOD)
    found.set_options(var_options=options)
    return found


def test_one_command_without_arguments_is_started() -> None:
    begun = plugin()
    command = begun.build_become_command(helper.COMMAND, None)
    assert command == "sudo -n -u root /run/current-system/sw/bin/deploy-flake-host"
    assert not begun.expect_prompt()
    assert begun.check_success(b"BECOME-SUCCESS-deploy-flake-host\n")
    other = plugin(ansible_become_exe="/x/sudo", ansible_deploy_flake_helper="/a b/host")
    assert other.build_become_command(helper.COMMAND, None) == "/x/sudo -n -u root '/a b/host'"


def test_password_is_given_where_there_is_one() -> None:
    asked = plugin(ansible_become_password="secret")
    words = shlex.split(asked.build_become_command(helper.COMMAND, None))
    assert words[:3] == ["sudo", "-S", "-p"]
    assert words[4:] == ["-u", "root", "/run/current-system/sw/bin/deploy-flake-host"]
    assert asked.expect_prompt()
    assert asked.check_password_prompt(words[3].encode())
    assert "secret" not in words


@pytest.mark.parametrize("command", ["id", "/bin/sh -c id", f"{helper.COMMAND}; id", f"A=b {helper.COMMAND}"])
def test_any_other_task_fails(command: str) -> None:
    with pytest.raises(AnsibleError, match=r"modules of deploy_flake\.nixos alone, and nothing was run"):
        plugin().build_become_command(command, None)
