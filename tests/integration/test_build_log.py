# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What builds print: shown while they are in progress, and bounded on the host."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from integration.faulting import inside, wait_for
from integration.playing import change_the_flake, deploy, remains

from lab import Host, Lab

MIB = 1 << 20


def room_of_the_log(host: Host) -> tuple[int, int]:
    """How long it is, and how much room it takes."""
    for log in inside(host, "/run/deploy-flake").glob("build-*/log"):
        found = log.stat()
        return found.st_size, found.st_blocks * 512
    return 0, 0


def test_build_that_prints_much(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = whole["host1"]
    change_the_flake(flake, "loud")
    seen: list[tuple[int, int]] = []

    def look() -> None:
        wait_for(lambda: room_of_the_log(host)[0] > 22 * MIB, 400, 0.1)
        # While it is there.
        seen.append(wait_for(lambda: (found := room_of_the_log(host))[0] and found[1] < 3 * MIB and found, 60, 0.1))

    looker = threading.Thread(target=look)
    looker.start()
    played = deploy(lab, tmp_path, flake, host.name, deploy_flake_configuration="host1-build-prints-much", options="-v")
    looker.join()
    assert seen, "the log has all of its room to the end"
    message = played.of(host.name, "flake_build")["msg"]
    assert "Its last lines:" in message
    assert "  the last word" in message.splitlines(), message
    # All that is not too much, with -v.
    output = re.sub(r"\x1b\[[0-9;]*m", "", played.output)
    for line in ("quiet step 1", "quiet step 2", "quiet step 3", "burst 2 is over", "the last word"):
        assert re.search(rf"> {line}$", output, re.MULTILINE), f"{line}\n{output[:3000]}\n[…]\n{output[-9000:]}"
    assert "KiB of its log are left out" in output
    assert re.search(r"still building \d+ of \d+: .*, for \d+ s: (quiet|much|burst)", output), output
    assert remains(host) == ""
