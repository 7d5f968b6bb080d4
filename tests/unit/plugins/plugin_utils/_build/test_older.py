# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that would go backwards: a stale checkout, another branch, another clone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit.building import DERIVATION, SYSTEM, built, done
from unit.fake_host import FakeHost
from unit.fetching import Source
from unit.repository import commit, git

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build import lock
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.git import Relation, relation
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.history import repository_url
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

NOWHERE = "f" * 40


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    return root


@pytest.fixture
def commits(repository: Path) -> list[str]:
    """Three commits, oldest first."""
    return [commit(repository, text) for text in ("{ }", "{ a = 1; }", "{ a = 2; }")]


def record(**fields: str) -> dict[str, Any]:
    """What the host answers of the deployment that made its boot default."""
    about = {"id": "20261128T072334Z-9a19b38c", "by": "somebody", "controller": "laptop", **fields}
    return {"committed_record": json.dumps(about)}


def deployed(repository: Path, directory: Path, said: dict[str, Any], **given: Any) -> FakeHost:
    host = FakeHost([done(**said)])
    built(host, directory, flake=str(repository), **given)
    return host


def test_relations(repository: Path, commits: list[str], tmp_path: Path) -> None:
    first, _second, third = commits
    assert relation(repository, third, third) is Relation.SAME
    assert relation(repository, third, first) is Relation.NEWER
    assert relation(repository, first, third) is Relation.OLDER
    assert relation(repository, third, NOWHERE) is Relation.UNKNOWN
    git(repository, "checkout", "--quiet", first)
    other = commit(repository, "{ b = 1; }")
    assert relation(repository, other, third) is Relation.DIVERGED
    git(repository, "checkout", "--quiet", "-B", "main", third)
    git(tmp_path, "clone", "--quiet", "--depth=2", f"file://{repository}", "shallow")
    shallow = tmp_path / "shallow"
    assert relation(shallow, third, commits[1]) is Relation.NEWER
    # They may well be ancestors.
    assert relation(shallow, third, first) is relation(shallow, third, NOWHERE) is None


def test_forwards_and_again(repository: Path, commits: list[str], tmp_path: Path) -> None:
    for number, revision in enumerate(commits):
        host = deployed(repository, tmp_path / str(number), record(revision=revision), on_older="refuse")
        assert (host.warned, host.asked[0].inputs["ask_committed"]) == ([], "yes")


def test_an_older_revision_is_said(repository: Path, commits: list[str], tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", commits[0])
    host = deployed(repository, tmp_path, record(revision=commits[2]))
    (warning,) = host.warned
    for part in (
        f"host1 last committed {commits[2]} (deployed by somebody from laptop at 20261128T072334Z)",
        "is older",
    ):
        assert part in warning
    assert f"{commits[0]} is older" in warning


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("newer", "is older"),
        ("diverged", "has diverged"),
        ("nowhere", "no such commit"),
        ("newer of the system itself", "is older"),
        ("newer with changes", "last committed .* with changes that were not committed"),
    ],
)
def test_it_is_refused(repository: Path, commits: list[str], tmp_path: Path, said: str, why: str) -> None:
    git(repository, "checkout", "--quiet", commits[0])
    other = commit(repository, "{ b = 1; }")
    git(repository, "checkout", "--quiet", commits[1])
    answers = {
        "newer": record(revision=commits[2]),
        "diverged": record(revision=other),
        "nowhere": record(revision=NOWHERE),
        "newer of the system itself": {"committed_revision": commits[2]},
        "newer with changes": record(revision="", dirty_revision=f"{commits[2]}-dirty"),
    }
    with pytest.raises(HostError, match=why) as error:
        deployed(repository, tmp_path / "0", answers[said], on_older="refuse")
    assert error.value.reason == Refusal.OLDER_FLAKE
    assert "deploy_flake_on_older" in str(error.value)
    host = deployed(repository, tmp_path / "1", answers[said], on_older="allow")
    assert (host.warned, host.asked[0].inputs["ask_committed"]) == ([], "no")


def test_shallow_clone_is_refused_where_nobody_can_tell(repository: Path, commits: list[str], tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    shallow = tmp_path / "shallow"
    with pytest.raises(HostError, match=r"nobody can tell .* --unshallow") as error:
        deployed(shallow, tmp_path / "0", record(revision=commits[0]), on_older="refuse")
    assert error.value.reason == Refusal.OLDER_FLAKE
    assert deployed(shallow, tmp_path / "1", record(revision=commits[0])).warned == []
    assert deployed(shallow, tmp_path / "2", record(revision=commits[2]), on_older="refuse").warned == []
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert deployed(shallow, tmp_path / "0", record(revision=commits[0]), on_older="refuse").warned == []


def test_a_dirty_tree_counts_by_its_commit(repository: Path, commits: list[str], tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", commits[0])
    (repository / "flake.nix").write_text("{ changed = 1; }")
    with pytest.raises(HostError, match=f"{commits[0]} with changes is older"):
        deployed(repository, tmp_path / "0", record(revision=commits[1]), on_older="refuse")
    deployed(repository, tmp_path / "1", record(revision=commits[0]), on_older="refuse")


@pytest.mark.parametrize("said", [{}, {"committed_revision": "25.11.1 (Xantusia)"}, {"committed_record": "{ broken"}])
def test_nothing_is_known_of_the_host(
    repository: Path, commits: list[str], tmp_path: Path, said: dict[str, Any]
) -> None:
    assert deployed(repository, tmp_path, said, on_older="refuse").warned == []


def test_a_host_that_runs_it_already(repository: Path, commits: list[str], tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", commits[0])
    said = {"unchanged": "yes", **record(revision=commits[2])}
    assert deployed(repository, tmp_path, said, on_older="refuse").warned == []


def test_evaluation_in_check_mode_refuses_as_well(repository: Path, commits: list[str], tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", commits[0])
    said = {"status": "0", "value": f"{SYSTEM} {DERIVATION}", **record(revision=commits[2])}
    host = FakeHost([{}, said])
    with pytest.raises(HostError, match="is older"):
        built(host, tmp_path, check_mode=True, flake=str(repository), check_builds=False, on_older="refuse")
    assert host.asked[1].inputs["ask_committed"] == "yes"


def test_without_git_there_is_nothing_to_compare(repository: Path, commits: list[str], tmp_path: Path) -> None:
    host = FakeHost([done(**record(revision=NOWHERE))])
    built(host, tmp_path, flake=f"path:{repository}", on_older="refuse")
    assert (host.warned, host.asked[0].inputs["ask_committed"]) == ([], "no")


@pytest.fixture
def elsewhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is what git finds at some URLs, and the controller has no Nix."""
    monkeypatch.setattr(lock, "_with_nix", lambda *_arguments: None)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for number, url in enumerate(("https://example.org/flake", "https://github.com/me/hosts")):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", f"url.file://{repository}.insteadOf")
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", url)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("on_older", ["refuse", "warn"])
def test_a_remote_flake_that_git_has_fetched(
    repository: Path, commits: list[str], tmp_path: Path, on_older: str
) -> None:
    reference = "git+https://example.org/flake"
    for number, revision in enumerate(commits):
        host = FakeHost([done(**record(revision=revision))])
        built(host, tmp_path / str(number), flake=reference, on_older=on_older)
        assert (host.warned, host.asked[0].inputs["ask_committed"]) == ([], "yes")
    older = FakeHost([done(**record(revision=commits[2]))])
    directory = tmp_path / "older"
    directory.mkdir()
    given: dict[str, Any] = {"flake": f"{reference}?rev={commits[1]}", "on_older": on_older}
    if on_older == "refuse":
        with pytest.raises(HostError, match=f"{commits[1]} is older") as error:
            built(older, directory, **given)
        assert error.value.reason == Refusal.OLDER_FLAKE
    else:
        built(older, directory, **given)
        assert f"{commits[1]} is older" in older.warned[0]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("on_older", ["refuse", "warn"])
def test_the_host_has_another_branch_of_a_remote_flake(
    repository: Path, commits: list[str], tmp_path: Path, on_older: str
) -> None:
    """The flake was fetched with its own branch alone; the others are fetched once a run."""
    own = git(repository, "symbolic-ref", "--short", "HEAD")
    git(repository, "checkout", "--quiet", "-b", "ahead")
    ahead = commit(repository, "{ c = 1; }")
    git(repository, "checkout", "--quiet", "-b", "aside", commits[1])
    aside = commit(repository, "{ b = 1; }")
    git(repository, "checkout", "--quiet", own)

    def said(revision: str, more: str = "", directory: str = "0") -> str:
        host = FakeHost([done(**record(revision=revision))])
        given: dict[str, Any] = {"flake": f"git+https://example.org/flake?ref={own}{more}", "on_older": on_older}
        if on_older == "warn":
            built(host, tmp_path / directory, **given)
            return host.warned[0] if host.warned else ""
        with pytest.raises(HostError) as error:
            built(host, tmp_path / directory, **given)
        return str(error.value)

    assert "has diverged" in said(aside)
    git(repository, "branch", "--quiet", "-D", "aside")
    repository.rename(tmp_path / "gone")
    assert f"{commits[2]} is older" in said(ahead)
    # No branch has it.
    assert "no such commit" in said(NOWHERE)
    (tmp_path / "gone").rename(repository)
    # Somebody wants no more than one commit.
    assert ("in part only" in said(ahead, "&shallow=1", "1")) is (on_older == "refuse")


@pytest.mark.usefixtures("elsewhere")
def test_a_remote_flake_that_a_host_has_resolved(
    repository: Path, commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commits are fetched by the controller, once a run, and only where it would be refused."""
    source = Source(tmp_path / "source")
    url = f"github:me/hosts/{commits[1]}"
    answers = source.answers(type="github", rev=commits[1])
    answers[0]["value"] = json.dumps({**json.loads(answers[0]["value"]), "url": url})
    given: dict[str, Any] = {"flake": "github:me/hosts", "on_older": "refuse"}

    with pytest.raises(HostError, match=f"{commits[1]} is older"):
        built(FakeHost([*answers, done(**record(revision=commits[2]))]), tmp_path / "0", **given)
    forwards = FakeHost([done(**record(revision=commits[0]))])
    (tmp_path / "repository").rename(tmp_path / "gone")
    built(forwards, tmp_path / "0", **given)
    assert forwards.warned == []

    # Nobody can fetch them now.
    warned = FakeHost([*answers, done(**record(revision=commits[2]))])
    built(warned, tmp_path / "1", flake="github:me/hosts", on_older="warn")
    assert (warned.warned, warned.done()) == ([], True)
    for _time in range(2):
        with pytest.raises(HostError, match=r"nobody can tell whether .* comes after it: its commits") as error:
            built(FakeHost([done(**record(revision=commits[2]))]), tmp_path / "1", **given)
        assert error.value.reason == Refusal.OLDER_FLAKE
        assert "deploy_flake_on_older" in str(error.value)
        (tmp_path / "gone").rename(tmp_path / "repository") if (tmp_path / "gone").exists() else None
    # The same revision needs no commits.
    built(FakeHost([done(**record(revision=commits[1]))]), tmp_path / "1", **given)


@pytest.mark.usefixtures("elsewhere")
def test_a_remote_flake_without_a_revision(tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    given: dict[str, Any] = {"flake": "https://example.org/flake.tar.gz", "on_older": "refuse"}
    with pytest.raises(HostError, match="it has no revision"):
        built(FakeHost([*source.answers(), done(**record(revision=NOWHERE))]), tmp_path / "0", **given)
    built(FakeHost([done()]), tmp_path / "0", **given)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("git+ssh://git@example.org/a?rev=1", "ssh://git@example.org/a"),
        ("git://example.org/a", "git://example.org/a"),
        ("github:me/hosts/123?narHash=x", "https://github.com/me/hosts"),
        ("github:me/hosts?host=git.example.org", "https://git.example.org/me/hosts"),
        ("gitlab:a%2Fb/c/main", "https://gitlab.com/a/b/c"),
        ("sourcehut:~me/c", "https://git.sr.ht/~me/c"),
        ("https://example.org/a.tar.gz", ""),
        ("github:me", ""),
    ],
)
def test_where_the_repository_of_a_remote_flake_is(reference: str, url: str) -> None:
    assert repository_url(reference) == url
