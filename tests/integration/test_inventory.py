# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flake as an inventory: real Nix on a host evaluates it, and what it says is deployed to."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.faulting import QUICK
from integration.playing import change_the_flake, forget_builds, remains, systems
from integration.test_remote_flake import served

from lab import Host, Lab

# What deploy-rs and colmena would have a flake say, without either of them.
SAYS = """
      deploy = {
        sshUser = "USER";
        nodes.host2 = {
          hostname = "ADDRESS";
          sshOpts = [ "-p" "PORT" "-o" "ProxyCommand=touch MARK" ];
          profiles.system.path = throw "nothing is built";
        };
        nodes.host3.hostname = "-oProxyCommand=touch MARK";
      };
      colmenaHive = {
        metaConfig.allowApplyAll = false;
        nodes.db = self.nixosConfigurations.host1 // {
          config = self.nixosConfigurations.host1.config // {
            deployment = {
              targetHost = "192.0.2.1";
              targetPort = 22;
              targetUser = null;
              tags = [ "{{ 7 * 7 }}" "big" ];
              keys.secret.text = throw "no secret is read";
            };
          };
        };
        nodes.broken.config.deployment = throw "broken";
      };
"""
EXCLUDE = ["host*-*", "initial*", "host[4-9]", "host??"]


class Reader:
    """Ansible with an inventory that a host of the lab evaluates."""

    def __init__(self, lab: Lab, host: Host, flake: Path, directory: Path) -> None:
        self.variables = yaml.safe_load(lab.inventory.read_text("utf-8"))["nixos"]["hosts"][host.name]
        self.lab, self.host, self.flake, self.directory = lab, host, flake, directory
        self.file = directory / "inventory.yml"

    def deploy(self, name: str) -> subprocess.CompletedProcess[str]:
        """Deploy to one host of the inventory, with its password for sudo, which no flake says."""
        hosts = yaml.safe_load(self.lab.inventory.read_text("utf-8"))["nixos"]["hosts"]
        said = {
            "deploy_flake_limits": QUICK,
            "ansible_become_password": hosts[name]["ansible_become_password"],
        }
        return self.run("ansible-playbook", "deploy_flake.nixos.deploy", "--limit", name, "-e", json.dumps(said))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The lab's own key, for what the flake does not say; and no Nix.
        ssh = {
            "ANSIBLE_PRIVATE_KEY_FILE": self.variables["ansible_ssh_private_key_file"],
            "ANSIBLE_SSH_COMMON_ARGS": shlex.join(self.host.ssh_options()),
        }
        return subprocess.run(
            [program, "-i", str(self.file), *arguments],
            cwd="/",
            env={**os.environ, **ssh, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def read(self, **config: Any) -> tuple[Mapping[str, Any], str]:
        """What ansible-inventory lists, and what it says beside that."""
        told = {
            "plugin": "deploy_flake.nixos.flake",
            "flake": str(self.flake),
            "exclude": EXCLUDE,
            "evaluate_on": "a-host-of-the-lab",
            "evaluate_on_vars": self.variables,
            **config,
        }
        self.file.write_text(yaml.safe_dump(told), "utf-8")
        done = self.run("ansible-inventory", "--list")
        return (plain(json.loads(done.stdout)) if done.returncode == 0 else {}), done.stderr


def plain(value: Any) -> Any:
    """As it is. Ansible shows what it will not template as such."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if "__ansible_unsafe" in value else {k: plain(v) for k, v in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once something of the flake was run on the controller."""
    return tmp_path / "was-run"


@pytest.fixture
def reader(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path, mark: Path) -> Reader:
    text = (flake / "flake.nix").read_text("utf-8")
    host2, systems_at = whole["host2"], "      nixosConfigurations =\n"
    assert text.count(systems_at) == 1
    says = SAYS.replace("USER", host2.user).replace("ADDRESS", host2.address).replace("PORT", str(host2.port))
    says = says.replace("MARK", str(mark))
    (flake / "flake.nix").write_text(text.replace(systems_at, says.lstrip("\n") + systems_at), "utf-8")
    return Reader(lab, whole["host1"], flake, tmp_path)


@pytest.mark.core
def test_a_host_evaluates_and_the_flake_is_deployed(reader: Reader, whole: dict[str, Host], mark: Path) -> None:
    listed, said = reader.read()
    known = listed["_meta"]["hostvars"]
    assert sorted(known) == ["db", "host1", "host2"]
    assert known["host2"] | {"flake_tags": 0} == {
        "ansible_host": whole["host2"].address,
        "ansible_port": whole["host2"].port,
        "ansible_user": whole["host2"].user,
        "deploy_flake_flake": str(reader.flake),
        "deploy_flake_allow_all": False,
        "flake_outputs": ["deploy", "nixosConfigurations"],
        "flake_tags": 0,
    }
    assert known["db"]["deploy_flake_attribute"] == 'colmenaHive.nodes."db".config.system.build.toplevel'
    assert listed["tag_big"]["hosts"] == listed["tag____7___7___"]["hosts"] == ["db"]
    for name in ("host3", "broken"):
        assert f"'{name}' is left out" in said
    assert "options of ssh that the flake says of host2 are left out" in said
    # Progress is there, and not where the inventory is.
    assert "evaluates which hosts the flake has" in said
    assert not remains(whole["host1"])
    before = {name: systems(host) for name, host in whole.items()}
    # A hive that says so is not deployed to whole, unless somebody means that.
    refused = reader.run("ansible-playbook", "deploy_flake.nixos.deploy")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "deploy_flake_allow_all" in refused.stdout + refused.stderr
    assert {name: systems(host) for name, host in whole.items()} == before
    done = reader.deploy("host2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "host2" in systems(whole["host2"]).running
    assert systems(whole["host2"]).boot_default == systems(whole["host2"]).running
    assert {name: systems(whole[name]) for name in ("host1", "host3")} == {
        name: before[name] for name in ("host1", "host3")
    }
    assert not mark.exists()


def test_variables_and_constructed_groups(reader: Reader) -> None:
    # Nobody has built it before.
    change_the_flake(reader.flake, f"read-{reader.directory.name}")
    listed, _said = reader.read(
        variables={"toplevel": "system.build.toplevel", "nothing": "no.such.thing", "build": "system.build"},
        compose={"named": "toplevel is search(inventory_hostname)"},
        keyed_groups=[{"key": "flake_outputs", "prefix": "of"}],
        outputs=["nixosConfigurations"],
    )
    known = listed["_meta"]["hostvars"]
    assert sorted(known) == ["host1", "host2", "host3"]
    for name, variables in known.items():
        assert variables["named"] is True
        assert variables["toplevel"].startswith("/nix/store/")
        assert variables["build"] == {"toplevel": variables["toplevel"]}, name
        assert "nothing" not in variables
    # It was evaluated, and not built.
    assert reader.host.run(["ls", known["host1"]["toplevel"]]).returncode != 0
    assert sorted(listed["of_nixosConfigurations"]["hosts"]) == ["host1", "host2", "host3"]


def test_kept_under_the_flakes_content(reader: Reader, tmp_path: Path) -> None:
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    listed, _said = reader.read(**cache)
    # Nobody has to be asked again.
    nowhere = {"evaluate_on_vars": {"ansible_host": "192.0.2.254", "ansible_ssh_timeout": 2}}
    assert reader.read(**cache, **nowhere)[0] == listed
    assert reader.read(**nowhere)[0] == {}
    (reader.flake / "flake.nix").write_text((reader.flake / "flake.nix").read_text().replace('"big"', '"small"'))
    found, said = reader.read(**cache, **nowhere)
    assert (found, "192.0.2.254" in said or "a-host-of-the-lab" in said) == ({}, True)
    assert "tag_small" in reader.read(**cache)[0]


def test_a_flake_that_cannot_be_evaluated(reader: Reader) -> None:
    (reader.flake / "flake.nix").write_text("{ outputs = _: { nixosConfigurations = throw ''it is broken''; }; }")
    listed, said = reader.read()
    assert listed == {}
    assert "a-host-of-the-lab could not evaluate which hosts the flake has" in said
    assert "it is broken" in said
    assert not remains(reader.host)


def test_a_remote_flake_is_deployed_as_it_was_evaluated(
    lab: Lab, reader: Reader, whole: dict[str, Host], mark: Path
) -> None:
    """The tarball is another one each time that somebody gets it."""
    with served(lab, reader.flake) as (url, got):
        listed, said = reader.read(flake=url)
        assert sorted(listed["_meta"]["hostvars"]) == ["db", "host1", "host2"], said
        assert len(got) == 1
        done = reader.deploy("host2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(got) == 2
        assert systems(whole["host2"]).running.endswith(".tarball.2")
    assert not mark.exists()
    forget_builds(whole.values())
