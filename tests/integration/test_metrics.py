# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of deployments that a host has had."""

from __future__ import annotations

from pathlib import Path

from integration.commanding import ROOT
from integration.faulting import QUICK, last_record
from integration.playing import deploy

from lab import Host, Lab


def test_metrics_of_what_was_recorded(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host1"]
    limits = QUICK
    assert deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=limits).code == 0
    said = 'a "message": "x", "outcome": "refused"'
    broken = {"deploy_flake_configuration": "host1-exit-4", "deploy_flake_message": said}
    assert deploy(lab, tmp_path, flake, "host1", deploy_flake_limits=limits, **broken).code != 0
    script = (ROOT / "nix/metrics.sh").read_text("utf-8")
    host.run(["/bin/sh", "-s", "/var/lib/metrics"], stdin=script, check=True)
    values = dict(
        line.rsplit(" ", 1) for line in host.read("/var/lib/metrics/deploy_flake.prom").splitlines() if line[0] != "#"
    )
    assert values['deploy_flake_deployments_total{outcome="committed"}'] == "1"
    assert values['deploy_flake_deployments_total{outcome="rolled-back"}'] == "1"
    assert values['deploy_flake_last_deployment_outcome{outcome="rolled-back"}'] == "1"
    assert last_record(host)["message"] == said
    ended = host.run(["date", "-u", "-d", str(last_record(host)["ended"]), "+%s"], check=True).stdout.strip()
    assert values["deploy_flake_last_deployment_end_seconds"] == ended
    assert 0 < int(values["deploy_flake_last_commit_end_seconds"]) <= int(ended)
    assert len(values) == 7
