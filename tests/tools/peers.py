# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other tools that the benchmark measures beside ours, built below .build as their authors publish them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tools.shell import BUILD, Failed, must, say

BUILT = BUILD / "peers"
RUST = "1.85"
"""The oldest that builds all of them."""


@dataclass(frozen=True)
class Crate:
    """A tool that is a crate."""

    version: str
    programs: tuple[str, ...]


CRATES = MappingProxyType({"deploy-rs": Crate("1.0.0", ("deploy", "activate"))})
ON_THE_PATH = ("deploy-flake", "nixos-rebuild", "colmena")
"""Their authors publish no crates of these, whatever has the name."""


def wanted(said: str) -> list[str]:
    """The names in PEERS, each of which can be built."""
    names = list(dict.fromkeys(said.split()))
    for name in names:
        if name in CRATES:
            continue
        known = f"PEERS takes {', '.join(CRATES)}; {', '.join(ON_THE_PATH)} are measured where they are on the PATH"
        if name in ON_THE_PATH:
            raise Failed(f"PEERS={said!r}: its authors publish no crate of {name}. {known}.")
        raise Failed(f"PEERS={said!r}: there is no {name}. {known}.")
    return names


def build(names: Sequence[str]) -> Path | None:
    """Build those that are not there yet, each once; give the directory of their programs, if there are any."""
    if not names:
        return None
    missing = [name for name in names if not is_built(name)]
    if missing and not shutil.which("cargo"):
        # A compiler is much to find on one's machine unasked.
        raise Failed(
            f"cargo is not on the PATH, and {', '.join(missing)} is built with it. Install Rust {RUST} or newer first:"
            " Debian's package cargo where it is that new, else with rustup."
        )
    for name in missing:
        version = CRATES[name].version
        say(f"building {name} {version} from its crate, once; it takes some minutes")
        must(["cargo", "install", name, f"--version={version}", "--locked", "--force", f"--root={BUILT}"])
    return BUILT / "bin"


def is_built(name: str) -> bool:
    """Whether this version is there, whole."""
    crate = CRATES[name]
    record = BUILT / ".crates.toml"
    known = record.is_file() and f'"{name} {crate.version} (' in record.read_text(encoding="utf-8")
    return known and all((BUILT / "bin" / program).exists() for program in crate.programs)
