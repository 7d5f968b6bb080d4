# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of the role's variables: their types, and whether they can be meant at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._build.settings import BuildSettings
from .._deployment.context import Context
from .._deployment.profile import build_settings, profiles_from
from .._deployment.settings import RebootSettings, Settings
from .._host.answer import HostError
from .._lists import split_lists
from .._numbers import too_small
from .._secrets.shape import misshapen
from .._status.checks import Checks
from .names import PREFIX, nearest

OptionsOf = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""The options of a module: those that are given, and its defaults."""


def wrong(
    entry_point: str, spec: Mapping[str, Any], values: Mapping[str, Any], context: Context, options_of: OptionsOf
) -> list[str]:
    """What is wrong with the values of a host's variables, once templated. `spec` is what the entry point reads."""
    values = split_lists(spec, {name: values[name] for name in spec if name in values})
    if found := list(misshapen(spec, values)):
        return found
    if found := list(_unknown_keys(spec, values)):
        return found
    checked = ArgumentSpecValidator(dict(spec)).validate(values)
    if checked.error_messages:
        return list(checked.error_messages)
    given = {name.removeprefix(PREFIX): _set(checked.validated_parameters[name]) for name in values}
    given = {name: value for name, value in given.items() if value is not None}
    found = [f"{PREFIX}{name}: {message}" for name, message in too_small(given)]
    if health_checks := given.get("health_checks"):
        checks = Checks.from_options(options_of("system_check", health_checks))
        found += [f"{PREFIX}health_checks: {message}" for message in checks.wrong()]
    return found or list(_refused(entry_point, given, context, options_of))


def _set(value: Any) -> Any:
    """Without the keys that nobody has set, which the validator has all the same."""
    if isinstance(value, Mapping):
        return {name: _set(one) for name, one in value.items() if one is not None}
    return [_set(one) for one in value] if isinstance(value, list) else value


def _unknown_keys(spec: Mapping[str, Any], values: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """The keys of dictionaries that there are not; Ansible would not say which one was meant."""
    for name, value in values.items():
        if name not in spec:
            known = ", ".join(spec)
            near = nearest(name, spec)
            yield f"{of}: there is no key {name!r}; {f'did you mean {near}?' if near else f'it takes {known}'}"
        elif inner := spec[name].get("options"):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Mapping):
                    yield from _unknown_keys(inner, one, f"{of}.{name}" if of else name)


def _refused(entry_point: str, given: Mapping[str, Any], context: Context, options_of: OptionsOf) -> Iterator[str]:
    """What a module would refuse, be it after the build."""
    try:
        if entry_point in ("main", "install"):
            options = options_of("flake_deploy", given)
            _begins(Settings.from_options(options), context, options["test"])
            BuildSettings.from_options(options)
        elif entry_point == "rollback":
            # The role's own names for these.
            own = {"toplevel": given.get("rollback_toplevel"), "health_policy": given.get("rollback_health_policy")}
            named = {name: value for name, value in own.items() if value}
            others = {name: value for name, value in given.items() if name not in own and value != ""}
            _begins(Settings.from_options(options_of("system_rollback", others | named)), context, tests=True)
        elif entry_point in ("reboot", "trial"):
            RebootSettings.from_options(options_of("system_reboot", given)).limits.for_deployment(0)
        elif entry_point == "profiles":
            its = {name: value for name, value in given.items() if name != "allow"}
            options = options_of("profile_deploy", {"profiles": [], "flake": ".", **its})
            Settings.for_profiles(options).limits.for_deployment(0)
            for one in profiles_from(options):
                build_settings(one, options, "host")
        if entry_point in ("build", "trial"):
            # The role takes out what is for after the build.
            its = {name: value for name, value in given.items() if name != "allow"}
            BuildSettings.from_options(options_of("flake_build", its))
    except HostError as error:
        yield str(error)


def _begins(settings: Settings, context: Context, tests: bool) -> None:
    settings.refuse_without_step(context.strategy)
    settings.limits.for_deployment(context.batches if settings.all_or_nothing and tests else 0)
    if not tests:
        settings.refuse_without_test()
