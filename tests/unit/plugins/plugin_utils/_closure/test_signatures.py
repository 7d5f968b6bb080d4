# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `nix path-info --json` says, in the forms that its versions have, as a binary cache says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.closures import path

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.signatures import read, write
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.store_path import parse_sha256, sri
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

TOP, LEAF = path("p"), path("l")
HASH = "sha256:" + "0" * 51 + "1"
INFO = {"narHash": HASH, "narSize": 120, "references": [LEAF], "signatures": ["lab-1:c2ln"], "ultimate": True}
OF_LEAF = {"narHash": sri(parse_sha256(HASH)), "narSize": 8, "references": [], "ca": f"fixed:r:{HASH}"}


def name(store_path: str) -> str:
    return store_path.rpartition("/")[2]


IN_FIELDS = {"algorithm": "sha256", "format": "base64", "hash": sri(parse_sha256(HASH)).removeprefix("sha256-")}
FORMS: dict[str, Any] = {
    "a list, as until 2.18": [{"path": TOP, "valid": True, **INFO}, {"path": LEAF, "valid": True, **OF_LEAF}],
    "by path": {TOP: INFO, LEAF: OF_LEAF},
    "with the hash of a name in fields": {
        "version": 2,
        "info": {
            name(TOP): {**INFO, "references": [name(LEAF)]},
            name(LEAF): {**OF_LEAF, "ca": {"method": "nar", "hash": OF_LEAF["narHash"]}},
        },
    },
    "with all hashes in fields": {
        "version": 3,
        "info": {
            name(TOP): {**INFO, "references": [name(LEAF)], "signatures": [{"keyName": "lab-1", "sig": "c2ln"}]},
            name(LEAF): {**OF_LEAF, "narHash": IN_FIELDS, "ca": {"method": "nar", "hash": IN_FIELDS}},
        },
    },
    "by name, with a version": {
        "version": 2,
        "info": {name(TOP): {**INFO, "references": [name(LEAF)]}, name(LEAF): {**OF_LEAF, "ca": OF_LEAF["ca"]}},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: str) -> None:
    said = read(json.dumps(FORMS[form]))
    assert said[TOP].narinfo.splitlines() == [
        f"StorePath: {TOP}",
        "URL: nar",
        "Compression: none",
        f"NarHash: {HASH}",
        "NarSize: 120",
        f"References: {name(LEAF)}",
        "Sig: lab-1:c2ln",
    ]
    assert said[LEAF].narinfo.endswith(f"NarHash: {HASH}\nNarSize: 8\nReferences: \nCA: fixed:r:{HASH}\n")
    assert (said[TOP].hash, said[TOP].size, said[TOP].references) == (parse_sha256(HASH), 120, frozenset({LEAF}))
    heads = [line for line in write([LEAF, TOP], said).splitlines() if line.startswith("path ")]
    assert heads == [f"path {name(LEAF)}", f"path {name(TOP)}"]


@pytest.mark.parametrize(
    "ca",
    [
        *(f"fixed:{HASH}", f"text:{HASH}", "fixed:r:sha256:" + "0" * 52, "fixed:git:sha1:ab", 7, None),
        *({"method": "nar"}, {"method": "flat", "hash": HASH}, {"method": "nar", "hash": "sha256-x"}),
    ],
)
def test_what_a_name_proves_of_something_else_needs_a_signature(ca: Any) -> None:
    """The hash of a NAR alone is compared with what comes."""
    assert "CA: " not in read(json.dumps({LEAF: {**OF_LEAF, "ca": ca}}))[LEAF].narinfo


@pytest.mark.parametrize("said", ["", "nonsense", "[1]", '{"/nix/store/x": {}}', "null"])
def test_what_is_not_understood(said: str) -> None:
    with pytest.raises(HostError, match="is not understood"):
        read(said)


LINE = "x\npath evil-script ../victim\nx"


@pytest.mark.parametrize(
    ("path_said", "field", "value"),
    [
        (TOP, "narHash", f"{HASH}\n{LINE}"),
        (TOP, "narHash", "sha256:0abc"),
        (TOP, "narSize", LINE),
        (TOP, "narSize", -1),
        (TOP, "narSize", True),
        (TOP, "references", [f"{LEAF}\n{LINE}"]),
        (TOP, "references", ["../victim"]),
        (TOP, "references", [None]),
        (TOP, "signatures", 7),
        (TOP, "narHash", {"algorithm": "sha256", "format": "base64", "hash": LINE}),
        ("/nix/store/../victim", "ca", None),
        (f"{TOP} signed", "ca", None),
        (f"{TOP}/bin/sh", "ca", None),
    ],
)
def test_a_source_cannot_say_lines_of_its_own(path_said: str, field: str, value: Any) -> None:
    with pytest.raises(HostError, match="is not understood") as refused:
        read(json.dumps([{"path": path_said, **INFO, field: value}]))
    assert refused.value.reason == Refusal.NO_ANSWER


def test_a_signature_that_is_none_is_left_out() -> None:
    """It fails no other one, nor any other path; its own may be refused later on."""
    others = ["deploy@ci-1:c2ln", "team/cache:c2ln", f"lab-1:c2ln\n{LINE}", 7, "x y:c2ln", "lab:c2ln:", None, {}]
    said = read(json.dumps({TOP: {**INFO, "signatures": [*others, "lab-1:c2ln"]}}))[TOP].narinfo
    assert [line for line in said.splitlines() if line.startswith(("Sig", "path", "x"))] == [
        *("Sig: deploy@ci-1:c2ln", "Sig: team/cache:c2ln", "Sig: lab-1:c2ln")
    ]


def test_a_path_of_which_nothing_was_said() -> None:
    with pytest.raises(HostError, match=f"nothing was said of the signatures of {LEAF}"):
        write([TOP, LEAF], read(json.dumps({TOP: INFO})))
