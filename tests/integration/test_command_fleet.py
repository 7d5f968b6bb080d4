# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command deploy-flake with several hosts, with other ways to name one, and without colour."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from integration.commanding import Command, destination, limits, reaching, results
from integration.faulting import build, deploying, directory, is_whole, last_record, next_system, wait_for
from integration.playing import change_the_flake, remains, systems

from lab import Host, Lab


def test_all_or_nothing(command: Command, lab: Lab, fresh: dict[str, Host], flake: Path) -> None:
    """One host cannot keep its new system, so the other, which is well, keeps its previous one too."""
    one, three = fresh["host1"], fresh["host3"]
    change_the_flake(flake, "all-or-nothing")
    before = [systems(host) for host in (one, three)]
    where = [destination(one, "host1"), destination(three, "host3-exit-4")]
    # How long the whole fleet may take is computed.
    quick = [f"--time-limit={name}=30" for name in ("health", "check", "activate", "rollback", "commit")]
    given = ["--flake", str(flake), "--all-or-nothing", *reaching([one]), *quick, "--time-limit=settle=1"]
    code, lines = command.json(*where, *given)
    told = results(lines)
    assert code == 4, {name: (one["outcome"], one["state"], one["error"]) for name, one in told.items()}
    assert {told[host.address]["outcome"] for host in (one, three)} == {"rolled-back"}, told
    assert "broken.service" in told[three.address]["error"]
    assert [systems(host) for host in (one, three)] == before
    is_whole(one, before[0].running, "rolled-back")

    where = [destination(one, "host1"), destination(three, "host3")]
    code, lines = command.json(*where, *given)
    assert code == 0, lines
    assert {host["outcome"] for host in results(lines).values()} == {"deployed"}
    is_whole(three, results(lines)[three.address]["system"], "committed")


def test_options_of_the_rust_tool(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    change_the_flake(flake, "rust")
    before = systems(host)
    given = ["--flake", str(flake), *reaching([host]), *limits(), "--preflight-check", "run", "--copy-timeout", "60"]
    builds = ["--build-cmdline", "nix build --option cores 1", "--pre-activate-script", "pre-activate-safety-checks"]
    code, lines = command.json(destination(host, "host1-unsafe"), *given, *builds, "--test", "run")
    assert code == 1, lines
    assert "the database is not backed up" in results(lines)[host.address]["error"]
    assert systems(host) == before

    # Refused by Nix, on the host.
    nonsense = [*given, "--preflight-check", "skip", "--build-cmdline", "nix build --no-such-option"]
    code, lines = command.json(destination(host, "host1-exit-4"), *nonsense)
    assert code == 1, lines
    assert "no-such-option" in results(lines)[host.address]["error"]

    code, lines = command.json(destination(host, "host1"), *given, "--preflight-check", "skip", "--test", "skip")
    assert code == 0, lines
    assert results(lines)[host.address]["outcome"] == "deployed"
    assert systems(host).running == before.running
    assert systems(host).boot_default == results(lines)[host.address]["new_system"] != before.boot_default


def test_serial(command: Command, lab: Lab, fresh: dict[str, Host], flake: Path) -> None:
    """A batch is done with before the next begins, and one in which every host fails is the last."""
    one, three = fresh["host1"], fresh["host3"]
    change_the_flake(flake, "serial")
    before = systems(three)
    given = ["--flake", str(flake), "--serial", "1", *reaching([one]), *limits()]
    code, lines = command.json(destination(one, "host1-exit-4"), destination(three, "host3"), *given)
    assert code == 1, lines
    told = results(lines)
    assert told[one.address]["outcome"] == "rolled-back"
    assert told[three.address]["outcome"] == "failed"
    assert f"nothing was done on {three.address}" in told[three.address]["error"]
    assert systems(three) == before

    code, lines = command.json(destination(one, "host1"), destination(three, "host3"), *given)
    assert code == 0, lines
    order = [(line["host"], line["event"]) for line in lines if line["event"] in ("phase", "result")]
    assert order.index((one.address, "result")) < order.index((three.address, "phase")), order


def test_check_changes_nothing(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host3"]
    change_the_flake(flake, "check")
    before = systems(host)
    given = ["--flake", str(flake), "--check", *reaching([host]), *limits()]
    code, lines = command.json(destination(host, "host3"), *given)
    assert code == 0, lines
    assert results(lines)[host.address]["outcome"] == "would-change"
    assert systems(host) == before
    assert remains(host) == ""


def test_revokes_what_waits(command: Command, lab: Lab, whole: dict[str, Host]) -> None:
    host = whole["host1"]
    before = systems(host)
    with deploying(lab, host, next_system(host), confirm=False, limits={"confirm": 600}) as waiting:
        waiting.wait_for("window")
        assert waiting.end() == 0, waiting.output
    code, lines = command.json("revoke", destination(host), "--reason", 'it\'s not "wanted"', *reaching([host]))
    assert code == 0, lines
    assert results(lines)[host.address]["outcome"] == "rolled-back"
    is_whole(host, before.running, "rolled-back")
    assert last_record(host)["why"].strip() == 'revoked: it\'s not "wanted"'


def test_alias_of_ssh_config(command: Command, lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    host = whole["host3"]
    config = tmp_path / "ssh_config"
    config.write_text(f"Host the-alias\n HostName {host.address}\n Port {host.port}\n User {host.user}\n")
    code, lines = command.json("status", "the-alias", f"{reaching([host])[0]} -F {config}")
    assert code == 0, lines
    assert results(lines)["the-alias"]["system"] == systems(host).running


def test_address_of_ipv6(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host3"]
    network = f"fd00:df:{host.address.split('.')[2]}:"
    address = f"{network}:3"
    ours = f"{network}:fe/64 dev {lab.state.bridge}".split()
    host.run(["ip", "address", "replace", f"{address}/64", "dev", "eth0", "nodad"], check=True)
    subprocess.run(["ip", "address", "replace", *ours, "nodad"], check=True)
    try:
        ssh = f"{reaching([host])[0]} -o HostKeyAlias=[{host.address}]:{host.port}"
        where = f"nixos://{host.user}@[{address}]:{host.port}/host3"
        code, lines = command.json(where, "--flake", str(flake), ssh, *limits())
    finally:
        subprocess.run(["ip", "address", "del", *ours], check=True)
    assert code == 0, lines
    (told,) = results(lines).values()
    assert (told["host"], told["outcome"]) == (address.replace(":", "-"), "deployed")
    assert told["system"] == systems(host).boot_default


@pytest.mark.parametrize("colour", [True, False])
def test_no_colour_is_used_where_none_is_wanted(
    command: Command, lab: Lab, whole: dict[str, Host], colour: bool
) -> None:
    host = whole["host1"]
    environment = {} if colour else {"NO_COLOR": "1"}
    child = command.at_terminal("status", destination(host), *reaching([host]), width=120, environment=environment)
    child.expect(r"in \d+\.\d s")
    child.wait()
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]m", child.before or "")
    assert bool(coloured) == colour, child.before


@pytest.mark.parametrize("width", [50, 120])
def test_fifty_destinations(command: Command, lab: Lab, whole: dict[str, Host], flake: Path, width: int) -> None:
    """All but one are not there, and that one is deployed to; the table is never higher or wider than the terminal."""
    host = whole["host1"]
    nobody = [f"nixos://root@127.1.0.{number}:1" for number in range(1, 50)]
    # What the user has set for Ansible asks for a password, and reads no inventory of ours.
    theirs = {"ANSIBLE_BECOME_ASK_PASS": "True", "ANSIBLE_INVENTORY_ENABLED": "ini"}
    given = ["--flake", str(flake), "--reconnect-timeout", "1", *reaching([host]), *limits()]
    child = command.at_terminal(*nobody, destination(host, "host1"), *given, width=width, environment=theirs)
    child.expect(r"Go on\? \[y/N\] ")
    child.sendline("y")
    child.expect("Password of sudo")
    child.sendline("nothing")
    child.expect("127.1.0.49: unreachable")
    drawn = child.before or ""
    child.expect(r"49 unreachable in \d")
    child.wait()
    assert child.exitstatus == 3, drawn
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n")
    *tables, whole_table = re.split(r"^host +phase.*$", text, flags=re.MULTILINE)[1:]
    lines = [[line for line in table.splitlines() if line.strip()] for table in tables]
    assert all(len(table) < 24 and len(line) <= width for table in lines for line in table), tables
    # Those that failed are the first, and what is not shown is counted.
    last = lines[-1]
    assert "unreachable" in last[0]
    assert re.fullmatch(r"and \d+ failed(, .*)?", last[-2])
    assert re.match(r"\d+ of 50 hosts, 0:\d\d", last[-1])
    assert len(re.findall(r"^(?:127\.1\.0\.\d+|198\S+) ", whole_table, re.MULTILINE)) == 50


def test_host_keys_are_checked(command: Command, lab: Lab, whole: dict[str, Host]) -> None:
    """ansible-runner would not. Who has switched it off has switched it off."""
    host = whole["host1"]
    nowhere = "-o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o ControlPath=none"
    given = ["status", destination(host), f"--ssh-args=-i {host.state.keys / 'login'} {nowhere}"]
    code, output = command.run(*given)
    assert code == 3, output
    assert "Host key verification failed" in output
    code, output = command.run(*given, environment={"ANSIBLE_HOST_KEY_CHECKING": "False"})
    assert code == 0, output


def test_nobody_reads_the_output(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    """As with `| head -1`. The host does not feel it."""
    host = whole["host1"]
    process = command.start(destination(host, "host1"), "--flake", str(flake), *reaching([host]), *limits())
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=240) == 0
    assert "-host1-" in systems(host).boot_default
    assert remains(host) == ""


def test_commands_that_deploy_nothing(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    before, other = systems(host), [*reaching([host])]
    change_the_flake(flake, "built-only")
    code, lines = command.json("build", destination(host), "--flake", str(flake), *other)
    assert code == 0, lines
    built = results(lines)[host.address]
    assert built["outcome"] == "done"
    assert host.run(f"test -x {built['new_system']}/bin/switch-to-configuration && echo there").stdout == "there\n"
    code, lines = command.json("diff", destination(host, "host1"), "--flake", str(flake), *other)
    told = results(lines)[host.address]
    assert (code, told["outcome"], told["new_system"]) == (0, "would-change", built["new_system"])
    assert told["changes"] is not None
    code, lines = command.json("reboot", destination(host), "--check", *other)
    assert (code, results(lines)[host.address]["outcome"]) == (0, "unchanged"), lines
    code, lines = command.json("generations", destination(host), "--check", "--keep", "500", *other)
    assert (code, results(lines)[host.address]["outcome"]) == (0, "unchanged"), lines
    assert systems(host) == before


def test_slip_deploys_nothing(command: Command, whole: dict[str, Host], flake: Path) -> None:
    (command.directory / "here").mkdir()
    for words in (
        ["statsu", "host1"],
        ["check", "host1"],
        ["host1", "--flake", "/nowhere"],
        ["host1", "--flake", "here"],
        ["host1", "--flake", f"{flake}#host1"],
        [f"{flake}#host1"],
        ["-i", "nowhere.yml"],
        ["host1", "-e", "deploy_flake_tset=false", "--flake", str(flake)],
    ):
        code, output = command.run(*words)
        assert (code, len(output.splitlines())) == (2, 1), output


def test_host_that_is_busy(command: Command, lab: Lab, whole: dict[str, Host]) -> None:
    """A deployment that waits for somebody else makes the second one wait, and say for whom."""
    host = whole["host1"]
    with deploying(lab, host, next_system(host), confirm=False, limits={"confirm": 600}) as waiting:
        waiting.wait_for("window")
        assert wait_for(lambda: directory(host))
        flake = str(host.root / "var/lib/lab-flake")
        given = ["--flake", flake, "--lock-timeout", "2", *reaching([host]), *limits()]
        build(host)
        code, lines = command.json(destination(host, "host1-exit-4"), *given)
    assert code == 1, lines
    assert results(lines)[host.address]["reason"] == "busy"
    assert "another deployment is in progress" in results(lines)[host.address]["error"]
    assert command.run("revoke", destination(host), *reaching([host]))[0] == 0
