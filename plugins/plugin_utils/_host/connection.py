# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host of a task, as the action plugins see it: short POSIX sh scripts over the task's own connection.

A script is given on standard input to a shell. So become applies, no terminal is allocated, and no value of a
variable reaches a shell unquoted or a process list at all.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Protocol, TypeVar

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from .._codes import Refusal, Step
from .._printable import printable
from . import become, helper, scripts
from .answer import Answer, HostError, HostLostError
from .orphaned import is_orphaned
from .own_machine import is_own
from .sending import FileData, given

# bash, which is /bin/sh on NixOS, reads a script from a pipe one byte at a time; dd does not, and leaves it the rest.
_SHELL = """/bin/sh -c 'eval "$(dd bs=SIZE count=1 iflag=fullblock 2>/dev/null)"'"""
BEGUN = "deploy-flake has begun"
# Words of ssh whose shared connection has just ended: it could not even ask for a session, so nothing has begun.
# Ansible's own second try knows one of them alone.
_NOT_ASKED = re.compile(r"mux_client_\w+: write packet: ")

# Words of ssh, which has one status for all: it asks in vain until somebody has mended something.
_NEVER = re.compile(
    r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|Permission denied \(|"
    r"Too many authentication failures|No supported authentication methods"
)
# Words of ssh for a name that nobody knows, which may be a wrong one.
_NO_SUCH_NAME = re.compile(r"Could not resolve hostname")
# Words of ssh before any login: a jump host or sshd that has too many of them at once says no more.
_TURNED_AWAY = re.compile(r"kex_exchange_identification|Connection (closed|reset) by \S+ port")
_SSH_OPTIONS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
# Another machine connects to the address.
_ELSEWHERE = re.compile(r"ProxyJump|ProxyCommand|-J\b", re.IGNORECASE)

_PAUSE = 5
"""Seconds before a host that is left out if it does not answer is asked a second time."""

T = TypeVar("T")


class TimeUpError(AnsibleConnectionFailure):
    """A command did not end within its limit, over a connection that may be well."""


class Connection(Protocol):
    """What is used of a connection plugin."""

    transport: str

    def get_option(self, option: str) -> Any: ...
    def set_option(self, option: str, value: Any) -> None: ...
    def reset(self) -> None: ...


class Action(Protocol):
    """What is used of ansible-core's ActionBase. None of it is public, so nothing else in the collection may use it."""

    _connection: Any

    def _get_remote_user(self) -> Any: ...
    def _compute_environment_string(self) -> str: ...
    def _low_level_execute_command(self, cmd: str, *, in_data: bytes) -> Mapping[str, Any]: ...


class Host:
    """The host of one task."""

    kind = scripts.SYSTEM
    """What of it is deployed to."""

    def __init__(self, action: Action, name: str, at_once: int = 1, on_behalf_of: str = "") -> None:
        self.name = name
        self.on_behalf_of = on_behalf_of or name
        """The inventory's name that the task is for; another one where the task is delegated."""
        self._at_once = at_once
        self.reached = False
        self.waited_for = True
        """Whether `persist` waits for one that has never answered; not where such a host is left out."""
        self.undecided: Mapping[str, Any] = {}
        """Return values of a failure from now on: of what was begun, and goes on where nobody hears of it."""
        self._host_key_alias = ""
        self._own_address = ""
        self._shared_args = ""
        self._candidates: list[str] = []
        """Addresses to try before it is reached, in this order; none where it is known which it is."""
        self._found_at: Path | None = None
        self._action = action
        self._display = Display()

    @property
    def over_ssh(self) -> bool:
        """Whether a broken sshd on the host would shut us out."""
        return self._transport in ("ssh", "paramiko", "paramiko_ssh", "libssh")

    @property
    def unproven(self) -> str:
        """Why an answer over this connection is no proof that anybody can come in from outside; "" where it is one."""
        if not self.over_ssh:
            return f"the connection '{self._transport}' does not come from there"
        if self.goes_elsewhere:
            return ""
        if is_own(self.address, self._connection.get_option("port")):
            return f"{self.address} is this machine itself"
        return ""

    @property
    def goes_elsewhere(self) -> bool:
        """Whether ssh goes by another machine first, whatever it is that it reaches in the end."""
        # Other plugins do not have them, and say so with an exception.
        names = _SSH_OPTIONS if self._transport == "ssh" else ()
        options = (str(self._connection.get_option(name) or "") for name in names)
        return any(_ELSEWHERE.search(option) for option in options)

    @property
    def _connection(self) -> Connection:
        connection: Connection = self._action._connection
        return connection

    @property
    def _transport(self) -> str:
        """The short name of the connection plugin."""
        return str(self._connection.transport).rpartition(".")[2]

    @property
    def login_user(self) -> str:
        """Who logs in, as far as it is known here; "" where only the host knows."""
        return str(self._action._get_remote_user() or "")

    def quiet(self, seconds: int) -> int:
        """For how many seconds a poll keeps to itself what is only progress: longer where many hosts are deployed to.

        Each answer costs another command, and that time is taken from the others; nobody reads so many lines either.
        """
        return seconds + min(self._at_once, 20) // 2

    def tell(self, text: str) -> None:
        """One line of progress for whoever watches."""
        self._display.display(f"{self.name}: {printable(text)}")

    def step(self, step: Step, text: str) -> None:
        """The line with which a step begins. Programs that follow the run go by the word in brackets alone."""
        self.tell(f"[{step}] {text}")

    def tell_more(self, text: str) -> None:
        """One line for those who asked for more (-v)."""
        self._display.v(printable(text), host=self.name)

    def warn(self, text: str) -> None:
        """A warning that names the host."""
        self._display.warning(f"{self.name}: {printable(text)}")

    def run(
        self, command: str, /, *, limit: float = 90, data: bytes | FileData = b"", **inputs: scripts.Input
    ) -> Answer:
        """Run a command of _sh/command with its inputs, and data on its standard input. `limit` is in seconds.

        Raises AnsibleConnectionFailure when the connection fails, HostError when the script says no. A worker whose
        ansible-playbook was killed asks for nothing more: it would begin and confirm deployments that nobody follows.
        """
        if become.by_helper(self._connection):
            if self.kind.name:
                raise HostError(
                    f"{self.name} was not asked: its helper deploys no profiles but the system's; become root with sudo"
                    " (ansible_become_method) for them",
                    Refusal.BECOME,
                )
            return self._execute(helper.COMMAND, _behind(helper.request(command, inputs), data), limit)
        text = scripts.command(command, inputs, self.kind).encode(errors="surrogateescape")
        return self._execute(_SHELL.replace("SIZE", str(len(text))), _behind(text, data), limit)

    def persist(
        self,
        patience: float,
        attempt: Callable[[], T],
        doing: str,
        addresses: Sequence[str] = (),
        begun: bool = False,
    ) -> T:
        """Try again over new connections while the host does not answer, for `patience` seconds from the first failure.

        `addresses` are tried in turn, where there are any. Raises HostLostError in the end. Every script may run twice,
        so that this is harmless. One that was never reached, and is not `waited_for`, is asked once, and its exception
        goes on. `begun` is for what goes on there whoever asks, as all that is `undecided` does: then
        a login or a become that has ceased to work is waited for as well.
        """
        in_turn = itertools.cycle(addresses)
        was_reached = self.reached
        lost_at: float | None = None
        pause = 0.5
        while True:
            try:
                result = attempt()
            except (AnsibleError, HostError) as error:
                if not self._may_come_back(error, begun or bool(self.undecided), was_reached):
                    raise
                if not (self.waited_for or self.reached or begun or self.undecided):
                    raise
                if lost_at is None:
                    lost_at = time.monotonic()
                    lost = "lost the connection" if isinstance(error, AnsibleConnectionFailure) else "got no answer"
                    self.tell(f"{lost} while {doing}; trying again for {patience:.0f} s")
                    self.tell_more(str(error))
                if time.monotonic() - lost_at >= patience:
                    raise HostLostError(
                        f"{self.name} has not answered for {patience:.0f} s while {doing}: {error}", Refusal.LOST
                    ) from error
                self.reset()
                if addresses:
                    self.connect_to(next(in_turn))
                time.sleep(pause)
                pause = min(pause * 1.5, 5)
            else:
                if lost_at is not None:
                    self.tell("is back")
                self.reached = True
                return result

    def _may_come_back(self, error: Exception, begun: bool, was_reached: bool) -> bool:
        """Whether this is lost contact, and no answer. A system that is tried may have taken sudo or a key away."""
        if begun:
            return no_answer(error) or (was_reached and getattr(error, "reason", "") == Refusal.NOT_ROOT)
        return isinstance(error, AnsibleConnectionFailure) and not lets_nobody_in(error)

    def contact(self, patience: float, attempt: Callable[[], T], doing: str, begun: bool = False) -> T:
        """As `persist`, but a host that was never reached is not waited for: raises AnsibleConnectionFailure."""
        if not self.reached:
            try:
                return attempt()
            except AnsibleConnectionFailure:
                if not self.reached:
                    raise
        return self.persist(patience, attempt, doing, begun=begun)

    def reset(self) -> None:
        """Let go of a connection that may be dead, a shared one included."""
        try:
            with time_limit(15):
                self._connection.reset()
        except (AnsibleConnectionFailure, OSError, NotImplementedError) as error:
            self.tell_more(f"could not reset the connection: {error}")

    @property
    def address(self) -> str:
        """Where the connection goes to."""
        name = "host" if self._transport == "ssh" else "remote_addr"
        return str(self._connection.get_option(name)) if self.over_ssh else ""

    @property
    def port(self) -> str:
        """The port of that; "" for the usual one."""
        return str(self._connection.get_option("port") or "") if self.over_ssh else ""

    def try_addresses(self, others: Sequence[str], found_at: Path) -> None:
        """Until it is reached, try these as well, in this order, where it does not answer at its own.

        The file says at which one it was found, for the tasks to come: they ask there alone, or a system that takes it
        away would be confirmed at another one. Only with ssh itself, which can be told whose host key it has to be.
        """
        if self._transport != "ssh":
            return
        known = found_at.read_text("utf-8") if found_at.exists() else ""
        # A task that names none goes on where another one has found it.
        if known and known in (self.address, *(others or [known])):
            self._begin_at(known)
        elif others:
            self._found_at = found_at
            self._candidates = list(dict.fromkeys((self.address, *others)))

    def _begin_at(self, address: str) -> None:
        if address != self.address:
            self.connect_to(address)
            # From here on this is where it is, and a system that takes it away is rolled back.
            self._own_address = address

    def addresses(self, others: Sequence[str]) -> list[str]:
        """These and the host's own, to be tried in turn; none where there are no others, or not ssh itself."""
        if self._transport != "ssh" or not others:
            return []
        own = (self._own_address or self.address, *self._candidates)
        return list(dict.fromkeys(one for one in (*others, *own) if one))

    def connect_to(self, address: str) -> None:
        """Connect to another address of the same host from here on; its host key has to be the one it had before."""
        connection = self._connection
        if not self._host_key_alias:
            port = connection.get_option("port")
            alias = self.address if port in (None, 22, "22") else f"[{self.address}]:{port}"
            self._host_key_alias = alias
            self._own_address = self.address
            extra = connection.get_option("ssh_extra_args") or ""
            connection.set_option("ssh_extra_args", f"{extra} -o HostKeyAlias={shlex.quote(alias)}".strip())
        connection.set_option("host", address)
        self._choose_control_path()

    def _choose_control_path(self) -> None:
        """ssh checks no host key over a shared connection, so this one is no other host's that has the address."""
        connection = self._connection
        parts = (self._host_key_alias, self.address, connection.get_option("port"), self.login_user)
        shared = hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:10]
        connection.set_option("control_path", f"%(directory)s/{shared}")

    def log_in_as(self, user: str) -> None:
        """From here on, over a connection of its own; "" for whomever the operator's own settings say."""
        connection = self._connection
        self.reset()
        connection.set_option("remote_user", user or None)
        if self._transport == "ssh" and self._host_key_alias:
            # What `connect_to` has chosen is another user's.
            self._choose_control_path()

    def expect_host_keys(self, file: Path) -> str:
        """From here on it is the host that has one of the keys in this known_hosts file, at whatever address.

        The arguments of ssh that say so, for whoever connects to it later on; "" where it is not ssh itself that
        connects.
        """
        if self._transport != "ssh":
            return ""
        # ssh takes the first value of an option that it is given.
        known = f"-o UserKnownHostsFile={shlex.quote(str(file))} -o GlobalKnownHostsFile=/dev/null"
        strictly = "-o StrictHostKeyChecking=yes -o UpdateHostKeys=no"
        if self._ssh_knows("KnownHostsCommand=none"):
            strictly = f"{strictly} -o KnownHostsCommand=none"
        arguments = f"{known} {strictly} {self._connection.get_option('ssh_args') or ''}".strip()
        self.use_ssh_arguments(arguments)
        return arguments

    def _ssh_knows(self, option: str) -> bool:
        """Whether this machine's ssh has it: one that does not would connect to nothing any more."""
        program = str(self._connection.get_option("ssh_executable") or "ssh")
        command = [program, "-F", "none", "-G", "-o", option, "host"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self.tell_more(f"{program} does not say which options it has: {error}")
            return True
        return "Bad configuration option" not in done.stderr

    @property
    def ssh_arguments(self) -> str:
        """The first arguments of ssh, before those that are for all hosts; "" where it is not ssh itself."""
        return str(self._connection.get_option("ssh_args") or "") if self._transport == "ssh" else ""

    def use_ssh_arguments(self, arguments: str) -> None:
        """From here on, over a new connection."""
        if self._transport == "ssh":
            self.reset()
            self._connection.set_option("ssh_args", arguments)

    def give_up_soon(self) -> None:
        """A host that is not there is asked again soon, and not waited for."""
        if self._transport == "ssh":
            connection = self._connection
            connection.set_option("timeout", min(int(connection.get_option("timeout") or 5), 5))

    def use_fresh_connections(self) -> None:
        """From here on each command gets a TCP connection and a login of its own, and gives up on a silent one soon."""
        connection = self._connection
        if self._transport != "ssh":
            self.reset()
            return
        # ssh takes the first value of an option that it is given.
        self._shared_args = connection.get_option("ssh_args") or ""
        connection.set_option("ssh_args", f"-o ControlMaster=no -o ControlPath=none {self._shared_args}")
        connection.set_option("timeout", min(int(connection.get_option("timeout") or 10), 10))

    def use_shared_connection(self) -> None:
        """After `use_fresh_connections`: commands may share one again."""
        if self._transport == "ssh":
            self._connection.set_option("ssh_args", self._shared_args)

    def _execute(self, command: str, data: bytes | FileData, limit: float) -> Answer:
        anywhere = self._candidates and not self.reached
        return (self._execute_anywhere if anywhere else self._execute_there)(command, data, limit)

    def _execute_anywhere(self, command: str, data: bytes | FileData, limit: float) -> Answer:
        """At the first of its addresses that answers."""
        failures = []
        refused = False
        for address in self._candidates:
            self._begin_at(address)
            try:
                return self._execute_there(command, data, limit)
            except AnsibleConnectionFailure as error:
                # What did not end in time may be at work there.
                if self.reached or isinstance(error, TimeUpError):
                    raise
                refused = refused or lets_nobody_in(error)
                failures.append(f"{address}: {error}")
            finally:
                if self.reached and self._found_at:
                    self._found_at.write_text(address, "utf-8")
                    self._candidates = []
        kind = AnsibleAuthenticationFailure if refused else AnsibleConnectionFailure
        raise kind(f"{self.name} answers at none of its addresses. {' '.join(failures)}")

    def _execute_there(self, command: str, data: bytes | FileData, limit: float) -> Answer:
        try:
            return self._execute_once(command, data, limit)
        except AnsibleConnectionFailure as error:
            turned_away = not (self.waited_for or self.reached) and _TURNED_AWAY.search(str(error))
            if BEGUN in str(error) or not (turned_away or _NOT_ASKED.search(str(error))):
                raise
        if turned_away:
            time.sleep(_PAUSE)
        self.reset()
        return self._execute_once(command, data, limit)

    def _execute_once(self, command: str, data: bytes | FileData, limit: float) -> Answer:
        # Each time, since a first try takes a while.
        if is_orphaned():
            raise HostError(f"ansible-playbook has ended, so {self.name} is asked for nothing more", Refusal.ORPHANED)
        # The helper has that of sudo.
        environment = "" if command == helper.COMMAND else self._action._compute_environment_string()
        method = become.method(self._connection)
        if why_not := become.cannot_work(method):
            raise HostError(f"{self.name} was not asked: nobody becomes root there this way: {why_not}", Refusal.BECOME)
        # Where it has worked before, it is not the way.
        hint = "" if self.reached else become.hint(method)
        self._prepare_ssh()
        try:
            with given(self._connection, data) as first, time_limit(limit):
                result = self._action._low_level_execute_command(f"{environment} {command}".strip(), in_data=first)
            if result["rc"] == 255:
                raise AnsibleConnectionFailure(f"ssh exited 255: {result['stderr']}")
        except AnsibleConnectionFailure as error:
            self.reached = self.reached or BEGUN in str(error)
            if hint and become.WAITED in str(error):
                raise AnsibleConnectionFailure(f"{str(error).rstrip(':')}. {hint}") from error
            raise
        except AnsibleError as error:
            if not hint:
                raise
            raise AnsibleError(f"{str(error).rstrip('.')}. {hint}") from error
        try:
            answer = Answer.parse(result["stdout"])
        except ValueError:
            said = _last_line(result["stderr"].replace(BEGUN, "")) or _last_line(result["stdout"])
            raise HostError(
                f"a script on {self.name} ended with {result['rc']} and no answer"
                f"{f'; it said: {said}' if said else ', and said nothing'}{f'. {hint}' if hint else ''}",
                Refusal.NO_ANSWER,
            ) from None
        self.reached = True
        if answer.get("refused"):
            raise HostError(f"{self.name} {answer.get('message')}", answer.get("refused"), answer)
        return answer

    def _prepare_ssh(self) -> None:
        """A connection to a host without power hangs for minutes; end ours after 20 s, unless the user says else.

        A terminal, which the user may have asked for, would change what scripts are given and what they answer.
        """
        connection = self._connection
        if self._transport != "ssh":
            return
        extra = connection.get_option("ssh_extra_args") or ""
        # The last one counts.
        terminal = "" if extra.endswith("-T") else "-T"
        silence = "" if "ServerAliveInterval" in extra else "-o ServerAliveInterval=5 -o ServerAliveCountMax=4"
        if terminal or silence:
            connection.set_option("ssh_extra_args", " ".join(filter(None, (extra, silence, terminal))))


def _behind(script: bytes, data: bytes | FileData) -> bytes | FileData:
    return data.after(script) if isinstance(data, FileData) else script + data


def lets_nobody_in(error: Exception) -> bool:
    """Whether somebody has answered, and refused the login, or is not the host that the key was of."""
    return isinstance(error, AnsibleAuthenticationFailure) or _NEVER.search(str(error)) is not None


def may_be_off(error: Exception) -> bool:
    """Whether nobody has answered at all. A command that did not end in time may well have begun."""
    told = lets_nobody_in(error) or _NO_SUCH_NAME.search(str(error))
    return not (told or isinstance(error, TimeUpError))


def no_answer(error: Exception) -> bool:
    """Whether the host has not said anything: no connection, no login, or no become, whose failures Ansible raises."""
    return isinstance(error, AnsibleError) or getattr(error, "reason", "") == Refusal.NO_ANSWER


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Turn a wait that does not end into a lost connection. A task's own `timeout` stays in charge where it is set.

    Only the main thread gets signals; what waits for other threads has a limit for all of them.
    """

    def give_up(_signal: int, _frame: FrameType | None) -> Any:
        raise TimeUpError(f"no answer within {seconds:.0f} s")

    if current_thread() is not main_thread() or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
