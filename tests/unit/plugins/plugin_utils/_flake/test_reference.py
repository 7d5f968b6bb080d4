# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installables. Those of the odd names were built with Nix 2.26.3 and evaluated with Nix 2.8.0: all were found."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import (
    FlakeError,
    add_parameters,
    configurations,
    is_attribute_path,
    output,
    toplevel,
)


def test_a_plain_name() -> None:
    assert (
        toplevel("github:example/hosts", "web")
        == "github:example/hosts#nixosConfigurations.%22web%22.config.system.build.toplevel"
    )
    assert configurations("path:/x?dir=y") == "path:/x?dir=y#nixosConfigurations"


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("web.example.org", "web.example.org"), ("a b", "a%20b"), ("a'b", "a%27b"), ("a#b", "a%23b"), ("a^out", "a%5Eout"),
     ("a%20b", "a%2520b"), ("a?b", "a%3Fb"), ("a&b=c", "a%26b%3Dc"), ("a/b", "a%2Fb"), ("new\nline", "new%0Aline"),
     ("ünï", "%C3%BCn%C3%AF"), ("${x}", "%24%7Bx%7D"), ("a\\b", "a%5Cb"), ("-x", "-x"), ("0", "0"), (".", "."),
     (" lead", "%20lead"), ("a[b]", "a%5Bb%5D"), ("\x01", "%01")],
)  # fmt: skip
def test_odd_names(name: str, encoded: str) -> None:
    assert toplevel("flake:x", name) == f"flake:x#nixosConfigurations.%22{encoded}%22.config.system.build.toplevel"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\0'), min_size=1))
def test_nix_reads_back_the_name(name: str) -> None:
    installable = toplevel("flake:x", name)
    assert "^" not in installable
    reference, _mark, fragment = installable.partition("#")
    assert reference == "flake:x"
    # Nix decodes once, then takes everything between two quotes as it is.
    assert unquote(fragment).split('"') == ["nixosConfigurations.", name, ".config.system.build.toplevel"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('a"b', r"has a double quote in its name.*rename it"),
        ("a\0b", r"has a NUL character in its name"),
        ("", r"must not be empty"),
        ("caf\udce9", r"not named in valid UTF-8"),
    ],
)
def test_names_that_cannot_be_expressed(name: str, message: str) -> None:
    with pytest.raises(FlakeError, match=message):
        toplevel("flake:x", name)


def test_a_reference_with_a_fragment_is_refused() -> None:
    with pytest.raises(FlakeError, match="must not have a part after '#'"):
        toplevel("flake:x#y", "web")


def test_any_output() -> None:
    installable = output("path:/x?dir=y", 'packages.x86_64-linux."a.b"')
    assert installable == "path:/x?dir=y#packages.x86_64-linux.%22a.b%22"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("hello", True),
        ("packages.x86_64-linux.gtk+", True),
        ('nixosConfigurations."web 1.example.org".config.system.build.vm', True),
        ("list.0", True),
        ("", False),
        (".", False),
        ("a..b", False),
        (".a", False),
        ("a.", False),
        ("--impure", False),
        ("-f", False),
        ("hello^dev", False),
        ('"a^b"', False),
        ('"a', False),
        ('"".x', False),
        ("a b", False),
        ("a;reboot", False),
        ("a\n", False),
        ("/nix/store/x", False),
        ("path:/x#y", False),
        ('"\udce9"', False),
    ],
)
def test_attribute_paths(text: str, is_one: bool) -> None:
    assert is_attribute_path(text) is is_one


def test_add_parameters() -> None:
    assert add_parameters("path:/x", {}) == "path:/x"
    assert add_parameters("path:/x", {"narHash": "sha256-a+/=", "dir": "a b"}) == (
        "path:/x?narHash=sha256-a%2B%2F%3D&dir=a%20b"
    )
    assert add_parameters("github:a/b?dir=c", {"ref": "caf\udce9"}) == "github:a/b?dir=c&ref=caf%E9"
