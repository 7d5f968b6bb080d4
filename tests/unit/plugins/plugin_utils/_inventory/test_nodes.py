# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts are made of what a flake says, in deploy-rs' words and in colmena's."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._inventory.nodes import Node, Output, nodes_of


def deploy(node: Any, **rest: Any) -> dict[str, Any]:
    return {"deploy": {"nodes": {"web1": node}, **rest}, "nixosConfigurations": {"web1": {}}}


def colmena(node: Any, **rest: Any) -> dict[str, Any]:
    return {"colmena": {"output": "colmenaHive", "nodes": {"web1": node}, **rest}}


def only(said: dict[str, Any]) -> Node:
    found = nodes_of(said)
    assert not found.left_out
    assert len(found.hosts) == 1
    return next(iter(found.hosts.values()))


def test_deploy_rs_merges_profile_node_and_all() -> None:
    profile = {"sshUser": "of-profile", "sshOpts": ["-a"]}
    node = only(
        deploy({"hostname": "192.0.2.1", "sshUser": "n", "sshOpts": ["-b"], "profile": profile}, sshOpts=["-c"])
    )
    assert (node.address, node.user, node.ssh_options) == ("192.0.2.1", "of-profile", ("-a", "-b", "-c"))
    assert only(deploy({"hostname": "h"}, sshUser="of-all")).user == "of-all"
    assert only(deploy({"hostname": "h"})).user == ""


@pytest.mark.parametrize(
    "options",
    [
        ["-p", "2222", "-l", "me"],
        ["-p2222", "-lme"],
        ["-o", "Port=2222", "-oUser=me"],
        ["-o", "port 2222", "-o", "USER=me"],
    ],
)
def test_port_and_user_among_options_of_ssh(options: list[str]) -> None:
    node = only(deploy({"hostname": "h", "sshOpts": [*options, "-p", "1", "-v"]}))
    # ssh takes the first of each.
    assert (node.port, node.user, node.ssh_options) == (2222, "me", ("-v",))


def test_what_else_options_of_ssh_say_stays_whole() -> None:
    options = ["-o", "ProxyCommand=touch /tmp/x", "-i", "key file", "-o", "PortX=1"]
    node = only(colmena({"targetHost": "h", "targetPort": 22, "sshOptions": [*options, "-p", "1"]}))
    assert node.ssh_options == tuple(options)
    assert node.port == 22


def test_colmena() -> None:
    node = only(
        colmena({"targetHost": "2001:db8::1", "targetPort": 2222, "targetUser": "root", "tags": ["web", "a b"]})
    )
    assert node == Node(
        "web1",
        address="2001:db8::1",
        user="root",
        port=2222,
        tags=("web", "a b"),
        outputs=(Output.COLMENA,),
        attribute='colmenaHive.nodes."web1".config.system.build.toplevel',
    )
    assert only(colmena({"targetHost": "h", "targetUser": None, "targetPort": None})).user == ""


def test_a_node_that_is_a_configuration_is_deployed_as_that() -> None:
    said = {**colmena({"targetHost": "h"}), "nixosConfigurations": {"web1": {}}}
    assert only(said).attribute == ""
    # Whether or not its hosts are wanted.
    assert [node.attribute for node in nodes_of(said, [Output.COLMENA]).hosts.values()] == [""]


def test_the_first_output_goes_first_and_the_others_add_to_it() -> None:
    said = {
        **deploy({"hostname": "of-deploy"}),
        **colmena({"targetHost": "of-colmena", "targetUser": "root", "tags": ["t"]}),
    }
    found = nodes_of(said)
    node = found.hosts["web1"]
    assert (node.address, node.user, node.tags) == ("of-deploy", "root", ("t",))
    assert node.outputs == (Output.DEPLOY, Output.COLMENA, Output.CONFIGURATIONS)
    assert nodes_of(said, [Output.COLMENA, Output.DEPLOY]).hosts["web1"].address == "of-colmena"


def test_variables_of_configurations() -> None:
    said = {"nixosConfigurations": {"web1": {"ansible_host": "192.0.2.7", "ansible_port": "22", "a": [1], "b": None}}}
    node = only(said)
    assert (node.address, node.port, node.variables) == ("192.0.2.7", 22, {"a": [1]})


@pytest.mark.parametrize(
    "variable",
    [
        "ansible_connection",
        "ansible_ssh_common_args",
        "ansible_become_exe",
        "deploy_flake_flake",
        "flake_tags",
        "a b",
        "",
    ],
)
def test_variables_that_decide_what_ansible_does_come_from_nobody_else(variable: str) -> None:
    found = nodes_of({"nixosConfigurations": {"web1": {variable: "local"}}})
    assert not found.hosts
    assert "cannot be a variable that comes from the flake" in found.left_out["web1"]


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"hostname": "-oProxyCommand=touch /tmp/x"}, "neither"),
        ({"hostname": "a b"}, "neither"),
        ({"hostname": "h\n"}, "neither"),
        ({"hostname": "{{ 1 }}"}, "neither"),
        ({"hostname": 5}, "neither"),
        ({}, "hostname"),
        ({"hostname": "h", "sshUser": "-l"}, "user"),
        ({"hostname": "h", "sshUser": "a b"}, "user"),
        ({"hostname": "h", "sshOpts": ["-p", "0"]}, "port"),
        ({"hostname": "h", "sshOpts": ["-p", "22; x"]}, "port"),
        ({"hostname": "h", "sshOpts": "-p 22"}, "list"),
        (None, "evaluated"),
    ],
)
def test_what_ssh_could_take_for_something_else_leaves_the_host_out(node: Any, why: str) -> None:
    found = nodes_of(deploy(node))
    assert not found.hosts
    assert why in found.left_out["web1"]


@pytest.mark.parametrize("name", ["-x", "a b", "a:b", "!a", "&a", "a,b", "a\n", "{{ a }}", "", "[1:9]", "*"])
def test_names_that_ansible_takes_for_something_else(name: str) -> None:
    found = nodes_of({"nixosConfigurations": {name: {}, "web1": {}}})
    assert list(found.hosts) == ["web1"]
    assert list(found.left_out) == [name]


def test_a_host_that_one_output_cannot_say_is_left_out_whole() -> None:
    said = {**deploy({"hostname": "h"}), **colmena(None)}
    assert not nodes_of(said).hosts
    # Nor is it reached under its bare name where only the other output is read badly.
    assert not nodes_of(
        {"colmena": {"nodes": {"web1": {"targetHost": None}}}, "nixosConfigurations": {"web1": {}}}
    ).hosts


def test_exclude() -> None:
    said: dict[str, Any] = {"nixosConfigurations": {"installer-1": None, "web1": {}}}
    found = nodes_of(said, exclude=["installer-*"])
    assert list(found.hosts) == ["web1"]
    assert not found.left_out


def test_not_all_are_meant() -> None:
    assert nodes_of(colmena({"targetHost": "h"})).all_are_meant
    assert not nodes_of(colmena({"targetHost": "h"}, allowApplyAll=False)).all_are_meant


@pytest.mark.parametrize(
    ("said", "remark"),
    [
        ({"colmena": {"nodes": None}}, "makeHive"),
        ({"deploy": {"nodes": {"db": {"hostname": "h"}}}}, "deploy_flake_configuration"),
        ({"deploy": None, "colmena": None, "nixosConfigurations": {}}, "names no hosts"),
    ],
)
def test_remarks(said: dict[str, Any], remark: str) -> None:
    assert any(remark in one for one in nodes_of(said).remarks)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "x",
        {"other": {}},
        {"nixosConfigurations": ["web1"]},
        {"deploy": {}},
        deploy("h"),
        {"colmena": {}, "x": 1},
    ],
)
def test_another_form(said: Any) -> None:
    with pytest.raises(FlakeError):
        nodes_of(said)
