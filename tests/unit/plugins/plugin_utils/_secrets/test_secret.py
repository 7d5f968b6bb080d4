# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets as a task asks for them: what is refused, and that no content is ever said."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from typing import Any

import pytest
from unit.actions import Runner, options_of
from unit.fake_host import FakeHost

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.context import Context
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._secrets import secret
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._secrets.secret import (
    MOST_BYTES,
    Secret,
    read_all,
    secrets_from_option,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._variables.names import types
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._variables.values import wrong

CONTENT = "hunter2-hunter2"
GOOD: dict[str, Any] = {"name": "db", "path": "/run/secrets/db", "content": CONTENT}


def secrets(*given: dict[str, Any]) -> tuple[Secret, ...]:
    """As the options of a module, with their defaults."""
    return secrets_from_option(options_of("system_secrets", secrets=list(given))["secrets"])


def test_command_that_leaves_something_behind() -> None:
    """It holds the pipes open, as ssh's master does, and the secret was printed all the same."""
    began = time.monotonic()
    given = {"name": "db", "path": "/run/x", "command": ["sh", "-c", "printf secret; sleep 30 & printf s"]}
    assert read_all(secrets(given))[0].content == b"secrets"
    assert time.monotonic() - began < 10


def test_line_for_the_host() -> None:
    more = {"owner": "app", "group": 0, "mode": "0440", "restart_units": ["a.service", "b@c.service"]}
    (found,) = secrets(GOOD | more | {"reload_units": ["d.service"]})
    units = "restart:a.service restart:b@c.service reload:d.service"
    assert found.line() == f"db\t/run/secrets/db\tapp\t0\t440\t{len(CONTENT)}\t{units}"
    assert secrets(GOOD)[0].line().endswith(f"\troot\troot\t400\t{len(CONTENT)}\t-")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "-db"}, "the name of a secret"),
        ({"name": "a b"}, "the name of a secret"),
        ({"name": "../x"}, "the name of a secret"),
        ({"name": ""}, "the name of a secret"),
        ({"content": None}, "one of 'content' and 'command'"),
        ({"command": ["cat"]}, "one of 'content' and 'command'"),
        ({"content": 7}, "must be text, and is of the type int"),
        ({"content": {"a": CONTENT}}, "must be text, and is of the type dict"),
        # As Ansible has values whose origin it remembers.
        ({"content": OrderedDict(a=CONTENT)}, "must be text, and is of the type dict"),
        ({"content": "x" * (MOST_BYTES + 1)}, "may have 1048576"),
        ({"path": "secrets/db"}, "must be absolute"),
        ({"path": "/run//db"}, "must be absolute"),
        ({"path": "/run/../etc/db"}, "must be absolute"),
        ({"path": "/run/secrets/"}, "must be absolute"),
        ({"path": "/run/secrets/a\tb"}, "a control character or a backslash"),
        ({"path": "/run/secrets/a\\b"}, "a control character or a backslash"),
        ({"path": f"/run/secrets/{'x' * 221}"}, "a name of more than 220 bytes"),
        ({"path": f"/run/{'x' * 221}/db"}, "a name of more than 220 bytes"),
        ({"path": "/run" + f"/{'x' * 200}" * 15}, "or more than 3000"),
        ({"path": "/run/secrets/.db.deploy-flake-old"}, "as what a deployment makes beside others does"),
        ({"path": "/nix/store/x"}, "nothing below /nix is for secrets"),
        ({"path": "/run/deploy-flake/x"}, "nothing below /run/deploy-flake is for secrets"),
        ({"path": "/var/lib/deploy-flake/secrets/x"}, "nothing below /var/lib/deploy-flake is for secrets"),
        ({"owner": "a b"}, "the owner of the secret db must be a name or a number"),
        ({"group": "-x"}, "the group of the secret db must be a name or a number"),
        ({"mode": 256}, "three octal digits in quotes"),
        ({"mode": "u=r"}, "three octal digits in quotes"),
        ({"mode": "4755"}, "three octal digits in quotes"),
        ({"restart_units": ["nginx"]}, "which is no unit"),
        ({"restart_units": ["app@.service"]}, "which is a template"),
        ({"restart_units": ["--now.service"]}, "which is no unit"),
        ({"reload_units": ["a b.service"]}, "which is no unit"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_the_content(change: dict[str, Any], words: str) -> None:
    with pytest.raises(HostError) as caught:
        secrets({key: value for key, value in (GOOD | change).items() if value is not None})
    assert caught.value.reason == Refusal.BAD_OPTION
    assert words in str(caught.value)
    assert CONTENT not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "/run/secrets/other"}, "two secrets have the same name, db"),
        ({"name": "other"}, "two secrets have the same path, /run/secrets/db"),
        ({"name": "other", "path": "/run/secrets/db/inner"}, "below another secret, /run/secrets/db"),
    ],
)
def test_those_that_do_not_go_together(change: dict[str, Any], words: str) -> None:
    with pytest.raises(HostError, match=words):
        secrets(GOOD, GOOD | change)


def of_command(*words: str) -> Secret:
    return secrets({"name": "db", "path": "/run/secrets/db", "command": list(words)})[0]


def test_output_of_a_command_is_the_content() -> None:
    program = "import sys; sys.stdout.buffer.write(bytes([0, 255, 10])); assert not sys.stdin.read()"
    (found,) = read_all([of_command(sys.executable, "-c", program)])
    assert found.content == b"\0\xff\n"
    assert (found.size, repr(found).count("\\xff")) == (3, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program"], "cannot be run: No such file"),
        (["sops --decrypt x"], "give it as a list, a word each"),
        ([sys.executable, "-c", "import sys; print('x'); sys.exit('no key')"], "exited 1: no key"),
        ([sys.executable, "-c", ""], "has printed nothing"),
        (["a\0b"], "a NUL, or a character that is none"),
        (["cat", "\ud800"], "a NUL, or a character that is none"),
        ([""], "cannot be run"),
        # Not one of them ends by itself.
        (["yes"], "prints more than the 1048576 bytes"),
        (["sh", "-c", "yes >&2 & echo; exec yes x"], "prints more than the 1048576 bytes"),
    ],
)
def test_command_that_gives_nothing(words: list[str], said: str) -> None:
    with pytest.raises(HostError) as caught:
        of_command(*words).read()
    assert said in str(caught.value)
    assert "the secret db" in str(caught.value)


@pytest.mark.parametrize("line", ["/opt/keys --token={} get db", "curl\thttps://me:{}@host/db", "\0 {}", "\ud800 {}"])
def test_message_has_nothing_of_a_whole_line(line: str) -> None:
    with pytest.raises(HostError) as caught:
        of_command(line.format(CONTENT)).read()
    assert CONTENT not in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_content_that_is_no_text() -> None:
    with pytest.raises(HostError, match="half of a surrogate pair") as caught:
        secrets(GOOD | {"content": f"{CONTENT}\ud800"})
    assert CONTENT not in str(caught.value)


def test_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "_COMMAND_LIMIT", 0.3)
    for words in ("sleep 60", "exec >&- 2>&-; sleep 60", "echo x; sleep 60 & exec sleep 60", "yes >&2"):
        with pytest.raises(HostError, match=r"did not end within 0\.3 s"):
            of_command("sh", "-c", words).read()


def test_too_much_together() -> None:
    many = [GOOD | {"name": f"s{n}", "path": f"/etc/s/{n}", "content": "x" * MOST_BYTES} for n in range(5)]
    with pytest.raises(HostError, match="all secrets together"):
        read_all(secrets(*many))


@pytest.mark.parametrize("given", [CONTENT, [CONTENT], [[CONTENT]], {CONTENT: CONTENT}, 7])
def test_another_shape_is_refused_without_the_content(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    result = Runner(monkeypatch)("system_secrets", FakeHost(), {"secrets": given})
    assert (result["reason"], "must be a list of dictionaries" in result["msg"]) == ("bad-option", True)
    assert CONTENT not in repr(result)
    found = wrong("main", types()["main"], {"deploy_flake_secrets": given}, Context(), lambda _module, _given: {})
    assert "must be a list of dictionaries" in found[0]
    assert CONTENT not in repr(found)


@pytest.mark.parametrize("module", ["flake_deploy", "system_test", "system_boot", "system_secrets"])
def test_no_log_has_them(module: str) -> None:
    assert argument_spec(module)["secrets"]["no_log"] is True
