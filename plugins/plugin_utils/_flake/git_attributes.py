# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the `.gitattributes` of a tree say of its files, also where there is no git to ask. Source: gitattributes(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import nar

_NAME = b".gitattributes"
_WORD = re.compile(rb"[^\s\"]\S*|\"(?:[^\"\\]|\\.)*\"")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[bytes]
    value: str
    """ "" where the attribute is unset."""


@dataclass(frozen=True)
class Attributes:
    """One attribute of all files of a tree."""

    rules: tuple[_Rule, ...]

    @classmethod
    def of(cls, tree: nar.Node, attribute: str) -> Attributes:
        """Read all files of that name, the outermost one first."""
        rules: list[_Rule] = []
        macros: dict[bytes, str] = {}
        for directory, text in sorted(_files(tree, b""), key=lambda found: (found[0].count(b"/"), found[0])):
            for line in text.splitlines():
                words = _WORD.findall(line)
                if len(words) < 2 or words[0].startswith((b"#", b"!")):
                    continue
                value = _value(words[1:], attribute, macros)
                if value is None:
                    continue
                if words[0].startswith(b"[attr]"):
                    macros[words[0].removeprefix(b"[attr]")] = value
                elif pattern := _pattern(directory, words[0]):
                    rules.append(_Rule(pattern, value))
        return cls(tuple(rules))

    def value(self, path: bytes) -> str:
        """The attribute of a file; "" where it has none. What stands last counts."""
        return next((rule.value for rule in reversed(self.rules) if rule.pattern.fullmatch(path)), "")


def _files(tree: nar.Node, directory: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not isinstance(tree, nar.Directory):
        return
    for name, node in tree.entries.items():
        if isinstance(node, nar.Directory):
            yield from _files(node, directory + name + b"/")
        elif name == _NAME and isinstance(node, nar.RegularFile) and node.size <= _LARGEST:
            yield directory, nar.read(node)


def _value(words: list[bytes], attribute: str, macros: dict[bytes, str]) -> str | None:
    """What a line says of the attribute; None for nothing."""
    value = None
    ours = attribute.encode()
    for word in words:
        name, equals, given = word.partition(b"=")
        if name == ours:
            value = os.fsdecode(given) if equals else "set"
        elif word in (b"-" + ours, b"!" + ours):
            value = ""
        elif word in macros:
            value = macros[word]
    return value


def _pattern(directory: bytes, text: bytes) -> re.Pattern[bytes] | None:
    if text.startswith(b'"'):
        text = re.sub(rb"\\(.)", rb"\1", text[1:-1])
    # A directory has no attributes that its files would take over.
    if text.endswith(b"/"):
        return None
    anywhere = b"/" not in text
    pattern = re.sub(rb"\\(.)|/\*\*/|^\*\*/|/\*\*$|\*+|\?|\[!?\]?[^\]]*\]|.", _translated, text.removeprefix(b"/"))
    try:
        return re.compile(re.escape(directory) + (b"(?:.*/)?" if anywhere else b"") + pattern, re.DOTALL)
    except re.error:
        return None


def _translated(found: re.Match[bytes]) -> bytes:
    part = found[0]
    known = {b"/**/": b"/(?:.*/)?", b"**/": b"(?:.*/)?", b"/**": b"/.*", b"?": b"[^/]"}
    if part in known:
        return known[part]
    if part.startswith(b"*"):
        return b"[^/]*"
    if part.startswith(b"[") and len(part) > 2:
        inner = part[1:-1]
        negated = inner[:1] in (b"!", b"^")
        return b"[" + (b"^" if negated else b"") + inner[negated:].replace(b"\\", b"\\\\") + b"]"
    return re.escape(found[1] or part)
