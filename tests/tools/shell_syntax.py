# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shell script is made of, by tree-sitter's grammar for bash: its commands, and the words it compares with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bash.language()))


@dataclass(frozen=True)
class Command:
    """A simple command, each word as it is written."""

    name: str
    arguments: tuple[str, ...]
    function: str
    """The one that it stands in; empty outside of all."""
    loop: tuple[str, ...]
    """What the innermost `for` around it goes through."""


@dataclass
class Script:
    """A script, and what its traps and evals say."""

    commands: list[Command] = field(default_factory=list)
    compared: list[tuple[str, str]] = field(default_factory=list)
    """What is looked at, and a word that it may be: of `case`, and of `[ … = … ]`."""
    assigned: list[tuple[str, str]] = field(default_factory=list)
    not_understood: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Script:
        script = cls()
        # The grammar does not know a descriptor that is opened for both ways.
        script._read(_PARSER.parse(text.replace("<>", ">").encode()).root_node, "", ())
        return script

    def _read(self, node: Node, function: str, loop: tuple[str, ...]) -> None:
        if (node.type == "ERROR" or node.is_missing) and not (node.parent and node.parent.type == "case_item"):
            # A bracket of a pattern may hold more than the grammar knows; the commands after it are read all the same.
            self.not_understood.append(_text(node))
        if node.type == "function_definition":
            function = _text(node.child_by_field_name("name"))
        elif node.type == "for_statement":
            loop = tuple(map(_text, node.children_by_field_name("value")))
        elif node.type == "command":
            self._command(node, function, loop)
        elif node.type == "case_statement":
            looked_at = _text(node.child_by_field_name("value"))
            items = (item for item in node.children if item.type == "case_item")
            self.compared += [(looked_at, _text(v)) for item in items for v in item.children_by_field_name("value")]
        elif node.type == "binary_expression" and _text(node.child_by_field_name("operator")) in ("=", "!="):
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            self.compared.append((_text(left), _text(right)))
        elif node.type == "variable_assignment":
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            self.assigned.append((_text(name), _text(value)))
        for child in node.children:
            self._read(child, function, loop)

    def _command(self, node: Node, function: str, loop: tuple[str, ...]) -> None:
        name = node.child_by_field_name("name")
        words = [] if name is None else [_text(name), *map(_text, node.children_by_field_name("argument"))]
        if name and any(
            each.type == "variable_assignment" and each.end_byte == name.start_byte for each in node.children
        ):
            # The grammar ends the value of `link=$profile-$number-link` too early.
            del words[0]
        if not words:
            return
        self.commands.append(Command(words[0], tuple(words[1:]), function, loop))
        if words[0] in ("trap", "eval") and len(words) > 1:
            said = words[1][1:-1].replace('\\"', '"').replace("\\$", "$")
            self._read(_PARSER.parse(said.encode()).root_node, function, loop)


def commands_named(command: Command) -> Iterator[str]:
    """The commands that another one is to run or to look for. They are programs, but for those of `each_…`."""
    words = list(command.arguments)
    if command.name in ("tool", "exec"):
        yield from words[:1]
    elif command.name in ("limited", "logged", "for_profile"):
        yield from words[1:2]
    elif command.name == "timeout":
        yield from words[3:4] if words[0] == "-k" else words[1:2]
    elif command.name == "command":
        yield from words[1:2]
    yield from (after for option, after in pairwise(words) if option == "-exec")


def _text(node: Node | None) -> str:
    return node.text.decode() if node and node.text else ""
