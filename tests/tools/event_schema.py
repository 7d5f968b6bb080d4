# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of a line of `--instrumentation json`, made of the classes of events and results."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

Schema = dict[str, Any]

_NAMES: dict[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


def schema() -> Schema:
    """The whole."""
    from deploy_flake import events, result, returned

    forms = [
        _event(events.Started),
        _event(events.Entered),
        _event(events.Progress),
        _event(events.Warned),
        _event(events.Result, result.HostResult),
        _event(events.Result, result.HostStatus),
        _event(events.Ended),
    ]
    parts = [one for name, one in vars(returned).items() if typing.is_typeddict(one) and not name.startswith("_")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of deploy-flake --instrumentation json",
        "oneOf": forms,
        "$defs": {one.__name__: _with_parts(one) for one in parts},
    }


def _event(event: type, result: type | None = None) -> Schema:
    """An event; one with a result has the values of the result as its own, and its name as `host`."""
    values = {"event": {"const": vars(event)["event"]}, **_properties(event, without="result")}
    if result is not None:
        of_result = _properties(result)
        values |= {"host": of_result.pop("name"), **of_result}
    return {
        "description": inspect.getdoc(result or event),
        "type": "object",
        "properties": values,
        "required": list(values),
        "additionalProperties": False,
    }


def _properties(cls: type, without: str = "") -> dict[str, Schema]:
    hints = typing.get_type_hints(cls, include_extras=True)
    said = _docstrings(cls)
    names = [one.name for one in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else list(hints)
    found = {}
    for name in (one for one in names if one != without):
        found[name] = _of(hints[name]) | ({"description": said[name]} if name in said else {})
    return found


def _of(kind: Any) -> Schema:
    """The schema of a type. What it does not know raises KeyError."""
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return {**_of(of[0]), "format": of[1]}
    if origin in (typing.NotRequired, typing.Required):
        return _of(of[0])
    if origin in (typing.Union, types.UnionType):
        return _either([_of(one) for one in of])
    if origin in (list, tuple):
        return {"type": "array", "items": _of(of[0])}
    if origin in (dict, Mapping):
        values = _of(of[1])
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if typing.is_typeddict(kind):
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    return dict(_NAMES[kind])


def _with_parts(kind: type) -> Schema:
    """The schema of a TypedDict."""
    hints = typing.get_type_hints(kind, include_extras=True)
    required = [name for name, hint in hints.items() if typing.get_origin(hint) is not typing.NotRequired]
    about = {"description": inspect.getdoc(kind), "type": "object"}
    return {**about, "properties": _properties(kind), "required": required}


def _either(schemas: list[Schema]) -> Schema:
    """One of both; a type beside null is a list of types."""
    others = [one for one in schemas if one != _NAMES[type(None)]]
    if len(others) == 1 and len(schemas) == 2 and isinstance(others[0].get("type"), str):
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": schemas}


def _docstrings(cls: type) -> dict[str, str]:
    """What stands below each field, of the class and of those that it comes from."""
    said: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if one.__module__.startswith("deploy_flake."):
            (defined,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(defined, ast.ClassDef)
            for field, text in itertools.pairwise(defined.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    said[ast.unparse(field.target)] = " ".join(str(ast.literal_eval(text.value)).split())
    return said
