# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flake references and installables as text.

Sources: "Flake references" in the Nix manual (nix3-flake), and for what the command line makes of them
`parseFlakeRefWithFragment`, `parseAttrPath` and `ExtendedOutputsSpec::parse` in Nix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

_TOPLEVEL = ("config", "system", "build", "toplevel")


class FlakeError(Exception):
    """Something is wrong with a flake or a reference to one; the message says what, and how to mend it."""


def add_parameters(reference: str, parameters: Mapping[str, str]) -> str:
    """A reference with more parameters in its query, percent-encoded."""
    query = "&".join(f"{quote(key, safe='')}={quote(os.fsencode(value), safe='')}" for key, value in parameters.items())
    if not query:
        return reference
    return f"{reference}{'&' if '?' in reference else '?'}{query}"


def configurations(reference: str) -> str:
    """The installable of all of a flake's configurations."""
    return _installable(reference, "nixosConfigurations")


def toplevel(reference: str, configuration: str) -> str:
    """The installable of the system that a configuration describes."""
    return _installable(reference, ".".join(("nixosConfigurations", _attribute(configuration), *_TOPLEVEL)))


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
