# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python API: what the command does, for programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deploy_flake.destination import Destination, parse_all
from deploy_flake.operation import Deployment, Listener
from deploy_flake.options import DeployOptions, OptionError, RunOptions

Destinations = Sequence[str | Destination]


def deploy(
    destinations: Destinations = (),
    flake: str | None = None,
    *,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Deployment:
    """Deploy a flake to hosts.

    `destinations` are written as on the command line; none where `run.inventory` has the hosts. `flake` is a directory
    or a flake reference; None for what an inventory says, else the current directory. `on_event` is called for every
    event, from another thread and never from two at once; it must not raise.

    Returns when it is over, or at once if `wait` is false: `Deployment.wait` then waits. That a host fails raises
    nothing, it is in the result. Raises DestinationError and OptionError (both are ValueError) before anything
    is begun.
    """
    options = options or DeployOptions()
    run = run or RunOptions()
    flake = flake if flake is not None else None if run.inventory else "."
    variables = options.role_variables() | ({"deploy_flake_flake": flake} if flake is not None else {})
    return _begin("deploy", destinations, run, variables, options.arguments(), on_event, wait)


def rollback(
    destinations: Destinations = (),
    generation: int | None = None,
    *,
    options: DeployOptions | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Deployment:
    """Deploy an earlier generation of each host: the one before its boot default, or the one of that number.

    It is tried, confirmed and kept as any other system. Else as `deploy`.
    """
    options = options or DeployOptions()
    variables = options.role_variables() | ({"deploy_flake_generation": generation} if generation is not None else {})
    return _begin("rollback", destinations, run or RunOptions(), variables, options.arguments(), on_event, wait)


def revoke(
    destinations: Destinations = (),
    *,
    reason: str | None = None,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Deployment:
    """Tell hosts that try a system to go back now. One where nothing waits is left alone, as is one that has committed.

    `reason` is for the record on the hosts. Else as `deploy`.
    """
    variables = {"deploy_flake_reason": reason} if reason else {}
    return _begin("revoke", destinations, run or RunOptions(), variables, [], on_event, wait)


def status(
    destinations: Destinations = (),
    flake: str | None = None,
    *,
    run: RunOptions | None = None,
    on_event: Listener | None = None,
    wait: bool = True,
) -> Deployment:
    """Look at hosts. The results are `HostStatus`, with the outcome `unchanged` where the host answered.

    `flake` is what to compare them with; None for what an inventory says, else for nothing. Else as `deploy`.
    """
    variables = {"deploy_flake_show": False} | ({"deploy_flake_flake": flake} if flake is not None else {})
    return _begin("status", destinations, run or RunOptions(), variables, [], on_event, wait)


async def deploy_async(destinations: Destinations = (), flake: str | None = None, **others: Any) -> Deployment:
    """As `deploy`, for asyncio. Cancelling the task cancels the deployment, and waits until it has ended."""
    return await ended(deploy(destinations, flake, **others, wait=False))


async def ended(deployment: Deployment) -> Deployment:
    """Wait for any deployment that was begun with `wait=False`, for asyncio."""
    waiting = asyncio.ensure_future(asyncio.to_thread(deployment.wait))
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        deployment.cancel()
        await waiting
        raise


def _begin(
    operation: str,
    destinations: Destinations,
    run: RunOptions,
    variables: dict[str, Any],
    arguments: list[str],
    on_event: Listener | None,
    wait: bool,
) -> Deployment:
    if isinstance(destinations, str):
        raise OptionError("destinations are a list")
    where = parse_all(destinations)
    if bool(where) == bool(run.inventory):
        raise OptionError("give destinations, or an inventory that has them, and not both")
    run = replace(run, variables=dict(run.variables))
    deployment = Deployment(operation, where, run, variables, arguments, on_event).start()
    return deployment.wait() if wait else deployment
