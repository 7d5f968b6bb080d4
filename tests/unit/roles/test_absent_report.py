# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are said not to have been there, from what the role's tasks have registered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[3] / "roles" / "deploy"
# By every step that may be the first to ask a host.
LEFT_OUT_BY = sorted(
    {name for file in ROLE.glob("tasks/*.yml") for name in re.findall(r"'absent' in (\w+)", file.read_text("utf-8"))}
)


@pytest.mark.parametrize("registered", LEFT_OUT_BY)
def test_host_that_a_step_has_left_out_is_named(registered: str) -> None:
    hostvars = {"web1": {registered: {"absent": True}}, "web2": {registered: {"changed": True}}}
    templar = Templar(loader=DataLoader(), variables={"hostvars": hostvars, "ansible_play_hosts_all": [*hostvars]})
    text = (ROLE / "templates/absent.txt.j2").read_text("utf-8")
    assert str(templar.template(trust_as_template(text))).strip() == "not reached, and left as they were: web1"


def test_each_step_that_asks_a_host_first_is_known() -> None:
    assert "deploy_flake_deployed" in LEFT_OUT_BY
    assert "deploy_flake_profiles_deployed" in LEFT_OUT_BY
