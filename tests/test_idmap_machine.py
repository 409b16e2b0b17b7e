"""Any sequence of calls on an id map, on both engines, beside a dict."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from idmap_model import Model, assert_is

from symopt.idmap import IdMap, native
from symopt.idmap.blocks import PER_BLOCK

CORNERS = [-(2**63), 2**63 - 1, -1, 0, 1]
ID = st.one_of(
    st.sampled_from(CORNERS),
    st.integers(0, 40),
    st.integers(-20, 20).map(lambda k: k << 48),
    st.integers(-(2**63), 2**63 - 1),
)
BATCH = st.lists(ID, max_size=60)
RUN = st.tuples(st.integers(-(2**62), 2**62), st.integers(1, 300)).map(
    lambda r: list(range(r[0], r[0] + r[1]))
)


def crowded(ids: list[int]) -> list[int]:
    return [i % 41 for i in ids]


class Maps(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.maps: list[IdMap] = []

    @initialize(seed=st.integers(0, 3), reserve=st.sampled_from([0, 0, 5, 200]))
    def begin(self, seed: int, reserve: int) -> None:
        self.maps = [IdMap(reserve, seed=seed, engine=engine) for engine in ("native", "reference")]

    def both(self, method: str, ids: list[int]) -> None:
        expected: Any = getattr(self.model, method)(ids)
        for each in self.maps:
            found = getattr(each, method)(np.array(ids, np.int64))
            found = tuple(x.tolist() for x in found) if isinstance(found, tuple) else found.tolist()
            assert found == expected, each

    @rule(ids=st.one_of(BATCH, BATCH.map(crowded), RUN))
    def insert(self, ids: list[int]) -> None:
        self.both("missing", ids)
        self.both("get_or_insert", ids)

    @rule(ids=st.one_of(BATCH, BATCH.map(crowded)))
    def get(self, ids: list[int]) -> None:
        self.both("get", ids)

    @rule(ids=st.one_of(BATCH, BATCH.map(crowded)))
    def remove(self, ids: list[int]) -> None:
        self.both("remove", ids)

    @rule(part=st.integers(1, 4), shift=st.integers(0, 3))
    def remove_present(self, part: int, shift: int) -> None:
        self.both("remove", sorted(self.model.slot_of)[shift::part])

    @rule(n=st.integers(0, 400))
    def reserve(self, n: int) -> None:
        for each in self.maps:
            each.reserve(n)

    @rule()
    def restore(self) -> None:
        """Each engine from what the other one holds."""
        saved = [(*each.pairs(), each.free()) for each in self.maps]
        for each, (ids, slots, free) in zip(self.maps, reversed(saved)):
            each.restore(ids, slots, free)

    @rule()
    def copy(self) -> None:
        self.maps = [each.copy() for each in self.maps]

    @invariant()
    def hold_the_same(self) -> None:
        for each in self.maps:
            assert_is(each, self.model)

    @invariant()
    def native_tables_have_room(self) -> None:
        """What every search ends at."""
        for each in self.maps:
            if isinstance(each._pairs, native.NativePairs):
                used = each._pairs._table.blocks["used"]
                assert used.sum() == len(each) <= 4 * len(used)
                assert used.max() <= PER_BLOCK


TestMaps = Maps.TestCase
TestMaps.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
