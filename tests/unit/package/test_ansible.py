# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where ansible-playbook and the collection are found; what holds of the user's settings is in test_options.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_runner import interface

from deploy_flake import ansible, first_word
from deploy_flake.ansible import NAMESPACE, NotInstalled, our_collections, playbook_program
from deploy_flake.arguments import COMMANDS


def test_ansible_playbook_beside_the_python_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("python", "ansible-playbook"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert playbook_program() == str(tmp_path / "ansible-playbook")


def test_ansible_playbook_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ansible-playbook").touch(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none/python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert playbook_program() == str(tmp_path / "ansible-playbook")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(NotInstalled, match="install ansible-core"):
        playbook_program()


SAYS = """import gc, json, os, sys
print(json.dumps([gc.isenabled(), sys.argv, os.getcwd() in sys.path or '' in sys.path]))
"""


@pytest.mark.parametrize("first", ["#!{python}", "#!{python} -s", "#!/bin/sh", "#!{other}", ""])
def test_python_looks_for_no_garbage_while_it_loads_ansible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Only what is nothing but a script of our own Python is started in another way than by its name."""
    python, program = tmp_path / "python", tmp_path / "ansible-playbook"
    python.symlink_to(os.path.realpath(sys.executable))
    first = first.format(python=python, other=os.path.realpath(sys.executable))
    program.write_text(f"{first}\n{SAYS}")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    started = ansible.bound_playbook_program(None)[6:]
    if first != f"#!{python}":
        assert started == [str(program)]
        return
    said = subprocess.run([*started, "-i", "a b"], capture_output=True, check=True, text=True, cwd=tmp_path)
    assert json.loads(said.stdout) == [False, [str(program), "-i", "a b"], False]


def test_collection_of_the_wheel_of_the_checkout_and_of_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = our_collections(tmp_path)
    assert (linked / NAMESPACE / "nixos/roles/deploy").is_dir()
    installed = tmp_path / "installed/deploy_flake"
    monkeypatch.setattr(ansible, "_PACKAGE", installed)
    with pytest.raises(NotInstalled, match="install deploy-flake again"):
        our_collections(tmp_path / "x")
    (installed / "_collections" / NAMESPACE / "nixos").mkdir(parents=True)
    assert our_collections(tmp_path / "x") == installed / "_collections"


def test_settings_that_cannot_be_read_are_for_ansible_to_complain_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ansible.cfg"
    broken.write_text("not a section\n")
    made = ansible.environment(tmp_path, {"ANSIBLE_CONFIG": str(broken), "PATH": "/bin"})
    assert "ANSIBLE_CONFIG" not in made
    assert made["ANSIBLE_HOST_KEY_CHECKING"] == "True"


def test_operator_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers run as a user whom nobody knows: then there are no files in a home."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    assert "ANSIBLE_HOST_KEY_CHECKING" in ansible.environment(tmp_path, {"PATH": "/bin"})
    monkeypatch.setattr(first_word, "_CONFIGS", (Path("~/.ssh/config"),))
    monkeypatch.setattr(first_word, "_addresses", lambda _word: set())
    monkeypatch.setattr(first_word, "_leads_to", lambda word, _args: word)
    with pytest.raises(ValueError, match="did you mean"):
        first_word.refuse_a_command("statsu", COMMANDS)


def test_home_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has set for these holds all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "to be made"))
    assert ansible.in_place_of_home(tmp_path, {}) == {}
    places = {
        "ANSIBLE_HOME": str(tmp_path / "ansible_home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tmp_path / "ansible_ssh_control_path_dir"),
    }
    (tmp_path / "home").touch()
    for home in (str(tmp_path / "home"), "~"):
        monkeypatch.setenv("HOME", home)
        assert ansible.in_place_of_home(tmp_path, {}) == places
    (tmp_path / "ansible.cfg").write_text("[defaults]\nhome = /srv/ansible\n")
    assert list(ansible.in_place_of_home(tmp_path, {})) == ["ANSIBLE_SSH_CONTROL_PATH_DIR"]
    assert list(ansible.in_place_of_home(tmp_path, {"ANSIBLE_SSH_CONTROL_PATH_DIR": "/srv/ssh"})) == []


@pytest.mark.shell
def test_command_where_the_home_takes_no_files(tmp_path: Path) -> None:
    """Ansible itself would end before it has read anything."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {hosts: {web1: {ansible_host: 127.0.0.1, ansible_port: 1}}}")
    done = subprocess.run(
        [sys.executable, "-m", "deploy_flake", "status", "--inventory", str(inventory)],
        env={**os.environ, "HOME": "/dev/null", "PYTHONPATH": str(Path(ansible.__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Connection refused" in done.stdout + done.stderr


@pytest.mark.parametrize("theirs", [{}, {"RUNNER_OMIT_EVENTS": "true"}, {"MAX_EVENT_RES": "1"}])
def test_what_a_task_returns_arrives_however_long_it_is(
    theirs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real ansible-runner, whatever the user has set for it. Without it a fleet's table would be empty."""
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    task = {"ansible.builtin.debug": {"msg": "{{ 'x' * 800000 }}"}}
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    run = interface.run(
        private_data_dir=str(tmp_path),
        playbook=str(tmp_path / "play.json"),
        envvars=ansible.environment(our_collections(tmp_path)),
        quiet=True,
    )
    (given,) = (event["event_data"]["res"] for event in run.events if event["event"] == "runner_on_ok")
    assert len(given["msg"]) == 800000
