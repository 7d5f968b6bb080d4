# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a program of a user's is checked against the types of the package, as it is installed."""

from __future__ import annotations

import subprocess
import sysconfig
import textwrap
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.environments import Environment
from tools.shell import ROOT, must, run

# One that has to be refused: types that nobody looks at would let it pass.
_WRONG = "import deploy_flake\n\nrun: int = deploy_flake.deploy(['host1'])\n"


def typed(environment: Environment, _tree: Path) -> bool:
    """The example of docs/command.md passes mypy --strict against the wheel, and a wrong program does not."""
    with TemporaryDirectory() as name:
        work = Path(name)
        build: list[str | Path] = ["hatchling", "build", "--target", "wheel", "--directory", work]
        must([environment.bin / "python", "-m", *build], cwd=ROOT)
        (wheel,) = work.glob("*.whl")
        venv.create(work / "venv", symlinks=True)
        site = sysconfig.get_path("purelib", vars={"base": str(work / "venv"), "platbase": str(work / "venv")})
        zipfile.ZipFile(wheel).extractall(site)
        (work / "right.py").write_text(_example(), "utf-8")
        (work / "wrong.py").write_text(_WRONG, "utf-8")
        mypy: list[str | Path] = [
            environment.bin / "mypy",
            "--strict",
            f"--python-executable={work / 'venv/bin/python'}",
        ]
        mypy += [f"--config-file={work / 'none'}", f"--cache-dir={work / 'cache'}"]
        (work / "none").write_text("[mypy]\n")
        right = run([*mypy, "right.py"], cwd=work)
        wrong = subprocess.run([*map(str, mypy), "wrong.py"], cwd=work, capture_output=True, check=False)
        return right and wrong.returncode == 1


def _example() -> str:
    """The part of docs/command.md that is Python."""
    section = (ROOT / "docs/command.md").read_text("utf-8").partition("\n## Python\n")[2].partition("\n## ")[0]
    lines = section.splitlines()
    code = [number for number, line in enumerate(lines) if line.startswith("    ")]
    return textwrap.dedent("\n".join(lines[code[0] : code[-1] + 1])) + "\n"
