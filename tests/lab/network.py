# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: a bridge with the controller on it, and one cable (veth) to each host."""

from __future__ import annotations

from pathlib import Path

from lab.shell import LabError, sh
from lab.state import State


def make_bridge(state: State) -> None:
    if not _exists(state.bridge):
        _choose_subnet(state)
        try:
            sh("ip", "link", "add", state.bridge, "type", "bridge")
        except LabError as error:
            raise LabError(f"this kernel lets us make no bridge: {error}") from error
    address = f"{state.controller_address}/24"
    sh("ip", "address", "replace", address, "dev", state.bridge)
    sh("ip", "link", "set", state.bridge, "up")


def _choose_subnet(state: State) -> None:
    """For as long as the bridge is there: two names may lead to the same first choice."""
    taken = {line.split()[3].rpartition(".")[0] for line in sh("ip", "-4", "-oneline", "address").splitlines()}
    free = next((subnet for subnet in state.subnets if subnet not in taken), None)
    if free is None:
        raise LabError(f"another network of this machine has the lab's addresses: {state.subnets[0]}.0/24")
    state.chosen_subnet.write_text(free)


def remove_bridge(state: State) -> None:
    if _exists(state.bridge):
        sh("ip", "link", "delete", state.bridge)


def cable(state: State, number: int) -> str:
    """The end of a host's cable that is on this machine."""
    return f"{state.link_prefix}-h{number}"


def namespace(state: State, number: int) -> str:
    return f"{state.name}-host{number}"


def plug_in(state: State, number: int, cut: bool) -> Path:
    """Give a host a new network namespace, as each boot does: no firewall rule or address outlives a boot."""
    unplug(state, number)
    netns, link, mac = namespace(state, number), cable(state, number), _hardware_address(state, number)
    sh("ip", "netns", "add", netns)
    try:
        sh("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", netns)
    except LabError as error:
        raise LabError(f"this kernel lets us make no veth: {error}") from error
    inside = f"address add {state.subnet}.{number}/24 dev eth0\nlink set lo up\nlink set eth0 up\n"
    sh("ip", "-n", netns, "-batch", "-", stdin=f"{inside}route add default via {state.controller_address}\n")
    sh("ip", "link", "set", link, "master", state.bridge, "down" if cut else "up")
    return Path("/run/netns") / netns


def plug_in_tap(state: State, number: int, cut: bool) -> tuple[str, str]:
    """A machine's cable, for qemu to hold the other end; it and the hardware address."""
    unplug(state, number)
    link = cable(state, number)
    try:
        sh("ip", "tuntap", "add", "dev", link, "mode", "tap")
    except LabError as error:
        raise LabError(f"this kernel lets us make no tap device: {error}") from error
    sh("ip", "link", "set", link, "master", state.bridge, "down" if cut else "up")
    return link, _hardware_address(state, number)


def _hardware_address(state: State, number: int) -> str:
    """Always the same: a host that comes back has the one that its neighbours know."""
    return f"02:df:1a:{int(state.subnet.split('.')[2]):02x}:00:{number:02x}"


def unplug(state: State, number: int) -> None:
    """Remove the namespace; the cable goes with it."""
    netns = namespace(state, number)
    if _exists(cable(state, number)):
        sh("ip", "link", "delete", cable(state, number))
    if (Path("/run/netns") / netns).exists():
        sh("ip", "netns", "delete", netns)


def cut(state: State, number: int) -> None:
    if _exists(cable(state, number)):
        sh("ip", "link", "set", cable(state, number), "down")


def mend(state: State, number: int) -> None:
    if _exists(cable(state, number)):
        sh("ip", "link", "set", cable(state, number), "up")


def leftovers(state: State) -> list[int]:
    """The numbers of hosts that have a namespace or a cable."""
    found = {int(path.name.removeprefix(f"{state.link_prefix}-h")) for path in _cables(state)}
    prefix = f"{state.name}-host"
    for path in Path("/run/netns").glob(f"{prefix}*"):
        found.add(int(path.name.removeprefix(prefix)))
    return sorted(found)


def _cables(state: State) -> list[Path]:
    return list(Path("/sys/class/net").glob(f"{state.link_prefix}-h*"))


def _exists(link: str) -> bool:
    return (Path("/sys/class/net") / link).exists()
