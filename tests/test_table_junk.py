"""Anything at any place of a state: it is refused with StateError and nothing is changed, or the table goes on."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from table_states import drive, everything, full

from symopt import errors
from symopt.embedding import Table
from symopt.embedding.restoring import restore
from symopt.embedding.wanted import Wanted

JUNK: list[Any] = [
    None, True, -1, 7, 2**70, 2.5, float("nan"), float("inf"), "x", [], {}, [None], [{}], 1j,
    np.zeros(0), np.array(3), np.array("x"), np.ones((4, 4)), np.array([-1]), np.full(4, np.nan), np.full(4, np.inf),
]  # fmt: skip
EVERY = (0, 1, 2, 3)
WAYS = {
    "load": None,
    "weights": Wanted(None, None, EVERY, (), True, False),
    "merge": Wanted([1, 3], None, EVERY, EVERY, False, True),
    "segment": Wanted(None, None, (2,), (2,), True, False),
}


def trained(ids: list[int]) -> Table:
    table = full(max_rows=50)
    drive(table, [("apply", ids, 1), ("apply", ids, 2), ("apply", [9], 3), ("evict", ids[:1], 0)])
    return table


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def with_junk(state: Any, place: tuple[Any, ...], junk: Any) -> Any:
    found = inside = copy.copy(state)
    for key in place[:-1]:
        inside[key] = inside = copy.copy(inside[key])
    inside[place[-1]] = junk
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_junk_is_refused_or_does_no_harm(way: str) -> None:
    state, wanted = trained([1, 2, 3]).state_dict(), WAYS[way]
    table, other = trained([7, 8]), full(max_rows=50)
    own = copy.deepcopy(table.state_dict())
    before = repr(everything(table))
    for place in places(state):
        for junk in JUNK:
            given = with_junk(state, place, junk)
            try:
                table.load_state_dict(given) if wanted is None else restore(table, {"": given}, wanted, True)
            except errors.StateError:
                assert repr(everything(table)) == before, (place, junk)
                continue
            if place[0] not in ("segments", "seed"):  # of which nothing is taken over
                drive(table, [("apply", [1, 7, 9], 9), ("lookup", [1, 2], 9), ("expire", [1], 9)])
                assert np.isfinite(table.take_delta().decay).all(), (place, junk)
                other.load_state_dict(table.state_dict())
            table.load_state_dict(own)
