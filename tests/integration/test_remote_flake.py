# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A remote flake that changes while it is deployed: all hosts of a run get one version of it, and the newest."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from integration.faulting import QUICK, last_record
from integration.playing import change_the_flake, deploy, forget_builds, play, systems

from lab import Host, Lab

BUILD: dict[str, Any] = {"gather_facts": False, "become": True}


@contextmanager
def served(lab: Lab, flake: Path) -> Iterator[tuple[str, list[str]]]:
    """The flake as a tarball that is another one each time that somebody gets it; its URL, and who got it."""
    got: list[str] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.client_address[0])
            change_the_flake(flake, f"tarball.{len(got)}")
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w:gz") as tar:
                tar.add(flake, arcname="flake")
            self.send_response(200)
            self.send_header("Content-Length", str(content.tell()))
            self.end_headers()
            self.wfile.write(content.getvalue())

        def log_message(self, *_what: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer((lab.state.controller_address, 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{lab.state.controller_address}:{server.server_port}/flake.tar.gz", got
        server.shutdown()


def test_tarball_that_changes(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    one, other = whole["host1"], whole["host2"]
    with served(lab, flake) as (url, got):
        first = deploy(lab, tmp_path, url, one.name, other.name, deploy_flake_limits=QUICK)
        assert first.code == 0, first.output
        assert len(got) == 1
        built = [first.of(host.name, "flake_build") for host in (one, other)]
        assert built[0]["nar_hash"] == built[1]["nar_hash"]
        assert all(each["locked"].startswith(f"{url}?narHash=") for each in built)
        for host in (one, other):
            assert systems(host).running.endswith(".tarball.1")
            assert (last_record(host)["flake"], last_record(host)["nar_hash"]) == (url, built[0]["nar_hash"])

        # Within the hour for which Nix keeps a tarball.
        again = deploy(lab, tmp_path, url, one.name, deploy_flake_limits=QUICK)
        assert again.code == 0, again.output
        assert systems(one).running.endswith(".tarball.2")

        look = {"deploy_flake.nixos.system_info": {"flake": url}}
        looked = play(lab, tmp_path, [{"hosts": "host1:host2", "tasks": [look], **BUILD}])
        assert len(got) == 3
        assert [looked.of(host.name, "system_info")["drift"]["state"] for host in (one, other)] == ["drifted"] * 2


@pytest.fixture
def server(hosts: dict[str, Host], monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with git, and an ssh client of the controller that can log in there."""
    host = hosts["host3"]
    for name in ("git", "git-upload-pack"):
        shutil.copy2("/usr/bin/git", host.root / "usr/bin" / name)
    # The repository is root's, and it is read as somebody else.
    (host.root / "etc/gitconfig").write_text("[safe]\n\tdirectory = *\n")
    program, *options = host.ssh_command()
    monkeypatch.setenv("GIT_SSH_COMMAND", " ".join((program, *options[:-1])))
    yield host
    forget_builds(hosts.values())


def commit(server: Host, flake: Path, version: str) -> str:
    """Change the flake, and have the server's repository know it."""
    change_the_flake(flake, version)
    script = """
    cd "$1" && git init -q -b main && git add -A && git -c user.name=a -c user.email=a@example.org commit -q -m "$2"
    git push -q "$3" main && git rev-parse HEAD
    """
    to = server.root / "srv/flake.git"
    if not to.exists():
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", to], check=True)
    done = subprocess.run(["sh", "-ec", script, "-", flake, version, to], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_git_over_ssh_that_changes(lab: Lab, hosts: dict[str, Host], server: Host, flake: Path, tmp_path: Path) -> None:
    """No host has git but the one that serves it, and none has a key for that."""
    shutil.rmtree(server.root / "srv/flake.git", ignore_errors=True)
    before = commit(server, flake, "ssh.1")
    script = tmp_path / "commit.sh"
    script.write_text(f"""
    cd {flake} && sed -i s/ssh.1/ssh.2/ hosts.nix && git -c user.name=a -c user.email=a@example.org commit -qam 2 &&
    git push -q {server.root}/srv/flake.git main""")
    url = f"git+ssh://deploy@{server.address}:2222/srv/flake.git"
    build = {"deploy_flake.nixos.flake_build": {"flake": url}}
    change = {"ansible.builtin.raw": f"sh -e {script}", "delegate_to": "localhost", "become": False}
    change["vars"] = {"ansible_connection": "local"}
    plays = [
        {"hosts": "host1", "tasks": [build, change], **BUILD},
        {"hosts": "host2", "tasks": [build], **BUILD},
    ]
    played = play(lab, tmp_path, plays)
    assert played.code == 0, played.output
    built = [played.of(name, "flake_build") for name in ("host1", "host2")]
    assert [each["revision"] for each in built] == [before] * 2
    assert len({each["nar_hash"] for each in built}) == 1
    assert all(each["locked"] == f"{url}?rev={before}" and each["toplevel"].endswith(".ssh.1") for each in built)
    # What Nix has for it: the system knows its revision.
    assert before in hosts["host2"].run(f"cat {built[1]['toplevel']}/sw/bin/nixos-version", check=True).stdout

    again = play(lab, tmp_path, [{"hosts": "host1", "tasks": [build], **BUILD}])
    assert again.of("host1", "flake_build")["toplevel"].endswith(".ssh.2")
    assert again.of("host1", "flake_build")["revision"] != before


def test_an_older_commit_of_a_remote_flake(
    lab: Lab, whole: dict[str, Host], server: Host, flake: Path, tmp_path: Path
) -> None:
    shutil.rmtree(server.root / "srv/flake.git", ignore_errors=True)
    older = commit(server, flake, "git.1")
    newer = commit(server, flake, "git.2")
    url = f"git+ssh://deploy@{server.address}:2222/srv/flake.git"
    given = {"deploy_flake_limits": QUICK, "deploy_flake_on_older": "refuse"}
    deployed = deploy(lab, tmp_path, url, "host1", **given)
    assert deployed.code == 0, deployed.output
    before = systems(whole["host1"])
    assert before.running.endswith(".git.2")
    refused = deploy(lab, tmp_path, f"{url}?rev={older}", "host1", **given)
    failure = refused.failure("host1")
    assert failure["reason"] == "older-flake", refused.output
    assert f"host1 last committed {newer}" in failure["msg"] and f"{older} is older" in failure["msg"]
    assert systems(whole["host1"]) == before
