# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links to what was built, in a place of the operator's, which keep it from garbage collection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from .._codes import Refusal
from .._flake.store_path import is_store_path
from .._host.answer import Answer, HostError
from .._host.connection import Host
from .settings import BuildSettings

_LIMIT = 90
"""Seconds for one attempt."""
_NAME = re.compile(r"[a-zA-Z0-9+._?=-]+")


def look(host: Host, settings: BuildSettings) -> frozenset[str]:
    """HostError where something else is in the place of the link, before anything is built for it.

    The names of outputs in whose place something else is, if they are built.
    """
    if not settings.out_link:
        return frozenset()
    # With a reference, somebody has spoken with the host before.
    answer = _ask(host, host.persist if settings.reference else host.contact, settings, {})
    return frozenset(filter(_NAME.fullmatch, answer.all("taken")))


def refuse_taken(host: Host, settings: BuildSettings, taken: Iterable[str]) -> None:
    """HostError where something else is in the place of the link to one of these outputs."""
    if found := sorted(taken):
        raise HostError(
            f"{host.name} has something else at {settings.out_link}-{found[0]} than a link of an earlier build with"
            " this out_link, and it stays; move it away, or name another path (deploy_flake_out_link). Nothing was"
            " built",
            Refusal.NOT_LINKED,
        )


def make(host: Host, settings: BuildSettings, outputs: Mapping[str, str]) -> bool:
    """Make the links, by the names of the outputs; whether that changed one. HostError where one cannot be made."""
    return bool(_ask(host, host.persist, settings, outputs).get("linked"))


def _ask(
    host: Host,
    wait: Callable[[int, Callable[[], Answer], str], Answer],
    settings: BuildSettings,
    outputs: Mapping[str, str],
) -> Answer:
    lines = "\n".join(f"{name} {path}" for name, path in outputs.items())
    return wait(
        settings.reconnect_timeout,
        lambda: host.run(
            "out_link", limit=_LIMIT, out_link=settings.out_link, outputs=lines, login_user=host.login_user
        ),
        f"making the link {settings.out_link}",
    )


def outputs(host: Host, answer: Answer) -> dict[str, str]:
    """What was built, by the names of the derivation's outputs, `out` first; as the host has found it in the end.

    HostError where it says something else: another host may be given that, and have Nix get it as root.
    """
    found = dict(line.split(" ", 1) for line in answer.all("output") if " " in line)
    known = {name: path for name, path in found.items() if _NAME.fullmatch(name) and is_store_path(path)}
    path = known.pop("out", "") or ("" if known else answer.get("toplevel"))
    if path and not is_store_path(path):
        raise HostError(f"{host.name} says that it built {path!r}, which is not a store path", Refusal.NO_ANSWER)
    return {**({"out": path} if path else {}), **known}
