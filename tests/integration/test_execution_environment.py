# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys from the execution environment of the examples, built as ansible-builder says and run as AWX does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.containerfile import Bind, steps_of
from integration.execution_environment import ExecutionEnvironment, build
from integration.faulting import QUICK, answers, is_whole, last_record, wait_for
from integration.local_shell import write_shell
from integration.playing import change_the_flake, outcomes, systems
from unit.repository import git

from lab import Host, Lab, LabError
from lab.keys import login_key

# As a project has it whose job templates name a playbook; and the play of a host that deploys itself.
PLAYBOOK = "[{import_playbook: deploy_flake.nixos.deploy}]"
RUNNER = Path(sys.executable).with_name("ansible-runner")
TRUST = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "/runner/project",
}


@pytest.fixture(scope="module")
def environment(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> ExecutionEnvironment:
    return build(lab.state, tmp_path_factory.mktemp("definition"))


@pytest.fixture
def project(lab: Lab, flake: Path, tmp_path: Path) -> Path:
    """A git repository with a flake that is new to the hosts, its playbook, and the keys of the hosts."""
    change_the_flake(flake, f"environment-{tmp_path.name}")
    (flake / "deploy.yml").write_text(PLAYBOOK)
    shutil.copy(lab.state.known_hosts, flake / "known_hosts")
    commit(flake)
    return flake


def commit(flake: Path) -> None:
    """What there is becomes a commit, unless it is one already."""
    git(flake, "init", "--quiet")
    git(flake, "add", "--all")
    if git(flake, "status", "--porcelain"):
        git(flake, "commit", "--quiet", "-m", "a change")


def private(lab: Lab, directory: Path, *hosts: str, **variables: Any) -> Path:
    """ansible-runner's private data directory as AWX makes it, but for the project: the key comes by an agent."""
    known = yaml.safe_load(lab.inventory.read_text())["nixos"]["hosts"]
    found = {name: {**known[name]} for name in hosts}
    ssh = ["-o", "UserKnownHostsFile=/runner/project/known_hosts", "-o", "GlobalKnownHostsFile=/dev/null"]
    for one in found.values():
        del one["ansible_ssh_private_key_file"]
        one["ansible_ssh_common_args"] = shlex.join(ssh)
    files = {
        "inventory/hosts.yml": yaml.safe_dump({"all": {"hosts": found}}),
        "env/ssh_key": login_key(lab.state).read_text(),
        # ansible-runner, as AWX, would have no host's key looked at.
        "env/envvars": yaml.safe_dump(
            {"ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_SSH_CONTROL_PATH_DIR": "/runner/cp"}
        ),
        "env/extravars": yaml.safe_dump({"deploy_flake_limits": QUICK, **variables}),
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        (directory / name).chmod(0o640)
    return directory


def committed(host: Host, before: str) -> None:
    """The host runs and boots another system than before, by somebody who has no name."""
    assert systems(host).running != before
    is_whole(host, systems(host).running, "committed")
    assert last_record(host)["by"] == "1000650000"
    assert re.fullmatch("[0-9a-f]{40}", last_record(host)["revision"])


def test_work_for_a_worker(
    lab: Lab, whole: dict[str, Host], environment: ExecutionEnvironment, project: Path, tmp_path: Path
) -> None:
    """What AWX has a pod do: all comes on standard input, and goes on standard output."""
    before = {name: systems(whole[name]).running for name in ("host1", "host2")}
    directory = private(lab, tmp_path / "private", *before)
    shutil.copytree(project, directory / "project", symlinks=True)
    work = tmp_path / "work"
    with work.open("wb") as file:
        subprocess.run([RUNNER, "transmit", directory, "-p", "deploy.yml"], stdout=file, check=True)
    done = environment.run("ansible-runner", "worker", "--private-data-dir=/runner", stdin=work)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    results = tmp_path / "results"
    results.mkdir()
    processed = subprocess.run(
        [RUNNER, "process", results], input=done.stdout, capture_output=True, text=True, check=False
    )
    (code,) = results.rglob("rc")
    assert code.read_text() == "0", processed.stdout
    for name, system in before.items():
        committed(whole[name], system)


def test_project_that_belongs_to_somebody_else(
    lab: Lab, whole: dict[str, Host], environment: ExecutionEnvironment, project: Path, tmp_path: Path
) -> None:
    """It is mounted, to be read alone: git refuses it until it is told, and then nothing is written to it."""
    host = whole["host3"]
    before = systems(host), outcomes(host)
    directory = private(lab, tmp_path / "private", "host3")
    binds = [Bind(project, "/runner/project", read_only=True)]
    binds += [Bind(directory / name, f"/runner/{name}", read_only=True) for name in ("env", "inventory")]
    deploy = ("ansible-runner", "run", "/runner", "-p", "deploy.yml")

    refused = environment.run(*deploy, binds=binds)
    assert refused.returncode == 2, refused.stdout
    assert "git refuses to read /runner/project, since it belongs to another user" in refused.stdout
    assert "GIT_CONFIG_VALUE_0=/runner/project" in refused.stdout
    # A home that takes nothing is passed over for one that does.
    wanting = environment.run(
        *("sh", "-c", 'rm /usr/bin/git; exec setpriv --reuid 1000650000 --regid 0 --clear-groups "$@"', "sh"),
        *(*environment.image.entrypoint, *deploy),
        binds=binds,
        environment={**TRUST, "HOME": "/"},
        user="0:0",
        entrypoint=False,
    )
    assert wanting.returncode == 2, wanting.stdout
    assert "/runner/project is a git repository, but the program git is not on this machine" in wanting.stdout
    assert (systems(host), outcomes(host)) == before

    deployed = environment.run(*deploy, binds=binds, environment={**TRUST, "HOME": "/"})
    assert deployed.returncode == 0, deployed.stdout[-3000:] + deployed.stderr
    committed(host, before[0].running)
    assert git(project, "status", "--porcelain", "--ignored") == ""


def test_user_whom_nobody_knows(environment: ExecutionEnvironment) -> None:
    """Without the entrypoint, which makes one known, Ansible and ssh say what is lacking."""
    options = ("all", "-i", "192.0.2.1,", "-m", "deploy_flake.nixos.system_info")
    homeless = environment.run("ansible", *options, entrypoint=False, environment={"HOME": "/"})
    assert homeless.returncode != 0
    assert "Unable to create local directories" in homeless.stderr
    nameless = environment.run("ansible", *options, entrypoint=False, environment={"HOME": "/tmp"})
    assert nameless.returncode != 0
    assert "No user exists for uid 1000650000" in nameless.stdout


# A host that deploys itself


def pull(
    environment: ExecutionEnvironment, host: Host, project: Path, directory: Path, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """ansible-pull among the processes of a host and in its network, as root.

    A host of the lab has no Python. So the files of Ansible are those of the execution environment, and its local
    connection has the host's shell, which sees the host's files.
    """
    shell = write_shell(directory / "shell", 1, "--mount --root --wd")
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_shell_executable": "/srv/shell",
            # It is root already.
            "deploy_flake_become": False,
            "deploy_flake_limits": QUICK,
            **variables,
        },
        "roles": ["deploy_flake.nixos.deploy"],
    }
    (project / "local.yml").write_text(yaml.safe_dump([play]))
    commit(project)
    # Nobody is logged in here. The manager of a user who was, for a test before, would end in the middle of the switch.
    users = "systemctl list-units 'user@*.service' --plain --no-legend"
    wait_for(lambda: not host.run(users).stdout.strip(), 60, 0.2, "somebody stays logged in")
    return environment.run(
        *("ansible-pull", "--url=/srv/project", f"--inventory={host.name},", "local.yml"),
        binds=[
            Bind(project, "/srv/project", read_only=True),
            Bind(shell, "/srv/shell", read_only=True),
            # Nobody answers there, and an empty list of name servers says so at once.
            Bind(Path("/dev/null"), "/etc/resolv.conf"),
        ],
        environment={"HOME": "/root"},
        user="0:0",
        entrypoint=False,
        with_host=host,
    )


def test_pull(whole: dict[str, Host], environment: ExecutionEnvironment, project: Path, tmp_path: Path) -> None:
    """Refused, since it proves no way in; allowed for the next boot, or where somebody says so."""
    host = whole["host1"]
    before = systems(host), outcomes(host)
    refused = pull(environment, host, project, tmp_path)
    assert refused.returncode != 0
    assert "the connection 'local' does not come from there" in refused.stdout
    assert "unproven_way_in" in refused.stdout
    assert (systems(host), outcomes(host)) == before

    done = pull(environment, host, project, tmp_path, deploy_flake_test=False)
    assert done.returncode == 0, done.stdout + done.stderr
    now = systems(host)
    assert now.running == before[0].running
    assert now.boot_default == now.loader != now.running
    assert last_record(host)["outcome"] == "committed"

    change_the_flake(project, f"allowed-{tmp_path.name}")
    allow = ["unproven_way_in", "untested_boot_default"]
    done = pull(environment, host, project, tmp_path, deploy_flake_allow=allow)
    assert done.returncode == 0, done.stdout + done.stderr
    assert systems(host).running not in (now.running, now.boot_default)
    is_whole(host, systems(host).running, "committed")
    again = pull(environment, host, project, tmp_path, deploy_flake_allow=allow)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "changed=0" in again.stdout.rpartition("PLAY RECAP")[2]


def test_pull_keeps_a_system_that_nobody_can_reach(
    lab: Lab, whole: dict[str, Host], environment: ExecutionEnvironment, project: Path, tmp_path: Path
) -> None:
    """What is lost where no other machine confirms; what the host can tell by itself is undone as ever."""
    host = whole["host3"]
    variables = {"deploy_flake_allow": ["unproven_way_in"]}
    before = systems(host).running
    failed = pull(environment, host, project, tmp_path, deploy_flake_configuration="host3-swap-fails", **variables)
    assert failed.returncode != 0, failed.stdout
    is_whole(host, before, "rolled-back")
    try:
        done = pull(environment, host, project, tmp_path, deploy_flake_configuration="host3-firewall", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        assert last_record(host)["outcome"] == "committed"
        assert not answers(host)
    finally:
        lab.reset([host])


# The Containerfile


def test_step_that_nothing_carries_out() -> None:
    with pytest.raises(LabError, match="HEALTHCHECK"):
        steps_of("FROM a AS b\nHEALTHCHECK CMD true\n")
    assert [step.word for step in steps_of("# One.\nFROM a AS b\n\nRUN a \\\n  && b\n")] == ["FROM", "RUN"]
