# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where ansible-playbook and the collection are, and the environment that ansible-playbook gets.

What the user has set for Ansible holds, but for what would make a deploy lie about how it went.
"""

from __future__ import annotations

import configparser
import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

NAMESPACE = Path("ansible_collections", "deploy_flake")
_PACKAGE = Path(__file__).resolve().parent
_START = "import gc, runpy, sys; gc.disable(); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
_DEFAULT_PATH = "~/.ansible/collections:/usr/share/ansible/collections"


class NotInstalled(Exception):
    """Something that the package needs is not there."""


def playbook_program() -> str:
    """The ansible-playbook of our own environment; pipx puts it on nobody's PATH."""
    for directory in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(directory / "ansible-playbook", os.X_OK):
            return str(directory / "ansible-playbook")
    if found := shutil.which("ansible-playbook"):
        return found
    raise NotInstalled("ansible-playbook is not there; install ansible-core beside deploy-flake")


def bound_playbook_program(directory: Path | None) -> list[str]:
    """The same, started so that it ends when this process is gone, and `directory` with it."""
    starter = _PACKAGE / "bound_to_parent.py"
    program = _without_collector(playbook_program())
    return [sys.executable, "-I", "-S", *map(str, (starter, os.getpid(), directory or "")), *program]


def _without_collector(program: str) -> list[str]:
    """Have Python look for no garbage while it loads Ansible, which takes a twentieth of a deploy that changes nothing.

    The first of our actions that is loaded switches it on. Only where the program is nothing but a script of our own
    Python: a wrapper may set what it needs.
    """
    try:
        with open(program, "rb") as script:
            first = script.readline().rstrip()
        interpreter = Path(os.fsdecode(first.removeprefix(b"#!")))
        ours = Path(sys.executable)
        if first.startswith(b"#!") and interpreter.parent == ours.parent and interpreter.samefile(ours):
            # As in a script, the current directory is no place for modules.
            return [sys.executable, "-P", "-c", _START, program]
    except OSError:
        pass
    return [program]


def our_collections(private: Path) -> Path:
    """The directory for ANSIBLE_COLLECTIONS_PATH that holds our collection: the wheel's, or a link to the checkout."""
    shipped = _PACKAGE / "_collections"
    if (shipped / NAMESPACE / "nixos").is_dir():
        return shipped
    if not (_PACKAGE.parent / "roles" / "deploy").is_dir():
        raise NotInstalled(f"the collection is missing from {_PACKAGE}; install deploy-flake again")
    linked = private / "collections"
    (linked / NAMESPACE).mkdir(parents=True)
    (linked / NAMESPACE / "nixos").symlink_to(_PACKAGE.parent)
    return linked


def environment(collections: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for ansible-playbook, beside those that the user has set."""
    environ = os.environ if environ is None else environ
    config = _config_file(environ)
    settings = _settings(config)
    # Where the user has none. Ansible warns of one that it passes over only if there is no other.
    ours = not config and not environ.get("ANSIBLE_CONFIG") and not Path("ansible.cfg").exists()
    theirs = environ.get("ANSIBLE_COLLECTIONS_PATH") or settings.collections_path or _DEFAULT_PATH
    checking = environ.get("ANSIBLE_HOST_KEY_CHECKING") or settings.get("host_key_checking") or "True"
    return {
        # What ansible-playbook starts itself may be beside it.
        "PATH": f"{Path(playbook_program()).parent}{os.pathsep}{environ.get('PATH') or os.defpath}",
        **({"ANSIBLE_CONFIG": str(_PACKAGE / "ansible.cfg")} if ours else {}),
        "ANSIBLE_COLLECTIONS_PATH": f"{collections}{os.pathsep}{theirs}",
        # ansible-runner would switch it off.
        "ANSIBLE_HOST_KEY_CHECKING": checking,
        "ANSIBLE_FORKS": environ.get("ANSIBLE_FORKS") or settings.get("forks") or "",
        # ansible-runner reads what Ansible's own display would show.
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_FORCE_COLOR": "False",
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_NO_LOG": "False",
        # And all of it: without a word it leaves out what a task returned where that is long, or where it is told to.
        "MAX_EVENT_RES": str(1 << 30),
        "RUNNER_OMIT_EVENTS": "False",
        "RUNNER_ONLY_FAILED_EVENTS": "False",
        # Nobody is there to answer: it would wait for ever. The password of sudo is asked for before, and given.
        "ANSIBLE_ASK_PASS": "False",
        "ANSIBLE_ASK_VAULT_PASS": "False",
        "ANSIBLE_BECOME_ASK_PASS": "False",
        "ANSIBLE_ENABLE_TASK_DEBUGGER": "False",
        # All of the sequence, for all hosts, in its order.
        "ANSIBLE_STRATEGY": "ansible.builtin.linear",
        "ANSIBLE_RUN_TAGS": "all",
        "ANSIBLE_SKIP_TAGS": "",
    }


def in_place_of_home(private: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables by which ansible-playbook keeps below `private` what it would keep in the user's home, where it cannot.

    In some containers the home is `/`, or the user is one whom nobody knows.
    """
    environ = os.environ if environ is None else environ
    if _can_be_made(Path(os.path.expanduser("~/.ansible"))):
        return {}
    settings = _settings(_config_file(environ))
    given = {
        "ANSIBLE_HOME": settings.get("home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": settings.get("control_path_dir", "ssh_connection"),
    }
    return {name: str(private / name.lower()) for name, theirs in given.items() if not (environ.get(name) or theirs)}


def _can_be_made(directory: Path) -> bool:
    """Whether files can be put there."""
    there = next((one for one in (directory, *directory.parents) if one.exists()), directory)
    return directory.is_absolute() and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def asks_become_password(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the user's settings say that ansible-playbook is to ask for the password of sudo."""
    environ = os.environ if environ is None else environ
    settings = _settings(_config_file(environ))
    said = environ.get("ANSIBLE_BECOME_ASK_PASS") or settings.get("become_ask_pass", "privilege_escalation")
    return said.lower() in ("1", "on", "t", "true", "y", "yes")


class _Settings:
    """The user's ansible.cfg."""

    def __init__(self, parser: configparser.RawConfigParser, directory: Path) -> None:
        self._parser = parser
        self._directory = directory

    def get(self, name: str, section: str = "defaults") -> str:
        return self._parser.get(section, name, fallback="")

    @property
    def collections_path(self) -> str:
        """With every entry absolute: relative ones are meant from where the file is."""
        given = self.get("collections_path") or self.get("collections_paths")
        entries = [entry.replace("{{CWD}}", str(Path.cwd())) for entry in given.split(os.pathsep) if entry]
        return os.pathsep.join(str(self._directory / os.path.expanduser(entry)) for entry in entries)


def _settings(path: Path | None) -> _Settings:
    """Read the user's ansible.cfg, if there is one."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    if path is None:
        return _Settings(parser, Path.cwd())
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        # Ansible will complain of it in its own words.
        parser = configparser.RawConfigParser()
    return _Settings(parser, path.parent)


def _config_file(environ: Mapping[str, str]) -> Path | None:
    """The ansible.cfg that Ansible would read."""
    return next((path for path in _candidates(environ) if os.path.isfile(path) and os.access(path, os.R_OK)), None)


def _candidates(environ: Mapping[str, str]) -> list[Path]:
    found = []
    if given := environ.get("ANSIBLE_CONFIG"):
        path = Path(os.path.expanduser(given))
        found.append(path / "ansible.cfg" if path.is_dir() else path)
    # Ansible passes over one that anybody may have put there.
    if not Path.cwd().stat().st_mode & stat.S_IWOTH:
        found.append(Path.cwd() / "ansible.cfg")
    return [*found, Path(os.path.expanduser("~/.ansible.cfg")), Path("/etc/ansible/ansible.cfg")]
