# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in for the parts of NixOS where another profile is deployed, in the shells that a host may have."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import scripts
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import (
    Kind,
    command,
    join,
    parts,
    program,
)

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
KINDS = ("system-manager", "home-manager", "profile")
FOLDER = Path(scripts.__file__).parents[1] / "_sh"


def inputs(tmp_path: Path, user: str = "root") -> dict[str, str]:
    return {
        "place": "it",
        "profile_path": str(tmp_path / "profiles/it"),
        "profile_user": user,
        "activate": "",
        "first": "no",
    }


class Place:
    """A profile with two generations, and a deployment of the second; no host has it."""

    def __init__(self, shell: list[str], tmp_path: Path, kind: str, moved: Sequence[tuple[str, str]] = ()) -> None:
        self.shell, self.path, self.kind, self.moved = shell, tmp_path, kind, moved
        for name in ("profiles", "old", "new", "var", "run", "dir"):
            (tmp_path / name).mkdir()
        (tmp_path / "profiles/it-4-link").symlink_to(tmp_path / "old")
        (tmp_path / "profiles/it").symlink_to("it-4-link")

    def does(self, text: str, part: str = "unit/deployment") -> str:
        its = join(part, self.kind).removesuffix('main "$@"\nexit\n')
        its = its.replace("/var/lib/deploy-flake-$place", f"{self.path}/var")
        for name, to in self.moved:
            its = its.replace(name, to)
        begin = f"{scripts.assignments(inputs(self.path))}\n{its}\ndir={self.path}/dir mode=test id=a\n"
        begin += f"new={self.path}/new new_live=$new\nsync() {{ :; }}\nprevious_boot=$(boot_default)\n"
        # systemd is not asked, and nobody is to become somebody else.
        begin += 'logged() { shift; "$@" >>"$dir/log" 2>&1; status=$?; return "$status"; }\nopen_log() { :; }\n'
        done = subprocess.run(
            [*self.shell, "-s"], input=f"{begin}{text}\n".encode(), capture_output=True, check=False, timeout=30
        )
        assert not done.stderr.strip(), done.stderr
        return done.stdout.decode().strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_every_function_of_the_others(kind: str) -> None:
    """The scripts of any kind call the same ones."""
    text = (FOLDER / f"profile/kind_{kind}.sh").read_text("utf-8")
    names = ("is_lacking", "check_generation", "activate_generation", "can_be_taken_away", "deactivate_generation")
    for name in (*names, "know_all_of", "after_move", "unit_of"):
        assert f"\n{name}() {{" in text, f"{kind} lacks {name}"


def test_what_a_system_is_sent_knows_no_profile(tmp_path: Path) -> None:
    for name in ("unit/deployment", "command/start", "command/build"):
        assert not [part for part in parts(name) if part.startswith("profile/")]
        assert "profile_user" not in join(name)
    assert program("deployment").startswith("LC_ALL=C") or "place=" not in program("deployment")
    given = {"limit": "1"}
    with pytest.raises(TypeError):
        command("units", given, Kind("profile", inputs(tmp_path)))


def test_no_part_stands_in_for_nothing() -> None:
    """Each has the name of a part of lib/, or is a kind's own."""
    for file in (FOLDER / "profile").glob("*.sh"):
        assert file.name.startswith("kind_") or (FOLDER / "lib" / file.name).exists(), file.name


@every_shell
@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_is_what_was_activated_last(shell: list[str], tmp_path: Path, kind: str) -> None:
    place = Place(shell, tmp_path, kind)
    text = "live_system\nnote_live $new\nlive_system\nforget_live\nlive_system\ncurrent_generation"
    old, new = f"{tmp_path}/old", f"{tmp_path}/new"
    assert place.does(text).split() == [old, new, old, "4"]


@every_shell
def test_whose_the_profile_is(shell: list[str], tmp_path: Path) -> None:
    """Who moves the profile is somebody else, whatever we have activated meanwhile."""
    place = Place(shell, tmp_path, "system-manager")
    text = """
        note_links; begin_call live; note_live $new; end_call
        may_commit && echo ours
        ln -s /elsewhere $profile-5-link; ln -sfn it-5-link $profile
        may_commit || echo theirs
        live_is_theirs && echo $live
    """
    assert place.does(text).split() == ["ours", "theirs", f"{tmp_path}/new"]


@every_shell
def test_the_way_back_leads_to_the_profile(shell: list[str], tmp_path: Path) -> None:
    """Also where an earlier deployment has left something else live."""
    place = Place(shell, tmp_path, "profile")
    assert place.does("note_live /left; note_links; echo $previous_live") == f"{tmp_path}/old"


LOG = r"""--- activation of /nix/store/old
[2026-01-02T03:04:05Z ERROR system_manager_engine::activate] an earlier one's
--- activation of /nix/store/new
[2026-01-02T03:04:05Z INFO  system_manager_engine::activate] Activating etc files...
%s
"""


@every_shell
@pytest.mark.parametrize(
    ("said", "failed"),
    [
        ("[2026-01-02T03:04:05Z ERROR system_manager_engine::activate] Error during activation: x", True),
        ("[2026-01-02T03:04:05Z INFO  system_manager_engine::activate] no ERROR here", False),
        ("An ERROR in what a unit prints", False),
        ("[2026-01-02T03:04:05Z WARN  x] y", False),
    ],
)
def test_errors_behind_an_exit_0(shell: list[str], tmp_path: Path, said: str, failed: bool) -> None:
    place = Place(shell, tmp_path, "system-manager")
    (tmp_path / "dir/log").write_text(LOG % said)
    found = place.does("log_file=$dir/log\nerrors_said")
    assert bool(found) is failed
    assert "earlier" not in found


@every_shell
def test_units_by_the_list_of_the_engine(shell: list[str], tmp_path: Path) -> None:
    place = Place(shell, tmp_path, "system-manager")
    for name, web in (("old", "1"), ("new", "2")):
        (tmp_path / name / "services").mkdir()
        units = ['"a.service":{"storePath":"/nix/store/a"}']
        units.append(f'"web.service": {{"masked":false,"storePath":"/nix/store/{web}"}}')
        units += ['"timer@x.service":{"masked":false}'] if name == "new" else []
        (tmp_path / name / "services/services.json").write_text(f"{{{', '.join(units)}}}")
    begin = f"previous_live={tmp_path}/old\n"
    text = "for each in a web eb timer@x none; do is_another_unit $each.service && echo $each; done"
    assert place.does(begin + text) == "web"
    text = "printf '' >$dir/active; printf '%s.service\\n' a web timer@x other >$dir/active-now\n"
    assert place.does(f"{begin}{text}list_only_new; cat $dir/only-new") == "timer@x.service"


@every_shell
@pytest.mark.parametrize(
    ("kind", "files", "why"),
    [
        ("profile", {"deploy-rs-activate": ""}, ""),
        ("profile", {"bin/activate": ""}, ""),
        ("profile", {}, "activates it"),
        ("system-manager", {"bin/activate": "", "bin/preActivationAssertions": "", "services/services.json": "{}"}, ""),
        ("system-manager", {"bin/activate": ""}, "not of system-manager"),
        ("home-manager", {"activate": "x --driver-version y", "home-files": ""}, ""),
        ("home-manager", {"activate": "older", "home-files": ""}, "moves the profile by itself"),
        ("home-manager", {"bin/switch-to-configuration": ""}, "not a generation of home-manager"),
    ],
)
def test_what_is_no_generation(shell: list[str], tmp_path: Path, kind: str, files: dict[str, str], why: str) -> None:
    place = Place(shell, tmp_path, kind)
    for name, text in files.items():
        path = tmp_path / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    said = place.does("is_lacking $new")
    assert (why in said) and bool(said) is bool(why)


@every_shell
def test_an_activation_gets_what_deploy_rs_gives_and_no_more(shell: list[str], tmp_path: Path) -> None:
    place = Place(shell, tmp_path, "profile")
    program_file = tmp_path / "new/deploy-rs-activate"
    program_file.write_text("#!/bin/sh\nenv | sort\necho umask=$(umask)\npwd\n")
    program_file.chmod(0o755)
    place.does('export SECRET=x; activate_generation 5 "$new"')
    said = (tmp_path / "dir/log").read_text()
    assert f"PROFILE={tmp_path}/new\n" in said
    assert "BOOT=0\n" in said and "DRY_ACTIVATE=0\n" in said and "HOME=/root\n" in said and "USER=root\n" in said
    assert said.endswith(f"{tmp_path}/new\n")
    assert "SECRET" not in said
    # As root has it, and not as our own files.
    assert "umask=0022\n" in said or "umask=022\n" in said


@every_shell
@pytest.mark.parametrize(
    ("confirmed", "names", "forward"),
    [(True, "new", True), (True, "old", False), (False, "new", False), (False, "old", False)],
)
def test_which_way_after_a_power_loss(
    shell: list[str], tmp_path: Path, confirmed: bool, names: str, forward: bool
) -> None:
    """Forward only where it was confirmed and the profile has moved."""
    place = Place(shell, tmp_path, "system-manager")
    if confirmed:
        (tmp_path / "var/open.confirmed").write_text("a\n")
    text = f"ln -sfn {tmp_path}/{names} $profile\nif forward_after_power_loss; then echo forward; else echo back; fi"
    assert place.does(text) == ("forward" if forward else "back")


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
@pytest.mark.parametrize("way", ["is_live_after_power_loss", "is_back_after_power_loss"])
def test_an_activation_that_fails_after_a_power_loss(shell: list[str], tmp_path: Path, way: str) -> None:
    """It is tried again and again, longer at a boot; in the end whatever is deployed next is activated."""
    place = Place(shell, tmp_path, "profile")
    begin = "activate_limit=5 rollback_limit=5 previous_generation=4 highest_generation=4\n"
    begin += "wait_for_jobs() { :; }\npause() { :; }\n"
    begin += "last_words() { :; }\nwhy() { :; }\nnote() { :; }\nswitch_to() { echo tries; return 1; }\n"
    ends = f"{way} && echo well; echo ended; live_system"
    assert place.does(f"{begin}at_boot=yes\nis_over() {{ return 1; }}\n{ends}").split() == ["tries"] * 4
    assert place.does(f"{begin}at_boot=yes\nis_over() {{ return 0; }}\n{ends}").split() == ["tries"] * 4 + ["ended"]
    assert place.does(f"{begin}{ends}").split() == ["tries"] * 4 + ["ended"]
    assert place.does(f"{begin}note_live() {{ return 1; }}\n{ends}").split() == ["tries"] * 4


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_a_profile_that_is_not_there_yet_is_waited_for(shell: list[str], tmp_path: Path) -> None:
    """At a boot a home may be mounted late, and a user be known late; nobody has moved the profile then."""
    place = Place(shell, tmp_path, "home-manager")
    text = "previous_generation=4\nnote() { :; }\nif can_be_repaired; then echo yes; else echo no; fi"
    first = f"previous_boot=\n{text}"
    assert place.does(text) == place.does(first) == "yes"
    assert place.does(f"profile_user=nobody-knows-me\n{text}") == "no"
    assert place.does(f"profile_user=nobody profile_home={tmp_path}/none\n{text}") == "no"
    (tmp_path / "profiles/it").unlink()
    was = f"previous_boot={tmp_path}/old\n"
    assert place.does(f"{was}{text}") == "yes", "somebody has removed it"
    (tmp_path / "profiles").rename(tmp_path / "elsewhere")
    assert place.does(f"{was}{text}") == "no"
    assert place.does(first) == "yes", "nothing was activated"
    (tmp_path / "var/live").symlink_to(tmp_path / "new")
    assert place.does(first) == "no"


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_the_owner_is_found_whatever_path_is_brought(shell: list[str], tmp_path: Path) -> None:
    """Neither a unit nor root's login needs to have one."""
    text = scripts.assignments(inputs(tmp_path, user="nobody")) + "\nPATH=/nowhere\n" + join("lib/base", "home-manager")
    done = subprocess.run(
        [*shell, "-s"], input=f"{text}\necho $profile_home".encode(), capture_output=True, check=False
    )
    assert done.stdout.decode().strip() == pwd.getpwnam("nobody").pw_dir, done.stderr


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_numbers_in_a_directory_of_its_owner(shell: list[str], tmp_path: Path) -> None:
    """None of them keeps root busy, and none but ours goes."""
    place = Place(shell, tmp_path, "profile")
    for number in ("5", "6", "999999999", "99999999999999999999"):
        (tmp_path / f"profiles/it-{number}-link").symlink_to(tmp_path / ("old" if number == "6" else "new"))
    text = "highest_generation=4 previous_generation=4 rollback_limit=20\nput_profile_back && echo back\n"
    assert place.does(f"{text}highest_generation").split() == ["back", "6"]
    left = sorted(path.name for path in (tmp_path / "profiles").iterdir())
    assert left == ["it", "it-4-link", "it-6-link", "it-99999999999999999999-link"]


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_one_profile_by_two_names(shell: list[str], tmp_path: Path) -> None:
    """What is unfinished under one of them is mended under that one first; else either may be used."""
    place = Place(shell, tmp_path, "profile", (("/var/lib/deploy-flake-*", f"{tmp_path}/other*"),))
    (tmp_path / "other-name").mkdir()
    (tmp_path / "other-one").mkdir()
    (tmp_path / "other-one/profile").write_text(f"{tmp_path}/elsewhere\n")
    (tmp_path / "other-one/open.json").touch()
    (tmp_path / "other-name/profile").write_text(f"{tmp_path}/profiles/it\n")
    text = "note_profile; cat $var_dir/profile; tested_boot_default a b && echo well || echo $code"
    profile = f"{tmp_path}/profiles/it"
    assert place.does(text).split() == [profile, "well"]
    (tmp_path / "other-name/live").symlink_to("unknown")
    assert place.does(text).split() == [profile, "busy"]


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_another_generation_than_was_expected(shell: list[str], tmp_path: Path) -> None:
    said = Place(shell, tmp_path, "profile").does(
        'expected_system=/a\nas_expected /a && as_expected /b || echo "$complaint"'
    )
    assert "(expected_generation)" in said and "boot default" not in said


# What stands in for the log, where nobody reads a pipe.
PLAIN_LOG = """
log_file=$dir/log
log_mark() { echo "--- $1" >>"$log_file"; }
log_line() { log_mark "$1"; }
read_log() { :; }
reap_logged() { :; }
"""


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
@pytest.mark.parametrize(
    ("says", "whole", "back"), [("INFO", True, True), ("ERROR", True, False), ("INFO", False, False)]
)
def test_what_is_taken_away_has_to_be_gone(
    shell: list[str], tmp_path: Path, says: str, whole: bool, back: bool
) -> None:
    """It exits 0, and what it has logged counts; what is lost of that might have been anything."""
    place = Place(shell, tmp_path, "system-manager")
    program_file = tmp_path / "new/bin/deactivate"
    program_file.parent.mkdir()
    program_file.write_text(f"#!/bin/sh\necho '[2026-01-02T03:04:05Z {says}  x] y'\n")
    program_file.chmod(0o755)
    (tmp_path / "dir/log").write_text(LOG % "")
    (tmp_path / "dir/activated").touch()
    if whole:
        (tmp_path / "dir/log.whole").touch()
    text = "rollback_limit=5 previous_live=\ntake_back && echo back"
    assert place.does(f"{PLAIN_LOG}{text}") == ("back" if back else "")


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_errors_are_kept_however_much_is_said(shell: list[str], tmp_path: Path) -> None:
    said = (LOG % "[2026-01-02T03:04:05Z ERROR x] y").encode()
    for kind, count in (("system-manager", 4), ("profile", 0)):
        done = subprocess.run(
            [
                *shell,
                "-c",
                f"{scripts.assignments(inputs(tmp_path))}\n{join('lib/log', kind)}\n{kind_text(kind)}\nreasons",
            ],
            input=said,
            capture_output=True,
            check=False,
        )
        assert len(done.stdout.splitlines()) == count, done


def kind_text(kind: str) -> str:
    return scripts.script(f"profile/kind_{kind}")


@pytest.mark.parametrize("shell", [SHELLS["dash"]], ids=["dash"])
def test_the_way_back_needs_no_room(shell: list[str], tmp_path: Path) -> None:
    """What cannot be noted is not activated; and yet what was goes back."""
    place = Place(shell, tmp_path, "profile")
    for name in ("old", "new"):
        program_file = tmp_path / name / "bin/activate"
        program_file.parent.mkdir()
        program_file.write_text("#!/bin/sh\npwd\n")
        program_file.chmod(0o755)
    full = "ln() { return 1; }\nactivate_limit=5 rollback_limit=5 previous_live=$previous_boot\n"
    full += PLAIN_LOG
    forward = 'give_up() { echo "$1"; exit 1; }\nnobody_else_has_switched() { :; }\nwhy() { :; }\nswitch_live'
    assert place.does(f"{full}{forward}") == "cannot-record"
    assert not (tmp_path / "dir/log").exists()
    (tmp_path / "var/live").symlink_to(tmp_path / "new")
    back = "rm -f $dir/activated\nlive_is_ours() { :; }\ntake_back && echo back; live_system"
    assert place.does(f"{full}{back}").split() == ["back", f"{tmp_path}/old"]
    assert f"{tmp_path}/old\n" in (tmp_path / "dir/log").read_text()


@every_shell
def test_links_of_a_cut_off_activation_go(shell: list[str], tmp_path: Path) -> None:
    """Those of the new generation alone; nobody else's, and not what the previous one has as well."""
    place = Place(shell, tmp_path, "system-manager")
    (tmp_path / "same").write_text("")
    for name, own in (("old", "a"), ("new", "b")):
        static = tmp_path / name / "static/d"
        static.mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
        (static / "both").symlink_to(tmp_path / "same")
        (static / "changed").symlink_to(tmp_path / name / "file")
        (static / own).symlink_to(tmp_path / name / "file")
        (static / "foreign").symlink_to(tmp_path / name / "file")
        (tmp_path / name / "etcFiles").mkdir()
        text = f'{{"entries":{{}},"staticEnv":"{tmp_path}/{name}/static"}}'
        (tmp_path / name / "etcFiles/etcFiles.json").write_text(text)
    etc = tmp_path / "etc/d"
    etc.mkdir(parents=True)
    (etc / "both").symlink_to(tmp_path / "same")
    for name in ("changed", "b"):
        (etc / name).symlink_to(tmp_path / "new/file")
    (etc / "a").symlink_to(tmp_path / "old/file")
    (etc / "foreign").symlink_to("/elsewhere")
    (etc / "plain").write_text("")
    place.does(f"previous_live={tmp_path}/old etc={tmp_path}/etc\ndrop_links $new")
    assert sorted(path.name for path in etc.iterdir()) == ["a", "both", "foreign", "plain"]
