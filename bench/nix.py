# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Nix for peers on the controller: that of the hosts, so that both evaluate alike and nothing has to be installed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import Lab

_PLACE = Path("/nix")
# It is run where it lies in the hosts' image, with the libraries there. Its store is new, and nobody else sees it.
_PROGRAM = """#!/bin/sh
exec unshare --mount /bin/sh -c '
    store=$1
    shift
    mount --bind "$store" /nix && exec "$@"
' sh {store} {loader} --library-path {libraries} {nix} "$@"
"""


@contextmanager
def of_the_hosts(lab: Lab, directory: Path) -> Iterator[Path]:
    """Make the program `nix` below the directory, for a lab that is up; give where it is."""
    programs, store = directory / "bin", directory / "store"
    programs.mkdir(parents=True)
    store.mkdir()
    image = _image(lab)
    (loader,) = (image / "usr/lib").glob("*/ld-linux-*.so.*")
    words = {"store": store, "loader": loader, "libraries": loader.parent, "nix": image / "usr/bin/nix"}
    program = programs / "nix"
    program.write_text(_PROGRAM.format_map({name: shlex.quote(str(word)) for name, word in words.items()}), "utf-8")
    program.chmod(0o755)
    made = not _PLACE.exists()
    _PLACE.mkdir(exist_ok=True)
    try:
        yield programs
    finally:
        if made:
            # What somebody has put there meanwhile stays.
            with suppress(OSError):
                _PLACE.rmdir()


def _image(lab: Lab) -> Path:
    """The layer of the hosts' file systems that Nix is in."""
    layers = next(iter(lab.hosts.values())).layers()
    return next(layer for layer in layers if (layer / "usr/bin/nix").exists())
