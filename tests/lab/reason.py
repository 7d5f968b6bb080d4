# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why something failed, out of what it printed: what comes last is mostly what followed from that."""

from __future__ import annotations

import re

# What says why, wherever it stands; the first one counts, since others follow from it.
_WHY = re.compile(
    r"\s*(?:"
    r"E: "  # apt, mmdebstrap
    r"|W: Failed to fetch "
    r"|dpkg(?:-\w+)?: (?:\w+ )?error"
    r"|error: \S"  # nix
    r"|.*: (?:No space left on device|Cannot allocate memory|Too many open files)"
    r")"
)
# Belongs to the line before it, as in errors of dpkg and Nix.
_CONTINUED = re.compile(r"\s+\S")
# A package's own script has said why before dpkg says that it failed.
_SCRIPT_FAILED = re.compile(r"dpkg: error processing package .* \(--configure\)")
_PROGRESS = re.compile(
    r"(?:I: |W: |Setting up |Unpacking |Preparing |Selecting |Processing triggers |Reading |Building |\(Reading |done$"
    r"|Get:|Hit:|Ign:|Fetched |Errors were encountered)"
)
# What systemd says of any unit that fails.
_SYSTEMD = re.compile(
    r".*(?:Main process exited|Control process exited|Failed with result|Failed to start |Scheduled restart"
    r"|Start request|Consumed |Deactivated successfully)|(?:Starting|Started|Stopping|Stopped) "
)
LIMIT = 400


def of_log(log: str) -> str:
    """The reason in the log of a build or an installation, on one line."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if not _WHY.match(line):
            continue
        told = [line]
        if _SCRIPT_FAILED.match(line):
            told = [*_of_script(lines[:number]), line]
        for more in lines[number + 1 :]:
            if not _CONTINUED.match(more) or _WHY.match(more):
                break
            told.append(more)
        return _one_line(told)
    left = [line for line in lines if line.strip() and not _PROGRESS.match(line)]
    return _one_line(left[-1:]) or "no message"


def _of_script(before: list[str]) -> list[str]:
    return [line for line in before[-1:] if line.strip() and not _PROGRESS.match(line)]


def of_unit(journal: str) -> str:
    """What a unit itself has said last, or else what systemd says of it."""
    lines = [line for line in journal.splitlines() if line.strip()]
    own = [line for line in lines if not _SYSTEMD.match(line)]
    failed = [line for line in lines if "process exited" in line]
    return _one_line((own or failed or lines)[-1:]) or "nothing is in its journal"


def _one_line(lines: list[str]) -> str:
    text = " ".join(" ".join(lines).split())
    return text if len(text) <= LIMIT else f"{text[: LIMIT // 4]} … {text[-LIMIT * 3 // 4 :]}"
