# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dry-activate says, in its Rust and its Perl form, and the lists that it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.dry_activation import Would, nothing, parse

LOGS = Path(__file__).parent / "dry_activations"
UNITS = st.lists(st.from_regex(r"[A-Za-z0-9:_.\\@-]{1,20}\.(service|socket|mount|timer|target)", fullmatch=True))


@pytest.mark.parametrize(
    ("form", "would"),
    [
        (
            "rust",
            Would(
                stop=[
                    "accounts-daemon.service",
                    "dev-hugepages.mount",
                    r"systemd-fsck@dev-disk-by\x2duuid-1A2B.service",
                ],
                start=["accounts-daemon.service", "systemd-tmpfiles-resetup.service"],
                restart=["nix-daemon.service", "Polkit.service", "user@1000.service"],
                reload=["dbus-broker.service", "firewall.service"],
                keep=["display-manager.service"],
                swapoff=["/dev/disk/by-uuid/0c2a6d0e-2f7e-4a0c-9d0b-0f6d5d1a5a51"],
                restart_systemd=True,
            ),
        ),
        (
            "perl",
            Would(
                stop=["-.mount", "accounts-daemon.service"],
                start=["accounts-daemon.service", "new.timer"],
                restart=["Zulu.service", "nginx.service"],
                reload=["firewall.service"],
                keep=["display-manager.service", "getty@tty1.service"],
                swapoff=[],
                restart_systemd=False,
            ),
        ),
    ],
)
def test_both_forms(form: str, would: Would) -> None:
    assert parse((LOGS / f"{form}.log").read_text()) == would


@pytest.mark.parametrize(
    "text",
    [
        "",
        "would activate the configuration...\n",
        "stopping the following units: a.service\n",
        "would stop the following units:\n",
        "would stop the following units: \n",
        "would stop the following units: not a unit\n",
        "would restart systemd-networkd.service\n",
    ],
)
def test_nothing_is_read_out_of_nothing(text: str) -> None:
    assert parse(text) == nothing()


@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    parse(text)


@given(stop=UNITS, start=UNITS, restart=UNITS)
def test_lists_come_back(stop: list[str], start: list[str], restart: list[str]) -> None:
    said = {"stop": stop, "restart": restart, "start": start}
    text = "".join(f"would {verb} the following units: {', '.join(units)}\n" for verb, units in said.items() if units)
    would = parse(f"noise\n{text}more noise")
    for found, units in ((would["stop"], stop), (would["start"], start), (would["restart"], restart)):
        assert found == list(dict.fromkeys(units))
