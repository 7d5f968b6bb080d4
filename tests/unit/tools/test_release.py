# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is released has one version, and what its pages link to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import deploy_flake
from tools import tree
from tools.collection import COLLECTIONS, IN_COLLECTIONS
from tools.shell import ROOT

GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
SHIPPED = COLLECTIONS / IN_COLLECTIONS


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_the_collection_and_the_package_have_one_version() -> None:
    assert GALAXY["version"] == deploy_flake.__version__
    shipped = json.loads((SHIPPED / "MANIFEST.json").read_text())["collection_info"]["version"]
    assert shipped == deploy_flake.__version__


def test_the_readme_names_the_version() -> None:
    assert f"**Status: {GALAXY['version']}" in (ROOT / "README.md").read_text()


def test_the_execution_environment_has_this_version() -> None:
    definition = yaml.safe_load((ROOT / "examples/execution-environment.yml").read_text())
    tarball = f"deploy_flake-nixos-{GALAXY['version']}.tar.gz"
    assert [one["name"] for one in definition["dependencies"]["galaxy"]["collections"]] == [tarball]
    assert [one["src"] for one in definition["additional_build_files"]] == [tarball]


def test_the_changelog_is_not_ahead_of_the_version() -> None:
    """Where no release has been made yet, the fragments say what the first one offers, and so mend nothing."""
    changelog = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())
    releases = [number(version) for version in changelog["releases"]]
    assert all(release <= number(GALAXY["version"]) for release in releases)
    fragments = [yaml.safe_load(file.read_text()) for file in (ROOT / "changelogs/fragments").glob("*.yml")]
    assert releases or not [fragment for fragment in fragments if "bugfixes" in fragment]


@pytest.mark.parametrize("file", sorted((ROOT / "plugins/modules").glob("*.py")), ids=lambda file: file.stem)
def test_nothing_was_added_after_this_version(file: Path) -> None:
    added = re.findall(r"version_added: ([0-9.]+)", file.read_text())
    assert added
    assert all(number(version) <= number(GALAXY["version"]) for version in added)


def links(page: Path) -> set[str]:
    """What a page links to and shows that is not on another server or on the page itself."""
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    return {link for link in found if "://" not in link}


@pytest.mark.parametrize("page", [name for name in tree.files() if name.endswith(".md")])
def test_every_link_leads_somewhere(page: str) -> None:
    missing = [link for link in links(ROOT / page) if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted(str(file.relative_to(SHIPPED)) for file in SHIPPED.rglob("*.md")))
def test_the_tarball_has_what_its_pages_link_to(page: str) -> None:
    missing = [link for link in links(ROOT / page) if not (SHIPPED / page).parent.joinpath(link).exists()]
    assert missing == []


def test_the_tarball_has_nothing_of_the_package_but_the_schema() -> None:
    assert [file.name for file in (SHIPPED / "deploy_flake").iterdir()] == ["events.schema.json"]


def test_every_module_is_in_the_readme_and_in_the_action_group() -> None:
    modules = sorted(file.stem for file in (ROOT / "plugins/modules").glob("*.py"))
    readme = (ROOT / "README.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)) == modules
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["deploy"]) == modules
