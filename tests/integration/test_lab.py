# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: hosts that are real where it matters."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lab import Host, Lab, LabError

TESTS = Path(__file__).resolve().parents[1]
NIX = "nix --extra-experimental-features 'nix-command flakes'"
BUILD = f"""{NIX} build --impure --no-link --print-out-paths --expr 'derivation {{
  name = "made-here"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" "echo built > $out"];
}}'"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The lab's own command."""
    argv = [sys.executable, str(TESTS / "lab/lab"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def unreachable(host: Host) -> bool:
    argv = host.ssh_command("true")
    argv[1:1] = ["-o", "ConnectTimeout=1"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 255


def booted(host: Host) -> str:
    return host.run("readlink /run/booted-system", check=True).stdout.strip()


def boots(host: Host) -> int:
    return host.console.read_text(errors="replace").count(": booting /nix/store/")


def wait_booted_again(host: Host, before: int) -> None:
    deadline = time.monotonic() + 90
    while boots(host) == before:
        assert time.monotonic() < deadline, "the host did not boot again"
        time.sleep(0.02)
    host.wait_running()


def test_hosts_are_shaped_like_nixos(fresh: dict[str, Host]) -> None:
    shells = []
    for host in fresh.values():
        host.run("test -e /etc/NIXOS && test -L /etc/static && test -L /etc/systemd/system", check=True)
        assert host.run("command -v python3 || command -v perl6").stdout == ""
        profile = host.run("readlink -f /nix/var/nix/profiles/system", check=True).stdout.strip()
        assert booted(host) == host.run("readlink /run/current-system").stdout.strip() == profile
        shells.append(host.run("readlink /usr/bin/sh").stdout.strip())
    assert shells == ["bash", "dash", "busybox"]


def test_login_and_sudo(hosts: dict[str, Host]) -> None:
    host1, host2, host3 = hosts.values()
    assert (host1.user, host2.user, host3.user) == ("root", "deploy", "deploy")
    for host in hosts.values():
        assert host.ssh("id -un", check=True).stdout.strip() == host.user
        assert host.ssh("command -v sudo", check=True).stdout.strip() == "/run/wrappers/bin/sudo"
    assert host2.ssh("sudo -n id -u").returncode != 0
    assert host2.ssh("sudo -S -p '' id -u", stdin=f"{host2.sudo_password}\n").stdout.strip() == "0"
    assert host3.ssh("sudo -n id -u").stdout.strip() == "0"
    assert (host2.port, host3.port) == (22, 2222)


def test_users_build_through_the_nix_daemon(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        path = host.ssh(BUILD, check=True).stdout.strip()
        assert path.startswith("/nix/store/")
        assert host.run(["cat", path], check=True).stdout == "built\n"


def test_inventory(lab: Lab) -> None:
    hosts = yaml.safe_load(lab.inventory.read_text())["nixos"]["hosts"]
    assert hosts["host2"]["ansible_become_password"] == "lab-sudo"
    assert hosts["host3"]["ansible_port"] == 2222
    assert "StrictHostKeyChecking=yes" in hosts["host1"]["ansible_ssh_common_args"]
    assert command("inventory").stdout.strip() == str(lab.inventory)


def test_hosts_beyond_those_wanted_are_kept_while_they_run(lab: Lab, hosts: dict[str, Host]) -> None:
    wanted = len(hosts)
    more = wanted + 1
    lab.up(more)
    extra = lab.hosts[f"host{more}"]

    lab.up(wanted)
    assert extra.name in lab.hosts and extra.name in lab.inventory.read_text()

    extra.power_off()
    lab.up(wanted)
    assert extra.name not in lab.hosts and extra.name not in lab.inventory.read_text()
    assert not extra.directory.exists()


def test_cut_and_mend(hosts: dict[str, Host]) -> None:
    host = hosts["host1"]
    host.reset()
    host.cut()
    assert unreachable(host)
    assert host.run("echo here").stdout == "here\n"
    host.mend()
    host.ssh("true", check=True)


def test_a_reboot_from_inside_boots_what_boot_names(hosts: dict[str, Host]) -> None:
    host = hosts["host2"]
    host.reset()
    before = boots(host)
    host.run("touch /run/volatile /var/lasting; nft add table inet shut", check=True)
    host.run("sed -i 's/-1.conf/-1-specialisation-debug.conf/' /boot/loader/loader.conf", check=True)
    plain = booted(host)
    host.run("systemctl reboot")
    wait_booted_again(host, before)
    assert booted(host) != plain
    assert host.run("ls /run/volatile /var/lasting").stdout == "/var/lasting\n"
    assert host.run("nft list tables").stdout == ""
    host.ssh("true", check=True)


def test_a_cable_stays_cut_across_a_reboot(hosts: dict[str, Host]) -> None:
    host = hosts["host1"]
    host.reset()
    before = boots(host)
    host.cut()
    host.run("systemctl reboot")
    wait_booted_again(host, before)
    assert unreachable(host)


def test_pulled_plug(hosts: dict[str, Host]) -> None:
    host = hosts["host3"]
    host.reset()
    host.run("echo kept > /var/kept; echo kept > /boot/kept; touch /run/lost", check=True)
    session = subprocess.Popen(host.ssh_command("echo on; sleep 100"), stdout=subprocess.PIPE)
    assert session.stdout is not None
    assert session.stdout.readline() == b"on\n"
    host.power_off()
    assert not host.alive
    with pytest.raises(LabError, match="host3 is off"):
        host.run("true")
    # Nothing told the other side: its connection looks as if it were there.
    time.sleep(0.5)
    assert session.poll() is None
    session.kill()
    session.communicate()
    host.power_on()
    assert host.run("cat /var/kept /boot/kept; ls /run/lost").stdout == "kept\nkept\n"
    host.ssh("true", check=True)


def test_power_off_from_inside(hosts: dict[str, Host]) -> None:
    host = hosts["host1"]
    host.reset()
    host.run("systemctl poweroff")
    host.wait_off()
    assert not host.alive
    assert "off (systemd-nspawn exited 0)" in host.logs()
    host.power_on()


def test_full_disk_and_full_boot_partition(hosts: dict[str, Host]) -> None:
    host = hosts["host2"]
    host.reset()
    host.fill_disk()
    assert host.run("echo more > /var/more").returncode != 0
    host.fill_disk(leave_bytes=1 << 20)
    host.run("head -c 500000 /dev/zero > /var/more", check=True)
    assert host.run("head -c 2000000 /dev/zero > /var/more").returncode != 0
    host.free_disk()
    host.run("head -c 2000000 /dev/zero > /var/more", check=True)
    host.fill_boot()
    assert host.run("echo more > /boot/more").returncode != 0
    host.free_boot()
    host.run("echo more > /boot/more", check=True)


def test_nothing_to_boot(hosts: dict[str, Host]) -> None:
    host = hosts["host1"]
    host.reset()
    host.run("rm /boot/loader/loader.conf", check=True)
    host.power_off()
    with pytest.raises(LabError, match=r"loader.conf is missing: nothing to boot"):
        host.power_on()


def test_reset_makes_a_host_as_new(hosts: dict[str, Host]) -> None:
    host = hosts["host2"]
    key = host.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
    host.run("touch /etc/left; rm /boot/loader/loader.conf; systemctl stop sshd", check=True)
    host.cut()
    host.reset()
    assert host.run("ls /etc/left").returncode != 0
    assert host.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout == key
    host.ssh("true", check=True)


def test_a_time_limit_ends_what_was_started_inside(hosts: dict[str, Host]) -> None:
    host = hosts["host1"]
    with pytest.raises(subprocess.TimeoutExpired):
        host.run("sleep 12345; true", timeout=0.5)
    assert host.run("pgrep -f '[s]leep 12345'").stdout == ""


def test_up_mends_what_is_broken_and_leaves_the_rest(lab: Lab, fresh: dict[str, Host]) -> None:
    host1, host2, host3 = fresh.values()
    leader = host1.leader
    host2.power_off()
    host3.run("systemd-run --wait --unit=broken false")
    lab.up(3)
    assert host1.leader == leader
    for host in (host2, host3):
        host.wait_running()


@pytest.mark.usefixtures("lab")
def test_errors_are_one_line() -> None:
    for arguments in (["up", "65"], ["ssh", "host65"]):
        done = command(*arguments)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("lab: error: ")


def test_down_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    """Tried on a second lab; it borrows the first one's image. The addresses that it would have first are taken."""
    for layer in lab.hosts["host1"].layers():
        (tmp_path / layer.name).symlink_to(layer)
    other = Lab(tmp_path)
    with pytest.raises(LabError, match="host1 is off"):
        Host(other.state, "host1").run("true")
    first_choice = other.state.subnet
    subprocess.run(["ip", "link", "add", "dfl-taken", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{first_choice}.253/24", "dev", "dfl-taken"], check=True)
        other.up(1)
        host = other.hosts["host1"]
        assert not host.address.startswith(f"{first_choice}.")
        assert host.address != lab.hosts["host1"].address
        host.ssh("true", check=True)
        host.power_off()
        host.power_on(wait=False)
    finally:
        subprocess.run(["ip", "link", "delete", "dfl-taken"], check=True)
        other.down()
    other.down()
    assert not other.hosts
    names = (other.state.name, other.state.link_prefix, str(tmp_path))
    mounts = Path("/proc/self/mountinfo").read_text()
    places = (
        "/sys/class/net",
        "/run/netns",
        "/run/systemd/nspawn/propagate",
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/unified",
    )
    listed = [entry.name for place in places if Path(place).is_dir() for entry in Path(place).iterdir()]
    for name in names:
        assert name not in mounts
        assert not [entry for entry in listed if entry.startswith(name)]
