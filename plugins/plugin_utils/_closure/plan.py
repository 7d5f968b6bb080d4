# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which paths of a closure go together, to whom, and in which order. Knows no host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .signatures import Signed

_MOST_PATHS = 200
"""Of a batch: a process takes them as its arguments."""
_MOST_BYTES = 64 << 20
"""Of a batch with more than one path: what is not whole when a host is lost comes once more."""


@dataclass(frozen=True)
class Closure:
    """What the source has of what is to be copied."""

    sizes: Mapping[str, int]
    """Of each path as a NAR, in an order in which none needs a later one."""
    needs: Mapping[str, frozenset[str]]
    """Of each target."""
    signed: Mapping[str, Signed] = field(default_factory=dict)
    """What is signed of each path, where signatures are asked for."""

    def of(self, target: str) -> list[str]:
        """What a target needs, in order."""
        return [path for path in self.sizes if path in self.needs[target]]

    def size(self, paths: frozenset[str]) -> int:
        """Of all of them, in bytes."""
        return sum(self.sizes[path] for path in paths)


@dataclass(frozen=True)
class Batch:
    """Paths that are sent as one stream to the same targets."""

    paths: tuple[str, ...]
    size: int
    targets: frozenset[str]


def batches(closure: Closure, lacks: Mapping[str, frozenset[str]]) -> list[Batch]:
    """What is sent, each path once, and to no target that has it or has no need of it.

    What many need comes first, which keeps together what goes to the same targets. The order stays a good one: whoever
    needs a path needs what that needs as well.
    """
    paths = [path for path in closure.sizes if any(path in lacking for lacking in lacks.values())]
    paths.sort(key=lambda path: -sum(path in closure.needs[target] for target in lacks))
    return list(
        _together([(path, frozenset(t for t, lacking in lacks.items() if path in lacking)) for path in paths], closure)
    )


def _together(paths: Sequence[tuple[str, frozenset[str]]], closure: Closure) -> Iterator[Batch]:
    batch: list[str] = []
    size, targets = 0, frozenset[str]()
    for path, its in paths:
        full = len(batch) >= _MOST_PATHS or size + closure.sizes[path] > _MOST_BYTES
        if batch and (its != targets or full):
            yield Batch(tuple(batch), size, targets)
            batch, size = [], 0
        batch.append(path)
        size += closure.sizes[path]
        targets = its
    if batch:
        yield Batch(tuple(batch), size, targets)
