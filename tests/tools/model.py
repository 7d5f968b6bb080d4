# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of the protocol in docs/model, checked by SPIN: what must be found is found, and nothing else."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.shell import BUILD, ROOT, Failed, must, need_programs, say

PROGRAMS = {"spin": "spin", "gcc": "gcc"}
SOURCE = ROOT / "docs" / "model"
SCRIPTS = ROOT / "plugins" / "plugin_utils" / "_sh"
PLACE = BUILD / "model"
# Partial order reduction does not go together with `provided`.
OPTIONS = ["-O1", "-w", "-DCOLLAPSE", "-DNOREDUCE", "-DMEMLIM=3500", "-DVECTORSZ=512"]
# One verifier goes breadth first, so that a trace is as short as can be. The other finds cycles too: the model has no
# step that may be repeated for ever, so that every cycle is one that never comes to an end.
VERIFIERS = {"shortest": ["-DSAFETY", "-DBFS"], "complete": ["-DNP"]}
# Every rule of docs/model/rules.pml but this one, which shall not be followed.
NOT_A_RULE = "SAME_DEFAULT_KEEPS_LIVE"

Faults = Mapping[str, int]


@dataclass(frozen=True)
class Run:
    """One search through all states: with which rules, which faults, and which invariant a trace must break, if any."""

    name: str
    rules: Mapping[str, int]
    faults: Faults
    breaks: str = ""


@dataclass(frozen=True)
class Result:
    broken: str
    states: int
    depth: int
    mebibytes: float
    seconds: float
    complete: bool


def faults(number: int = 0, **kinds: int) -> Faults:
    return {"FAULTS": number, **kinds}


# The eleven ways in which the first protocol, without any rule, broke its promise.
FIRST: list[tuple[str, Faults, str]] = [
    ("1 a mount that fails", faults(BAD_MOUNT=1), "final_state_is_true"),
    ("1 a mount that fails", faults(BAD_MOUNT=1), "host_can_be_reached"),
    ("2 by hand, and a firewall", faults(1, FIREWALL=1, LOCK_HELD=1), "host_can_be_reached"),
    ("3 a wrapped system", faults(FIREWALL=1, WRAPPED=1), "host_can_be_reached"),
    ("4 their boot default", faults(1, FIREWALL=1, THIRD_BOOT=1), "host_can_be_reached"),
    ("5 garbage collected", faults(1, INSTALLER=2, LATER=1), "host_boots"),
    ("6 an idle installer", faults(1, INSTALLER=1), "final_state_is_true"),
    ("6 then unchanged", faults(1, INSTALLER=2, LATER=1), "unchanged_is_true"),
    ("7 /run is full", faults(1, RUN_FULL=1), "window_expires_in_time"),
    ("7 /run is full, a kill", faults(2, RUN_FULL=1, KILL=1), "final_state_is_true"),
    ("7 /run stays full", faults(1, RUN_FULL=2), "something_final_is_reached"),
    ("8 our very system", faults(1, THIRD_BOOT=1), "final_state_is_true"),
    ("9 rescue", faults(1, RESCUE=1), "final_state_is_true"),
    ("9 soft-reboot", faults(1, SOFT_REBOOT=1, FIREWALL=1), "host_can_be_reached"),
    ("10 GRUB, power lost", faults(1, GRUB=1, POWER=1), "profile_names_what_boots"),
    ("10 GRUB, power lost", faults(1, GRUB=1, POWER=1), "final_state_is_true"),
    ("11 the link is cut", faults(1, LINK_CUT=1), "report_is_true"),
]

# For each rule: with all others, and without this one, these faults break this.
NEEDED: list[tuple[str, Faults, str]] = [
    ("NO_DEFAULT_DEPS", faults(BAD_MOUNT=1, NEVER_REBOOT=1), "host_can_be_reached"),
    ("EMERGENCY_IS_NO_SHUTDOWN", faults(BAD_MOUNT=1), "final_state_is_true"),
    ("WAIT_FOR_JOBS", faults(BAD_MOUNT=1, NEVER_REBOOT=1), "host_can_be_reached"),
    ("SOFT_IS_NO_SHUTDOWN", faults(1, SOFT_REBOOT=1), "final_state_is_true"),
    ("GUARD_AFTER_SOFT", faults(1, SOFT_REBOOT=1, FIREWALL=1), "something_final_is_reached"),
    ("STOP_NEW_UNITS", faults(1, FIREWALL=1, LOCK_HELD=1, NEVER_REBOOT=1), "host_can_be_reached"),
    ("RELOAD_UNITS", faults(1, FILTERS=1, LOCK_HELD=1), "host_can_be_reached"),
    ("RELOAD_UNITS", faults(FILTERS=1, BAD_MOUNT=1), "final_state_is_true"),
    ("VERIFY_UNITS", faults(2, FIREWALL=1, LOCK_HELD=1, HAND_BROKEN=2), "final_state_is_true"),
    ("LATE_LOOK", faults(1, LATE_FAILURE=1), "what_is_committed_is_well"),
    ("LAST_RESORT_AUTO", faults(2, FIREWALL=1, LOCK_HELD=1, HAND_BROKEN=1), "host_can_be_reached"),
    ("REBOOT_THEN_FINISH", faults(3, FIREWALL=1, LOCK_HELD=1, HAND_BROKEN=1, KILL=1), "host_can_be_reached"),
    ("OURS_BY_ACTS", faults(FIREWALL=1, WRAPPED=1), "host_can_be_reached"),
    ("OURS_BY_ACTS", faults(1, THIRD_BOOT=1), "final_state_is_true"),
    ("PARTS_ARE_OURS", faults(FIREWALL=1, WRAPPED=1), "host_can_be_reached"),
    ("LINK_IDENTITY", faults(1, THIRD_LIVE=1), "theirs_is_kept"),
    ("TWO_VERDICTS", faults(1, FIREWALL=1, THIRD_BOOT=1), "host_can_be_reached"),
    ("LOOK_EACH_CALL", faults(1, THIRD_BOOT=1), "theirs_is_kept"),
    ("LOOK_THEN_CALL", faults(2, THIRD_BOOT=1, INSTALLER=2), "theirs_is_kept"),
    ("LOOK_FOR_NEW", faults(2, GRUB=1, THIRD_BOOT=1, POWER=1), "theirs_is_kept"),
    ("CONFIRM_LOOKS", faults(2, THIRD_LIVE=1), "unconfirmed_is_never_default"),
    ("WRITE_CHECKED", faults(2, OWN_FULL=1, KILL=1), "final_state_is_true"),
    ("UNREADABLE_EXPIRED", faults(1, DAMAGED=1), "window_expires_in_time"),
    ("OWN_STORAGE", faults(1, RUN_FULL=2), "something_final_is_reached"),
    ("STORAGE_SURVIVES", faults(1, SOFT_REBOOT=1, FIREWALL=1), "something_final_is_reached"),
    ("RECORD_DECIDES", faults(2, INSTALLER=2, KILL=1), "line_says_what_state_says"),
    ("ASK_LOADER", faults(1, INSTALLER=1), "final_state_is_true"),
    ("KEEP_ROOTS", faults(1, INSTALLER=2, LATER=1), "host_boots"),
    ("PROFILE_FIRST", faults(1, GRUB=1, POWER=1), "profile_names_what_boots"),
    ("DURABLE_CONFIRMED", faults(2, THIRD_BOOT=1, POWER=1), "final_state_is_true"),
    ("MARKS_ARE_OWN", faults(2, POWER=1, KILL=1), "final_state_is_true"),
    ("BOOTED_TELLS", faults(3, GRUB=1, UNREADABLE_LOADER=1, INSTALLER=2, POWER=1), "final_state_is_true"),
    ("LOST_IS_UNKNOWN", faults(1, LINK_CUT=1), "report_is_true"),
]

SYSTEMS = {"FIREWALL": 1, "WRAPPED": 1, "BAD_MOUNT": 1}
DEATHS = {"KILL": 1, "HANG": 1}
DOWNS = {"RESCUE": 1, "SOFT_REBOOT": 1, "SHUTDOWN": 1, "POWER": 1}
BROKEN = {"OWN_FULL": 1, "LOCK_HELD": 1, "HAND_BROKEN": 3, "INSTALLER": 3, "UNREADABLE_LOADER": 1}
OTHERS = {"THIRD_LIVE": 1, "THIRD_BOOT": 1}
# What has nothing to do with most of the others, and multiplies the states.
ASIDE = {"RUN_FULL": 1, "DAMAGED": 1, "LATE_FAILURE": 1, "LINK_CUT": 1, "LATER": 1}

# With all rules these must hold, whatever happens within the bounds.
WIDE: list[tuple[str, Faults]] = [
    ("any 2 faults, systemd-boot", faults(2, **SYSTEMS, **DEATHS, **DOWNS, **BROKEN, **OTHERS)),
    ("any 2 faults, GRUB", faults(2, GRUB=1, **SYSTEMS, **DEATHS, **DOWNS, **BROKEN, **OTHERS)),
    ("any 2 faults, boot-only", faults(2, BOOT_ONLY=2, WRAPPED=1, GRUB=1, **DEATHS, **DOWNS, **BROKEN, **OTHERS)),
    ("any 2 faults, until the reboot", faults(2, UNTIL_REBOOT=1, **SYSTEMS, **DEATHS, **DOWNS, **BROKEN, **OTHERS)),
    ("any 2 faults, never reboot", faults(2, NEVER_REBOOT=1, FILTERS=1, **SYSTEMS, **DEATHS, **DOWNS, **BROKEN)),
    ("any 2 faults, those aside", faults(2, **SYSTEMS, **DEATHS, **DOWNS, **BROKEN, **ASIDE)),
    ("any 3 faults, a firewall", faults(3, FIREWALL=1, **DEATHS, **DOWNS, **BROKEN, **OTHERS)),
    ("3 deaths", faults(3, **SYSTEMS, **DEATHS, POWER=1)),
    ("3 faults of the ways back", faults(3, FILTERS=1, **SYSTEMS, LOCK_HELD=1, HAND_BROKEN=3, KILL=1, RESCUE=1)),
]


def model() -> list[str]:
    """Check every run, print what came of it, and say which is not as expected."""
    need_programs(PROGRAMS)
    build()
    say(f"{'run':<44} {'states':>9} {'depth':>5} {'MiB':>5} {'s':>5}  result")
    failed = []
    for run in runs():
        result = search(run)
        found = result.broken or "holds"
        right = result.broken == run.breaks and (result.complete or bool(result.broken))
        wrong = "" if right else f", and not: {run.breaks or 'holds'}"
        numbers = f"{result.states:>9} {result.depth:>5} {result.mebibytes:>5.0f} {result.seconds:>5.1f}"
        print(f"    {run.name:<44} {numbers}  {found}{wrong}", flush=True)
        if not right:
            failed.append(f"the model: {run.name}: {found}{'' if result.complete else ', incomplete'}")
    return failed


def processor_time() -> float:
    """Of all that was started, since others may be busy on this machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build() -> None:
    """The verifiers do for all runs, since they take rules and faults from the environment."""
    PLACE.mkdir(parents=True, exist_ok=True)
    must(["spin", "-a", SOURCE / "protocol.pml"], cwd=PLACE)
    for name, options in VERIFIERS.items():
        must(["gcc", *OPTIONS, *options, "-o", name, "pan.c"], cwd=PLACE)


def runs() -> Iterator[Run]:
    rules = all_rules()
    unknown = {rule for rule, _faults, _breaks in NEEDED} ^ set(rules)
    if unknown:
        raise Failed(f"docs/model/rules.pml and tests/tools/model.py have other rules: {' '.join(sorted(unknown))}")
    for name, kinds, breaks in FIRST:
        yield Run(f"first protocol: {name}", {}, kinds, breaks)
    for rule, kinds, breaks in NEEDED:
        yield Run(f"without {rule}", {**rules, rule: 0}, kinds, breaks)
    literal = faults(1, FIREWALL=1, THIRD_BOOT=1)
    yield Run(f"with {NOT_A_RULE}", {**rules, NOT_A_RULE: 1}, literal, "host_can_be_reached")
    done: list[Faults] = []
    for name, kinds, _breaks in [*FIRST, *NEEDED]:
        if kinds not in done:
            done.append(kinds)
            yield Run(f"all rules: {name if name not in rules else described(kinds)}", rules, kinds)
    for name, kinds in WIDE:
        yield Run(f"all rules: {name}", rules, kinds)


def described(kinds: Faults) -> str:
    return " ".join(kind.lower() for kind in kinds if kind != "FAULTS")


def all_rules() -> dict[str, int]:
    names = re.findall(r"^bool ([A-Z_]+);", (SOURCE / "rules.pml").read_text(), re.MULTILINE)
    return {name: 1 for name in names if name != NOT_A_RULE}


def missing_functions(source: Path = SOURCE, scripts: Path = SCRIPTS) -> list[str]:
    """Functions that a comment of the model names, and that are not in the script that it names behind them."""
    missing = []
    for file in sorted(source.glob("*.pml")):
        for function, script in functions_named(file.read_text(encoding="utf-8")):
            path = scripts / script
            if not script:
                missing.append(f"{file.name} names {function}() and no script behind it")
            elif not path.is_file() or not re.search(
                rf"^{function}\(\) ", path.read_text(encoding="utf-8"), re.MULTILINE
            ):
                missing.append(f"{file.name} names {function}() of {script}, and there is none")
    return missing


def functions_named(text: str) -> Iterator[tuple[str, str]]:
    """Each with the script that comes next in the same comment: of "one(), another(), lib/some.sh" both."""
    for comment in re.findall(r"/\*.*?\*/", text, re.DOTALL):
        waiting = []
        for function, script in re.findall(r"(\w+)\(\)|((?:lib|command|unit)/\w+\.sh)", comment):
            if function:
                waiting.append(function)
            else:
                yield from ((each, script) for each in waiting)
                waiting = []
        yield from ((each, "") for each in waiting)


def search(run: Run) -> Result:
    watch = {"WATCH": run.breaks} if run.breaks else {}
    settings = {name: str(value) for name, value in {**run.rules, **run.faults}.items()}
    command = ["./shortest"] if run.breaks else ["./complete", "-l", "-m100000"]
    start = processor_time()
    verifier = subprocess.run(
        ["nice", "-n", "15", *command],
        cwd=PLACE,
        env={"PATH": os.environ["PATH"], **settings, **watch},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    said = verifier.stdout
    broken = re.search(r"pan:\d+: (?:assertion violated )?(.*?) \(at depth", said)
    errors = re.search(r"depth reached (\d+), errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    memory = re.search(r"([\d.]+)\ttotal actual memory", said)
    if not (errors and states and memory):
        raise Failed(f"the verifier failed in {run.name}: {said[-2000:]}{verifier.stderr[-2000:]}")
    unfinished = re.search("Search not completed|max search depth too small", said + verifier.stderr)
    return Result(
        broken=broken.group(1) if broken else "",
        states=int(states.group(1)),
        depth=int(errors.group(1)),
        mebibytes=float(memory.group(1)),
        seconds=processor_time() - start,
        complete=errors.group(2) == "0" and not unfinished,
    )
