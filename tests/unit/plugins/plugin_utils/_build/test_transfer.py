# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a flake goes to a host, and when."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import options_of
from unit.building import DERIVATION, SYSTEM, built, done, failed, log
from unit.fake_host import FakeHost
from unit.fetching import URL, Source

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import transfer, waiting
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import CopySettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.transfer import Sources
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake import nar
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.local import (
    LocalFlake,
    find_flake,
    local_inputs,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.locked import Fetched, LockedFlake
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import directory_tree
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.remote_input import RemoteInput
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.shared import shared_input
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.store_path import source_store_path, sri
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.unlocked import Unlocked
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError, HostLostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import Host, TimeUpError

REAL_SLEEP = time.sleep


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    """A flake with one input that lies on the controller."""
    directory, other = tmp_path / "flake", tmp_path / "input"
    for one in (directory, other):
        one.mkdir()
        (one / "flake.nix").write_text("{ }")
    with flake_of(other).snapshot() as snapshot:
        locked = {"type": "path", "path": str(other), "narHash": snapshot.nar_hash}
    (directory / "flake.lock").write_text(json.dumps({"version": 7, "nodes": {"other": {"locked": locked}}}))
    return directory


def flake_of(directory: Path) -> LocalFlake:
    found = find_flake(f"path:{directory}", Path("/"))
    assert isinstance(found, LocalFlake)
    return found


def paths(flake: Path) -> tuple[str, str]:
    """The store paths of the input and of the flake."""
    found = flake_of(flake)
    with found.snapshot() as snapshot:
        return local_inputs(found).found[0].store_path, snapshot.store_path


def sources(host: FakeHost, flake: str, directory: Path, **given: Any) -> Sources:
    settings = CopySettings.from_options(options_of("flake_copy", flake=flake, **given))
    return Sources(host, settings, directory / "shared")


def is_nar_of(data: bytes, path: str) -> bool:
    return source_store_path(hashlib.sha256(data).digest()) == path


def test_only_what_the_host_lacks_is_sent(flake: Path, tmp_path: Path) -> None:
    other, own = paths(flake)
    host = FakeHost([{"missing": [other]}, {}])
    with sources(host, f"path:{flake}", tmp_path, copy_timeout=7) as found:
        found.bring()
    asked, sent = host.asked
    assert (asked.command, asked.inputs["paths"].split("\n"), asked.limit) == ("copy_ask", [other, own], 60)
    assert (sent.command, sent.inputs["path"], sent.limit) == ("copy_receive", other, 7)
    assert is_nar_of(sent.data, other)
    assert sent.inputs["nar_size"] == str(len(sent.data)) == str(found.bytes_sent)
    assert host.told == [f"gets {other}, 0 KiB"]


def test_a_host_that_has_it_is_sent_nothing(flake: Path, tmp_path: Path) -> None:
    host = FakeHost([{"asked": "yes"}])
    with sources(host, f"path:{flake}", tmp_path) as found:
        found.bring()
    assert (host.commands, found.bytes_sent) == (["copy_ask"], 0)


def test_a_copy_is_tried_again_and_given_up(flake: Path, tmp_path: Path) -> None:
    _other, own = paths(flake)
    host = FakeHost([{"missing": [own]}, AnsibleConnectionFailure("x"), {}])
    with sources(host, f"path:{flake}", tmp_path) as found:
        found.bring()
        sizes = {len(asked.data) for asked in host.asked[1:]}
        assert sizes == {found.bytes_sent}
    host = FakeHost([{"missing": [own]}, AnsibleConnectionFailure("x")])
    with sources(host, f"path:{flake}", tmp_path, reconnect_timeout=0) as found:
        with pytest.raises(HostLostError, match="while copying the flake"):
            found.bring()
        assert found.bytes_sent == 0


def test_what_is_returned_of_a_local_flake(flake: Path, tmp_path: Path) -> None:
    _other, own = paths(flake)
    with sources(FakeHost(), f"path:{flake}", tmp_path) as found:
        facts = found.facts()
    assert facts["reference"].startswith(f"path:{own}?narHash=")
    assert (facts["flake"], facts["store_path"], facts["bytes_sent"]) == (f"path:{flake}", own, 0)
    assert (facts["revision"], facts["dirty"]) == (None, False)
    assert facts["nar_hash"].startswith("sha256-")
    assert facts["nar_size"] > 0 and facts["last_modified"] > 0


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A flake elsewhere; the controller has neither Nix nor git to get it with."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    return Source(tmp_path / "remote")


def test_a_remote_flake_is_resolved_by_the_first_host(remote: Source, tmp_path: Path) -> None:
    first = FakeHost([*remote.answers(rev="1" * 40), {"asked": "yes"}])
    with sources(first, URL, tmp_path) as found:
        found.bring()
        facts = found.facts()
    assert first.commands == ["nix_eval", "read_source", "copy_ask"]
    assert facts["reference"].startswith(f"path:{remote.store_path}?narHash=")
    assert (facts["flake"], facts["revision"], facts["dirty"]) == (URL, "1" * 40, False)
    assert (facts["nar_hash"], facts["store_path"]) == (remote.nar_hash, remote.store_path)
    assert facts["locked"].startswith(f"{URL}?narHash=")
    # Nobody else asks for it.
    second = FakeHost([{"missing": [remote.store_path]}, {}])
    with sources(second, URL, tmp_path) as found:
        found.bring()
        assert found.facts() | {"bytes_sent": 0} == facts
    assert second.commands == ["copy_ask", "copy_receive"]
    assert second.asked[1].data == remote.nar


def test_a_remote_repository_with_what_looks_like_a_secret(
    remote: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a local one with git, it is said once."""
    (tmp_path / "remote" / ".vault_pass").write_text("word\n")

    def fetch(_host: Host, _settings: CopySettings, reference: str, file: BinaryIO) -> Fetched:
        snapshot = take_snapshot(directory_tree(tmp_path / "remote"), tmp_path, file)
        return Fetched(LockedFlake(reference, "git:x", snapshot.nar_hash), snapshot)

    monkeypatch.setattr(transfer, "lock", fetch)
    hosts = [FakeHost(), FakeHost()]
    for host in hosts:
        with sources(host, URL, tmp_path):
            assert host.asked == []
    assert ("git:x" in hosts[0].warned[0], ".vault_pass" in hosts[0].warned[0], hosts[1].warned) == (True, True, [])


def test_a_remote_flake_that_is_not_locked(remote: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_host: Host, _settings: CopySettings, reference: str, file: BinaryIO) -> Fetched:
        snapshot = take_snapshot(directory_tree(tmp_path / "remote"), tmp_path, file)
        return Fetched(LockedFlake(reference, "git:x", snapshot.nar_hash), snapshot, (Unlocked("a", "is not locked"),))

    monkeypatch.setattr(transfer, "lock", fetch)
    host = FakeHost()
    with pytest.raises(HostError, match=r"git:x is not locked: the input 'a' is not locked\. Run 'nix flake lock'"):
        built(host, tmp_path, flake=URL)
    assert host.asked == []


def test_warnings(flake: Path, tmp_path: Path) -> None:
    lock = json.loads((flake / "flake.lock").read_text())
    lock["nodes"]["other"]["locked"]["path"] = "/nowhere/at/all"
    (flake / "flake.lock").write_text(json.dumps(lock))
    host = FakeHost()
    with sources(host, f"path:{flake}", tmp_path):
        pass
    assert host.warned == [
        (
            "the input 'other' is local to the controller and cannot be sent along: there is no /nowhere/at/all on this"
            " machine"
        )
    ]


def test_files_that_git_does_not_track(tmp_path: Path) -> None:
    directory = tmp_path / "repository"
    directory.mkdir()
    (directory / "flake.nix").write_text("{ }")
    for arguments in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(directory), *arguments], check=True)
    for number in range(6):
        (directory / f"{number}.nix").write_text("{ }")
    host = FakeHost()
    with sources(host, str(directory), tmp_path):
        pass
    warning, _dirty = host.warned
    assert warning.endswith("the flake does not contain them: 0.nix, 1.nix, 2.nix, 3.nix, 4.nix")


def test_secrets_in_a_directory_without_git_are_refused(flake: Path, tmp_path: Path) -> None:
    for number in range(7):
        (flake / f"{number}.vault_pass").write_text("word\n")
    host = FakeHost()
    with pytest.raises(HostError) as error:
        sources(host, f"path:{flake}", tmp_path)
    assert error.value.reason == Refusal.SECRETS_IN_FLAKE
    message = str(error.value)
    assert f"the flake in {flake} holds" in message
    assert "0.vault_pass (a vault password)" in message and "4.vault_pass (a vault password) and 2 more" in message
    assert "allow 'secrets_in_flake' (deploy_flake_allow)" in message
    # The other hosts' processes refuse as well.
    with pytest.raises(HostError, match=r"2 more"):
        sources(host, f"path:{flake}", tmp_path)
    with sources(host, f"path:{flake}", tmp_path, allow=["secrets_in_flake"]):
        pass
    assert (host.asked, host.warned) == ([], [])


def test_check_mode_refuses_secrets_as_well(flake: Path, tmp_path: Path) -> None:
    (flake / ".vault_pass").write_text("word\n")
    host = FakeHost()
    for builds in (True, False):
        with pytest.raises(HostError, match="a vault password"):
            built(host, tmp_path, check_mode=True, flake=f"path:{flake}", check_builds=builds)
    assert host.asked == []


def test_secrets_that_git_tracks_are_warned_of_once(flake: Path, tmp_path: Path) -> None:
    (flake / ".vault_pass").write_text("word\n")
    (flake / "vault-password").write_text("not tracked\n")
    for arguments in (["init", "--quiet"], ["add", ".vault_pass", "flake.nix", "flake.lock"]):
        subprocess.run(["git", "-C", str(flake), *arguments], check=True)
    host = FakeHost()
    for _process in range(2):
        with sources(host, str(flake), tmp_path):
            pass
    _dirty, warning = host.warned
    assert ".vault_pass (a vault password). " in warning and "vault-password" not in warning
    with sources(host, str(flake), tmp_path / "flake", allow=["secrets_in_flake"]):
        pass
    assert len(host.warned) == 3
    # Everything goes, whatever git tracks.
    with pytest.raises(HostError, match=r"\.vault_pass .*vault-password"):
        sources(host, f"path:{flake}", tmp_path / "input")


def test_secrets_in_an_input_are_refused(flake: Path, tmp_path: Path) -> None:
    (tmp_path / "input/.vault_pass").write_text("word\n")
    with flake_of(tmp_path / "input").snapshot() as snapshot:
        locked = {"type": "path", "path": str(tmp_path / "input"), "narHash": snapshot.nar_hash}
    (flake / "flake.lock").write_text(json.dumps({"version": 7, "nodes": {"other": {"locked": locked}}}))
    other, _own = paths(flake)
    host = FakeHost([{"missing": [other]}, {}])
    with sources(host, f"path:{flake}", tmp_path) as found, pytest.raises(HostError, match="the input 'other' in"):
        found.bring()
    assert host.commands == ["copy_ask", "copy_drop"]
    host = FakeHost([{"missing": [other]}, {}])
    with sources(host, f"path:{flake}", tmp_path, allow=["secrets_in_flake"]) as found:
        found.bring()
    assert host.commands == ["copy_ask", "copy_receive"]


def test_a_dirty_tree_is_said_once_and_returned(tmp_path: Path) -> None:
    directory = tmp_path / "repository"
    for made in (directory, tmp_path / "clean", tmp_path / "dirty"):
        made.mkdir()
    (directory / "flake.nix").write_text("{ }")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "one"]):
        subprocess.run(["git", "-C", str(directory), *arguments], check=True)
    head = subprocess.check_output(["git", "-C", str(directory), "rev-parse", "HEAD"], text=True).strip()
    host = FakeHost()
    with sources(host, str(directory), tmp_path / "clean") as found:
        facts = found.facts()
    assert (facts["revision"], facts["dirty"], facts["dirty_revision"], host.warned) == (head, False, None, [])
    (directory / "flake.nix").write_text("{ a = 1; }")
    for _process in range(2):
        with sources(host, str(directory), tmp_path / "dirty") as found:
            facts = found.facts()
    assert (facts["revision"], facts["dirty"], facts["dirty_revision"]) == (None, True, f"{head}-dirty")
    (warning,) = host.warned
    assert "has changes that are not committed to git" in warning and f"{head}-dirty" in warning


def test_submodules_that_are_left_out_are_named_once(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    (root / "inner").mkdir(parents=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for directory in (root / "inner", root):
        (directory / "flake.nix").write_text("{ }")
        for arguments in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "one"]):
            subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True)
    host = FakeHost()
    for _process in range(2):
        with sources(host, str(root), tmp_path):
            pass
    (warning,) = host.warned
    assert "is copied without the submodules inner." in warning


def test_an_input_that_has_changed_since_it_was_locked(flake: Path, tmp_path: Path) -> None:
    other, _own = paths(flake)
    (tmp_path / "input/flake.nix").write_text("{ changed = 1; }")
    host = FakeHost([{"missing": [other]}, {}])
    with (
        sources(host, f"path:{flake}", tmp_path) as found,
        pytest.raises(FlakeError, match="is not what the lock file"),
    ):
        found.bring()
    assert host.commands == ["copy_ask", "copy_drop"]


@pytest.mark.parametrize("alone", [True, False], ids=["by itself", "with the build"])
def test_link_that_is_too_slow(flake: Path, tmp_path: Path, alone: bool) -> None:
    """To try the same again would take as long: it is told with figures, and the option that helps."""
    other, own = paths(flake)
    missing = [other, own] if alone else [own]
    host = FakeHost([{"missing": missing}, TimeUpError("no answer within 7 s")])
    with pytest.raises(HostError, match=r"host1 has not taken 0\.0 MiB within 7 s.*or the host is") as caught:
        built(host, tmp_path, flake=f"path:{flake}", copy_timeout=7)
    assert caught.value.reason == Refusal.TOO_SLOW
    assert "deploy_flake_copy_timeout" in str(caught.value)
    assert host.done()


@pytest.mark.parametrize("alone", [True, False], ids=["by itself", "with the build"])
def test_what_takes_long_is_told_while_it_goes_on(
    flake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    other, own = paths(flake)
    monkeypatch.setattr(waiting, "_EVERY", 0.02)
    host = FakeHost([{"missing": [other, own]}, {}, done()] if alone else [{"missing": [own]}, done()])
    slow = other if alone else own
    run = host.run

    def take_long(command: str, /, **inputs: Any) -> Any:
        if inputs.get("path") == slow:
            deadline = time.monotonic() + 60
            while not any(told.startswith("still ") for told in host.told) and time.monotonic() < deadline:
                REAL_SLEEP(0.01)
        return run(command, **inputs)

    monkeypatch.setattr(host, "run", take_long)
    built(host, tmp_path, flake=f"path:{flake}")
    still = [told for told in host.told if told.startswith("still ")]
    assert still and all(re.fullmatch(rf"still gets {slow}, \d+ KiB, for \d+ s", told) for told in still)


def test_an_input_that_is_being_fetched_is_told_of(
    elsewhere: dict[str, RemoteInput], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_EVERY", 0.02)
    fetch, host = shared_input, FakeHost([{"missing": [elsewhere["private"].store_path]}, {}])

    def take_long(*given: Any) -> Any:
        deadline = time.monotonic() + 60
        while not any(told.startswith("still ") for told in host.told) and time.monotonic() < deadline:
            REAL_SLEEP(0.01)
        return fetch(*given)

    monkeypatch.setattr(transfer, "shared_input", take_long)
    with sources(host, f"path:{tmp_path}/flake", tmp_path) as found:
        found.bring()
    assert any("waits for the input 'private', which the controller fetches, for 0 s" in told for told in host.told)


def test_the_last_one_goes_with_the_build(flake: Path, tmp_path: Path) -> None:
    other, own = paths(flake)
    host = FakeHost([{"missing": [other, own]}, {}, done()])
    result, _answer = built(host, tmp_path, flake=f"path:{flake}", copy_timeout=1000)
    ask, copy, build = host.asked
    assert (ask.command, copy.command, build.command) == ("build", "copy_receive", "build")
    assert ask.inputs["paths"] == f"{other}\n{own}"
    assert (ask.data, ask.inputs["nar_size"], "path" in ask.inputs) == (b"", "", False)
    assert (copy.inputs["path"], is_nar_of(copy.data, other)) == (other, True)
    # It is rooted already, and not asked for again.
    assert (build.inputs["path"], build.inputs["paths"], build.inputs["may_start"]) == (own, "", "yes")
    assert (is_nar_of(build.data, own), build.inputs["nar_size"]) == (True, str(len(build.data)))
    assert (ask.limit, build.limit) == (128, 1128)
    assert result["bytes_sent"] == len(copy.data) + len(build.data)
    assert (result["changed"], result["built"], result["store_path"]) == (True, 0, own)


def test_a_flake_that_the_host_has_is_built_at_once(flake: Path, tmp_path: Path) -> None:
    host = FakeHost([done()])
    result, _answer = built(host, tmp_path, flake=f"path:{flake}")
    assert (host.commands, result["bytes_sent"], result["changed"]) == (["build"], 0, False)
    assert host.asked[0].inputs["sources"].splitlines() == list(paths(flake))


def test_a_flake_that_is_not_locked_goes_to_no_host(tmp_path: Path) -> None:
    asking = tmp_path / "asking"
    asking.mkdir()
    (asking / "flake.nix").write_text("{ outputs = { self, other }: { }; }")
    host = FakeHost()
    with pytest.raises(HostError, match=r"the input 'other' is not locked\. Run 'nix flake lock' there") as error:
        built(host, tmp_path, flake=f"path:{asking}")
    assert (error.value.reason, host.asked) == (Refusal.NOT_LOCKED, [])
    for wish in (["--override-input", "other", "path:/x"], ["--recreate-lock-file"]):
        host = FakeHost([done()])
        built(host, tmp_path, flake=f"path:{asking}", build_args=wish)
        assert host.commands == ["build"]


def test_a_lock_file_that_git_does_not_track(tmp_path: Path) -> None:
    asking = tmp_path / "asking"
    asking.mkdir()
    (asking / "flake.nix").write_text("{ outputs = { self, other }: { }; }")
    subprocess.run(["sh", "-c", "git init -q && git add . && touch flake.lock"], cwd=asking, check=True)
    with sources(FakeHost(), str(asking), tmp_path) as found:
        assert found.not_locked() == (
            f"git does not track {asking}/flake.lock, so the flake does not contain it, and the input 'other' is not"
            " locked. Run 'git add' for it"
        )


def test_a_host_that_loses_what_it_was_sent(flake: Path, tmp_path: Path) -> None:
    _other, own = paths(flake)
    with pytest.raises(HostError, match="has lost what it was sent") as error:
        built(FakeHost([{"missing": [own]}, {"missing": [own]}]), tmp_path, flake=f"path:{flake}")
    assert error.value.reason == Refusal.NOT_VALID


@pytest.mark.parametrize("given", [{"flake": URL}, {"reference": URL}], ids=["flake", "reference"])
def test_a_remote_flake_is_built_from_its_source(remote: Source, tmp_path: Path, given: dict[str, Any]) -> None:
    host = FakeHost([*remote.answers(), done()])
    result, _answer = built(host, tmp_path, **given)
    assert result["reference"].startswith(f"path:{remote.store_path}?narHash=")
    assert (result["flake"], result["changed"]) == (URL, False)
    build = host.asked[2].inputs
    assert (build["sources"], build["paths"]) == (remote.store_path, remote.store_path)
    assert f"path:{remote.store_path}" in build["nix_arguments"]


def test_the_first_contact_with_a_flake(flake: Path, tmp_path: Path) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        built(FakeHost([AnsibleConnectionFailure("x"), done()]), tmp_path, flake=f"path:{flake}")


def test_evaluation_brings_the_flake(flake: Path, tmp_path: Path) -> None:
    _other, own = paths(flake)
    found = {"status": "0", "value": f"{SYSTEM} {DERIVATION}", "valid": SYSTEM}
    host = FakeHost([{"missing": [own]}, {}, found])
    result, answer = built(host, tmp_path, check_mode=True, flake=f"path:{flake}", check_builds=False)
    assert host.commands == ["copy_ask", "copy_receive", "nix_eval"]
    # Nothing would be built, and yet something was sent.
    assert (result["valid"], result["changed"], result["store_path"], answer.fields) == (True, True, own, [])
    assert sri(hashlib.sha256(host.asked[1].data).digest()) == result["nar_hash"]


@pytest.mark.parametrize(("kib", "words"), [(512, "512 KiB"), (1023, "1023 KiB"), (1024, "1.0 MiB"), (2560, "2.5 MiB")])
def test_sizes_are_told_in_the_larger_unit(tmp_path: Path, kib: int, words: str) -> None:
    """A NAR of a directory is somewhat larger than its files."""
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake/flake.nix").write_text("{ }")
    (tmp_path / "flake/picture").write_bytes(b"")
    with flake_of(tmp_path / "flake").snapshot() as snapshot:
        around = snapshot.nar_size
    (tmp_path / "flake/picture").write_bytes(bytes(kib * 1024 - around))
    host = FakeHost()
    with sources(host, f"path:{tmp_path / 'flake'}", tmp_path) as found, found.opened(found.paths) as nar:
        assert len(nar.data) == kib * 1024
    assert host.told[0].endswith(f", {words}")


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, RemoteInput]:
    """A flake in tmp_path/flake with inputs on a server that one has to log in to, on one that is open, and nowhere."""
    (tmp_path / "flake").mkdir()
    (tmp_path / "flake/flake.nix").write_text("{ }")
    nodes: dict[str, Any] = {}
    for name, url in (("private", f"file://me:x@{tmp_path}/private"), ("open", f"file://{tmp_path}/open")):
        (tmp_path / name).write_text(name)
        with take_snapshot(nar.directory_tree(tmp_path / name), tmp_path) as snapshot:
            nodes[name] = {"locked": {"type": "file", "url": url, "narHash": snapshot.nar_hash}}
    nodes["old"] = {"locked": {"type": "hg", "url": "https://example.org", "narHash": sri(bytes(32))}}
    nodes["unknown"] = {"locked": {"type": "tarball", "url": "https://example.org"}}
    (tmp_path / "flake/flake.lock").write_text(json.dumps({"version": 7, "nodes": nodes}))
    return {one.name: one for one in local_inputs(flake_of(tmp_path / "flake")).remote}


def own_path(tmp_path: Path) -> str:
    with flake_of(tmp_path / "flake").snapshot() as snapshot:
        return snapshot.store_path


def test_inputs_that_are_elsewhere(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    assert sorted(elsewhere) == ["old", "open", "private"]
    own = own_path(tmp_path)
    for copy_inputs, names in (("all", ("private", "open", "old")), ("missing", ("private",)), ("none", ())):
        with sources(FakeHost(), f"path:{tmp_path}/flake", tmp_path, copy_inputs=copy_inputs) as found:
            assert found.paths.splitlines() == [*(elsewhere[name].store_path for name in names), own]


def test_an_input_goes_packed(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    private, own = elsewhere["private"].store_path, own_path(tmp_path)
    host = FakeHost([{"missing": [private, own]}, {}, {}])
    with sources(host, f"path:{tmp_path}/flake", tmp_path) as found:
        found.bring()
    _ask, first, second = host.asked
    data = gzip.decompress(first.data)
    assert is_nar_of(data, private)
    assert (first.inputs["packed"], first.inputs["nar_size"]) == ("yes", str(len(data)))
    assert (second.inputs["packed"], is_nar_of(second.data, own)) == ("no", True)
    assert found.bytes_sent == len(first.data) + len(second.data)
    assert host.told[0].startswith(f"gets {private}, the input 'private', ")


def test_an_input_that_is_fetched_by_nobody(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    old, own = elsewhere["old"].store_path, own_path(tmp_path)
    host = FakeHost([{"missing": [old, own]}, {}])
    with pytest.raises(HostError, match=r"input 'old' .* host1 lacks it, and nothing was built there") as error:
        built(host, tmp_path, flake=f"path:{tmp_path}/flake", copy_inputs="all")
    assert error.value.reason == Refusal.INPUT_NOT_FETCHED
    # It keeps nothing for a build that will not be.
    assert host.commands == ["build", "copy_drop"]
    assert old in host.asked[1].inputs["paths"]


def test_a_host_that_could_not_fetch_gets_what_it_lacks(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    opened, old, own = elsewhere["open"].store_path, elsewhere["old"].store_path, own_path(tmp_path)
    no_network = failed(log("download-error"))
    host = FakeHost([no_network, {"missing": [old, opened]}, {"missing": [old, opened]}, done()])
    result, _answer = built(host, tmp_path, flake=f"path:{tmp_path}/flake")
    assert host.commands == ["build", "copy_ask", "build", "build"]
    first, ask, again, last = host.asked
    assert set(ask.inputs["paths"].splitlines()) == {opened, old}
    assert {opened, old, own} < set(again.inputs["paths"].splitlines())
    assert (last.inputs["path"], last.inputs["packed"], last.inputs["paths"]) == (opened, "yes", "")
    assert set(last.inputs["sources"].splitlines()) > {opened, old, own}
    assert set(first.inputs["sources"].splitlines()) == {elsewhere["private"].store_path, own}
    assert result["bytes_sent"] == len(last.data)
    assert len([warning for warning in host.warned if "input 'old'" in warning]) == 2


@pytest.mark.parametrize("alone", [True, False], ids=["by itself", "with the build"])
def test_an_input_that_a_slow_link_does_not_take_is_left_to_the_host(
    elsewhere: dict[str, RemoteInput], tmp_path: Path, alone: bool
) -> None:
    private, opened, own = elsewhere["private"].store_path, elsewhere["open"].store_path, own_path(tmp_path)
    missing = [private, own] if alone else [private]
    host = FakeHost([{"missing": missing}, TimeUpError("no answer"), done()])
    result, _answer = built(host, tmp_path, flake=f"path:{tmp_path}/flake", copy_timeout=7)
    assert host.commands == ["build", "copy_receive" if alone else "build", "build"]
    (warning,) = [said for said in host.warned if "too slow" in said]
    for part in ("the input 'private'", "within 7 s", "the host has to fetch it", "deploy_flake_copy_inputs"):
        assert part in warning
    assert result["bytes_sent"] == len(host.asked[-1].data)

    # It is not tried again where the host cannot fetch either, nor is what is larger.
    (tmp_path / "again").mkdir()
    host = FakeHost(
        [
            {"missing": [private]},
            TimeUpError("no answer"),
            failed(log("download-error")),
            {"missing": [private, opened]},
            {"missing": [private, opened]},
            done(),
        ]
    )
    built(host, tmp_path / "again", flake=f"path:{tmp_path}/flake", copy_timeout=7)
    assert host.asked[-1].inputs["path"] == opened
    assert host.done()


@pytest.mark.parametrize("alone", [True, False], ids=["by itself", "with the build"])
def test_a_slow_link_is_tried_with_one_large_input(
    elsewhere: dict[str, RemoteInput], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """Each of them would take the whole of copy_timeout."""
    smaller, larger, own = elsewhere["open"].store_path, elsewhere["private"].store_path, own_path(tmp_path)
    monkeypatch.setattr(Sources, "_is_offered", lambda _self, _one: True)
    last = [own] if alone else []
    host = FakeHost([{"missing": [smaller, larger, *last]}, TimeUpError("no answer"), done()])
    built(host, tmp_path, flake=f"path:{tmp_path}/flake", copy_timeout=7)
    assert host.commands == ["build", "copy_receive", "build"]
    assert [asked.inputs.get("path") for asked in host.asked[1:]] == [smaller, own if alone else None]
    assert len([told for told in host.told if "has to fetch the input 'private' too" in told]) == 1

    # What is smaller is sent all the same.
    (tmp_path / "again").mkdir()
    host = FakeHost([{"missing": [larger, smaller, *last]}, TimeUpError("no answer"), *([{}] if alone else []), done()])
    built(host, tmp_path / "again", flake=f"path:{tmp_path}/flake", copy_timeout=7)
    assert [asked.inputs.get("path") for asked in host.asked[1:]] == [larger, smaller, *last]
    assert host.done()


def test_an_input_that_a_slow_link_does_not_take_is_an_error_where_all_are_sent(
    elsewhere: dict[str, RemoteInput], tmp_path: Path
) -> None:
    host = FakeHost([{"missing": [elsewhere["private"].store_path]}, TimeUpError("no answer")])
    with pytest.raises(HostError, match="'none' for copy_inputs") as error:
        built(host, tmp_path, flake=f"path:{tmp_path}/flake", copy_inputs="all")
    assert error.value.reason == Refusal.TOO_SLOW


def test_what_may_be_private_is_offered_before_the_rest(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    file = tmp_path / "flake/flake.lock"
    lock = json.loads(file.read_text())
    forge = {"type": "github", "owner": "me", "repo": "x", "rev": "1" * 40, "narHash": sri(bytes([1] * 32))}
    lock["nodes"]["forge"] = {"locked": forge}
    file.write_text(json.dumps(lock))
    host = FakeHost([{"missing": []}, {}, {"missing": []}, {}])
    with sources(host, f"path:{tmp_path}/flake", tmp_path) as found:
        settings = replace(found._settings, nix_config="access-tokens = github.com=t")
    with Sources(FakeHost(), settings, tmp_path / "shared") as found:
        assert source_store_path(bytes([1] * 32)) not in found.paths
        found._host = host
        assert not found.offer_more()
    first, _drop, second, _dropped = host.asked
    assert first.inputs["paths"] == source_store_path(bytes([1] * 32))
    assert elsewhere["open"].store_path in second.inputs["paths"].splitlines()


@pytest.mark.parametrize("lacks", [[], ["old"]])
def test_a_host_that_lacks_nothing_that_there_is_fails_as_it_did(
    elsewhere: dict[str, RemoteInput], tmp_path: Path, lacks: list[str]
) -> None:
    missing = {"missing": [elsewhere[name].store_path for name in lacks]}
    host = FakeHost([failed(log("download-error")), missing, {}])
    with pytest.raises(HostError, match="deploy_flake_copy_inputs") as error:
        built(host, tmp_path, flake=f"path:{tmp_path}/flake")
    assert error.value.reason == Refusal.INPUT_NOT_FETCHED
    assert host.commands == ["build", "copy_ask", "copy_drop"]


def test_evaluation_gets_what_the_host_could_not_fetch(elsewhere: dict[str, RemoteInput], tmp_path: Path) -> None:
    opened = elsewhere["open"].store_path
    no_network = {"status": "1", "error": "error:\n  … while fetching the input 'x'\n\n  error: unable to download"}
    found = {"status": "0", "value": f"{SYSTEM} {DERIVATION}"}
    host = FakeHost([{}, no_network, {"missing": opened}, {"missing": opened}, {}, found])
    built(host, tmp_path, check_mode=True, check_builds=False, flake=f"path:{tmp_path}/flake")
    assert host.commands == ["copy_ask", "nix_eval", "copy_ask", "copy_ask", "copy_receive", "nix_eval"]
    assert opened in host.asked[-1].inputs["sources"]


@pytest.mark.parametrize("copy_inputs", ["none", "all"])
def test_what_was_decided_otherwise_is_not_tried_again(
    elsewhere: dict[str, RemoteInput], tmp_path: Path, copy_inputs: str
) -> None:
    assert elsewhere
    host = FakeHost([failed(log("download-error"))])
    with pytest.raises(HostError):
        built(host, tmp_path, flake=f"path:{tmp_path}/flake", copy_inputs=copy_inputs)
    assert host.commands == ["build"]
