# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a fleet that commits everywhere or nowhere is said to stand, from what the role's tasks have registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[3] / "roles/deploy"
TEMPLATE = ROLE / "templates/fleet.txt.j2"
BY, LATER = "2026-01-01T00:00:00+00:00", "2026-01-01T00:02:00+00:00"

WAITS = {"state": "window", "deployment": "d", "decides_by": BY, "failed": False}
PREPARED = {"state": "prepared", "deployment": "d", "decides_by": LATER}
LOST = {"state": "unknown", "deployment": "d", "decides_by": LATER, "failed": True, "reason": "lost"}
SKIPPED = {"skipped": True, "changed": False}
NOTHING_BEGUN = {"failed": True, "reason": "lost", "msg": "no answer"}
UNREACHABLE = {"unreachable": True, "msg": "no route to host"}


def of(state: str, deployment: str = "d") -> dict[str, Any]:
    return {"state": state, "deployment": deployment}


def report(**registered: dict[str, Any]) -> dict[str, str]:
    """What is said of a fleet, by its beginning, from what is registered for each host."""
    hostvars = {
        host: {f"deploy_flake_{name}": value for name, value in its.items()} for host, its in registered.items()
    }
    templar = Templar(loader=DataLoader(), variables={"hostvars": hostvars, "ansible_play_hosts_all": [*registered]})
    # As the lookup reads it.
    text = templar.copy_with_new_env().template(trust_as_template(TEMPLATE.read_text("utf-8")))
    return dict(line.split(": ", 1) for line in str(text).splitlines() if line)


def rescued(**its: Any) -> dict[str, Any]:
    """What the last task of a rescue is given to fail with, from what is registered for the host."""
    *_others, last = yaml.safe_load((ROLE / "tasks/rescue.yml").read_text("utf-8"))
    variables = {f"deploy_flake_{name}": value for name, value in its.items()} | {
        "omit": None,
        "deploy_flake_all_or_nothing": True,
    }
    templar = Templar(loader=DataLoader(), variables=variables)
    given = last["deploy_flake.nixos.fleet_outcome"]
    return {name: templar.template(trust_as_template(value)) for name, value in given.items()}


def stands(**its: Any) -> str:
    """What is said of one host: committed, previous, or what is not known of it."""
    said = report(web1=its, other={"tested": of("unchanged", "")})
    assert said["committed"].endswith("other")
    if "web1" in said["unknown"]:
        return said["unknown"].removeprefix("web1 ")
    (found,) = (word for word in ("committed", "previous") if "web1" in said[word])
    return found


@pytest.mark.parametrize(
    "its",
    [
        {},
        {"tested": NOTHING_BEGUN},
        {"tested": UNREACHABLE},
        {"tested": of("refused")},
        {"tested": of("rolled-back")},
        {"tested": of("interrupted")},
        {"tested": {"state": "would-test"}},
        {"tested": {"state": "would-refuse", "failed": True}},
        {"tested": WAITS, "revoked": of("rolled-back")},
        # It was lost, and is back.
        {"tested": LOST, "revoked": of("rolled-back")},
        {"tested": WAITS, "booted": LOST, "revoked": of("rolled-back")},
        {"tested": WAITS, "prepared": of("rolled-back"), "booted": SKIPPED, "revoked": SKIPPED},
        # What is registered of an earlier deployment says nothing of this one.
        {"tested": of("rolled-back", "e"), "booted": of("committed"), "revoked": LOST},
    ],
)
def test_previous(its: dict[str, Any]) -> None:
    assert stands(**its) == "previous"


@pytest.mark.parametrize(
    "its",
    [
        {"tested": of("unchanged", "")},
        {"tested": WAITS, "prepared": PREPARED, "booted": of("committed"), "revoked": SKIPPED},
        {"tested": SKIPPED, "booted": of("committed")},
        {"tested": SKIPPED, "booted": of("unchanged", "")},
        # The confirmation had reached it.
        {"tested": WAITS, "booted": LOST, "revoked": of("committed")},
    ],
)
def test_committed(its: dict[str, Any]) -> None:
    assert stands(**its) == "committed"


@pytest.mark.parametrize(
    ("its", "by"),
    [
        # Its test was lost, from the first command on that may have begun it.
        ({"tested": LOST}, LATER),
        ({"tested": LOST, "revoked": SKIPPED}, LATER),
        ({"tested": LOST, "revoked": LOST | {"decides_by": BY}}, LATER),
        # It waits, and does not answer any more.
        ({"tested": WAITS}, BY),
        ({"tested": WAITS, "revoked": of("unknown")}, BY),
        ({"tested": WAITS, "prepared": PREPARED, "revoked": of("unknown")}, LATER),
        ({"tested": WAITS, "prepared": LOST}, LATER),
        ({"tested": WAITS, "prepared": PREPARED, "booted": LOST, "revoked": of("unknown")}, LATER),
        ({"tested": SKIPPED, "booted": LOST}, LATER),
        # What is registered of an earlier deployment says nothing of this one.
        ({"tested": LOST, "booted": of("committed", "e"), "revoked": of("rolled-back", "e")}, LATER),
        ({"tested": WAITS, "prepared": PREPARED | {"deployment": "e"}}, BY),
    ],
)
def test_unknown(its: dict[str, Any], by: str) -> None:
    assert stands(**its) == f"(deployment d decides by itself by {by})"


@pytest.mark.parametrize(
    ("its", "said"),
    [
        ({"tested": of("superseded")}, "(superseded)"),
        ({"tested": WAITS, "booted": of("commit-failed")}, "(commit-failed)"),
        ({"tested": LOST, "revoked": of("rollback-failed")}, "(rollback-failed)"),
        # Nobody carries it out any more.
        ({"tested": of("unknown") | {"failed": True}}, "(deployment d has no end that is known)"),
        ({"tested": of("a word of another release")}, "(deployment d has no end that is known)"),
    ],
)
def test_what_else_is_not_the_one_nor_the_other(its: dict[str, Any], said: str) -> None:
    assert stands(**its) == said


def test_report() -> None:
    said = report(
        a={"tested": WAITS, "booted": of("committed")},
        b={"tested": LOST},
        c={},
        d={"tested": WAITS, "revoked": of("superseded")},
    )
    assert said == {
        "committed": "a",
        "previous": "c",
        "unknown": f"b (deployment d decides by itself by {LATER}), d (superseded)",
        "to complete": "deploy again with --limit c,b,d",
        "to reverse": "deploy the flake's previous revision with --limit a",
    }


@pytest.mark.parametrize(
    ("its", "undecided"),
    [
        ({"tested": LOST, "revoked": SKIPPED}, LOST),
        ({"tested": LOST, "revoked": of("unknown")}, LOST),
        ({"tested": WAITS, "revoked": of("unknown")}, WAITS),
        # The one that knows best for how long it waits.
        ({"tested": WAITS, "prepared": PREPARED, "revoked": of("unknown")}, PREPARED),
        ({"tested": WAITS, "prepared": LOST, "revoked": of("unknown")}, LOST),
        ({"tested": WAITS, "prepared": PREPARED, "booted": LOST, "revoked": of("unknown")}, LOST),
        ({"tested": SKIPPED, "booted": LOST, "revoked": SKIPPED}, LOST),
        ({"tested": WAITS, "prepared": PREPARED | {"deployment": "e"}, "revoked": of("unknown")}, WAITS),
        # It has ended, or nothing was begun.
        ({"tested": LOST, "revoked": of("rolled-back")}, {}),
        ({"tested": WAITS, "prepared": PREPARED, "booted": LOST, "revoked": of("committed")}, {}),
        ({"tested": of("rolled-back"), "revoked": SKIPPED}, {}),
        ({"tested": NOTHING_BEGUN, "revoked": SKIPPED}, {}),
        ({"revoked": SKIPPED}, {}),
    ],
)
def test_host_that_fails_says_what_is_undecided(its: dict[str, Any], undecided: dict[str, Any]) -> None:
    assert rescued(**its)["undecided"] == undecided


@pytest.mark.parametrize(
    ("its", "committed", "rolled_back_to"),
    [
        ({"tested": WAITS, "booted": of("committed"), "revoked": SKIPPED}, True, None),
        ({"tested": WAITS, "booted": LOST, "revoked": of("committed")}, True, None),
        ({"tested": WAITS, "booted": of("committed", "e"), "revoked": SKIPPED}, False, None),
        ({"tested": LOST, "revoked": of("rolled-back") | {"system": "/old"}}, False, "/old"),
        ({"tested": LOST, "revoked": of("unknown")}, False, None),
    ],
)
def test_host_that_fails_says_what_has_become_of_it(
    its: dict[str, Any], committed: bool, rolled_back_to: str | None
) -> None:
    given = rescued(**its)
    assert (given["committed"], given["rolled_back_to"]) == (committed, rolled_back_to)
