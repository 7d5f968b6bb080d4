# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a flake.nix says of its inputs, read without Nix.

Nix evaluates nothing there: the file is the text of one attribute set, `inputs` has literal values only, and `outputs`
is the text of a function, whose arguments are inputs as well (`parseFlake`, `forceTrivialValue` and the lexer in Nix).
Whatever goes beyond that is left to Nix: then nothing is said here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

OTHER = object()
"""A value that is no literal."""

_SPACE = re.compile(r"(?:\s|#[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
# The longest of them is the next token, as in Nix: `a:b` is a URL and `a/b` a path, where there are no spaces.
_WORDS = tuple(
    re.compile(word)
    for word in (
        r"[a-zA-Z_][a-zA-Z0-9_'-]*",
        r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?",
        r"[a-zA-Z][a-zA-Z0-9+.-]*:[a-zA-Z0-9%/?:@&=+$,\-_.!~*']+",
        r"~?[a-zA-Z0-9._+-]*(?:/[a-zA-Z0-9._+-]+)+/?",
        r"\.\.\.",
    )
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_CLOSING = {"(": ")", "[": "]", "{": "}", "${": "}", "let": "in", "with": ";", "assert": ";"}


class _Kind(Enum):
    NAME = auto()
    STRING = auto()
    MARK = auto()
    """Punctuation and operators, one character each, but `${` and `...`."""
    REST = auto()
    """Numbers, paths, and strings that have to be evaluated."""


@dataclass(frozen=True)
class _Token:
    kind: _Kind
    text: str

    def is_mark(self, mark: str) -> bool:
        return self.kind is _Kind.MARK and self.text == mark


_END = _Token(_Kind.MARK, "")


class _NotReadError(Exception):
    """Something that Nix alone can tell the meaning of."""


def declared_inputs(text: str) -> Mapping[str, Mapping[str, Any]] | None:
    """The inputs with what is said of each, `self` included if anything is said of it; None where Nix has to tell."""
    try:
        return _Parser(text).flake()
    except (_NotReadError, RecursionError):
        return None


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def flake(self) -> dict[str, dict[str, Any]]:
        self._expect("{")
        inputs: dict[str, Any] = {}
        arguments: list[str] = []
        while not self._next_is("}"):
            path = self._path()
            if path == ["outputs"]:
                arguments = self._arguments()
                self._skip_value()
            elif path[0] == "inputs":
                _put(inputs, path, self._value())
            else:
                self._skip_value()
            self._expect(";")
        self._expect("}")
        if self._peek() is not _END:
            raise _NotReadError
        found = inputs.get("inputs", {})
        if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
            raise _NotReadError
        return {**{name: {} for name in arguments if name != "self"}, **found}

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        if token is _END:
            raise _NotReadError
        self._at += 1
        return token

    def _next_is(self, mark: str) -> bool:
        return self._peek().is_mark(mark)

    def _expect(self, mark: str) -> None:
        if not self._take().is_mark(mark):
            raise _NotReadError

    def _path(self) -> list[str]:
        """An attribute path and the equals sign."""
        path = [self._attribute()]
        while not self._next_is("="):
            self._expect(".")
            path.append(self._attribute())
        self._expect("=")
        return path

    def _attribute(self) -> str:
        token = self._take()
        if token.kind not in (_Kind.NAME, _Kind.STRING) or token == _Token(_Kind.NAME, "inherit"):
            raise _NotReadError
        return token.text

    def _value(self) -> Any:
        """A literal, or what is none; the semicolon after it stays."""
        began = self._at
        token = self._take()
        value: Any = OTHER
        if token.is_mark("{"):
            value = self._attributes()
        elif token.kind is _Kind.STRING:
            value = token.text
        elif token in (_Token(_Kind.NAME, "true"), _Token(_Kind.NAME, "false")):
            value = token.text == "true"
        if not self._next_is(";"):
            self._at = began
            self._skip_value()
            return OTHER
        return value

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._next_is("}"):
            path = self._path()
            _put(found, path, self._value())
            self._expect(";")
        self._expect("}")
        return found

    def _arguments(self) -> list[str]:
        """The names in the head of a function: `{ self, nixpkgs, ... }@inputs:` in any of its forms."""
        if self._peek().kind is _Kind.NAME:
            self._take()
            if self._next_is(":"):
                return []
            self._expect("@")
        self._expect("{")
        names = []
        while not self._next_is("}"):
            token = self._take()
            if token.kind is _Kind.NAME:
                names.append(token.text)
            elif not token.is_mark("..."):
                raise _NotReadError
            if self._next_is("?"):
                self._skip(",", "}")
            if not self._next_is("}"):
                self._expect(",")
        self._expect("}")
        if self._next_is("@"):
            self._take()
            self._take()
        self._expect(":")
        return names

    def _skip_value(self) -> None:
        self._skip(";")

    def _skip(self, *until: str) -> None:
        """Leave out an expression up to one of these marks, which stays."""
        closing: list[str] = []
        while closing or not any(self._next_is(mark) for mark in until):
            token = self._take()
            if token.kind not in (_Kind.MARK, _Kind.NAME):
                continue
            if token.text == "let" and self._next_is("{"):
                raise _NotReadError
            if token.text in _CLOSING:
                closing.append(_CLOSING[token.text])
            elif closing and token.text == closing[-1]:
                closing.pop()
            elif token.text in (")", "]", "}", "in"):
                raise _NotReadError


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    """Set what a path leads to; `a.b = 1; a = { c = 2; };` is one set to Nix."""
    *above, last = path
    for name in above:
        into = into.setdefault(name, {})
        if not isinstance(into, dict):
            raise _NotReadError
    there = into.get(last)
    if isinstance(there, dict) and isinstance(value, dict):
        for name, each in value.items():
            _put(there, [name], each)
    elif last in into:
        raise _NotReadError
    else:
        into[last] = value


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        if at == len(text):
            return
        token, at = _token(text, at)
        yield token


def _token(text: str, at: int) -> tuple[_Token, int]:
    if text[at] == '"':
        return _string(text, at + 1, '"')
    if text.startswith("''", at):
        return _string(text, at + 2, "''")
    if text.startswith("${", at):
        return _Token(_Kind.MARK, "${"), at + 2
    word = max((found[0] for word in _WORDS if (found := word.match(text, at))), key=len, default="")
    if not word:
        return _Token(_Kind.MARK, text[at]), at + 1
    if word == "...":
        kind = _Kind.MARK
    elif ":" in word:
        kind = _Kind.STRING
    elif "/" in word or word[0].isdigit():
        kind = _Kind.REST
    else:
        kind = _Kind.NAME
    return _Token(kind, word), at + len(word)


def _string(text: str, at: int, quote: str) -> tuple[_Token, int]:
    """A string whose first quote was read. Of others than plain ones the end alone matters."""
    read: list[str] = []
    plain = literal = quote == '"'
    while not text.startswith(quote, at) or (not plain and text[at + 2 : at + 3] in ("$", "'", "\\")):
        if at >= len(text):
            raise _NotReadError
        if plain and text[at] == "\\":
            escaped = text[at + 1 : at + 2]
            read.append(_ESCAPES.get(escaped, escaped))
            at += 2
        elif not plain and text.startswith("''", at):
            at += 4 if text[at + 2] == "\\" else 3
        elif text.startswith("${", at):
            literal = False
            at = _after_interpolation(text, at + 2)
        else:
            # Two dollars are themselves, whatever follows.
            size = 2 if text.startswith("$$", at) else 1
            read.append(text[at : at + size])
            at += size
    return _Token(_Kind.STRING if literal else _Kind.REST, "".join(read)), at + len(quote)


def _after_interpolation(text: str, at: int) -> int:
    """Where what is between `${` and its brace ends."""
    depth = 1
    while depth:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        if at >= len(text):
            raise _NotReadError
        token, at = _token(text, at)
        if token.kind is _Kind.MARK:
            depth += {"{": 1, "${": 1, "}": -1}.get(token.text, 0)
    return at
