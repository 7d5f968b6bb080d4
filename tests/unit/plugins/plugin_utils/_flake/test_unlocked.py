# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What flake.nix asks for and flake.lock does not have, told without Nix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.flake_nix import OTHER, declared_inputs
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.unlocked import (
    Unlocked,
    given_otherwise,
    unlocked_inputs,
)

WHOLE = r"""
# inputs.commented.url = "x";
{ /* { */
  description = ''a ''' ''${x} ''\n ${ "}" + { a = "''"; }.a } inputs = { };'';
  inputs = {
    a.url = "github:x/a/main";
    b = { url = https://x.org/b.tgz; flake = false; inputs.a.follows = "a"; };
    self.submodules = true;
  };
  inputs.c.follows = "b/c";
  inputs."d-e" = { type = "github"; owner = "o"; repo = "r$${x}\""; };
  nixConfig.x = let y = 1; in with y; assert y == 1; { a = "${ { b = "1"; }.b }"; };
  outputs = { self, a, b ? { x = [ 1, ]; }, q, ... }@inputs:
    let z = { }; s = "''"; in rec { inherit (z) y; a = x: y; b = inputs: ./a/${b}/c; c = a.b or d //e; };
}
"""


def test_inputs_in_all_their_forms() -> None:
    assert declared_inputs(WHOLE.replace(", ]", " ]")) == {
        "a": {"url": "github:x/a/main"},
        "b": {"url": "https://x.org/b.tgz", "flake": False, "inputs": {"a": {"follows": "a"}}},
        "self": {"submodules": True},
        "c": {"follows": "b/c"},
        "d-e": {"type": "github", "owner": "o", "repo": 'r$${x}"'},
        "q": {},
    }


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ("{ self }: { }", []),
        ("{ self, nixpkgs }: { }", ["nixpkgs"]),
        ("{ self, nixpkgs, }: { }", ["nixpkgs"]),
        ("inputs@{ self, nixpkgs, ... }: { }", ["nixpkgs"]),
        ("{ nixpkgs, ... } @ inputs: { }", ["nixpkgs"]),
        ("{ ... }: { }", []),
        ("{ }: { }", []),
        ("_: { }", []),
        ("inputs: { }", []),
        ("{ a ? b: { c = 1; }, d }: e: f: { }", ["a", "d"]),
    ],
)
def test_arguments_of_outputs_are_inputs(outputs: str, names: list[str]) -> None:
    assert declared_inputs(f"{{ outputs = {outputs}; }}") == {name: {} for name in names}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{ outputs = _: {",
        '{ description = "x',
        "{ description = ''x",
        '{ description = "${x',
        "x: { }",
        "rec { outputs = _: { }; }",
        "{ inherit inputs; outputs = _: { }; }",
        "{ inputs = { inherit a; }; outputs = _: { }; }",
        "{ inputs = import ./inputs.nix; outputs = _: { }; }",
        "{ inputs = builtins.mapAttrs f { }; outputs = _: { }; }",
        "{ inputs.a = f x; outputs = _: { }; }",
        "{ outputs = import ./outputs.nix; }",
        "{ outputs = (_: { }); }",
        "{ outputs = a:b.c; }",
        "{ outputs = _: let { body = 1; }; }",
        "{ outputs = _: 1 ]; }",
        "{ ${x}.url = 1; outputs = _: { }; }",
        '{ inputs.a.url = "x"; inputs.a.url = "y"; outputs = _: { }; }',
        "{ outputs = _: { }; } x",
        "{ a = " + "{ a = " * 5000,
    ],
)
def test_what_nix_has_to_tell(text: str) -> None:
    assert declared_inputs(text) is None


def test_a_value_that_is_no_literal_is_left_to_nix() -> None:
    text = """{ inputs.a.url = "x${y}"; inputs.b = { url = f "x"; }; inputs.c.url = ''x''; outputs = _: { }; }"""
    assert declared_inputs(text) == {name: {"url": OTHER} for name in "abc"}
    assert unlocked_inputs(text.encode(), lock(a={"type": "path"}, b={"type": "path"}, c={"type": "path"})) == ()


def lock(**originals: Any) -> bytes:
    """A lock file: of each input what it was locked from, with inputs of its own as `inputs`, or a path to follow."""
    root = {name: value if isinstance(value, list) else f"{name}_2" for name, value in originals.items()}
    nodes: dict[str, Any] = {"root": {"inputs": root}}
    for name, value in originals.items():
        if isinstance(value, dict):
            inputs = {"inputs": value.pop("inputs")} if "inputs" in value else {}
            nodes[f"{name}_2"] = {"locked": {"narHash": "x"}, "original": value, **inputs}
    return json.dumps({"version": 7, "root": "root", "nodes": nodes}).encode()


def found(inputs: str, locked: bytes | None) -> list[tuple[str, str]]:
    text = f"{{ inputs = {{ {inputs} }}; outputs = _: {{ }}; }}"
    return [(one.name, one.why) for one in unlocked_inputs(text.encode(), locked)]


def test_no_lock_file() -> None:
    assert found('a.url = "github:x/a"; self.lfs = true;', None) == [("a", "is not locked")]
    assert found("", None) == []


def test_an_input_that_is_not_locked_and_one_that_is_gone() -> None:
    both = lock(a={"type": "github", "owner": "x", "repo": "a"}, b={"type": "indirect", "id": "b"})
    said = found('a.url = "github:x/a"; c = { };', both)
    assert said == [("c", "is not locked"), ("b", "is locked, and flake.nix does not have it")]


GITHUB = {"type": "github", "owner": "x", "repo": "a"}
SAME: list[tuple[str, Any]] = [
    ('url = "github:x/a"', GITHUB),
    ('url = "github:x/a?dir=sub"', {**GITHUB, "dir": "sub"}),
    ('url = "github:x/a/nixos-25.11"', {**GITHUB, "ref": "nixos-25.11"}),
    ('url = "github:x/a?ref=v1"', {**GITHUB, "ref": "v1"}),
    (f'url = "github:x/a/{"1" * 40}"', {**GITHUB, "rev": "1" * 40}),
    ('url = "github:x/a/refs/heads/m"', {**GITHUB, "ref": "refs/heads/m"}),
    ('url = "github:x/a?host=git.example.org"', {**GITHUB, "host": "git.example.org"}),
    ('type = "github"; owner = "x"; repo = "a"', GITHUB),
    ('url = "gitlab:x%2Fy/a"', {"type": "gitlab", "owner": "x%2Fy", "repo": "a"}),
    ('url = "nixpkgs"', {"type": "indirect", "id": "nixpkgs"}),
    ('url = "flake:nixpkgs/nixos-25.11"', {"type": "indirect", "id": "nixpkgs", "ref": "nixos-25.11"}),
    ("flake = false", {"type": "indirect", "id": "a"}),
    ('url = "git+ssh://git@x.org/a"', {"type": "git", "url": "ssh://git@x.org/a"}),
    ('url = "git+https://x.org/a?ref=m&submodules=1"',
     {"type": "git", "url": "https://x.org/a", "ref": "m", "submodules": True}),
    ('url = "git+file:/srv/a"', {"type": "git", "url": "file:///srv/a"}),
    ('url = "https://x.org/0.1.*.tar.gz"', {"type": "tarball", "url": "https://x.org/0.1.%2A.tar.gz"}),
    ('url = "https://x.org/a.txt"; flake = false', {"type": "file", "url": "https://x.org/a.txt"}),
    ('url = "https://x.org/a-1+b.tar.gz"', {"type": "tarball", "url": "https://x.org/a-1+b.tar.gz"}),
    ('url = "tarball+https://x.org/a+b"', {"type": "tarball", "url": "https://x.org/a+b"}),
    ('type = "git"; url = "git@x.org:me/a.git"', {"type": "git", "url": "ssh://git@x.org/me/a.git"}),
    ('url = "tarball+https://x.org/a?x=1"', {"type": "tarball", "url": "https://x.org/a?x=1"}),
    ('url = "path:./sub"', {"type": "path", "path": "./sub"}),
    ('url = "./sub"', {"type": "path", "path": "./sub"}),
    ('follows = "b/c"', ["b", "c"]),
    ('follows = ""', []),
    ('url = "github:x/a"; inputs.n.follows = "n"', {**GITHUB, "inputs": {"n": ["n"]}}),
    ('url = "github:x/a"; inputs.other.follows = "n"', {**GITHUB, "inputs": {"n": "n"}}),
    # Nothing is said of kinds that only Nix knows.
    ('url = "hg+https://x.org/a"', {"type": "hg", "url": "https://x.org/b"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "locked"), SAME)
def test_the_same_in_two_spellings(said: str, locked: Any) -> None:
    assert found(f"a = {{ {said}; }};", lock(a=locked)) == []


CHANGED: list[tuple[str, Any, str]] = [
    ('url = "github:x/a/nixos-25.11"', {**GITHUB, "ref": "nixos-25.05"},
     "is locked as github:x/a/nixos-25.05, and flake.nix says github:x/a/nixos-25.11"),
    ('url = "github:x/a"', {**GITHUB, "ref": "m"}, "is locked as github:x/a/m, and flake.nix says github:x/a"),
    ('url = "github:x/b"', GITHUB, "is locked as github:x/a, and flake.nix says github:x/b"),
    ('url = "github:y/a"', GITHUB, "is locked as github:x/a, and flake.nix says github:y/a"),
    ('url = "gitlab:x/a"', GITHUB, "is locked as github:x/a, and flake.nix says gitlab:x/a"),
    ('url = "github:x/a?host=h"', GITHUB, "is locked as github:x/a, and flake.nix says github:x/a"),
    ('type = "github"; owner = "x"; repo = "b"', GITHUB, "is locked as github:x/a, and flake.nix says github:x/b"),
    ('url = "nixpkgs"', GITHUB, "is locked as github:x/a, and flake.nix says indirect:nixpkgs"),
    ("flake = false", GITHUB, "is locked as github:x/a, and flake.nix says indirect:a"),
    ('url = "git+https://x.org/b"', {"type": "git", "url": "https://x.org/a"},
     "is locked as git:https://x.org/a, and flake.nix says git:https://x.org/b"),
    ('url = "https://x.org/b.tgz"', {"type": "tarball", "url": "https://x.org/a.tgz"},
     "is locked as tarball:https://x.org/a.tgz, and flake.nix says https://x.org/b.tgz"),
    ('url = "path:/b"', {"type": "path", "path": "/a"}, "is locked as path:/a, and flake.nix says path:/b"),
    ('follows = "b"', ["c"], "is to follow 'b', and is not locked so"),
    ('follows = "b"', GITHUB, "is to follow 'b', and is not locked so"),
    ('url = "github:x/a"', ["b", "c"], "is locked to follow 'b/c', and flake.nix does not say so"),
    ('url = "github:x/a"; inputs.n.follows = "n"', {**GITHUB, "inputs": {"n": "n_3"}},
     "has an input 'n' that is to follow 'n', and is not locked so"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "locked", "why"), CHANGED)
def test_a_lock_file_that_is_behind(said: str, locked: Any, why: str) -> None:
    assert found(f"a = {{ {said}; }};", lock(a=locked)) == [("a", why)]


@pytest.mark.parametrize("broken", [b"", b"{}", b"[]", b'{"nodes": {}, "root": "root"}', b'{"nodes": 1}', b"\xff"])
def test_a_broken_lock_file_is_complained_about_elsewhere(broken: bytes) -> None:
    assert found('a.url = "github:x/a";', broken) == []


def test_what_arguments_for_nix_give() -> None:
    unlocked = (Unlocked("a", "x"), Unlocked("b", "x"))
    assert given_otherwise(unlocked, []) == unlocked
    assert given_otherwise(unlocked, ["--override-input", "a", "path:/x"]) == unlocked[1:]
    assert given_otherwise(unlocked, ["--override-input", "a/n", "x", "--update-input", "b"]) == ()
    assert given_otherwise(unlocked, ["--print-build-logs", "a"]) == unlocked
    assert given_otherwise(unlocked, ["--override-input"]) == unlocked
    for word in ("--recreate-lock-file", "--no-write-lock-file", "--reference-lock-file"):
        assert given_otherwise(unlocked, [word]) == ()
