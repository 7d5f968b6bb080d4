# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the randomised test: the network between controller and host."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from integration.soak_scene import Impossible, Scene

from lab import network
from lab.shell import LabError, sh


def cut(scene: Scene) -> None:
    """The cable is out, and in again."""
    scene.host.cut()
    time.sleep(scene.random.choice((0.5, 3, 8, 20)) * scene.random.uniform(0.5, 1))
    scene.host.mend()


def slow(scene: Scene) -> None:
    """Both ends of the cable send a few kilobytes a second, or answer late, where the kernel has what that takes."""
    state, number = scene.host.state, scene.host.number
    kinds = [words for words in SLOW if not why_not(words)]
    if not kinds:
        raise Impossible(f"no slow link: {why_not(SLOW[0])}")
    words = scene.random.choice(kinds)
    rate = scene.random.choice(("80kbit", "250kbit", "1mbit"))
    ends = [["tc", "qdisc", "%s", "dev", network.cable(state, number)]]
    ends.append(["tc", "-n", network.namespace(state, number), "qdisc", "%s", "dev", "eth0"])
    # With the power the cable goes too, and with it all this.
    with contextlib.suppress(LabError):
        for end in ends:
            sh(*[word.replace("%s", "replace") for word in end], "root", *[word.format(rate=rate) for word in words])
    time.sleep(scene.random.uniform(3, 15))
    for end in ends:
        with contextlib.suppress(LabError):
            sh(*[word.replace("%s", "delete") for word in end], "root")


SLOW = (
    ("netem", "delay", "400ms", "200ms", "loss", "5%", "rate", "{rate}"),
    ("tbf", "rate", "{rate}", "burst", "3kb", "latency", "800ms"),
)


def why_not(words: tuple[str, ...]) -> str:
    """Why this kernel has no such link; "" if it has."""
    try:
        sh("ip", "netns", "add", _PROBE)
        try:
            sh("tc", "-n", _PROBE, "qdisc", "add", "dev", "lo", "root", *[word.format(rate="1mbit") for word in words])
        finally:
            sh("ip", "netns", "delete", _PROBE)
    except LabError as error:
        return str(error)
    return ""


_PROBE = "deploy-flake-soak"


def one_way(hook: str) -> Callable[[Scene], None]:
    """A packet filter on the host drops all that comes in, or all that goes out."""
    table = f"soak_{hook}"
    interface = {"input": "iif", "output": "oif"}[hook]
    chain = f"chain all {{ type filter hook {hook} priority -300; policy drop; {interface} lo accept; }}"
    rules = f"table inet {table} {{ {chain} }}"

    def drop(scene: Scene) -> None:
        # A host that goes down forgets it; another host's filter is not ours.
        with contextlib.suppress(LabError):
            scene.run(f"nft -f - <<'END'\n{rules}\nEND", check=True)
        time.sleep(scene.random.choice((1, 4, 10, 20)) * scene.random.uniform(0.5, 1))
        with contextlib.suppress(LabError):
            scene.run(f"nft delete table inet {table}")

    return drop
