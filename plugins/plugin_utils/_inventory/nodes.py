# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of a flake, out of what `nodes.nix` says of it.

Sources: deploy-rs (`data.rs`, `make_deploy_data` in `lib.rs`) and colmena (`options.nix`, `eval.nix`), whose words are
known here and there alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from .._flake.reference import SYSTEM, FlakeError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*\$?")
_OPTION = re.compile(r"-(?P<letter>[pl])(?P<value>.*)")
_SETTING = re.compile(r"-o\s*(?P<name>port|user)\s*[=\s]\s*(?P<value>\S+)", re.IGNORECASE)


class Output(StrEnum):
    """Outputs of a flake that say something of hosts."""

    DEPLOY = "deploy"
    COLMENA = "colmena"
    CONFIGURATIONS = "nixosConfigurations"


GROUPS: Mapping[Output, str] = {
    Output.DEPLOY: "deploy_nodes",
    Output.COLMENA: "colmena_hive",
    Output.CONFIGURATIONS: "nixos_configurations",
}
"""The group of the hosts that each of them names."""
_RESERVED = ("ansible_", "deploy_flake_", "flake_outputs", "flake_tags")
PLACE = ("ansible_host", "ansible_user", "ansible_port")
"""Variables of Ansible that may come from a configuration."""


@dataclass(frozen=True)
class Node:
    """One host."""

    name: str
    address: str = ""
    """"" for the name."""
    user: str = ""
    """"" for whom ssh_config names."""
    port: int | None = None
    ssh_options: tuple[str, ...] = ()
    """Others than those for user and port."""
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    attribute: str = ""
    """What its system is of the flake, where that is none of its `nixosConfigurations`."""
    variables: Mapping[str, Any] = field(default_factory=dict)

    def or_else(self, other: Node) -> Node:
        """This one, and what it does not say as another output does."""
        return replace(
            self,
            address=self.address or other.address,
            user=self.user or other.user,
            port=self.port or other.port,
            ssh_options=self.ssh_options or other.ssh_options,
            tags=(*self.tags, *(tag for tag in other.tags if tag not in self.tags)),
            outputs=(*self.outputs, *other.outputs),
            attribute=self.attribute or other.attribute,
            variables={**other.variables, **self.variables},
        )


@dataclass
class Nodes:
    """All hosts of a flake."""

    hosts: dict[str, Node] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Names that are no hosts here, and why."""
    remarks: list[str] = field(default_factory=list)
    """What else there is to say, in sentences."""
    all_are_meant: bool = True
    """Whether they may be deployed to at once where nobody has chosen some (colmena's `meta.allowApplyAll`)."""


class _OddError(Exception):
    """Something that a host cannot have; the message says what."""


def nodes_of(said: Any, outputs: Sequence[Output] = tuple(Output), exclude: Iterable[str] = ()) -> Nodes:
    """Read what was said; where several outputs name a host the first of `outputs` goes first.

    FlakeError where it was not said by `nodes.nix`, nor in its form.
    """
    if not isinstance(said, Mapping) or not said.keys() <= {str(one) for one in Output}:
        raise FlakeError(
            f"what is said of the hosts is no mapping of {', '.join(Output)}, each of which may be missing"
        )
    found = Nodes()
    patterns = tuple(exclude)
    for output in outputs:
        _read(found, output, said.get(output), patterns)
    for name in found.left_out:
        found.hosts.pop(name, None)
    configurations = _mapping(said.get(Output.CONFIGURATIONS) or {}, str(Output.CONFIGURATIONS))
    for name, node in found.hosts.items():
        if name in configurations:
            found.hosts[name] = replace(node, attribute="")
        elif not node.attribute:
            found.remarks.append(
                f"{name} of '{node.outputs[0]}' has no configuration of that name in nixosConfigurations: set"
                " deploy_flake_configuration for it"
            )
    if not found.hosts and not found.left_out:
        found.remarks.append(f"the flake names no hosts in {', '.join(outputs)}")
    return found


def _read(found: Nodes, output: Output, said: Any, exclude: Sequence[str]) -> None:
    if said is None:
        return
    whole = _mapping(said, str(output))
    named = whole if output is Output.CONFIGURATIONS else whole.get("nodes")
    if output is Output.COLMENA:
        found.all_are_meant = found.all_are_meant and whole.get("allowApplyAll", True) is not False
        if named is None:
            found.remarks.append(
                "the flake has 'colmena', which only colmena can read, and no 'colmenaHive': add 'colmenaHive ="
                " colmena.lib.makeHive self.outputs.colmena;', or call the input 'colmena'"
            )
            return
    for name, one in _mapping(named, f"{output}.nodes").items():
        if any(fnmatchcase(name, pattern) for pattern in exclude):
            continue
        try:
            if not _NAME.fullmatch(name):
                raise _OddError("that is no name for a host in an inventory")
            if one is None:
                raise _OddError("what the flake says of it cannot be evaluated")
            node = _READ[output](name, _mapping(one, f"{output}: {name}"), whole)
        except _OddError as error:
            found.left_out.setdefault(name, f"{output}: {error}")
        else:
            node = replace(node, outputs=(output,))
            found.hosts[name] = found.hosts[name].or_else(node) if name in found.hosts else node


def may_come_from_a_flake(variable: str) -> bool:
    """Whether a flake may say a variable of that name. Others decide what Ansible runs, and where."""
    return variable.isidentifier() and (variable in PLACE or not variable.startswith(_RESERVED))


def odd_place(variables: Mapping[str, Any]) -> str:
    """What is wrong with how to reach a host, whoever has made it of what; "" for nothing."""
    try:
        for variable, read in zip(PLACE, (_address, _user, _port), strict=True):
            read(variables.get(variable))
    except _OddError as error:
        return f"{variable}: {error}"
    return ""


def _of_configuration(name: str, said: Mapping[str, Any], _whole: Mapping[str, Any]) -> Node:
    # A file may say anything.
    if reserved := [key for key in said if not may_come_from_a_flake(str(key))]:
        raise _OddError(f"{', '.join(map(str, reserved))} cannot be a variable that comes from the flake")
    return Node(
        name,
        address=_address(said.get("ansible_host")),
        user=_user(said.get("ansible_user")),
        port=_port(said.get("ansible_port")),
        variables={key: value for key, value in said.items() if key not in PLACE and value is not None},
    )


def _of_deploy(name: str, said: Mapping[str, Any], whole: Mapping[str, Any]) -> Node:
    profile = _mapping(said.get("profile") or {}, name)
    # A profile goes before its node, and that before what holds for all; ssh takes the first value of an option.
    layers = (profile, said, whole)
    user = next((layer["sshUser"] for layer in layers if layer.get("sshUser")), None)
    options = [option for layer in layers for option in _texts(layer.get("sshOpts"), "sshOpts")]
    if not said.get("hostname"):
        raise _OddError("it has no 'hostname'")
    return _with_options(Node(name, address=_address(said["hostname"]), user=_user(user)), options)


def _of_colmena(name: str, said: Mapping[str, Any], whole: Mapping[str, Any]) -> Node:
    if said.get("targetHost") is None:
        raise _OddError("its targetHost is null, so it is deployed by itself alone")
    node = Node(
        name,
        address=_address(said["targetHost"]),
        user=_user(said.get("targetUser")),
        port=_port(said.get("targetPort")),
        tags=tuple(_texts(said.get("tags"), "tags")),
        attribute=f'{whole["output"]}.nodes."{name}".{SYSTEM}' if whole.get("output") else "",
    )
    return _with_options(node, _texts(said.get("sshOptions"), "sshOptions"))


_READ: Mapping[Output, Callable[[str, Mapping[str, Any], Mapping[str, Any]], Node]] = {
    Output.CONFIGURATIONS: _of_configuration,
    Output.DEPLOY: _of_deploy,
    Output.COLMENA: _of_colmena,
}


def _with_options(node: Node, options: Sequence[str]) -> Node:
    """The node with its user and port, where options of ssh say them, and the others as they are."""
    rest: list[str] = []
    said: dict[str, str] = {}
    for option in _each(options):
        joined = " ".join(option)
        # `-p 22`, `-p22`, `-l user`, and the same as `-o Port=22`.
        if len(option[0]) > 1 and (short := _OPTION.fullmatch(joined)):
            said.setdefault({"p": "port", "l": "user"}[short["letter"]], short["value"].strip())
        elif setting := _SETTING.fullmatch(joined):
            said.setdefault(setting["name"].lower(), setting["value"])
        else:
            rest += option
    return replace(
        node,
        user=node.user or _user(said.get("user")),
        port=node.port or _port(said.get("port")),
        ssh_options=tuple(rest),
    )


def _each(options: Sequence[str]) -> Iterator[list[str]]:
    """Options of ssh, each with the argument that follows it as a word of its own."""
    words = iter(options)
    for word in words:
        more = next(words, None) if word in ("-p", "-l", "-o") else None
        yield [word] if more is None else [word, more]


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FlakeError(f"what is said of '{where}' is no mapping")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _OddError(f"its {what} are no list of strings")
    return value


def _address(value: Any) -> str:
    return _matching(value, _ADDRESS, "neither the name of a host nor an address")


def _user(value: Any) -> str:
    return _matching(value, _USER, "not the name of a user")


def _matching(value: Any, pattern: re.Pattern[str], otherwise: str) -> str:
    """Nothing that ssh would take for an option gets through."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _OddError(f"{value!r} is {otherwise}")
    return value


def _port(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise _OddError(f"{value!r} is not a port")
    return value
