# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to a host: what is tried again, what is not, and when a wait ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from unit.fake_host import Clock

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal, Step
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection, helper
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import (
    MARKER,
    Answer,
    HostError,
    HostLostError,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.connection import BEGUN, Host

Reply = Mapping[str, Any] | Exception | Callable[[], Any]
SAID = f"{BEGUN}\n"
# What ssh says whose shared connection has just ended, and what it says when the host is gone.
MUX = "mux_client_request_session: write packet: Broken pipe"
GONE = "Connection closed by 192.0.2.1 port 22"


def answered(**fields: str) -> dict[str, Any]:
    text = "".join(f"{name}\0{value}\0" for name, value in fields.items())
    return {"rc": 0, "stdout": f"{MARKER}{text}", "stderr": SAID}


class FakeConnection:
    """A connection plugin: its options, and what was reset."""

    def __init__(self, transport: str = "ssh") -> None:
        self.transport = transport
        # As Ansible's own plugins name it.
        address = "host" if transport == "ssh" else "remote_addr"
        self.options: dict[str, Any] = {address: "192.0.2.1", "port": None, "timeout": 30}
        self.resets = 0
        self.reset_fails: Exception | None = None
        self.become: FakeBecome | None = None

    def get_option(self, option: str) -> Any:
        if self.transport != "ssh" and (option.startswith("ssh_") or option == "host"):
            raise KeyError(option)
        return self.options.get(option)

    def set_option(self, option: str, value: Any) -> None:
        self.options[option] = value

    def reset(self) -> None:
        self.resets += 1
        if self.reset_fails:
            raise self.reset_fails


class FakeAction:
    """As much of ansible-core's ActionBase as a host needs; each command gets the next reply."""

    def __init__(self, *replies: Reply, transport: str = "ssh", environment: str = "") -> None:
        self._connection = FakeConnection(transport)
        self.replies = list(replies)
        self.environment = environment
        self.commands: list[tuple[str, bytes]] = []

    def _get_remote_user(self) -> str:
        return "admin"

    def _compute_environment_string(self) -> str:
        return self.environment

    def _low_level_execute_command(self, cmd: str, *, in_data: bytes) -> Mapping[str, Any]:
        self.commands.append((cmd, in_data))
        reply = self.replies.pop(0)
        if callable(reply):
            reply = reply()
        if isinstance(reply, Exception):
            raise reply
        return reply


class Shown:
    """In place of Ansible's display."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, text: str) -> None:
        self.lines.append(text)

    def v(self, text: str, host: str) -> None:
        self.lines.append(f"-v {host}: {text}")

    def warning(self, text: str) -> None:
        self.lines.append(f"warning {text}")


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    monkeypatch.setattr(connection, "Display", lambda: shown)
    return shown


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    return clock


def host(action: FakeAction, at_once: int = 1) -> Host:
    return Host(action, "web1", at_once)


def test_command_and_data_go_to_standard_input_and_the_answer_comes_back() -> None:
    action = FakeAction(answered(id="1", state="window"), environment="LANG=C")
    one = host(action)
    answer = one.run("poll", data=b"more", id="1", known="", awaited="", patience="1", quiet="1")
    assert (answer.get("state"), one.reached) == ("window", True)
    ((command, data),) = action.commands
    text = data.removesuffix(b"more")
    assert command.startswith("LANG=C /bin/sh -c ")
    # The shell reads the script by its size, and leaves it what follows.
    assert f"bs={len(text)} count=1" in command
    assert b"\nmain" in text


def test_refusal_of_a_command_is_an_error_with_its_code() -> None:
    one = host(FakeAction(answered(holder="other", refused="busy", message="is busy")))
    with pytest.raises(HostError, match=r"^web1 is busy$") as caught:
        one.run("poll", id="1", known="", awaited="", patience="1", quiet="1")
    assert caught.value.reason == Refusal.BUSY
    assert caught.value.answer is not None
    assert caught.value.answer.get("holder") == "other"


def test_a_worker_whose_ansible_playbook_is_gone_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    action = FakeAction(answered(id="1"))
    parent = SimpleNamespace(pid=os.getppid())
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)

    def asked() -> Answer:
        return host(action).run("poll", id="1", known="", awaited="", patience="1", quiet="1")

    assert asked().get("id") == "1"
    parent.pid += 1
    with pytest.raises(HostError, match="so web1 is asked for nothing more") as caught:
        host(action).persist(60, asked, "polling", begun=True)
    assert caught.value.reason == Refusal.ORPHANED


@pytest.mark.parametrize(
    ("out", "err", "said"),
    [
        ("", f"{SAID}sudo: no\n", "; it said: sudo: no"),
        ("half\n", SAID, "; it said: half"),
        ("", SAID, ", and said nothing"),
    ],
)
def test_command_without_an_answer(out: str, err: str, said: str) -> None:
    one = host(FakeAction({"rc": 2, "stdout": out, "stderr": err}))
    with pytest.raises(HostError, match=f"ended with 2 and no answer{said}$") as caught:
        one._execute("", b"", 5)
    assert (caught.value.reason, one.reached) == (Refusal.NO_ANSWER, False)


def test_what_could_not_ask_for_a_session_is_tried_once_more() -> None:
    action = FakeAction(AnsibleConnectionFailure(MUX), answered(a="b"))
    assert host(action)._execute("", b"", 5).get("a") == "b"
    assert (len(action.commands), action._connection.resets) == (2, 1)


def test_what_has_begun_is_never_run_a_second_time() -> None:
    """A start that may have begun: only who knows what the command does may try again."""
    action = FakeAction(AnsibleConnectionFailure(f"{SAID}{MUX}"), answered(a="b"))
    one = host(action)
    with pytest.raises(AnsibleConnectionFailure):
        one._execute("", b"", 5)
    assert (len(action.commands), one.reached) == (1, True)


@pytest.mark.parametrize("times", [1, 2])
def test_other_failures_are_the_callers(times: int) -> None:
    failures = [AnsibleConnectionFailure(MUX)] * (times - 1) + [AnsibleConnectionFailure(GONE)]
    action = FakeAction(*failures, answered(a="b"))
    one = host(action)
    with pytest.raises(AnsibleConnectionFailure, match="Connection closed"):
        one._execute("", b"", 5)
    assert (len(action.commands), one.reached) == (times, False)


def test_status_255_is_a_dead_connection() -> None:
    one = host(FakeAction({"rc": 255, "stdout": "", "stderr": f"{SAID}{GONE}"}))
    with pytest.raises(AnsibleConnectionFailure, match="ssh exited 255"):
        one._execute("", b"", 5)
    # It was there, since the command began.
    assert one.reached


# pytest's own limit would be a timer of the process, which goes before ours.
own_timer = pytest.mark.timeout(60, method="thread")


@own_timer
def test_silence_ends_with_the_limit() -> None:
    action = FakeAction(lambda: time.sleep(45))
    began = time.monotonic()
    with pytest.raises(AnsibleConnectionFailure, match="no answer within 0 s"):
        host(action)._execute("", b"", 0.2)
    assert time.monotonic() - began < 30
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@own_timer
def test_limit_of_the_task_itself_stays_in_charge() -> None:
    def of_the_task(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, of_the_task)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(TimeoutError):
            host(FakeAction(lambda: time.sleep(10)))._execute("", b"", 0.1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def failing(times: int, result: str = "done") -> Callable[[], str]:
    left = [AnsibleConnectionFailure(GONE)] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return result

    return attempt


def test_persist_tries_over_new_connections_and_every_address(clock: Clock, shown: Shown) -> None:
    action = FakeAction()
    one = host(action)
    hosts = []
    attempt = failing(3)

    def looked() -> str:
        hosts.append(one.address)
        return attempt()

    assert one.persist(60, looked, "testing", ["192.0.2.7", "192.0.2.8"]) == "done"
    assert hosts == ["192.0.2.1", "192.0.2.7", "192.0.2.8", "192.0.2.7"]
    assert (action._connection.resets, one.reached) == (3, True)
    assert shown.lines == [
        "web1: lost the connection while testing; trying again for 60 s",
        f"-v web1: {GONE}",
        "web1: is back",
    ]
    # Its own is still one of them.
    assert one.addresses(["192.0.2.8"]) == ["192.0.2.8", "192.0.2.1"]
    # It has to be the same host there.
    assert action._connection.options["ssh_extra_args"] == "-o HostKeyAlias=192.0.2.1"


NO_SUDO = HostError("a script on web1 ended with 1 and no answer, and said nothing", Refusal.NO_ANSWER)
NOT_ROOT = HostError("web1 needs root on the host, and is admin", Refusal.NOT_ROOT)
WRONG_PASSWORD = AnsibleError("Incorrect sudo password")


def once(error: Exception) -> Callable[[], str]:
    """Fails the first time."""
    errors = [error]

    def attempt() -> str:
        if errors:
            raise errors.pop()
        return "done"

    return attempt


@pytest.mark.parametrize("error", [NO_SUDO, NOT_ROOT, WRONG_PASSWORD], ids=["no answer", "not root", "password"])
def test_login_or_become_that_ceases_to_work_is_waited_for_once_something_has_begun(
    clock: Clock, shown: Shown, error: Exception
) -> None:
    """The system that is tried may have taken sudo away: the host goes on, and rolls back."""
    one = host(FakeAction())
    one.reached = True
    with pytest.raises(type(error)):
        one.persist(60, once(error), "testing")
    one.undecided = {"deployment": "the-id"}
    assert one.persist(60, once(error), "testing") == "done"
    assert shown.lines == [
        "web1: got no answer while testing; trying again for 60 s",
        f"-v web1: {error}",
        "web1: is back",
    ]
    one.undecided = {}
    assert one.contact(60, once(error), "testing", begun=True) == "done"


NEVER = [
    AnsibleConnectionFailure("Failed to connect to the host via ssh: admin@192.0.2.1: Permission denied (publickey)."),
    AnsibleConnectionFailure("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."),
    AnsibleConnectionFailure("ssh exited 255: Received disconnect: Too many authentication failures"),
    AnsibleAuthenticationFailure("Invalid/Incorrect username/password"),
]


@pytest.mark.parametrize("error", NEVER, ids=["login", "host key", "too many", "password"])
def test_connection_that_can_never_work_is_not_tried_again(clock: Clock, shown: Shown, error: Exception) -> None:
    one, began = host(FakeAction()), clock.now
    one.reached = True
    for wait in (one.persist, one.contact):
        with pytest.raises(AnsibleConnectionFailure) as caught:
            wait(300, once(error), "testing")
        assert caught.value is error
    assert (clock.now, shown.lines) == (began, [])
    # A system that is tried may have done that, and will be rolled back.
    one.undecided = {"deployment": "the-id"}
    assert one.persist(300, once(error), "testing") == "done"


def test_task_without_become_is_told_so_at_once(clock: Clock) -> None:
    """That it never was root here is no loss of contact, whatever is in progress there."""
    one = host(FakeAction())
    one.undecided = {"deployment": "the-id"}
    with pytest.raises(HostError, match="needs root"):
        one.persist(60, once(NOT_ROOT), "testing")


def test_other_refusals_are_not_waited_for(clock: Clock) -> None:
    one = host(FakeAction())
    one.reached = True
    one.undecided = {"deployment": "the-id"}
    with pytest.raises(HostError, match="is busy"):
        one.persist(60, once(HostError("is busy", Refusal.BUSY)), "testing")


def test_what_was_said_last_is_in_the_loss(clock: Clock) -> None:
    one = host(FakeAction())

    def attempt() -> str:
        raise WRONG_PASSWORD

    with pytest.raises(
        HostLostError, match="has not answered for 60 s while testing: Incorrect sudo password"
    ) as caught:
        one.persist(60, attempt, "testing", begun=True)
    assert caught.value.reason == Refusal.LOST


def test_persist_has_an_end(clock: Clock) -> None:
    began = clock.now
    with pytest.raises(HostLostError, match="has not answered for 60 s while testing: Connection closed") as caught:
        host(FakeAction()).persist(60, failing(1000), "testing")
    assert caught.value.reason == Refusal.LOST
    assert 60 <= clock.now - began < 70


def test_first_contact_is_not_waited_for(clock: Clock) -> None:
    one = host(FakeAction())
    with pytest.raises(AnsibleConnectionFailure):
        one.contact(60, failing(1), "testing")
    one.reached = True
    assert one.contact(60, failing(1), "testing") == "done"


def test_host_that_is_lost_in_its_first_command_is_waited_for(clock: Clock) -> None:
    one = host(FakeAction({"rc": 255, "stdout": "", "stderr": SAID}, answered(a="b")))
    assert one.contact(60, lambda: one._execute("", b"", 5), "testing").get("a") == "b"


def test_connection_that_cannot_be_reset(shown: Shown) -> None:
    action = FakeAction()
    action._connection.reset_fails = NotImplementedError("no")
    host(action).reset()
    assert shown.lines == ["-v web1: could not reset the connection: no"]


def test_host_key_of_another_port() -> None:
    action = FakeAction()
    action._connection.options |= {"port": 2222, "ssh_extra_args": "-o A=b"}
    one = host(action)
    one.connect_to("192.0.2.7")
    one.connect_to("192.0.2.8")
    assert action._connection.options["host"] == "192.0.2.8"
    assert action._connection.options["ssh_extra_args"] == "-o A=b -o HostKeyAlias='[192.0.2.1]:2222'"


def test_addresses_are_tried_beside_the_hosts_own() -> None:
    assert host(FakeAction()).addresses(["192.0.2.7"]) == ["192.0.2.7", "192.0.2.1"]
    assert host(FakeAction()).addresses([]) == []
    assert host(FakeAction(transport="local")).addresses(["192.0.2.7"]) == []


NO_ROUTE = AnsibleConnectionFailure("No route to host")
OTHERS = ["192.0.2.7", "192.0.2.8"]


def test_first_address_that_answers_from_the_start(tmp_path: Path) -> None:
    action, next_one = FakeAction(NO_ROUTE, NO_ROUTE, answered(a="1"), answered(a="2")), FakeAction(answered(a="3"))
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    assert one.run("units", units="a.service").get("a") == "1"
    assert one.address == "192.0.2.8"
    assert "-o HostKeyAlias=192.0.2.1 " in action._connection.options["ssh_extra_args"]
    # What was found is kept: by this host, and by the tasks after this one, which ask there first.
    assert one.run("units", units="a.service").get("a") == "2"
    later = host(next_one)
    later.try_addresses(OTHERS, tmp_path / "found")
    assert later.run("units", units="a.service").get("a") == "3"
    assert later.address == "192.0.2.8"
    # A system that takes it away is rolled back, unless the operator has named others for that.
    assert later.addresses([]) == []
    for each in (one, later):
        assert each.addresses(["192.0.2.9"]) == ["192.0.2.9", "192.0.2.8"]


@pytest.mark.parametrize("known", ["192.0.2.8", "192.0.2.1"])
def test_an_address_that_has_ceased_to_answer_between_two_tasks(tmp_path: Path, clock: Clock, known: str) -> None:
    """A system that takes it away is not confirmed at another one; only where the operator has named it for that."""
    (tmp_path / "found").write_text(known)
    asked: list[str] = []
    action = FakeAction()
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")

    def gone() -> Any:
        asked.append(one.address)
        return answered(a="1") if one.address == "192.0.2.9" else NO_ROUTE

    action.replies = [gone] * 99
    for confirm_hosts in ([], ["192.0.2.9"]):
        asked.clear()
        addresses = one.addresses(confirm_hosts)
        try:
            one.persist(20, lambda: one.run("units", units="a.service"), "confirming", addresses, begun=True)
        except HostLostError:
            assert set(asked) == {known}
        else:
            assert asked == [known, *confirm_hosts]
    assert (tmp_path / "found").read_text() == known


@pytest.mark.parametrize("transport", ["ansible.netcommon.libssh", "paramiko"])
def test_addresses_are_for_ssh_itself(tmp_path: Path, transport: str) -> None:
    """Others have no such options, and would take any host key."""
    action = FakeAction(answered(a="1"), transport=transport)
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    assert one.run("units", units="a.service").get("a") == "1"
    assert one.addresses(["192.0.2.9"]) == []


def test_what_was_found_and_is_none_of_its_addresses_any_more(tmp_path: Path) -> None:
    (tmp_path / "found").write_text("192.0.2.99")
    one = host(FakeAction())
    one.try_addresses(OTHERS, tmp_path / "found")
    assert one.address == "192.0.2.1"


def test_a_task_that_names_no_other_address_goes_where_it_was_found(tmp_path: Path) -> None:
    (tmp_path / "found").write_text("192.0.2.8")
    one = host(FakeAction(answered(a="1")))
    one.try_addresses([], tmp_path / "found")
    assert one.run("units", units="a.service").get("a") == "1"
    assert one.address == "192.0.2.8"


def test_once_it_was_reached_it_is_where_it_is(tmp_path: Path) -> None:
    """What was begun there is not asked for at another address, which may not show that it can be reached."""
    action = FakeAction(answered(a="1"), NO_ROUTE)
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    one.run("units", units="a.service")
    with pytest.raises(AnsibleConnectionFailure, match="No route"):
        one.run("units", units="a.service")
    assert one.address == "192.0.2.1"


def test_a_connection_that_ended_after_it_had_begun(tmp_path: Path) -> None:
    action = FakeAction(AnsibleConnectionFailure(f"{BEGUN}, and then nothing"))
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    with pytest.raises(AnsibleConnectionFailure):
        one.run("units", units="a.service")
    assert (one.reached, len(action.commands), one.address) == (True, 1, "192.0.2.1")


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    action = FakeAction(NO_ROUTE, answered(refused="busy", message="is busy"))
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    with pytest.raises(HostError):
        one.run("units", units="a.service")
    assert (tmp_path / "found").read_text() == one.address == "192.0.2.7"


def test_no_address_answers(tmp_path: Path) -> None:
    one = host(FakeAction(NO_ROUTE, AnsibleConnectionFailure("Permission denied (publickey)"), NO_ROUTE))
    one.try_addresses(OTHERS, tmp_path / "found")
    with pytest.raises(
        AnsibleConnectionFailure, match=r"none of its addresses.*192\.0\.2\.7: Permission denied"
    ) as error:
        one.run("units", units="a.service")
    assert connection.lets_nobody_in(error.value)
    assert not (tmp_path / "found").exists()


def test_no_other_host_has_its_shared_connection() -> None:
    """Over one that is there ssh looks at no host key."""
    paths = set()
    for own, address in (("192.0.2.1", "192.0.2.7"), ("192.0.2.1", "192.0.2.8"), ("192.0.2.2", "192.0.2.7")):
        action = FakeAction()
        action._connection.options["host"] = own
        host(action).connect_to(address)
        paths.add(action._connection.options["control_path"])
    assert len(paths) == 3
    assert all(path.startswith("%(directory)s/") for path in paths)


def test_a_login_that_was_refused_stays_one(tmp_path: Path) -> None:
    """Whatever the other addresses say: with a wrong password nobody tries for minutes."""
    action = FakeAction(AnsibleAuthenticationFailure("Invalid/incorrect password"), NO_ROUTE, NO_ROUTE)
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    with pytest.raises(AnsibleAuthenticationFailure):
        one.persist(60, lambda: one.run("units", units="a.service"), "looking")
    assert len(action.commands) == 3


def test_what_did_not_end_in_time_is_not_begun_at_another_address(tmp_path: Path) -> None:
    action = FakeAction(connection.TimeUpError("no answer within 90 s"), answered(a="1"))
    one = host(action)
    one.try_addresses(OTHERS, tmp_path / "found")
    with pytest.raises(connection.TimeUpError):
        one.run("units", units="a.service")
    assert len(action.commands) == 1


def test_a_worker_whose_ansible_playbook_has_ended_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another address is asked, nor the same one a second time."""
    for first in (NO_ROUTE, AnsibleConnectionFailure(MUX)):
        action = FakeAction(first, answered(a="1"))
        monkeypatch.setattr(connection, "is_orphaned", lambda action=action: bool(action.commands))
        one = host(action)
        one.try_addresses(OTHERS, tmp_path / "found")
        with pytest.raises(HostError) as caught:
            one.run("units", units="a.service")
        assert (caught.value.reason, len(action.commands)) == (Refusal.ORPHANED, 1)


@pytest.mark.parametrize(("transport", "others"), [("local", OTHERS), ("ssh", [])])
def test_only_over_ssh_and_where_there_are_others(tmp_path: Path, transport: str, others: list[str]) -> None:
    one = host(FakeAction(NO_ROUTE, transport=transport))
    one.try_addresses(others, tmp_path / "found")
    with pytest.raises(AnsibleConnectionFailure, match=r"^No route"):
        one.run("units", units="a.service")


def test_a_host_that_is_not_waited_for() -> None:
    """One that has answered is, and so is what goes on there whoever asks."""
    one = host(FakeAction())
    one.waited_for = False
    told = iter([NO_ROUTE])

    def attempt() -> str:
        for error in told:
            raise error
        return "is there"

    with pytest.raises(AnsibleConnectionFailure, match="No route"):
        one.persist(10, attempt, "looking")
    told = iter([NO_ROUTE])
    assert one.persist(10, attempt, "looking", begun=True) == "is there"
    told = iter([NO_ROUTE])
    assert (one.reached, one.persist(10, attempt, "looking")) == (True, "is there")


@pytest.mark.parametrize(
    ("error", "waited_for", "times"),
    [
        ("kex_exchange_identification: read: Connection reset by peer", False, 2),
        ("kex_exchange_identification: read: Connection reset by peer", True, 1),
        (GONE, False, 2),
        (f"{SAID}{GONE}", False, 1),
        ("connect to host 192.0.2.1 port 22: No route to host", False, 1),
    ],
)
def test_who_is_turned_away_asks_once_more_before_a_host_is_left_out(
    clock: Clock, error: str, waited_for: bool, times: int
) -> None:
    """A jump host that has too many logins at once says no more than one that is off."""
    action = FakeAction(*[AnsibleConnectionFailure(error)] * 3)
    one = host(action)
    one.waited_for = waited_for
    began = clock.now
    with pytest.raises(AnsibleConnectionFailure):
        one.run("units", units="a.service")
    assert (len(action.commands), clock.now - began) == (times, 5 * (times - 1))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost", socket.gethostname()])
def test_ssh_to_this_machine_proves_no_way_in(address: str) -> None:
    action = FakeAction()
    options = action._connection.options
    options["host"] = address
    assert host(action).unproven == f"{address} is this machine itself"
    # A virtual machine's forwarded port, and a tunnel on a jump host.
    for name, value in (("port", 2222), ("ssh_common_args", "-o ProxyJump=gate"), ("ssh_extra_args", "-J gate")):
        before = options.get(name)
        options[name] = value
        assert host(action).unproven == ""
        options[name] = before


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "web1.example.org", ""])
def test_ssh_to_another_machine_proves_a_way_in(address: str) -> None:
    action = FakeAction()
    action._connection.options["host"] = address
    assert host(action).unproven == ""


@pytest.mark.parametrize("transport", ["local", "community.docker.docker", "community.general.chroot"])
def test_other_connections_prove_no_way_in(transport: str) -> None:
    name = transport.rpartition(".")[2]
    assert host(FakeAction(transport=transport)).unproven == f"the connection '{name}' does not come from there"


def test_fresh_connections_and_shared_ones_again() -> None:
    action = FakeAction()
    action._connection.options["ssh_args"] = "-o ControlMaster=auto"
    one = host(action)
    one.use_fresh_connections()
    assert action._connection.options["ssh_args"] == "-o ControlMaster=no -o ControlPath=none -o ControlMaster=auto"
    assert action._connection.options["timeout"] == 10
    one.use_shared_connection()
    assert action._connection.options["ssh_args"] == "-o ControlMaster=auto"
    one.give_up_soon()
    assert action._connection.options["timeout"] == 5


@pytest.mark.parametrize("transport", ["ansible.netcommon.libssh", "paramiko", "paramiko_ssh"])
def test_every_connection_by_ssh_proves_a_way_in(transport: str) -> None:
    """Those that are not ssh itself know nothing of its options."""
    assert host(FakeAction(transport=transport)).unproven == ""


@pytest.mark.parametrize(("transport", "over_ssh"), [("ansible.netcommon.libssh", True), ("local", False)])
def test_other_connection_plugins(transport: str, over_ssh: bool) -> None:
    action = FakeAction(answered(a="b"), transport=transport)
    one = host(action)
    assert (one.over_ssh, one.address) == (over_ssh, "192.0.2.1" if over_ssh else "")
    one.use_fresh_connections()
    one.use_shared_connection()
    one.give_up_soon()
    assert action._connection.resets == 1
    assert one._execute("", b"", 5).get("a") == "b"
    assert action._connection.options == FakeConnection(transport).options


def test_dead_host_is_noticed_unless_the_user_has_set_that() -> None:
    action = FakeAction(*[answered()] * 4)
    one = host(action)
    for _each in range(2):
        one._execute("", b"", 5)
        assert action._connection.options["ssh_extra_args"] == "-o ServerAliveInterval=5 -o ServerAliveCountMax=4 -T"
    action._connection.options["ssh_extra_args"] = "-o ServerAliveInterval=60"
    one._execute("", b"", 5)
    assert action._connection.options["ssh_extra_args"] == "-o ServerAliveInterval=60 -T"
    # Who has to ask for a terminal gets none; of two options the last one counts.
    action._connection.options["ssh_extra_args"] = "-tt -o ServerAliveInterval=60"
    one._execute("", b"", 5)
    assert action._connection.options["ssh_extra_args"] == "-tt -o ServerAliveInterval=60 -T"


def test_what_is_shown_names_the_host(shown: Shown) -> None:
    one = host(FakeAction())
    one.tell("does something")
    one.step(Step.TEST, "is to try it")
    one.tell_more("and more")
    one.warn("look out")
    assert shown.lines == [
        "web1: does something",
        "web1: [test] is to try it",
        "-v web1: and more",
        "warning web1: look out",
    ]
    assert one.login_user == "admin"


@pytest.mark.parametrize(("at_once", "quiet"), [(1, 10), (8, 14), (100, 20)])
def test_many_hosts_are_asked_less_often(at_once: int, quiet: int) -> None:
    assert host(FakeAction(), at_once).quiet(10) == quiet


class FakeBecome:
    """A become plugin."""

    def __init__(self, name: str) -> None:
        self.name = name


def becoming(name: str, *replies: Reply) -> tuple[Host, FakeAction]:
    action = FakeAction(*replies)
    action._connection.become = FakeBecome(name)
    return Host(action, "host1"), action


def test_a_helper_is_sent_data_and_no_script() -> None:
    host, action = becoming(helper.METHOD, answered(), answered(refused="other-version", message="has another one"))
    action.environment = "LANG=C"
    host.run("copy_receive", path="/nix/store/a", nar_size="1", packed="no", data=b"\0x")
    ((command, sent),) = action.commands
    assert command == helper.COMMAND
    header, _newline, rest = sent.partition(b"\n")
    size = header.removeprefix(f"deploy-flake-1 copy_receive {helper.version('copy_receive')} ".encode())
    assert rest[: int(size)] == b"path /nix/store/a\nnar_size 1\npacked no\n.\n"
    assert rest[int(size) :] == b"\0x"
    with pytest.raises(HostError, match="host1 has another one") as caught:
        host.run("copy_receive", path="/nix/store/a", nar_size="1", packed="no")
    assert caught.value.reason == Refusal.OTHER_VERSION
    with pytest.raises(TypeError):
        host.run("copy_receive", path="/nix/store/a")


def test_machinectl_is_refused_before_the_host_is_asked() -> None:
    for name in ("machinectl", "community.general.machinectl"):
        host, action = becoming(name)
        with pytest.raises(HostError, match="gives each command a terminal") as caught:
            host.run("units", units="", limit=60)
        assert (caught.value.reason, action.commands) == (Refusal.BECOME, [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("community.general.doas", "permit nopass"),
        ("community.general.run0", "manage-units"),
        ("su", "root's own password"),
        ("su", "ansible_become_exe"),
        ("sudo", ""),
        ("", ""),
    ],
)
def test_who_cannot_become_root_is_told_how_to(name: str, words: str) -> None:
    """Whether Ansible has noticed it, or the program has just ended."""
    silent = {"rc": 1, "stdout": "", "stderr": "a tty is required\n"}
    for reply in (AnsibleError("Incorrect password."), silent):
        host, _action = becoming(name, reply)
        with pytest.raises((AnsibleError, HostError)) as caught:
            host.run("units", units="", limit=60)
        assert ("docs/become.md" in str(caught.value)) == bool(words)
        assert words in str(caught.value)
        assert any(said in str(caught.value) for said in ("Incorrect password", "it said: a tty is required"))
    # A prompt that waits in vain looks to Ansible as a host that does not answer.
    waited = AnsibleConnectionFailure("Timeout (12s) waiting for privilege escalation prompt:")
    for error, hinted in ((waited, bool(words)), (AnsibleConnectionFailure("Connection refused"), False)):
        host, _action = becoming(name, error)
        with pytest.raises(AnsibleConnectionFailure) as caught_waiting:
            host.run("units", units="", limit=60)
        assert ("docs/become.md" in str(caught_waiting.value)) is hinted
    # Once it has worked, that is not what is wrong.
    host, _action = becoming(name, answered(unit="x"), silent)
    host.run("units", units="", limit=60)
    with pytest.raises(HostError) as caught_later:
        host.run("units", units="", limit=60)
    assert "docs/become.md" not in str(caught_later.value)


def test_new_host_is_known_by_its_key_alone(tmp_path: Path) -> None:
    """Before whatever else the operator tells ssh of host keys, of which it takes the first."""
    action = FakeAction()
    action._connection.options["ssh_args"] = "-o UserKnownHostsFile=/dev/null"
    one = host(action)
    told = one.expect_host_keys(tmp_path / "a file")
    assert action._connection.options["ssh_args"] == told == one.ssh_arguments
    assert told.startswith(f"-o UserKnownHostsFile='{tmp_path}/a file' -o GlobalKnownHostsFile=/dev/null")
    assert told.index("StrictHostKeyChecking=yes") < told.index("UserKnownHostsFile=/dev/null")
    # What is shared is no proof.
    assert action._connection.resets == 1
    one.use_ssh_arguments("-C")
    assert one.ssh_arguments == "-C"
    assert host(FakeAction(transport="local")).expect_host_keys(tmp_path) == ""


@pytest.mark.parametrize("known", [True, False])
def test_ssh_is_told_only_what_it_knows(tmp_path: Path, known: bool) -> None:
    """OpenSSH before 8.5 would connect to nothing any more, and the disks are erased by then."""
    program = tmp_path / "ssh"
    said = "" if known else "echo 'command-line: line 0: Bad configuration option: knownhostscommand' >&2; exit 255"
    program.write_text(
        f'#!/bin/sh\n[ "$*" = "-F none -G -o KnownHostsCommand=none host" ] || exit 9\n{said}\n', "utf-8"
    )
    program.chmod(0o755)
    action = FakeAction()
    action._connection.options["ssh_executable"] = str(program)
    assert ("-o KnownHostsCommand=none" in host(action).expect_host_keys(tmp_path / "keys")) is known


def test_another_user_has_a_connection_of_their_own() -> None:
    action = FakeAction()
    one = host(action)
    one.log_in_as("root")
    assert action._connection.options["remote_user"] == "root"
    one.connect_to("192.0.2.7")
    path = action._connection.options["control_path"]
    action._get_remote_user = lambda: "somebody"  # type: ignore[method-assign]
    one.log_in_as("")
    assert action._connection.options["remote_user"] is None
    assert action._connection.options["control_path"] != path
