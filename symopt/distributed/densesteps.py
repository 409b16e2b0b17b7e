"""The steps of a ShardedOptimizer at its owners: gradients out, what all decide together, new weights back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array
from ..training.assigned import Assigned
from ..training.plan import Options
from . import densegraphs
from .densepieces import Pieces
from .owner import Kinds
from .owners import Asked, Owners, Told
from .parcels import Parcel


class Steps:
    """What is told to owners, and asked of them. `views`: the trained parameters. `is_stale`: they were written to, so
    owners have to take them before the next step."""

    def __init__(
        self,
        owners: Owners,
        pieces: Pieces,
        assigned: Assigned,
        options: Options,
        views: Mapping[str, Array],
        n_ranks: int,
    ) -> None:
        self._owners, self._pieces, self._assigned, self._options = owners, pieces, assigned, options
        self._views, self._n_ranks = views, n_ranks
        self._own: Kinds = tuple([view.dtype.name for view in views.values()])
        self._known: dict[
            Any, tuple[int, int]
        ] = {}  # kinds of steps that owners have graphs of, and their keys
        self._generation = 0
        self.is_stale = False

    def begin(self, done: int, kept: Sequence[Mapping[str, Array]] | None) -> None:
        """Let owners begin after `done` steps, with the weights as they are here and what is kept beside them."""
        weights = self._pieces.weights(self._views)
        for k, line in enumerate(self._owners.lines):
            line.begin(done, weights[k], None if kept is None else kept[k])
        self.forget()
        self.is_stale = kept is not None  # weights may be loaded after their states

    def forget(self) -> None:
        """Graphs are other ones from now on."""
        self._generation += 1
        self._known.clear()

    # ---- gradients

    def send(self, step: int, rank: int, parcel: Parcel) -> Sequence[Asked | None]:
        """Give each owner its part of the gradients of a rank."""
        kinds, parts, sizes, are_answers = parcel
        self._owners.make_room(sum(sizes))
        if self.is_stale:
            self._write_weights()
        told: list[Told | None] = []
        own = dict(zip(self._views, kinds, strict=True))
        for pieces, part, size in zip(self._pieces.of_owners, parts, sizes, strict=True):
            said = None if kinds == self._own else tuple([own[p.name] for p in pieces])
            held = part if are_answers else self._owners.hold(part)
            told.append(Told("push", True, (step, rank, self._n_ranks, said, held), size, are_answers))
        return self._owners.tell(told)

    def answers(self, asked: Sequence[Asked | None]) -> list[Any]:
        """What owners answered."""
        return self._owners.answers(asked)

    def _write_weights(self) -> None:
        self.is_stale = False
        told: list[Told | None] = []
        for weights in self._pieces.weights(self._views):
            held = self._owners.hold(weights)
            told.append(Told("write", False, (held,), sum(a.nbytes for a in weights)))
        self._owners.answers(self._owners.tell(told))

    # ---- a step

    def take(
        self, step: int, is_update: bool, kinds: Kinds, numbers: Mapping[str, float], asked: Sequence[Any]
    ) -> bool:
        """Make a step whose gradients owners have, and write the new weights. False if it was left out, because a
        gradient is not finite. `asked`: pushes whose answers nobody has looked at."""
        key = self._learned(is_update, kinds)
        is_taken, factor = self._measured(step, key, kinds, numbers) if is_update else (True, None)
        told = Told("apply", True, (step, key, numbers, factor)) if is_taken else Told("skip", True, (step,))
        applied = self._owners.tell([told] * len(self._owners.lines))
        for replies in asked:
            self._owners.answers(replies)
        found = self._owners.answers(applied)
        if is_update and is_taken:
            self._pieces.gather(found, self._views)
        return is_taken

    def _learned(self, is_update: bool, kinds: Kinds) -> tuple[int, int]:
        """The key of the graphs of a kind of step, which are sent once."""
        key = self._known.get((is_update, kinds))
        if key is not None:
            return key
        key = (self._generation, len(self._known))
        by_name = dict(zip(self._views, kinds, strict=True))
        told: list[Told | None] = []
        for pieces in self._pieces.of_owners:
            made = densegraphs.graphs(pieces, by_name, self._assigned.groups, self._options, is_update)
            told.append(Told("learn", False, (key, made)))
        self._owners.answers(self._owners.tell(told))
        self._known[is_update, kinds] = key
        return key

    def _measured(self, step: int, key: Any, kinds: Kinds, numbers: Mapping[str, float]) -> tuple[bool, Any]:
        """Whether the step is taken, and what all gradients are multiplied by: (1,) or None."""
        if not densegraphs.is_measured(self._options):
            return True, None
        own = dict(zip(self._views, kinds, strict=True))
        live = [[p for p in pieces if own[p.name]] for pieces in self._pieces.of_owners]
        asked = [
            line.ask("measure", step, key, numbers) if some else None
            for line, some in zip(self._owners.lines, live, strict=True)
        ]
        found = self._owners.answers(asked)
        if self._options.is_skipping and not all(x[0][0] for x in found if x is not None):
            return False, None
        if self._options.clip_global_norm is None:
            return True, None
        sums: dict[str, list[Any]] = {name: [] for name, kind in own.items() if kind}
        for pieces, arrays in zip(live, found, strict=True):
            if pieces:
                for name, each in densegraphs.partial_sums(pieces, self._options, arrays).items():
                    sums[name].append(each)
        return True, densegraphs.factor(sums, self._options.clip_global_norm)
