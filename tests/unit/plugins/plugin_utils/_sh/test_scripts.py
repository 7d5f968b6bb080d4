# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts for the host, in the shells that a host may have."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import answer, connection, scripts
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import (
    assignments,
    join,
    program,
)

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
_FOLDER = Path(scripts.__file__).parents[1] / "_sh"
_EVERY = sorted(str(path.relative_to(_FOLDER).with_suffix("")) for path in _FOLDER.glob("*/*.sh"))
SCRIPTS = [name for name in _EVERY if not name.startswith("profile/")]
KINDS = [name.partition("_")[2] for name in _EVERY if name.startswith("profile/kind_")]
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40)


def run(shell: list[str], script: str, cwd: Path | None = None) -> str:
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    done = subprocess.run([*shell, "-s"], input=script.encode(), capture_output=True, check=True, timeout=30, cwd=cwd)
    return done.stdout.decode()


@every_shell
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_understood(shell: list[str], name: str) -> None:
    subprocess.run([*shell, "-n"], input=join(name).encode(), check=True, timeout=30)


@every_shell
@pytest.mark.parametrize("kind", KINDS)
def test_every_script_for_a_profile_is_understood(shell: list[str], kind: str) -> None:
    for name in ("unit/deployment", "command/start", "command/profile"):
        assert "/run/current-system)" not in join(name, kind)
        subprocess.run([*shell, "-n"], input=join(name, kind).encode(), check=True, timeout=30)


def test_every_unit_has_a_description() -> None:
    """Else systemd takes its command line as one, and writes that to the journal: it may hold a login or a token."""
    begun = []
    for file in sorted(_FOLDER.glob("*/*.sh")):
        lines = [line for line in file.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
        commands = "\n".join(lines).replace("\\\n", " ").splitlines()
        begun += [(file.name, line) for line in commands if re.search(r"\b(systemd-run --|nix_unit [^(])", line)]
    assert len(begun) >= 10
    # What it is given has one.
    assert [name for name, line in begun if "--description=" not in line] == ["nix_unit.sh"]


def test_comments_and_indentation_stay_here() -> None:
    """Only whole lines: whoever looks for the beginning of one within a line has to know quoting."""
    text = scripts.join("command/build")
    assert not any(line.startswith("#") or line != line.strip() or not line for line in text.splitlines())
    assert "\nbuild=$run_dir/build-$name\n" in text


def test_a_command_takes_what_it_declares_and_nothing_else() -> None:
    inputs = {"id": "1", "known": "", "awaited": "", "patience": "1", "quiet": "1", "reason": "it's late"}
    text = scripts.command("revoke", inputs)
    assert "\nreason='it'\"'\"'s late'\n" in text
    assert text.endswith("\nmain </dev/null\nexit\n")
    with pytest.raises(TypeError, match="command/revoke is not given awaited reason"):
        scripts.command("revoke", {name: value for name, value in inputs.items() if name not in ("awaited", "reason")})
    with pytest.raises(TypeError, match="command/revoke is given raeson, which it does not declare"):
        scripts.command("revoke", {**inputs, "raeson": ""})


def test_what_a_command_takes_may_hang_on_what_it_is_given() -> None:
    scripts.command("copy_receive", {"path": "/nix/store/a", "nar_size": "1", "packed": "no"})
    build = dict.fromkeys(name for name, where in scripts.inputs("command/build").items() if where is None)
    texts = build.keys() - scripts.head("command/build").programs.keys()
    given: dict[str, scripts.Input] = {**dict.fromkeys(texts, ""), "nix_arguments": ("build", "it's")}
    assert scripts.as_text("build", {**given, "look": "no"})["nix_arguments"] == shlex.join(("build", "it's"))
    with pytest.raises(TypeError, match="is given nix_arguments as str"):
        scripts.command("build", {**given, "look": "no", "nix_arguments": "build"})
    with pytest.raises(TypeError, match="is not given allow mode over_ssh specialisation"):
        scripts.command("build", {**given, "look": "yes"})
    with pytest.raises(TypeError, match="is given mode, which"):
        scripts.command("build", {**given, "look": "no", "mode": "test"})
    with pytest.raises(TypeError, match="is not given packed path"):
        scripts.command("build", {**given, "look": "no", "nar_size": "1"})


@every_shell
def test_the_program_is_understood_and_acts_only_at_its_end(shell: list[str]) -> None:
    subprocess.run([*shell, "-n"], input=program("deployment").encode(), check=True, timeout=30)
    assert program("deployment").rstrip().endswith('main "$@"\nexit')


@every_shell
@settings(max_examples=25, deadline=None)
@given(value=TEXT)
def test_values_come_through_a_shell_as_they_are(shell: list[str], value: str) -> None:
    script = f'{assignments({"value": value})}\n{join("lib/quote")}\nprintf %s "$value"; quoted=$(quote "$value")\n'
    script += 'eval "again=$quoted"; printf "|%s" "$again"'
    first, _bar, second = run(shell, script).partition("|" if "|" not in value else "\1")
    if "|" not in value:
        assert first == value
        assert second == value


def as_in_json(value: bytes) -> str:
    """What JSON is to have of it: no control characters, and nothing that Python does not take for UTF-8."""
    left = bytes(one for one in value if one in b"\n\t" or (one >= 0x20 and one != 0x7F))
    return "".join(letter for letter in left.decode("utf-8", "ignore") if not "\x80" <= letter <= "\x9f")


@every_shell
@settings(max_examples=25, deadline=None)
@given(value=TEXT)
def test_json_is_json(shell: list[str], value: str) -> None:
    out = run(shell, f'{assignments({"value": value})}\n{join("lib/base")}\n{join("lib/json")}\njson "$value"')
    assert json.loads(out) == as_in_json(value.encode()).rstrip("\n")


# What is nearly UTF-8: lead bytes, and what may come after them; and what JSON has another word for.
BYTES = st.lists(
    st.sampled_from([*(bytes([one]) for one in range(0x80, 0x100)), b"a", b"\\", b'"', b"\t", b"\n", b"\0"])
)
NEARLY = st.one_of(st.binary(max_size=200), BYTES.map(b"".join), TEXT.map(lambda text: text.encode()[1:-1]))


@pytest.mark.parametrize("tools", ["", "busybox"])
@every_shell
def test_json_is_utf8_whatever_bytes_come(
    shell: list[str], tools: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the tools of busybox as well. A great deal at once, since each run takes a process or four."""
    directory = tmp_path_factory.mktemp("json")
    script = f"{join('lib/base')}\n{join('lib/json')}\n"
    if tools:
        subprocess.run([tools, "--install", "-s", directory], check=True)
        script += f"PATH='{directory}'\n"

    @settings(max_examples=8, deadline=None)
    @given(values=st.lists(NEARLY, min_size=20, max_size=20))
    def each(values: list[bytes]) -> None:
        for number, value in enumerate(values):
            (directory / f"value{number}").write_bytes(value)
        say = "\n".join(f"json_text <'{directory}/value{number}'; echo" for number in range(len(values)))
        said = subprocess.run(
            [*shell, "-s"], input=(script + say).encode(), capture_output=True, check=True, timeout=60
        )
        found = [json.loads(line) for line in said.stdout.decode().splitlines()]
        assert found == [as_in_json(value).removesuffix("\n") for value in values]

    each()


@pytest.mark.parametrize("tools", ["", "busybox"])
@every_shell
def test_long_texts_take_no_time(shell: list[str], tools: str, tmp_path: Path) -> None:
    """A log has at most a few hundred kB, and may be one line."""
    script = f"{join('lib/base')}\n{join('lib/json')}\n"
    if tools:
        (tmp_path / "bin").mkdir()
        subprocess.run([tools, "--install", "-s", tmp_path / "bin"], check=True)
        script += f"PATH='{tmp_path}/bin'\n"
    some = random.Random(1)
    for number, value in enumerate(
        (some.randbytes(300_000).replace(b"\n", b""), "€".encode() * 99_999, b"\xbf" * 300_000)
    ):
        (tmp_path / f"{number}").write_bytes(value)
        began = time.monotonic()
        out = run(shell, f"{script}json_text <'{tmp_path}/{number}'")
        assert time.monotonic() - began < 30
        assert json.loads(out) == as_in_json(value)


@every_shell
def test_an_answer_begins_as_the_controller_looks_for_it(shell: list[str]) -> None:
    """By this the controller tells what may be run a second time: the two ends must have one word for it."""
    begins = f"{join('lib/base')}\nanswer_begin\nanswer name value\n"
    done = subprocess.run([*shell, "-s"], input=begins, capture_output=True, check=True, timeout=30, text=True)
    assert done.stderr.splitlines() == [connection.BEGUN]
    assert done.stdout.startswith(answer.MARKER)
    assert answer.Answer.parse(done.stdout).get("name") == "value"


@every_shell
def test_roots_that_nothing_came_of_are_dropped(shell: list[str], tmp_path: Path) -> None:
    drop = f"{join('lib/roots')}\nroots={tmp_path}/roots\nmkdir -p $roots\n"
    drop += "for name in deployment-1-new a-source b-system; do ln -s /nowhere $roots/$name; done\n"
    run(shell, f"{drop}drop_root /nix/store/a-source\ndrop_root ''")
    assert sorted(path.name for path in (tmp_path / "roots").iterdir()) == ["b-system", "deployment-1-new"]
    run(shell, f"{drop.replace('ln -s', 'ln -sfn')}drop_all_roots || :")
    assert [path.name for path in (tmp_path / "roots").iterdir()] == ["deployment-1-new"]
    run(shell, f"{drop.replace('ln -s', 'ln -sfn')}rm $roots/deployment-*\ndrop_all_roots")
    assert not (tmp_path / "roots").exists()


@every_shell
def test_ignored_units_are_patterns(shell: list[str]) -> None:
    script = f"ignore_units='backup-*.service\na?.timer\nsrv-a\\x2db.mount'\n{join('lib/health')}\nnot_ignored"
    script += " <<'END'\nbackup-1.service\nab.timer\nabc.timer\nweb.service\nsrv-a\\x2db.mount\nEND\n"
    assert run(shell, script).split() == ["abc.timer", "web.service"]


@every_shell
def test_no_answer_is_no_empty_list(shell: list[str], tmp_path: Path) -> None:
    """systemd may hang for longer than its limit: then it is not known which units have failed."""
    script = f"{join('lib/directory')}\n{join('lib/health')}\nsc() {{ return 124; }}\ndir=.\n"
    script += 'failed_units || echo unknown; wanted_units active || echo unknown; healthy 0 || echo "$code"\n'
    script += "sc() { printf '%s loaded\\n' 'a\\x2db.mount' deploy-flake.service '  *.service'; }\nfailed_units\n"
    script += "sc() { :; }\nfailed_units && echo none\n"
    # While it is executed anew it refuses connections.
    script += 'sc() { [ -e asked ] && echo "c.service loaded" || { : >asked && return 1; }; }\nfailed_units'
    said = run(shell, script, tmp_path).splitlines()
    assert said[:2] == ["unknown", "unknown"]
    assert said[2:] == ["no-answer-from-systemd", "a\\x2db.mount", "*.service", "none", "c.service"]


@every_shell
def test_window_that_was_extended(shell: list[str], tmp_path: Path) -> None:
    """What is left of it is told with what a fleet that is ready adds to it; and nothing where nothing waits."""
    script = f"known= awaited=window quiet=0 patience=0 id=x\n{join('lib/deployment_state')}\n"
    script += 'dir=. state=window\nanswer() { echo "$1 $2"; }\nclock() { uptime=100; }\ntell_state\n'
    script += "echo 130 >window; tell_state; echo 60 >extended; tell_state; echo 20 >window; tell_state\n"
    said = run(shell, script, tmp_path).splitlines()
    assert [line for line in said if line.startswith("window")] == [
        "window_left 30",
        "window_left 90",
        "window_left -20",
    ]


@pytest.mark.parametrize("tools", ["", "busybox"])
@every_shell
def test_waiting_for_a_line_ends_with_it(shell: list[str], tools: str, tmp_path: Path) -> None:
    """With the tools of busybox as well."""
    functions = join("lib/wait_for_line")
    if tools:
        (tmp_path / "bin").mkdir()
        subprocess.run([tools, "--install", "-s", tmp_path / "bin"], check=True)
        functions += f"\nPATH='{tmp_path}/bin'"
    lines = tmp_path / "lines"
    lines.write_text("first\n", encoding="utf-8")

    def ask(seconds: int) -> str:
        wait = f"wait_for_line {seconds} '{lines}' second third"
        return run(shell, f"{functions}\nif {wait}; then echo found; else echo nothing; fi")

    began = time.monotonic()
    assert run(shell, f"{functions}\nwait_for_line 20 '{lines}' first && echo found") == "found\n"
    writer = threading.Timer(0.5, lambda: lines.write_text("first\nthird\n", encoding="utf-8"))
    writer.start()
    assert ask(20) == "found\n"
    assert time.monotonic() - began < 15
    lines.write_text("first\nthirdly\nso second\n", encoding="utf-8")
    # In whole seconds, of which the first may be over at once.
    assert ask(2) == "nothing\n"
    assert time.monotonic() - began > 1.5
    lines.unlink()
    assert ask(20) == "nothing\n"


@every_shell
def test_units_are_not_forgotten_while_systemd_starts_again(shell: list[str], tmp_path: Path) -> None:
    """Only a unit that systemd says is not there any more need not be active after a way back."""
    script = f"{join('lib/undo')}\ndir=.\n"
    script += "echo hello.service >active; : >failed-before; : >invocations; : >invocations-new\n"
    script += 'look() { units_are_as_before && echo as before || echo "$complaint"; mend_units; cat active; }\n'
    script += "sc() { return 124; }\nlook\n"
    script += "sc() { case $1 in show) return 1 ;; esac; }\nlook\n"
    script += "sc() { case $1 in show) echo loaded ;; start) echo starts ;; esac; }\nlook\n"
    script += "sc() { case $1 in show) echo not-found ;; esac; }\nlook\nlook"
    assert run(shell, script, tmp_path).splitlines() == [
        *("systemd does not answer", "hello.service"),
        *("nobody could look which units are as before", "hello.service"),
        *("units are not as before: hello.service ", "starts", "hello.service"),
        "units are not as before: hello.service ",
        "as before",
    ]


@every_shell
def test_last_resort_is_a_reboot_only_where_it_may_help(shell: list[str], tmp_path: Path) -> None:
    """By itself where the way in is lost, and that is known; never where something else would be booted."""
    script = f"{join('lib/ways_back')}\ndir=. boot=kept previous_boot=/old previous_live=/old new_live=/new\n"
    script += "commit_limit=1 over_ssh=yes id=1 var_dir=.\nlive_is_ours() { :; }\n"
    script += "sync_boot_side() { :; }\nloader_names() { :; }\nboot_is_theirs() { return 1; }\n"
    script += "note() { :; }\nactive=sshd.service\n: >invocations\n: >invocations-new\n"
    script += (
        'sc() { case $1 in reboot) echo reboots ;; list-units) [ -n "$active" ] && echo "$active loaded" ;; esac; }\n'
    )
    script += "units_in() { sc list-units; }\nask() { (reboot_as_last_resort); echo; }\necho sshd.service >active\n"
    cases = {
        "never, and nobody gets in": "last_resort_reboot=never active=a.service",
        "auto, and somebody gets in": "last_resort_reboot=auto active=ssh.socket",
        "auto, and nobody gets in": "active=a.service",
        "auto, and systemd does not answer": "active=",
        "auto, and the host was deployed in another way": "active=a.service over_ssh=no",
        "auto, and something else would be booted": "over_ssh=yes previous_boot=/other",
        "always, and something else would be booted": "last_resort_reboot=always",
        "always, and somebody gets in": "previous_boot=/old active=sshd.service",
        "auto, and there was no ssh unit before": "last_resort_reboot=auto active=a.service; echo b.service >active",
    }
    text = run(
        shell, script + "".join(f"{change}\nprintf '%s: ' '{name}'\nask\n" for name, change in cases.items()), tmp_path
    )
    reboots = {line.split(": ")[0] for line in text.splitlines() if line.endswith("reboots")}
    assert reboots == {"auto, and nobody gets in", "always, and somebody gets in"}


# An undo for each list of how long its rounds take, of which the last one is killed, or finds that nothing helps.
ROUNDS = """
dir=. rollback_limit=100 now=1000
clock() { uptime=$now; }
prune_lists() { :; }
reboot_as_last_resort() { echo reboots; }
try_ways() {
    local time
    way=none
    time_for 100
    echo "$rounds: $time"
    read -r now <now
    echo $((now + ${rounds_take%% *})) >now
    read -r now <now
    case $rounds_take in
    *" "*) rounds_take=${rounds_take#* } ;;
    *) exit ;;
    esac
    return 1
}
undo() { rounds_take=$*; (go_back); }
echo $now >now
"""


@every_shell
@pytest.mark.parametrize(
    ("undoes", "expected"),
    [
        (("1 1 1 1 1",), "1: 100, 2: 100, 3: 100, 4: 100, reboots"),
        # The first two are killed. Whoever comes after the last round tries once.
        (("1", "1", "1 1 1"), "1: 100, 2: 100, 3: 100, 4: 100, reboots"),
        (("1", "1 1 1 1", "1 1", "1 1"), "1: 100, 2: 100, 3: 100, 4: 100, reboots, 5: 100, reboots, 6: 100, reboots"),
        # There are 420 s, and half a minute for what nothing hinders.
        (("150 210 70 1",), "1: 100, 2: 100, 3: 60, reboots"),
        (("150", "210", "70", "1 1"), "1: 100, 2: 100, 3: 60, 4: 30, reboots"),
        (("5000", "1 1"), "1: 100, 2: 30, reboots"),
    ],
    ids=["whole", "killed", "killed-often", "hangs", "hangs-and-killed", "late"],
)
def test_rounds_and_their_time_outlast_a_kill(
    shell: list[str], tmp_path: Path, undoes: tuple[str, ...], expected: str
) -> None:
    """An undo that is begun again has no more rounds than the first one, nor more time; but it tries each way once."""
    script = f"{join('lib/ways_back')}\n{ROUNDS}"
    script += "".join(f"undo {rounds}\nread -r now <now\n" for rounds in undoes)
    assert ", ".join(run(shell, script, tmp_path).splitlines()) == expected


@every_shell
def test_what_is_limited_ends_with_all_of_it(shell: list[str]) -> None:
    """Where there is less time left than a command may take by itself; and never less than half a minute."""
    script = f"{join('lib/process')}\nclock() {{ uptime=100; }}\ntimeout() {{ echo $3; }}\n"
    script += "for all_until in '' 1000 170 110 50; do limited 90 true; limited 20 true; done"
    assert run(shell, script).split() == ["90", "20", "90", "20", "70", "20", "30", "20", "30", "20"]


@every_shell
def test_way_by_hand_ends_where_systemd_does_not_answer(shell: list[str], tmp_path: Path) -> None:
    """With many units, each would be waited for."""
    script = f"{join('lib/ways_back')}\ndir=. rollback_limit=60 previous_live=/old now=0 all_until=1000\n"
    script += "clock() { uptime=$now; }\nsc() { now=$((now + 30)); [ $1 != start ] || echo $4; return 124; }\n"
    script += "live_is_ours() { :; }\nstop_new_units() { :; }\nread_previous_units() { :; }\nlogged() { status=0; }\n"
    script += "for unit in $(seq 50); do echo $unit.service; done >active\necho sshd.service >>active\nway_by_hand"
    assert run(shell, script, tmp_path).split() == ["sshd.service"]


@every_shell
def test_last_resort_where_the_boot_default_wraps_what_ran(shell: list[str], tmp_path: Path) -> None:
    """Its init is that of the system inside; another system's is not."""
    for system in ("ran", "other", "joined", "wrong"):
        (tmp_path / system).mkdir()
    for system in ("ran", "other"):
        (tmp_path / system / "init").touch()
    (tmp_path / "joined/init").symlink_to("../ran/init")
    (tmp_path / "wrong/init").symlink_to("../other/init")
    script = f"{join('lib/ways_back')}\nprevious_live={tmp_path}/ran\n"
    script += "for each in ran joined wrong other nowhere; do\n"
    script += f"previous_boot={tmp_path}/$each\n! boots_what_ran || echo $each\ndone"
    assert run(shell, script, tmp_path).split() == ["ran", "joined"]


@every_shell
def test_soft_reboot_that_nobody_knows_of_is_no_shutdown(shell: list[str], tmp_path: Path) -> None:
    """systemd says yes, no, or nothing; the deployment ends for good only after a no."""
    script = f"{join('lib/undo')}\ndir=. phase=window mode=test facts=yes cgroup=/x previous_live=/old\n"
    script += "sleep() { :; }\nclock() { uptime=$((${uptime:-0} + 30)); }\n"
    script += "end_at_shutdown() { echo ended; }\nmachine_stopping() { :; }\nboot_side_back() { boot=kept; }\n"
    script += "prune_lists() { :; }\nwait_for_jobs() { :; }\nlive_is_ours() { :; }\nend_new_automounts() { :; }\n"
    script += "leave_emergency() { :; }\nway_test() { switch_status=0; }\nverify_previous() { return 1; }\n"
    script += "for answer in 'echo 1 soft-reboot.target start waiting' : 'return 1' 'return 124'; do\n"
    script += 'eval "sc() { $answer; }"\ntry_ways\necho "$way"\nends_in_a_boot && echo boot || echo unsure\ndone'
    assert run(shell, script, tmp_path).split() == [
        *("soft-reboot", "unsure"),
        *("shutdown", "boot"),
        *("soft-reboot", "unsure"),
        *("soft-reboot", "unsure"),
    ]


@every_shell
def test_a_kernel_that_was_built_again(shell: list[str], tmp_path: Path) -> None:
    """Its version says nothing of it, and the host needs a reboot for it all the same."""
    for system, version, file in (("a", "6.12", "x"), ("b", "6.12", "y"), ("c", "6.13", "z"), ("d", "6.12", "x")):
        (tmp_path / system / "kernel-modules/lib/modules" / version).mkdir(parents=True)
        (tmp_path / system / "kernel").symlink_to(f"/{file}")
    script = f'{join("lib/differences")}\nanswer() {{ echo "$2"; }}\nfor new in b c d; do kernels a $new; done'
    assert run(shell, script, tmp_path).splitlines() == ["6.12", "6.12, built again", "6.12", "6.13", "6.12", "6.12"]


@every_shell
def test_highest_generation(shell: list[str], tmp_path: Path) -> None:
    for name in ("system-9-link", "system-10-link", "system-x-link", "system"):
        (tmp_path / name).symlink_to("/nowhere")
    script = f"{join('lib/highest_generation')}\nprofile={tmp_path}/system\nhighest_generation"
    assert run(shell, script).strip() == "10"


@pytest.mark.parametrize("tools", ["", "busybox"])
@pytest.mark.parametrize(
    ("seconds", "command", "said"),
    [
        (1, "sleep 9", "did not end within 1 s"),
        (9, "exit 3", "exited 3"),
        # As the kernel does where memory is short; and as somebody may.
        (9, "kill -KILL $$", "was killed (status 137; out of memory?)"),
        (9, "kill -TERM $$", "was told to end by somebody (status 143)"),
    ],
)
@every_shell
def test_limits_are_told_from_failures_and_kills(
    shell: list[str], seconds: int, command: str, said: str, tools: str, tmp_path: Path
) -> None:
    script = f"{join('lib/switch')}\nuptime=kept\n"
    if tools:
        subprocess.run([tools, "--install", "-s", tmp_path], check=True)
        script += f"PATH='{tmp_path}'\n"
    script += f"limited {seconds} sh -c '{command}'\nended=$?\n"
    script += f'[ "$ended" = "$status" ] && ended "$status" {seconds}; echo "$uptime"'
    # Whoever measures a time of their own still has it.
    assert run(shell, script).splitlines()[-2:] == [said, "kept"]


@pytest.mark.parametrize("tools", ["", "busybox"])
def test_what_the_limit_has_to_kill_was_out_of_time(tools: str, tmp_path: Path) -> None:
    """Which takes it five seconds more."""
    script = f"{join('lib/switch')}\n"
    if tools:
        subprocess.run([tools, "--install", "-s", tmp_path], check=True)
        script += f"PATH='{tmp_path}'\n"
    script += "limited 1 sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nended $? 1"
    assert run(SHELLS["dash"], script).splitlines()[-1] == "did not end within 1 s"


@every_shell
def test_timeout_that_is_killed_itself_is_no_limit(shell: list[str]) -> None:
    """The kernel may choose it, too."""
    script = f"{join('lib/switch')}\nlimited 9 sh -c 'kill -KILL $PPID; sleep 0.1'\nended $? 9"
    assert run(shell, script).splitlines()[-1] == "was killed (status 137; out of memory?)"


@every_shell
def test_final_states(shell: list[str]) -> None:
    script = f'{join("lib/states")}\nfor state in committed window rolled-back ""'
    script += '; do is_final "$state" && echo "$state"; done; :'
    assert run(shell, script).split() == ["committed", "rolled-back"]


@every_shell
def test_sockets_and_links_are_no_directory_of_ours(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir(mode=0o755)
    script = (
        f'{join("lib/own_directory")}\nfor name in new link open; do own_directory "$name" && echo "$name"; done; :'
    )
    assert run(shell, script, tmp_path).split() == ["new"]


def unit_files(directory: Path, **files: str) -> Path:
    """A toplevel with these files in etc/systemd/system, `__` standing for the dot and `/` by itself."""
    for name, text in files.items():
        path = directory / "etc/systemd/system" / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@every_shell
def test_units_that_differ_between_two_systems(shell: list[str], tmp_path: Path) -> None:
    common = {"same__service": "x", "wanted__target__wants/a__service": "1"}
    old = unit_files(tmp_path / "old", **common, gone__service="x", other__service="x", masked__socket="x")
    new = unit_files(tmp_path / "new", **common, other__service="y", **{r"at@a\x2db__mount": "x"})
    unit_files(new, **{"same__service__d/overrides__conf": "x", "wanted__target__wants/b__service": "2"})
    (new / "etc/systemd/system/masked.socket").symlink_to("/dev/null")
    script = f"{join('lib/differences')}\n{{ unit_files '{old}'; echo ==; unit_files '{new}'; }} | changed_units"
    assert sorted(run(shell, script).splitlines()) == [
        r"added at@a\x2db.mount",
        "changed other.service",
        "changed same.service",
        "removed gone.service",
        "removed masked.socket",
    ]
    assert (
        run(shell, f"{join('lib/differences')}\n{{ unit_files /none; echo ==; unit_files /none; }} | changed_units")
        == ""
    )


@every_shell
def test_what_is_free_is_what_df_says(shell: list[str], tmp_path: Path) -> None:
    said = "Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/* 8 3 5 38%% /\\n"
    script = f"{join('lib/free_space')}\ndf() {{ case $3 in */nix/.) printf '{said}' ;; *) return 1 ;; esac; }}\n"
    assert run(shell, f'{script}free_kib /nix\necho "$free"\nfree_kib /none\necho "$free."', tmp_path) == "5\n.\n"
    assert int(run(shell, f"{join('lib/free_space')}\nfree_kib {tmp_path}\necho $free")) > 0


@every_shell
def test_space_for_kernels_and_initrds_is_counted_once_for_each_file(shell: list[str], tmp_path: Path) -> None:
    for name, size in (("kernel", 10_000), ("initrd", 20_000)):
        (tmp_path / name).write_bytes(b"x" * size)
    for system in (tmp_path / "system", tmp_path / "system/specialisation/debug"):
        system.mkdir(parents=True)
        for part in ("kernel", "initrd"):
            (system / part).symlink_to(tmp_path / part)
    assert run(shell, f"{join('lib/boot_files')}\nboot_files_kib '{tmp_path}/system'").strip() == str(
        10_000 // 1024 + 20_000 // 1024 + 2
    )


@every_shell
def test_the_program_of_check_mode_is_understood_and_acts_only_at_its_end(shell: list[str]) -> None:
    subprocess.run([*shell, "-n"], input=program("check_mode").encode(), check=True, timeout=30)
    assert program("check_mode").rstrip().endswith("main </dev/null\nexit")


def _profile(directory: Path, *systems: str) -> str:
    """A system profile whose generations have these systems; the last one is the boot default."""
    for number, name in enumerate(systems, 1):
        (directory / name).mkdir(exist_ok=True)
        (directory / f"system-{number}-link").symlink_to(directory / name)
    (directory / "system").symlink_to(f"system-{len(systems)}-link")
    return f"profile={directory}/system"


@every_shell
@pytest.mark.parametrize(
    ("systems", "to", "chosen"),
    [
        ("abc", "previous", "2"),
        ("abcb", "previous", "3"),
        ("abb", "previous", "1"),
        ("aaaaaaaaabc", "previous", "10"),
        ("abc", "1", "1"),
        ("abc", "3", "3"),
        ("aa", "previous", ""),
        ("abc", "4", ""),
        ("abc", "0", ""),
        ("abc", "-1", ""),
    ],
)
def test_where_a_rollback_leads(shell: list[str], tmp_path: Path, systems: str, to: str, chosen: str) -> None:
    script = f"rollback_to={to} new=\n{join('lib/rollback_target')}\n{_profile(tmp_path, *systems)}\nchoose_target"
    fields = run(shell, script).split("\0")
    if not chosen:
        assert fields[:2] == ["refused", "no-generation"]
        assert "it has 1 (20" in fields[3]
        return
    values = dict(zip(fields[0:-1:2], fields[1::2], strict=True))
    expected = {"toplevel": str(tmp_path / systems[int(chosen) - 1]), "generation_from": str(len(systems))}
    assert values == expected | {"generation_to": chosen}


@every_shell
@pytest.mark.parametrize(
    ("word", "named"),
    [("1", "a"), ("previous", "b"), ("boot-default", "c"), ("/nix/store/x", "/nix/store/x"), ("4", ""), ("0", "")],
)
def test_systems_that_are_compared(shell: list[str], tmp_path: Path, word: str, named: str) -> None:
    text, _main, _rest = join("command/compare").partition("\nmain </dev/null")
    nix_store = tmp_path / "bin/nix-store"
    nix_store.parent.mkdir()
    nix_store.write_text("#!/bin/sh\n")
    nix_store.chmod(0o755)
    profile = f"PATH={nix_store.parent}:$PATH\n{_profile(tmp_path, *'abc')}"
    script = f'old= new=\n{text}\n{profile}\nnamed {word}\necho "is $named"'
    said = run(shell, script)
    if not named:
        assert "no-generation" in said
        assert f"has no generation {word}; it has 1 (20" in said
        return
    assert said.endswith(f"is {named if '/' in named else tmp_path / named}\n")
    nix_store.write_text("#!/bin/sh\nexit 1\n")
    assert "not-valid" in run(shell, script)


@every_shell
def test_what_runs_and_what_boots(shell: list[str], tmp_path: Path) -> None:
    """A specialisation of the boot default is no untested boot default, nor is what it wraps; another system's is."""
    for system in ("one", "two"):
        (tmp_path / system / "specialisation").mkdir(parents=True)
        (tmp_path / f"{system}-debug").mkdir()
        (tmp_path / system / "specialisation/debug").symlink_to(tmp_path / f"{system}-debug")
        (tmp_path / system / "init").touch()
    (tmp_path / "around-one").mkdir()
    (tmp_path / "around-one/init").symlink_to(tmp_path / "one/init")
    script = f"mode=test allow= new=/new new_live=/new\n{join('lib/tested_boot_default')}\ncd {tmp_path}\n"
    for live, default in (
        ("one", "one"),
        ("one-debug", "one"),
        ("two-debug", "one"),
        ("one", "one-debug"),
        ("", "one"),
        ("one", "around-one"),
        ("two", "around-one"),
    ):
        given = " ".join(f'"{tmp_path / name}"' if name else '""' for name in (live, default))
        script += f"tested_boot_default {given} >/dev/null && echo yes || echo no\n"
    assert run(shell, script).split() == ["yes", "yes", "no", "no", "no", "yes", "no"]


@every_shell
def test_builds_that_nobody_asks_for_any_more_are_tidied_up(shell: list[str], tmp_path: Path) -> None:
    """Old ones whose unit is gone; not one that is in progress, about to begin, or of which systemd says nothing."""
    hour = 3600
    units = {
        "gone": "inactive",
        "failed": "failed",
        "long": "active",
        "ending": "deactivating",
        "hung": "",
        "new": "inactive",
    }
    script = f"{join('lib/old_builds')}\nrun_dir={tmp_path}/run\nsc() {{ case $5 in\n"
    script += "".join(f"deploy-flake-build-{name}.service) echo {said} ;;\n" for name, said in units.items())
    script += "esac; }\n"

    def left(how: str) -> list[str]:
        for name in units:
            made = tmp_path / f"run/build-{name}"
            made.mkdir(parents=True, exist_ok=True)
            (made / "log").touch()
            age = 59 * 60 if name == "new" else hour + 120
            os.utime(made, (time.time() - age,) * 2)
        (tmp_path / "run/2026-id").mkdir(exist_ok=True)
        run(shell, f"{script}{how}")
        return sorted(path.name for path in (tmp_path / "run").iterdir())

    kept = ["2026-id", "build-ending", "build-hung", "build-long", "build-new"]
    assert left("drop_old_builds") == kept
    assert left("tidy_builds") == kept
    # Somebody is starting a build.
    turn = os.open(tmp_path / "run", os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    assert left("tidy_builds") == sorted([*kept, "build-failed", "build-gone"])
    os.close(turn)
    run(shell, f"{script}run_dir={tmp_path}/none\nfind() {{ exit 3; }}\ntidy_builds && drop_old_builds")


@every_shell
def test_settings_of_a_build_go_with_its_unit(shell: list[str], tmp_path: Path) -> None:
    """They may hold secrets, and whoever would read the result may have been killed."""
    (tmp_path / "nix.conf").write_text("access-tokens = x")
    script = f"ls() {{ :; }}\nSERVICE_RESULT=success EXIT_STATUS=0\nset -- {tmp_path} {tmp_path}/roots name\n"
    run(shell, script + join("unit/build_ended"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "result"]


@every_shell
def test_every_output_of_a_build_is_rooted(shell: list[str], tmp_path: Path) -> None:
    """By the links that Nix has made, while its own roots are still there; those go."""
    (tmp_path / "made").mkdir()
    (tmp_path / "auto").mkdir()
    for name, path in {"": "a", "-man": "b", "-a+b": "c", "-inside": "d/bin", "-own": "../../etc"}.items():
        (tmp_path / f"made/result{name}").symlink_to(f"/nix/store/{path}")
        (tmp_path / f"auto/of{name or '-out'}").symlink_to(f"{tmp_path}/made/result{name}")
    (tmp_path / "auto/other").symlink_to("/root/result")
    (tmp_path / "build").mkdir()
    text = join("unit/build_ended").replace("/run/deploy-flake-build-$3", f"{tmp_path}/made")
    text = text.replace("/nix/var/nix/gcroots/auto", f"{tmp_path}/auto")
    given = f"SERVICE_RESULT=success EXIT_STATUS=0\nset -- {tmp_path}/build {tmp_path}/roots name\n"
    run(shell, given + text)
    assert sorted(path.name for path in (tmp_path / "roots").iterdir()) == ["a", "b", "c"]
    assert sorted(path.name for path in (tmp_path / "auto").iterdir()) == ["other"]
    found = (tmp_path / "build/outputs").read_text().splitlines()
    assert (found[0], sorted(found[1:])) == ("out /nix/store/a", ["a+b /nix/store/c", "man /nix/store/b"])


def out_link(shell: list[str], directory: Path, link: Path) -> answer.Answer:
    """What the script says; Nix's own roots are in `auto`, and what is above the directory is root's alone."""
    text = scripts.command("out_link", {"out_link": str(link), "outputs": "", "login_user": "root"})
    text = text.replace("/nix/var/nix/gcroots/auto", f"{directory}/auto")
    text = text.replace("each=\n", f"each={directory}/\n")
    text = text.replace("rest=${out_link%/*}/", f"rest=${{out_link%/*}}/; rest=${{rest#{directory}/}}")
    return answer.Answer.parse(run(shell, text))


@every_shell
def test_a_link_takes_the_place_of_a_link_of_an_earlier_build_alone(shell: list[str], tmp_path: Path) -> None:
    """One that Nix has made a root for, and no other link into the store, as the system's own are."""
    home, automatic = tmp_path / "home", tmp_path / "auto"
    home.mkdir(0o755)
    automatic.mkdir()
    (home / "file").touch()
    for name, to in {"other": "/etc", "dangling": "/nowhere", "system": "/nix/store/x", "own": "/nix/store/x"}.items():
        (home / name).symlink_to(to)
    (automatic / "1").symlink_to(home / "own")
    (automatic / "2").symlink_to(home / "other")
    # A name that ends as another one's.
    (automatic / "3").symlink_to(f"/x -> {home / 'system'}")
    said = {name: out_link(shell, tmp_path, home / name) for name in ("none", "file", *os.listdir(home))}
    assert {name for name, one in said.items() if not one.get("refused")} == {"none", "own"}
    assert {one.get("refused") for one in said.values()} == {"", "not-linked"}
    # Of several outputs.
    (home / "none-man").touch()
    (home / "none-dev").symlink_to("/nix/store/x")
    (automatic / "4").symlink_to(home / "none-dev")
    assert out_link(shell, tmp_path, home / "none").all("taken") == ["man"]


@every_shell
def test_root_makes_no_link_where_another_one_could_lead_it(shell: list[str], tmp_path: Path) -> None:
    for mode, refused in (
        (0o755, ""),
        (0o775, "" if os.getgid() == 0 else "not-linked"),
        (0o777, "not-linked"),
        (0o1777, "not-linked"),
    ):
        home = tmp_path / f"{mode:o}"
        home.mkdir()
        home.chmod(mode)
        assert out_link(shell, tmp_path, home / "a/b").get("refused") == refused, oct(mode)
    for owner, group, mode in ((1234, 0, 0o755), (0, 1234, 0o775)):
        home = tmp_path / f"of-{owner}-{group}"
        home.mkdir()
        os.chown(home, owner, group)
        home.chmod(mode)
        assert out_link(shell, tmp_path, home / "a").get("refused") == "not-linked", (owner, group)
    (tmp_path / "link").symlink_to("755")
    said = out_link(shell, tmp_path, tmp_path / "link/result")
    assert f"{tmp_path}/link is a link" in said.get("message")
    (tmp_path / "755/file").touch()
    assert "file is not a directory" in out_link(shell, tmp_path, tmp_path / "755/file/result").get("message")


@every_shell
def test_nothing_waits_for_a_directory_of_users_or_a_home_that_does_not_answer(
    shell: list[str], tmp_path: Path
) -> None:
    """As with a dead LDAP server, and a home on a dead file server: whoever looks for a way in goes on."""
    tools = tmp_path / "bin"
    tools.mkdir()

    def tool(name: str, text: str) -> None:
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)

    # The limits are kept, but for how long they are.
    tool("timeout", 'shift 3\nexec /usr/bin/timeout -k 1 1 "$@"')
    home = tmp_path / "home/.ssh"
    home.mkdir(parents=True)
    (home / "authorized_keys").write_text("key")
    (tmp_path / "login-keys").write_text("/home/x/.ssh/authorized_keys\n")
    script = f"{join('lib/ssh')}\nPATH={tools}:$PATH\ndir={tmp_path}\nlogin_user=x\nallow=\n"
    script += "settings_of_sshd='authorizedkeysfile .ssh/authorized_keys .ssh/other'\n"
    script += "look_at_sshd() { :; }\nssh_wanted() { :; }\nhost_keys() { :; }\n: >$dir/host-keys\n"
    script += (
        'login_keys && echo known || echo not known\nstill_reachable && echo reachable || echo "$code: $complaint"'
    )

    def said() -> list[str]:
        began = time.monotonic()
        lines = run(shell, script).splitlines()
        assert time.monotonic() - began < 30
        return lines

    tool("getent", f"echo x:x:1:1::{tmp_path}/home:/bin/sh")
    assert said() == [f"{home}/authorized_keys", "known", "reachable"]
    tool("getent", "exit 2")
    assert said() == ["known", "unreachable: the new system has no authorized keys for x"]
    tool("getent", "exec sleep 60")
    unknown = "unreachable: with the new system it cannot be found out within 20 s who x is"
    assert said() == ["not known", unknown]
    # Nothing was known before either, so that this is no reason.
    (tmp_path / "login-keys").write_text("")
    assert said() == ["not known", "reachable"]
    (tmp_path / "login-keys").write_text("/home/x/.ssh/authorized_keys\n")
    tool("getent", f"echo x:x:1:1::{tmp_path}/home:/bin/sh")
    tool("stat", "sleep 60")
    assert said() == ["known", "unreachable: the new system has no authorized keys for x"]


@every_shell
def test_where_a_link_leads(shell: list[str], tmp_path: Path) -> None:
    """As readlink -f has it, with a directory or without, and the shell stays where it is."""
    (tmp_path / "it's here").mkdir()
    (tmp_path / "file").touch()
    links = {
        "one": "it's here",
        "two": "one",
        "to-file": "file",
        "broken": "nothing",
        "loop": "loop",
        "far": "no/thing",
    }
    for name, leads in links.items():
        (tmp_path / name).symlink_to(leads)
    names = [*links, "it's here", "file", "missing", "one/../two"]
    script = join("lib/base") + "\n".join(
        f"""said=$(leads_to {shlex.quote(str(tmp_path / name))}); echo "$said"
        said=$(readlink -f {shlex.quote(str(tmp_path / name))}); echo "$said" """
        for name in names
    )
    lines = run(shell, script + "\npwd\n", Path("/")).splitlines()
    assert lines.pop() == "/"
    assert len(lines) == 2 * len(names)
    assert lines[::2] == lines[1::2]
