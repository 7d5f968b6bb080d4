# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of others as a terminal may show it: what a host, a journal, a build or a unit says is anything at all.

All that is told goes through here, and so does every result. The package deploy_flake has the same for what it shows.
What a URL has to log in with is left out here, too: programs repeat the URLs that they were given.
"""

from __future__ import annotations

import re

# C0 but for the end of a line and the tab, DEL, and C1, whose U+009B begins a sequence as ESC [ does.
CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, and moves of the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles and links
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


_LOGIN = re.compile(r"(?<![a-zA-Z0-9+.-])([a-zA-Z][a-zA-Z0-9+.-]*)://([^\s/?#'\"<>]*)@")
_IN_QUERY = re.compile(r"([?&])([^=&\s#?'\"<>]+)=[^&\s#'\"<>]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Whole words, since an author and a keyboard are no secrets; but also words that nothing separates, as in apikey.
_SECRET = re.compile(
    r"[a-z]*(?:secret|passw|passphrase|signature|credential)[a-z]*"
    r"|[a-z]*(?:token|(?<!public)key)s?|token(?!i[sz])[a-z]*"
    r"|sig|pass|pwd|jwt|o?auth(?:code)?|auth(?:ori[sz]|entic)ation"
)
_HIDDEN = "***"


def without_logins(text: str) -> str:
    """The text without passwords and tokens in URLs. A name alone stays where it is no token, as in those of ssh."""
    if "://" in text:
        text = _LOGIN.sub(_without_login, text)
    return _IN_QUERY.sub(_without_secret, text) if "=" in text else text


def _without_login(url: re.Match[str]) -> str:
    scheme, login = url.groups()
    if ":" not in login and not scheme.lower().endswith(("http", "https")):
        return url[0]
    return f"{scheme}://{_HIDDEN}@"


def _without_secret(parameter: re.Match[str]) -> str:
    mark, name = parameter.groups()
    words = " ".join(_WORD.findall(name)).lower().replace("public key", "publickey").split()
    return f"{mark}{name}={_HIDDEN}" if any(map(_SECRET.fullmatch, words)) else parameter[0]


def printable(text: str) -> str:
    """The text without control characters and what they begin, and without logins; itself where it has none."""
    return without_logins(CONTROL.sub("", text) if CONTROL.search(text) else text)


def size_in_words(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 1024:.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
