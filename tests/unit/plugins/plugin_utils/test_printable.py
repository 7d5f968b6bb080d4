# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No control character of a host reaches a terminal, through what is told and through the results of tasks."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.actions import Runner
from unit.fake_host import FakeHost
from unit.settings import NEW

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.settings import Source
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._printable import printable

# In the C1 form too: what begins a sequence, clears the screen and sets the title.
EVIL = "a\x9b2Jb\x1b[31mc\x1b]0;title\x07d\x9d0;title\x9ce\x00\x7f\x85\rf"


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    found = printable(text)
    assert not [letter for letter in found if unicodedata.category(letter) == "Cc" and letter not in "\n\t"]
    # Nothing is made of what is none.
    assert printable(found) == found


def test_nothing_else_is_lost() -> None:
    assert printable(EVIL) == "abcdef"
    text = "grün\t→ 1 µs\nnext\N{NO-BREAK SPACE}line"
    assert printable(text) is text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot open 'https://me:s3cret@example.org/x': 404", "cannot open 'https://***@example.org/x': 404"),
        ("git+https://s3cret@example.org/x?rev=1", "git+https://***@example.org/x?rev=1"),
        ("git+ssh://me:s3@cret@example.org/x", "git+ssh://***@example.org/x"),
        ("git+ssh://git@example.org/x", "git+ssh://git@example.org/x"),
        ("https://example.org/x?a=1&private_token=s3cret&b=2", "https://example.org/x?a=1&private_token=***&b=2"),
        ("https://example.org/x?X-Amz-Signature=s3cret#y", "https://example.org/x?X-Amz-Signature=***#y"),
        ("https://example.org/x@y?narHash=sha256-z&lastModified=1", None),
        ("me@example.org: https://example.org and a:b@c", None),
    ],
)
def test_what_a_url_has_to_log_in_with(said: str, shown: str | None) -> None:
    assert printable(said) == (shown or said)
    assert printable(printable(said)) == printable(said)


@pytest.mark.parametrize(
    "name",
    [
        *("token", "private_token", "private%5Ftoken", "access-token", "accessToken", "ACCESS_TOKEN", "authtoken"),
        *("secret", "client_secret", "password", "passwd", "pass", "PassPhrase", "credentials", "X-Amz-Credential"),
        *("sig", "X-Goog-Signature", "key", "api_key", "apikey", "APIKey", "AWSAccessKeyId", "secretkey", "keys"),
        *("tokenid", "userpassword", "myclientsecretid", "authcode"),
        *("auth", "oauth2", "Authorization", "a" * 500 + "_token"),
    ],
)  # fmt: skip
def test_parameters_that_log_in(name: str) -> None:
    assert printable(f"https://example.org/x?a=1&{name}=s3cret&b=2") == f"https://example.org/x?a=1&{name}=***&b=2"
    assert printable(f"https://example.org/x?{name}=s3cret") == f"https://example.org/x?{name}=***"


@pytest.mark.parametrize(
    "name",
    [
        *("author", "authors", "authority", "keyboard", "keytype", "keyword", "publicKey", "publicKeys", "public_key"),
        *("design", "signal", "tokenizer", "passenger", "bypass", "compass"),
        *("narHash", "rev", "ref", "dir", "lastModified"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_log_in(name: str) -> None:
    text = f"https://example.org/x?{name}=us&{name}=1"
    assert printable(text) == text


def test_the_record_on_the_host_has_no_login() -> None:
    assert (
        Source.from_options({"flake": "git+https://me:s3cret@example.org/x"}).flake == "git+https://***@example.org/x"
    )


def test_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    display = SimpleNamespace(
        display=told.append, warning=told.append, v=lambda text, host: told.append(f"{host} {text}")
    )
    monkeypatch.setattr(connection, "Display", lambda: display)
    host = connection.Host(SimpleNamespace(_connection=None), "web1")
    for tell in (host.tell, host.warn, host.tell_more):
        tell(EVIL)
    assert told == ["web1: abcdef", "web1: abcdef", "web1 abcdef"]


def test_results(monkeypatch: pytest.MonkeyPatch) -> None:
    class Says(FakeHost):
        def persist(self, *_given: Any, **_more: Any) -> Any:
            error = HostError(EVIL, Refusal.NO_ANSWER)
            error.result = {"notes": [EVIL], "found": {EVIL: (EVIL, 7)}}
            raise error

    result = Runner(monkeypatch)("system_test", Says(), {"toplevel": NEW})
    assert result == {
        "failed": True,
        "msg": "abcdef",
        "reason": "no-answer",
        "notes": ["abcdef"],
        "found": {"abcdef": ["abcdef", 7]},
    }
