"""What an id map does, written down with a dict and a list: the model that both engines are compared with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from symopt.idmap import IdMap


class Model:
    """A map from ids to slots; a stack of freed slots."""

    def __init__(self) -> None:
        self.slot_of: dict[int, int] = {}
        self.free: list[int] = []
        self.n_slots = 0

    def get(self, ids: Iterable[int]) -> list[int]:
        return [self.slot_of.get(i, -1) for i in ids]

    def missing(self, ids: Iterable[int]) -> list[int]:
        return [i for i in dict.fromkeys(ids) if i not in self.slot_of]

    def get_or_insert(self, ids: list[int]) -> tuple[list[int], list[int], list[int]]:
        new = self.missing(ids)
        for i in new:
            self.slot_of[i] = self.free.pop() if self.free else self._next()
        return self.get(ids), self.get(new), new

    def remove(self, ids: Iterable[int]) -> list[int]:
        freed = [self.slot_of.pop(i, -1) for i in ids]
        self.free += [slot for slot in freed if slot >= 0]
        return freed

    def _next(self) -> int:
        self.n_slots += 1
        return self.n_slots - 1


def assert_is(found: IdMap, model: Model) -> None:
    """The map holds what the model does, and says so in order of slots."""
    in_order = sorted(model.slot_of, key=model.slot_of.__getitem__)
    assert found.ids().tolist() == in_order
    assert found.slots().tolist() == found.get(in_order).tolist() == model.get(in_order)
    assert found.free().tolist() == model.free
    assert (len(found), found.n_slots) == (len(in_order), model.n_slots)
    assert all(x.dtype == np.int64 for x in (*found.pairs(), found.free()))
