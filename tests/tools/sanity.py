# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-test sanity without a container, and with nothing from the network but packages."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tools import pythons
from tools.environments import Environment
from tools.shell import BUILD, run

# ansible-test makes virtual environments of its own, and downloads a script from its own server to put pip into them.
# It looks for that script in a cache first, and Python brings a pip that does as well.
GET_PIP = """\
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
"""


def sanity(environment: Environment, tree: Path) -> bool:
    """Every sanity test, on every Python that there is."""
    home = BUILD / "home"
    _provide_get_pip(environment, home)
    _pass_on_pip_settings(home)
    # Without --requirements nothing is installed into our environment, only into ansible-test's own.
    return run(
        [environment.bin / "ansible-test", "sanity", "--local", "--color", "no"],
        cwd=tree,
        env={"HOME": str(home), "PATH": _path(environment)},
    )


def _provide_get_pip(environment: Environment, home: Path) -> None:
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"get_pip_{_wanted_pip(environment).replace('.', '_')}.py").write_text(GET_PIP)


def _pass_on_pip_settings(home: Path) -> None:
    """ansible-test gives its pip neither the user's home nor any variable, so both come in files."""
    old, new = home / ".pip/pip.conf", home / ".config/pip/pip.conf"
    users = [path for path in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf") if path.exists()]
    variables = {name.removeprefix("PIP_").lower(): value for name, value in os.environ.items() if name[:4] == "PIP_"}
    settings = {"quiet": "1", **variables}
    for path, text in (
        (old, users[0].read_text() if users else ""),
        (new, "[global]\n" + "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in settings.items())),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _wanted_pip(environment: Environment) -> str:
    """The version of pip by which this ansible-test names its cached script."""
    program = "import ansible_test._internal as it, pathlib; print(pathlib.Path(it.__file__).parent)"
    internal = subprocess.run(
        [environment.bin / "python", "-c", program], capture_output=True, check=True, text=True
    ).stdout.strip()
    source = Path(internal, "python_requirements.py").read_text()
    match = re.search(r"pip='([0-9.]+)'", source)
    assert match, "ansible-test no longer says which pip it wants: look into its python_requirements.py"
    return match.group(1)


def _path(environment: Environment) -> str:
    """A PATH with the real interpreters: ansible-test takes a shim for one even when its Python is switched off."""
    shims = str(pythons.pyenv_root() / "shims")
    rest = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry != shims]
    interpreters = [str(interpreter.parent) for interpreter in reversed(pythons.find().values())]
    return os.pathsep.join(dict.fromkeys([str(environment.bin), *interpreters, *rest]))
