# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flake that is named, as the playbooks take it: looked at before any host is touched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from deploy_flake.options import OptionError

_LOCAL = re.compile(r"(?:path|git\+file):(?://(?=/))?(?P<path>[^?]+)")
"""Of what is on this machine, in the form of a URL."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_REGISTRY = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*(/[a-zA-Z0-9@][a-zA-Z0-9_./@+-]*)?")


def reference(flake: str | Path, file: str | None = None) -> str:
    """A directory, or any flake reference. Raises OptionError where it can't be meant.

    A word that is the name of a directory is that directory, and not one of Nix's registry on each host. With `file`
    it is a directory that has this file, and need not be a flake.
    """
    if not isinstance(flake, str | Path):
        raise OptionError(f"flake is a directory or a flake reference, and not {flake!r}")
    given = str(flake)
    if not given or "\0" in given:
        raise OptionError("flake is empty; '.' is the current directory" if not given else "flake has a NUL in it")
    if isinstance(flake, str) and "#" in given:
        name = given.partition("#")[2]
        configuration = name.removeprefix("nixosConfigurations.") or "NAME"
        raise OptionError(
            f"{given!r}: the configuration is the destination's: --flake {given.partition('#')[0] or '.'} and"
            f" nixos://HOST/{configuration}; any other output is named with --attribute"
        )
    if isinstance(flake, str) and (match := _LOCAL.match(given)):
        _must_be_a_flake(given, Path(unquote(match["path"])), file)
        return given
    if isinstance(flake, str) and _SCHEME.match(given) and not Path(given).is_dir():
        _must_be_local(given, file)
        return given
    path, mark, query = (given, "", "") if isinstance(flake, Path) else given.partition("?")
    where = Path(os.path.expanduser(path))
    if isinstance(flake, str) and _REGISTRY.fullmatch(path) and not where.exists():
        _must_be_local(given, file)
        return given
    _must_be_a_flake(given, where, file)
    if path.startswith("~"):
        path = str(where)
    return f"{path if path.startswith(('.', '/')) else f'./{path}'}{mark}{query}"


def _must_be_local(given: str, file: str | None) -> None:
    if file:
        raise OptionError(f"{given!r} is no directory on this machine, of which alone a file can be built ({file})")


def _must_be_a_flake(given: str, path: Path, file: str | None) -> None:
    if not path.exists():
        raise OptionError(f"{given!r}: there is no directory {path}; a flake is a directory or a flake reference")
    if path.name == "flake.nix" and path.is_file() and not file:
        return
    if not path.is_dir():
        raise OptionError(f"{given!r} is a file; name the directory that has {file or 'flake.nix'}")
    # A commit may have another one.
    if file and "?" not in given and not (path / file).is_file():
        raise OptionError(f"{given!r}: there is no file {file} in {path}")
    if file:
        return
    here = path.resolve()
    inner = "?" in given and re.search(r"[?&]dir=", given)
    # As Nix, which looks further up, too.
    if not inner and not any(os.path.lexists(one / "flake.nix") for one in (here, *here.parents)):
        raise OptionError(f"{given!r}: there is no flake.nix in {here}, nor above it")
