# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot leaves no open file behind where it could not be taken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot


@pytest.mark.parametrize(("error", "seen"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(5, "x"), FlakeError)])
def test_what_interrupts_it(error: BaseException, seen: type[BaseException]) -> None:
    def interrupted() -> BinaryIO:
        raise error

    file = io.BytesIO()
    with pytest.raises(seen):
        take_snapshot(nar.RegularFile(1, False, interrupted), Path("/x"), file)
    assert file.closed


def test_the_file_is_read_from_its_beginning() -> None:
    with take_snapshot(nar.Symlink(b"x"), Path("/x")) as snapshot:
        assert len(snapshot.nar.read()) == snapshot.nar_size
    assert snapshot.nar.closed
