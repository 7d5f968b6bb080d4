# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets pytest be started by hand: what the Makefile sets is set here too where it is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ansible.release
import pytest
from ansible.plugins.loader import init_plugin_loader
from hypothesis import HealthCheck, settings

COLLECTIONS = Path(__file__).resolve().parents[1] / ".build/collections"

# The first text that hypothesis draws takes seconds where its tables have to be made, and machines for tests are busy.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Every run tries the same values and remembers nothing, so it ends as the one before.
settings.register_profile("same", _patient, derandomize=True, database=None)
# pytest --hypothesis-profile=explore: other values each time, and more of them.
settings.register_profile("explore", _patient, max_examples=1000)
settings.load_profile("same")

os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", str(COLLECTIONS))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not COLLECTIONS.is_dir():
        raise pytest.UsageError("The tests use the collection as it is installed: run `make collection` first.")
    # Without this option pytest-ansible makes a tree of links to the work tree, and tests that.
    if hasattr(config.option, "ansible_unit_inject_only"):
        config.option.ansible_unit_inject_only = True
    else:
        # It has Ansible find collections, as each program of Ansible's does before anything else.
        init_plugin_loader([os.environ["ANSIBLE_COLLECTIONS_PATH"]])


def pytest_report_header() -> str:
    core = f"ansible-core {ansible.release.__version__}"
    return f"{core} on Python {sys.version.split()[0]}, collections from {os.environ['ANSIBLE_COLLECTIONS_PATH']}"
