# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an image was not built, or a host did not come up, out of what was printed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab import reason
from lab.host import Host
from lab.shell import LabError
from lab.state import State

NO_NETWORK = """\
I: automatically chosen mode: root
I: using /tmp/mmdebstrap.Xq4T as tempdir
I: running apt-get update...
Ign:1 http://mirror.example/debian trixie InRelease
Err:1 http://mirror.example/debian trixie InRelease
  Could not resolve 'mirror.example'
Reading package lists...
W: Failed to fetch http://mirror.example/debian/dists/trixie/InRelease  Could not resolve 'mirror.example'
E: Some index files failed to download. They have been ignored, or old ones used instead.
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> failed: E: Some index files failed to download.
I: main() received signal PIPE: waiting for setup...
I: removing tempdir /tmp/mmdebstrap.Xq4T...
"""
NO_PACKAGE = """\
I: downloading packages with apt...
Reading package lists...
Building dependency tree...
E: Unable to locate package nix-binn
E: apt-get --yes install failed: exit 100
I: removing tempdir /tmp/mmdebstrap.Xq4T...
"""
NO_ROOM = """\
I: installing remaining packages inside the chroot...
Unpacking linux-image-cloud-amd64 (6.12.1-1) ...
dpkg: error processing archive /var/cache/apt/archives/linux-image.deb (--unpack):
 cannot copy extracted data for './boot/vmlinuz' to '/boot/vmlinuz.dpkg-new': failed to write (No space left on device)
Errors were encountered while processing:
 /var/cache/apt/archives/linux-image.deb
E: Sub-process /usr/bin/dpkg returned an error code (1)
E: apt-get --yes install failed: exit 100
I: removing tempdir /tmp/mmdebstrap.Xq4T...
"""
NO_SCRIPT = """\
Setting up nix-setup-systemd (2.26.3) ...
groupadd: cannot lock /etc/group; try again later.
dpkg: error processing package nix-setup-systemd (--configure):
 installed nix-setup-systemd package post-installation script subprocess returned error exit status 10
Setting up busybox-static (1:1.37.0-6) ...
Errors were encountered while processing:
 nix-setup-systemd
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
NO_BUILDER = """\
warning: creating lock file
error: builder for '/nix/store/aaaa-linux-6.1.drv' failed with exit code 1;
       last 2 log lines:
       > cp: cannot stat '/usr/lib/linux/bzImage': No such file or directory
       For full logs, run 'nix log /nix/store/aaaa-linux-6.1.drv'.
error: 1 dependencies of derivation '/nix/store/bbbb-nixos.drv' failed to build
"""
NO_EVALUATION = """\
error:
       … while evaluating the attribute 'config.system.build.toplevel'
         at /mnt/flake.nix:62:11:

       error: undefined variable 'machin'
       at /mnt/flake.nix:20:29:
"""
NO_LOADER = """\
these 3 derivations will be built:
install-boot-loader: /boot has no room
W: some other thing
"""


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (NO_NETWORK, "Failed to fetch http://mirror.example/debian/dists/trixie/InRelease Could not resolve"),
        (NO_PACKAGE, "E: Unable to locate package nix-binn"),
        (NO_ROOM, "(--unpack): cannot copy extracted data for './boot/vmlinuz'"),
        (NO_ROOM, "(No space left on device)"),
        (NO_SCRIPT, "groupadd: cannot lock /etc/group; try again later. dpkg: error processing package nix-setup"),
        (NO_BUILDER, "> cp: cannot stat '/usr/lib/linux/bzImage'"),
        (NO_EVALUATION, "error: undefined variable 'machin' at /mnt/flake.nix:20:29:"),
        (NO_LOADER, "install-boot-loader: /boot has no room"),
        ("", "no message"),
    ],
)
def test_reason_of_a_log(log: str, why: str) -> None:
    said = reason.of_log(log)
    assert why in said
    assert "\n" not in said
    assert "removing tempdir" not in said


def test_reason_is_bounded() -> None:
    said = reason.of_log("error: " + "x" * 5000 + " the end\n")
    assert len(said) < 2 * reason.LIMIT
    assert said.endswith("the end")


@pytest.mark.parametrize(
    ("journal", "why"),
    [
        (
            (
                "Starting systemd-logind.service - User Login Management...\n"
                "Failed to create inotify instance: Too many open files\n"
                "systemd-logind.service: Main process exited, code=exited, status=1/FAILURE\n"
                "systemd-logind.service: Failed with result 'exit-code'.\n"
                "Failed to start systemd-logind.service - User Login Management.\n"
            ),
            "Failed to create inotify instance: Too many open files",
        ),
        (
            (
                "Starting hello.service - Hello...\n"
                "hello.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED\n"
                "hello.service: Failed with result 'exit-code'.\n"
                "Failed to start hello.service - Hello.\n"
            ),
            "hello.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
        ),
        ("", "nothing is in its journal"),
    ],
)
def test_reason_of_a_unit(journal: str, why: str) -> None:
    assert reason.of_unit(journal) == why


def test_a_degraded_host_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what of this machine it is short of."""

    def run(_host: Host, command: list[str], **_options: float) -> subprocess.CompletedProcess[str]:
        said = {
            "is-system-running": "degraded\n",
            "--failed": "systemd-logind.service loaded failed failed User Login Management\n",
            "--no-pager": "Failed to create inotify instance: Too many open files\n",
        }
        return subprocess.CompletedProcess(command, 1, said[command[1]], "")

    monkeypatch.setattr(Host, "run", run)
    monkeypatch.setattr(Host, "leader", 1)
    with pytest.raises(LabError) as failure:
        Host(State(tmp_path), "host1").wait_running(5)
    said = str(failure.value)
    assert "host1 is not running but degraded; failed units: systemd-logind.service: Failed to create" in said
    assert "Too many open files (limits of this machine: fs.inotify.max_user_instances " in said
