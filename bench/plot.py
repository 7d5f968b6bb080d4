# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws how long a deploy takes with more and more hosts: python plot.py RESULTS PICTURE. It needs matplotlib alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same figures make the same file, and its text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "deploy-flake", "svg.fonttype": "none", "font.family": "sans-serif"})

from matplotlib import pyplot  # noqa: E402

_COLOURS = {"floor": "#888888", "playbook": "#1f6fb4", "command": "#d1661f"}


def draw(results: Path, picture: Path) -> None:
    """One field for each kind of deploy, a line for each way to do it, with its spread."""
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    kinds = list(dict.fromkeys(each["kind"] for each in found))
    names = list(dict.fromkeys(each["contender"] for each in found))
    figure, fields = pyplot.subplots(1, len(kinds), figsize=(4 * len(kinds), 3.6), squeeze=False)
    for field, kind in zip(fields[0], kinds, strict=True):
        for name in names:
            mine = sorted(
                (each for each in found if (each["kind"], each["contender"]) == (kind, name)), key=lambda e: e["hosts"]
            )
            hosts = [each["hosts"] for each in mine]
            colour = _COLOURS.get(name)
            field.plot(hosts, [each["median"] for each in mine], "o-", markersize=4, label=name, color=colour)
            low, high = [each["min"] for each in mine], [each["max"] for each in mine]
            field.fill_between(hosts, low, high, alpha=0.15, linewidth=0, color=colour)
        field.set_title(f"{kind} deploy")
        field.set_xlabel("hosts")
        field.set_xticks(sorted({each["hosts"] for each in found}))
        field.set_ylim(bottom=0)
        field.grid(alpha=0.3)
    fields[0][0].set_ylabel("seconds")
    fields[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None, "Creator": None})
    text = picture.read_text(encoding="utf-8")
    picture.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
