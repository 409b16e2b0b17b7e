"""What functions of the user's answered: schedules that gave a rate, initializers that gave weights.

They are asked once. A batch that is done again after a crash gets the answers that it got before, whatever the
functions would say now: some count how often they were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...errors import DamagedError
from ...lr_scheduler import LRScheduler
from ...training.hyper import describe, described_as

Answer = float | np.ndarray[Any, Any]


class Answers:
    """`said`: the answers since `begin`, in order, of those that were asked while `is_noting`."""

    def __init__(self) -> None:
        self.said: list[Answer] = []
        self.is_noting = False
        self._script: Iterator[Answer] | None = None

    def begin(self, script: Sequence[Answer] | None = None) -> None:
        """Forget all; from now on answer from the `script`, if one is given."""
        self.said = []
        self._script = None if script is None else iter(script)

    def ask(self, function: Callable[[], Any]) -> Any:
        """The answer of a function, or the next of the script."""
        if self._script is not None:
            for answer in self._script:
                return answer
            raise DamagedError(
                "a record of the push log has fewer answers of functions than its batch asks for"
            )
        found = function()
        if self.is_noting:
            self.said.append(found)
        return found

    def schedule(self, function: Callable[[int], float]) -> Callable[[int], float]:
        """A schedule that is asked through this, with the number of updates done, and described as it is."""
        first = 1 if isinstance(function, LRScheduler) else 0  # MXNet's count from 1
        return described_as(
            lambda done: float(self.ask(lambda: float(function(done + first)))), describe(function)
        )
