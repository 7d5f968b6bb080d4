# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of deployments.jsonl on a host, one for each deployment that has ended."""

from __future__ import annotations

import json
from typing import Any


def read_record(text: str) -> dict[str, Any]:
    """A line of deployments.jsonl; empty where there is none or it is broken."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
