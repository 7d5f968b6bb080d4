# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a copy of a closure, in the shells that a host may have: streams in pieces, and streams again.

Nix's own part is a file that is read or written; the lab's hosts have the real one.
"""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import command, program

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
SIZE = 1000
EXPORTS = """#!/bin/sh
shift
case $* in *broken*) head -c 2500 /dev/zero; echo "error: path is corrupt" >&2; exit 1 ;; esac
cat "$@"
"""
IMPORTS = """#!/bin/sh
case $1 in
--check-validity) cat >/dev/null; echo lacking; exit ;;
esac
cat >>"$0.got"
echo >>"$0.batches"
! grep -q full "$0.got" || { echo "error: writing to file: No space left on device" >&2; exit 1; }
"""


@contextmanager
def running(
    shell: list[str], name: str, directory: Path, nix_store: str, **values: str
) -> Iterator[subprocess.Popen[str]]:
    """The program of a unit at work."""
    tool = directory / "bin/nix-store"
    tool.parent.mkdir()
    tool.write_text(nix_store)
    tool.chmod(0o755)
    given = {"idle_limit": "60", **values}
    (directory / "values").write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    text = program(name).replace("PATH=/run/wrappers/bin", f"PATH={tool.parent}")
    (directory / "program").write_text(text)
    command = [*shell, str(directory / "program"), str(directory)]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(*files: Path, limit: float = 20) -> Path:
    """The first of these that there is."""
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        for file in files:
            if file.exists():
                return file
        time.sleep(0.02)
    raise AssertionError(f"none of {', '.join(map(str, files))} came")


def take(directory: Path, number: int) -> tuple[bytes, bool]:
    """One piece, as command/closure_take does it."""
    (directory / "taken.new").write_text(f"{number - 1}\n")
    (directory / "taken.new").replace(directory / "taken")
    for old in directory.glob(f"piece-{number - 1}*"):
        old.unlink()
    piece = wait_for(directory / f"piece-{number}", directory / f"piece-{number}.last")
    return piece.read_bytes(), piece.suffix == ".last"


@every_shell
@pytest.mark.parametrize("pack", ["yes", "no"])
def test_batches_are_cut_into_pieces(shell: list[str], tmp_path: Path, pack: str) -> None:
    """Also one whose bytes are just so many pieces, of which there are three at a time."""
    whole = [bytes(range(256)) * 20, b"x" * (3 * SIZE), b"short"]
    for at, data in enumerate(whole):
        (tmp_path / f"path-{at}").write_bytes(data)
    batches = f"{tmp_path}/path-0\n{tmp_path}/path-1\n\n{tmp_path}/path-1\n\n{tmp_path}/path-2\n"
    (tmp_path / "batches").write_text(batches)
    with running(shell, "closure_export", tmp_path, EXPORTS, piece_size=str(SIZE), pack=pack):
        found: list[bytes] = []
        stream, number = b"", 0
        while len(found) < 3:
            number += 1
            data, last = take(tmp_path, number)
            stream += data
            if number == 1 and pack == "no":
                wait_for(tmp_path / "piece-3")
                time.sleep(0.5)
                assert len(list(tmp_path.glob("piece-*"))) == 3
            if last:
                found.append(gzip.decompress(stream) if pack == "yes" else stream)
                stream = b""
            else:
                assert len(data) == SIZE
    assert found == [whole[0] + whole[1], whole[1], whole[2]]


@every_shell
def test_a_batch_that_cannot_be_read(shell: list[str], tmp_path: Path) -> None:
    """Its last piece never comes, but the reason."""
    (tmp_path / "batches").write_text("/broken\n")
    with running(shell, "closure_export", tmp_path, EXPORTS, piece_size=str(SIZE), pack="no"):
        assert wait_for(tmp_path / "result").read_text().strip() == "error: path is corrupt"
        assert not list(tmp_path.glob("*.last"))


@every_shell
@pytest.mark.parametrize("name", ["closure_export", "closure_import"])
@pytest.mark.parametrize("begun", [False, True])
def test_nobody_comes(shell: list[str], tmp_path: Path, name: str, begun: bool) -> None:
    """Neither end waits for ever, nor twice as long in the middle of a batch, which then fails as well."""
    (tmp_path / "path").write_bytes(bytes(9 * SIZE))
    (tmp_path / "batches").write_text(f"{tmp_path}/path\n")
    (tmp_path / "wanted").write_text("")
    values = {"piece_size": str(SIZE), "pack": "no", "packed": "no", "substitute": "no", "idle_limit": "3"}
    nix_store = EXPORTS if name == "closure_export" else IMPORTS + "exit 1\n"
    began = time.monotonic()
    with running(shell, name, tmp_path, nix_store, **values) as process:
        if begun and name == "closure_export":
            take(tmp_path, 1)
        elif begun:
            put(tmp_path, 1, b"x", last=False)
        process.wait(20)
    assert 2 <= time.monotonic() - began < 5.5


def put(directory: Path, number: int, data: bytes, last: bool) -> None:
    """One piece, as command/closure_put does it."""
    (directory / "incoming").write_bytes(data)
    (directory / "incoming").replace(directory / f"piece-{number}{'.last' if last else ''}")


@every_shell
@pytest.mark.parametrize("packed", ["yes", "no"])
def test_pieces_become_batches(shell: list[str], tmp_path: Path, packed: str) -> None:
    (tmp_path / "wanted").write_text("a\nb\n")
    streams = [bytes(range(256)) * 9, b"second"]
    with running(shell, "closure_import", tmp_path, IMPORTS, packed=packed, substitute="no"):
        assert wait_for(tmp_path / "missing").read_text() == "lacking\n"
        number = 0
        for stream in streams:
            data = gzip.compress(stream) if packed == "yes" else stream
            for at in range(0, len(data), SIZE):
                number += 1
                put(tmp_path, number, data[at : at + SIZE], last=at + SIZE >= len(data))
        ends = time.monotonic() + 20
        while not ((tmp_path / "batches").exists() and (tmp_path / "batches").read_text() == "2\n"):
            assert time.monotonic() < ends
            time.sleep(0.02)
    assert (tmp_path / "bin/nix-store.got").read_bytes() == b"".join(streams)
    assert (tmp_path / "bin/nix-store.batches").read_text() == "\n\n"
    assert not list(tmp_path.glob("piece-*"))
    assert (tmp_path / "at").read_text() == f"{number + 1}\n"


@every_shell
def test_what_is_lacking_cannot_be_told(shell: list[str], tmp_path: Path) -> None:
    """Nobody waits for an answer that will not come."""
    (tmp_path / "wanted").write_text("a\n")
    broken = "#!/bin/sh\necho 'error: database is busy' >&2\nexit 1\n"
    with running(shell, "closure_import", tmp_path, broken, packed="no", substitute="no"):
        said = wait_for(tmp_path / "result", limit=10).read_text()
    assert said.startswith("not-imported error: database is busy")


@every_shell
def test_a_full_disk_is_said(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("")
    with running(shell, "closure_import", tmp_path, IMPORTS, packed="no", substitute="no"):
        put(tmp_path, 1, b"full", last=True)
        said = wait_for(tmp_path / "result").read_text()
    assert said.startswith("no-space error: writing to file: No space left on device")


@every_shell
def test_an_import_that_is_killed_was_out_of_memory(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("")
    killed = "#!/bin/sh\ncase $1 in --import) kill -KILL $$ ;; esac\n"
    with running(shell, "closure_import", tmp_path, killed, packed="no", substitute="no"):
        put(tmp_path, 1, b"large", last=True)
        assert wait_for(tmp_path / "result").read_text().startswith("no-memory ")


@every_shell
def test_substituters_that_take_too_long(shell: list[str], tmp_path: Path) -> None:
    """What is still lacking then is sent."""
    (tmp_path / "wanted").write_text("a\n")
    (tmp_path / "lacking").write_text("".join(f"{number}\n" for number in range(250)))
    slow = f"#!/bin/sh\ncase $1 in --realise) echo $# >>{tmp_path}/calls; sleep 60 ;; *) cat; echo lacking ;; esac\n"
    began = time.monotonic()
    with running(shell, "closure_import", tmp_path, slow, packed="no", substitute="yes", fetch_limit="2"):
        assert wait_for(tmp_path / "missing").read_text() == "lacking\n"
        assert 1 <= time.monotonic() - began < 10
    assert (tmp_path / "calls").read_text() == "103\n"


@every_shell
def test_substituters_are_asked_for_all_that_is_lacking(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("")
    (tmp_path / "lacking").write_text("".join(f"{number}\n" for number in range(250)))
    quick = f"#!/bin/sh\ncase $1 in --realise) echo $# >>{tmp_path}/calls; exit 1 ;; *) cat ;; esac\n"
    with running(shell, "closure_import", tmp_path, quick, packed="no", substitute="yes", fetch_limit="60"):
        wait_for(tmp_path / "missing")
    assert (tmp_path / "calls").read_text() == "103\n103\n53\n"


def shown(shell: list[str], directory: Path, said: str) -> Answer:
    """The answer of a host that is shown these signatures, and trusts them all."""
    tool = directory / "bin/nix"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\ncat >/dev/null\n")
    tool.chmod(0o755)
    (directory / "run/closure-to-1").mkdir(parents=True)
    text = command("closure_trust", {"id": "1", "end": "to", "size": str(len(said))})
    text = text.replace("PATH=/run/wrappers/bin", f"PATH={tool.parent}").replace(
        "/run/deploy-flake", f"{directory}/run"
    )
    # The text is read whole before its standard input is.
    (directory / "script").write_text(text.replace("require_root\n", "").replace("sc stop", "echo stop >&2; :"))
    done = subprocess.run([*shell, str(directory / "script")], input=said, text=True, capture_output=True, check=True)
    return Answer.parse(done.stdout)


NAME = f"{'l' * 32}-leaf+1.0"


@every_shell
def test_what_is_said_of_signatures_is_kept_as_a_binary_cache(shell: list[str], tmp_path: Path) -> None:
    other = NAME.replace("l", "p")
    assert shown(shell, tmp_path, f"path {NAME}\nA: 1\nB: 2\npath {other}\nA: 3\n").fields == []
    kept = tmp_path / "run/closure-to-1"
    assert (kept / f"cache/{NAME[:32]}.narinfo").read_text() == "A: 1\nB: 2\n"
    assert (kept / f"cache/{other[:32]}.narinfo").read_text() == "A: 3\n"
    assert (kept / "shown").read_text() == f"/nix/store/{NAME}\n/nix/store/{other}\n"


@every_shell
@pytest.mark.parametrize(
    "head",
    [
        f"path {NAME} ../../victim",
        f"path {NAME} cache/nix-cache-info",
        "path ../../../../../../../../victim-is-far-away",
        f"path {'../' * 10}ab-x",
        f"path {NAME}/bin",
        "StorePath: x",
    ],
)
def test_no_name_leads_out_of_the_directory(shell: list[str], tmp_path: Path, head: str) -> None:
    before = sorted(tmp_path.rglob("*victim*"))
    answer = shown(shell, tmp_path, f"{head}\nevil\n")
    assert answer.get("refused") == "not-signed"
    # Nothing is left of the copy, and nothing was written anywhere else.
    assert sorted(tmp_path.rglob("*victim*")) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bin", "run", "script"]
    assert not any((tmp_path / "run").iterdir())
