# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a destination on the command line means."""

from __future__ import annotations

import pytest

from deploy_flake.destination import Destination, DestinationError, parse_all


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("host1", Destination("host1")),
        ("deploy@host1.example.org", Destination("host1.example.org", "deploy")),
        ("some_alias", Destination("some_alias")),
        ("198.51.100.7", Destination("198.51.100.7")),
        ("2001:db8::1", Destination("2001:db8::1")),
        ("[2001:db8::1]", Destination("2001:db8::1")),
        ("root@2001:db8::1", Destination("2001:db8::1", "root")),
        ("fe80::1%eth0", Destination("fe80::1%eth0")),
        ("nixos://host1", Destination("host1")),
        ("nixos://host1/", Destination("host1")),
        ("NixOS://host1", Destination("host1")),
        ("nixos://deploy@host2:2222/webserver", Destination("host2", "deploy", 2222, "webserver")),
        ("nixos://[2001:db8::1]:22/web", Destination("2001:db8::1", None, 22, "web")),
        ("nixos://[2001:db8::1]", Destination("2001:db8::1")),
        ("nixos://user@realm@host1", Destination("host1", "user@realm")),
    ],
)
def test_means(text: str, meant: Destination) -> None:
    assert Destination.parse(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no host"),
        ("@host1", "not the name of a user"),
        ("deploy@", "no host"),
        ("host1:22", "nixos://host1:22"),
        ("[2001:db8::1]:22", "nixos://"),
        ("darwin://host1", "scheme"),
        ("nixos://", "no host"),
        ("nixos://host1:0", "not a port"),
        ("nixos://host1:99999", "not a port"),
        ("nixos://host1:ssh", "not a port"),
        ("nixos://2001:db8::1/web", "brackets"),
        ("nixos://[host1]/web", "IPv6"),
        ("nixos://host1/a/b", "configuration"),
        ("nixos://host1/{{ x }}", "configuration"),
        ("-oProxyCommand=x", "neither"),
        ("host1,host2", "neither"),
        ("all:!host1", "port"),
        ("ho st", "neither"),
    ],
)
def test_makes_no_sense(text: str, why: str) -> None:
    with pytest.raises(DestinationError, match=why.replace("[", r"\[")):
        Destination.parse(text)


def test_one_host_gets_one_system() -> None:
    with pytest.raises(DestinationError, match="twice"):
        parse_all(["nixos://host1/a", "nixos://host1/b"])


def test_name_holds_nothing_that_ansible_takes_for_a_port_or_a_range() -> None:
    assert Destination.parse("fe80::1%eth0").name == "fe80--1-eth0"
