# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who resolves a remote flake for all hosts, and what comes of it."""

from __future__ import annotations

import gzip
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import options_of
from unit.building import settings
from unit.fake_host import FakeHost
from unit.fetching import PATH, URL, Source, part
from unit.repository import git

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import lock as module
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.lock import lock
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import CopySettings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.locked import Fetched
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.reference import FlakeError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

REAL_SLEEP = time.sleep
NOT_WHOLE = "error:\n       error: cannot write modified lock file of flake 'https://x' (use …)"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that the controller has beside what every machine has."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sh", "cat", "git", "git-upload-pack"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], check=True, capture_output=True, text=True)
        (directory / name).symlink_to(found.stdout.strip())
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return directory


@pytest.fixture
def source(programs: Path, tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


def fetched(host: FakeHost, directory: Path, reference: str = URL, **given: Any) -> tuple[Fetched, bytes]:
    for kept in directory.glob("nar.failed-*"):
        kept.unlink()
    with (directory / "nar").open("w+b") as file:
        found = lock(host, settings(flake=reference, **given), reference, file)
        return found, file.read()


def test_by_a_host(source: Source, tmp_path: Path) -> None:
    host = FakeHost(source.answers())
    found, nar = fetched(host, tmp_path, copy_timeout=7, nix_config="secret = 1")
    assert nar == source.nar
    assert (found.snapshot.nar_hash, found.snapshot.store_path) == (source.nar_hash, source.store_path)
    assert found.snapshot.nar_size == len(nar)
    assert (found.flake.reference, found.flake.last_modified) == (URL, 7)
    assert found.flake.url.startswith(f"{URL}?narHash=sha256-")
    asked, read = host.asked
    arguments = shlex.split(asked.inputs["nix_arguments"])
    assert arguments[:2] == ["flake", "metadata"] and arguments[-1] == URL
    # Past the caches, and without a lock file that is made up.
    assert {"--refresh", "--json", "--no-update-lock-file"} <= set(arguments)
    assert (asked.command, asked.inputs["login_user"], asked.inputs["nix_config"]) == (
        "nix_eval",
        "admin",
        "secret = 1",
    )
    assert (read.command, read.inputs["path"], read.inputs["offset"], read.limit) == ("read_source", PATH, "0", 7)
    assert host.told == [
        "resolves the flake for all hosts",
        f"the flake is {found.flake.url} for all hosts, as host1 has found it",
    ]


def test_what_is_known_of_a_commit(source: Source, tmp_path: Path) -> None:
    known = {"type": "git", "rev": "1" * 40, "revCount": 3, "dir": "a b"}
    found, _nar = fetched(FakeHost(source.answers(**known)), tmp_path)
    # The URL of git has no place for a hash.
    assert found.flake.url == URL
    assert (found.flake.revision, found.flake.revision_count, found.flake.directory) == ("1" * 40, 3, "a b")
    reference = found.flake.locked_reference(found.snapshot)
    assert reference.startswith(f"path:{source.store_path}?narHash=sha256-")
    assert reference.endswith(f"&lastModified=7&rev={'1' * 40}&revCount=3&dir=a%20b")


@pytest.mark.parametrize("packed", ["gzip", "cat"])
def test_in_parts_over_a_connection_that_is_lost(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    monkeypatch.setattr(module, "_PART", 40)
    data = gzip.compress(source.nar) if packed == "gzip" else source.nar
    parts = [part(data[place : place + 40], packed) for place in range(0, len(data) + 40 - len(data) % 40, 40)]
    host = FakeHost([source.answers()[0], parts[0], AnsibleConnectionFailure("x"), *parts[1:]])
    assert fetched(host, tmp_path)[1] == source.nar
    assert host.done()
    assert [int(asked.inputs["offset"]) for asked in host.asked[1:4]] == [0, 40, 40]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (part(gzip.compress(b"another")), "its source is not what was locked"),
        (part(b"nonsense"), "could not be read"),
    ],
)
def test_another_source_than_was_locked(source: Source, tmp_path: Path, answer: dict[str, str], words: str) -> None:
    with pytest.raises(HostError, match=words) as error:
        fetched(FakeHost([source.answers()[0], answer]), tmp_path)
    assert error.value.reason == Refusal.NOT_FETCHED


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"locked": {"narHash": "x"}, "url": "x", "path": "/etc"}'])
def test_nix_says_what_nobody_knows(source: Source, tmp_path: Path, value: str) -> None:
    with pytest.raises(HostError, match="nix flake metadata"):
        fetched(FakeHost([{"status": "0", "value": value}]), tmp_path)


def test_nobody_can(source: Source, tmp_path: Path) -> None:
    said = "unpacking 'x' into the Git cache...\ngit@x.org: Permission denied (publickey).\nerror:\n       error: no"
    with pytest.raises(HostError) as error:
        fetched(FakeHost([{"status": "1", "error": said}]), tmp_path)
    assert (error.value.reason, str(error.value)) == (
        Refusal.NOT_FETCHED,
        (
            f"the flake {URL!r} could not be fetched; host1 was not asked to build it.\n"
            "host1: git@x.org: Permission denied (publickey).\nerror:\n       error: no"
        ),
    )


def test_a_login_in_the_url_is_no_argument_of_nix_where_git_can(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "_with_nix", lambda *_given: asked.append("nix"))
    monkeypatch.setattr(module, "_with_git", lambda *_given: asked.append("git"))
    host = FakeHost([*source.answers(), *source.answers()])
    fetched(host, tmp_path, "git+https://me:s3cret@example.org/x")
    assert asked == ["git", "nix"]
    # Only Nix could: it is said.
    (warning,) = host.warned
    assert "every user of host1 could read" in warning and "netrc" in warning
    fetched(host, tmp_path, URL)
    assert (asked[2:], len(host.warned)) == (["nix", "git"], 1)


def test_a_login_that_was_shown_is_told_where_nix_fails_too(source: Source, programs: Path, tmp_path: Path) -> None:
    asked = nix(programs, "{", b"", tmp_path)
    host = FakeHost([{"status": "1", "error": "error: no"}])
    with pytest.raises(HostError, match="could not be fetched"):
        fetched(host, tmp_path, "https://me:s3cret@example.org/x.tar.gz")
    assert "s3cret" in asked.read_text()
    assert ["every user of this machine could read" in said for said in host.warned] == [True, False]
    assert "every user of host1 could read" in host.warned[1]


def test_what_git_can_fetch_it_fetches_before_nix(repository: Path, programs: Path, tmp_path: Path) -> None:
    """So there is a repository to compare with what hosts have committed."""
    asked = nix(programs, "{", b"", tmp_path)
    found, _nar = fetched(FakeHost(), tmp_path, f"git+ssh://example.org{repository}")
    assert (found.flake.revision, asked.exists()) == (git(repository, "rev-parse", "HEAD"), False)
    assert (tmp_path / "nar.git").exists()


def test_a_host_whose_nix_does_not_let_the_user_in(source: Source, tmp_path: Path) -> None:
    answer = {"status": "1", "error": "error: reset by peer", "shut_out": "admin", "allowed_users": "root"}
    with pytest.raises(HostError, match="its allowed-users are: root") as error:
        fetched(FakeHost([answer]), tmp_path)
    assert error.value.reason == Refusal.SHUT_OUT
    # The next host may let them in.
    with (tmp_path / "nar").open("w+b") as file:
        assert lock(FakeHost(source.answers(), name="host2"), settings(flake=URL), URL, file)


def test_what_nobody_can_fetch_is_asked_for_once_a_run(
    repository: Path, source: Source, programs: Path, tmp_path: Path
) -> None:
    (programs / "ssh").write_text(f"#!/bin/sh\necho >>{tmp_path}/tried\nexit 255\n")
    url = f"git+ssh://example.org{repository}"

    def attempt(host: FakeHost, **given: Any) -> Fetched:
        with (tmp_path / "once").open("w+b") as file:
            return lock(host, settings(flake=url, **given), url, file)

    def refusal(host: FakeHost) -> str:
        with pytest.raises(
            HostError, match=rf"{host.name} was not asked to build it\.\nthis machine: its git"
        ) as error:
            attempt(host)
        assert error.value.reason == Refusal.NOT_FETCHED and host.done()
        return str(error.value).partition("\nhost1: ")[2]

    # Whether a host answers says nothing of the flake.
    with pytest.raises(AnsibleConnectionFailure):
        attempt(FakeHost([AnsibleConnectionFailure("x")], name="host0"))
    no = {"status": "1", "error": "error: no"}
    assert refusal(FakeHost([no])) == "error: no"
    # That one may lack a network alone: the next one is asked as well.
    both = refusal(FakeHost([no], name="host2"))
    assert both == "error: no\nhost2: error: no"
    # Two of them speak for all.
    assert refusal(FakeHost(name="host3")) == both
    assert len((tmp_path / "tried").read_text()) == 1
    # With other credentials it may be another matter.
    assert attempt(FakeHost(source.answers()), nix_config="access-tokens = github.com=x")


def test_one_host_that_cannot_fetch_fails_no_other(source: Source, tmp_path: Path) -> None:
    with (tmp_path / "once").open("w+b") as file:
        with pytest.raises(HostError, match="host1: error: no"):
            lock(FakeHost([{"status": "1", "error": "error: no"}]), settings(flake=URL), URL, file)
        assert lock(FakeHost(source.answers(), name="host2"), settings(flake=URL), URL, file)
        assert file.read() == source.nar


@pytest.mark.parametrize("said", ["error: no", NOT_WHOLE])
def test_a_host_that_asks_again_tries_again(source: Source, tmp_path: Path, said: str) -> None:
    """A retry, or a later play, may find what the first attempt lacked."""
    no = {"status": "1", "error": said}
    for name in ("host1", "host2", "host3"):
        host = FakeHost([no, no], name=name)
        with pytest.raises(HostError), (tmp_path / "once").open("w+b") as file:
            lock(host, settings(flake=URL), URL, file)
    assert host.asked == []
    with (tmp_path / "once").open("w+b") as file:
        assert lock(FakeHost(source.answers(), name="host3"), settings(flake=URL), URL, file)


def test_a_reference_without_a_flake_is_read_once_a_run(repository: Path, tmp_path: Path) -> None:
    url = f"git+ssh://example.org{repository}?dir=sub"
    for name in ("host1", "host2"):
        with pytest.raises(FlakeError, match=r"there is no flake\.nix"), (tmp_path / "once").open("w+b") as file:
            lock(FakeHost(name=name), settings(flake=url), url, file)
        if name == "host1":
            repository.rename(tmp_path / "gone")


def test_nix_ends_with_all_that_it_has_started(source: Source, programs: Path, tmp_path: Path) -> None:
    nix(programs, "", b"", tmp_path)
    (programs / "nix").write_text(f"#!/bin/sh\n/bin/sleep 100 &\necho $! >{tmp_path}/pid\nwait\n")
    fetched(FakeHost(source.answers()), tmp_path, copy_timeout=5)
    words = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    deadline = time.monotonic() + 60
    while words.exists() and words.read_bytes():
        assert time.monotonic() < deadline
        REAL_SLEEP(0.02)


def test_a_host_that_is_not_there_is_unreachable(source: Source, tmp_path: Path) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        fetched(FakeHost([AnsibleConnectionFailure("x")]), tmp_path)


def test_inputs_that_are_not_locked_are_named(source: Source, tmp_path: Path) -> None:
    would = (
        "warning: not writing modified lock file of flake 'x':\n• Added input 'a':\n    'x'\n• Updated input 'b/c':\n"
    )
    host = FakeHost([{"status": "1", "error": NOT_WHOLE}, {"status": "0", "error": would}])
    with pytest.raises(HostError, match=r"It is about 'a', 'b/c'\.") as error:
        fetched(host, tmp_path)
    assert error.value.reason == Refusal.NOT_LOCKED
    assert "nix flake lock" in str(error.value)
    assert "--no-write-lock-file" in shlex.split(host.asked[1].inputs["nix_arguments"])
    # Whatever comes of the second question.
    host = FakeHost([{"status": "1", "error": NOT_WHOLE}, {"status": "1", "error": "error: no"}])
    with pytest.raises(HostError, match="is not locked"):
        fetched(host, tmp_path)


def test_what_the_user_wishes_about_inputs(source: Source, tmp_path: Path) -> None:
    wish = ["-L", "--override-input", "a", "path:/x", "--recreate-lock-file", "--reference-lock-file", "f", "--impure"]
    host = FakeHost(source.answers())
    fetched(host, tmp_path, build_args=wish)
    arguments = shlex.split(host.asked[0].inputs["nix_arguments"])
    assert arguments[-8:-1] == [*wish[1:7], "--no-write-lock-file"]
    assert not {"-L", "--impure", "--no-update-lock-file"} & set(arguments)


def nix(programs: Path, metadata: str, nar: bytes, directory: Path) -> Path:
    """A Nix on the controller that says this; where it writes what it was asked."""
    (directory / "metadata").write_text(metadata)
    (directory / "nar.source").write_bytes(nar)
    asked = directory / "asked"
    texts = {
        "nix": f'echo "$@ $NIX_CONFIG" >>{asked}\ncat {directory}/metadata',
        "nix-store": f"cat {directory}/nar.source",
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return asked


def test_by_the_controllers_nix(source: Source, programs: Path, tmp_path: Path) -> None:
    asked = nix(programs, source.metadata(), source.nar, tmp_path)
    host = FakeHost()
    found, nar = fetched(host, tmp_path, nix_config="secret = 1")
    assert (nar, found.flake.nar_hash, host.asked) == (source.nar, source.nar_hash, [])
    assert "--refresh" in asked.read_text() and "secret = 1" in asked.read_text()
    assert host.told[-1].endswith("as this machine has found it")


@pytest.mark.parametrize("broken", ["metadata", "source", "program"])
def test_where_the_controllers_nix_fails_a_host_is_asked(
    source: Source, programs: Path, tmp_path: Path, broken: str
) -> None:
    nix(programs, "{" if broken == "metadata" else source.metadata(), source.nar + b"x", tmp_path)
    if broken == "program":
        (programs / "nix-store").write_text("#!/bin/sh\necho x\nexit 3\n")
    assert fetched(FakeHost(source.answers()), tmp_path)[1] == source.nar


@pytest.fixture
def repository(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository behind an ssh that logs in nowhere."""
    ssh = programs / "ssh"
    ssh.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n')
    ssh.chmod(0o755)
    for name in ("GIT_SSH", "GIT_SSH_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "--quiet", "-b", "main")
    commit(directory, "{ outputs = _: { }; }")
    return directory


def commit(root: Path, text: str) -> str:
    (root / "flake.nix").write_text(text)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "x")
    return git(root, "rev-parse", "HEAD")


def test_by_the_controllers_git(repository: Path, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "branch", "old")
    second = commit(repository, "{ outputs = _: { a = 1; }; }")
    url = f"git+ssh://git@example.org{repository}"
    host = FakeHost()
    found, nar = fetched(host, tmp_path, url)
    assert host.asked == []
    assert (found.flake.revision, found.flake.revision_count) == (second, 2)
    assert found.flake.url == f"{url}?rev={second}"
    assert b"a = 1" in nar
    assert [(fetched(FakeHost(), tmp_path, f"{url}{more}")[0].flake.revision) for more in (
        "?ref=old", f"?rev={first}", f"?ref=main&rev={first}", "?ref=refs/heads/old", f"?allRefs=1&rev={first}",
    )] == [first] * 5  # fmt: skip
    shallow = fetched(FakeHost(), tmp_path, f"{url}?shallow=1")[0].flake
    assert (shallow.revision, shallow.revision_count) == (second, None)
    # Nothing of it stays.
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("deploy-flake-")] == []


def test_what_the_lock_file_of_a_repository_lacks(repository: Path, tmp_path: Path) -> None:
    commit(repository, "{ outputs = { self, other }: { }; }")
    found, _nar = fetched(FakeHost(), tmp_path, f"git+ssh://example.org{repository}")
    assert [one.name for one in found.unlocked] == ["other"]


@pytest.mark.parametrize("more", ["?submodules=1", "?lfs=1"])
def test_what_only_nix_can_fetch_of_a_repository(repository: Path, source: Source, tmp_path: Path, more: str) -> None:
    host = FakeHost(source.answers())
    fetched(host, tmp_path, f"git+ssh://example.org{repository}{more}")
    assert host.commands == ["nix_eval", "read_source"]


def test_a_repository_that_asks_for_its_submodules(repository: Path, source: Source, tmp_path: Path) -> None:
    commit(repository, "{ inputs.self.submodules = true; outputs = _: { }; }")
    host = FakeHost(source.answers())
    fetched(host, tmp_path, f"git+ssh://example.org{repository}")
    assert host.commands == ["nix_eval", "read_source"]


def test_where_git_fails_a_host_is_asked(repository: Path, source: Source, programs: Path, tmp_path: Path) -> None:
    url = f"git+ssh://example.org{repository}"
    (programs / "ssh").write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    fetched(FakeHost(source.answers()), tmp_path, url)
    with pytest.raises(HostError, match=r"this machine: its git failed: (.|\n)*Permission denied \(publickey\)"):
        fetched(FakeHost([{"status": "1", "error": "error: no"}]), tmp_path, url)


def test_a_repository_without_a_flake(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FlakeError, match=r"there is no flake.nix in .*\?dir="):
        fetched(FakeHost(), tmp_path, f"git+ssh://example.org{repository}?dir=sub")


def test_a_flake_in_a_directory(repository: Path, tmp_path: Path) -> None:
    (repository / ".hosts").mkdir()
    (repository / ".hosts/flake.nix").write_text("{ outputs = _: { }; }")
    commit(repository, "{ outputs = _: { }; }")
    found, _nar = fetched(FakeHost(), tmp_path, f"git+ssh://example.org{repository}?dir=.hosts")
    assert found.flake.directory == ".hosts"


def test_git_has_a_limit(repository: Path, source: Source, programs: Path, tmp_path: Path) -> None:
    """git has ended by then, since it hears no more of ssh, which goes on."""
    (programs / "ssh").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec /bin/sleep 100 >/dev/null\n")
    host = FakeHost(source.answers())
    fetched(host, tmp_path, f"git+ssh://example.org{repository}", copy_timeout=5)
    assert host.commands == ["nix_eval", "read_source"]
    # One that has ended, and that nobody has waited for yet, has no words.
    words = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    deadline = time.monotonic() + 60
    while words.exists() and words.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_copy_alone(source: Source, tmp_path: Path) -> None:
    given = CopySettings.from_options(options_of("flake_copy", flake=URL))
    host = FakeHost(source.answers())
    with (tmp_path / "nar").open("w+b") as file:
        lock(host, given, URL, file)
    assert host.asked[0].inputs["nix_config"] == ""
