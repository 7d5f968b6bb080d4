# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How git logs in to a server: as the operator, with nothing secret among its arguments, which every user can read."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from . import git
from .credentials import Credentials

_WEB = ("http", "https")


def without_login(url: str) -> str:
    """A URL as git may have it among its arguments. The name stays in one of ssh, which knows no passwords there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    user, at, machine = parts.netloc.rpartition("@")
    if not at:
        return url
    name = user.partition(":")[0]
    keep = f"{name}@" if name and parts.scheme not in _WEB else ""
    return urlunsplit(parts._replace(netloc=f"{keep}{machine}"))


def environment(directory: Path, url: str, credentials: Credentials) -> dict[str, str]:
    """The environment in which git fetches from this URL, given to it without its login."""
    variables = git.environment(directory)
    own = subprocess.run(["git", "config", "--get", "core.sshCommand"], capture_output=True, check=False)
    if "GIT_SSH" not in variables and "GIT_SSH_COMMAND" not in variables and own.returncode != 0:
        variables["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o ConnectTimeout=30"
    try:
        parts = urlsplit(url)
    except ValueError:
        return variables
    if parts.scheme not in _WEB:
        return variables
    machine = parts.netloc.rpartition("@")[2]
    where = f"{parts.scheme}://{machine}/"
    if parts.username and parts.password is None:
        # The password is for git's own helpers to find.
        return _with_settings(variables, {f"credential.{where}.username": unquote(parts.username)})
    # A token is for a host with its port, a netrc file knows no ports.
    login = credentials.logins.get(machine) or credentials.logins.get(parts.hostname or "")
    if parts.username or parts.password:
        login = unquote(parts.username or ""), unquote(parts.password or "")
    if not login:
        return variables
    # curl knows one netrc file alone. In the environment nobody else can read it.
    basic = base64.b64encode(":".join(login).encode()).decode()
    return _with_settings(variables, {f"http.{where}.extraHeader": f"Authorization: Basic {basic}"})


def _with_settings(variables: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    count = int(variables.get("GIT_CONFIG_COUNT") or 0)
    more = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for number, (key, value) in enumerate(settings.items(), count):
        more |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**variables, **more}
