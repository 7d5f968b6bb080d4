# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of units, ports and pages; the ports and pages are real ones of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import options_of
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status import checks as status_checks
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._status.checks import Checks, until_well


class Page(BaseHTTPRequestHandler):
    """Answers with the status that is its path; 302 leads to 200."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Nothing is told."""


@pytest.fixture
def site() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """One that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long it would have slept."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def checks(**given: Any) -> Checks:
    return Checks.from_options(options_of("system_check", **given))


def wrong(host: FakeHost, **given: Any) -> str:
    """What the only attempt finds."""
    with pytest.raises(HostError) as error:
        until_well(host, checks(timeout=0, **given))
    assert error.value.reason == Refusal.CHECKS_FAILED
    start = "host1 fails its checks after 1 attempts in 0 s: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


def test_all_is_well(port: int, site: str) -> None:
    host = FakeHost([{"unit": ["a.service active", "b.socket active"]}])
    given = {"units": ["a.service", "b.socket"], "ports": [port], "address": "127.0.0.1"}
    assert until_well(host, checks(urls=[{"url": f"{site}/200"}, {"url": f"{site}/404", "status": 404}], **given)) == 1
    assert host.asked[0].inputs == {"units": "a.service\nb.socket"}


def test_nothing_is_asked_for_nothing() -> None:
    host = FakeHost()
    assert until_well(host, checks()) == 1
    assert host.asked == []


@pytest.mark.parametrize(
    ("said", "text"), [("activating", "is activating"), ("failed", "is failed"), ("", "is unknown")]
)
def test_units(said: str, text: str) -> None:
    host = FakeHost([{"unit": [f"a.service {said}", "b.service active"]}])
    assert wrong(host, units=["a.service", "b.service"]) == f"a.service {text}"


def test_a_host_that_does_not_answer() -> None:
    host = FakeHost([AnsibleConnectionFailure("no route")])
    assert wrong(host, units=["a.service"]) == "the host does not answer (no route)"
    assert host.resets == 1


def test_ports(port: int, closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = wrong(FakeHost(), ports=[port, closed], address="127.0.0.1")
    assert text.startswith(f"port {closed} of 127.0.0.1 does not answer (")
    assert f"port {port} " not in text
    # Where Ansible connects to, or by the host's name.
    tried: list[tuple[Any, ...]] = []

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address)
        raise TimeoutError(timeout)

    monkeypatch.setattr(socket, "create_connection", refuse)
    wrong(FakeHost(), ports=[1])
    wrong(FakeHost(over_ssh=False), ports=[2])
    assert tried == [("192.0.2.1", 1), ("host1", 2)]


def test_pages(site: str, closed: int) -> None:
    assert wrong(FakeHost(), urls=[{"url": f"{site}/500"}]) == f"{site}/500 answers with 500 and not 200"
    # A page that leads elsewhere is not followed.
    assert wrong(FakeHost(), urls=[{"url": f"{site}/302"}]) == f"{site}/302 answers with 302 and not 200"
    assert until_well(FakeHost(), checks(urls=[{"url": f"{site}/302", "status": 302}])) == 1
    nobody = f"http://127.0.0.1:{closed}/"
    assert wrong(FakeHost(), urls=[{"url": nobody}]).startswith(f"{nobody} does not answer (")
    assert wrong(FakeHost(), urls=[{"url": "no page"}]).startswith("no page does not answer (")


def test_all_that_is_wrong_is_said(closed: int, site: str) -> None:
    host = FakeHost([{"unit": "a.service failed"}])
    given = {"units": ["a.service"], "ports": [closed], "address": "127.0.0.1", "urls": [{"url": f"{site}/404"}]}
    assert [text.split(" ")[0] for text in wrong(host, **given).split("; ")] == ["a.service", "port", f"{site}/404"]


def test_it_is_tried_again(slept: list[float]) -> None:
    host = FakeHost([{"unit": "a.service activating"}, AnsibleConnectionFailure("x"), {"unit": "a.service active"}])
    assert until_well(host, checks(units=["a.service"], delay=3)) == 3
    assert slept == [3, 3]
    assert host.told == ["not yet: a.service is activating", "not yet: the host does not answer (x)"]


def test_until_the_time_is_up(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 9.9, 10.0])
    monkeypatch.setattr(status_checks, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=slept.append))
    host = FakeHost([{"unit": "a.service failed"}] * 2)
    with pytest.raises(HostError, match=r"after 2 attempts in 10 s: a\.service is failed"):
        until_well(host, checks(units=["a.service"], timeout=10))
