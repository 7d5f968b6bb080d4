# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host refuses: each refusal names the word that allows it, and what else to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.transfer import ALLOWS_SECRETS
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.way_in import WORD
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import own_machine, scripts
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
FOLDER = Path(scripts.__file__).parents[1]


@pytest.mark.parametrize("word", argument_spec("system_test")["allow"]["choices"])
def test_every_word_that_allows_something_is_named_where_that_is_refused(word: str) -> None:
    named = {WORD: "'{WORD}' (deploy_flake_allow", ALLOWS_SECRETS: "{ALLOWS_SECRETS}"}.get(
        word, f"'{word}' (deploy_flake_allow)"
    )
    assert any(named in file.read_text("utf-8") for file in FOLDER.rglob("*") if file.suffix in (".sh", ".py"))


def script(shell: list[str], text: str) -> str:
    begin = f"{join('command/preflight').rpartition(chr(10) + 'main')[0]}\ndrop_all_roots() {{ :; }}\n"
    done = subprocess.run([*shell, "-s"], input=(begin + text).encode(), capture_output=True, check=True, timeout=30)
    return done.stdout.decode()


@every_shell
@pytest.mark.parametrize(
    ("its", "ours", "same"),
    [
        ("web1", "web1", True),
        ("web1", "WEB1", True),
        ("Web1", "web1", True),
        ("web1", "web1.example.org", True),
        ("web1.example.org", "Web1", True),
        ("web1.example.org", "web1.example.com", False),
        ("web1", "web10", False),
        ("web1", "nixos", False),
        ("web1", "", False),
    ],
)
def test_names_of_one_host(shell: list[str], its: str, ours: str, same: bool) -> None:
    said = script(shell, f"same_name '{its}' '{ours}' && echo same || echo other\n")
    assert said == ("same\n" if same else "other\n")


def system(directory: Path, **files: str | None) -> Path:
    """One without what is None."""
    for name, text in {"nixos-version": "", "bin/switch-to-configuration": "", **files}.items():
        if text is None:
            continue
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return directory


@every_shell
@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        (
            {"etc/hostname": "web1\n"},
            "other-hostname",
            [
                "named web1",
                "this one is nixos, which may be no name of its own",
                "deploy_flake_configuration",
                "fresh host",
            ],
        ),
        ({"etc/systemd/system/a.service": ""}, "no-ssh", ["services.openssh.enable"]),
        ({"bin/switch-to-configuration": None, "init": ""}, "not-a-system", ["system.switch.enable"]),
        ({"nixos-version": None, "init": ""}, "not-a-system", ["it has no nixos-version\0"]),
        ({"etc/hostname": "NIXOS.example.org\n", "etc/systemd/system/a.wants/sshd.service": ""}, "", []),
    ],
    ids=["fresh host", "no ssh", "no switch", "no system", "nothing"],
)
def test_refusals_of_a_system(
    tmp_path: Path, shell: list[str], files: dict[str, str | None], reason: str, words: list[str]
) -> None:
    one = system(tmp_path, **files)
    text = f"""
    allow= over_ssh=yes
    read_line() {{ line=nixos; }}
    look_at_toplevel {one}
    """
    said = script(shell, text)
    assert (f"refused\0{reason}\0" in said) == bool(reason)
    assert all(word in said for word in words), said


@every_shell
def test_room_that_is_missing_is_said_in_figures(shell: list[str]) -> None:
    text = "df() { printf 'Filesystem\\nx 40960 39936 1024 98%% /nix\\n'; }\nrequire_free_space / 32768\n"
    said = script(shell, text.replace("require_free_space /", "require_free_space /usr"))
    assert "has 1024 KiB free on /usr, and needs 32768 KiB; free some with the playbook generations" in said
    assert "(deploy_flake_min_free_space.usr)" in said
    # What is not known is no refusal.
    assert script(shell, "df() { :; }\nrequire_free_space /usr 32768\n") == ""


@every_shell
def test_machine_that_deploys_to_itself_is_known_by_any_name(shell: list[str]) -> None:
    ask = "is_controller && echo itself || echo another\n"
    this = own_machine.this_machine()
    assert re.fullmatch(r"[0-9a-f-]{36} net:\[\d+\]", this)
    other_boot, other_network = f"{'0' * 36} {this.partition(' ')[2]}", f"{this.partition(' ')[0]} net:[1]"
    for given, said in ((this, "itself"), (other_boot, "another"), (other_network, "another"), ("", "another")):
        assert script(shell, f"from='{given}'\n{ask}") == f"{said}\n"
    assert "refused\0unproven-way-in\0" in script(shell, f"from='{this}'\nlook_at_host\n")
