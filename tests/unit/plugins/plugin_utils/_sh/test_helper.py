# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper that sudo starts, in the shells that a host may have: what it is sent arrives, and what it refuses."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from unit.plugins.plugin_utils._sh.test_scripts import every_shell

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import helper, scripts
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer

pytestmark = pytest.mark.shell
# Every byte that an input may have; nothing is lost at the ends, and nothing of it is run.
BYTES = bytes(range(1, 256)).decode(errors="surrogateescape")
HARD = (f" \n{BYTES}\\ \n\n", "", "$(touch run)`touch run`;touch run\n", "'it''s' \\0101 \\c %s", "-n", ".", "end=. ")
TELL = """printf '\\001deploy-flake\\001'
for each in {names}; do eval "answer $each \\"\\$$each\\""; done
answer rest "$(cat)."
"""


class Helper:
    """The helper, as it is installed, and whose commands only tell what they are given."""

    def __init__(self, shell: list[str], directory: Path) -> None:
        self.shell = shell
        self.directory = directory
        self.tree = directory / "own"
        helper.write(self.tree, self.tree)
        self.program = self.tree / "bin" / helper.NAME
        # The host's own systems are not asked here.
        text = (
            self.program.read_text()
            .replace("/nix/var/nix", f"{directory}/nix")
            .replace("/run/booted", f"{directory}/b")
        )
        self.program.write_text(text)

    def tells(self, command: str, *names: str) -> Path:
        """Let a command tell its inputs and do nothing."""
        at = self.tree / "share" / helper.NAME / command / helper.version(command)
        (at / "script").write_text(TELL.format(names=" ".join(names)))
        return at

    def send(self, request: bytes) -> dict[str, str]:
        environment = {"PATH": "/usr/bin:/bin", "new": "of the environment", "settings": "of the environment"}
        argv = [*self.shell, str(self.program)]
        done = subprocess.run(
            argv, input=request, capture_output=True, cwd=self.directory, env=environment, timeout=30, check=True
        )
        said = done.stdout.decode(errors="surrogateescape")
        assert said.startswith(f"{helper.BEGUN}\n")
        assert not (self.directory / "run").exists()
        return dict(Answer.parse(said).fields)


@pytest.fixture
def installed(shell: list[str], tmp_path: Path) -> Helper:
    return Helper(shell, tmp_path)


@every_shell
def test_every_byte_arrives(installed: Helper) -> None:
    texts = ("login_user", "nix_config", "pure", "flake_nix", "sources", "ask_committed")
    installed.tells("nix_eval", *texts, "nix_arguments", "eval_limit")
    for value in HARD:
        given = {**dict.fromkeys(texts, value), "eval_limit": "7", "nix_arguments": HARD}
        said = installed.send(helper.request("nix_eval", given) + b"what\n. \n\0follows")
        assert [said[name] for name in texts] == [value] * len(texts)
        assert said["eval_limit"] == "7"
        assert said["rest"].startswith("what\n. \n")
        assert said["rest"].endswith("follows.")
        words = said["nix_arguments"].encode(errors="surrogateescape")
        again: list[str | bytes] = [*installed.shell, "-c", 'eval "set -- $1"; printf "%s\\001\\002" "$@"', "x", words]
        done = subprocess.run(again, capture_output=True, check=True, timeout=30)
        assert done.stdout == b"".join(one.encode(errors="surrogateescape") + b"\1\2" for one in HARD)


@every_shell
def test_programs_come_from_the_host_and_settings_are_quoted_there(installed: Helper) -> None:
    installed.tells("trial", "id", "program", "settings")
    values = dict.fromkeys(scripts.inputs("unit/trial"), "")
    values |= {"id": "1a", "commit_limit": "60", "why": HARD[0], "pre_activate_script": HARD[2]}
    given: dict[str, scripts.Input] = {"id": "1a", "step": "look", "new": "x", "time_limit": "60", "settings": values}
    request = helper.request("trial", given)
    assert b"whatever it" not in request
    said = installed.send(request)
    assert said["program"] == scripts.program("trial").rstrip("\n")
    script = f'{said["settings"]}\nprintf "%s|" "$commit_limit" "$why" "$pre_activate_script"'
    done = subprocess.run(
        [*installed.shell, "-s"], input=script.encode(errors="surrogateescape"), capture_output=True, check=True
    )
    assert done.stdout.decode(errors="surrogateescape") == "|".join(("60", HARD[0], HARD[2], ""))


@every_shell
def test_what_is_not_sent_has_no_value(installed: Helper) -> None:
    installed.tells("start", "new", "settings")
    said = installed.send(_headed("start", helper.version("start"), b"id 1\n.\n"))
    assert (said["new"], said["settings"]) == ("", "")


NOT_TAKEN = [
    (b"PATH /tmp", "a name that is none"),
    (b"IFS x", "a name that is none"),
    (b"helper_tree /tmp", "has no input helper_tree"),
    (b"known_x 1", "has no input known_x"),
    (b"run_dir /tmp", "has no input run_dir"),
    (b"program echo", "program is not for others to say"),
    (b"settings touch run", "settings is not for others to say"),
    (b"settings.run_dir x", "has no input settings.run_dir"),
    (b"settings.x=1;touch run x", "a name that is none"),
    (b"settings.activate_limit a[$(touch${IFS}run)]", "is no number"),
    (b"runtime_limit a[$(touch run)]", "is no number"),
    (b"id ../x", "id is no name"),
    (b"id x\\0012;touch run", "id is no name"),
    (b"$(touch run) x", "a name that is none"),
]


@every_shell
def test_input_that_is_not_taken(installed: Helper) -> None:
    installed.tells("start", "id")
    for line, why in NOT_TAKEN:
        sent = _headed("start", helper.version("start"), b"mode test\n" + line + b"\n.\n")
        # Whoever sends it has to get rid of it.
        said = installed.send(sent + b"x" * 200000)
        assert said["refused"] == "bad-request", line
        assert why in said["message"]


@every_shell
def test_another_version(installed: Helper) -> None:
    known = helper.version("poll")
    others = [("poll", known[::-1]), *((word, known) for word in ("polls", "../poll", "..", ".", "start/../poll"))]
    for word, version in others:
        said = installed.send(_headed(word, version, b".\n"))
        assert said["refused"] == "other-version", word
        assert "nothing was done" in said["message"]


@every_shell
def test_what_is_no_request(installed: Helper) -> None:
    for sent in (
        b"",
        b"deploy-flake-2 poll 1 1\n.",
        b"deploy-flake-1 poll 1 x\n.",
        b"deploy-flake-1 poll 1 08\n.",
        b"touch run\n",
    ):
        assert installed.send(sent)["refused"] == "bad-request", sent


@every_shell
def test_file_that_cannot_be_read(installed: Helper) -> None:
    """A unit with an empty program would seem to have done its work."""
    at = installed.tells("start", "program")
    for file in ("script", "program"):
        (at / file).unlink()
        (at / file).symlink_to("/proc/self/mem")
        assert installed.send(_headed("start", helper.version("start"), b".\n"))["refused"] == "broken-tool"


@every_shell
def test_request_that_is_cut_off(installed: Helper) -> None:
    installed.tells("poll", "id")
    whole = helper.request("poll", _poll())
    assert installed.send(whole)["id"] == "1"
    assert "not all of it" in installed.send(whole[:-2])["message"]
    assert installed.send(whole[:-9])["refused"] == "bad-request"


@every_shell
def test_version_of_a_system_that_the_host_keeps(installed: Helper) -> None:
    """A system that is tried has another helper than the one that its deployment began with."""
    installed.tells("poll", "id")
    poll = installed.tree / "share" / helper.NAME / "poll"
    away = installed.directory / "away"
    poll.rename(away)
    for kept in ("nix/profiles/system-7-link", "b-system"):
        theirs = installed.directory / kept / "sw/share" / helper.NAME / "poll"
        shutil.copytree(away, theirs)
        assert installed.send(helper.request("poll", _poll()))["id"] == "1"
        shutil.rmtree(theirs)
        assert installed.send(helper.request("poll", _poll()))["refused"] == "other-version"


def test_no_input_is_a_name_of_the_helper() -> None:
    text = scripts.join(f"helper/{helper.NAME}")
    own = {word.partition("=")[0] for word in shlex.split(text, posix=False) if "=" in word}
    given = {name for command in scripts.commands() for name in scripts.inputs(f"command/{command}")}
    assert not given & own
    assert not [name for name in given if name.startswith("helper")]


def _poll() -> dict[str, scripts.Input]:
    return {"id": "1", "known": "", "awaited": "", "patience": "1", "quiet": "1"}


def _headed(command: str, version: str, lines: bytes) -> bytes:
    return f"deploy-flake-1 {command} {version} {len(lines)}\n".encode() + lines
