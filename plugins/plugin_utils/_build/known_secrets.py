# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that hold the secrets of this run of Ansible, which may well lie beside the flake."""

from __future__ import annotations

import os
from pathlib import Path

from ansible import constants, context

_SETTINGS = (
    "DEFAULT_VAULT_PASSWORD_FILE",
    "BECOME_PASSWORD_FILE",
    "CONNECTION_PASSWORD_FILE",
    "DEFAULT_PRIVATE_KEY_FILE",
)
_ARGUMENTS = ("become_password_file", "connection_password_file", "private_key_file")


def known_secrets() -> list[Path]:
    """Those that the settings of Ansible and its command line name."""
    arguments = context.CLIARGS
    named = [getattr(constants, name, None) for name in _SETTINGS]
    named += [arguments.get(name) for name in _ARGUMENTS]
    # The label of an identity is before the at sign; `prompt` is no file.
    identities = (*(arguments.get("vault_ids") or ()), *(getattr(constants, "DEFAULT_VAULT_IDENTITY_LIST", None) or ()))
    named += [str(one).rpartition("@")[2] for one in identities]
    return [path for path in (Path(os.path.expanduser(str(one))) for one in named if one) if path.is_file()]
