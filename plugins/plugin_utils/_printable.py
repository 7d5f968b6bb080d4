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
_NAME = r"[^=&\s#?'\"<>]{0,40}"
_IN_QUERY = re.compile(
    rf"([?&]{_NAME}(?:token|secret|passw|signature|\bsig\b|credential|auth|key){_NAME}=)[^&\s#'\"<>]+", re.IGNORECASE
)
_HIDDEN = "***"


def without_logins(text: str) -> str:
    """The text without passwords and tokens in URLs. A name alone stays where it is no token, as in those of ssh."""
    if "://" in text:
        text = _LOGIN.sub(_without_login, text)
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", text) if "=" in text else text


def _without_login(url: re.Match[str]) -> str:
    scheme, login = url.groups()
    if ":" not in login and not scheme.lower().endswith(("http", "https")):
        return url[0]
    return f"{scheme}://{_HIDDEN}@"


def printable(text: str) -> str:
    """The text without control characters and what they begin, and without logins; itself where it has none."""
    return without_logins(CONTROL.sub("", text) if CONTROL.search(text) else text)
