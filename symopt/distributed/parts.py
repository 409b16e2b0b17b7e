"""The gradients of the steps that are open at an owner, each taken once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import MismatchError
from .sequence import HELD, Sequence

WINDOW = 4  # steps


class Parts:
    """The pushes of an owner of dense parameters: a Sequence that also compares what is sent twice, as long as it is
    there. A part is what `Owner.push` gets: the dtypes of the pieces' gradients, and arrays."""

    def __init__(self, epoch: int, done: int) -> None:
        self._sequence = Sequence(epoch, done, WINDOW)
        self._held: dict[tuple[int, int], Any] = {}
        self._of: dict[int, int] = {}

    @property
    def epoch(self) -> int:
        """Of the process."""
        return self._sequence.epoch

    @property
    def done(self) -> int:
        """Steps that were taken, or left out."""
        return self._sequence.done

    def offer(self, epoch: int, step: int, rank: int, of: int, part: tuple[Any, Any]) -> str:
        """See Sequence. MismatchError for a rank that sends other gradients than before, or counts other ranks."""
        if epoch == self.epoch and step > self.done:
            if self._of.setdefault(step, of) != of:
                raise MismatchError(f"step {step} has {self._of[step]} ranks; rank {rank} says {of}")
            if (step, rank) in self._held and not _same(self._held[step, rank], part):
                raise MismatchError(f"rank {rank} sent other gradients for step {step} before")
        said = self._sequence.offer(epoch, step, rank, of, part)
        if said == HELD:
            self._held[step, rank] = part
        return said

    def due(self) -> list[Any] | None:
        """The parts of the next step in the order of ranks, if all are there."""
        return self._sequence.due()

    def finish(self) -> None:
        """The next step is done."""
        step = self.done + 1
        self._sequence.finish()
        self._of.pop(step)
        self._held = {key: part for key, part in self._held.items() if key[0] != step}


def _same(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
    return a[0] == b[0] and len(a[1]) == len(b[1]) and all(map(_same_bits, a[1], b[1]))


def _same_bits(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and np.array_equal(np.ravel(a).view("u1"), np.ravel(b).view("u1"))
    )
