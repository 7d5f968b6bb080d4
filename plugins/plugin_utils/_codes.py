# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words that programs decide by: the scripts on the host write them, the controller reads them.

A sentence may stand beside each, for people; nothing is decided by one.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a deployment stands, as the host's state file says it; the last seven are how it ended."""

    CHECKING = "checking"
    ACTIVATING = "activating"
    SETTLING = "settling"
    WINDOW = "window"
    CONFIRMED = "confirmed"
    COMMIT_CHECK = "commit-check"
    COMMIT_PROFILE = "commit-profile"
    COMMIT_BOOT = "commit-boot"
    COMMIT_VERIFY = "commit-verify"
    ROLLING_BACK = "rolling-back"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    COMMIT_FAILED = "commit-failed"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    INTERRUPTED = "interrupted"


FINAL = frozenset(list(State)[-7:])
"""A deployment is open until its state is one of these."""


class Mode(StrEnum):
    """Whether a system is tried live or only becomes the boot default."""

    TEST = "test"
    BOOT = "boot"


class Why(StrEnum):
    """Why a deployment on the host stopped: `why_code` of its record, beside the sentence `why`."""

    # Before anything was activated.
    UNFINISHED = "unfinished"
    TRIAL = "trial-in-progress"
    CANNOT_RECORD = "cannot-record"
    UNTESTED_BOOT_DEFAULT = "untested-boot-default"
    NO_GUARD = "no-guard"
    NOT_UP = "not-up"
    UNITS_FAILED_BEFORE = "units-failed-before"
    PRE_ACTIVATE_SCRIPT = "pre-activate-script"
    REBOOT_REQUIRED = "reboot-required"
    SWITCH_LOCKED = "switch-locked"
    PRE_SWITCH_CHECKS = "pre-switch-checks"
    # While the new system ran.
    ACTIVATION = "activation"
    UNITS_FAILED = "units-failed"
    NOT_LIVE = "not-live"
    BROKEN_TOOL = "broken-tool"
    UNREACHABLE = "unreachable"
    REVOKED = "revoked"
    NOT_CONFIRMED = "not-confirmed"
    SUPERSEDED = "superseded"
    BOOT_LOADER = "boot-loader"
    PROFILE = "profile"
    STOPPED = "stopped"
    NO_ANSWER_FROM_SYSTEMD = "no-answer-from-systemd"
    POWER_LOST = "power-lost"
    # What check mode alone can come to.
    UNCLEAR = "unclear"


class RebootBecause(StrEnum):
    """Why a system cannot be activated live: `needs_reboot` of an answer."""

    STATUS_100 = "status-100"
    INHIBITOR = "switch-inhibitor"


class Blocked(StrEnum):
    """Why a host may not be rebooted now: `blocked` of an answer."""

    IN_PROGRESS = "in-progress"
    UNFINISHED = "unfinished"
