# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the text that ansible-playbook shows can tell, since Ansible has no other form for it.

It is for people, but for the word in brackets with which a step begins. All else is read from the results of tasks.
tests/unit/package/test_ansible_output.py has the real ansible-playbook show such text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum

from deploy_flake.printable import printable

BECOME_PROMPT = r"BECOME password[^\n]*: *$"
"""ansible-playbook's question for the password of sudo."""
STATED = ("verbose", "warning", "system_warning", "error")
"""The events of ansible-runner that have such text. A warning that Ansible shows in the name of a process that it has
started is `verbose` too."""


class Step(StrEnum):
    """A step of flake_deploy or profile_deploy: the word in brackets of the line with which it begins."""

    BUILD = "build"
    TEST = "test"
    BOOT = "boot"


_LABEL = re.compile(r"^\[(?:[A-Z ]*WARNING|ERROR)\]:? *")
_FROM_HOST = re.compile(rf"(?P<host>[^\s:]+): (?:\[(?P<step>{'|'.join(Step)})\] )?(?P<text>.*)")
# Said because of the signal that we have sent.
_INTERRUPTED = "User interrupted execution"


@dataclass(frozen=True)
class Line:
    """A line of what is shown."""

    text: str
    host: str | None = None
    """The host that it is about, if it names one."""
    step: Step | None = None
    """The step that begins with it."""
    warns: bool = False


def lines(kind: str, text: str, hosts: Container[str]) -> Iterator[Line]:
    """Read an event's text. A warning may have been folded; progress comes a line at a time."""
    warns = kind != "verbose" or bool(_LABEL.match(text))
    for line in [" ".join(_LABEL.sub("", text).split())] if warns else map(str.strip, text.splitlines()):
        match = _FROM_HOST.fullmatch(line)
        if match and match["host"] in hosts:
            # A warning has no step: what is in brackets belongs to it.
            said = line.removeprefix(f"{match['host']}: ") if warns else match["text"]
            step = Step(match["step"]) if match["step"] and not warns else None
            yield Line(said, match["host"], step, warns)
        elif line and line != _INTERRUPTED:
            yield Line(line, warns=warns)


def complaint(output: str) -> str:
    """What of the whole output tells a person best why ansible-playbook did not come to its end."""
    shown = [line.rstrip() for line in printable(output).splitlines() if line.strip()]
    errors = [number for number, line in enumerate(shown) if "error" in line.lower()]
    return "\n".join(shown[errors[0] :][:15] if errors else shown[-15:])
