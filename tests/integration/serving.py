# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the controller that have sources of flakes, and want to know who asks."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab import Host

LOGIN = ("operator", "pass word")
TOKEN = "t0ken"


class Server(ThreadingHTTPServer):
    """Serves a directory; below `private` only to LOGIN, below `api` only to TOKEN."""

    daemon_threads = True
    asked: list[str]
    """What was asked for and given."""


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        who, given = self.path.split("/")[1], self.headers.get("Authorization", "")
        wanted = {
            "private": "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode(),
            "api": f"token {TOKEN}",
        }.get(who, given)
        if given != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def serving(directory: Path, address: str, port: int, certificate: Path | None = None) -> Iterator[Server]:
    """Serve a directory, over TLS where there is a certificate with its key."""
    server = Server((address, port), partial(_Handler, directory=str(directory)))
    server.asked = []
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(directory: Path, address: str) -> Path:
    """A certificate for an address that nobody else has signed, with its key in the same file."""
    file = directory / "certificate.pem"
    arguments = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{address}"]
    command = ["openssl", "req", *arguments, *subject, "-keyout", str(file), "-out", str(directory / "cert")]
    subprocess.run(command, check=True, capture_output=True)
    with file.open("a") as whole:
        whole.write((directory / "cert").read_text())
    return file


@contextmanager
def agent(directory: Path, key: Path) -> Iterator[str]:
    """An ssh agent that has a key; the path of its socket."""
    socket = directory / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        subprocess.run(["sh", "-c", f"until [ -S '{socket}' ]; do sleep 0.1; done"], check=True, timeout=60)
        environment: Mapping[str, str] = {"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"}
        subprocess.run(["ssh-add", str(key)], env=environment, check=True, capture_output=True)
        yield str(socket)
    finally:
        process.terminate()
        process.wait()


def serve_git(host: Host, repository: Path) -> str:
    """Have a host of the lab serve a repository over ssh, with this machine's git; the URL."""
    git = shutil.which("git")
    assert git
    shutil.copy(git, host.root / "usr/bin/git")
    shutil.copytree(repository, host.root / "home/deploy/repository.git", dirs_exist_ok=True)
    host.run("ln -sf git /usr/bin/git-upload-pack && chown -R deploy: /home/deploy/repository.git", check=True)
    return f"ssh://deploy@{host.address}/home/deploy/repository.git"
