# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hashes and store paths against values recorded from Nix 2.26.3."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import store_path

# Of the sample tree in test_nar.py:
#   nix hash path [--base16|--base32] sample
SRI = "sha256-Zro9Ue8eaJlkfLheTC04xJzdvcyhtdgLO+KlY82+zNs="
BASE16 = "66ba3d51ef1e6899647cb85e4c2d38c49cddbdcca1b5d80b3be2a563cdbeccdb"
BASE32 = "1nycpv6n79g27c5xidd1rjyxv76470nlqpmqgij9js0yxx8kvfk6"
DIGEST = bytes.fromhex(BASE16)


def test_the_forms_of_a_hash() -> None:
    assert store_path.sri(DIGEST) == SRI
    assert store_path.base32(DIGEST) == BASE32
    for text in (SRI, f"sha256:{BASE16}", f"sha256:{BASE32}", SRI.replace("-", ":", 1)):
        assert store_path.parse_sha256(text) == DIGEST


@pytest.mark.parametrize(
    "text",
    ["", BASE16, SRI[:-1], "sha256-", "sha512-" + SRI[7:], f"sha256:{BASE16[:-1]}g", f"sha256:{BASE32[:-1]}e",
     f"sha256-{BASE16}", f"sha256:{'z' * 52}", "sha256-Zm9v", "sha256-ü"],
)  # fmt: skip
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256 hash"):
        store_path.parse_sha256(text)


@pytest.mark.parametrize(
    ("nar_hash", "name", "path"),
    [
        # nix-store --add-fixed --recursive sha256 FILE, with the sample as `source` and as `t`, and the file `one`
        (SRI, "source", "/nix/store/hqhysj8r6hdc88rsr11kz9r9h2avxzp8-source"),
        (SRI, "t", "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-t"),
        (
            "sha256-TnI/jVWlEufksMQhVNfUu+K1IDaXYZ6TtFRS8aqHE04=",
            "one",
            "/nix/store/q3xd41wrn893mcdjppnqs9mpxh65k3c2-one",
        ),
    ],
)
def test_source_store_path(nar_hash: str, name: str, path: str) -> None:
    assert store_path.source_store_path(store_path.parse_sha256(nar_hash), name) == path


def test_the_parts_of_a_store_path() -> None:
    path = store_path.parse_store_path("/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-nixos-system-web-25.05")
    assert path == store_path.StorePath("8d34v3k3lbqcbdrb8qi4invswggxfnk8", "nixos-system-web-25.05")
    assert str(path) == "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-nixos-system-web-25.05"
    assert store_path.is_store_path("/gnu/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a", "/gnu/store")


@pytest.mark.parametrize(
    "path",
    ["", "/nix/store", "/nix/store/", "8d34v3k3lbqcbdrb8qi4invswggxfnk8-a",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-", "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a/b",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a\n", "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a b",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a;b", "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-..",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-.-a", "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnke-a",
     "/nix/store/../store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a", "/tmp/8d34v3k3lbqcbdrb8qi4invswggxfnk8-a",
     "/nix/store/8d34v3k3lbqcbdrb8qi4invswggxfnk8-" + 212 * "a"],
)  # fmt: skip
def test_what_is_no_store_path(path: str) -> None:
    assert not store_path.is_store_path(path)
    with pytest.raises(ValueError, match="is not a path in /nix/store"):
        store_path.parse_store_path(path)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "..", "ü"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a store path"):
        store_path.source_store_path(DIGEST, name)


@given(st.binary(max_size=70))
def test_base32_round_trip(data: bytes) -> None:
    assert store_path.from_base32(store_path.base32(data)) == data


@given(st.binary())
def test_every_source_has_a_store_path(content: bytes) -> None:
    assert store_path.is_store_path(store_path.source_store_path(hashlib.sha256(content).digest()))
