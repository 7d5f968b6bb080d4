# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flake references and installables as text.

Sources: "Flake references" in the Nix manual (nix3-flake), and for what the command line makes of them
`parseFlakeRefWithFragment`, `parseAttrPath` and `ExtendedOutputsSpec::parse` in Nix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

SYSTEM = "config.system.build.toplevel"
"""What a NixOS configuration has its system under."""
_NAME = r"""(?:[a-zA-Z0-9_][a-zA-Z0-9_'+-]*|"[^"^\0\n]+")"""
_ATTRIBUTE = re.compile(rf"{_NAME}(?:\.{_NAME})*")


class FlakeError(Exception):
    """Something is wrong with a flake or a reference to one; the message says what, and how to mend it."""


def add_parameters(reference: str, parameters: Mapping[str, str]) -> str:
    """A reference with more parameters in its query, percent-encoded."""
    query = "&".join(f"{quote(key, safe='')}={quote(os.fsencode(value), safe='')}" for key, value in parameters.items())
    if not query:
        return reference
    return f"{reference}{'&' if '?' in reference else '?'}{query}"


def split_query(reference: str) -> tuple[str, dict[str, str]]:
    """Split a reference into its path and its parameters, which are percent-decoded; a plus sign is itself."""
    path, _mark, query = reference.partition("?")
    parameters = (parameter.partition("=") for parameter in query.split("&") if parameter)
    return path, {_decode(name): _decode(value) for name, _equals, value in parameters}


def decode_path(path: str, reference: str) -> str:
    """Decode the path of a URL, without the empty host that may stand before it."""
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host or not slash:
            raise FlakeError(
                f"the flake reference {reference!r} has a host in it; after '//' an absolute path must follow, as in"
                " 'git+file:///etc/nixos'"
            )
        path = slash + rest
    path = _decode(path)
    if "\0" in path:
        raise FlakeError(f"the flake reference {reference!r} has a NUL character in it")
    return path


def configurations(reference: str) -> str:
    """The installable of all of a flake's configurations."""
    return output(reference, "nixosConfigurations")


def toplevel(reference: str, configuration: str) -> str:
    """The installable of the system that a configuration describes."""
    return output(reference, system_of(configuration))


def system_of(configuration: str) -> str:
    """The attribute path of the system that a configuration describes."""
    return f"nixosConfigurations.{_attribute(configuration)}.{SYSTEM}"


def output(reference: str, attribute: str) -> str:
    """The installable of any output of a flake."""
    return _installable(reference, attribute)


def nix_string(text: str) -> str:
    """A text as a string in an expression of Nix."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def is_attribute_path(text: str) -> bool:
    """Whether it is names with dots between them, as Nix's command line takes them.

    Others go into quotes. Neither an option of Nix nor names of outputs (`^`) can be meant by it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _ATTRIBUTE.fullmatch(text) is not None


def attribute_names(path: str) -> list[str]:
    """The names of an attribute path (`is_attribute_path`), without their quotes."""
    return [name.strip('"') for name in re.findall(_NAME, path)]


def _installable(reference: str, attributes: str) -> str:
    if "#" in reference:
        raise FlakeError(f"the flake reference {reference!r} must not have a part after '#'")
    # All but letters, digits and -._~ is encoded. Quotes and '^' need it most: Nix takes what follows
    # the last '^' of an installable for names of outputs.
    return f"{reference}#{quote(attributes, safe='')}"


def _attribute(name: str) -> str:
    """One attribute name in an attribute path. Quotes keep everything but a quote; there is no escape in them."""
    if not name:
        raise FlakeError("the name of a configuration must not be empty")
    for character, word in (('"', "a double quote"), ("\0", "a NUL character")):
        if character in name:
            raise FlakeError(
                f"the configuration {name!r} has {word} in its name, which Nix's command line cannot express;"
                " rename it in the flake's nixosConfigurations"
            )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise FlakeError(f"the configuration {name!r} is not named in valid UTF-8") from error
    return f'"{name}"'


def _decode(text: str) -> str:
    return unquote(text, errors="surrogateescape")
