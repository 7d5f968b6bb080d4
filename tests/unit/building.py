# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a build have in common: recorded logs, and answers of the command `build`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unit.actions import options_of
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.build import build
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext, BuildSettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer

LOGS = Path(__file__).parent / "plugins/plugin_utils/_build/build_logs"
SYSTEM = f"/nix/store/{'1' * 32}-nixos-system-host1-25.11"
DERIVATION = f"/nix/store/{'2' * 32}-nixos-system-host1-25.11.drv"
REFERENCE = f"path:/nix/store/{'3' * 32}-source?narHash=sha256-x"


def log(name: str) -> bytes:
    """A recorded log of Nix."""
    return (LOGS / f"{name}.log").read_bytes()


def said(data: bytes) -> str:
    """A log as the host answers it."""
    return base64.b64encode(data).decode()


def done(data: bytes = b"", **more: Any) -> dict[str, Any]:
    """The answer of a build that has ended well."""
    return {"log": said(data), "result": "success 0", "toplevel": SYSTEM, "derivation": DERIVATION, **more}


def failed(data: bytes = b"", result: str = "exit-code 1", **more: Any) -> dict[str, Any]:
    """The answer of one that has not."""
    return {"log": said(data), "result": result, "free": "2048", **more}


def settings(**given: Any) -> BuildSettings:
    """Those of flake_build."""
    return BuildSettings.from_options(options_of("flake_build", **given))


def built(
    host: FakeHost,
    directory: Path,
    look: Mapping[str, str] | None = None,
    check_mode: bool = False,
    needs_system: bool = True,
    **given: Any,
) -> tuple[dict[str, Any], Answer]:
    """What comes of a build with these options; of the reference above, if none says what."""
    if not {"flake", "reference", "toplevel"} & given.keys():
        given["reference"] = REFERENCE
    context = BuildContext(check_mode, lambda _name: directory / "shared", needs_system=needs_system)
    return build(host, settings(**given), context, look)
