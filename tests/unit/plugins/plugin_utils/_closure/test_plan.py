# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent, to whom and in which order, for any closure and whatever its targets have."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._closure.plan import Batch, Closure, batches

TARGETS = ("a", "b", "c")
References = Mapping[str, frozenset[str]]


@st.composite
def closures(draw: st.DrawFn) -> tuple[Closure, dict[str, frozenset[str]], References]:
    """Paths that need earlier ones, and what each target wants and has; who has a path has all that it needs."""
    paths = [str(number) for number in range(draw(st.integers(1, 12)))]
    references: dict[str, frozenset[str]] = {}
    whole: dict[str, frozenset[str]] = {}
    for at, path in enumerate(paths):
        references[path] = draw(st.frozensets(st.sampled_from(paths[:at]))) if at else frozenset()
        whole[path] = frozenset({path}).union(*(whole[one] for one in references[path]))
    some = st.frozensets(st.sampled_from(paths), max_size=4)
    of = {target: frozenset().union(*(whole[one] for one in draw(some))) for target in TARGETS}
    has = {target: frozenset().union(*(whole[one] for one in draw(some))) for target in TARGETS}
    sizes = {path: draw(st.integers(0, 100 << 20)) for path in paths}
    return (
        Closure(sizes, of),
        {target: of[target] - has[target] for target in TARGETS if of[target] - has[target]},
        references,
    )


@given(closures())
def test_each_target_gets_what_it_lacks_and_nothing_else(
    drawn: tuple[Closure, dict[str, frozenset[str]], References],
) -> None:
    closure, lacks, _references = drawn
    plan = batches(closure, lacks)
    for target in TARGETS:
        got = [path for batch in plan if target in batch.targets for path in batch.paths]
        assert sorted(got) == sorted(lacks.get(target, ()))


@given(closures())
def test_nothing_comes_before_what_it_needs(drawn: tuple[Closure, dict[str, frozenset[str]], References]) -> None:
    closure, lacks, references = drawn
    plan = batches(closure, lacks)
    assert len({path for batch in plan for path in batch.paths}) == sum(len(batch.paths) for batch in plan)
    for target, lacking in lacks.items():
        there = set(closure.needs[target] - lacking)
        for batch in plan:
            if target in batch.targets:
                # Within a batch Nix itself keeps the order.
                there |= set(batch.paths)
                assert all(references[path] <= there for path in batch.paths)


@given(closures())
def test_a_batch_is_small_or_has_one_path(drawn: tuple[Closure, dict[str, frozenset[str]], References]) -> None:
    closure, lacks, _references = drawn
    for batch in batches(closure, lacks):
        assert batch.size == sum(closure.sizes[path] for path in batch.paths)
        assert batch.size <= 64 << 20 or len(batch.paths) == 1


def test_what_goes_to_the_same_targets_is_one_batch() -> None:
    """Though what only one of them needs lies in between."""
    sizes = dict.fromkeys("pqrst", 10)
    of = {"a": frozenset("pqrt"), "b": frozenset("prst")}
    assert batches(Closure(sizes, of), of) == [
        Batch(("p", "r", "t"), 30, frozenset("ab")),
        Batch(("q",), 10, frozenset("a")),
        Batch(("s",), 10, frozenset("b")),
    ]


def test_a_batch_has_no_more_paths_than_a_process_takes_arguments() -> None:
    """15,000 paths are many batches."""
    sizes = {str(number): 1 for number in range(15_000)}
    whole = {"a": frozenset(sizes)}
    plan = batches(Closure(sizes, whole), whole)
    assert [path for batch in plan for path in batch.paths] == list(sizes)
    assert max(len(batch.paths) for batch in plan) == 200
