# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets as a task asks for them, refused where they cannot be meant. No message has anything of a content."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Self

from .._codes import Refusal
from .._host.answer import HostError
from .._printable import printable
from .shape import type_of

MOST_BYTES = 1 << 20
"""Of one secret. They wait on a tmpfs."""
MOST_BYTES_TOGETHER = 4 << 20
_COMMAND_LIMIT = 120
"""Seconds for a command on the controller."""
_MOST_SAID = 1 << 16
"""Bytes that are kept of what it says on standard error: the last ones."""
_PAUSE = 0.2
"""Seconds without a byte after which a command that has exited has said all."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_OWNER = re.compile(r"[a-z_][a-z0-9_-]*\$?|[0-9]+", re.IGNORECASE)
_MODE = re.compile(r"0?[0-7]{3}")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]*\.(service|socket|target|timer|path|mount|slice)")
_LONGEST_PART = 220
"""Bytes of a file's name, which gets something more for a while."""
_LONGEST_PATH = 3000
_BESIDE = re.compile(r"\..*\.deploy-flake-(new|old|put)")
_OURS = ("/run/deploy-flake", "/run/deploy-flake-secrets", "/var/lib/deploy-flake")
_NOT_BELOW = ("/nix", "/proc", "/sys", "/dev", "/boot", "/efi", "/run/systemd", "/run/current-system", *_OURS)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A file on a host whose content nobody else may see."""

    name: str
    path: str
    owner: str
    group: str
    mode: str
    """As C(stat) says it, without a leading zero."""
    restart_units: tuple[str, ...]
    reload_units: tuple[str, ...]
    command: tuple[str, ...]
    """What prints the content on the controller; empty where that is known."""
    content: bytes | None = field(repr=False)

    @classmethod
    def from_option(cls, option: Mapping[str, Any]) -> Self:
        """Read one item of the option; HostError where it cannot be meant."""
        name = str(option["name"])
        if not _NAME.fullmatch(name):
            raise _bad(
                "the name of a secret has letters, digits, dots, dashes and underscores, at most 100 and no dash or dot"
                f" first; this is {name!r}"
            )
        if (option.get("content") is None) == (not option.get("command")):
            raise _bad(f"the secret {name} needs one of 'content' and 'command'")
        return cls(
            name=name,
            path=_path(name, str(option["path"])),
            owner=_owner(name, "owner", option["owner"]),
            group=_owner(name, "group", option["group"]),
            mode=_mode(name, option["mode"]),
            restart_units=_units(name, option["restart_units"]),
            reload_units=_units(name, option["reload_units"]),
            command=tuple(option.get("command") or ()),
            content=None if option.get("content") is None else _content(name, option["content"]),
        )

    def read(self) -> Self:
        """The same with its content."""
        if self.content is not None:
            return self
        try:
            status, printed, said = _output(self.command)
        except subprocess.TimeoutExpired:
            raise _bad(
                f"{self._its_command} did not end within {_COMMAND_LIMIT} s; it must not ask for anything"
            ) from None
        except OSError as error:
            # A line is taken for a list of one word.
            hint = "; give it as a list, a word each" if " " in self.command[0] else ""
            raise _bad(f"{self._its_command} cannot be run: {error.strerror}{hint}") from None
        except ValueError:
            # Its own words have the value. UnicodeEncodeError is one as well.
            raise _bad(
                f"{self._its_command} cannot be run: a word of it has a NUL, or a character that is none"
            ) from None
        if len(printed) > MOST_BYTES:
            raise _bad(f"{self._its_command} prints more than the {MOST_BYTES} bytes that a secret may have")
        if status:
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            raise _bad(f"{self._its_command} exited {status}{f': {last[0]}' if last else ''}")
        if not printed:
            raise _bad(f"{self._its_command} has printed nothing")
        return replace(self, content=printed, command=())

    @property
    def _its_command(self) -> str:
        """Without what a whole line in its first word may have."""
        words = self.command[0].split(maxsplit=1)
        called = PurePosixPath(words[0]).name.encode(errors="replace").decode() if words else ""
        return f"the command of the secret {self.name} on the controller, {printable(called)},"

    @property
    def size(self) -> int:
        """Bytes of its content, once that is known."""
        return len(self.content or b"")

    def line(self) -> str:
        """As the host reads it, without its content."""
        units = [f"restart:{unit}" for unit in self.restart_units] + [f"reload:{unit}" for unit in self.reload_units]
        fields = (self.name, self.path, self.owner, self.group, self.mode, str(self.size), " ".join(units) or "-")
        return "\t".join(fields)


def secrets_from_option(option: Iterable[Mapping[str, Any]]) -> tuple[Secret, ...]:
    """All of them; HostError where they do not go together either."""
    found = tuple(Secret.from_option(each) for each in option)
    for what, values in (("name", [one.name for one in found]), ("path", [one.path for one in found])):
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise _bad(f"two secrets have the same {what}, {twice[0]}")
    paths = {one.path for one in found}
    for one in found:
        if inside := next((path for path in paths if one.path.startswith(f"{path}/")), None):
            raise _bad(f"the secret {one.name} is to be at {one.path}, below another secret, {inside}")
    return found


def read_all(secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """Run the commands that there are; HostError for one that fails, or where it is too much together."""
    found = tuple(one.read() for one in secrets)
    if (together := sum(one.size for one in found)) > MOST_BYTES_TOGETHER:
        raise _bad(f"all secrets together have {together} bytes, and may have {MOST_BYTES_TOGETHER}")
    return found


def _output(command: Sequence[str]) -> tuple[int, bytes, bytes]:
    """What a command exits with, prints, and says of itself at last.

    Of what it prints no more is read than tells that it is too much; then it is ended. TimeoutExpired where it does not
    end by itself.
    """
    ends = time.monotonic() + _COMMAND_LIMIT
    printed, said = bytearray(), bytearray()
    with (
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        for pipe, kept in ((process.stdout, printed), (process.stderr, said)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, kept)
        try:
            while selector.get_map() and len(printed) <= MOST_BYTES:
                if (left := ends - time.monotonic()) <= 0:
                    raise subprocess.TimeoutExpired(command, _COMMAND_LIMIT)
                ready = selector.select(min(left, _PAUSE))
                # What it has started may hold them open for good, and does not print the secret.
                if not ready and process.poll() is not None:
                    break
                for key, _events in ready:
                    if read := os.read(key.fd, 1 << 16):
                        key.data.extend(read)
                    else:
                        selector.unregister(key.fileobj)
                del said[:-_MOST_SAID]
            if len(printed) > MOST_BYTES:
                _kill(process)
            process.wait(max(1, ends - time.monotonic()))
        except BaseException:
            _kill(process)
            raise
    return process.returncode, bytes(printed), bytes(said)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Also what it has started, which could hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _bad(message: str) -> HostError:
    return HostError(message, Refusal.BAD_OPTION)


def _path(name: str, path: str) -> str:
    parts = path.split("/")[1:]
    if not path.startswith("/") or path != path.strip() or any(part in ("", ".", "..") for part in parts):
        raise _bad(f"the path of the secret {name} must be absolute, and without '//', '.' and '..'; it is {path!r}")
    if not path.isprintable() or "\\" in path:
        raise _bad(f"the path of the secret {name} has a control character or a backslash: {path!r}")
    if any(len(part.encode()) > _LONGEST_PART for part in parts) or len(path.encode()) > _LONGEST_PATH:
        raise _bad(
            f"the path of the secret {name} has a name of more than {_LONGEST_PART} bytes, or more than {_LONGEST_PATH}"
        )
    if _BESIDE.fullmatch(parts[-1]):
        raise _bad(
            f"the path of the secret {name} ends with {parts[-1]}, as what a deployment makes beside others does"
        )
    for other in _NOT_BELOW:
        if path == other or path.startswith(f"{other}/"):
            raise _bad(f"the secret {name} cannot be at {path}: nothing below {other} is for secrets")
    return path


def _owner(name: str, what: str, value: Any) -> str:
    text = str(value)
    if not _OWNER.fullmatch(text) or len(text) > 32:
        raise _bad(f"the {what} of the secret {name} must be a name or a number, and is {text!r}")
    return text


def _mode(name: str, value: Any) -> str:
    if isinstance(value, int) or not _MODE.fullmatch(str(value)):
        raise _bad(
            f"the mode of the secret {name} must be three octal digits in quotes, such as '0400'; it is {value!r}"
        )
    return format(int(str(value), 8), "o")


def _units(name: str, units: Sequence[str]) -> tuple[str, ...]:
    for unit in units:
        if not _UNIT.fullmatch(unit):
            raise _bad(
                f"the secret {name} names {unit!r}, which is no unit; give its whole name, as in 'nginx.service'"
            )
        if "@." in unit:
            raise _bad(
                f"the secret {name} names {unit!r}, which is a template; name its instances, as in 'app@1.service'"
            )
    return tuple(units)


def _content(name: str, content: Any) -> bytes:
    if not isinstance(content, str):
        raise _bad(f"the content of the secret {name} must be text, and is of the type {type_of(content)}")
    try:
        found = content.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        # Its own words have the content.
        raise _bad(
            f"the content of the secret {name} has a character that is none (half of a surrogate pair)"
        ) from None
    if len(found) > MOST_BYTES:
        raise _bad(f"the secret {name} has {len(found)} bytes, and may have {MOST_BYTES}")
    return found
