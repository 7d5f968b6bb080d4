# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built in place of a configuration's system, and the link to it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.building import DERIVATION, REFERENCE, SYSTEM, built, done, failed, log, settings
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

HELLO = f"/nix/store/{'4' * 32}-hello-2.12"
MAN = f"/nix/store/{'5' * 32}-hello-2.12-man"
LACKS = ["nixos-version", "bin/switch-to-configuration"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Nix files that are no flake."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub/default.nix").write_text("{ }")
    return root


def arguments(host: FakeHost, place: int = 0) -> list[str]:
    return shlex.split(host.asked[place].inputs["nix_arguments"])


def test_any_output(tmp_path: Path) -> None:
    host = FakeHost([done(log("success"), toplevel=MAN, lacks=LACKS, output=[f"out {HELLO}", f"man {MAN}"])])
    result, _answer = built(host, tmp_path, needs_system=False, attribute='packages.x86_64-linux."a.b"')
    assert (result["toplevel"], result["configuration"], result["derivation"]) == (HELLO, "", DERIVATION)
    assert list(result["outputs"].items()) == [("out", HELLO), ("man", MAN)]
    assert arguments(host)[-1] == f"{REFERENCE}#packages.x86_64-linux.%22a.b%22"
    assert host.asked[0].inputs["needs_system"] == "no"


@pytest.mark.parametrize(
    ("answered", "outputs"),
    [
        ([], {"out": SYSTEM}),
        ([f"bin {HELLO}", f"man {MAN}"], {"bin": HELLO, "man": MAN}),
        # The login user can put links of any name there.
        ([f"out {HELLO}", "x/../y /nix/store/z", f"x/y {MAN}", "man", f"man {MAN}/share"], {"out": HELLO}),
    ],
)
def test_outputs(tmp_path: Path, answered: list[str], outputs: dict[str, str]) -> None:
    result, _answer = built(FakeHost([done(output=answered)]), tmp_path, attribute="x")
    assert result["outputs"] == outputs
    assert result["toplevel"] == next(iter(outputs.values()))


def test_what_was_built_is_a_store_path(tmp_path: Path) -> None:
    """Whatever a host says: it goes on to others, by closure_copy or as toplevel."""
    with pytest.raises(HostError, match="host1 says that it built 'github:evil/x', which is not a store path"):
        built(FakeHost([done(toplevel="github:evil/x")]), tmp_path, needs_system=False, attribute="x")


def test_an_attribute_that_is_no_system_cannot_be_deployed(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        built(FakeHost([done(toplevel=HELLO, lacks=LACKS)]), tmp_path, attribute="hello")
    assert caught.value.reason == Refusal.NOT_A_SYSTEM
    assert str(caught.value) == (
        f"'hello' built {HELLO}, which is not a NixOS system: it has no nixos-version and no"
        " bin/switch-to-configuration. Only a system can be deployed: name its attribute, which ends in"
        " config.system.build.toplevel (deploy_flake_attribute); 'deploy-flake build' builds anything"
    )


def test_an_attribute_that_the_flake_does_not_have(tmp_path: Path) -> None:
    """Nix itself says what there is; nobody asks for configurations."""
    host = FakeHost([failed(log("missing-attribute"))])
    with pytest.raises(HostError, match=r"could not build 'packages\.x\.y'; its system is untouched") as caught:
        built(host, tmp_path, attribute="packages.x.y")
    assert "does not provide attribute" in str(caught.value)
    assert host.commands == ["build"]


@pytest.mark.parametrize(
    ("attribute", "named"),
    [({}, "config.system.build.toplevel"), ({"attribute": "web1.toplevel"}, "web1.toplevel")],
)
def test_a_file(tmp_path: Path, tree: Path, attribute: dict[str, str], named: str) -> None:
    host = FakeHost([done()])
    given: dict[str, Any] = {
        "flake": f"path:{tree}",
        "file": "./sub//default.nix",
        "build_args": ["-I", "nixpkgs=/x"],
        **attribute,
    }
    result, _answer = built(host, tmp_path, **given)
    assert arguments(host)[-5:] == ["-I", "nixpkgs=/x", "--file", f"{result['store_path']}/sub/default.nix", named]
    assert (result["configuration"], result["toplevel"]) == ("", SYSTEM)
    assert host.asked[0].inputs["paths"] == result["store_path"]


def test_a_file_in_a_directory_of_a_larger_tree(tmp_path: Path, tree: Path) -> None:
    host = FakeHost([done()])
    result, _answer = built(host, tmp_path, flake=f"path:{tree}?dir=sub", file="default.nix")
    assert arguments(host)[-2] == f"{result['store_path']}/sub/default.nix"


def test_a_file_is_evaluated(tmp_path: Path, tree: Path) -> None:
    host = FakeHost([{}, {"status": "0", "value": f"{SYSTEM} {DERIVATION}"}])
    result, _answer = built(
        host, tmp_path, check_mode=True, check_builds=False, flake=f"path:{tree}", file="sub/default.nix"
    )
    assert arguments(host, 1)[-3:] == [
        *("--file", f"{result['store_path']}/sub/default.nix", "config.system.build.toplevel")
    ]
    assert (result["configuration"], result["outputs"], result["toplevel"]) == ("", {}, SYSTEM)


def test_a_file_of_a_remote_flake(tmp_path: Path) -> None:
    host = FakeHost()
    with pytest.raises(FlakeError, match="is a remote flake; give a clone of it"):
        built(host, tmp_path, flake="github:me/x", file="default.nix")
    assert host.commands == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"flake": ".", "file": "/etc/nixos/default.nix"}, "must be the path of a file below the directory"),
        ({"flake": ".", "file": "../default.nix"}, "must be the path of a file below the directory"),
        ({"flake": ".", "file": "a/../.."}, "must be the path of a file below the directory"),
        ({"flake": ".", "file": "."}, "must be the path of a file below the directory"),
        ({"flake": ".", "file": "a\0b"}, "must be the path of a file below the directory"),
        ({"flake": ".", "file": "sub/flake.nix"}, "sub/flake.nix is what a flake is built of"),
        ({"flake": ".", "file": "a.nix", "configuration": "web"}, "as web.config.system.build.toplevel"),
        ({"reference": REFERENCE, "file": "a.nix"}, "give flake in place of reference"),
        ({"toplevel": SYSTEM, "file": "a.nix"}, "file (deploy_flake_file) says what to build"),
        ({"toplevel": SYSTEM, "attribute": "x"}, "attribute (deploy_flake_attribute) says what to build"),
        ({"flake": ".", "attribute": "--impure"}, "attribute (deploy_flake_attribute) must be names"),
        ({"flake": ".", "attribute": "x^dev"}, "attribute (deploy_flake_attribute) must be names"),
        *(
            (
                {"flake": ".", "out_link": path},
                "out_link (deploy_flake_out_link) must be the path of a link on the host",
            )
            for path in ("result", "~/result", "/", "/x/", "//x", "/x/../y", "/x/.", "/nix/store/x", "/x\ny", "/x\0")
        ),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], words: str) -> None:
    with pytest.raises(HostError) as caught:
        settings(**given)
    assert (caught.value.reason, words in str(caught.value)) == (Refusal.BAD_OPTION, True), str(caught.value)


@pytest.mark.parametrize("path", ["/root/result", "/result", "/srv/a b/..x/.y", "/nix/store-links/x"])
def test_where_a_link_may_be(path: str) -> None:
    assert settings(flake=".", out_link=path).out_link == path


@pytest.mark.parametrize(("linked", "changed"), [({"linked": ["/r"]}, True), ({}, False)])
def test_a_link(tmp_path: Path, linked: dict[str, list[str]], changed: bool) -> None:
    """It is looked for before the build, and made after it; a lost connection only makes that again."""
    end = done(log("nothing-to-do"), output=[f"out {HELLO}", f"man {MAN}"])
    host = FakeHost([{}, end, AnsibleConnectionFailure("cut"), linked])
    result, _answer = built(host, tmp_path, needs_system=False, attribute="hello", out_link="/r")
    assert host.commands == ["out_link", "build", "out_link", "out_link"]
    assert [asked.inputs["outputs"] for asked in host.asked if asked.command == "out_link"] == [
        *("", f"out {HELLO}\nman {MAN}", f"out {HELLO}\nman {MAN}")
    ]
    assert (result["changed"], result["out_link"]) == (changed, "/r")


def test_something_else_is_in_its_place(tmp_path: Path) -> None:
    host = FakeHost([{"refused": "not-linked", "message": "has something else at /r"}])
    with pytest.raises(HostError) as caught:
        built(host, tmp_path, out_link="/r")
    assert (caught.value.reason, host.commands) == (Refusal.NOT_LINKED, ["out_link"])


@pytest.mark.parametrize("outputs", [["out", "man"], ["out", "dev"]])
def test_something_else_is_in_the_place_of_another_output(tmp_path: Path, outputs: list[str]) -> None:
    """Which matters only if it is built, and is looked for before."""
    host = FakeHost(
        [{"taken": ["man"]}, {"status": "0", "value": json.dumps(outputs)}, done(output=[f"out {HELLO}"]), {}]
    )
    if "man" not in outputs:
        assert built(host, tmp_path, needs_system=False, attribute="hello", out_link="/r")[0]["toplevel"] == HELLO
        return
    with pytest.raises(HostError, match="host1 has something else at /r-man") as caught:
        built(host, tmp_path, needs_system=False, attribute="hello", out_link="/r")
    assert (caught.value.reason, host.commands) == (Refusal.NOT_LINKED, ["out_link", "nix_eval"])


def test_nothing_is_linked_that_is_refused(tmp_path: Path) -> None:
    host = FakeHost([{}, done(lacks=LACKS)])
    with pytest.raises(HostError):
        built(host, tmp_path, out_link="/r")
    assert host.commands == ["out_link", "build"]
