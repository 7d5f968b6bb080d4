# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of what switch-to-configuration says, in its forms of 2020 (Perl), 2024 and 2026 (Rust)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
SWITCHES = Path(__file__).parent / "switches"
"""Made by hand after what each form prints; the marker before them is our own."""

SAID = {
    "perl-2020": [
        "activation Activation script snippet 'secrets' failed (1)",
        "unit firewall.service",
        "unit proxy.service",
        "unit app.service",
        "unit gone.service",
        "unit srv-data.mount",
    ],
    "perl-2020-killed": ["unit may.service"],
    "perl-2020-manager": ["activation Failed to reload daemon: Connection timed out", "unit may.service"],
    "perl-2020-reexecute": ["activation Failed to connect to bus: Connection refused", "unit may.service"],
    "rust-2024": [
        "activation Activation script snippet 'agenix' failed (2)",
        "activation Failed to run activate script",
        "unit firewall.service",
        "unit proxy.service",
        "unit app.service",
        r"unit Backup@a\x2db.service",
    ],
    "rust-2024-reactivation": ["unit sysinit-reactivation.target", "unit systemd-tmpfiles-resetup.service"],
    "rust-2024-error": ["error Failed to reset failed units", "last activate"],
    "rust-2024-users": ["error Failed to get GID for carol", "last the units of the user carol"],
    "rust-2026": [
        "activation Activation script snippet 'setupSecretsForUsers' failed (1)",
        "activation Failed to run activate script",
        "unit app.service",
    ],
    "rust-2026-users": [
        "user alice",
        "detail alice: Failed to start user unit sync.service; Failed to restart nixos-activation.service: refused",
        "user bob",
        "detail bob: Error: Failed to open dbus connection",
    ],
    "rust-2026-inhibitor": ["check switchInhibitors"],
    "rust-2026-check": ["check back-up"],
    "rust-2026-locked": ["error Could not acquire lock"],
    "rust-2026-logind": [
        "other Unable to list users with logind: Interrupted system call (os error 4)",
        "error Unable to list users with logind: Interrupted system call (os error 4)",
        "last activate",
    ],
    "rust-2026-refused": [
        "unit sysinit-reactivation.target",
        "itself sysinit-reactivation.target",
        "unit app.service",
    ],
    "perl-2020-bus": [
        "other Failed to connect to bus: Connection refused",
        "unit late.service",
        "unit swapped.swap",
        "unit gone.mount",
        "unit once.service",
        "unit frozen.service",
        "unit may.service",
    ],
}
WHOLE = {
    "perl-2020",
    "perl-2020-killed",
    "perl-2020-manager",
    "perl-2020-reexecute",
    "perl-2020-bus",
    "rust-2024",
    "rust-2024-reactivation",
    "rust-2026",
    "rust-2026-users",
    "rust-2026-refused",
}
"""Those in which all of the work was begun."""
BECAUSE = {
    "perl-2020": ": Activation script snippet 'secrets' failed (1)",
    "rust-2024": ": Activation script snippet 'agenix' failed (2)",
    "rust-2024-error": ": Failed to reset failed units",
    "rust-2026": ": Activation script snippet 'setupSecretsForUsers' failed (1)",
    "rust-2026-check": ": pre-switch check 'back-up' failed",
    "rust-2026-users": "",
}


def run(shell: list[str], directory: Path, text: str, library: str = "lib/said") -> str:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    script = (
        f"dir={directory} log_file={directory}/log allow= policy=strict ignore_units= new_live={directory}/system\n"
    )
    script += f"{join(library).replace('/run/nixos', f'{directory}/nixos')}\nsc() {{ :; }}\n"
    if shell[0] == "busybox":
        # With its own tools as well.
        tools = directory / "tools"
        tools.mkdir(exist_ok=True)
        for tool in ("awk", "cut", "dd", "grep", "head", "paste", "sed", "stat", "tail", "tr"):
            (tools / tool).unlink(missing_ok=True)
            (tools / tool).symlink_to(str(shutil.which("busybox")))
        script += f"PATH={tools}:$PATH\n"
    script += f"{text}\n"
    done = subprocess.run([*shell, "-s"], input=script.encode(), capture_output=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.decode()


def test_each_form_is_read() -> None:
    assert {file.stem for file in SWITCHES.iterdir()} == set(SAID)


@every_shell
@pytest.mark.parametrize("form", SAID)
def test_what_is_read_of_each_form(shell: list[str], tmp_path: Path, form: str) -> None:
    shutil.copy(SWITCHES / f"{form}.log", tmp_path / "log")
    assert run(shell, tmp_path, "said").splitlines() == SAID[form] + ["form known"] * (form in WHOLE)
    assert run(shell, tmp_path, "because") == BECAUSE.get(form, run(shell, tmp_path, "because"))


ITS_OWN = re.compile(
    r"^(?=Failed to run activate script|warning: user activation for|reloading user units for|setting up tmpfiles)"
    r"|^(?=activating the configuration|restarting (systemd|sysinit-reactivation\.))",
    re.MULTILINE,
)


@every_shell
@pytest.mark.parametrize("form", sorted(WHOLE))
def test_its_own_lines_are_read_behind_output_without_an_end_of_line(
    shell: list[str], tmp_path: Path, form: str
) -> None:
    """Also from what is kept where much comes behind them; they are no reasons for people."""
    text = ITS_OWN.sub("progress... ", (SWITCHES / f"{form}.log").read_text())
    (tmp_path / "log").write_text(text)
    assert run(shell, tmp_path, "said").splitlines() == [*SAID[form], "form known"]
    run(shell, tmp_path, 'mv "$log_file" "$log_file.before"; : >"$log_file"; keep_reasons; rm "$log_file.before"')
    assert run(shell, tmp_path, "said").splitlines() == [*SAID[form], "form known"]
    shown = run(shell, tmp_path, "log_for_people").splitlines()
    assert {line.partition("progress... ")[2].split()[0] for line in shown if "progress... " in line} <= {
        "Failed",
        "warning:",
    }


@every_shell
@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("activating the configuration...\nsetting up /etc...\n", "activate"),
        ("activating the configuration...\nreloading user units for alice...\n", "the units of the user alice"),
        ("activating the configuration...\nx reloading user units for bob...\nnoise", "the units of the user bob"),
        ("activating the configuration...\nreloading user units for alice...\nsetting up tmpfiles\n", ""),
        ("Checking switch inhibitors...\n", ""),
    ],
)
def test_where_it_hangs(shell: list[str], tmp_path: Path, text: str, last: str) -> None:
    """What takes too long says nothing of itself."""
    (tmp_path / "log").write_text(f"--- switch-to-configuration test of /nix/store/x\n{text}")
    assert run(shell, tmp_path, "because") == (f": it came no further than {last}" if last else "")


@every_shell
def test_only_the_last_call_counts(shell: list[str], tmp_path: Path) -> None:
    earlier = (SWITCHES / "rust-2024.log").read_text()
    (tmp_path / "log").write_text(earlier + (SWITCHES / "rust-2026-users.log").read_text())
    # What was kept of it in time is of the earlier one, too.
    (tmp_path / "log.reasons").write_text(earlier)
    assert run(shell, tmp_path, "said").splitlines() == [*SAID["rust-2026-users"], "form known"]


@every_shell
def test_noise_pushes_no_reason_out(shell: list[str], tmp_path: Path) -> None:
    """A megabyte of any bytes behind the activation script that failed; and the reader dies in the middle."""
    text = r"""
open_log log
echo "--- switch-to-configuration test of /nix/store/x" >&7
printf 'activating the configuration...\nActivation script snippet %ssecrets%s failed (1)\n' "'" "'" >&7
i=0
noise="chown: changing ownership of '/var/lib/x': Operation not permitted$(printf '%0180d' 0)"
while [ "$i" -lt 4000 ]; do i=$((i + 1)); printf '%s \377\376 %s\n' "$noise" "$i"; done >&7
printf 'restarting sysinit-reactivation.target\nwarning: the following units failed: may.service\n' >&7
log_line "it exited 4" || echo "never seen"
said
[ -e "$log_file.whole" ] && echo whole
log_for_people >"$dir/people"
kill "$log_reader"
sleep 0.1
log_line "once more"
[ -e "$log_file.whole" ] || echo "not known to be whole"
kill "$log_reader"
"""
    expected = [
        "activation Activation script snippet 'secrets' failed (1)",
        "unit may.service",
        "form known",
        "whole",
        "not known to be whole",
    ]
    assert run(shell, tmp_path, text).splitlines() == expected
    assert (tmp_path / "log").stat().st_size < 600_000
    shown = (tmp_path / "people").read_bytes().decode(errors="replace").splitlines()
    assert shown[:2] == ["Activation script snippet 'secrets' failed (1)", "…"]
    assert len(shown) == 42


@every_shell
def test_marks_have_lines_of_their_own(shell: list[str], tmp_path: Path) -> None:
    """Else one call would be taken for a part of another, and a log for one that somebody prints to without end."""
    program = tmp_path / "system/bin/switch-to-configuration"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\n[ $1 = check ] && printf '\\nPre-switch check of quota: ok' && exit\n"
        "printf 'activating the configuration...\\nrestarting sysinit-reactivation.target\\n'\n"
        "printf 'warning: the following units failed: a.service\\n\\n\\nno end'\nexit 4\n"
    )
    program.chmod(0o755)
    text = """
reap() { kill "$log_reader"; }
open_log log
switch_to 9 "$new_live" check : && switch_to 9 "$new_live" test :
said
[ ! -e "$log_file.whole" ] || echo whole
log_end
kill "$log_reader"
"""
    *said, end = run(shell, tmp_path, text, "lib/activation").splitlines()
    assert end.startswith("--- exited 4 [")
    assert said == [
        *("unit a.service", "form known", "whole"),
        *(f"--- switch-to-configuration check of {tmp_path}/system", "", "Pre-switch check of quota: ok"),
        *(f"--- switch-to-configuration test of {tmp_path}/system", "activating the configuration..."),
        *("restarting sysinit-reactivation.target", "warning: the following units failed: a.service", "", "", "no end"),
    ]


PERL = "#! /nix/store/x-perl/bin/perl\n"
RUST = "#!/bin/sh\nexport TOPLEVEL=/nix/store/x\n"


def failed(
    shell: list[str],
    directory: Path,
    form: str,
    switch: str = RUST,
    activate: str = "exit 0",
    whole: bool = True,
    more: str = "",
) -> tuple[bool, str]:
    """Whether the activation has failed after an exit 4, and what is said of that."""
    if form:
        shutil.copy(SWITCHES / f"{form}.log", directory / "log")
    if whole:
        (directory / "log.whole").touch()
    for name, text in {"bin/switch-to-configuration": switch, "activate": f"#!/bin/sh\n{activate}\n"}.items():
        file = directory / "system" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    text = f"{more}\nexec 7>>{directory}/log 2>{directory}/errors; log_reader=; log_marks=0; reap() {{ left=; }}\n"
    text += "hear; clock\n"
    text += (
        'if activation_failed $((uptime + 30)) ${look:-:}; then echo "failed$activation_failure"; else echo passed; fi'
    )
    result = run(shell, directory, text, "lib/activation").strip()
    return result.startswith("failed"), result.partition(": ")[2]


@every_shell
@pytest.mark.parametrize(
    ("form", "switch", "activate", "expected"),
    [
        ("perl-2020", PERL, "exit 0", True),
        ("rust-2024", RUST, "exit 0", True),
        ("perl-2020-manager", PERL, "exit 0", True),
        # It says so whenever that is so.
        ("rust-2026-users", RUST, "exit 1", False),
        # Nothing is said of one that was killed; so it is asked itself.
        ("perl-2020-killed", PERL, "exit 1", True),
        ("perl-2020-killed", PERL, "kill -9 $$", True),
        ("perl-2020-killed", PERL, "sleep 20", True),
        ("perl-2020-killed", PERL, 'echo "$1 $NIXOS_ACTION" >${0%/*}/ran', False),
        # A program that runs another system's has no form.
        ("perl-2020-killed", "#!/bin/sh\nexec /nix/store/x/bin/switch-to-configuration\n", "exit 1", True),
    ],
)
def test_an_activation_that_failed_with_a_unit(
    shell: list[str], tmp_path: Path, form: str, switch: str, activate: str, expected: bool
) -> None:
    """Both set their exit code, and the unit's is the one that is seen."""
    more = 'limited() { shift; timeout -k 1 2 "$@"; status=$?; return $status; }' if "sleep" in activate else ""
    found, said = failed(shell, tmp_path, form, switch, activate, more=more)
    assert (found, bool(said)) == (expected, expected)
    if "ran" in activate:
        assert (tmp_path / "system/ran").read_text() == f"{tmp_path}/system test\n"


@every_shell
def test_where_something_of_it_is_lost_the_activation_is_asked_itself(shell: list[str], tmp_path: Path) -> None:
    assert failed(shell, tmp_path, "rust-2026-users", RUST, "exit 1", whole=False)[0]


@every_shell
@pytest.mark.parametrize("lock", [True, False], ids=["lock", "no lock"])
def test_nobody_else_switches_while_the_activation_is_run_once_more(
    shell: list[str], tmp_path: Path, lock: bool
) -> None:
    """Their lock is held, though by nothing that the script leaves behind; releases before there was one go without."""
    (tmp_path / "nixos").mkdir()
    file = tmp_path / "nixos/switch-to-configuration.lock"
    if lock:
        file.touch()
    activate = f"sleep 9 >/dev/null 2>&1 &\nif flock -n {file} true; then echo free; else echo held; fi >{tmp_path}/was"
    assert not failed(shell, tmp_path, "perl-2020-killed", PERL, activate)[0]
    assert (tmp_path / "was").read_text() == ("held\n" if lock else "free\n")
    subprocess.run(["flock", "-n", file, "true"], check=True)


@every_shell
@pytest.mark.parametrize(
    ("more", "ran", "why"),
    [
        # They switch nothing in the end.
        ('pause() { kill "$holder"; wait "$holder"; }', True, ""),
        (
            "pause() { looks=1; }",
            False,
            "activate could not be run once more, since somebody else has switched the host",
        ),
        (
            "clock() { uptime=0; }; pause() { clock() { uptime=30; }; }",
            False,
            "activate could not be run once more, since somebody else switches the host",
        ),
    ],
    ids=["let go", "switched", "without end"],
)
def test_somebody_else_has_the_lock_when_the_activation_is_to_be_run_once_more(
    shell: list[str], tmp_path: Path, more: str, ran: bool, why: str
) -> None:
    (tmp_path / "nixos").mkdir()
    lock = tmp_path / "nixos/switch-to-configuration.lock"
    lock.touch()
    # It ends with its shell, whatever becomes of that.
    more += f"""
flock -o {lock} sleep 20 >/dev/null 2>&1 &
holder=$!
trap 'kill "$holder" 2>/dev/null' EXIT
while flock -n {lock} true; do sleep 0.05; done
look=is_ours looks=0
is_ours() {{ [ "$looks" = 0 ]; }}
"""
    activate = f"touch {tmp_path}/ran"
    assert failed(shell, tmp_path, "perl-2020-killed", PERL, activate, more=more) == (bool(why), why)
    assert (tmp_path / "ran").exists() == ran


@every_shell
def test_systemd_that_does_not_read_its_units(shell: list[str], tmp_path: Path) -> None:
    """The Perl form hides that, too."""
    said = failed(shell, tmp_path, "perl-2020-killed", PERL, more="sc() { return 1; }")
    assert said == (True, "systemd could not read the units of the new system")


@every_shell
def test_tmpfiles_that_fail(shell: list[str], tmp_path: Path) -> None:
    tool = tmp_path / "system/systemd/bin/systemd-tmpfiles"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\nexit 73\n")
    tool.chmod(0o755)
    assert failed(shell, tmp_path, "perl-2020-killed", PERL) == (True, "systemd-tmpfiles exited 73")


@every_shell
@pytest.mark.parametrize(
    "noise",
    [
        "setting up tmpfiles\n",
        "restarting systemd...\n",
        "restarting the following units: its-own.service\n",
        "warning: the following units failed: its-own.service\n",
        "reloading user units for nobody...\n",
        "\0",
        "decrypting secrets... ",
        "\033[31mno key\033[0m",
        "setting up tmpfiles\ndecrypting secrets... ",
    ],
)
def test_an_activation_script_that_says_what_a_later_step_does(shell: list[str], tmp_path: Path, noise: str) -> None:
    """Whatever it prints, that it failed is seen, also in what is kept where much comes behind it."""
    (tmp_path / "log").write_text(
        "--- switch-to-configuration test of /nix/store/x\nactivating the configuration...\n"
        f"{noise}Failed to run activate script\n"
        "restarting sysinit-reactivation.target\nwarning: the following units failed: may.service\n"
    )
    (tmp_path / "log.whole").touch()
    expected = "activation Failed to run activate script"
    assert expected in run(shell, tmp_path, "said").splitlines()
    run(shell, tmp_path, 'mv "$log_file" "$log_file.before"; : >"$log_file"; keep_reasons; rm "$log_file.before"')
    assert expected in run(shell, tmp_path, "said").splitlines()


@every_shell
@pytest.mark.parametrize(("switch", "expected"), [(RUST, False), (PERL, True)], ids=["rust", "perl"])
def test_a_snippet_that_puts_up_with_what_systemctl_says(
    shell: list[str], tmp_path: Path, switch: str, expected: bool
) -> None:
    """The Perl form itself lets systemctl say that, so nobody can tell."""
    (tmp_path / "log").write_text(
        "--- switch-to-configuration test of /nix/store/x\nactivating the configuration...\n"
        "Failed to reload daemon: Connection timed out\nrestarting sysinit-reactivation.target\n"
        "warning: the following units failed: may.service\n"
    )
    assert failed(shell, tmp_path, "", switch)[0] == expected


@every_shell
def test_units_that_failed_in_the_words_of_another_program(shell: list[str], tmp_path: Path) -> None:
    """They are not the end of what is said, nor do they hide what is said at the end."""
    (tmp_path / "log").write_text(
        "--- switch-to-configuration test of /nix/store/x\nactivating the configuration...\n"
        "warning: the following units failed: its-own.service\nActivation script snippet 'a' failed (1)\n"
        "restarting sysinit-reactivation.target\nFailed to start late.service\n"
        "warning: the following units failed: may.service\nFailed to start nothing.service\n"
        "warning: the following units failed: last.service\n"
    )
    assert run(shell, tmp_path, "said").splitlines() == [
        "unit its-own.service",
        "activation Activation script snippet 'a' failed (1)",
        "unit late.service",
        "unit may.service",
        "unit last.service",
        "form known",
    ]


@every_shell
@pytest.mark.parametrize("lost", ["activating the configuration", "restarting sysinit-reactivation"])
def test_of_another_program_nothing_is_known(shell: list[str], tmp_path: Path, lost: str) -> None:
    """Its wrapper may be like the one of the Rust form, and yet it may say nothing of an activation that failed."""
    assert not failed(shell, tmp_path, "rust-2026-users", RUST, "exit 1")[0]
    text = (SWITCHES / "rust-2026-users.log").read_text()
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in text.splitlines() if lost not in line))
    assert failed(shell, tmp_path, "", RUST, "exit 1")[0]


@every_shell
def test_an_activation_that_is_run_once_more_has_the_time_that_is_left(shell: list[str], tmp_path: Path) -> None:
    more = 'clock() { uptime=9; }; logged() { echo "$1 s for ${2##*/}" >>"$dir/ran"; status=124; }'
    assert failed(shell, tmp_path, "perl-2020-killed", PERL, more=more) == (
        True,
        "activate, run once more, did not end within 30 s",
    )
    assert (tmp_path / "ran").read_text() == "30 s for activate\n"


ITS_USERS = "the units of users who are logged in failed while the system was activated: "


@every_shell
@pytest.mark.parametrize(
    ("named", "options", "now", "expected"),
    [
        # Not failed any more: one that loops is up again, one that could not be reloaded runs on.
        (["unit a.service"], "", "", "units failed while the system was activated: a.service."),
        (["unit a.service"], "ignore_units='a.*'", "", "well; a.service"),
        (
            ["unit a.service", "unit b.socket"],
            "ignore_units='a.*'",
            "",
            "units failed while the system was activated: b.socket.",
        ),
        # An ignored unit that has failed is no excuse for another one.
        (
            ["unit a.service", "unit b.service"],
            "ignore_units=a.service",
            "a.service",
            "units failed while the system was activated: b.service.",
        ),
        (["unit a.service"], "policy=no_new_failures", "", "well; a.service"),
        # A target fails with what it requires, also by another one.
        (["unit a.service", "unit re.target"], "ignore_units=a.service", "a.service", "well; a.service re.target"),
        (["unit re.target"], "", "a.service", "well; re.target"),
        ([r"unit b\x2dc.mount", "unit re.target"], r"ignore_units='b\x2dc.mount'", "", r"well; b\x2dc.mount re.target"),
        # Any other unit is no excuse for it, nor is a target alone, nor anything where systemd does not say.
        (
            ["unit z.service", "unit re.target"],
            "ignore_units=z.service",
            "z.service",
            "units failed while the system was activated: re.target.",
        ),
        (
            ["unit re.target", "unit mid.target"],
            "",
            "",
            "units failed while the system was activated: re.target mid.target.",
        ),
        (
            ["unit a.service", "unit re.target"],
            "ignore_units=a.service; sc() { return 124; }",
            "a.service",
            "units failed while the system was activated: re.target.",
        ),
        (["unit re.target"], "", "", "units failed while the system was activated: re.target."),
        # Users.
        (
            ["user alice", "user bob"],
            "",
            "",
            f"{ITS_USERS}alice bob.",
        ),
        (["user alice", "detail alice: no bus"], "", "", f"{ITS_USERS}alice (alice: no bus)."),
        (["user alice", "user bob"], "allow='no_ssh user_failures'", "", "well; the units of alice bob"),
        (
            ["user alice", "unit a.service"],
            "allow=user_failures",
            "",
            "units failed while the system was activated: a.service.",
        ),
        (
            ["user alice", "unit a.service"],
            "allow=user_failures ignore_units=a.service",
            "",
            "well; a.service, and the units of alice",
        ),
        # Nothing is named.
        ([], "", "", "units failed to start while the system was activated (exit 4), though none is failed now"),
        ([], "", "a.service", "well; units that switch-to-configuration does not name"),
        # The Rust form names what has failed; its 4 may be an error's own number.
        (
            [],
            "is_rust_form() { :; }",
            "a.service",
            "switch-to-configuration test exited 4, and named nothing that has failed",
        ),
        (["form known"], "", "a.service", "switch-to-configuration test exited 4, and named nothing that has failed"),
        # What names no unit, no unit excuses.
        (
            ["unit a.service", "other Failed to connect to bus: Connection refused"],
            "ignore_units=a.service",
            "a.service",
            "switch-to-configuration test exited 4, and not for a unit alone (Failed to connect to bus: Connection re",
        ),
        # Nor a target that was refused by itself; where it may fail, it may.
        (
            ["unit a.service", "unit re.target", "itself re.target"],
            "ignore_units=a.service",
            "a.service",
            "units failed while the system was activated: re.target.",
        ),
        (
            [r"unit a.service", r"unit r\x2de.target", r"itself r\x2de.target"],
            "ignore_units=a.service",
            "a.service",
            r"units failed while the system was activated: r\x2de.target.",
        ),
        (
            ["unit a.service", "unit re.target", "itself re.target"],
            "ignore_units='a.service\nre.*'",
            "a.service",
            "well; a.service re.target",
        ),
        # It ends well, and is started again: it was the same before.
        (["unit loop.service"], "", "", "well; loop.service"),
    ],
)
def test_what_failed_while_the_system_was_activated(
    shell: list[str], tmp_path: Path, named: list[str], options: str, now: str, expected: str
) -> None:
    files = {"failed.all": f"{now}\n" if now else ""}
    files |= {"log.whole": "", "failed-before": "a.service\n", "restarting": "loop.service forgiven\nb.service \n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    text = "what_was_said='" + "\n".join(named) + "'\n"
    # systemd itself says it like this.
    text += r"""
sc() {
    for word in "$@"; do
        case $word in
        re.target) printf '%s\n' 'also.service' '' 'mid.target' ;;
        mid.target) printf '%s\n' 'a.service "b\\x2dc.mount"' ;;
        esac
    done
}
"""
    text += (
        f'{options}\nif failures_are_forgiven; then echo "well; $forgiven_failures"; else echo "$code $complaint"; fi'
    )
    said = run(shell, tmp_path, text, "lib/activation").strip()
    assert said.removeprefix("units-failed ").startswith(expected.strip())
    assert said.startswith("units-failed ") == (not expected.startswith("well"))
    if "b.s" in expected:
        assert (tmp_path / "failed").read_text() in ("b.socket\n", "b.service\n")


@every_shell
@pytest.mark.parametrize("pipe", [True, False])
def test_without_a_pipe_nobody_sees_what_has_no_room(shell: list[str], tmp_path: Path, pipe: bool) -> None:
    text = ("" if pipe else "mkfifo() { return 1; }\n") + 'open_log log\n[ ! -e "$log_file.whole" ] || echo whole\n'
    text += 'echo x >&7; log_line y && said\n[ -z "$log_reader" ] || kill "$log_reader"'
    assert run(shell, tmp_path, text) == ("whole\n" if pipe else "")


@every_shell
def test_a_full_disk_forgives_nothing(shell: list[str], tmp_path: Path) -> None:
    """Some tools do not see that what they write has no room."""
    for name in ("said", "named", "forgiven", "blamed.all", "blamed", "failed"):
        (tmp_path / name).symlink_to("/dev/full")
    for name, text in {"log.whole": "", "failed.all": "", "failed-before": "", "restarting": ""}.items():
        (tmp_path / name).write_text(text)
    shutil.copy(SWITCHES / "rust-2024.log", tmp_path / "log")
    text = 'exec 2>"$dir/errors"\nhear && named activation\nfailures_are_forgiven || echo "$code"'
    assert run(shell, tmp_path, text, "lib/activation").splitlines()[1:] == [
        "activation Failed to run activate script".partition(" ")[2],
        "units-failed",
    ]


@every_shell
@pytest.mark.parametrize("cut", [0, 1, 20, 38])
def test_a_reason_that_is_cut_in_two(shell: list[str], tmp_path: Path, cut: int) -> None:
    """It begins in the file that is about to go, and ends in the one that follows it."""
    line = "Activation script snippet 'a' failed (1)\n"
    (tmp_path / "log.before").write_text("y\n" * 3000 + line[:cut])
    (tmp_path / "log").write_text(line[cut:] + "z\n" * 3000)
    run(shell, tmp_path, "keep_reasons")
    assert (tmp_path / "log.reasons").read_text() == line


@every_shell
def test_what_is_still_there_is_not_kept_twice(shell: list[str], tmp_path: Path) -> None:
    """Or what an activation script said would be taken for what comes behind it."""
    said = "activating the configuration...\nFailed to find a cache\nrestarting sysinit-reactivation.target\n"
    (tmp_path / "log").write_text(f"--- switch-to-configuration test of /x\n{said}" + "z\n" * 3000)
    run(shell, tmp_path, 'keep_reasons; mv "$log_file" "$log_file.before"; echo a >"$log_file"')
    assert run(shell, tmp_path, "said").splitlines() == ["form known"]
    run(shell, tmp_path, 'keep_reasons; mv "$log_file" "$log_file.before"; echo b >"$log_file"')
    assert run(shell, tmp_path, "said").splitlines() == ["form known"]


@every_shell
def test_little_noise_pushes_no_reason_out_either(shell: list[str], tmp_path: Path) -> None:
    """More than a report has room for, and less than a file."""
    (tmp_path / "log").write_text("Activation script snippet 'a' failed (1)\n" + "noise\n" * 100)
    assert run(shell, tmp_path, "log_for_people").splitlines() == [
        "Activation script snippet 'a' failed (1)",
        "…",
        *["noise"] * 40,
    ]


@every_shell
def test_what_a_snippet_has_put_up_with_pushes_it_not_out(shell: list[str], tmp_path: Path) -> None:
    """There is room for ten of them before the end, and for one error in a message: the one with which it ended."""
    (tmp_path / "log").write_text(
        "--- switch-to-configuration test of /nix/store/x\nactivating the configuration...\nError: cache miss\n"
        + "".join(f"Failed to decrypt secret {number}\n" for number in range(12))
        + "Error: no cache\nActivation script snippet 'a' failed (1)\nFailed to run activate script\n"
        + "noise\n" * 100
        + "Error: Failed to reset failed units\n"
    )
    shown = run(shell, tmp_path, "log_for_people").splitlines()
    assert shown[:4] == [
        "Activation script snippet 'a' failed (1)",
        "Failed to run activate script",
        "Error: cache miss",
        "Failed to decrypt secret 0",
    ]
    assert shown.index("…") == 10
    reason = ": Activation script snippet 'a' failed (1); Failed to reset failed units"
    assert run(shell, tmp_path, "because") == reason


@every_shell
@pytest.mark.parametrize(("turns", "whole"), [(1, True), (99, False)], ids=["once", "without end"])
def test_files_that_take_turns_while_they_are_read(shell: list[str], tmp_path: Path, turns: int, whole: bool) -> None:
    """What is read from the middle of that does not count."""
    (tmp_path / "log").write_text("--- switch-to-configuration test of /x\n")
    (tmp_path / "log.whole").touch()
    (tmp_path / "turned").touch()
    unit = "activating the configuration...\nsetting up tmpfiles\nwarning: the following units failed: a.service\n"
    (tmp_path / "next").write_text(unit)
    text = f"""
whole_log() {{
    cat "$log_file"
    [ "$(wc -l <"$dir/turned")" -ge {turns} ] || {{
        echo >>"$dir/turned"
        mv "$log_file" "$log_file.before"
        cat "$log_file.before" "$dir/next" >"$log_file"
    }}
}}
said
[ ! -e "$log_file.whole" ] || echo whole
"""
    assert run(shell, tmp_path, text).splitlines() == ["unit a.service", "form known", *(["whole"] if whole else [])]
