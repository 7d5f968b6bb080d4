# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of `nix store diff-closures`, and what becomes of them in a diff."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fake_host import FakeHost
from unit.settings import NEW

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Mode, Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment import closure_diff, diff
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._deployment.closure_diff import Package, parse
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import (
    Answer,
    HostError,
    HostLostError,
)

# As in names of store paths: a version begins with what is no letter, and neither has a space or a comma.
NAMES = st.from_regex(r"[a-zA-Z0-9+._?=][a-zA-Z0-9+._?=-]{0,15}", fullmatch=True)
VERSIONS = st.lists(
    st.one_of(st.just(""), st.from_regex(r"[0-9][a-zA-Z0-9+._?=-]{0,10}", fullmatch=True)), max_size=3, unique=True
)
KIB = st.integers(-(1 << 24), 1 << 24).filter(lambda kib: abs(kib) >= 8)


def package(name: str, before: list[str], after: list[str], size: int = 0) -> Package:
    return Package(name=name, before=before, after=after, size_change_bytes=size)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hello: 2.12.1 → 2.12.2", package("hello", ["2.12.1"], ["2.12.2"])),
        ("dolphin: 20.08.1 → 20.08.2, +13.9 KiB", package("dolphin", ["20.08.1"], ["20.08.2"], 14234)),
        ("kdeconnect: 20.08.2 → ∅, -6597.8 KiB", package("kdeconnect", ["20.08.2"], [], -6756147)),
        ("cowsay: ∅ → 3.8.4, \x1b[31;1m+32.6 KiB\x1b[0m", package("cowsay", [], ["3.8.4"], 33382)),
        ("cowsay: ∅ → 3.8.4, \x1b[31;1m32.6 KiB\x1b[0m", package("cowsay", [], ["3.8.4"], 33382)),
        ("linux: 6.1, 6.1-modules → 6.2, -1.5 MiB", package("linux", ["6.1", "6.1-modules"], ["6.2"], -1572864)),
        ("bluez-qt: +12.6 KiB", package("bluez-qt", [], [], 12902)),
        ("etc: ε → ∅", package("etc", [""], [])),
        ("source: ε → 2024-01-01, 2.0 GiB", package("source", [""], ["2024-01-01"], 2 << 30)),
        ("python3.13-foo: 1, 2 → 3, 4", package("python3.13-foo", ["1", "2"], ["3", "4"])),
    ],
)  # fmt: skip
def test_line(line: str, found: Package) -> None:
    assert parse(line) == [found]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "warning: the group 'nixbld' does not exist",
        "hello: 1 2 → 3",
        "error: path is not valid",
        "hello",
        "hello: 1.0",
        "a b: 1 → 2",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert parse(f"{line}\nhello: 1 → 2\n") == [package("hello", ["1"], ["2"])]


def shown(versions: list[str]) -> str:
    return ", ".join(version or "ε" for version in versions) or "∅"


@given(st.lists(st.tuples(NAMES, VERSIONS, VERSIONS, st.one_of(st.none(), KIB), st.booleans())))
def test_whatever_nix_prints_is_read_back(found: list[tuple[str, list[str], list[str], int | None, bool]]) -> None:
    lines, expected = [], []
    for name, before, after, kib, coloured in found:
        items = [f"{shown(before)} → {shown(after)}"] if before or after else []
        if kib is not None:
            size = f"{kib:+.1f} KiB"
            items.append(f"\x1b[{31 if kib > 0 else 32};1m{size}\x1b[0m" if coloured else size)
        if items:
            lines.append(f"{name}: {', '.join(items)}")
            expected.append(package(name, before, after, (kib or 0) * 1024))
    assert parse("\n".join(lines)) == expected


@given(st.text(max_size=200))
def test_any_text_is_survived(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (14234, "13.9 KiB"), (-6756147, "-6.4 MiB"), (2 << 30, "2.0 GiB")],
)
def test_size(number: int, text: str) -> None:
    assert closure_diff.size(number) == text
    if number > 0:
        assert closure_diff.size(number, sign=True) == f"+{text}"


def answered(**fields: str) -> Answer:
    units = [("unit", line) for line in fields.pop("units", "").splitlines()]
    return Answer([*fields.items(), *units])


def test_changes_and_their_diff() -> None:
    answer = answered(
        changes_from="/nix/store/o-old",
        changes_to="/nix/store/n-new",
        closures="/nix/store/n-new \t 2097152\n/nix/store/o-old\t1048576",
        kernel_before="6.12.1",
        kernel_after="6.12.2",
        packages="cowsay: ∅ → 3.8.4, +32.6 KiB\nhello: 1 → 2\nold: 3 → ∅, -9.0 KiB\nsame: +12.0 KiB",
        units="changed hello.service\nadded new.timer\nremoved old.service",
    )
    found = diff.read(answer)
    assert found["closure_bytes"] == {"before": 1 << 20, "after": 1 << 21}
    assert found["units"] == {"added": ["new.timer"], "removed": ["old.service"], "changed": ["hello.service"]}
    assert [one["name"] for one in found["packages"]] == ["cowsay", "hello", "old", "same"]
    shown_diff = diff.diff(found)
    assert (shown_diff["before_header"], shown_diff["after_header"]) == ("/nix/store/o-old", "/nix/store/n-new")
    assert shown_diff["before"].splitlines() == [
        "kernel 6.12.1",
        "closure 1.0 MiB",
        "package hello 1",
        "package old 3, -9.0 KiB",
        "package same",
        "unit hello.service",
        "unit old.service, removed",
    ]
    assert shown_diff["after"].splitlines() == [
        "kernel 6.12.2",
        "closure 2.0 MiB, +1.0 MiB",
        "package cowsay 3.8.4, +32.6 KiB",
        "package hello 2",
        "package same, +12.0 KiB",
        "unit hello.service, changed",
        "unit new.timer, added",
    ]


def test_more_packages_than_a_result_can_hold() -> None:
    lines = "\n".join(f"p{number}: 1 → 2" for number in range(2000))
    found = diff.read(answered(changes_from="/a", changes_to="/b", packages=lines))
    assert len(found["packages"]) + found["packages_left_out"] == 2000
    assert diff.diff(found)["after"].splitlines()[-1] == "and 500 packages more"


def test_containers_have_no_kernel_and_old_hosts_no_sizes() -> None:
    found = diff.read(answered(changes_from="/a", changes_to="/b", packages_failed="no", closures="nonsense"))
    assert found["kernel"] == {"before": "", "after": ""}
    assert found["closure_bytes"] == {"before": None, "after": None}
    assert diff.diff(found)["before"] == diff.diff(found)["after"] == ""


def test_comparison_that_fails_is_no_failure_but_a_lost_host_is() -> None:
    assert diff.look(FakeHost(), "", Mode.TEST, 1) == {}
    host = FakeHost([HostError("x", Refusal.NO_ANSWER)])
    assert diff.look(host, NEW, Mode.TEST, 1) == {}
    assert host.told == ["could not compare the systems: x"]
    with pytest.raises(HostLostError):
        diff.look(FakeHost([HostLostError("x", Refusal.LOST)]), NEW, Mode.TEST, 1)


def test_packages_that_cannot_be_compared() -> None:
    host = FakeHost()
    found = diff.result_of(host, answered(changes_from="/a", changes_to="/b", packages_failed="x"))
    assert (found["changes"]["packages"], host.warned) == ([], ["the packages could not be compared: x"])
