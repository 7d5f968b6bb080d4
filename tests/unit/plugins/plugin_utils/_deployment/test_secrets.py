# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of a deployment: sent before it, on standard input, and dropped where none follows."""

from __future__ import annotations

import itertools
import json
import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import Runner, options_of
from unit.fake_host import Clock, FakeHost, Scripted
from unit.settings import NEW, OLD

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Mode
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import start, wait_while_busy
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.context import Context
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.limits import Limits
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.settings import Settings
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError

CONTENT = "hunter2-hunter2"
SECRETS = [
    {"name": "db", "path": "/etc/secrets/db", "content": CONTENT},
    {"name": "token", "path": "/run/secrets/token", "content": "t", "owner": "app"},
]
CHANGES: dict[str, str | list[str]] = {
    "current": NEW,
    "secret": ["content db /etc/secrets/db", "removed old /etc/secrets/old"],
}
SAME: dict[str, Any] = {"current": NEW}
LOOKED = {"valid": "yes", "new_live": NEW, "previous_live": OLD, "previous_boot": OLD, "boot_id": "one"}
ONLY = LOOKED | {"previous_live": NEW, "previous_boot": NEW, "only_secrets": "yes"}
UNCHANGED = {"unchanged": "yes", "previous_live": NEW, "previous_boot": NEW, "generation": "7"}
RECORD = json.dumps({"outcome": "committed", "from": OLD, "live": NEW, "boot": NEW})
COMMITTED = {"state": "committed", "record": RECORD}
WINDOW = {"state": "window", "window_left": "100"}
DROPPED = {"id": "x"}


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_while_busy, "time", Clock())


def run(
    monkeypatch: pytest.MonkeyPatch, module: str, answers: list[Scripted], **how: Any
) -> tuple[FakeHost, dict[str, Any]]:
    host = FakeHost(answers)
    given: dict[str, Any] = {"secrets": SECRETS, "remove_other_secrets": True}
    given |= {"toplevel": NEW} if module != "system_secrets" else {}
    result = Runner(monkeypatch)(module, host, given, **how)
    assert host.done(), host.commands
    # What follows a script on standard input is the one place for it.
    assert CONTENT not in repr(result) + repr(host.told) + repr(host.warned)
    assert all(CONTENT not in repr(each.inputs) for each in host.asked)
    return host, result


def test_sent_before_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = run(monkeypatch, "system_test", [CHANGES, LOOKED, WINDOW])
    assert host.commands == ["secrets", "preflight", "start"]
    sent, look, begin = host.asked
    assert sent.data == f"{CONTENT}t".encode()
    assert sent.inputs["secrets"] == (
        f"db\t/etc/secrets/db\troot\troot\t400\t{len(CONTENT)}\t-\ntoken\t/run/secrets/token\tapp\troot\t400\t1\t-\n"
    )
    assert (sent.inputs["others"], sent.inputs["id"]) == ("remove", begin.inputs["id"])
    assert (look.inputs["secrets"], begin.inputs["secrets"]) == ("yes", "yes")
    assert {"only_secrets=no", "brings_secrets=yes"} <= set(shlex.split(begin.inputs["settings"]))
    assert '"secrets": "db old"' in begin.inputs["about"]
    changed = {"name": "db", "path": "/etc/secrets/db", "change": "content"}
    gone = {"name": "old", "path": "/etc/secrets/old", "change": "removed"}
    assert result["secrets"] == [changed | {"owner": "root", "group": "root", "mode": "0400", "lasts": True}, gone]
    assert (sent.inputs["new"], host.warned) == (NEW, [])
    assert host.told[0] == "gets secrets: db (content), old (removed)"


def test_those_that_a_reboot_takes_away_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = run(monkeypatch, "system_test", [CHANGES | {"secret_goes_with_boot": "db"}, LOOKED, WINDOW])
    assert [change.get("lasts") for change in result["secrets"]] == [False, None]
    assert host.warned[0].startswith(
        "once these secrets are in place, a reboot takes them away until they are deployed again: db."
    )


def test_system_that_runs_already_gets_secrets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = run(monkeypatch, "system_test", [CHANGES, ONLY, WINDOW])
    # Also where the task allows one: a boot brings no secret that was put back already.
    assert {"only_secrets=yes", "last_resort_reboot=never"} <= set(shlex.split(host.asked[-1].inputs["settings"]))
    assert result["state"] == "window"
    host = run(monkeypatch, "system_test", [CHANGES, LOOKED, WINDOW])[0]
    assert "last_resort_reboot=auto" in shlex.split(host.asked[-1].inputs["settings"])


def test_those_that_are_the_same_are_looked_at_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new system may put something in their place: they wait for its deployment, if there is one."""
    same = SAME | {"secrets_wait": "yes"}
    for module, end in (("system_test", WINDOW), ("system_boot", COMMITTED)):
        host, result = run(monkeypatch, module, [same, LOOKED, end])
        look, begin = host.asked[1:]
        assert look.inputs["secrets"] == begin.inputs["secrets"] == "same"
        assert {"brings_secrets=yes", "only_secrets=no"} <= set(shlex.split(begin.inputs["settings"]))
        assert result["secrets"] == []
    host, result = run(monkeypatch, "system_test", [same, UNCHANGED, DROPPED])
    assert (host.commands[-1], result["state"]) == ("secrets_drop", "unchanged")


def test_secrets_alone_are_tried_also_without_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host runs and boots the system already: no boot would bring them to the units that read them."""
    answers: list[Scripted] = [CHANGES, ONLY, WINDOW, COMMITTED | {"confirmed": "yes"}]
    host, result = run(monkeypatch, "system_boot", answers)
    assert host.commands == ["secrets", "preflight", "start", "confirm"]
    look, begin, end = host.asked[1:]
    assert (look.inputs["mode"], begin.inputs["mode"], begin.inputs["awaited"]) == ("boot", "test", "window")
    assert look.inputs["from"] == end.inputs["from"] != ""
    its = shlex.split(begin.inputs["settings"])
    assert {"mode=test", "only_secrets=yes", "last_resort_reboot=never"} <= set(its)
    assert (host.connections, result["state"]) == (["fresh", "shared"], "committed")
    # It is to boot another system, or to boot this one at last: then they come with the boot.
    for looked in (LOOKED, LOOKED | {"previous_boot": NEW}):
        host, result = run(monkeypatch, "system_boot", [CHANGES, looked, COMMITTED])
        assert {"mode=boot", "only_secrets=no"} <= set(shlex.split(host.asked[-1].inputs["settings"]))
        assert host.connections == []


def test_secrets_alone_need_a_way_in_that_proves_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would confirm them, and they would be undone: so none is begun."""
    host = FakeHost([CHANGES, ONLY, DROPPED], over_ssh=False)
    result = Runner(monkeypatch)("system_boot", host, {"secrets": SECRETS, "toplevel": NEW})
    assert (result["reason"], host.commands) == ("unproven-way-in", ["secrets", "preflight", "secrets_drop"])


def test_check_mode_of_secrets_alone_without_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, "system_boot", [CHANGES, ONLY | {"checked": "yes"}, DROPPED], check_mode=True)[1]
    assert (result["state"], result["reboot_required"]) == ("would-test", False)


def test_nothing_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = run(monkeypatch, "system_test", [SAME, UNCHANGED])
    assert (host.asked[1].inputs["secrets"], result["state"], result["secrets"]) == ("", "unchanged", [])
    host, result = run(monkeypatch, "system_secrets", [SAME])
    assert (result["changed"], result["state"], result["secrets"]) == (False, "unchanged", [])


@pytest.mark.parametrize("module", ["system_secrets", "system_test"])
def test_what_another_deployment_may_undo_is_no_answer(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """The host looks again, when that one has ended."""
    end: list[Scripted] = [COMMITTED | {"confirmed": "yes"}] if module == "system_secrets" else []
    unsure = SAME | {"secrets_not_sure": "yes"}
    host, result = run(monkeypatch, module, [unsure, ONLY, WINDOW, *end])
    assert host.commands[:3] == ["secrets", "preflight", "start"]
    assert host.asked[2].inputs["secrets"]
    assert "brings_secrets=yes" in shlex.split(host.asked[2].inputs["settings"])
    # It has ended meanwhile, and was undone.
    host, result = run(monkeypatch, module, [unsure, ONLY, GONE, CHANGES, ONLY, WINDOW, *end])
    assert len(result["secrets"]) == 2


def test_secrets_alone_are_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    host, result = run(monkeypatch, "system_secrets", [CHANGES, ONLY, WINDOW, COMMITTED | {"confirmed": "yes"}])
    assert host.commands == ["secrets", "preflight", "start", "confirm"]
    assert host.asked[1].inputs["secrets"] == "only"
    assert host.asked[3].inputs["meant"] == NEW
    assert (result["state"], len(result["secrets"]), host.connections) == ("committed", 2, ["fresh", "shared"])
    assert host.told[1:] == ["has its secrets in place and waits for confirmation", "has committed its secrets"]


def test_check_mode_waits_for_another_deployment_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has put in place may still go, so it is compared again when that one has ended."""
    unsure, looked = SAME | {"secrets_not_sure": "yes"}, ONLY | {"checked": "yes"}
    answers: list[Scripted] = [unsure, GONE, CHANGES, looked, DROPPED]
    host, result = run(monkeypatch, "system_secrets", answers, check_mode=True)
    assert (result["state"], len(result["secrets"])) == ("would-test", 2)
    assert host.told[-1] == "would keep its system, and leave all units as they are"
    # Nothing of a system is refused.
    refuses = looked | {"why_code": "units-failed-before", "why": "x"}
    result = run(monkeypatch, "system_secrets", [CHANGES, refuses, DROPPED], check_mode=True)[1]
    assert result["msg"].startswith("host1 would refuse the secrets; nothing was changed.")
    # It has kept what it had put there.
    _host, result = run(monkeypatch, "system_secrets", [unsure, GONE, SAME], check_mode=True)
    assert (result["state"], result["secrets"]) == ("unchanged", [])


def test_check_mode_names_the_units_that_read_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    units = ["restart a.service", "reload a.service", "reload b.service"]
    looked: Scripted = {**ONLY, "checked": "yes", "secret_unit": units}
    host, result = run(monkeypatch, "system_secrets", [CHANGES, looked, DROPPED], check_mode=True)
    assert (result["would"]["restart"], result["would"]["reload"]) == (["a.service"], ["b.service"])
    assert host.told[-1] == "would keep its system, and restart a.service; reload b.service"


def test_check_mode_refuses_what_nobody_could_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([CHANGES, ONLY | {"checked": "yes"}, DROPPED], over_ssh=False)
    result = Runner(monkeypatch)("system_boot", host, {"secrets": SECRETS, "toplevel": NEW}, check_mode=True)
    assert (result["failed"], result["reason"]) == (True, "unproven-way-in")


@pytest.mark.parametrize("module", ["system_test", "system_secrets"])
def test_check_and_diff_say_which_and_never_what(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    looked = (LOOKED if module == "system_test" else ONLY) | {"checked": "yes"}
    host, result = run(monkeypatch, module, [CHANGES, looked, DROPPED], check_mode=True, diff=True)
    # What is looked at then lies there as a deployment would find it, and does not stay.
    assert host.commands == ["secrets", "preflight", "secrets_drop"]
    look = host.asked[1].inputs
    assert host.asked[0].inputs["id"] == look["id"] == host.asked[2].inputs["id"]
    assert {"brings_secrets=yes", "mode=test"} <= set(shlex.split(look["settings"]))
    assert (result["changed"], result["state"]) == (True, "would-test")
    shown = result["diff"][-1]
    assert shown["before"] == "secret db /etc/secrets/db\nsecret old /etc/secrets/old\n"
    assert shown["after"] == "secret db /etc/secrets/db, content, root:root 0400\n"


@pytest.mark.parametrize(
    "answers",
    [
        [CHANGES, {"refused": "other-hostname", "message": "x"}, DROPPED],
        [CHANGES, LOOKED, {"refused": "no-space", "message": "x"}, DROPPED],
    ],
)
def test_dropped_where_no_deployment_follows(monkeypatch: pytest.MonkeyPatch, answers: list[Scripted]) -> None:
    host, result = run(monkeypatch, "system_test", answers)
    assert host.commands[-1] == "secrets_drop"
    assert host.asked[-1].inputs == {"id": host.asked[0].inputs["id"]}
    assert result["failed"]


GONE: dict[str, str | list[str]] = {"refused": "busy", "message": "does not have the secrets", "send_secrets": "yes"}


def test_sent_again_where_the_host_has_lost_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was rebooted, or another one has cleared them away while it was waited for."""
    host, result = run(monkeypatch, "system_test", [CHANGES, LOOKED, GONE, CHANGES, LOOKED, WINDOW])
    assert host.commands == ["secrets", "preflight", "start", "secrets", "preflight", "start"]
    assert host.asked[0].inputs["id"] == host.asked[3].inputs["id"]
    assert result["state"] == "window"
    # Somebody else has put the same in place meanwhile.
    host, result = run(monkeypatch, "system_secrets", [CHANGES, ONLY, GONE, SAME])
    assert (result["state"], result["secrets"]) == ("unchanged", [])


def test_command_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where they are sent again."""
    counts = {"name": "db", "path": "/etc/secrets/db", "command": ["sh", "-c", f"echo >>{tmp_path}/runs; echo one"]}
    host = FakeHost([CHANGES, LOOKED, GONE, CHANGES, LOOKED, WINDOW])
    Runner(monkeypatch)("system_test", host, {"secrets": [counts], "toplevel": NEW})
    assert host.asked[0].data == host.asked[3].data == b"one\n"
    assert (tmp_path / "runs").read_text() == "\n"


def test_deployment_without_secrets_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    host = run(monkeypatch, "system_test", [SAME, LOOKED, WINDOW])[0]
    assert "brings_secrets=no" in shlex.split(host.asked[-1].inputs["settings"])


def test_secrets_alone_are_for_the_system_that_runs_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another deployment has switched the host while it was waited for."""
    then = ONLY | {"toplevel": OLD, "new_live": OLD, "previous_live": OLD}
    busy = {"refused": "busy", "message": "x", "switched": "yes"}
    answers: list[Scripted] = [CHANGES, ONLY, busy, then, WINDOW, COMMITTED | {"confirmed": "yes"}]
    host, result = run(monkeypatch, "system_secrets", answers)
    assert (host.asked[4].inputs["new"], host.asked[4].inputs["seen_live"]) == (OLD, OLD)
    assert (host.asked[5].inputs["meant"], result["toplevel"]) == (OLD, OLD)
    assert "last_resort_reboot=never" in shlex.split(host.asked[4].inputs["settings"])


def test_dropped_where_the_task_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the operator, or by its time limit, which is no Exception either."""
    for ended in (KeyboardInterrupt(), SystemExit()):
        host = FakeHost([CHANGES, LOOKED, DROPPED])
        given = options_of("system_test", secrets=SECRETS, toplevel=NEW)
        begun = start._Start(host, Settings.from_options(given), Mode.TEST, Context(), None)
        monkeypatch.setattr(begun, "_launch", Mock(side_effect=ended))
        with pytest.raises(type(ended)):
            begun.run("")
        assert host.commands == ["secrets", "preflight", "secrets_drop"]


def test_toplevel_is_looked_at_before_secrets_are_sent() -> None:
    host = FakeHost()
    given = options_of("system_test", secrets=SECRETS, toplevel="/tmp/x")
    with pytest.raises(HostError, match="must be a store path"):
        start.start(host, Settings.from_options(given), Mode.TEST, Context())
    assert host.commands == []


def test_place_that_the_host_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, "system_secrets", [{"refused": "bad-secret", "message": "has a link"}])[1]
    assert (result["reason"], result["msg"]) == ("bad-secret", "host1 has a link")


def test_bad_option_touches_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    bad = [{"name": "db", "path": "/etc/secrets/db", "command": ["no-such-program"]}]
    for module, more in (
        ("system_secrets", {}),
        ("flake_deploy", {"toplevel": NEW}),
        ("system_test", {"toplevel": NEW}),
    ):
        result = Runner(monkeypatch)(module, host, {"secrets": bad, **more})
        assert (result["reason"], host.asked) == ("bad-option", []), result


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("prepare", [False, True])
def test_time_that_is_named_step_by_step_counts_on_secrets(
    monkeypatch: pytest.MonkeyPatch, lost: bool, prepare: bool
) -> None:
    """As it does in one task; what was lost from the first word on as well."""
    monkeypatch.setattr(connection, "time", Clock())
    heard: list[Scripted] = [] if lost else [WINDOW | {"prepared": "yes"}]
    named = []
    for brings in (False, True):
        host = FakeHost(itertools.chain(heard, itertools.repeat(AnsibleConnectionFailure("gone"))))
        given = {"toplevel": NEW, "deployment": "x", "brings_secrets": brings, "prepare": prepare}
        result = Runner(monkeypatch)("system_boot", host, given)
        named.append(datetime.fromisoformat(result["decides_by"]))
    limits = Limits.from_options(options_of("system_test", secrets=SECRETS, toplevel=NEW)).for_deployment(0)
    without = replace(limits, brings_secrets=False)
    more = limits.undo - without.undo if prepare else limits.confirmed - without.confirmed
    assert abs((named[1] - named[0]).total_seconds() - more) < 5


def test_options_have_nothing_of_a_deployments() -> None:
    options = options_of("system_secrets", secrets=SECRETS)
    assert {"flake", "toplevel", "specialisation", "last_resort_reboot"} & options.keys() == set()
