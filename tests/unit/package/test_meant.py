# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is meant by the first word and by a flake; what cannot be meant is one line, and touches no host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from unit.package.faking import Playing, deployed, plays, stats

import deploy_flake
from deploy_flake import DestinationError, OptionError, cli, first_word, inventory
from deploy_flake.arguments import COMMANDS
from deploy_flake.first_word import refuse_a_command
from deploy_flake.flake import reference


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a flake, and no host known but by ssh's files."""
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/flake.nix").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / ".ssh").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(first_word, "_CONFIGS", (tmp_path / ".ssh/config",))
    monkeypatch.setattr(first_word, "_addresses", lambda word: {"192.0.2.1"} if word == "checks" else set())
    monkeypatch.setattr(first_word, "_leads_to", lambda word, _args: word.lower())
    return tmp_path


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("statsu", "deploy-flake status HOST"),
        ("Status", "deploy-flake status HOST"),
        ("rolback", "deploy-flake rollback HOST"),
        ("deply", "deploy-flake deploy HOST"),
        ("revok", "deploy-flake revoke HOST"),
        ("check", "deploy-flake deploy HOST --check"),
        ("chekc", "deploy-flake deploy HOST --check"),
        ("switch", "deploy-flake deploy HOST"),
        ("undo", "deploy-flake rollback HOST"),
        ("help", "deploy-flake --help"),
        ("confirm", "deploy-flake deploy HOST"),
        ("gc", "deploy-flake generations HOST --collect-garbage"),
        ("prune", "deploy-flake generations HOST"),
        ("restart", "deploy-flake reboot HOST"),
        ("log", "deploy-flake status HOST"),
    ],
)
def test_command_that_was_meant_is_named(word: str, meant: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as error:
        refuse_a_command(word, COMMANDS)
    assert f"'{meant}'" in str(error.value)
    assert f"'deploy-flake deploy {word}'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "word",
    [
        *("web1", "host1", "router", "builder1", "build1", "checks", "nixos://check/x", "admin@check", "192.0.2.1"),
        *("blog", "web.example.org", "admin@x.yml", "nixos://x.yml", "nixos.example", "deploy_flake.example.org"),
    ],
)
def test_host_is_a_host(word: str) -> None:
    refuse_a_command(word, COMMANDS)


def test_host_that_ssh_knows_is_a_host(home: Path) -> None:
    (home / ".ssh/config").write_text("Include conf.d/*\nHost = check \n  HostName 192.0.2.1\n", "utf-8")
    (home / ".ssh/conf.d").mkdir()
    (home / ".ssh/conf.d/one").write_text('host "statsu" other*\n', "utf-8")
    refuse_a_command("check", COMMANDS)
    refuse_a_command("statsu", COMMANDS)
    with pytest.raises(ValueError, match="the command comes first"):
        refuse_a_command("status", COMMANDS)


@pytest.mark.parametrize("word", ["site.yml", "hosts.YAML", "flake.nix", "flake.lock", "./x/hosts.ini"])
def test_file_is_no_host(home: Path, word: str) -> None:
    with pytest.raises(ValueError, match="an inventory is told with --inventory"):
        refuse_a_command(word, COMMANDS)
    (home / ".ssh/config").write_text(f"Host {word}\n", "utf-8")
    refuse_a_command(word, COMMANDS)


def test_playbook_is_no_host() -> None:
    with pytest.raises(ValueError, match=r"is a playbook, and no host: 'deploy-flake status …'"):
        refuse_a_command("deploy_flake.nixos.status", COMMANDS)
    with pytest.raises(ValueError, match=r"'deploy-flake deploy …'"):
        refuse_a_command("deploy_flake.nixos.deploy_by_hostname", COMMANDS)
    with pytest.raises(ValueError, match=r"'deploy-flake COMMAND …'"):
        refuse_a_command("deploy_flake.nixos.nothing", COMMANDS)


def test_what_every_word_leads_to_makes_no_host_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Host *` with a HostName, and a domain of whose names all are there."""
    monkeypatch.setattr(first_word, "_leads_to", lambda word, _args: f"{word}.example.org")
    monkeypatch.setattr(first_word, "_addresses", lambda _word: {"192.0.2.1"})
    with pytest.raises(ValueError, match="did you mean"):
        refuse_a_command("statsu", COMMANDS)
    monkeypatch.setattr(first_word, "_leads_to", lambda _word, _args: "gateway")
    with pytest.raises(ValueError, match="did you mean"):
        refuse_a_command("Statsu", COMMANDS)
    monkeypatch.setattr(first_word, "_leads_to", lambda word, _args: {"statsu": "192.0.2.7"}.get(word, word))
    refuse_a_command("statsu", COMMANDS)
    monkeypatch.setattr(first_word, "_leads_to", lambda word, _args: word)
    monkeypatch.setattr(first_word, "_addresses", lambda word: {"192.0.2.7" if word == "statsu" else "192.0.2.1"})
    refuse_a_command("statsu", COMMANDS)


def test_real_ssh_says_where_a_word_leads(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    config = home / "config"
    config.write_text("Host statsu\n  HostName 192.0.2.7\nHost *\n  HostName %h.example.org\n", "utf-8")
    assert first_word._leads_to("statsu", f"-F {config}") == "192.0.2.7"
    assert first_word._leads_to("Check", f"-F {config}") == "check.example.org"
    config.write_text("", "utf-8")
    assert first_word._leads_to("check", f"-F {config}") == "check"


@pytest.mark.parametrize("included", ["~nobody-of-that-name/x", "", "/", "**x/[", '"~" \\', "\0"])
def test_include_that_leads_nowhere_is_passed_over(home: Path, included: str) -> None:
    (home / ".ssh/config").write_text(f"Include {included}\nHost statsu\n", "utf-8")
    refuse_a_command("statsu", COMMANDS)
    with pytest.raises(ValueError, match="did you mean"):
        refuse_a_command("chekc", COMMANDS)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["site.yml"], "an inventory is told with --inventory"),
        (["check", "host1"], "'check' is no command"),
        (["--yes", "statsu", "host1"], "'deploy-flake status HOST'"),
        (["--yes", "status", "host1"], "the command comes first"),
        (["host1", "--flake", "nowhere/"], "there is no directory nowhere"),
        (["host1", "--flake", ".#host1"], "--flake . and nixos://HOST/host1"),
        ([".#host1"], "nixos://HOST/host1 --flake ."),
        (["-i", "nowhere.yml"], "the inventory 'nowhere.yml' is not there"),
        (["host1", "--flake", "empty"], "there is no flake.nix in"),
    ],
)
def test_usage_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    fake = plays(monkeypatch)
    assert cli.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert fake.calls == []


def test_host_that_is_called_like_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(playing: Playing) -> None:
        assert playing.variables["deploy_flake_flake"] == "./hosts"
        playing.play(*deployed("status"), stats("status"))

    plays(monkeypatch, script)
    assert cli.main(["deploy", "status", "--flake", "hosts", "--yes"]) == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("hosts", "./hosts"),
        ("./hosts", "./hosts"),
        ("hosts?dir=.", "./hosts?dir=."),
        ("hosts/flake.nix", "./hosts/flake.nix"),
        (Path("hosts"), "./hosts"),
        ("nixpkgs", "nixpkgs"),
        ("nixpkgs/nixos-25.11", "nixpkgs/nixos-25.11"),
        ("github:me/hosts", "github:me/hosts"),
        ("git+ssh://git@host/x?ref=main", "git+ssh://git@host/x?ref=main"),
        ("path:./hosts", "path:./hosts"),
    ],
)
def test_flake(given: str | Path, meant: str) -> None:
    assert reference(given) == meant


def test_current_directory(home: Path) -> None:
    os.chdir(home / "hosts")
    assert reference(".") == "."
    assert reference(home / "hosts") == str(home / "hosts")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "/nowhere",
        "./nowhere",
        "~/nowhere",
        "~nobody-of-that-name/x",
        "path:/nowhere",
        "git+file:///nowhere",
        "file",
        ".#x",
        "empty",
        3,
    ],
)
def test_no_flake(given: str) -> None:
    with pytest.raises(OptionError):
        reference(given)
    with pytest.raises(OptionError):
        deploy_flake.deploy(["host1"], given)


@pytest.mark.parametrize("word", [".#host1", "/etc/nixos", "./x", "..", "github:me/x", "git+ssh://h/x", "~/hosts"])
def test_flake_is_no_destination(word: str) -> None:
    with pytest.raises(DestinationError, match="--flake"):
        deploy_flake.Destination.parse(word)


def test_flake_that_a_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory need be none then."""
    told: list[dict[str, Any]] = []

    def script(playing: Playing) -> None:
        told.append(dict(playing.variables))
        playing.play(*deployed("web1"), stats("web1"))

    plays(monkeypatch, script, script, script)
    assert cli.main(["web1", "--yes"]) == 2
    assert told == []
    for given in ("deploy_flake_flake=github:me/hosts", '{"deploy_flake_toplevel": "/nix/store/x"}'):
        assert cli.main(["web1", "--yes", "-e", given]) == 0
        assert "deploy_flake_flake" not in told[-1]
    variables = {"deploy_flake_flake": "github:me/hosts"}
    deploy_flake.deploy(["web1"], run=deploy_flake.RunOptions(variables=variables))
    assert told[-1]["deploy_flake_flake"] == "github:me/hosts"


def test_inventory_in_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell does not expand it after `--inventory=`, and Ansible does."""
    (tmp_path / "hosts.yml").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    inventory.must_be_there(["~/hosts.yml", "$HOME/hosts.yml"])
    with pytest.raises(OptionError, match="is not there"):
        inventory.must_be_there(["~/others.yml"])
