# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks units, ports and pages of a host."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ansible.errors import AnsibleConnectionFailure

from .._codes import Refusal, UnitState
from .._host.answer import HostError
from .._host.connection import Host

_PORT = 5
_PAGE = 10
"""Seconds."""


@dataclass(frozen=True)
class Page:
    """A page that must answer."""

    url: str
    status: int
    validate_certs: bool


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What must be as it should be, and for how long to try."""

    units: Sequence[str]
    ports: Sequence[int]
    pages: Sequence[Page]
    address: str
    """Where to try the ports; "" for the host's own."""
    timeout: int
    delay: int

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the options of the module."""
        return cls(
            units=options["units"],
            ports=options["ports"],
            pages=[Page(page["url"], page["status"], page["validate_certs"]) for page in options["urls"]],
            address=options["address"] or "",
            timeout=options["timeout"],
            delay=options["delay"],
        )

    def wrong(self) -> Iterator[str]:
        """What cannot be meant: it would fail on a host that is well."""
        for unit in self.units:
            if not unit or set(unit) & {*" \t\n/"}:
                yield f"{unit!r} is not the name of a unit"
        for port in self.ports:
            if not 0 < port < 65536:
                yield f"{port} is not a port"
        for page in self.pages:
            if not _is_url(page.url):
                yield f"{page.url!r} is not the address of a page, such as https://host/health"
            if not 100 <= page.status < 600:
                yield f"{page.status} is not an HTTP status"
        for name, value in (("timeout", self.timeout), ("delay", self.delay)):
            if value < 0:
                yield f"{name} must not be negative, and is {value}"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Reading the port says whether it is one.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def until_well(host: Host, checks: Checks) -> int:
    """Check everything again and again until nothing is wrong; how many attempts it took. HostError in the end."""
    ends = time.monotonic() + checks.timeout
    attempts = 0
    while True:
        attempts += 1
        wrong = [*_units(host, checks), *_ports(host, checks), *_pages(checks)]
        if not wrong:
            return attempts
        if time.monotonic() >= ends:
            tried = f"{attempts} attempts in {checks.timeout} s"
            raise HostError(f"{host.name} fails its checks after {tried}: {'; '.join(wrong)}", Refusal.CHECKS_FAILED)
        host.tell_more(f"not yet: {'; '.join(wrong)}")
        time.sleep(checks.delay)


def _units(host: Host, checks: Checks) -> Iterator[str]:
    if not checks.units:
        return
    try:
        answer = host.run("units", units="\n".join(checks.units), limit=60)
    except AnsibleConnectionFailure as error:
        yield f"the host does not answer ({error})"
        host.reset()
        return
    for found in answer.all("unit"):
        name, _space, state = found.rpartition(" ")
        if state != UnitState.ACTIVE:
            yield f"{name} is {state or 'unknown'}"


def _ports(host: Host, checks: Checks) -> Iterator[str]:
    address = checks.address or host.address or host.name
    for port in checks.ports:
        try:
            socket.create_connection((address, port), timeout=_PORT).close()
        except OSError as error:
            yield f"port {port} of {address} does not answer ({error})"


def _pages(checks: Checks) -> Iterator[str]:
    if not checks.pages:
        return
    # Loading it takes its time, in every process, and few ask for pages.
    from ansible.module_utils.urls import open_url

    for page in checks.pages:
        try:
            answer: Any = open_url(page.url, timeout=_PAGE, validate_certs=page.validate_certs, follow_redirects="none")
            status = answer.status
        except HTTPError as error:
            status = error.code
        except (OSError, ValueError) as error:
            yield f"{page.url} does not answer ({error})"
            continue
        if status != page.status:
            yield f"{page.url} answers with {status} and not {page.status}"
