# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plugins have in common. It is compiled once and kept beside its source, as Python does everywhere else.

Ansible compiles what it imports from a collection anew in each process: a tenth of the time that a deploy takes which
has nothing to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType


@cache
def _finder(directory: str) -> FileFinder:
    return FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES))


class _Kept:
    """Finds what is below this package."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As Python asks for it."""
        if not name.startswith(f"{__name__}."):
            return None
        found = (_finder(directory).find_spec(name, target) for directory in path or ())
        return next((spec for spec in found if spec), None)


# Before Ansible's own. Where that is not there, as for a linter, Python keeps it anyway.
_theirs = [number for number, finder in enumerate(sys.meta_path) if type(finder).__module__.startswith("ansible.")]
for _number in _theirs[:1]:
    sys.meta_path.insert(_number, _Kept)
