# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python API: what its arguments become, and what makes no sense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.package.faking import NEW, Playing, deployed, plays, result, started, stats

import deploy_flake
from deploy_flake import DeployOptions, DestinationError, Operation, OptionError, Outcome, Run, RunOptions

INVENTORY = RunOptions(inventory=["hosts,"])


def variables_of(monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Run]) -> dict[str, Any]:
    """What the playbook gets that it runs."""
    seen: dict[str, Any] = {}

    def script(playing: Playing) -> None:
        seen.update(playing.variables, playbook=playing.playbook.removeprefix("deploy_flake.nixos."))
        playing.play(*deployed("web1"), stats("web1"))

    plays(monkeypatch, script)
    begin()
    return seen


@pytest.mark.parametrize(
    ("begin", "variables"),
    [
        (
            lambda: deploy_flake.deploy(["nixos://web1/x"]),
            {"playbook": "deploy", "deploy_flake_flake": "."},
        ),
        (lambda: deploy_flake.deploy(run=INVENTORY), {"playbook": "deploy"}),
        (
            lambda: deploy_flake.deploy(flake="github:me/x", run=INVENTORY),
            {"playbook": "deploy", "deploy_flake_flake": "github:me/x", "deploy_flake_toplevel": ""},
        ),
        (
            lambda: deploy_flake.deploy(toplevel=NEW, run=INVENTORY),
            {
                "playbook": "deploy",
                "deploy_flake_toplevel": NEW,
                "deploy_flake_attribute": "",
                "deploy_flake_file": "",
            },
        ),
        (
            lambda: deploy_flake.deploy(run=INVENTORY, options=DeployOptions(attribute="x", compress=True)),
            {
                "playbook": "deploy",
                "deploy_flake_toplevel": "",
                "deploy_flake_attribute": "x",
                "deploy_flake_compress": True,
            },
        ),
        (lambda: deploy_flake.rollback(["web1"]), {"playbook": "rollback"}),
        (
            lambda: deploy_flake.rollback(["web1"], 3, options=DeployOptions(health_policy="strict")),
            {"playbook": "rollback", "deploy_flake_generation": 3, "deploy_flake_rollback_health_policy": "strict"},
        ),
        (
            lambda: deploy_flake.rollback(["web1"], toplevel=NEW),
            {"playbook": "rollback", "deploy_flake_rollback_toplevel": NEW},
        ),
        (
            lambda: deploy_flake.build(["web1"], ".", out_link="/r", options=DeployOptions(attribute="packages.x.y")),
            {
                "playbook": "build",
                "deploy_flake_flake": ".",
                "deploy_flake_toplevel": "",
                "deploy_flake_attribute": "packages.x.y",
                "deploy_flake_out_link": "/r",
            },
        ),
        (
            lambda: deploy_flake.deploy(["web1"], ".", options=DeployOptions(file="galaxy.yml")),
            {
                "playbook": "deploy",
                "deploy_flake_flake": ".",
                "deploy_flake_toplevel": "",
                "deploy_flake_file": "galaxy.yml",
            },
        ),
        (lambda: deploy_flake.revoke(["web1"]), {"playbook": "revoke"}),
        (
            lambda: deploy_flake.revoke(["web1"], reason="too late"),
            {"playbook": "revoke", "deploy_flake_reason": "too late"},
        ),
        (
            lambda: deploy_flake.profiles(["web1"], ".", [{"kind": "system-manager"}]),
            {
                "playbook": "profiles",
                "deploy_flake_flake": ".",
                "deploy_flake_profiles": [{"kind": "system-manager"}],
            },
        ),
        (lambda: deploy_flake.diff(["web1"]), {"playbook": "diff", "deploy_flake_show": False}),
        (
            lambda: deploy_flake.diff(["web1"], 3, "running"),
            {
                "playbook": "diff",
                "deploy_flake_show": False,
                "deploy_flake_compare_from": "3",
                "deploy_flake_compare_to": "running",
            },
        ),
        (
            lambda: deploy_flake.status(["web1"], revisions=True),
            {"playbook": "status", "deploy_flake_show": False, "deploy_flake_revisions": True},
        ),
        (lambda: deploy_flake.status(["web1"]), {"playbook": "status", "deploy_flake_show": False}),
        (
            lambda: deploy_flake.status(["web1"], "."),
            {"playbook": "status", "deploy_flake_show": False, "deploy_flake_flake": "."},
        ),
    ],
)
def test_what_the_playbook_gets(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Run], variables: dict[str, Any]
) -> None:
    assert variables_of(monkeypatch, begin) == variables


@pytest.mark.parametrize(
    ("begin", "error", "said"),
    [
        (lambda: deploy_flake.deploy(["web1"], ".", toplevel=NEW), OptionError, "not both"),
        (lambda: deploy_flake.deploy(["web1"], toplevel="/nix/store/x"), OptionError, "not the path of a system"),
        (lambda: deploy_flake.rollback(["web1"], 3, toplevel=NEW), OptionError, "not both"),
        (
            lambda: deploy_flake.build(["web1"], toplevel=NEW, options=DeployOptions(attribute="x")),
            OptionError,
            "not both",
        ),
        (lambda: deploy_flake.build(["web1"], ".", out_link=3), OptionError, "out_link is str"),  # type: ignore[arg-type]
        (
            lambda: deploy_flake.deploy(["nixos://web1/x"], ".", options=DeployOptions(attribute="x")),
            OptionError,
            "a destination names a configuration",
        ),
        (
            lambda: deploy_flake.build(["nixos://web1/x"], ".", options=DeployOptions(file="galaxy.yml")),
            OptionError,
            "named with 'attribute'",
        ),
        (
            lambda: deploy_flake.rollback(["web1"], options=DeployOptions(attribute="x")),
            OptionError,
            "does nothing with attribute",
        ),
        (
            lambda: deploy_flake.deploy(["web1"], ".", options=DeployOptions(build_on=["localhost", "web1", "build1"])),
            OptionError,
            "'build1' is none of the destinations",
        ),
        (lambda: deploy_flake.deploy("web1"), OptionError, "a list"),
        (lambda: deploy_flake.deploy([]), OptionError, "destinations"),
        (lambda: deploy_flake.deploy(["web1"], run=INVENTORY), OptionError, "not both"),
        (lambda: deploy_flake.deploy(["web1", "web1"]), DestinationError, "twice"),
    ],
)
def test_makes_no_sense(begin: Callable[[], Run], error: type[ValueError], said: str) -> None:
    with pytest.raises(error, match=said):
        begin()


def test_for_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [
        deploy_flake.deploy_async(["nixos://web1/x"], "."),
        deploy_flake.rollback_async(["web1"]),
        deploy_flake.revoke_async(["web1"]),
        deploy_flake.status_async(["web1"]),
    ]

    def script(playing: Playing) -> None:
        playing.play(*deployed("web1"), stats("web1"))

    plays(monkeypatch, *[script] * len(begun))

    async def all_of_them() -> list[Run]:
        return [await one for one in begun]

    runs = asyncio.run(all_of_them())
    assert [run.operation for run in runs] == [
        Operation.DEPLOY,
        Operation.ROLLBACK,
        Operation.REVOKE,
        Operation.STATUS,
    ]
    assert all(run.done for run in runs)
    assert deploy_flake.deploy_async.__name__ == "deploy_async"


def test_cancelled_task_cancels_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[Run] = []

    def script(playing: Playing) -> None:
        playing.play(started("web1", "flake_build"))
        while not playing.must_end():
            pass

    plays(monkeypatch, script)

    async def cancel() -> Run:
        run = deploy_flake.deploy(["nixos://web1/x"], ".", wait=False)

        def note() -> None:
            cancelled.append(run)
            Run.cancel(run)

        monkeypatch.setattr(run, "cancel", note)
        waiting = asyncio.create_task(deploy_flake.ended(run))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return run

    run = asyncio.run(cancel())
    assert cancelled == [run]
    assert (run.done, run.hosts["web1"].outcome) == (True, Outcome.INTERRUPTED)


def test_public_names() -> None:
    for name in deploy_flake.__all__:
        assert getattr(deploy_flake, name).__doc__, name
    with pytest.raises(AttributeError):
        deploy_flake.nothing  # noqa: B018 (that it is not there is what is tried)


def test_task_that_fails_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, lambda playing: playing.play(result("web1", "flake_build", "failed"), stats("web1")))
    run = deploy_flake.deploy(["nixos://web1/x"], ".")
    assert "did not say why" in run.hosts["web1"].error


@pytest.mark.parametrize(
    ("begin", "named"),
    [
        (lambda: deploy_flake.reboot(["web1"], options=DeployOptions(all_or_nothing=True)), "all_or_nothing"),
        (lambda: deploy_flake.build(["web1"], ".", options=DeployOptions(message="x")), "message"),
        (
            lambda: deploy_flake.profiles(
                ["web1"], ".", [{"kind": "system-manager"}], options=DeployOptions(attribute="x")
            ),
            "attribute",
        ),
        (lambda: deploy_flake.generations(["web1"], keep=-1), "keep"),
        (lambda: deploy_flake.trial(["web1"], ".", options=DeployOptions(specialisation="x")), "specialisation"),
        (lambda: deploy_flake.trial(["web1"], ".", options=DeployOptions(until_reboot=True)), "until_reboot"),
        (lambda: deploy_flake.rollback(["web1"], options=DeployOptions(until_reboot=True)), "until_reboot"),
    ],
)
def test_option_that_does_nothing_is_refused(begin: Callable[[], Run], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        begin()


UNTYPED: Any = deploy_flake


@pytest.mark.parametrize(
    "begin",
    [
        lambda: UNTYPED.deploy(None),
        lambda: UNTYPED.deploy(3),
        lambda: UNTYPED.deploy([3]),
        lambda: UNTYPED.deploy(UNTYPED.Destination("web1")),
        lambda: UNTYPED.deploy(["web1"], 3),
        lambda: UNTYPED.deploy(["web1"], toplevel=3),
        lambda: UNTYPED.deploy(["web1"], ".", options={"test": False}),
        lambda: UNTYPED.deploy(["web1"], ".", run={"parallel": 3}),
        lambda: UNTYPED.deploy(["web1"], ".", on_event="print"),
        lambda: UNTYPED.rollback(["web1"], "3"),
        lambda: UNTYPED.rollback(["web1"], True),
        lambda: UNTYPED.rollback(["web1"], toplevel=3),
        lambda: UNTYPED.revoke(["web1"], reason=3),
        lambda: UNTYPED.diff(["web1"], 0),
        lambda: UNTYPED.diff(["web1"], True),
        lambda: UNTYPED.diff(["web1"], 1, "/etc/passwd"),
        lambda: UNTYPED.diff(["web1"], 1, 2.0),
        lambda: UNTYPED.generations(["web1"], keep="3"),
        lambda: UNTYPED.profiles(["web1"], "."),
        lambda: UNTYPED.profiles(["web1"], ".", []),
        lambda: UNTYPED.profiles(["web1"], ".", ["system-manager"]),
        lambda: UNTYPED.profiles(["web1"], ".", {"kind": "system-manager"}),
        lambda: UNTYPED.DeployOptions(test="no"),
        lambda: UNTYPED.DeployOptions(serial=2),
        lambda: UNTYPED.DeployOptions(limits={"confirm": "3"}),
        lambda: UNTYPED.DeployOptions(limits=["confirm"]),
        lambda: UNTYPED.DeployOptions(ignore_units=[3]),
        lambda: UNTYPED.DeployOptions(copy_timeout=True),
        lambda: UNTYPED.DeployOptions(copy_timeout=1.5),
        lambda: UNTYPED.DeployOptions(message=3),
        lambda: UNTYPED.RunOptions(parallel="3"),
        lambda: UNTYPED.RunOptions(inventory=[Path("x")]),
        lambda: UNTYPED.RunOptions(extra_vars=[3]),
        lambda: UNTYPED.RunOptions(verbosity="2"),
        lambda: UNTYPED.RunOptions(limit=["web1"]),
        lambda: UNTYPED.RunOptions(ssh_args=["-J", "gate"]),
        lambda: UNTYPED.RunOptions(artifacts=3),
        lambda: UNTYPED.RunOptions(variables={"x": Path("x")}),
        lambda: UNTYPED.RunOptions(variables={3: 3}),
        lambda: UNTYPED.RunOptions(become_password=b"secret"),
    ],
)
def test_wrong_type_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Any]) -> None:
    fake = plays(monkeypatch)
    with pytest.raises((OptionError, DestinationError)) as error:
        begin()
    assert "secret" not in str(error.value)
    assert fake.calls == []


def test_paths_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flake.nix").touch()
    seen: list[Any] = []

    def script(playing: Playing) -> None:
        seen.append(playing.variables["deploy_flake_flake"])
        playing.play(*deployed("web1"), stats("web1"))

    plays(monkeypatch, script)
    kept: Any = str(tmp_path / "kept")
    run = deploy_flake.deploy(["nixos://web1/x"], tmp_path, run=RunOptions(artifacts=kept))
    assert (run.error, seen) == ("", [str(tmp_path)])
