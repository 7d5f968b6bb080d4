# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command deploy-flake, from its wheel, on the lab's hosts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from integration.commanding import ROOT, Command, destination, limits, reaching, results
from integration.faulting import build, command_line
from integration.playing import change_the_flake, remains, systems
from integration.test_info import git

from lab import Host, Lab

SCHEMA = json.loads((ROOT / "deploy_flake/events.schema.json").read_text())


def test_help_comes_at_once_and_without_ansible(command: Command) -> None:
    python = command.program.with_name("python")
    program = (
        "import sys; from deploy_flake.cli import main; main(['--help'])\n"
        "heavy = {'ansible', 'ansible_runner', 'rich', 'yaml'}\n"
        "print([name for name in sys.modules if name.partition('.')[0] in heavy])"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.splitlines()[-1] == "[]"
    for told in ("exit codes:", "examples:", "environment:", "files:", "--preflight-check", "25%  "):
        assert told in done.stdout


def test_deploys_asks_for_names_and_tells_it_in_json(
    command: Command, lab: Lab, fresh: dict[str, Host], flake: Path
) -> None:
    change_the_flake(flake, "2")
    (command.directory / "ansible.cfg").write_text("[defaults]\nstrategy = host_pinned\nforks = 1\n")
    one, three = fresh["host1"], fresh["host3"]
    before = systems(one).running
    # One says its configuration, the other is asked for its name: it has none of its own yet.
    where = [destination(one, "host1"), destination(three, "host3-new-units")]
    code, lines = command.json(*where, "--flake", str(flake), *reaching([one]), *limits())

    assert code == 0, lines
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    assert [line["event"] for line in lines][:: len(lines) - 1] == ["started", "ended"]
    told = results(lines)[one.address]
    assert (told["outcome"], told["previous_system"], told["generation"]) == ("deployed", before, 2)
    assert systems(one).running == systems(one).boot_default == told["system"]
    assert {line.get("phase") for line in lines} >= {"building", "testing", "confirming"}

    # Now host1 is called host1, and that is what it is asked for. One that is not there holds nobody up.
    nobody = f"{one.address.rpartition('.')[0]}.199"
    code, lines = command.json(destination(one), f"root@{nobody}", "--flake", str(flake), *reaching([one]), *limits())
    assert code == 3, lines
    assert results(lines)[one.address]["outcome"] == "unchanged"
    assert results(lines)[one.address]["configuration"] == "host1"
    assert results(lines)[nobody]["outcome"] == "unreachable"
    assert remains(one) == ""
    (command.directory / "ansible.cfg").unlink()


def test_status_rollback_and_revoke(command: Command, lab: Lab, fresh: dict[str, Host], flake: Path) -> None:
    host = fresh["host1"]
    first = systems(host).running
    given = [destination(host, "host1"), *reaching([host])]
    assert command.run(*given, "--flake", str(flake), *limits())[0] == 0

    code, output = command.run("rollback", *given, *limits())
    assert code == 0, output
    assert systems(host).running == systems(host).boot_default == systems(host).loader == first

    code, lines = command.json("status", *given)
    status = results(lines)[host.address]
    jsonschema.validate(status, SCHEMA)
    assert code == 0
    assert status["system"] == status["boot_default"] == first
    assert status["explanations"] == []
    assert [one["outcome"] for one in status["deployments"]] == ["committed", "committed"]
    assert command.run("revoke", *given)[0] == 0

    code, output = command.run("rollback", *given, "--generation", "77")
    assert code == 1
    assert "has no generation 77; it has 1 (20" in output
    assert systems(host).running == first


def test_generations_with_their_revisions(command: Command, lab: Lab, fresh: dict[str, Host], flake: Path) -> None:
    """Those that a system knows itself, and those of which the record of the deployment alone knows."""
    host = fresh["host1"]
    given = [destination(host, "host1"), *reaching([host])]
    revisions = []
    for version in ("one", "two"):
        change_the_flake(flake, version)
        if version == "two":
            # Nobody has it say which revision it is of.
            text = (flake / "flake.nix").read_text()
            assert "self.rev or self.dirtyRev or null" in text
            (flake / "flake.nix").write_text(text.replace("self.rev or self.dirtyRev or null", "null"))
        git(flake, "init", "--quiet")
        git(flake, "add", ".")
        git(flake, "commit", "--quiet", "-m", version)
        revisions.append(git(flake, "rev-parse", "HEAD").strip()[:8])
        assert command.run(*given, "--flake", str(flake), *limits())[0] == 0

    code, output = command.run("status", *given, "--generations")
    assert code == 0, output
    table = output.partition(f"{host.address}: generations\n")[2].splitlines()
    names, *rows = (re.split(r" {2,}", line) for line in table[:4])
    found = [dict(zip(names, row, strict=True)) for row in rows]
    assert [row["generation"] for row in found] == ["1", "2", "3"]
    assert [row["revision"] for row in found] == ["-", *revisions]
    assert [row["now"] for row in found] == ["booted", "-", "runs, boot default"]
    today = datetime.now(UTC).date()
    assert all(abs((datetime.fromisoformat(row["date"]).date() - today).days) <= 1 for row in found[1:])
    # And what lies between two of them.
    code, output = command.run("diff", *given, "--from", "3", "--to", "2")
    assert code == 0, output
    assert re.search(rf"{re.escape(host.address)}: done: \S+\.two → \S+\.one\n", output), output
    assert "unit" in output
    code, lines = command.json("diff", *given, "--from", "boot-default", "--to", "running")
    assert (code, results(lines)[host.address]["outcome"]) == (0, "unchanged")
    code, output = command.run("diff", *given, "--from", "77")
    assert code == 1
    assert "has no generation 77; it has 1 (20" in output
    assert command.run("diff", *given, "--from", "1", "--flake", ".")[0] == 2
    # Who does not ask has no program started for each.
    code, lines = command.json("status", *given)
    assert {one["revision"] for one in results(lines)[host.address]["generations"]} == {""}


def test_built_system_specialisation_and_store_path(command: Command, lab: Lab, whole: dict[str, Host]) -> None:
    """Without a flake: a system that the host has, a specialisation of it, and back to it by its path."""
    host = whole["host3"]
    first, new = systems(host).running, build(host, version="built")
    given = [destination(host, "anything"), *reaching([host]), *limits()]
    code, lines = command.json(*given, "--toplevel", new, "--specialisation", "debug")
    assert code == 0, lines
    now = systems(host)
    assert (now.boot_default, now.loader) == (new, new)
    assert now.running == results(lines)[host.address]["system"] == f"{_special(host, new)}"
    code, lines = command.json("rollback", *given, "--to", first)
    assert code == 0, lines
    assert systems(host).running == systems(host).boot_default == first
    assert results(lines)[host.address]["new_system"] == first
    code, lines = command.json("rollback", *given, "--to", "1", "--check")
    assert code == 0, lines
    assert results(lines)[host.address]["outcome"] in ("would-change", "unchanged")


def _special(host: Host, toplevel: str) -> str:
    return host.run(f"readlink -f {toplevel}/specialisation/debug", check=True).stdout.strip()


def test_check_and_diff(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    before = systems(host)
    change_the_flake(flake, "checked")
    given = [destination(host, "host1-new-kernel"), "--flake", str(flake), *reaching([host]), *limits()]

    code, lines = command.json(*given, "--check", "--diff")
    assert code == 0, lines
    told = results(lines)[host.address]
    jsonschema.validate(told, SCHEMA)
    assert (told["outcome"], told["reboot_required"]) == ("would-change", True)
    assert "hello.service" in told["would"]["stop"]
    assert told["reboot_reasons"] == ["initrd", "kernel", "kernel-modules"]
    assert told["free_space"]["boot"]["enough"]
    assert "hello" in [package["name"] for package in told["changes"]["packages"]]

    code, output = command.run(*given, "--check", "--diff", "--instrumentation", "plain")
    assert code == 0, output
    assert re.search(r"^  stops +.*hello.service", output, re.MULTILINE)
    assert re.search(r"^  reboot +needed for initrd, kernel, kernel-modules$", output, re.MULTILINE)
    assert re.search(r"^  package +hello .* → 2\.12\.checked$", output, re.MULTILINE)

    change_the_flake(flake, "unbuilt")
    code, output = command.run(*given, "--check", "--check-builds", "skip")
    assert code == 0, output
    assert "was not built" in output
    # A system that would be refused is no success.
    refused = [destination(host, "host1-check-fails"), *given[1:], "--check"]
    assert command.run(*refused)[0] == 1
    assert systems(host) == before
    assert remains(host) == ""


@pytest.mark.parametrize(
    ("configuration", "code", "says"),
    [("host2-exit-4", 4, "broken.service"), ("host2-no-such", 1, "nixosConfigurations")],
)
def test_failures(
    command: Command, lab: Lab, whole: dict[str, Host], flake: Path, configuration: str, code: int, says: str
) -> None:
    host = whole["host2"]
    before = systems(host)
    # The password of sudo is asked for on the terminal, and appears nowhere.
    given = ["--ask-become-pass", "--instrumentation", "plain", "--yes", *reaching([host]), *limits()]
    child = command.at_terminal(destination(host, configuration), "--flake", str(flake), *given, width=200)
    child.expect("Password of sudo")
    child.sendline(host.sudo_password)
    child.expect(r"in \d+\.\d s")
    output = child.before or ""
    child.wait()
    assert child.exitstatus == code, output
    assert says in output
    assert str(host.sudo_password) not in output
    assert (systems(host).running, systems(host).boot_default) == (before.running, before.boot_default)


def _wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_interrupted_once_it_sends_the_host_back(
    command: Command, lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path
) -> None:
    """While a check of the operator's own looks at the new system."""
    host = whole["host1"]
    change_the_flake(flake, "interrupted")
    before = systems(host)
    check = tmp_path / "check.yml"
    check.write_text("[{command: sleep 60, delegate_to: localhost, vars: {ansible_connection: local}}]")
    given = [*limits(), "-e", f"deploy_flake_checks={check}"]
    process = command.start(destination(host, "host1"), "--flake", str(flake), *reaching([host]), *given)
    _wait_for(process, "waits for confirmation")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _nothing = process.communicate(timeout=180)
    assert process.returncode == 130, output
    assert "rolled back" in output
    assert systems(host) == before
    assert remains(host) == ""
    assert _running(command) == []


def test_interrupted_twice_it_leaves_at_once(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    change_the_flake(flake, "twice")
    before = systems(host)
    given = [destination(host, "host1"), *reaching([host])]
    process = command.start(*given, "--flake", str(flake), *limits(), "--time-limit", "settle=14")
    _wait_for(process, "watches its units settle")
    process.send_signal(signal.SIGINT)
    # Two that come at once are one.
    _wait_for(process, "SIGINT: stopping")
    process.send_signal(signal.SIGINT)
    output, _nothing = process.communicate(timeout=180)
    assert process.returncode == 130, output
    assert f"{host.address}: unknown" in output
    assert "finishes or undoes by itself" in output
    assert _running(command) == []
    # It would go back by itself; that is tested where it takes its time.
    code, lines = command.json("revoke", *given)
    assert code == 0, lines
    assert results(lines)[host.address]["outcome"] == "rolled-back"
    assert systems(host) == before


def _running(command: Command) -> list[str]:
    """What is left of the command and of what it has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = command_line(process.name).replace("\0", " ")
            found += [line] if str(command.program.parent) in line else []
    return found


def test_killed_ansible_playbook_is_told(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    change_the_flake(flake, "killed")
    given = [*limits(), "--time-limit", "settle=14", "--time-limit", "confirm=10"]
    process = command.start(destination(host, "host1"), "--flake", str(flake), *reaching([host]), *given)
    _wait_for(process, "watches its units settle")
    children = Path(f"/proc/{process.pid}/task")
    pids = [pid for task in children.iterdir() for pid in (task / "children").read_text().split()]
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    output, _nothing = process.communicate(timeout=180)
    assert process.returncode == 1, output
    assert "ansible-playbook was killed" in output
    assert _running(command) == []
    assert "finishes or undoes by itself" in output
    deadline = time.monotonic() + 150
    while remains(host) and time.monotonic() < deadline:
        time.sleep(1)
    assert remains(host) == ""


@pytest.mark.parametrize("width", [50, 100])
def test_live_table_on_a_terminal(command: Command, lab: Lab, whole: dict[str, Host], flake: Path, width: int) -> None:
    host = whole["host1"]
    change_the_flake(flake, f"wide{width}")
    given = ["--flake", str(flake), *reaching([host]), *limits()]
    child = command.at_terminal(destination(host, "host1"), *given, width=width)
    child.expect(r"Go on\? \[y/N\] ")
    child.sendline("y")
    child.expect(r"1 deployed in")
    drawn = _visible(child.before or "")
    child.wait()
    assert child.exitstatus == 0
    assert all(len(line) <= width for line in drawn), drawn
    assert any(line.startswith(host.address) and "deployed" in line for line in drawn)
    assert any("confirming" in line or "testing" in line for line in drawn)
    # What is left on the screen is one table: the others were drawn over.
    last = drawn[max(number for number, line in enumerate(drawn) if line.startswith("host ")) :]
    assert "generation" in " ".join(last) or "→" in " ".join(last) or "…" in " ".join(last)


def _visible(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").split("\n")]


def test_python_api(command: Command, lab: Lab, whole: dict[str, Host], flake: Path) -> None:
    host = whole["host1"]
    run: dict[str, Any] = {"inventory": [str(lab.inventory)], "limit": "host1"}
    program = f"""
import asyncio, deploy_flake as d
seen = []
done = asyncio.run(d.deploy_async(flake={str(flake)!r}, run=d.RunOptions(**{run!r}), on_event=seen.append))
assert done.ok, done.output
assert done.hosts["host1"].outcome in ("deployed", "unchanged"), done.hosts
assert isinstance(seen[0], d.Started) and isinstance(seen[-1], d.Ended)
seen = asyncio.run(d.status_async(run=d.RunOptions(**{run!r})))
assert seen.hosts["host1"].health == "running", seen.output
async def cancelled():
    task = asyncio.create_task(d.status_async(run=d.RunOptions(**{run!r}), on_event=begun.append))
    await asyncio.sleep(0.2)
    task.cancel()
    await task
begun = []
try:
    asyncio.run(cancelled())
except asyncio.CancelledError:
    assert begun[-1].exit_code == 130, begun
try:
    d.deploy(["host1:22"], flake="github:me/hosts")
except d.DestinationError:
    print("fine")
"""
    python = command.program.with_name("python")
    environment = command.environment()
    done = subprocess.run(
        [python, "-c", program], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "fine", done.stderr
    assert remains(host) == ""


def test_nothing_stays_on_disk(command: Command, lab: Lab, whole: dict[str, Host], tmp_path: Path) -> None:
    """What is kept has neither the password nor the environment in it; what is not kept is gone."""
    host = whole["host2"]
    kept, temporary = tmp_path / "kept", tmp_path / "temporary"
    temporary.mkdir()
    program = f"""
import deploy_flake as d
run = {{"ssh_args": {reaching([host])[0].removeprefix("--ssh-args=")!r}, "become_password": {host.sudo_password!r}}}
for artifacts in (None, d.options.Path({str(kept)!r})):
    done = d.revoke([{destination(host)!r}], run=d.RunOptions(**run, artifacts=artifacts))
    assert done.ok, done.output
"""
    environment = {**command.environment(), "TMPDIR": str(temporary), "A_SECRET": "hunter2"}
    python = command.program.with_name("python")
    subprocess.run([python, "-c", f"import deploy_flake.options{program}"], env=environment, cwd="/", check=True)
    files = [file for file in kept.rglob("*") if file.is_file()]
    assert "stdout" in [file.name for file in files]
    for file in files:
        for secret in ("hunter2", str(host.sudo_password)):
            assert secret not in file.read_text(), file
    assert list(temporary.iterdir()) == []
