"""Exactly once, and in order: which pushes a shard takes, and when their step is due."""

from __future__ import annotations

from typing import Any

HELD, DUP, GAP, FENCED = "held", "dup", "gap", "fenced"


class Sequence:
    """The pushes of one table at one shard. A step has `of` parts, one from each rank; it is due when all parts of it
    are here and the step before it is done. So what is done depends neither on the order in which parts arrive, nor on
    how often.

    epoch: of this process; pushes of an older one come from somebody who takes another process for this shard.
    done: steps that were done before. window: how far ahead of them pushes are held.

    >>> sequence = Sequence(epoch=1)
    >>> sequence.offer(1, step=2, rank=0, of=1, part="second"), sequence.due()
    ('held', None)
    >>> sequence.offer(1, step=1, rank=0, of=1, part="first"), sequence.due()
    ('held', ['first'])
    >>> sequence.finish(), sequence.due()
    (None, ['second'])
    >>> sequence.offer(1, step=1, rank=0, of=1, part="first")
    'dup'
    >>> sequence.offer(0, step=3, rank=0, of=1, part="stale")
    'fenced'
    """

    def __init__(self, epoch: int, done: int = 0, window: int = 64) -> None:
        self.epoch, self.done, self.window = epoch, done, window
        self.dups = self.gaps = self.fenced = 0
        self._held: dict[int, dict[int, Any]] = {}
        self._of: dict[int, int] = {}

    @property
    def n_held(self) -> int:
        """How many parts wait."""
        return sum(map(len, self._held.values()))

    def offer(self, epoch: int, step: int, rank: int, of: int, part: Any) -> str:
        """A push: "held" if it is taken; "dup" if it was before; "gap" if it is too far ahead; "fenced" if it is of
        another epoch. Steps count from 1."""
        if epoch != self.epoch:
            self.fenced += 1
            return FENCED
        if step <= self.done or rank in self._held.get(step, ()):
            self.dups += 1
            return DUP
        if step > self.done + self.window:
            self.gaps += 1
            return GAP
        self._held.setdefault(step, {})[rank] = part
        self._of[step] = of
        return HELD

    def due(self) -> list[Any] | None:
        """The parts of the step that is to be done now, in the order of ranks; None if it is not complete."""
        parts = self._held.get(self.done + 1, {})
        if not parts or len(parts) < self._of[self.done + 1]:
            return None
        return [parts[rank] for rank in sorted(parts)]

    def finish(self) -> None:
        """The step that was due is done."""
        self.done += 1
        self._held.pop(self.done)
        self._of.pop(self.done)
