# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment that was sent secrets goes nowhere without them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join, script

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))


def says(shell: list[str], root: Path, text: str) -> str:
    """What it prints, in a deployment id1 whose directories are below `root`."""
    before = f"id=id1\nbrings_secrets=yes\ninterpreter=sh\ndir={root}\n"
    whole = (
        f"{before}{join('lib/deployed_secrets')}{join('lib/secrets_ahead')}\nvar_dir={root}\nsecrets_dir={root}\n{text}"
    )
    return subprocess.run([*shell, "-s"], input=whole, text=True, capture_output=True, check=True, timeout=60).stdout


SYSTEMD = """
sc() {
    for unit; do :; done
    case $unit in
    runs.service) printf 'LoadState=loaded\\nActiveState=active\\nCanReload=yes\\n' ;;
    plain.service) printf 'LoadState=loaded\\nActiveState=active\\nCanReload=no\\n' ;;
    rests.service) printf 'LoadState=loaded\\nActiveState=inactive\\nCanReload=no\\n' ;;
    *) printf 'LoadState=not-found\\nActiveState=inactive\\nCanReload=no\\n' ;;
    esac
}
"""


@every_shell
@pytest.mark.parametrize(
    ("units", "wrong"),
    [
        ("restart:runs.service reload:runs.service restart:plain.service reload:rests.service", ""),
        ("reload:plain.service", "plain.service has no reload, and has to be in restart_units"),
        # Each once.
        (
            "restart:gone.service reload:gone.socket restart:gone.service",
            "there is no unit gone.socket; there is no unit gone.service",
        ),
    ],
)
def test_units_that_are_to_read_secrets_are_there(shell: list[str], tmp_path: Path, units: str, wrong: str) -> None:
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/units").write_text(units.replace(" ", "\n") + "\n")
    text = f'{SYSTEMD}secrets_have_units && echo go on || echo "$code: $complaint"'
    said = f"secrets: not all units can read the secrets again: {wrong}\n" if wrong else "go on\n"
    assert says(shell, tmp_path, f"only_secrets=yes mode=test\n{text}") == said
    # A boot brings them.
    assert says(shell, tmp_path, f"only_secrets=yes mode=boot\n{text}") == "go on\n"
    assert says(shell, tmp_path, f"only_secrets=yes mode=test brings_secrets=no\n{text}") == "go on\n"


@every_shell
@pytest.mark.parametrize(
    ("units", "wrong"),
    [
        ("restart:new.service reload:one@two.service restart:masked.service restart:srv.mount", ""),
        # The host has it now, from elsewhere than a system.
        ("restart:run.service", ""),
        # The host has it now, and the new system has not.
        ("restart:old.service", "the new system has no unit old.service"),
        ("restart:typo.service restart:new.service", "the new system has no unit typo.service"),
    ],
)
def test_units_of_the_new_system_are_to_read_secrets(shell: list[str], tmp_path: Path, units: str, wrong: str) -> None:
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/units").write_text(units.replace(" ", "\n") + "\n")
    there = tmp_path / "new/etc/systemd/system"
    there.mkdir(parents=True)
    for name in ("new.service", "one@.service"):
        (there / name).touch()
    (there / "masked.service").symlink_to("/nowhere")
    paths = "old.service) echo /etc/systemd/system/old.service ;; run.service) echo /run/systemd/system/run.service ;;"
    sc = f"sc() {{ for unit; do :; done; case $unit in {paths} esac; }}"
    ask = 'secrets_have_units && echo go on || echo "$code: $complaint"'
    said = f"secrets: not all units can read the secrets again: {wrong}\n" if wrong else "go on\n"
    assert says(shell, tmp_path, f"only_secrets=no mode=test new_live={tmp_path}/new\n{sc}\n{ask}") == said


@every_shell
@pytest.mark.parametrize("task", ["prepare", "place", "restart"])
def test_staged_secrets_that_are_gone(shell: list[str], tmp_path: Path, task: str) -> None:
    text = f'with_secrets {task} 60 && echo done || echo "$code: $complaint"'
    said = says(shell, tmp_path, text)
    assert said.startswith(f"secrets: its secrets, which were sent to {tmp_path}/id1, are gone"), said
    assert says(shell, tmp_path, f"brings_secrets=no\n{text}") == "done\n"


@every_shell
@pytest.mark.parametrize(
    ("code", "failed", "goes_on"),
    [
        ("units-failed-before", "a.service", True),
        ("units-failed-before", "a.service b.service", True),
        ("units-failed-before", "a.service c.service", False),
        # It is only reloaded.
        ("units-failed-before", "d.service", False),
        ("not-up", "a.service", False),
    ],
)
def test_units_that_have_failed_for_want_of_a_secret(
    shell: list[str], tmp_path: Path, code: str, failed: str, goes_on: bool
) -> None:
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/units").write_text("restart:b.service\nrestart:a.service\nreload:d.service\n")
    (tmp_path / "failed").write_text(failed.replace(" ", "\n") + "\n")
    text = f"code={code}; secrets_mend_that && echo goes on"
    assert ("goes on" in says(shell, tmp_path, f"{text} || :")) == goes_on
    assert (tmp_path / "failed").read_text() == ("" if goes_on else failed.replace(" ", "\n") + "\n")
    (tmp_path / "failed").write_text(failed)
    assert says(shell, tmp_path, f"brings_secrets=no; {text} || :") == ""


@every_shell
def test_what_is_not_in_place_any_more(shell: list[str], tmp_path: Path) -> None:
    """Path and reason are those that the secrets' own program has found."""
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/program").write_text('echo "$1: x is gone" >"$2/complaint"; exit 1\n')
    said = says(shell, tmp_path, 'limited() { shift; "$@"; }; with_secrets verify 60 || echo "$code: $complaint"')
    assert said == "secrets: verify: x is gone\n"


LOOKS = """
for name in boot_files ask_loader is_generation try_loader begin_call logged end_call finish_commit finish \\
    finish_by_its_line state; do
    eval "$name() { echo $name \\"\\$1\\"; }"
done
may_commit() { :; }
still_healthy() { :; }
watched_long_enough() { :; }
loader_starts_another() { return 1; }
boot_default_ran() { echo yes; }
boot_default() { echo new; }
give_up() { echo "gives up $1"; exit; }
mark_open() { echo "marks $1"; }
with_secrets() { echo "$1"; turn=$((turn + 1)); complaint=x code=secrets; [ "$turn" != "$fails" ]; }
id=id1 new=new commit_limit=1 secrets_limit=1 loader=grub turn=0 dir=/x status=0 profile=/x
commit
"""


@every_shell
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("mode=test only_secrets=yes fails=0", ["verify", "marks confirmed", "finish committed"]),
        ("mode=test only_secrets=yes fails=1", ["verify", "gives up secrets"]),
        ("mode=test only_secrets=no fails=1", ["verify", "gives up secrets"]),
        # Neither marked on the disk nor written anywhere but in its line.
        ("mode=test only_secrets=no fails=0 until_reboot=yes", ["finish_by_its_line until-reboot"]),
        ("mode=boot only_secrets=no fails=2", ["place", "verify", "gives up secrets"]),
        # From the next state on an undo goes forward, where the profile names the new system already.
        (
            "mode=test only_secrets=no fails=2",
            [
                "verify",
                "boot_files /x/boot-files",
                "marks confirmed",
                "ask_loader",
                "verify",
                "gives up secrets",
            ],
        ),
    ],
)
def test_nothing_is_committed_before_all_are_in_place(shell: list[str], inputs: str, said: list[str]) -> None:
    """Looked at before the mark which says that it was confirmed, and before the profile is moved."""
    found = printed(shell, f"{of('lib/commit', 'commit')}{inputs}\n{LOOKS}").splitlines()
    assert [line.strip() for line in found] == said


def test_nobody_is_asked_to_confirm_what_is_not_in_place() -> None:
    """After the activation, before the window: a fleet would be divided by what is found only then."""
    supervise = script("lib/supervise")
    live = supervise.partition("try_live() {")[2].partition("\n}\n")[0]
    assert live.index("switch_live") < live.index("with_secrets restart") < live.index("with_secrets verify")
    assert "give_up" in live[live.index("with_secrets verify") :].partition("\n")[0]


@every_shell
@pytest.mark.parametrize(
    ("files", "there"),
    [
        ("", False),
        ("program", True),
        # Another one has ended since they were compared, or is there still and is repaired first.
        ("program not-sure", False),
        ("program not-sure open.json", True),
        ("program not-sure secrets.open", True),
        ("program not-sure current", True),
    ],
)
@pytest.mark.parametrize("secrets", ["yes", "same"])
def test_start_asks_for_them_again(shell: list[str], tmp_path: Path, files: str, there: bool, secrets: str) -> None:
    for name in files.split():
        (tmp_path / name).touch()
    text = f"""{join("lib/staged_secrets")}{of("command/start", "refuse_if_switched")}
        remove_directory() {{ echo "removes $1"; }}
        note_systems() {{ live=a default=a; }}
        answer() {{ echo "$1 $2"; }}
        refuse() {{ echo "refuses $1" && exit; }}
        mode=test new=b new_live=b seen_live=a seen_boot=a secrets={secrets}
        is_unchanged() {{ return 1; }}
        dir={tmp_path}/dir staged={tmp_path} run_dir={tmp_path} var_dir={tmp_path}
        refuse_if_switched && echo goes on
    """
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60)
    asks = f"removes {tmp_path}/dir\nsend_secrets yes\nrefuses busy\n"
    assert done.stdout == ("goes on\n" if there else asks)


def of(name: str, function: str) -> str:
    """A function of a script of lib/, by itself."""
    text = (Path(__file__).parents[5] / f"plugins/plugin_utils/_sh/{name}.sh").read_text(encoding="utf-8")
    its = text.partition(f"\n{function}() {{")[2]
    line = its.partition("\n")[0]
    return f"{function}() {{" + (f"{line}\n" if line.endswith("}") else its.partition("\n}\n")[0] + "\n}\n")


MEANT = "until_reboot=no\n" + "".join(
    of(*one)
    for one in (
        ("lib/live", "live_system"),
        ("lib/preflight", "is_as_meant"),
        ("lib/system", "is_unchanged"),
        ("lib/system", "nothing_is_open"),
    )
)
"""Whether a host is as it is meant to be."""


def printed(shell: list[str], text: str) -> str:
    return subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60).stdout


@every_shell
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("secrets=yes mode=test default=new live=new", ["only_secrets", "begins"]),
        ("secrets=yes mode=boot default=new live=new", ["only_secrets", "begins"]),
        # It was made the boot default without a test, and waits for a boot, which brings them.
        ("secrets=yes mode=boot default=new live=old", ["looks on", "begins"]),
        ("secrets=yes mode=test default=new live=old", ["looks on", "begins"]),
        ("secrets=yes mode=boot default=old live=new", ["looks on", "begins"]),
        ("secrets=only mode=test default=old live=new", ["only_secrets", "begins"]),
        ("secrets= mode=boot default=new live=old", ["unchanged"]),
        ("secrets= mode=test default=new live=new", ["unchanged"]),
        ("secrets=same mode=test default=new live=new", ["unchanged"]),
        ("secrets=same mode=test default=old live=new", ["looks on", "begins"]),
        # Who deploys is this machine: nobody would confirm from outside.
        ("secrets=yes mode=boot default=new live=new from=here", ["only_secrets", "refuses unproven-way-in"]),
        ("secrets=yes mode=boot default=new live=old from=here", ["looks on", "begins"]),
        ("secrets=yes mode=test default=old live=old from=here", ["refuses unproven-way-in"]),
    ],
)
def test_when_nothing_but_secrets_is_to_change(shell: list[str], inputs: str, said: list[str]) -> None:
    """Only of a system that runs and boots; and then the boot side is not looked at, which stays as it is."""
    text = (
        of("lib/preflight", "preflight")
        + of("lib/preflight", "look_at_host")
        + MEANT
        + """
        leads_to() { echo new; }
        answer() { case $1 in only_secrets) echo "$1" ;; esac; }
        answer_unchanged() { echo unchanged; }
        note_systems() { :; }
        look_at_system() { :; }
        loader_names() { :; }
        as_expected() { :; }
        ask_loader() { echo looks on; }
        require_free_space() { :; }
        boot_files_fit() { :; }
        tested_boot_default() { :; }
        is_controller() { [ -n "$from" ]; }
        refuse_system() { echo "refuses $1" && exit; }
        new=new just_built=yes from= var_dir=/x run_dir=/x loader_lacks= need_nix_kib=0 need_boot_kib=
    """
        + f"{inputs}\npreflight && look_at_host && echo begins\n"
    )
    assert printed(shell, text).splitlines() == said


@every_shell
@pytest.mark.parametrize(
    ("sent", "module", "said"),
    [
        ("a\t/run/secrets/a b\troot\troot\t400\t1\t-\n", False, "takes away what is below /run: /run/secrets/a b;"),
        ("a\t/run/secrets/a b\troot\troot\t400\t1\t-\n", True, "lasts"),
        ("a\t/etc/secrets/run/x\troot\troot\t400\t1\t/run/x\n", False, "lasts"),
        ("", False, "lasts"),
    ],
)
def test_secrets_that_the_boot_would_take_away(
    shell: list[str], tmp_path: Path, sent: str, module: bool, said: str
) -> None:
    """Where the boot is what brings them to the units; the module of the system that is booted puts them there."""
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/secrets").write_text(sent)
    units = tmp_path / "new/etc/systemd/system"
    units.mkdir(parents=True)
    if module:
        (units / "deploy-flake-secrets.service").touch()
    found = says(shell, tmp_path, f"new={tmp_path}/new\nsecrets_outlast_boot && echo lasts || echo $complaint")
    assert said in found
    assert "lasts" in says(shell, tmp_path, "brings_secrets=no new=/x; secrets_outlast_boot && echo lasts")


def test_where_that_is_asked() -> None:
    """As soon as it is clear that the system is not tried, also by its own switch-to-configuration."""
    supervise = script("lib/supervise").partition("supervise() {")[2].partition("\n}\n")[0]
    after = supervise.partition("|| try_live\n")[2]
    assert after.startswith('[ "$mode" = test ] || secrets_outlast_boot || stop_unchanged')


CHECKS = """
open_log() { :; }
dry_activate() { echo dry_activate; }
check_before_switch() { echo "checks, with ${pre_activate_script:-none}"; mode=${becomes:-$mode}; }
ready() { echo ready; [ -z "$broken" ] || { echo "$broken" >failed; complain units-failed-before "$broken failed"; }; }
answer() { echo "$1: $2"; }
refuse() { echo "refuses $1"; exit; }
note() { echo "notes $1"; }
sc() { echo active; }
stop_unchanged() { echo "stops $1"; exit; }
brings_secrets_at_boot() { return 1; }
id=id1 dir=. var_dir=. run_dir=. secrets_dir=. staged=./id1 pre_activate_script= new_live=/new new=/new broken=
brings_secrets=yes only_secrets=no mode=test
"""


@every_shell
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("", ["ready", "secret_unit: restart a.service", "checks, with none", "dry_activate"]),
        # It runs already: neither its checks nor a dry activation are part of that.
        ("only_secrets=yes", ["ready", "secret_unit: restart a.service"]),
        # It is restarted with the secret that it has failed for want of.
        (
            "only_secrets=yes broken=a.service",
            ["ready", "notes had failed already, and are restarted with their sec", "secret_unit: restart a.service"],
        ),
        (
            "broken=a.service",
            [
                "ready",
                "notes had failed already",
                "secret_unit: restart a.service",
                "checks, with none",
                "dry_activate",
            ],
        ),
        ("broken=b.service", ["ready", "failed_unit: b.service", "stops units-failed-before"]),
        ("broken=a.service brings_secrets=no", ["ready", "failed_unit: a.service", "stops units-failed-before"]),
        # The boot takes it away, also where the system itself asks for one.
        ("mode=boot", ["ready", "secret_unit: restart a.service", "checks, with none", "stops secrets"]),
        ("becomes=boot", ["ready", "secret_unit: restart a.service", "checks, with none", "stops secrets"]),
        ("mode=boot brings_secrets=no", ["ready", "checks, with none"]),
        # They have to be compared again, now that another deployment has ended, or sent again.
        ("touch id1/not-sure", ["send_secrets: yes", "refuses busy"]),
        (
            "touch id1/not-sure current",
            ["ready", "secret_unit: restart a.service", "checks, with none", "dry_activate"],
        ),
        ("rm id1/program", ["send_secrets: yes", "refuses busy"]),
        # Where nobody can write.
        ("var_dir=/proc/self", ["stops cannot-record"]),
    ],
)
def test_check_mode_foretells_a_deployment_with_secrets(
    shell: list[str], tmp_path: Path, inputs: str, said: list[str]
) -> None:
    (tmp_path / "id1").mkdir()
    (tmp_path / "id1/units").write_text("restart:a.service\n")
    (tmp_path / "id1/secrets").write_text("a\t/run/secrets/a\troot\troot\t400\t1\ta.service\n")
    (tmp_path / "id1/program").touch()
    parts = [
        join("lib/secrets_ahead"),
        join("lib/staged_secrets"),
        of("unit/check_mode", "check"),
        of("unit/check_mode", "can_record"),
    ]
    found = printed(shell, f"{''.join(parts)}\ncd {tmp_path}\n{CHECKS}{inputs}\ncheck").splitlines()
    assert len(found) == len(said), found
    assert all(line.startswith(part) for line, part in zip(found, said, strict=True)), found


@pytest.mark.parametrize(("keeps", "mode", "then"), [("yes", "boot", "test"), ("no", "boot", "boot")])
def test_check_mode_knows_what_the_host_has_found(tmp_path: Path, keeps: str, mode: str, then: str) -> None:
    """Facts come after the settings that they replace, and before the program."""
    text = f"""{join("lib/quote")}{of("lib/check_mode", "run_check_mode")}
        sc() {{ :; }}
        find_interpreter() {{ interpreter=sh; }}
        timeout() {{ cat >{tmp_path}/sent; }}
        id=id1 keeps_system={keeps} settings="mode={mode}" new=/new activated=/new check_mode_limit=1
        check_mode_program='echo "$id $only_secrets $mode"'
        run_check_mode
        sh {tmp_path}/sent
    """
    assert printed(["dash"], text) == f"id1 {keeps} {then}\n"


@every_shell
@pytest.mark.parametrize(("secrets", "new"), [("only", "/now"), ("yes", "/then"), ("", "/then")])
def test_secrets_alone_are_for_what_runs(shell: list[str], secrets: str, new: str) -> None:
    text = (
        of("lib/preflight", "preflight")
        + MEANT
        + f"""
        leads_to() {{ echo /now; }}
        answer() {{ :; }}
        note_systems() {{ echo "$new"; exit; }}
        look_at_system() {{ :; }}
        new=/then secrets={secrets} just_built=yes
        preflight
    """
    )
    assert printed(shell, text) == f"{new}\n"


@every_shell
@pytest.mark.parametrize(
    ("mode", "live", "default", "keeps"),
    [
        ("test", "/new", "/new", True),
        ("test", "/old", "/new", False),
        ("boot", "/new", "/new", True),
        # It waits for a boot, and gets them as a whole deployment does.
        ("boot", "/old", "/new", False),
        ("boot", "/new", "/old", False),
    ],
)
def test_system_that_is_kept(shell: list[str], tmp_path: Path, mode: str, live: str, default: str, keeps: bool) -> None:
    text = (
        of("lib/preflight", "preflight")
        + MEANT
        + f"""
        answer() {{ echo "$*"; }}
        for name in look_at_system as_expected loader_names; do eval "$name() {{ :; }}"; done
        note_systems() {{ live={live} default={default}; }}
        mode={mode} new=/new secrets=yes just_built=yes var_dir={tmp_path} run_dir={tmp_path}
        preflight
    """
    )
    assert ("only_secrets yes" in printed(shell, text).splitlines()) == keeps


@every_shell
@pytest.mark.parametrize(
    ("only", "live", "verifies", "said"),
    [
        ("yes", "/before", "true", "verified yes\nends rolled-back\n"),
        # What was not well then, a way back may mend.
        ("yes", "/before", "false", "goes back\nverified no\nends rollback-failed\n"),
        ("yes", "/other", "true", "goes back\nverified no\nends rollback-failed\n"),
        ("no", "/before", "true", "goes back\nverified no\nends rollback-failed\n"),
    ],
)
def test_undo_of_secrets_alone_activates_nothing(
    shell: list[str], tmp_path: Path, only: str, live: str, verifies: str, said: str
) -> None:
    text = (
        of("lib/undo", "only_secrets_went_back")
        + of("lib/undo", "secrets_back_again")
        + of("lib/undo", "secrets_stay")
        + of("lib/undo", "undo_live")
        + of("lib/live", "live_system")
        + f"""
        leads_to() {{ echo {live}; }}
        go_back() {{ echo goes back; way=none; }}
        verify_previous() {{ {verifies}; }}
        for name in begin_ways forget_failures wait_for_jobs note failed_units unit_journals; do
            eval "$name() {{ :; }}"
        done
        for name in boot_is_theirs live_is_theirs was_confirmed; do eval "$name() {{ return 1; }}"; done
        end_as() {{ printf 'verified %s\\nends %s\\n' "$verified" "$1"; }}
        mode=test only_secrets={only} previous_live=/before boot=kept secrets_left=no complaint=x dir={tmp_path}
        undo_live
    """
    )
    assert printed(shell, text) == said


@every_shell
@pytest.mark.parametrize(("does", "gone"), [(":", False), ("rm key", True), ("ln -sf /etc/passwd key", False)])
def test_way_back_that_takes_an_old_secret_away(shell: list[str], tmp_path: Path, does: str, gone: bool) -> None:
    """Its activation removes what the new system's has copied there, whatever it is by then."""
    (tmp_path / "secrets.open").mkdir()
    plan = [
        f"put\tfile\t0\t0\t400\t/x\t{tmp_path}/key",
        f"put\tnone\t0\t0\t400\t/x\t{tmp_path}/new one",
        f"directory\tnone\t0\t0\t0755\t-\t{tmp_path}/d",
    ]
    (tmp_path / "secrets.open/plan").write_text("".join(f"{line}\n" for line in plan))
    (tmp_path / "key").touch()
    text = (
        of("lib/undo", "secrets_back")
        + of("lib/deployed_secrets", "planned_paths")
        + of("lib/undo", "secrets_back_again")
        + of("lib/undo", "missing_secrets")
        + of("lib/undo", "secrets_stay")
        + of("lib/undo", "undo_live")
        + f"""
        change_of_secrets() {{ echo "goes $1" && rm -r secrets.open; }}
        only_secrets_went_back() {{ return 1; }}
        go_back() {{ {does}; way=test verified=yes; }}
        note() {{ echo "$1"; }}
        end_as() {{ echo "ends $1"; }}
        for name in note_invocations failed_units unit_journals; do eval "$name() {{ :; }}"; done
        for name in boot_is_theirs live_is_theirs was_confirmed machine_stopping; do
            eval "$name() {{ return 1; }}"
        done
        mode=test only_secrets=no boot=kept dir=. var_dir=.
        cd {tmp_path}
        secrets_back
        undo_live
    """
    )
    said = printed(shell, text)
    assert said.endswith(f"ends {'rollback-failed' if gone else 'rolled-back'}\n")
    assert (f"the secret at {tmp_path}/key, which was put back, is not there" in said) == gone
    assert "new one" not in said


@every_shell
@pytest.mark.parametrize(
    ("then", "verifies", "said"),
    [
        # The way back has mounted what it is on.
        ("back", "true", ["put back after the way back", "looks", "ends rolled-back"]),
        # What was restarted with it is looked at, whatever the look before has found.
        ("back", "false", ["put back after the way back", "looks", "could not be made live", "ends rollback-failed"]),
        # It is told once.
        ("not mounted", "true", ["ends rollback-failed"]),
        # Nobody asks for what is over.
        ("lost", "true", ["ends rollback-failed"]),
    ],
)
def test_secrets_that_the_way_back_makes_room_for(
    shell: list[str], tmp_path: Path, then: str, verifies: str, said: list[str]
) -> None:
    """They are put back after it, before the last look, so that the outcome is what came of it."""
    (tmp_path / "secrets.open").mkdir()
    (tmp_path / "secrets.open/id").write_text("id1\n")
    (tmp_path / "secrets.open/plan").write_text(f"put\tfile\t0\t0\t400\t/x\t{tmp_path}/key\n")
    program = """
        echo asked >>asked
        [ -e back ] && mv old key && rm -r secrets.open && exit
        [ ! -e lost ] || rm -r secrets.open
        echo why; exit 1
    """
    (tmp_path / "secrets.open/program").write_text(program)
    if then == "lost":
        (tmp_path / "lost").touch()
    (tmp_path / "old").touch()
    text = f"""{join("lib/undo")}
        cd {tmp_path}
        limited() {{ shift; "$@"; }}
        only_secrets_went_back() {{ return 1; }}
        go_back() {{ touch "{then}"; echo test >rung; way=test verified=yes; }}
        verify_previous() {{ echo looks; {verifies}; }}
        note() {{ echo "$1"; }}
        end_as() {{ echo "ends $1"; }}
        for name in note_invocations failed_units unit_journals wake_logind; do eval "$name() {{ :; }}"; done
        for name in boot_is_theirs live_is_theirs was_confirmed machine_stopping; do
            eval "$name() {{ return 1; }}"
        done
        mode=test only_secrets=no boot=kept id=id1 interpreter=sh secrets_limit=1 dir=. var_dir=.
        secrets_back
        undo_live
    """
    found = printed(shell, text).splitlines()
    assert len(found) == len(said) + 1, found
    assert all(part in line for part, line in zip(["why", *said], found, strict=True)), found
    assert (tmp_path / "asked").read_text() == "asked\n" * (1 if then == "lost" else 2)


@every_shell
def test_undo_that_begins_again_knows_what_was_lost(shell: list[str], tmp_path: Path) -> None:
    """The change is over by then, and what was told is not told in other words."""
    (tmp_path / "secrets-before").write_text(f"{tmp_path}/key\n{tmp_path}/other\n")
    (tmp_path / "secrets-missing").write_text(f"{tmp_path}/key\n")
    text = f"""{of("lib/undo", "missing_secrets")}{of("lib/undo", "secrets_stay")}
        note() {{ echo "$1"; }}
        dir={tmp_path} secrets_left=no
        secrets_stay
        echo "left: $secrets_left"
    """
    told, left = printed(shell, text).splitlines()
    assert told.startswith(f"the secret at {tmp_path}/other, which was put back, is not there any more")
    assert left == "left: yes"


@every_shell
@pytest.mark.parametrize(
    ("mark", "goes_back", "said"),
    [
        ("confirmed", "true", "finishes committed\n"),
        ("undone", "true", "goes back\nfinishes interrupted\n"),
        ("", "true", "goes back\nfinishes interrupted\n"),
        ("", "false", "goes back\nfinishes rollback-failed\n"),
    ],
)
def test_power_cut_in_a_deployment_of_secrets_alone(
    shell: list[str], tmp_path: Path, mark: str, goes_back: str, said: str
) -> None:
    """It has touched neither profile nor boot loader, so a repair does neither. The mark alone decides."""
    if mark:
        (tmp_path / f"open.{mark}").write_text("id1\n")
    text = (
        join("lib/open_marks")
        + of("lib/repair", "secrets_after_power_loss")
        + f"""
        why() {{ :; }}
        change_of_secrets() {{ echo goes "$1"; {goes_back}; }}
        finish() {{ echo finishes "$1"; }}
        var_dir={tmp_path} id=id1
        secrets_after_power_loss
    """
    )
    assert printed(shell, text) == said
    repair = script("lib/repair")
    assert repair.index("open_field only_secrets") < repair.index("if forward_after_power_loss")


@every_shell
@pytest.mark.parametrize(
    ("mark", "default", "said"),
    [
        # The previous system with new secrets is not what was before, and the message that refuses says which.
        ("unmounted", "old", ["back", "boot back", "ends rollback-failed", "note secrets of deployment id1: no /x"]),
        ("unmounted", "theirs", ["back", "ends superseded", "note secrets of deployment id1: no /x"]),
        ("confirmed", "new", ["commits"]),
        # The loader would start it.
        ("confirmed", "old", ["commits"]),
        # Its secrets were put back at the boot, or in an undo: it must not come true once more with the old ones.
        ("undone", "new", ["back", "boot back", "ends interrupted"]),
        ("undone", "old", ["back", "boot back", "ends interrupted"]),
        ("undone", "theirs", ["back", "ends superseded"]),
        # Whoever has made it the boot default, it was not this deployment.
        ("", "new", ["back", "ends superseded"]),
        ("", "old", ["back", "boot back", "ends interrupted"]),
    ],
)
def test_power_cut_in_a_deployment_with_secrets(
    shell: list[str], tmp_path: Path, mark: str, default: str, said: list[str]
) -> None:
    fields = {"id": "id1", "new": "new", "previous_boot": "old", "previous_live": "old"}
    record = ",\n".join(f'"{name}": "{value}"' for name, value in fields.items())
    (tmp_path / "open.json").write_text(f"{{\n{record}\n}}\n")
    if mark:
        (tmp_path / f"open.{mark}").write_text("id1\n")
    text = f"""{join("lib/repair")}
        cd {tmp_path}
        for name in open_log note_links why begin_call end_call is_final; do eval "$name() {{ :; }}"; done
        note() {{ case $1 in secrets*) echo "note $1" ;; esac; }}
        boot_default() {{ echo "$default"; }}
        logged() {{ default=new; }}
        loader_names() {{ [ {mark or "no"} = confirmed ]; }}
        runs_new() {{ return 1; }}
        recorded_outcome() {{ :; }}
        change_of_secrets() {{
            echo "$1"
            [ "{mark}" != unmounted ] || {{ mkdir -p secrets.open && secrets_noted="no /x" && return 1; }}
        }}
        boot_back() {{ echo boot back; }}
        finish_commit() {{ echo commits; }}
        finish() {{ echo "ends $1"; }}
        dir=. var_dir=. id=id2 open_id=id1 default={default} commit_limit=1
        repair_after_power_loss || echo "goes not on"
    """
    if mark == "unmounted":
        said = [*said, "goes not on"]
    assert printed(shell, text).splitlines() == said


@every_shell
@pytest.mark.parametrize(("mark", "forward"), [("confirmed", True), ("undone", False)])
def test_undo_that_begins_again_does_not_go_forward(shell: list[str], tmp_path: Path, mark: str, forward: bool) -> None:
    (tmp_path / f"open.{mark}").write_text("id1\n")
    text = (
        join("lib/open_marks")
        + of("lib/undo", "go_forward")
        + f"""
        for name in profile_moved may_commit finish_commit clean_up; do eval "$name() {{ :; }}"; done
        machine_stopping() {{ return 1; }}
        var_dir={tmp_path} dir={tmp_path} id=id1
        go_forward && echo goes forward
        :
    """
    )
    assert printed(shell, text) == ("goes forward\n" if forward else "")


@every_shell
@pytest.mark.parametrize(
    ("stopping", "task", "asked"),
    [(False, "back", "back"), (True, "back", "back-files"), (False, "keep", "keep"), (True, "keep", "keep")],
)
def test_units_are_asked_wherever_they_can_be(
    shell: list[str], tmp_path: Path, stopping: bool, task: str, asked: str
) -> None:
    """Also where nothing was activated in the end: what restarts by itself meanwhile has read the new ones."""
    (tmp_path / "secrets.open").mkdir()
    (tmp_path / "secrets.open/id").write_text("id1\n")
    (tmp_path / "secrets.open/program").write_text('echo "$1" >asked\n')
    text = f"""
        cd {tmp_path}
        machine_stopping() {{ {"true" if stopping else "false"}; }}
        limited() {{ shift; "$@"; }}
        secrets_limit=1
        change_of_secrets {task} && cat asked
    """
    assert says(shell, tmp_path, text) == f"{asked}\n"


def test_who_puts_back_leaves_that_to_it() -> None:
    """Whether units can be asked is found out in one place."""
    for name in ("lib/undo", "lib/record", "lib/repair"):
        text = script(name)
        assert "change_of_secrets back" in text
        assert "back-files" not in text


@every_shell
def test_secrets_that_could_not_be_put_back_are_unfinished(shell: list[str], tmp_path: Path) -> None:
    """Their deployment has ended and is not open any more; each later one is refused until they are."""
    (tmp_path / "secrets.open").mkdir()
    (tmp_path / "secrets.open/id").write_text("id0\n")
    text = f"""{of("lib/check_mode", "another_deployment")}
        read_line() {{ line=; [ ! -e "$1" ] || read -r line <"$1" || :; }}
        open_field() {{ :; }}
        sc() {{ echo inactive; }}
        answer() {{ echo "$1 $2"; }}
        run_dir={tmp_path}/run var_dir={tmp_path} unit=x
        another_deployment
    """
    assert printed(shell, text) == "unfinished id0\n"


BEFORE = "starting foo.service\n--- a program of the new system: check\n"


@every_shell
@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "starting foo.service\n--- a program of the new system: check\none\ntwo\nthree\nfour\n--- it exited 1",
            "two three four ",
        ),
        # It has said nothing.
        (f"{BEFORE}--- it exited 1", ""),
    ],
)
def test_words_of_a_program_of_the_new_system(shell: list[str], log: str, words: str) -> None:
    """And of none that was run before it."""
    text = f"log_end() {{ printf '%s\\n' '{log}'; }}\n"
    hook = (Path(__file__).parents[5] / "plugins/plugin_utils/_sh/lib/hook.sh").read_text(encoding="utf-8")
    function = next(line for line in hook.splitlines() if line.startswith("words_of_hook()"))
    assert printed(shell, f"{text}{function}\nwords_of_hook\n") == words
