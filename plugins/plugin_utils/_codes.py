# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words that programs decide by: the scripts on the host write them, the controller reads them.

A sentence may stand beside each, for people; nothing is decided by one.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a deployment stands, as the host's state file says it; the last eight are how it ended."""

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
    UNKNOWN = "unknown"
    """The host knows nothing of it, or not everything may be seen."""
    COMMITTED = "committed"
    UNTIL_REBOOT = "until-reboot"
    """It was confirmed, runs until the next reboot, and is not the boot default."""
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    COMMIT_FAILED = "commit-failed"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    INTERRUPTED = "interrupted"


FINAL = frozenset(list(State)[-8:])
"""A deployment is open until its state is one of these."""

WELL = frozenset((State.COMMITTED, State.UNTIL_REBOOT))
"""How one ends that was confirmed, and did what was asked for."""


class ProfileKind(StrEnum):
    """What a profile is that is no NixOS system: each has a part of its own among the scripts."""

    SYSTEM_MANAGER = "system-manager"
    HOME_MANAGER = "home-manager"
    PROFILE = "profile"


class Mode(StrEnum):
    """Whether a system is tried live or only becomes the boot default."""

    TEST = "test"
    BOOT = "boot"


class Named(StrEnum):
    """Systems of a host that have no number, as those that are compared are named."""

    PREVIOUS = "previous"
    """The generation before the boot default that has another system."""
    RUNNING = "running"
    BOOTED = "booted"
    BOOT_DEFAULT = "boot-default"


class Why(StrEnum):
    """Why a deployment on the host stopped: `why_code` of its record, beside the sentence `why`."""

    # Before anything was activated.
    UNFINISHED = "unfinished"
    TRIAL = "trial-in-progress"
    CANNOT_RECORD = "cannot-record"
    UNTESTED_BOOT_DEFAULT = "untested-boot-default"
    OTHER_PREVIOUS = "other-previous"
    NO_GUARD = "no-guard"
    NOT_UP = "not-up"
    UNITS_FAILED_BEFORE = "units-failed-before"
    PRE_ACTIVATE_SCRIPT = "pre-activate-script"
    REBOOT_REQUIRED = "reboot-required"
    SWITCH_LOCKED = "switch-locked"
    PRE_SWITCH_CHECKS = "pre-switch-checks"
    SECRETS = "secrets"
    """They could not be made ready, put in place, or their units not be restarted."""
    # While the new system ran.
    ACTIVATION = "activation"
    POST_ACTIVATE_SCRIPT = "post-activate-script"
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


class SecretChange(StrEnum):
    """What is different of a secret on a host: the first word of `secret` in an answer."""

    ADDED = "added"
    CONTENT = "content"
    PERMISSIONS = "permissions"
    """Its owner, its group or its mode, and not its content."""
    LISTED = "listed"
    """It is as it should be, and was not placed by a deployment yet."""
    REMOVED = "removed"


class HealthPolicy(StrEnum):
    """Which state of a host is good enough: the option `health_policy`."""

    STRICT = "strict"
    NO_NEW_FAILURES = "no_new_failures"


class OnRebootRequired(StrEnum):
    """What becomes of a system that cannot be activated live: the option `on_reboot_required`."""

    FAIL = "fail"
    BOOT = "boot"
    BOOT_AND_REBOOT = "boot_and_reboot"


class OnOlder(StrEnum):
    """What becomes of a flake that is older than what a host has committed: the option `on_older`."""

    WARN = "warn"
    REFUSE = "refuse"
    ALLOW = "allow"


class CopyInputs(StrEnum):
    """Which inputs of a flake the controller fetches for hosts that lack them: the option `copy_inputs`."""

    MISSING = "missing"
    """Those that one has to log in for; all others where a host has failed to fetch one."""
    ALL = "all"
    NONE = "none"
    """None but those that lie on the controller."""


class LastResortReboot(StrEnum):
    """When a host that cannot roll back otherwise reboots into its boot default: the option `last_resort_reboot`."""

    NEVER = "never"
    AUTO = "auto"
    """Only where the way in may be lost as well: the host was deployed over ssh, and no ssh unit is active any more, or
    something of the new system still runs."""
    ALWAYS = "always"


class RebootBecause(StrEnum):
    """Why a system cannot be activated live: `needs_reboot` of an answer."""

    STATUS_100 = "status-100"
    INHIBITOR = "switch-inhibitor"


class MayReboot(StrEnum):
    """Whether the command `reboot` may reboot the host, or only looks: its input `may_reboot`."""

    NO = "no"
    YES = "yes"
    AFTER_COMMIT = "after-commit"
    """Also while a deployment that has committed tidies up."""


class TrialStep(StrEnum):
    """What the unit of a boot that is tried once is to do: the input `step` of the command `trial`."""

    LOOK = "look"
    PREPARE = "prepare"
    UNCHOOSE = "unchoose"
    FAILED = "failed"
    END = "end"


class Blocked(StrEnum):
    """Why a host may not be rebooted now: `blocked` of an answer."""

    IN_PROGRESS = "in-progress"
    UNFINISHED = "unfinished"


class Refusal(StrEnum):
    """Why something was not done: the code that a command refuses with, or that the controller fails with itself.

    A task that fails returns it as `reason`.
    """

    # The host, before anything else.
    NOT_ROOT = "not-root"
    NO_TOOL = "no-tool"
    BROKEN_TOOL = "broken-tool"
    NO_NIX = "no-nix"
    NO_NIXOS = "no-nixos"
    """It has Nix, and is no NixOS host."""
    SHUT_OUT = "shut-out"
    """Nix's daemon does not let the login user in."""
    NO_DIRECTORY = "no-directory"
    NO_SPACE = "no-space"
    NO_UNIT = "no-unit"
    NO_USER = "no-user"
    NO_LOCK = "no-lock"
    NO_ROOT = "no-root"
    """No garbage collector root could be made."""
    BUSY = "busy"
    SAME_HOST = "same-host"
    """It has another name in the inventory, under which this run deploys to it already."""
    # The connection.
    LOST = "lost"
    NO_ANSWER = "no-answer"
    BECOME = "become"
    """The way to become root cannot work."""
    OTHER_VERSION = "other-version"
    """The helper of the host is of another version of the collection."""
    BAD_REQUEST = "bad-request"
    """The helper was sent what it does not take."""
    ORPHANED = "orphaned"
    """ansible-playbook is gone, and this was one of its workers."""
    NO_HOST = "no-host"
    """The inventory does not have it."""
    # A snapshot of a flake, and the build.
    NOT_RESTORED = "not-restored"
    NOT_ADDED = "not-added"
    OTHER_PATH = "other-path"
    NOT_FETCHED = "not-fetched"
    """A remote flake, by nobody who was asked to."""
    NOT_LOCKED = "not-locked"
    """The flake's lock file lacks inputs, or is behind."""
    BUILD_FAILED = "build-failed"
    EVALUATION_FAILED = "evaluation-failed"
    INPUT_NOT_FETCHED = "input-not-fetched"
    """The host, or the controller for it, could not fetch an input of the flake."""
    NOT_THERE = "not-there"
    NOT_LINKED = "not-linked"
    """The link to what was built, since something else is there or it could not be made."""
    SECRETS_IN_FLAKE = "secrets-in-flake"
    OLDER_FLAKE = "older-flake"
    # A closure that is copied from one host to another.
    NOT_EXPORTED = "not-exported"
    NOT_IMPORTED = "not-imported"
    NO_MEMORY = "no-memory"
    NOT_SIGNED = "not-signed"
    NO_KEY = "no-key"
    # The system that is to be deployed.
    NOT_A_STORE_PATH = "not-a-store-path"
    NOT_VALID = "not-valid"
    NOT_A_SYSTEM = "not-a-system"
    OTHER_HOSTNAME = "other-hostname"
    OTHER_ARCHITECTURE = "other-architecture"
    NO_SSH = "no-ssh"
    UNPROVEN_WAY_IN = "unproven-way-in"
    NO_SPECIALISATION = "no-specialisation"
    SPECIALISATION_WITHOUT_TEST = "specialisation-without-test"
    UNTESTED_BOOT_DEFAULT = "untested-boot-default"
    OTHER_PREVIOUS = "other-previous"
    BOOT_NOT_MOUNTED = "boot-not-mounted"
    # A deployment that is in progress, and a rollback.
    UNKNOWN_DEPLOYMENT = "unknown-deployment"
    ABANDONED = "abandoned"
    OTHER_TOPLEVEL = "other-toplevel"
    SUPERSEDED = "superseded"
    NO_GENERATION = "no-generation"
    # A reboot, and a system that is booted once.
    NO_REBOOT = "no-reboot"
    REBOOTED = "rebooted"
    """In the middle, by somebody else."""
    NOT_BACK = "not-back"
    NOT_UP = "not-up"
    OTHER_SYSTEM = "other-system"
    UNHEALTHY = "unhealthy"
    NOT_DEFAULT = "not-default"
    IS_DEFAULT = "is-default"
    NO_DEFAULT = "no-default"
    OTHER_DEFAULT = "other-default"
    BOOT_READ_ONLY = "boot-read-only"
    NO_ONE_SHOT = "no-one-shot"
    NO_ENTRY = "no-entry"
    UNSAFE = "unsafe"
    # The removal of generations.
    NO_PROFILE = "no-profile"
    BOOT_FAILED = "boot-failed"
    NO_GARBAGE_UNIT = "no-garbage-unit"
    GARBAGE = "garbage"
    KILLED = "killed"
    TOO_SLOW = "too-slow"
    # A first installation: before anything is erased.
    NO_SYSTEMD = "no-systemd"
    NO_DISKO = "no-disko"
    """The flake does not say how the disks are to be."""
    NO_DISK = "no-disk"
    DISK_NOT_NAMED = "disk-not-named"
    """The flake would erase one that the operator has not named."""
    DISK_IN_USE = "disk-in-use"
    DISK_OF_SEVERAL = "disk-of-several"
    """What is on it may belong with other disks."""
    HAS_DATA = "has-data"
    """A disk that is to be erased is not empty, and nobody has said that this may go."""
    INSTALLED_SYSTEM = "installed-system"
    """The host is no installer."""
    SEVERAL_HOSTS = "several-hosts"
    """Disks to erase are given for more than one host."""
    BAD_HOST_KEY = "bad-host-key"
    NOT_PROTECTED = "not-protected"
    """Disks that were not named could not be kept from being written to."""
    # And after that.
    NOT_PARTITIONED = "not-partitioned"
    NOT_MOUNTED = "not-mounted"
    NO_HOST_KEY = "no-host-key"
    """None could be put onto the new disk, or there is none that the host could be known by."""
    NOT_INSTALLED = "not-installed"
    OTHER_HOST_KEY = "other-host-key"
    """The host has booted the new system, and has not the host key that it was given."""
    # Checks from outside.
    CHECKS_FAILED = "checks-failed"
    ANOTHER_HOST_FAILED = "another-host-failed"
    """Of a fleet that commits everywhere or nowhere; nothing failed on this one."""
    # Options that do not go together.
    BAD_OPTION = "bad-option"
    BAD_LIMIT = "bad-limit"
    BAD_SECRET = "bad-secret"
    """A place for a secret that is none on this host."""


class ResultState(StrEnum):
    """What a module returns as `state` where that is not the `State` of a deployment."""

    UNCHANGED = "unchanged"
    PREPARED = "prepared"
    # A reboot, and a system that is booted once.
    REBOOTED = "rebooted"
    NOT_NEEDED = "not-needed"
    REVERTED = "reverted"
    UNCONFIRMED = "unconfirmed"
    UNKNOWN = "unknown"
    # Check mode.
    WOULD_TEST = "would-test"
    WOULD_BOOT = "would-boot"
    WOULD_ROLLBACK = "would-rollback"
    WOULD_REVOKE = "would-revoke"
    WOULD_REBOOT = "would-reboot"
    WOULD_TRY = "would-try"
    WOULD_REFUSE = "would-refuse"
    WOULD_INSTALL = "would-install"
    # A first installation.
    INSTALLED = "installed"
    # One of several profiles.
    NOT_BEGUN = "not-begun"


class Step(StrEnum):
    """A step of `flake_deploy`, where it is the name of its result, or of `profile_deploy`: what a line of progress
    that begins it has in brackets."""

    BUILD = "build"
    TEST = "test"
    BOOT = "boot"


class UnitState(StrEnum):
    """A unit's ActiveState, as far as something is decided by it."""

    ACTIVE = "active"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    INACTIVE = "inactive"
    FAILED = "failed"


class BuildResult(StrEnum):
    """How the unit of a build ended: the first word of `result`. Any other of systemd's is a failure of Nix."""

    SUCCESS = "success"
    TIMEOUT = "timeout"
    KILLED = "killed"
    """The unit is gone and has left no result."""
    OUT_OF_MEMORY = "oom-kill"
    SIGNAL = "signal"
    """Somebody has killed a process of it."""


class RemovalResult(StrEnum):
    """How a removal of generations ended: the first word of `result`."""

    OK = "ok"
    BUSY = "busy"
    NO_PROFILE = "no-profile"
    BOOT_FAILED = "boot-failed"
    SUPERSEDED = "superseded"
    """Somebody else has made another system the boot default meanwhile."""
    NO_GARBAGE_UNIT = "no-garbage-unit"
    KILLED = "killed"


class InstallStep(StrEnum):
    """What an installation is about: `step` of an answer."""

    ERASE = "erase"
    KEYS = "keys"
    INSTALL = "install"


class InstallResult(StrEnum):
    """How an installation ended: the first word of `result`."""

    OK = "ok"
    # Before anything was erased.
    NOT_PROTECTED = "not-protected"
    NO_SPACE = "no-space"
    # And after that.
    DISKO_FAILED = "disko-failed"
    NOT_MOUNTED = "not-mounted"
    KEYS_FAILED = "keys-failed"
    INSTALL_FAILED = "install-failed"
    NOT_INSTALLED = "not-installed"
    STOPPED = "stopped"
    KILLED = "killed"


class Until(StrEnum):
    """For what the import of a closure is waited for, unless for a number of batches: `until` of `closure_put`."""

    LACKING = "lacking"
    """It is known what has to be sent."""
    ROOM = "room"
    """There is room for another piece."""
