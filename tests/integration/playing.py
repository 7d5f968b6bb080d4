# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs real playbooks through ansible-runner, and looks at what is left on a host."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_runner import interface

from lab import Host, Lab
from lab.state import State

FLAKE = Path(__file__).parents[2] / "examples" / "flake"
DEPLOY = "deploy_flake.nixos.deploy"
# Long enough for a loaded machine, short enough for a test that waits for one to run out.
LIMITS = {"health": 30, "check": 20, "activate": 30, "confirm": 60, "commit": 30, "rollback": 40}
# What an emulated machine needs.
PATIENT = {name: 5 * limit for name, limit in LIMITS.items()} | {"reboot": 400}
if State().all_machines:
    LIMITS |= PATIENT


@dataclass
class Played:
    """What came of a playbook."""

    code: int
    output: str
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """For each host the results of its tasks, in order, with the action under `action`."""
    unreachable: set[str] = field(default_factory=set)

    def of(self, host: str, module: str) -> dict[str, Any]:
        """The last result of a module on a host."""
        return [result for result in self.results[host] if result["action"].endswith(module)][-1]

    def failure(self, host: str) -> dict[str, Any]:
        """The result that ended the play for a host."""
        return [result for result in self.results[host] if result.get("failed")][-1]

    def changed(self, host: str) -> list[str]:
        """The actions that changed the host."""
        return [result["action"] for result in self.results[host] if result.get("changed")]


def play(
    lab: Lab,
    directory: Path,
    playbook: str | list[dict[str, Any]] = DEPLOY,
    limit: Iterable[str] = (),
    options: str = "",
    **variables: Any,
) -> Played:
    """Run a playbook, by name or as its plays, on some hosts of the lab."""
    if not isinstance(playbook, str):
        (directory / "plays.yml").write_text(yaml.safe_dump(playbook), encoding="utf-8")
        playbook = str(directory / "plays.yml")
    run = interface.run(
        private_data_dir=tempfile.mkdtemp(dir=directory),
        cmdline=options or None,
        playbook=playbook,
        inventory=str(lab.inventory),
        limit=",".join(limit) or None,
        extravars=variables,
        quiet=True,
        suppress_env_files=True,
        # Without the last one a task that returns much has returned nothing.
        envvars={"ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_FORCE_COLOR": "False", "MAX_EVENT_RES": str(1 << 30)},
    )
    played = Played(run.rc, run.stdout.read())
    for event in run.events:
        data = event.get("event_data", {})
        if event["event"] == "runner_on_unreachable":
            played.unreachable.add(data["host"])
        elif event["event"] in ("runner_on_ok", "runner_on_failed", "runner_on_skipped"):
            result = {
                **data.get("res", {}),
                "failed": event["event"] == "runner_on_failed",
                "action": data.get("resolved_action") or data["task_action"],
                "task": data["task"],
            }
            played.results.setdefault(data["host"], []).extend(_steps(result))
    for results in played.results.values():
        _in_full(results)
    return played


def _in_full(results: list[dict[str, Any]]) -> None:
    """The last task of the role has the reason in full, and the task that failed its first line: here both have all."""
    last = results[-1]
    if last["action"].endswith("fleet_outcome"):
        text = str(last.get("msg"))
        for result in results[:-1]:
            if result["failed"] and result.get("msg") == text.partition("\n")[0]:
                result |= {"first": result["msg"], "msg": text}


def _steps(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of flake_deploy's steps as those of the modules that it stands for; any other result as it is."""
    modules = {"build": "flake_build", "test": "system_test", "boot": "system_boot"}
    if not result["action"].endswith("flake_deploy") or "build" not in result:
        return [result]
    steps = [(f"deploy_flake.nixos.{module}", result[name]) for name, module in modules.items() if name in result]
    return [
        {
            "failed": False,
            **step,
            **({"msg": result["msg"]} if step.get("failed") else {}),
            "action": action,
            "task": result["task"],
        }
        for action, step in steps
    ]


def deploy(lab: Lab, directory: Path, flake: Path | str, *hosts: str, **variables: Any) -> Played:
    """Run the collection's own playbook on some hosts."""
    settings = {"deploy_flake_limits": LIMITS} | variables
    return play(lab, directory, limit=hosts, deploy_flake_flake=str(flake), **settings)


def copy_of_the_flake(directory: Path) -> Path:
    """The example flake by itself, outside of any git work tree."""
    return Path(shutil.copytree(FLAKE, directory / "flake"))


def change_the_flake(flake: Path, version: str) -> None:
    """Change the one line that gives every host another system."""
    hosts = flake / "hosts.nix"
    hosts.write_text(re.sub(r'version = ".*"', f'version = "{version}"', hosts.read_text(encoding="utf-8")), "utf-8")


@dataclass(frozen=True)
class Systems:
    """Which systems a host has where."""

    running: str
    boot_default: str
    booted: str
    loader: str


# What systems() reads; the last line is what the boot loader would start.
SYSTEMS = r"""
    readlink -f /run/current-system
    readlink -f /nix/var/nix/profiles/system
    readlink -f /run/booted-system
    if [ -e /boot/loader/loader.conf ]; then
        file=/boot/loader/entries/$(sed -n 's/^default //p' /boot/loader/loader.conf)
    elif [ -e /boot/grub/grub.cfg ]; then
        # Its first entry is the default.
        file=/boot/grub/grub.cfg
    else
        # Its default is the first as well.
        file=/boot/extlinux/extlinux.conf
    fi
    sed -n 's|.*init=\([^ ]*\)/init.*|\1|p' "$file" | head -n 1
"""
# What remains() reads.
REMAINS = """
    ls /run/deploy-flake /var/lib/deploy-flake /nix/var/nix/gcroots/deploy-flake 2>/dev/null |
        grep -v -e : -e '^deployments.jsonl$' -e '^secrets$' -e '^evaluated$' -e '^$'
    ls /etc/systemd/system.attached 2>/dev/null
    find /etc/secrets /run/secrets /var/lib/deploy-flake -name '*.deploy-flake-*' 2>/dev/null
    ls -d /nix/var/nix/deploy-flake.* /run/deploy-flake-* 2>/dev/null
    systemctl list-units --all --plain --no-legend --full 'deploy-flake*' |
        grep -v -e '^deploy-flake-trial.service .* inactive ' -e '^deploy-flake-secrets.service .* active '
    find /nix/var/nix/gcroots/auto -lname '*deploy-flake*'
    find /boot -name '*.deploy-flake'
"""


def systems(host: Host) -> Systems:
    """Look at the host itself, without ssh; `loader` is what the boot loader would start."""
    return Systems(*host.run(SYSTEMS).stdout.split())


def remains(host: Host) -> str:
    """What a deployment may not leave behind; nothing, after one that has ended."""
    return host.run(REMAINS, check=False).stdout.strip()


def forget_builds(hosts: Iterable[Host]) -> None:
    """Let go of what was built and never deployed, as the next deployment does."""
    for host in hosts:
        host.run("rm -rf /nix/var/nix/gcroots/deploy-flake", check=True)


def outcomes(host: Host) -> Mapping[str, str]:
    """The deployments that the host has recorded, with their outcomes."""
    script = "cat /var/lib/deploy-flake/deployments.jsonl 2>/dev/null || true"
    records = [yaml.safe_load(line) for line in host.run(script).stdout.splitlines()]
    return {record["id"]: record["outcome"] for record in records}
