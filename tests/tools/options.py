# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the modules' options and options.yml, so that an option is written once.

`python3 -m tools.options` says which files are out of date, `python3 -m tools.options generate` writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools import option_docs, option_package, option_role, option_survey
from tools.option_table import Table, TableError
from tools.shell import ROOT


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is made, or has a part that is, with its text."""
    table = Table()
    role = Path("roles/deploy")
    yield role / "meta/argument_specs.yml", option_role.argument_specs(table)
    yield role / "files/argument_types.json", option_role.types(table)
    yield role / "files/inner_variables.json", option_role.inner_variables()
    yield role / "defaults/main.yml", option_role.defaults(table)
    yield role / "vars/main.yml", option_role.arguments(table)
    yield Path("deploy_flake/generated_options.py"), option_package.python(table)
    yield Path("examples/survey.json"), option_survey.survey(table)
    yield Path("docs/variables.md"), option_docs.variables(table)
    command = Path("docs/command.md")
    yield command, option_docs.with_flags((ROOT / command).read_text("utf-8"), table)


def stale(write: bool) -> list[str]:
    """The files that are not what they should be; written, if so wished."""
    found = []
    for path, text in files():
        if not (ROOT / path).exists() or (ROOT / path).read_text("utf-8") != text:
            found.append(str(path))
            if write:
                (ROOT / path).parent.mkdir(exist_ok=True)
                (ROOT / path).write_text(text, "utf-8")
    return found


def main() -> int:
    write = sys.argv[1:] == ["generate"]
    try:
        found = stale(write)
    except TableError as error:
        print(error)
        return 1
    for path in found:
        print(f"{path} {'written' if write else 'is out of date: make generate'}")
    return 1 if found and not write else 0


if __name__ == "__main__":
    sys.exit(main())
