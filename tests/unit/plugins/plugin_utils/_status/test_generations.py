# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations that a host tells of."""

from __future__ import annotations

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status import generations
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.generations import Generation


def test_the_hosts_answer_is_read() -> None:
    ten = "10 1767225600\n/nix/store/b\n6.12.1\n25.11\n/nix/store/d with space\n/nix/store/e debug"
    answer = Answer([("generation_of", ten), ("generation_of", "9 0\n/nix/store/a\n\n")])
    nine, found = generations.read(answer)
    assert (nine.number, nine.kernel, nine.nixos_version, nine.systems) == (9, "", "", ("/nix/store/a",))
    assert found.as_value() == {
        "generation": 10,
        "date": "2026-01-01T00:00:00+00:00",
        "system": "/nix/store/b",
        "kernel_version": "6.12.1",
        "nixos_version": "25.11",
        "specialisations": ["debug", "with space"],
        "revision": "",
    }
    assert generations.specialisation_of("/nix/store/e", [nine, found], "") == ("debug", "/nix/store/b")
    assert generations.specialisation_of("/nix/store/a", [nine, found], "") == ("", "")
    assert generations.specialisation_of("/nix/store/x", [nine, found], "") == ("", "")


def test_specialisation_of_the_boot_default_comes_first() -> None:
    same = {"debug": "/nix/store/d"}
    found = [Generation(number, 0, f"/nix/store/p{number}", specialisations=same) for number in (1, 2, 3)]
    assert generations.specialisation_of("/nix/store/d", found, "/nix/store/p2")[1] == "/nix/store/p2"
    assert generations.specialisation_of("/nix/store/d", found, "")[1] == "/nix/store/p3"


def test_revisions() -> None:
    """What the system itself says goes before the record of its last deployment."""
    told = [
        *(("generation_of", f"{number} 0\n/nix/store/{name}\n\n") for number, name in ((1, "a"), (2, "b"), (3, "c"))),
        *(("recorded_revision", text) for text in ("/nix/store/a old", "/nix/store/a new", "/nix/store/b recorded")),
        *(("generation_revision", text) for text in ("1 ", "2 its-own", "3 ")),
    ]
    assert [one.revision for one in generations.read(Answer(told))] == ["new", "its-own", ""]
