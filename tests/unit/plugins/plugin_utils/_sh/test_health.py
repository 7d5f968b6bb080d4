# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as unhealthy on the host, in the shells that a host may have."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

UPTIME = 5000
LONG_AGO, LATELY, JUST = 100, UPTIME - 20, UPTIME - 3


@dataclass(frozen=True)
class Service:
    """One of a host's services, as systemd shows it at some moment."""

    name: str
    restarts: int = 0
    sub_state: str = "running"
    result: str = "success"
    changed: int = LONG_AGO

    def shown(self) -> str:
        """Not in the order in which it was asked for."""
        lines = (
            f"StateChangeTimestampMonotonic={self.changed}123456",
            f"NRestarts={self.restarts}",
            f"Result={self.result}",
            f"Id={self.name}",
            f"SubState={self.sub_state}",
        )
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Moment:
    """What systemd says at some moment."""

    services: tuple[Service, ...] = ()
    failed: tuple[str, ...] = ()
    manager: str = "running"


GOOD = Service("good.service")
WELL = Moment((GOOD,))


def look(
    shell: list[str],
    directory: Path,
    *,
    before: Moment = WELL,
    tested: Moment | None = WELL,
    after: Moment = WELL,
    later: Moment | None = None,
    policy: str = "strict",
    ignored: str = "",
    function: str = "healthy",
) -> str:
    """Whether the host was ready, and is well after a test: "well", or what the function says."""
    bin_directory = directory / "bin"
    bin_directory.mkdir()
    script = f"policy={policy} ignore_units={ignored!r} health_limit=9 dir={directory}\n{join('lib/health')}\n"
    script += f"passed=0\nmonotonic() {{ counted=$(({UPTIME} + passed)); }}\n"
    script += f"sc() {{ cat {directory}/$now.$1 2>/dev/null; }}\ntimeout() {{ echo $says; }}\n"
    script += f"pause() {{ passed=$((passed + $1)); now={'later' if later else '$now'}; }}\n"
    script += 'say() { echo "$code: $complaint"; exit; }\n'
    for name, moment in (("before", before), ("tested", tested), ("later", later), ("after", after)):
        if moment is None:
            continue
        (directory / f"{name}.show").write_text("\n".join(service.shown() for service in moment.services))
        (directory / f"{name}.list-units").write_text("".join(f"{unit} loaded failed\n" for unit in moment.failed))
        script += f"now={name} says={moment.manager}\n"
        script += {
            "before": "ready || say\n",
            "tested": "note_restarts $dir/restarts || say\n",
            "later": "",
            "after": f"{function} || say\necho well",
        }[name]
    assert shutil.which(shell[0]), f"{shell[0]} is not installed"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def service(**values: int | str) -> Service:
    """The one that is looked at; its name has what a shell or awk might take for something else."""
    return Service(r"loop@a\x2db.service", **values)  # type: ignore[arg-type]


NAME = service().name
LOOPS = f"units-failed: services end and are started again and again: {NAME}"
WAITS_FAILED = service(restarts=7, sub_state="auto-restart", result="exit-code", changed=LATELY)
WAITS = service(restarts=7, sub_state="auto-restart", changed=LATELY)


@every_shell
@pytest.mark.parametrize(
    ("tested", "after", "expected"),
    [
        # Restarted before, and steady since.
        (service(restarts=7), service(restarts=7), "well"),
        (service(restarts=7), service(restarts=9), LOOPS),
        # Once, and it has been up for long enough since.
        (service(restarts=7), service(restarts=8, changed=LATELY), "well"),
        # Nobody has seen it before.
        (None, service(restarts=2), LOOPS),
        (None, service(restarts=1), "well"),
        (None, service(), "well"),
        # It waits, and has not been started again in the time that was looked at.
        (WAITS_FAILED, WAITS_FAILED, LOOPS),
        (WAITS, WAITS, LOOPS),
        (service(), service(restarts=0, sub_state="auto-restart-queued", result="signal"), LOOPS),
        # Somebody started it, whereby the count begins again.
        (service(restarts=7), service(restarts=2), "well"),
    ],
)
def test_a_crash_loop(shell: list[str], tmp_path: Path, tested: Service | None, after: Service, expected: str) -> None:
    """Also where the service is up at the moment at which somebody looks."""
    noted = Moment((GOOD, tested) if tested else (GOOD,))
    assert look(shell, tmp_path, tested=noted, after=Moment((after, GOOD))) == expected


@every_shell
@pytest.mark.parametrize(
    ("after", "later", "expected"),
    [
        (service(restarts=8, changed=JUST), service(restarts=8, changed=JUST), "well"),
        (service(restarts=8, changed=JUST), service(restarts=9, changed=UPTIME), LOOPS),
        (service(restarts=8, changed=JUST), WAITS_FAILED, LOOPS),
        # It has ended well, and is up again, or waits for a long time.
        (WAITS, service(restarts=8, changed=UPTIME), "well"),
        (WAITS, service(restarts=9, changed=UPTIME), LOOPS),
        (WAITS, WAITS, LOOPS),
    ],
)
def test_what_was_started_again_once_is_looked_at_again(
    shell: list[str], tmp_path: Path, after: Service, later: Service, expected: str
) -> None:
    """A worker that has ended once is in no loop; what is up whenever somebody looks may be in one."""
    tested = Moment((service(restarts=7),))
    assert look(shell, tmp_path, tested=tested, after=Moment((after,)), later=Moment((later,))) == expected


@every_shell
def test_what_fails_while_it_is_looked_again_has_failed(shell: list[str], tmp_path: Path) -> None:
    later = Moment((service(restarts=8, changed=JUST),), failed=("late.service",), manager="degraded")
    after = Moment((service(restarts=8, changed=JUST),))
    said = look(shell, tmp_path, tested=Moment((service(restarts=7),)), after=after, later=later)
    assert said == "units-failed: units have failed: late.service"


@every_shell
@pytest.mark.parametrize("name", ["getty@tty1", "serial-getty@ttyS0", "autovt@tty2", "console-getty"])
def test_somebody_logs_out(shell: list[str], tmp_path: Path, name: str) -> None:
    """A terminal's service ends then, and is started again; one that fails is in a loop as any other."""

    def terminal(**values: int | str) -> Moment:
        return Moment((Service(f"{name}.service", **values),))  # type: ignore[arg-type]

    for number, (after, well) in enumerate(
        (
            (terminal(restarts=4, changed=JUST), True),
            (terminal(sub_state="auto-restart", restarts=3), True),
            (terminal(sub_state="auto-restart", result="exit-code", restarts=3), False),
            (terminal(restarts=8, changed=JUST), False),
        )
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        said = look(shell, directory, tested=terminal(restarts=3), after=after)
        assert said == (
            "well" if well else f"units-failed: services end and are started again and again: {name}.service"
        )


LATE = service(restarts=7, changed=LATELY)


@every_shell
@pytest.mark.parametrize(
    ("policy", "before", "tested", "after", "expected"),
    [
        # It looped before, whatever it was doing when it was looked at.
        ("no_new_failures", WAITS_FAILED, WAITS_FAILED, WAITS_FAILED, "well"),
        ("no_new_failures", WAITS_FAILED, service(), service(restarts=2), "well"),
        ("no_new_failures", LATE, service(restarts=8), service(restarts=9), "well"),
        ("no_new_failures", LATE, service(restarts=8), WAITS_FAILED, "well"),
        # It was started again for another reason, long ago, or the new system has one of its own.
        ("no_new_failures", service(restarts=7), service(restarts=7), service(restarts=9), LOOPS),
        ("no_new_failures", LATE, service(), service(restarts=2), LOOPS),
        ("no_new_failures", service(), service(), WAITS_FAILED, LOOPS),
        # Not while nothing is allowed to fail.
        ("strict", WAITS_FAILED, service(), service(), f"units-failed-before: units have failed already: {NAME}"),
        # It is meant to end and to be started again.
        ("strict", WAITS, WAITS, WAITS, "well"),
        ("strict", WAITS, service(restarts=8), service(restarts=9), "well"),
        ("strict", LATE, service(restarts=8), service(restarts=9), "well"),
        ("strict", LATE, service(), service(restarts=2), LOOPS),
        # And does not end well any more.
        ("strict", WAITS, WAITS, WAITS_FAILED, LOOPS),
        ("strict", LATE, service(restarts=8), WAITS_FAILED, LOOPS),
    ],
)
def test_a_loop_that_there_was_before(
    shell: list[str], tmp_path: Path, policy: str, before: Service, tested: Service, after: Service, expected: str
) -> None:
    """By the policy; but what is meant to run from time to time is no failure."""
    moments = (Moment((GOOD, one)) for one in (before, tested, after))
    before_it, tested_it, after_it = moments
    assert look(shell, tmp_path, before=before_it, tested=tested_it, after=after_it, policy=policy) == expected


@every_shell
def test_failed_and_looping(shell: list[str], tmp_path: Path) -> None:
    """Both are named, and what may fail is neither."""
    after = Moment((WAITS_FAILED, Service("may.service", 3)), failed=("down.mount", "may.timer"), manager="degraded")
    said = look(shell, tmp_path, after=after, ignored="may.*")
    assert said == f"units-failed: units have failed: down.mount, and {LOOPS.partition(': ')[2]}"
    assert (tmp_path / "failed").read_text().split() == ["down.mount", NAME]


@every_shell
def test_a_failure_that_there_was_before(shell: list[str], tmp_path: Path) -> None:
    """A unit that looped before and is given up by systemd has not failed anew, nor the other way round."""
    both = Moment((WAITS_FAILED,), failed=("sore.service",), manager="degraded")
    turned = Moment((Service("sore.service", 2, "auto-restart", "exit-code"),), failed=(NAME,), manager="degraded")
    said = look(shell, tmp_path, before=both, tested=both, after=turned, policy="no_new_failures")
    assert said == "well"


@every_shell
def test_ignored_before(shell: list[str], tmp_path: Path) -> None:
    looping = Moment((WAITS_FAILED,))
    assert look(shell, tmp_path, before=looping, tested=looping, after=looping, ignored="loop@*") == "well"


@every_shell
def test_a_late_failure_says_that_it_was_late(shell: list[str], tmp_path: Path) -> None:
    after = Moment((GOOD,), failed=("late.service",), manager="degraded")
    said = look(shell, tmp_path, after=after, function="still_healthy")
    assert said == "units-failed: units have failed: late.service, after the new system had settled"


@every_shell
def test_a_deployment_without_a_note(shell: list[str], tmp_path: Path) -> None:
    """How often a service had been started again when the test ended is not known, so it can't have become more."""
    assert look(shell, tmp_path, tested=None, after=Moment((service(restarts=5),))) == "well"


@every_shell
def test_a_note_without_an_answer(shell: list[str], tmp_path: Path) -> None:
    """systemd hangs, or the note can't be written: neither is a host without services."""
    script = f"dir={tmp_path}\n{join('lib/health')}\nmonotonic() {{ counted={UPTIME}; }}\n"
    script += 'sc() { return 124; }\nnote_restarts $dir/note || echo "$code"\n'
    script += f"sc() {{ printf '{GOOD.shown()}'; }}\nnote_restarts /dev/full || echo \"$code\"\n"
    script += "note_restarts $dir/note && cat $dir/note\n"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert done.stdout.splitlines() == ["no-answer-from-systemd", "cannot-record", "good.service 0 steady"]


@every_shell
@pytest.mark.parametrize(
    ("first", "second", "always", "expected"),
    [
        (service(), service(), False, ""),
        (WAITS_FAILED, None, False, f"{NAME} failing"),
        (WAITS, None, False, f"{NAME} recurring"),
        # Up whenever somebody looks, and not the same as before.
        (LATE, service(restarts=8, changed=LATELY), False, f"{NAME} again"),
        (LATE, LATE, False, ""),
        # It has not failed for the first time yet; nobody looks twice for that on a host that is up for long.
        (service(), service(restarts=2, changed=LATELY), True, f"{NAME} again"),
        # Once is not again and again, where there is time for another look.
        (service(), service(restarts=1, changed=LATELY), True, ""),
        (service(restarts=3), None, False, ""),
    ],
)
def test_who_is_started_again_and_again(
    shell: list[str], tmp_path: Path, first: Service, second: Service | None, always: bool, expected: str
) -> None:
    """Without a deployment: `second` is what a second look would find, where there may be one."""
    for name, one in (("first", first), ("second", second)):
        if one:
            (tmp_path / name).write_text(f"{GOOD.shown()}\n{one.shown()}")
    script = f"{join('lib/restarts')}\nmonotonic() {{ counted={UPTIME}; }}\n"
    script += (
        f"sleep() {{ rm -f {tmp_path}/first; }}\n"
        f"sc() {{ cat {tmp_path}/first 2>/dev/null || cat {tmp_path}/second; }}\n"
    )
    script += f"looping 2 {'always' if always else ''}\n"
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (expected, "")


@every_shell
def test_host_that_is_not_up_says_what_it_still_starts(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "before.list-jobs").write_text("12 slow.service start running\n13 multi-user.target start waiting\n")
    said = look(shell, tmp_path, before=Moment(manager="starting"))
    assert said.endswith("says starting after 9 s; still starting: slow.service multi-user.target")


@every_shell
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read it")
def test_seconds_are_counted_as_systemd_counts_them(shell: list[str]) -> None:
    """A suspended host has another uptime."""
    script = f"{join('lib/restarts')}\nmonotonic\necho $counted\n"
    before = time.monotonic()
    done = subprocess.run([*shell, "-s"], input=script, text=True, capture_output=True, check=True, timeout=30)
    assert int(before) <= int(done.stdout) <= time.monotonic()
