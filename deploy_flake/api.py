# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python API: what the command does, for programs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from deploy_flake import inventory
from deploy_flake.destination import Destination, parse_all
from deploy_flake.events import Operation
from deploy_flake.flake import reference
from deploy_flake.generated_options import READS
from deploy_flake.options import PREFIX, SYSTEMS, DeployOptions, OptionError, RunOptions
from deploy_flake.run import Listener, Run

if TYPE_CHECKING:
    import asyncio

Destinations = Sequence[str | Destination]
_P = ParamSpec("_P")
_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-[0-9a-zA-Z+._?=-]+(?<!\.drv)")


def deploy(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    *,
    toplevel: str | None = None,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Deploy a flake to hosts, or a system that is built already: the store path `toplevel`.

    `destinations` are written as on the command line; none where `run.inventory` has the hosts. `flake` is a directory
    or a flake reference; None for what an inventory says, else the current directory. `on_event` is called for every
    event, from another thread and never from two at once. One that raises hears no more, and `Run.error` says so;
    nothing is begun if it was the first event.

    Returns when it is over, or at once if `wait` is false: `Run.wait` then waits. That a host fails raises
    nothing, it is in the result. Raises DestinationError and OptionError (both are ValueError) before anything
    is begun.
    """
    return _from_flake(Operation.DEPLOY, destinations, flake, toplevel, options, run, on_event, wait)


def rollback(
    destinations: Destinations = (),
    generation: int | None = None,
    *,
    toplevel: str | None = None,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Deploy an earlier generation of each host: the one before its boot default, or the one of that number.

    Or the system `toplevel`, a store path that the host has. It is tested, confirmed and kept as any other system. Else
    as `deploy`.
    """
    options = _chosen(options)
    if generation is not None and toplevel is not None:
        raise OptionError("give a generation or a store path, and not both")
    variables = options.role_variables()
    if policy := variables.pop("deploy_flake_health_policy", None):
        variables["deploy_flake_rollback_health_policy"] = policy
    if generation is not None and (isinstance(generation, bool) or not isinstance(generation, int) or generation < 1):
        raise OptionError(f"generation is a positive number, and not {generation!r}")
    if generation is not None:
        variables["deploy_flake_generation"] = generation
    if toplevel is not None:
        variables["deploy_flake_rollback_toplevel"] = _store_path(toplevel)
    return _begin(Operation.ROLLBACK, destinations, run or RunOptions(), variables, options.arguments(), on_event, wait)


def profiles(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    profiles: Sequence[Mapping[str, Any]] | None = None,
    *,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Deploy profiles of hosts that are no NixOS system, one after the other: `HostResult.profiles`.

    Each is as in `profiles` of the module profile_deploy, such as `{"kind": "home-manager", "user": "alice"}`; None for
    what an inventory says. A run that is cancelled leaves what is tried to the host, which takes it back. Else as
    `deploy`.
    """
    options, run = _chosen(options), run or RunOptions()
    variables = options.role_variables()
    if flake is not None:
        variables["deploy_flake_flake"] = reference(flake, options.file)
    elif not run.inventory:
        variables |= _flake_here(run, options.file)
    if profiles is not None:
        if isinstance(profiles, str | Mapping) or not all(isinstance(one, Mapping) for one in profiles):
            raise OptionError("profiles are a list, each of them a mapping such as {'kind': 'system-manager'}")
        variables["deploy_flake_profiles"] = [dict(one) for one in profiles]
    if not profiles and not run.inventory and not _says(run, "deploy_flake_profiles"):
        raise OptionError("name the profiles to deploy (--profile, or deploy_flake_profiles of an inventory)")
    return _begin(Operation.PROFILES, destinations, run, variables, options.arguments(), on_event, wait)


def diff(
    destinations: Destinations = (),
    before: int | str | None = None,
    after: int | str | None = None,
    *,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Compare two systems that each host has: `HostResult.changes`, with the outcome `done`, or `unchanged` where both
    are the same.

    Each is the number of a generation, a store path, or one of "previous", "running", "booted" and "boot-default"; what
    is not given is the previous generation, and the boot default. Nothing is changed. Else as `deploy`.
    """
    given = {"compare_from": before, "compare_to": after}
    variables: dict[str, Any] = {f"{PREFIX}show": False}
    variables |= {f"{PREFIX}{name}": _system(value) for name, value in given.items() if value is not None}
    return _begin(Operation.DIFF, destinations, run or RunOptions(), variables, [], on_event, wait)


def revoke(
    destinations: Destinations = (),
    *,
    reason: str | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Tell hosts that wait for confirmation to roll back now. One where nothing waits, or which has
    committed, is left alone.

    `reason` is for the record on the hosts. Else as `deploy`.
    """
    if reason is not None and not isinstance(reason, str):
        raise OptionError(f"reason is str, and not of type {type(reason).__name__}")
    variables = {"deploy_flake_reason": reason} if reason else {}
    return _begin(Operation.REVOKE, destinations, run or RunOptions(), variables, [], on_event, wait)


def status(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    *,
    revisions: bool = False,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Look at hosts. The results are `HostStatus`, with the outcome `unchanged` where the host answered.

    `flake` is what to compare them with; None for what an inventory says, else for nothing. With `revisions` each of
    `HostStatus.generations` has its revision. Else as `deploy`.
    """
    variables: dict[str, Any] = {"deploy_flake_show": False}
    if flake is not None:
        variables["deploy_flake_flake"] = reference(flake)
    if revisions:
        variables["deploy_flake_revisions"] = True
    return _begin(Operation.STATUS, destinations, run or RunOptions(), variables, [], on_event, wait)


def trial(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    *,
    toplevel: str | None = None,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Boot the new system of each host once, and make it the boot default only if it comes up well; one host at a time
    unless `options.serial` says otherwise. Else as `deploy`.
    """
    return _from_flake(Operation.TRIAL, destinations, flake, toplevel, options, run, on_event, wait)


def build(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    *,
    toplevel: str | None = None,
    out_link: str | None = None,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Build the system of each host there, or what `options.attribute` names, and change nothing else.

    `HostResult.new_system` is its path, and `HostResult.outputs` has those of all its outputs. `out_link` is the path
    of a link on each host to it, which keeps it from garbage collection. Else as `deploy`.
    """
    if out_link is not None and not isinstance(out_link, str):
        raise OptionError(f"out_link is str, and not of type {type(out_link).__name__}")
    more = {"deploy_flake_out_link": out_link} if out_link is not None else {}
    return _from_flake(Operation.BUILD, destinations, flake, toplevel, options, run, on_event, wait, more)


def install(
    destinations: Destinations = (),
    flake: str | Path | None = None,
    *,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """ERASE the disks `options.install_disks` of machines that have booted an installer, install the flake's systems
    there, and deploy to them.

    A destination names its configuration: an installer has not the name of the host that it is to become. Else as
    `deploy`.
    """
    return _from_flake(Operation.INSTALL, destinations, flake, None, options, run, on_event, wait)


def reboot(
    destinations: Destinations = (),
    *,
    only_if_needed: bool = True,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Reboot hosts into their boot default, one after another unless `options.serial` says otherwise, and wait until
    each is well. Those that have booted it are left alone if `only_if_needed`. Else as `deploy`.
    """
    options = _chosen(options)
    variables = options.role_variables() | {"deploy_flake_only_if_needed": only_if_needed}
    return _begin(Operation.REBOOT, destinations, run or RunOptions(), variables, options.arguments(), on_event, wait)


def generations(
    destinations: Destinations = (),
    *,
    keep: int | None = None,
    keep_days: int | None = None,
    collect_garbage: bool = False,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Run:
    """Remove old generations and their boot entries, but for the newest `keep`, those of the last `keep_days` and
    whatever is needed; and collect garbage, if so wished. Else as `deploy`.
    """
    options = _chosen(options)
    chosen = {"keep": keep, "keep_days": keep_days, "collect_garbage": collect_garbage or None}
    variables = {f"{PREFIX}{name}": value for name, value in chosen.items() if value is not None}
    for name, value in (("keep", keep), ("keep_days", keep_days)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise OptionError(f"{name} is a number that is not negative, and not {value!r}")
    variables = options.role_variables() | variables
    run = run or RunOptions()
    return _begin(Operation.GENERATIONS, destinations, run, variables, options.arguments(), on_event, wait)


def _for_asyncio(begin: Callable[_P, Run]) -> Callable[_P, Awaitable[Run]]:
    @wraps(begin)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> Run:
        return await ended(begin(*args, **(kwargs | {"wait": False})))  # type: ignore[arg-type]

    run.__name__ = run.__qualname__ = f"{begin.__name__}_async"
    run.__doc__ = f"""As `{begin.__name__}`, for asyncio; `wait` means nothing here.

    Cancelling the task cancels the run as `Run.cancel` does, and waits until it has ended.
    """
    return run


deploy_async = _for_asyncio(deploy)
diff_async = _for_asyncio(diff)
profiles_async = _for_asyncio(profiles)
rollback_async = _for_asyncio(rollback)
revoke_async = _for_asyncio(revoke)
status_async = _for_asyncio(status)
trial_async = _for_asyncio(trial)
build_async = _for_asyncio(build)
install_async = _for_asyncio(install)
reboot_async = _for_asyncio(reboot)
generations_async = _for_asyncio(generations)


async def ended(run: Run) -> Run:
    """Wait for any run that was begun with `wait=False`, for asyncio. Cancelled twice, it leaves at once."""
    # Whoever awaits it has loaded it; the command has no need of it, and it takes a moment.
    import asyncio

    waiting = asyncio.ensure_future(asyncio.to_thread(run.wait))
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
            run.cancel()
    if cancelled is not None:
        raise cancelled
    return waiting.result()


def _from_flake(
    operation: Operation,
    destinations: Destinations,
    flake: str | Path | None,
    toplevel: str | None,
    options: DeployOptions | None,
    run: RunOptions | None,
    on_event: Listener | None,
    wait: bool,
    more: Mapping[str, Any] | None = None,
) -> Run:
    options = _chosen(options)
    run = run or RunOptions()
    if flake is not None and toplevel is not None:
        raise OptionError("give a flake, or the store path of a built system, and not both")
    if toplevel is not None and (options.attribute or options.file):
        raise OptionError("give the store path of a built system, or what to build (attribute, file), and not both")
    if (options.file or options.attribute) and any(one.configuration for one in parse_all(destinations)):
        raise OptionError(
            "a destination names a configuration, which is a flake's; another output, and what a file has, is named"
            " with 'attribute' alone"
        )
    # What is said here goes before what an inventory has built, or says to build.
    not_built, not_named = {"deploy_flake_toplevel": ""}, {"deploy_flake_attribute": "", "deploy_flake_file": ""}
    if toplevel is not None:
        source = {"deploy_flake_toplevel": _store_path(toplevel), **(not_named if run.inventory else {})}
    elif flake is not None:
        source = {"deploy_flake_flake": reference(flake, options.file), **not_built}
    elif run.inventory:
        source = not_built if options.attribute or options.file else {}
    else:
        source = _flake_here(run, options.file)
    variables = {**options.role_variables(), **source, **(more or {})}
    return _begin(operation, destinations, run, variables, options.arguments(), on_event, wait)


def _flake_here(run: RunOptions, file: str | None) -> dict[str, str]:
    """The flake of the current directory; what a variable names wins over it, and then there need be none."""
    try:
        return {"deploy_flake_flake": reference(".", file)}
    except OptionError:
        if _says(run, "deploy_flake_flake", "deploy_flake_toplevel"):
            return {}
        raise


def _says(run: RunOptions, *names: str) -> bool:
    """Whether one of these variables is given, or may be."""
    of_a_file = any(text[:1] in ("@", "{", "[") or PREFIX in text for text in run.extra_vars)
    return of_a_file or bool({*names} & run.variables.keys())


def _chosen(options: DeployOptions | None) -> DeployOptions:
    if options is not None and not isinstance(options, DeployOptions):
        raise OptionError(f"options are DeployOptions, and not of type {type(options).__name__}")
    return options or DeployOptions()


def _store_path(path: str) -> str:
    if not isinstance(path, str) or not _STORE_PATH.fullmatch(path):
        raise OptionError(f"{path!r} is not the path of a system in /nix/store")
    return path


def _system(said: int | str) -> str:
    """A system that hosts have, in the words of the module system_diff."""
    is_number = isinstance(said, int) and not isinstance(said, bool) and said > 0
    if is_number or (isinstance(said, str) and (said in SYSTEMS or _STORE_PATH.fullmatch(said))):
        return str(said)
    raise OptionError(
        f"{said!r} is not the number of a generation, nor the path of a system in /nix/store, nor one of"
        f" {', '.join(SYSTEMS)}"
    )


def _builders_are_there(where: Iterable[Destination], builders: Iterable[str]) -> None:
    """A destination says how to connect, and without an inventory nobody says it of another host."""
    there = {"localhost", *(one.name for one in where)}
    if missing := [one for one in builders if one not in there]:
        raise OptionError(
            f"build_on: {missing[0]!r} is none of the destinations; the builder is one of them, or localhost, or a host"
            " of an inventory (--inventory) that has the others as well"
        )


def _are_named(where: Iterable[Destination], variables: Mapping[str, Any]) -> None:
    """A host that is deployed to says its own name where nobody else does; an installer has that of its medium."""
    if variables.get(f"{PREFIX}attribute") or variables.get(f"{PREFIX}file"):
        return
    if nameless := [one.name for one in where if not one.configuration]:
        raise OptionError(
            f"{nameless[0]}: an installer has not the name of the host that it is to become; name the configuration, as"
            " in nixos://root@192.0.2.7/web3"
        )


def _begin(
    operation: Operation,
    destinations: Destinations,
    run: RunOptions,
    variables: dict[str, Any],
    arguments: list[str],
    on_event: Listener | None,
    wait: bool,
) -> Run:
    if isinstance(destinations, str | Destination) or not isinstance(destinations, Iterable):
        raise OptionError("destinations are a list")
    if not isinstance(run, RunOptions):
        raise OptionError(f"run is RunOptions, and not of type {type(run).__name__}")
    if on_event is not None and not callable(on_event):
        raise OptionError("on_event is a function that is called with each event")
    where = parse_all(destinations)
    if bool(where) == bool(run.inventory):
        raise OptionError("give destinations, or an inventory that has them, and not both")
    inventory.must_be_there(run.inventory)
    if where:
        _builders_are_there(where, variables.get(f"{PREFIX}build_on", ()))
    if operation is Operation.INSTALL:
        _are_named(where, variables)
    if unread := sorted(variables.keys() - set(READS[operation])):
        names = ", ".join(name.removeprefix(PREFIX) for name in unread)
        raise OptionError(f"{operation} does nothing with {names}")
    run = replace(run, variables=dict(run.variables))
    begun = Run(operation, where, run, variables, arguments, on_event).start()
    return begun.wait() if wait else begun
