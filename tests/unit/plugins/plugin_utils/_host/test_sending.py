# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to a host behind a script: all of it, through Ansible's own ssh plugin, and never whole in memory."""

from __future__ import annotations

import io
import multiprocessing
import resource
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from unit.actions import options_of
from unit.repository import git

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import CopySettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.transfer import Sources
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.store_path import source_store_path
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import MARKER, HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.sending import FileData, given

LARGE = 100 << 20
MAY_GROW = 16 << 20
SCRIPT = b"a script\n"


class Action:
    """An action with a real connection plugin, and a program in place of ssh."""

    def __init__(self, kind: str, ssh: str, directory: Path) -> None:
        program = directory / "ssh"
        program.write_text(f"#!/bin/sh\ncd {directory} || exit\n{ssh}\n", encoding="utf-8")
        program.chmod(0o755)
        connection: Any = connection_loader.get(kind, PlayContext())
        direct = {"host": "192.0.2.1", "ssh_executable": str(program), "reconnection_retries": 1}
        connection.set_options(direct=direct if kind == "ssh" else {})
        self._connection = connection

    def _get_remote_user(self) -> str:
        return "admin"

    def _compute_environment_string(self) -> str:
        return ""

    def _low_level_execute_command(self, cmd: str, *, in_data: bytes) -> Mapping[str, Any]:
        code, out, error = self._connection.exec_command(cmd, in_data=in_data, sudoable=False)
        return {"rc": code, "stdout": out.decode(), "stderr": error.decode()}


# The host's shell takes its script, and says what follows.
TAKES_ALL = """
size=$(printf '%s' "$*" | sed 's/.*bs=//; s/ .*//')
head -c "$size" >/dev/null
sha256sum >sum
printf '{marker}missing\\0%s\\0' "$(cat paths 2>/dev/null)"
"""


def told(directory: Path) -> str:
    return (directory / "sum").read_text(encoding="utf-8").split()[0]


def growth_by_sending(flake: str, directory: Path) -> tuple[int, str]:
    """Bytes that this process has grown by at its peak, and the store path of what it has sent."""
    action = Action("ssh", TAKES_ALL.format(marker=MARKER.replace("\0", "\\0")), directory)
    host = Host(action, "web1")
    settings = CopySettings.from_options(options_of("flake_copy", flake=flake))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Sources(host, settings, directory / "shared") as sources:
        (directory / "paths").write_text(sources.paths, encoding="utf-8")
        sources.bring()
        paths = sources.paths
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10, paths


@pytest.mark.shell
def test_a_large_flake_is_read_out_of_git_and_sent_without_being_whole_in_memory(tmp_path: Path) -> None:
    flake = tmp_path / "flake"
    flake.mkdir()
    (flake / "flake.nix").write_text("{ outputs = _: { }; }", encoding="utf-8")
    with (flake / "large").open("wb") as file:
        file.truncate(LARGE)
    git(flake, "init", "--quiet")
    git(flake, "-c", "core.compression=1", "add", ".")
    git(flake, "commit", "--quiet", "-m", "a")
    # As Ansible does it. A process of its own has a peak of its own, too.
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as processes:
        grown, path = processes.submit(growth_by_sending, str(flake), tmp_path).result()
    assert source_store_path(bytes.fromhex(told(tmp_path))) == path
    assert grown < MAY_GROW


# The command is ssh's last word.
RUNS_HERE = 'for command; do :; done; eval "$command"'


@pytest.mark.parametrize("kind", ["ssh", "local"])
def test_all_of_a_file_follows_the_script_at_each_try(tmp_path: Path, kind: str) -> None:
    """Not from where the last try has left off; and the plugin is as before for what is sent next."""
    content = bytes(range(256)) * 3000
    (tmp_path / "file").write_bytes(content)
    connection = Action(kind, RUNS_HERE, tmp_path)._connection
    got = tmp_path / "got"
    with (tmp_path / "file").open("rb") as file:
        data = FileData(file, len(content)).after(SCRIPT)
        for _try in range(2):
            with given(connection, data) as first:
                assert (first == SCRIPT) == (kind == "ssh")
                assert connection.exec_command(f"cat >{got}", in_data=first, sudoable=False)[0] == 0
            assert got.read_bytes() == SCRIPT + content
    with given(connection, b"alone") as first:
        connection.exec_command(f"cat >{got}", in_data=first, sudoable=False)
    assert got.read_bytes() == b"alone"


def test_what_has_become_shorter_is_not_sent_as_if_it_were_whole(tmp_path: Path) -> None:
    connection = Action("ssh", RUNS_HERE, tmp_path)._connection
    data = FileData(io.BytesIO(b"short"), 6).after(SCRIPT)
    # Of the connection's errors it would be none that helps, and it would be tried again.
    with given(connection, data) as first, pytest.raises(HostError, match="shorter"):
        connection.exec_command("exec cat >got", in_data=first, sudoable=False)
    with pytest.raises(HostError, match="shorter"):
        bytes(data)
