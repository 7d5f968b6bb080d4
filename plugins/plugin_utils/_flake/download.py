# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files from the web, or from this machine by a file: URL."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .reference import FlakeError, decode_path

_SILENCE = 30
"""So many seconds a server may say nothing."""
_CHUNK = 1 << 18
_SECRET = ("Authorization", "Private-token")
_ASKS_WHO = (401, 403, 404)
"""What a server answers to those who may not see it; 404 where it does not even say that there is something."""


def download(url: str, headers: Mapping[str, str], login: tuple[str, str] | None, to: Path, limit: float) -> None:
    """Fetch a URL into a file; FlakeError where that cannot be, or takes longer than `limit` seconds."""
    # Loading them takes its time, in every process, and few flakes need them.
    from http.client import HTTPException
    from urllib.error import HTTPError

    from ansible.module_utils import urls

    parts = urlsplit(url)
    if parts.scheme == "file":
        shutil.copyfile(decode_path(parts.path, url), to)
        return
    if parts.scheme not in ("http", "https"):
        raise FlakeError(f"the controller cannot fetch it over {parts.scheme!r}")
    name, password = login or (parts.username, parts.password)
    if parts.username:
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    ends = time.monotonic() + limit
    try:
        # A token is for the server that is asked, and for none that it leads to.
        answer: Any = urls.open_url(
            url,
            headers=dict(headers),
            timeout=_SILENCE,
            url_username=name,
            url_password=password,
            force_basic_auth=bool(name),
            unredirected_headers=list(_SECRET),
            use_netrc=False,
            http_agent="deploy-flake",
        )
        with answer, to.open("wb") as file:
            while data := answer.read(_CHUNK):
                file.write(data)
                if time.monotonic() > ends:
                    raise FlakeError(f"{_plain(url)} was not here within {limit:.0f} s ('copy_timeout')")
    except HTTPError as error:
        hint = (
            "; an access token for it, or a login in a netrc file, may be what it wants"
            if error.code in _ASKS_WHO
            else ""
        )
        raise FlakeError(f"{_plain(url)} answers {error.code} {error.reason}{hint}") from error
    except (OSError, ValueError, HTTPException, urls.ConnectionError) as error:
        raise FlakeError(f"{_plain(url)} cannot be fetched: {error}") from error


def _plain(url: str) -> str:
    """Without what follows '?', which may be secret."""
    return url.partition("?")[0]
