# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody hears how a deployment went: from a playbook, and from the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from integration.commanding import ROOT, Command, destination, reaching, results
from integration.faulting import QUICK
from integration.playing import change_the_flake, play, systems

from lab import Host, Lab


@contextmanager
def chat() -> Iterator[tuple[str, list[str]]]:
    """A server in the place of a chat; its URL, and what was said there."""
    said: list[str] = []

    class Site(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_what: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", said
        server.shutdown()


def test_the_example(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "notify")
    with chat() as (url, said):
        played = play(
            lab,
            tmp_path,
            str(ROOT / "examples/notify.yml"),
            ["host1", "host2"],
            notify_url=url,
            deploy_flake_flake=str(flake),
            deploy_flake_limits=QUICK,
            deploy_flake_configuration="{{ 'host2-exit-4' if inventory_hostname == 'host2' else inventory_hostname }}",
        )
    assert played.code == 2, played.output
    assert systems(whole["host1"]).boot_default.endswith(".notify")
    assert sorted(one.splitlines()[0].partition(":")[0] for one in said) == ["deployed", "host2"]
    assert "deployed: host1" in said
    assert any("has rolled back" in one for one in said)


def test_the_command(whole: dict[str, Host], flake: Path, command: Command, tmp_path: Path) -> None:
    change_the_flake(flake, "heard")
    host, heard = whole["host1"], tmp_path / "heard"
    given = [destination(host, "host1"), "--flake", str(flake), "--yes", *reaching([host])]
    given += ["--time-limit", "settle=0", "--on-event", f"cat >{heard}"]
    code, lines = command.json(*given)
    assert code == 0, lines
    assert [json.loads(line) for line in heard.read_text().splitlines()] == lines
    assert results(lines)[host.address]["outcome"] == "deployed"
