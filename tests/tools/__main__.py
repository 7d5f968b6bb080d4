# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m tools TARGET`: the targets of the Makefile."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial

from tools import bench, checks, collection, demo, environments, generated, model, picture, soak, suite
from tools.shell import BUILD, ROOT, Background, Failed, forget_git, need_programs, say


def test() -> list[str]:
    """The tests in the lab wait for the hosts most of the time, so everything else is done meanwhile.

    What they say comes last, so that the run ends with the closing line that counts the most tests.
    """
    install()
    need_programs(suite.PROGRAMS | checks.PROGRAMS | model.PROGRAMS)
    with Background([sys.executable, "-m", "tools", "integration"], BUILD / "integration.log") as in_labs:
        failed = checks.every_check() + model.model() + suite.beside_the_integration_tests()
        # They are emulated: their tests have limits that others at work would make them miss. Booting has time.
        failed += suite.machines_up()
        in_labs.process.wait()
        failed += suite.on_machines()
        return failed + ([] if in_labs.follow() else ["the tests in the labs"])


def unit() -> list[str]:
    return suite.unit(environments.newest())


def install() -> list[str]:
    collection.install(environments.for_tests(environments.newest()))
    say(f"ANSIBLE_COLLECTIONS_PATH={collection.COLLECTIONS}")
    return []


def generate() -> list[str]:
    return [] if generated.write(environments.for_checks()) else ["generating"]


def clean() -> list[str]:
    # Only root has started any.
    if os.geteuid() == 0 and not suite.stop_labs():
        return ["stopping the lab"]
    environments = ROOT / ".venv"
    if environments.is_symlink():
        environments.unlink()
    shutil.rmtree(environments, ignore_errors=True)
    shutil.rmtree(BUILD, ignore_errors=True)
    return []


TARGETS: dict[str, Callable[[], list[str]]] = {
    "bench": bench.bench,
    "bench-scale": bench.bench_scale,
    "clean": clean,
    "collection": install,
    "demo": demo.demo,
    "generate": generate,
    "integration": suite.integration,
    "lint": checks.every_check,
    "model": model.model,
    "on-systemd-boot": partial(suite.on_machine, "systemd-boot"),
    "on-systemd-boot-long": partial(suite.on_machine, "systemd-boot", long=True),
    "pairs": suite.with_other_pairs,
    "picture": picture.picture,
    "soak": soak.soak,
    "vm-soak": soak.vm_soak,
    "test": test,
    "unit": unit,
}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        print(f"usage: python3 -m tools {{{'|'.join(TARGETS)}}}", file=sys.stderr)
        return 2
    forget_git()
    start = time.monotonic()
    try:
        failed = TARGETS[sys.argv[1]]()
    except Failed as message:
        print(message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if failed:
        say("\n    ".join([f"FAILED after {time.monotonic() - start:.0f} s:", *failed]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
