# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may know the answer to: the same question about locked sources, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.building import REFERENCE, SYSTEM, built, done, log
from unit.fake_host import FakeHost


@pytest.fixture
def flake(tmp_path: Path) -> str:
    directory = tmp_path / "flake" / "sub"
    directory.mkdir(parents=True)
    (directory / "flake.nix").write_text("{ }")
    (directory / "default.nix").write_text("{ }")
    return f"path:{tmp_path}/flake?dir=sub"


def asked(directory: Path, **given: Any) -> tuple[str, str, str]:
    """How the host is to know it, in which file the flake may say that it is not pure, and what is fetched."""
    host = FakeHost([done(log("success"))])
    (directory / "shared").unlink(missing_ok=True)
    built(host, directory, **given)
    inputs = host.asked[0].inputs
    return str(inputs["pure"]), str(inputs["flake_nix"]), str(inputs["fetched"])


def test_a_flake_of_the_controller(flake: str, tmp_path: Path) -> None:
    name, flake_nix, fetched = asked(tmp_path, flake=flake)
    assert (len(name), fetched) == (32, "")
    assert flake_nix.startswith("/nix/store/")
    assert flake_nix.endswith("-source/sub/flake.nix")
    assert asked(tmp_path, flake=flake) == (name, flake_nix, "")
    others = (
        {"configuration": "another"},
        {"nix_config": "cores = 1"},
        {"attribute": "nixosConfigurations.host1.config.system.build.toplevel"},
    )
    names = {name, *(asked(tmp_path, flake=flake, **other)[0] for other in others)}
    (tmp_path / "flake" / "sub" / "flake.nix").write_text("{ outputs = _: { }; }")
    names.add(asked(tmp_path, flake=flake)[0])
    assert (len(names), "" in names) == (5, False)


def test_what_more_than_sources_can_change(flake: str, tmp_path: Path) -> None:
    """Arguments, a file, and what the host itself finds; of a system that is there already nothing is evaluated."""
    for given in (
        {"flake": flake, "build_args": ["--impure"]},
        {"flake": flake, "file": "default.nix"},
        {"reference": REFERENCE},
    ):
        assert asked(tmp_path, **given) == ("", "", ""), given
    assert asked(tmp_path, toplevel=SYSTEM) == ("", "", SYSTEM)
