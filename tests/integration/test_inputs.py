# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs that hosts cannot fetch: the controller does, with what the operator logs in with.

host1 and host3 are cut off from everything but the controller's connections. host2 serves git over ssh, the controller
the rest.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from integration.playing import deploy, outcomes, remains
from integration.serving import LOGIN, TOKEN, Server, agent, make_certificate, serve_git, serving

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot
from lab import Host, Lab, keys

RULES = """
table inet cut {
    chain out {
        type filter hook output priority 0;
        oif lo accept
        ct state established,related accept
        %s
    }
}
"""
NAMES = ("ssh", "web", "tar", "forge", "open")
PRIVATE = NAMES[:-1]


def cut_off(host: Host, how: str) -> None:
    """Nothing goes out but answers."""
    host.run(["nft", "-f", "-"], stdin=RULES % how, check=True)


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Sources:
    """A flake whose inputs lie elsewhere."""

    flake: Path
    paths: dict[str, str]
    """Where each input is in the store of a host that has it."""
    private: Server
    public: Server


def make_source(directory: Path, name: str) -> dict[str, str]:
    """The flake that an input is; what a lock file says of its content, and its store path."""
    source = directory / name
    (source / "part").mkdir(parents=True)
    (source / "flake.nix").write_text(f'{{ outputs = _: {{ v = "{name}"; }}; }}', encoding="utf-8")
    (source / "part/run").write_text("#!/bin/sh\n")
    (source / "part/run").chmod(0o755)
    (source / "link").symlink_to("part/run")
    with take_snapshot(nar.directory_tree(source), source) as snapshot:
        return {"narHash": snapshot.nar_hash, "path": snapshot.store_path}


def make_repository(source: Path, to: Path) -> str:
    """A bare repository that also a server knows how to serve which knows nothing of git; the commit."""
    git("init", "-q", "-b", "main", str(source))
    git("-C", str(source), "add", ".")
    git("-C", str(source), "commit", "-q", "-m", "one")
    git("clone", "-q", "--bare", str(source), str(to))
    git("-C", str(to), "update-server-info")
    return git("-C", str(source), "rev-parse", "HEAD")


def archive(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True)
    with tarfile.open(to, "w:gz") as tar:
        tar.add(source, "top-1.0")


@pytest.fixture
def sources(
    lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sources]:
    """The servers, the flake and what the operator logs in with."""
    address = lab.state.controller_address
    served, made = tmp_path / "served", {name: make_source(tmp_path / "sources", name) for name in NAMES}
    archive(tmp_path / "sources/tar", served / "private/tar.tar.gz")
    archive(tmp_path / "sources/open", served / "open/open.tar.gz")
    archive(tmp_path / "sources/forge", served / f"api/v3/repos/me/forge/tarball/{'f' * 40}")
    revisions = {
        "ssh": make_repository(tmp_path / "sources/ssh", tmp_path / "ssh.git"),
        "web": make_repository(tmp_path / "sources/web", served / "private/web.git"),
        "forge": "f" * 40,
    }
    certificate = make_certificate(tmp_path, address)
    netrc = tmp_path / "netrc"
    netrc.write_text(f'machine {address} login {LOGIN[0]} password "{LOGIN[1]}"\n')
    netrc.chmod(0o600)
    with ExitStack() as stack:
        private = stack.enter_context(serving(served, address, 443, certificate))
        public = stack.enter_context(serving(served, "127.0.0.1", 0))
        originals: dict[str, dict[str, Any]] = {
            "ssh": {"type": "git", "url": serve_git(fresh["host2"], tmp_path / "ssh.git")},
            "web": {"type": "git", "url": f"https://{address}/private/web.git"},
            "tar": {"type": "tarball", "url": f"https://{address}/private/tar.tar.gz"},
            "forge": {"type": "github", "owner": "me", "repo": "forge", "host": address},
            "open": {"type": "tarball", "url": f"http://127.0.0.1:{public.server_port}/open/open.tar.gz"},
        }
        nodes: dict[str, Any] = {"root": {"inputs": {name: name for name in NAMES}}}
        for name, original in originals.items():
            locked = {**original, "lastModified": 1700000000, "narHash": made[name]["narHash"]}
            locked |= {"rev": revisions[name]} if name in revisions else {}
            locked |= {"ref": "refs/heads/main", "revCount": 1} if original["type"] == "git" else {}
            nodes[name] = {"locked": locked, "original": original}
        lock = {"nodes": nodes, "root": "root", "version": 7}
        (flake / "flake.lock").write_text(json.dumps(lock), encoding="utf-8")
        ask(flake, originals)
        environment = {
            "SSL_CERT_FILE": str(certificate),
            "GIT_SSL_CAINFO": str(certificate),
            "NETRC": str(netrc),
            "SSH_AUTH_SOCK": stack.enter_context(agent(tmp_path, keys.login_key(lab.state))),
            "GIT_SSH_COMMAND": f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile={lab.state.known_hosts}",
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        yield Sources(flake, {name: one["path"] for name, one in made.items()}, private, public)


def ask(flake: Path, originals: dict[str, dict[str, Any]]) -> None:
    """Have the systems of the example flake depend on all inputs."""
    file = flake / "flake.nix"
    inputs = "".join(
        f"  inputs.{name} = {{ {' '.join(f'{key} = {json.dumps(value)};' for key, value in one.items())} }};\n"
        for name, one in originals.items()
    )
    text = file.read_text(encoding="utf-8").replace("{ self }:", f"{{ self, {', '.join(NAMES)} }}:")
    version = "version = hosts.version + " + " + ".join(f'"-${{{name}.v}}"' for name in NAMES) + ";"
    text = text.replace("inherit (hosts) version;", version)
    assert version in text
    file.write_text(text.replace("  outputs =", f"{inputs}  outputs =", 1), "utf-8")


def had(host: Host, sources: Sources) -> set[str]:
    """The inputs that are in a host's store, and valid."""
    return {
        name
        for name, path in sources.paths.items()
        if host.run(f"nix-store --check-validity {path}", check=False).returncode == 0
    }


def sent(output: str, host: str) -> list[str]:
    """The inputs that a host was sent, in order."""
    told = [line for line in output.splitlines() if line.startswith(f"{host}: gets ") and ", the input '" in line]
    return [line.split("'")[1] for line in told]


def test_hosts_without_a_network(lab: Lab, fresh: dict[str, Host], sources: Sources, tmp_path: Path) -> None:
    """Nothing is waited for: what would be fetched is there before anything is built."""
    for name in ("host1", "host3"):
        cut_off(fresh[name], "drop")
    given = {"deploy_flake_nix_config": f"access-tokens = {lab.state.controller_address}={TOKEN}"}
    played = deploy(lab, tmp_path, sources.flake, "host1", "host3", deploy_flake_copy_inputs="all", **given)
    assert played.code == 0, played.output
    for name in ("host1", "host3"):
        assert sorted(sent(played.output, name)) == sorted(NAMES)
        assert had(fresh[name], sources) == set(NAMES)
        assert list(outcomes(fresh[name]).values()) == ["committed"]
        assert remains(fresh[name]) == ""
    # Once for both hosts.
    archives = [path for path in sources.private.asked + sources.public.asked if ".git/" not in path]
    assert len(archives) == len(set(archives)) == 3
    assert TOKEN not in played.output and LOGIN[1] not in played.output

    again = deploy(lab, tmp_path, sources.flake, "host1", "host3", deploy_flake_copy_inputs="all", **given)
    assert again.code == 0, again.output
    assert not sent(again.output, "host1") + sent(again.output, "host3")
    assert len(sources.private.asked + sources.public.asked) == len(archives) + len(
        [path for path in sources.private.asked if ".git/" in path]
    )


def test_private_inputs_go_first_and_others_when_they_have_to(
    lab: Lab, fresh: dict[str, Host], sources: Sources, tmp_path: Path
) -> None:
    host = fresh["host3"]
    cut_off(host, "reject")
    given = {"deploy_flake_nix_config": f"access-tokens = {lab.state.controller_address}={TOKEN}"}
    left = deploy(lab, tmp_path, sources.flake, host.name, deploy_flake_copy_inputs="none", **given)
    assert left.failure(host.name)["reason"] == "input-not-fetched", left.output
    assert "deploy_flake_copy_inputs" in left.of(host.name, "flake_build")["msg"]
    assert had(host, sources) == set()
    assert remains(host) == ""

    played = deploy(lab, tmp_path, sources.flake, host.name, **given)
    assert played.code == 0, played.output
    assert sorted(sent(played.output, host.name)[: len(PRIVATE)]) == sorted(PRIVATE)
    assert sent(played.output, host.name)[len(PRIVATE) :] == ["open"]
    assert had(host, sources) == set(NAMES)


def test_an_input_that_the_controller_cannot_fetch(
    lab: Lab, fresh: dict[str, Host], sources: Sources, tmp_path: Path
) -> None:
    host = fresh["host1"]
    played = deploy(lab, tmp_path, sources.flake, host.name, deploy_flake_copy_inputs="all")
    failure = played.of(host.name, "flake_build")
    assert failure["reason"] == "input-not-fetched", played.output
    assert "input 'forge' (github:me/forge/ffff" in failure["msg"]
    assert "answers 401" in failure["msg"] and "access token" in failure["msg"]
    assert outcomes(host) == {}
    assert remains(host) == ""
