# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of deployments, by the script of the NixOS module."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join
from tools.shell import ROOT

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
pytestmark = pytest.mark.shell
# What an operator or a unit may say, and is no field.
NOISE = 'x "outcome": "committed", \\ "ended": "2001-01-01T00:00:00Z"} {"outcome": "rolled-back"'


class Host:
    """The record of a host, written by the very function that writes it there, and the directory of the exporter."""

    def __init__(self, shell: list[str], directory: Path) -> None:
        self.shell, self.records, self.directory = shell, directory / "deployments.jsonl", directory / "text files"

    def ends(self, outcome: str, started: str, ended: str) -> None:
        fields = f"id d outcome {outcome} started {started} ended {ended} mode test why".split()
        script = join("lib/json") + "printf '{'\n"
        for name, value in zip(fields[::2], fields[1::2], strict=False):
            script += f"json_field {name} {value}; printf ', '\n"
        script += 'json_field message "$1"; printf ", "; json_field log "$1"; printf "}\\n"'
        done = subprocess.run([*self.shell, "-c", script, "-", NOISE], capture_output=True, text=True, check=True)
        with self.records.open("a") as records:
            records.write(done.stdout)

    def metrics(self) -> list[str]:
        text = (ROOT / "nix/metrics.sh").read_text().replace("/var/lib/deploy-flake/", f"{self.records.parent}/")
        command = [*self.shell, "-c", text, "-", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [file.name for file in self.directory.iterdir()] == ["deploy_flake.prom"]
        found = (self.directory / "deploy_flake.prom").read_text().splitlines()
        # Each metric has its type before it, as the format wants it.
        typed = {line.split()[2] for line in found if line.startswith("# TYPE ")}
        values = [line for line in found if not line.startswith("#")]
        assert all(re.match(r"\w+", line)[0] in typed for line in values)  # type: ignore[index]
        return values


@pytest.fixture
def host(shell: list[str], tmp_path: Path) -> Host:
    return Host(shell, tmp_path)


@every_shell
def test_metrics(host: Host) -> None:
    host.ends("committed", "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z")
    host.ends("committed", "2026-01-02T00:00:00Z", "2026-01-02T00:01:00Z")
    host.ends("rolled-back", "2026-01-03T00:00:00Z", "2026-01-03T00:00:05Z")
    assert host.metrics() == [
        'deploy_flake_deployments_total{outcome="committed"} 2',
        'deploy_flake_deployments_total{outcome="rolled-back"} 1',
        "deploy_flake_last_deployment_end_seconds 1767398405",
        "deploy_flake_last_deployment_duration_seconds 5",
        "deploy_flake_last_commit_end_seconds 1767312060",
        "deploy_flake_last_commit_duration_seconds 60",
        'deploy_flake_last_deployment_outcome{outcome="rolled-back"} 1',
    ]


@every_shell
def test_nothing_was_deployed_yet(host: Host) -> None:
    assert host.metrics() == []


@every_shell
def test_bytes_that_are_no_text(host: Host) -> None:
    host.ends("committed", "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z")
    host.records.write_bytes(host.records.read_bytes().replace(b'"message": "x', b'"message": "\xff\xfe'))
    assert host.metrics()[0] == 'deploy_flake_deployments_total{outcome="committed"} 1'


@every_shell
def test_what_a_power_cut_has_left(host: Host) -> None:
    host.ends("committed", "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z")
    with host.records.open("ab") as records:
        records.write(bytes(100) + b"\n")
    host.ends("rolled-back", "2026-01-03T00:00:00Z", "2026-01-03T00:00:05Z")
    assert "deploy_flake_last_commit_end_seconds 1767225610" in host.metrics()


def test_metrics_that_fail_stand_in_no_deployments_way() -> None:
    (start,) = re.findall(r"ExecStart = (.*)", (ROOT / "nix/metrics.nix").read_text())
    assert start.startswith('"-')


@every_shell
def test_what_a_run_that_was_killed_has_left(host: Host) -> None:
    host.directory.mkdir()
    (host.directory / "deploy_flake.prom.1").touch()
    assert host.metrics() == []


@every_shell
def test_a_directory_that_cannot_be_made(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = (ROOT / "nix/metrics.sh").read_text()
    done = subprocess.run([*host.shell, "-c", text, "-", str(tmp_path / "file/x")], capture_output=True, check=False)
    assert done.returncode != 0
