# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that the integration tests run on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from integration.commanding import Command
from integration.faulting import at_rest
from integration.playing import copy_of_the_flake

from lab import Host, Lab, Machine
from lab.machine_image import LOADERS
from lab.state import State

COUNT = 3
# What takes minutes and has few tests: where one of them began late, two workers would wait for the third.
LONG = ("test_soak.py", "test_execution_environment.py", "test_reboot.py", "test_until_reboot.py")

# Each worker of pytest-xdist has a lab of its own: hosts are made new, and have faults, for one test at a time.
if (worker := int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))) > 0:
    os.environ["DEPLOY_FLAKE_LAB_DIR"] = f"{State().dir}-{worker + 1}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take whole files, in this order: those with few long tests, then those with the most tests."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONG, -tests[item.path], item.path))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab with at least three hosts; one that was up before is left up."""
    lab = Lab()
    was_up = bool(lab.hosts)
    lab.up(COUNT)
    yield lab
    if not was_up:
        lab.down()


@pytest.fixture
def hosts(lab: Lab) -> dict[str, Host]:
    """host1 to host3, running; what earlier tests have written on them is still there."""
    lab.up(COUNT)
    return _first(lab)


@pytest.fixture
def fresh(lab: Lab) -> dict[str, Host]:
    """host1 to host3, as new."""
    lab.reset(_first(lab).values())
    return _first(lab)


@pytest.fixture
def whole(lab: Lab, hosts: dict[str, Host]) -> dict[str, Host]:
    """host1 to host3, at rest; made new only where an earlier test has left something else."""
    with ThreadPoolExecutor(COUNT) as pool:
        rest = list(pool.map(at_rest, hosts.values()))
    lab.reset([host for host, rests in zip(hosts.values(), rest, strict=True) if not rests])
    return hosts


def _first(lab: Lab) -> dict[str, Host]:
    return {name: host for name, host in lab.hosts.items() if host.number <= COUNT}


@pytest.fixture(scope="session")
def with_machines() -> Iterator[Lab]:
    """The lab, for machines; containers are there only if a test asks for them as well."""
    lab = Lab()
    was_up = bool(lab.hosts)
    yield lab
    if not was_up:
        lab.down()


@pytest.fixture(params=LOADERS)
def machine(with_machines: Lab, request: pytest.FixtureRequest) -> Machine:
    """A virtual machine with that boot loader, as new."""
    # Where both are there, the other one may be off in the middle of a test that runs beside this one.
    if with_machines.stale or len(_machines(with_machines)) < len(LOADERS):
        with_machines.up(0, machines=len(LOADERS))
    found = _machines(with_machines)[request.param]
    with_machines.reset([found])
    return found


def _machines(lab: Lab) -> dict[str, Machine]:
    return {host.loader.name: host for host in lab.hosts.values() if isinstance(host, Machine)}


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    """A copy of the example flake, for a test to change."""
    return copy_of_the_flake(tmp_path)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The installed command."""
    return Command.install(tmp_path_factory.mktemp("command"))
