"""Many ids are looked for by several threads, and none is forgotten, taken twice or put in another's place."""

import numpy as np
import pytest

import symopt as so
from symopt.idmap import IdMap, native


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, native._SHARED - 1, native._SHARED, 2 * native._SHARED, 100_001])
def test_slots_do_not_depend_on_threads(n: int, threads: int, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("llvmlite")
    so.set_num_threads(threads)
    request.addfinalizer(lambda: so.set_num_threads(None))
    rng = np.random.default_rng(n)
    known = rng.permutation(np.arange(-60_000, 60_000))
    ids = rng.choice(np.arange(-70_000, 70_000), n)
    found = IdMap(engine="native")
    found.get_or_insert(known)
    slot_of = np.full(140_000, -1)
    slot_of[known + 70_000] = np.arange(len(known))
    assert np.array_equal(found.get(ids), slot_of[ids + 70_000])
