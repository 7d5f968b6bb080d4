# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of the operator's own tasks: where it is, and whether Ansible can load it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from ansible.errors import AnsibleError
from ansible.playbook.helpers import load_list_of_blocks

_IMPORT: Final = {"import_tasks", "ansible.builtin.import_tasks", "ansible.legacy.import_tasks"}


class OwnTasksError(Exception):
    """There is no such file, or Ansible cannot load it."""


def find(given: str, playbook: Path, is_ours: bool) -> Path:
    """The file that is meant, as Ansible looks for it: beside the user's playbook, or in tasks/ there.

    Who runs a playbook of the collection has none of their own: it is then looked for in the current directory.
    """
    path = Path(os.path.expanduser(given))
    places = [Path.cwd()] if is_ours else [playbook, playbook / "tasks"]
    candidates = [path] if path.is_absolute() else [place / path for place in places]
    for one in candidates:
        if one.is_file():
            return one.resolve()
    looked = " or ".join(str(one) for one in candidates)
    is_directory = any(one.is_dir() for one in candidates)
    raise OwnTasksError(f"{looked} is {'a directory' if is_directory else 'not there'}; it is a file of tasks")


def load(file: str, loader: Any, task: Any, variable_manager: Any) -> None:
    """Load it as including it would, so that an unknown module or keyword is found before a host needs the file."""
    try:
        tasks = loader.load_from_file(file, trusted_as_template=True)
        if not isinstance(tasks, list) or not tasks:
            raise OwnTasksError(f"{file} has no list of tasks")
        if _imports(tasks):
            raise OwnTasksError(
                f"{file} has 'import_tasks', and Ansible does not find what a file imports that is itself included for"
                " a host; write 'include_tasks'"
            )
        known = {"role": task._role, "loader": loader, "variable_manager": variable_manager}
        load_list_of_blocks(tasks, play=task.get_play(), **known)
    except (AnsibleError, OSError, ValueError) as error:
        raise OwnTasksError(f"{file} cannot be loaded: {error}") from error


def _imports(tasks: Any) -> bool:
    """Whether some task imports others, in whatever block."""
    if not isinstance(tasks, list):
        return False
    return any(
        isinstance(one, dict)
        and (_IMPORT & one.keys() or any(map(_imports, map(one.get, ("block", "rescue", "always")))))
        for one in tasks
    )
