# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make picture`: docs/deploy-flake.svg, the command's live table as it deploys to three hosts of the lab."""

from __future__ import annotations

import shutil

from tools import environments
from tools.demo import LAB
from tools.shell import BUILD, ROOT, Failed, output, run, say

PICTURE = ROOT / "docs" / "deploy-flake.svg"

# Run with the environment of the tests: this program itself needs nothing but Python's own library.
_DRAW = r"""
import io, re, sys, threading
from rich.console import Console
import deploy_flake
from deploy_flake.table import Table

inventory, flake, picture = sys.argv[1:]
console = Console(record=True, width=100, height=20, file=io.StringIO(), force_terminal=True, color_system="truecolor")
table = Table(console)
options = deploy_flake.RunOptions(inventory=[inventory], limit="host1,host2,host3")
console.print("$ deploy-flake --inventory hosts.yml --flake .\n", highlight=False)
drawn = threading.Event()

def show(event):
    table.show(event)
    # One look while they are at it: each host says something else.
    if not drawn.is_set() and len(set(filter(None, table._saying.values()))) == 3:
        drawn.set()
        console.print(table._live_view(), "\n[dim]…[/]\n")

run = deploy_flake.deploy(flake=flake, run=options, on_event=show, wait=False)
table._run = run
run.wait()
table.finish(run)
if run.exit_code:
    sys.exit(console.export_text())
svg = console.export_svg(title="deploy-flake")
# A picture loads nothing from elsewhere.
svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
open(picture, "w", encoding="utf-8").write("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
"""


def picture() -> list[str]:
    """Draw it again."""
    environment = environments.for_tests(environments.newest())
    say("three hosts, as new")
    if not (run([LAB, "down"]) and run([LAB, "up", "3"])):
        raise Failed("The lab did not start.")
    flake = BUILD / "picture-flake"
    shutil.rmtree(flake, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "flake", flake)
    inventory = output([LAB, "inventory"]).strip()
    # As a directory: git, which the tree may be a work tree of, ignores the place.
    reference = f"path:{flake}"
    env = {"PATH": environment.path_variable(), "PYTHONPATH": str(ROOT)}
    if not run([environment.bin / "python", "-c", _DRAW, inventory, reference, PICTURE], env=env):
        return ["the deploy that is to be drawn"]
    say(f"drawn: {PICTURE.relative_to(ROOT)}")
    return []
