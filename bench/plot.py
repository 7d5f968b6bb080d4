# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws how long a deploy takes with more and more hosts: python plot.py RESULTS PICTURE. It needs matplotlib alone."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures make the same file, and its text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "deploy-flake", "svg.fonttype": "none", "font.family": "sans-serif"})

from matplotlib import pyplot  # noqa: E402

_COLOURS = {
    "floor": "#888888",
    "playbook": "#1f6fb4",
    "command": "#d1661f",
    "deploy-rs": "#3a923a",
    "deploy-flake (Rust)": "#8a5fb0",
    "nixos-rebuild": "#8c564b",
    "colmena": "#c44e8a",
}
_BESIDE_EACH_OTHER = 2


def draw(results: Path, picture: Path) -> None:
    """One field for each kind of deploy, a line for each way to do it, with its spread."""
    measured = json.loads(results.read_text(encoding="utf-8"))
    found = measured["results"]
    # What others have in a field that is of ours alone.
    beside = measured.get("beside", {})
    kinds = list(dict.fromkeys(each["kind"] for each in found))
    names = list(dict.fromkeys(each["contender"] for each in found))
    rows = math.ceil(len(kinds) / _BESIDE_EACH_OTHER)
    figure, grid = pyplot.subplots(rows, _BESIDE_EACH_OTHER, figsize=(9, 3.4 * rows + 0.4), squeeze=False)
    fields = list(grid.flat)
    lines = {}
    for field, kind in zip(fields, kinds, strict=False):
        for name in names:
            own = {each["hosts"]: each for each in found if (each["kind"], each["contender"]) == (kind, name)}
            others = {
                each["hosts"]: each for each in found if (each["kind"], each["contender"]) == (beside.get(kind), name)
            }
            mine = [each for _hosts, each in sorted((own or others).items())]
            if not mine:
                continue
            hosts = [each["hosts"] for each in mine]
            colour = _COLOURS.get(name)
            (line,) = field.plot(hosts, [each["median"] for each in mine], "o-", markersize=4, color=colour)
            lines.setdefault(name, line)
            colour = line.get_color()
            low, high = [each["min"] for each in mine], [each["max"] for each in mine]
            field.fill_between(hosts, low, high, alpha=0.15, linewidth=0, color=colour)
        field.set_title(kind)
        field.set_xlabel("hosts")
        field.set_xticks(sorted({each["hosts"] for each in found}))
        field.set_ylim(bottom=0)
        field.set_ylabel("seconds")
        field.grid(alpha=0.3)
    for field in fields[len(kinds) :]:
        field.set_visible(False)
    figure.legend(lines.values(), lines.keys(), loc="upper center", ncols=len(lines), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(picture, metadata={"Date": None, "Creator": None})
    text = picture.read_text(encoding="utf-8")
    picture.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
