"""How many faults of checkpoints a run of the tests tries: all with --all-faults, else a tenth."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
SHARE = 10


@dataclass
class Faults:
    """`random` is seeded by --fault-seed and the test's name."""

    are_all: bool
    random: random.Random

    def count(self, number: int) -> int:
        """That many, or a tenth."""
        return number if self.are_all else max(1, number // SHARE)

    def some(self, cases: Sequence[T]) -> list[T]:
        """Those, or a tenth: the first and the last are always among them."""
        if self.are_all or len(cases) < 3:
            return list(cases)
        chosen = self.random.sample(range(1, len(cases) - 1), self.count(len(cases) - 2))
        return [cases[0], *(cases[k] for k in sorted(chosen)), cases[-1]]
