# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, as Ansible loads it: what becomes of files, of Nix on the controller, and of Ansible's cache.

What real Nix says of a flake is tested on a host of the lab.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

from ansible_collections.deploy_flake.nixos.plugins.inventory import flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import LocalFlake, find_flake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._inventory.named_host import named_host

SAID: dict[str, Any] = {
    "nixosConfigurations": {"web1": {"role": "{{ 1 + 1 }}"}, "web2": {"role": "db"}},
    "deploy": {"sshUser": "admin", "nodes": {"web1": {"hostname": "192.0.2.1", "sshOpts": ["-p", "22", "-J", "a b"]}}},
    "colmena": {
        "allowApplyAll": False,
        "output": "colmenaHive",
        "nodes": {"db": {"targetHost": "db.example.org", "targetUser": "root", "tags": ["big", "{{ evil }}"]}},
    },
}
CONFIG: dict[str, Any] = {"plugin": "deploy_flake.nixos.flake"}


class Inventory:
    """A directory with an inventory, and what Ansible reads of it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        self.failures: list[str] = []

        def warning(_display: Any, msg: Any, *_more: Any, **_named: Any) -> None:
            self.warnings.append(str(msg))

        def error(_display: Any, msg: Any, exception: Any, *_more: Any, **_named: Any) -> None:
            self.failures.append(f"{msg} {exception}")

        monkeypatch.setattr(Display, "warning", warning)
        monkeypatch.setattr(Display, "error_as_warning", error)

    def write(self, name: str, content: Any) -> Path:
        file = self.directory / name
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return file

    def read(self, *others: Path, **config: Any) -> InventoryManager:
        """The hosts; AnsibleError where the plugin has failed."""
        self.warnings.clear()
        self.failures.clear()
        file = self.write("hosts.yml", {**CONFIG, **config})
        found = InventoryManager(DataLoader(), [*map(str, others), str(file)])
        if self.failures:
            # That of this plugin is the first; those that Ansible tries after it cannot read its file.
            raise AnsibleError(self.failures[0])
        return found

    def of_file(self, said: Any = None, **config: Any) -> InventoryManager:
        """What a file says, or all that there is to say."""
        self.write("said.json", SAID if said is None else said)
        return self.read(file="said.json", **config)


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return Inventory(tmp_path, monkeypatch)


def variables(found: InventoryManager, name: str) -> dict[str, Any]:
    return {key: value for key, value in found.hosts[name].vars.items() if not key.startswith("inventory_")}


def test_hosts_of_a_file(inventory: Inventory) -> None:
    found = inventory.of_file()
    assert variables(found, "web1") == {
        "ansible_host": "192.0.2.1",
        "ansible_user": "admin",
        "ansible_port": 22,
        "role": "{{ 1 + 1 }}",
        "flake_outputs": ["deploy", "nixosConfigurations"],
        "flake_tags": [],
        "deploy_flake_allow_all": False,
    }
    assert variables(found, "db")["deploy_flake_attribute"] == 'colmenaHive.nodes."db".config.system.build.toplevel'
    groups = {name: sorted(hosts) for name, hosts in found.get_groups_dict().items()}
    assert groups == {
        "all": ["db", "web1", "web2"],
        "ungrouped": [],
        "deploy_nodes": ["web1"],
        "nixos_configurations": ["web1", "web2"],
        "colmena_hive": ["db"],
        "tag_big": ["db"],
        "tag____evil___": ["db"],
    }


def test_nothing_of_the_flake_is_a_template(inventory: Inventory) -> None:
    found = inventory.of_file(
        compose={"same": "role", "made": "role ~ '!'"}, keyed_groups=[{"key": "role", "prefix": "r"}]
    )
    manager = VariableManager(loader=DataLoader(), inventory=found)
    known = manager.get_vars(host=found.get_host("web1"))
    templar = Templar(loader=DataLoader(), variables=known)
    for name in ("role", "same"):
        assert templar.template(known[name]) == "{{ 1 + 1 }}"
    assert templar.template(known["made"]) == "{{ 1 + 1 }}!"
    assert "r____1___1___" in found.groups


def test_options_of_ssh_only_where_they_are_asked_for(inventory: Inventory) -> None:
    assert "ansible_ssh_common_args" not in variables(inventory.of_file(), "web1")
    assert any("web1" in one and "ssh_options" in one for one in inventory.warnings)
    found = inventory.of_file(ssh_options=True)
    assert shlex.split(variables(found, "web1")["ansible_ssh_common_args"]) == ["-J", "a b"]
    assert not inventory.warnings


def test_what_is_left_out_is_said(inventory: Inventory) -> None:
    said = {
        "deploy": {"nodes": {"web3": {"hostname": "-oProxyCommand=x"}, "web4": {"hostname": "h"}}},
        "colmena": {"nodes": None},
        "nixosConfigurations": {"web1": {"ansible_connection": "local"}, "web2": {}},
    }
    found = inventory.of_file(said, variables={"domain": "networking.domain"})
    assert sorted(found.hosts) == ["web2", "web4"]
    for words in (
        "'web1' is left out of the inventory: nixosConfigurations: ansible_connection cannot be a variable",
        "'web3' is left out of the inventory: deploy: '-oProxyCommand=x' is neither the name of a host nor an address",
        "web4 of 'deploy' has no configuration of that name",
        "colmenaHive = colmena.lib.makeHive",
        "no host has domain",
    ):
        assert any(words in one for one in inventory.warnings), words


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_flake_does_not_name_the_controller(inventory: Inventory, name: str) -> None:
    found = inventory.of_file({"deploy": {"nodes": {name: {"hostname": "evil.example.org"}}}})
    assert not found.hosts
    assert found.get_host("localhost").vars["ansible_connection"] == "local"
    assert any(f"'{name}' is left out of the inventory" in one for one in inventory.warnings)


@pytest.mark.parametrize(
    ("said", "compose"),
    [
        ({"deploy": {"nodes": {"web1": {"hostname": "evil.example.org"}}}}, {}),
        ({"deploy": {"nodes": {"web1": {"hostname": "web1.lan", "sshUser": "evil"}}}}, {}),
        ({"nixosConfigurations": {"web1": {"ansible_port": 23}}}, {}),
        ({"nixosConfigurations": {"web1": {"domain": "evil.org"}}}, {"ansible_host": "'web1.' ~ domain"}),
    ],
)
def test_a_host_of_another_inventory_is_reached_as_that_says(
    inventory: Inventory, said: dict[str, Any], compose: dict[str, str]
) -> None:
    known = {"ansible_host": "web1.lan", "ansible_port": 22, "ansible_become_password": "secret"}
    text = yaml.safe_dump({"mine": {"hosts": {"web1": known}}})
    before = inventory.write("before.yml", text)
    inventory.write("said.json", said)
    found = inventory.read(before, file="said.json", compose=compose)
    assert variables(found, "web1") == known
    assert sorted(group.name for group in found.hosts["web1"].get_groups()) == ["all", "mine"]
    assert any("'web1' is left out" in one and "another inventory has it" in one for one in inventory.warnings)


def test_a_host_of_another_inventory_with_what_the_flake_says_beside(inventory: Inventory) -> None:
    known = {"ansible_host": "{{ 'web1' }}.lan", "ansible_user": "admin"}
    before = inventory.write("before.yml", yaml.safe_dump({"mine": {"hosts": {"web1": known}}}))
    inventory.write("said.json", {"nixosConfigurations": {"web1": {"role": "db", "ansible_user": "admin"}}})
    found = inventory.read(before, file="said.json")
    assert variables(found, "web1").items() >= {**known, "role": "db"}.items()
    assert "web1" in found.get_groups_dict()["nixos_configurations"]
    assert not inventory.warnings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ansible_host", "-oProxyCommand=id", "neither the name of a host nor an address"),
        ("ansible_user", "-oProxyCommand=id", "not the name of a user"),
        ("ansible_port", "-1", "not a port"),
    ],
)
def test_what_is_composed_is_looked_at_too(inventory: Inventory, variable: str, value: str, said: str) -> None:
    hosts = {"web1": {"given": value}, "web2": {}}
    found = inventory.of_file({"nixosConfigurations": hosts}, compose={variable: "given"})
    assert list(found.hosts) == ["web2"]
    assert found.get_groups_dict()["nixos_configurations"] == ["web2"]
    assert any("'web1' is left out" in one and said in one for one in inventory.warnings), inventory.warnings


def test_a_composition_that_fails_leaves_another_inventorys_host(inventory: Inventory) -> None:
    before = inventory.write("before.yml", yaml.safe_dump({"mine": {"hosts": {"web1": {"ansible_host": "web1.lan"}}}}))
    inventory.write("said.json", {"deploy": {"nodes": {"web1": {"hostname": "evil.example.org"}}}})
    config = inventory.write("hosts.yml", {**CONFIG, "file": "said.json", "compose": {"a": "gone.b"}, "strict": True})
    found = InventoryManager(DataLoader(), [str(before), str(config)])
    assert inventory.failures
    assert variables(found, "web1") == {"ansible_host": "web1.lan"}


def test_constructed(inventory: Inventory) -> None:
    found = inventory.of_file(
        compose={"ansible_host": "inventory_hostname ~ '.example.org'"},
        groups={"databases": "role == 'db'"},
        keyed_groups=[{"key": "flake_outputs", "prefix": "by"}],
        tag_prefix="",
        exclude=["web1"],
        strict=False,
    )
    assert variables(found, "web2")["ansible_host"] == "web2.example.org"
    groups = found.get_groups_dict()
    assert groups["databases"] == ["web2"]
    assert groups["by_nixosConfigurations"] == ["web2"]
    assert groups["big"] == ["db"]
    assert "web1" not in found.hosts


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"outputs": ["other"]}, "other"),
        ({"file": "gone.json"}, "gone.json"),
        ({"flake": "./gone"}, "gone"),
        ({"flake": "."}, "flake.nix"),
        ({"flake": "github:o/r#x"}, "'#'"),
        ({"variables": {"ansible_connection": "a.b"}, "flake": "."}, "ansible_connection"),
        ({"variables": {"deploy_flake_flake": "a.b"}, "flake": "."}, "deploy_flake_flake"),
        ({"variables": {"a-b": "a.b"}, "flake": "."}, "a-b"),
        ({"variables": {"a": "a.b; c"}, "flake": "."}, "a.b; c"),
    ],
)
def test_bad_options_name_themselves(inventory: Inventory, config: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleError, match=said.replace(".", r"\.")):
        inventory.read(**config)


def test_neither_nix_nor_a_host_that_is_named(inventory: Inventory) -> None:
    inventory.write("flake.nix", "{ outputs = _: { }; }")
    with pytest.raises(AnsibleError, match="evaluate_on"):
        inventory.read()


FAKE_NIX = r"""#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "asked.jsonl").open("a") as asked:
    asked.write(json.dumps([sys.argv[1:], os.environ["NIX_CONFIG"]]) + "\n")
if sys.argv[1] == "--restore":
    Path(sys.argv[2]).write_bytes(sys.stdin.buffer.read())
elif sys.argv[1] == "--add-fixed":
    assert Path(sys.argv[4]).read_bytes().startswith(b"\r\0\0\0\0\0\0\0nix-archive-1")
    print((here / "store-path").read_text())
elif (here / "fails").exists():
    sys.exit("error: it is broken")
else:
    print((here / "said.json").read_text())
"""


class Nix:
    """A program in the place of the controller's Nix, and the flake that it is asked about."""

    def __init__(self, inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = inventory.directory / "bin"
        self._directory.mkdir()
        for name in ("nix", "nix-store"):
            (self._directory / name).write_text(FAKE_NIX)
            (self._directory / name).chmod(0o755)
        self.say(SAID)
        self.root = inventory.directory / "fl ake"
        self.root.mkdir()
        self.change("{ outputs = _: { }; }")
        monkeypatch.setenv("PATH", f"{self._directory}:/usr/bin:/bin")

    def change(self, text: str) -> None:
        """Another flake, with what Nix has to make of it."""
        (self.root / "flake.nix").write_text(text)
        # Nix tells flakes when they were changed.
        os.utime(self.root / "flake.nix", (1, 1))
        os.utime(self.root, (1, 1))
        found = find_flake(str(self.root), self.root)
        assert isinstance(found, LocalFlake)
        with found.snapshot() as snapshot:
            self.reference = found.locked_reference(snapshot)
            self.store(snapshot.store_path)

    def store(self, path: str) -> None:
        """What it says of where it has put a source."""
        (self._directory / "store-path").write_text(path)

    def say(self, said: Any) -> None:
        """What it evaluates the flake to."""
        (self._directory / "said.json").write_text(json.dumps(said))

    def fail(self) -> None:
        (self._directory / "fails").touch()

    @property
    def asked(self) -> list[tuple[list[str], str]]:
        """Arguments, and the configuration that was given beside them."""
        file = self._directory / "asked.jsonl"
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def evaluations(self) -> list[str]:
        return [arguments[-1] for arguments, _config in self.asked if arguments[0] == "eval"]


@pytest.fixture
def nix(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> Nix:
    return Nix(inventory, monkeypatch)


def test_the_controllers_nix_evaluates_the_snapshot(
    inventory: Inventory, nix: Nix, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Wherever Ansible is started.
    monkeypatch.chdir("/")
    found = inventory.read(
        flake="./fl ake", variables={"domain": 'networking."a.${b}"'}, nix_config="access-tokens = github.com=hunter2"
    )
    assert sorted(found.hosts) == ["db", "web1", "web2"]
    assert variables(found, "web2")["deploy_flake_flake"] == str(nix.root)
    (expression,) = nix.evaluations
    assert expression.endswith(
        r'(builtins.fromJSON "{\"domain\": [\"networking\", \"a.\${b}\"]}") (builtins.getFlake "'
        f'{nix.reference}")'
    )
    assert all("hunter2" not in " ".join(arguments) and "hunter2" in config for arguments, config in nix.asked)
    # Nothing of the snapshot stays.
    assert sorted(one.name for one in inventory.directory.iterdir()) == ["bin", "fl ake", "hosts.yml"]


def test_a_flake_of_nix_that_fails(inventory: Inventory, nix: Nix) -> None:
    nix.fail()
    with pytest.raises(AnsibleError, match="it is broken"):
        inventory.read(flake="./fl ake")
    nix.store("/nix/store/00000000000000000000000000000000-source")
    with pytest.raises(AnsibleError, match="expected"):
        inventory.read(flake="./fl ake")


def test_cache_by_content(inventory: Inventory, nix: Nix) -> None:
    kept: dict[str, Any] = {
        "flake": "./fl ake",
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(inventory.directory / "cache"),
    }
    first, second = inventory.read(**kept), inventory.read(**kept)
    assert len(nix.evaluations) == 1
    assert variables(first, "web1") == variables(second, "web1")
    templar = Templar(loader=DataLoader(), variables=second.hosts["web1"].vars)
    assert templar.template(second.hosts["web1"].vars["role"]) == "{{ 1 + 1 }}"
    # Other questions, and another content, have other answers.
    inventory.read(**kept, variables={"role": "a.b"})
    assert len(nix.evaluations) == 2
    nix.change("{ outputs = _: { a = 1; }; }")
    inventory.read(**kept)
    assert len(nix.evaluations) == 3
    # As `meta: refresh_inventory` does.
    InventoryManager(DataLoader(), [str(inventory.directory / "hosts.yml")], cache=False)
    assert len(nix.evaluations) == 4
    # What was there before is there still.
    nix.change("{ outputs = _: { }; }")
    inventory.read(**kept)
    assert len(nix.evaluations) == 4


def test_the_cache_makes_no_template_of_what_the_flake_says(inventory: Inventory, nix: Nix) -> None:
    evil = {
        "__ansible_type": "_AnsibleTaggedStr",
        "value": "{{ 6 * 7 }}",
        "tags": [{"__ansible_type": "TrustedAsTemplate"}],
    }
    nodes = {"db": {"targetHost": "db.example.org", "tags": evil}, "web": {"targetHost": "web", "tags": [evil]}}
    nix.say({"colmena": {"nodes": nodes}, "nixosConfigurations": {"web1": {"domain": evil, "odd": {"a": [evil]}}}})
    kept = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(inventory.directory)}
    first = inventory.read(flake="./fl ake", **kept)
    warnings = list(inventory.warnings)
    second = inventory.read(flake="./fl ake", **kept)
    assert len(nix.evaluations) == 1
    assert list(first.hosts) == list(second.hosts) == ["web1"]
    assert warnings == inventory.warnings
    assert variables(first, "web1") == variables(second, "web1")
    known = second.hosts["web1"].vars
    templar = Templar(loader=DataLoader(), variables=known)
    assert templar.template([known["domain"], known["odd"]]) == [evil, {"a": [evil]}]


@pytest.mark.parametrize("kept", [None, 1, {"nixosConfigurations": {}}, "", "no JSON"])
def test_a_cache_that_holds_something_else(kept: Any) -> None:
    assert flake._unpacked(kept) is None


def test_without_a_cache_each_time(inventory: Inventory, nix: Nix) -> None:
    for _time in range(2):
        inventory.read(flake="./fl ake")
    assert len(nix.evaluations) == 2


def test_the_connection_to_a_host_that_is_named() -> None:
    variables = {
        "ansible_host": "192.0.2.9",
        "ansible_port": 2222,
        "ansible_user": "admin",
        "secret": "pass",
        "ansible_become_password": trust_as_template("{{ secret }}word"),
        "ansible_ssh_private_key_file": "/keys/a",
    }
    host = named_host("build1", variables, DataLoader())
    connection = host._connection
    wanted = ("host", "port", "remote_user", "private_key_file")
    assert [connection.get_option(name) for name in wanted] == ["192.0.2.9", 2222, "admin", "/keys/a"]
    assert (host.name, host.over_ssh, host.login_user) == ("build1", True, "admin")
    become: Any = connection.become  # type: ignore[attr-defined]
    assert become.get_option("become_pass") == "password"
    assert become.name == "sudo"


def test_a_host_that_is_named_and_nothing_more() -> None:
    host = named_host("build1", {}, DataLoader())
    assert host.address == "build1"
    assert host._connection.get_option("remote_user") is None


def test_standard_output_is_for_the_inventory(capsys: pytest.CaptureFixture[str]) -> None:
    named_host("build1", {}, DataLoader()).tell("evaluates")
    out, err = capsys.readouterr()
    assert not out
    assert "build1: evaluates" in err


def test_what_is_known_of_the_host_that_evaluates(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def named(name: str, variables: dict[str, Any], _loader: DataLoader) -> Any:
        asked.append((name, dict(variables)))
        raise FlakeError("far enough")

    monkeypatch.setattr(flake, "named_host", named)
    text = {"all": {"vars": {"a": 1, "b": 1}, "hosts": {"build1": {"b": 2, "ansible_user": "x"}}}}
    before = inventory.write("before.yml", yaml.safe_dump(text))
    with pytest.raises(AnsibleError, match="far enough"):
        inventory.read(before, evaluate_on="build1", evaluate_on_vars={"ansible_user": "y"})
    ((name, known),) = asked
    assert name == "build1"
    assert {"a": 1, "b": 2, "ansible_user": "y"}.items() <= known.items()
