"""The id map: both engines, batch by batch, against a dict; what memory it takes; what it refuses."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from idmap_model import Model, assert_is

from symopt.errors import AttributeValueError, DTypeError, ShapeError, StateError, TooLateError
from symopt.idmap import IdMap, inserted, native

SMALLEST, LARGEST = -(2**63), 2**63 - 1
ENGINES = ("native", "reference")
Ids = np.ndarray[Any, np.dtype[np.int64]]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def random_ids(rng: np.random.Generator, n: int) -> Ids:
    return rng.integers(SMALLEST, LARGEST, n, endpoint=True)


def ids_of(hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> Ids:
    """The ids whose hashes with seed 0 are these: each step of the hash in reverse."""
    x = hashes ^ hashes >> np.uint64(31) ^ hashes >> np.uint64(62)
    x *= np.uint64(pow(0x94D049BB133111EB, -1, 1 << 64))
    x ^= x >> np.uint64(27) ^ x >> np.uint64(54)
    x *= np.uint64(pow(0xBF58476D1CE4E5B9, -1, 1 << 64))
    x ^= x >> np.uint64(30) ^ x >> np.uint64(60)
    ids: Ids = (x ^ np.uint64(native._mixed(0) & (2**64 - 1))).view(np.int64)
    return ids


# What hash tables without mixing, or with a reserved key, do badly.
PATTERNS: dict[str, Callable[[np.random.Generator, int], Ids]] = {
    "random": random_ids,
    "from 0": lambda rng, n: np.arange(n),
    "down from -1": lambda rng, n: -1 - np.arange(n),
    "at the ends": lambda rng, n: np.concatenate(
        [SMALLEST + np.arange(n // 2), LARGEST - np.arange(n - n // 2)]
    ),
    "low bits equal": lambda rng, n: np.arange(n) << 44,
    "slot in the top bits": lambda rng, n: (rng.integers(0, 8, n) << 48) + np.arange(n),
    "all in the last block": lambda rng, n: ids_of(np.arange(2**64 - n // 9, 2**64, dtype=np.uint64)),
    "twice": lambda rng, n: np.repeat(random_ids(rng, n // 2), 2),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_any_ids(pattern: str, engine: str) -> None:
    rng = np.random.default_rng(len(pattern))
    found, model = IdMap(engine=engine), Model()
    ids = PATTERNS[pattern](rng, 5000)
    for batch in np.array_split(ids, 7):
        assert [x.tolist() for x in found.get_or_insert(batch)] == list(model.get_or_insert(batch.tolist()))
    assert_is(found, model)
    for batch in (ids[::3], ids[1:4000], ids):
        assert found.remove(batch).tolist() == model.remove(batch.tolist())
        assert found.get(ids).tolist() == model.get(ids.tolist())
        assert_is(found, model)


@pytest.mark.parametrize("seed", [0, 1, -5, 2**64 + 3])
def test_what_is_given_depends_on_no_seed(seed: int) -> None:
    found, model = IdMap(seed=seed), Model()
    ids = random_ids(np.random.default_rng(0), 3000)
    assert found.get_or_insert(ids).slots.tolist() == model.get_or_insert(ids.tolist())[0]
    found.remove(ids[5:1000:7])
    model.remove(ids[5:1000:7].tolist())
    assert_is(found, model)


@pytest.mark.slow
def test_a_million_ids() -> None:
    """2**20 random ids, inserted, half of them taken out, and put back on their slots in reverse."""
    n = 1 << 20
    ids = np.unique(random_ids(np.random.default_rng(3), n + 1000))[:n]
    np.random.default_rng(4).shuffle(ids)
    found = IdMap()
    for batch in np.array_split(ids, 11):
        found.get_or_insert(batch)
    np.testing.assert_array_equal(found.get(ids), np.arange(n))
    np.testing.assert_array_equal(found.remove(ids[::2]), np.arange(n)[::2])
    np.testing.assert_array_equal(found.get(ids), np.where(np.arange(n) % 2, np.arange(n), -1))
    np.testing.assert_array_equal(found.get_or_insert(ids[::2]).slots, np.arange(n)[::2][::-1])
    assert (len(found), found.n_slots) == (n, n)


def test_memory_stays_below_24_bytes_an_id() -> None:
    """While ids come, and while they go again; freed slots take up to 5 bytes each, small maps a few blocks."""
    rng, found = np.random.default_rng(5), IdMap()
    for batch in np.array_split(np.arange(60_000) * 977, 500):
        found.get_or_insert(batch)
        assert found.memory_bytes() <= 24 * len(found) + 200
        assert 0.5 <= found.load <= 0.8 or len(found) < 200
    for batch in np.array_split(rng.permutation(60_000) * 977, 500):
        found.remove(batch)
        assert found.memory_bytes() <= 24 * len(found) + 5 * (60_000 - len(found)) + 4 * 1024 + 200
    assert len(found) == 0


def test_memory_bytes_is_what_was_allocated() -> None:
    IdMap().get_or_insert(np.arange(100_000))  # code and scratch memory are made once
    tracemalloc.start()
    try:
        found = IdMap()
        found.get_or_insert(np.arange(100_000))
        assert abs(tracemalloc.get_traced_memory()[0] - found.memory_bytes()) < 5000
    finally:
        tracemalloc.stop()


def test_reserved_room_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = IdMap(1000)
    found.reserve(50_000)
    monkeypatch.setattr(native, "_empty", None)  # a table made anew would call it
    found.get_or_insert(np.arange(50_000))
    found.remove(np.arange(49_990))
    found.get_or_insert(np.arange(49_990))
    assert len(found) == 50_000


def test_a_batch_is_inserted_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out, or somebody interrupts, when the table should grow for the third time: hardly any ids are new at
    first, so it grows by little."""
    batch = [5] * 900 + list(range(1000))
    for error in (MemoryError, KeyboardInterrupt):
        found, model = IdMap(), Model()
        for each in (found.get_or_insert, model.get_or_insert):
            each([5, 6, 7, 8, 9])
        for remove in (found.remove, model.remove):
            remove([6, 9, 7])
        empty, calls = native._empty, [error, None, None]

        def failing(n_blocks: int, seed: int, empty: Any = empty, calls: Any = calls) -> Any:
            if calls and (raised := calls.pop()):
                raise raised
            return empty(n_blocks, seed)

        with monkeypatch.context() as patched:
            patched.setattr(native, "_empty", failing)
            with pytest.raises(error):
                found.get_or_insert(batch)
        assert not calls
        assert_is(found, model)
        assert found.get_or_insert(range(20)).slots.tolist() == model.get_or_insert(list(range(20)))[0]


def test_a_table_that_can_not_shrink_still_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, model = IdMap(), Model()
    for each in (found.get_or_insert, model.get_or_insert):
        each(list(range(1000)))

    def failing(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(native, "_empty", failing)
    assert found.remove(range(900)).tolist() == model.remove(range(900))
    assert_is(found, model)


def test_slots_run_out(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserted, "MOST_SLOTS", 100)
    found, model = IdMap(engine=engine), Model()
    for each in (found.get_or_insert, model.get_or_insert):
        each(list(range(90)))
    with pytest.raises(TooLateError, match="at most 100 slots"):
        found.get_or_insert(range(50, 150))
    assert_is(found, model)
    found.remove(range(50))
    model.remove(range(50))
    assert found.get_or_insert(range(90, 150)).slots.tolist() == model.get_or_insert(list(range(90, 150)))[0]


def busy_map(engine: str) -> IdMap:
    found = IdMap(engine=engine)
    found.get_or_insert(range(0, 3000, 3))
    found.remove([9, 3, 600, 2997])
    return found


@pytest.mark.parametrize("way", ["restore", "copy", "deepcopy", "pickle"])
def test_a_copy_goes_on_alike(way: str, engine: str) -> None:
    found = busy_map(engine)
    other = IdMap(engine=engine)
    other.get_or_insert([1, 2])
    if way == "restore":
        ids, slots = found.pairs()
        other.restore(ids[::-1], slots[::-1], found.free())
    else:
        ways: dict[str, Callable[[IdMap], IdMap]] = {
            "copy": IdMap.copy, "deepcopy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m)),
        }  # fmt: skip
        other = ways[way](found)
    for batch in ([1, 3, 9, 2], range(10)):
        for a, b in zip(found.get_or_insert(batch), other.get_or_insert(batch)):
            np.testing.assert_array_equal(a, b)
    other.remove([6])
    assert found.get([6]) == 2


def test_a_map_is_restored_on_the_other_engine(engine: str) -> None:
    found = busy_map(engine)
    other = IdMap(engine=ENGINES[engine == "native"])
    other.restore(*found.pairs(), found.free())
    for a, b in zip(found.get_or_insert(range(20)), other.get_or_insert(range(20))):
        np.testing.assert_array_equal(a, b)


def test_clear(engine: str) -> None:
    found = busy_map(engine)
    found.clear()
    assert_is(found, Model())
    assert found.get_or_insert([3]).slots == [0]


REFUSED = {
    "id twice": (([1, 2, 1], [0, 1, 2], []), StateError, "1 is there twice, the second time as number 2"),
    "slot twice": (([1, 2, 3], [0, 1, 1], []), StateError, "1 is there 2 times"),
    "free and in use": (([1, 2], [0, 1], [1]), StateError, "1 is there 2 times"),
    "a gap": (([1, 2], [0, 3], [1]), StateError, r"must be in \[0, 3\), got 3"),
    "negative": (([1, 2], [0, -1], []), StateError, r"must be in \[0, 2\), got -1"),
    "lengths": (([1, 2], [0], [1]), ShapeError, "2 ids and 1 slots"),
    "floats": (([1], [0.0], []), DTypeError, "slots must be integers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_map_is_not_restored(case: str, engine: str) -> None:
    given, error, message = REFUSED[case]
    found = busy_map(engine)
    before = found.pairs()
    with pytest.raises(error, match=message):
        found.restore(*given)
    for a, b in zip(found.pairs(), before):
        np.testing.assert_array_equal(a, b)


DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8", ">u4"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_integers_are_ids(dtype: str, engine: str) -> None:
    found = IdMap(engine=engine)
    top = np.iinfo(dtype).max
    ids = np.array([3, 0, top, 7, 3], dtype)
    assert found.get_or_insert(ids[::-1]).slots.tolist() == [0, 1, 2, 3, 0]
    assert found.ids().tolist() == [3, 7, -1 if dtype == "u8" else top, 0]
    assert found.get(ids[1::2]).tolist() == [3, 1]


def test_python_integers_are_ids(engine: str) -> None:
    found = IdMap(engine=engine)
    assert found.get_or_insert([2**64 - 1]).new_ids.tolist() == [-1]
    assert found.get([-1, LARGEST]).tolist() == [0, -1]
    assert found.get([]).shape == found.get_or_insert(()).slots.shape == found.remove([]).shape == (0,)


@pytest.mark.parametrize("method", ["get", "get_or_insert", "missing", "remove"])
def test_what_is_no_id(method: str, engine: str) -> None:
    found = busy_map(engine)
    for given in ([1.0], [True], np.array([1 + 0j]), np.array(["1"]), np.array([2**64], object), np.empty(0)):
        with pytest.raises(DTypeError, match="ids must be integers"):
            getattr(found, method)(given)
    for shape in ((2, 3), ()):
        with pytest.raises(ShapeError, match="one-dimensional"):
            getattr(found, method)(np.zeros(shape, int))


def test_slots_into_an_array(engine: str) -> None:
    found, out = busy_map(engine), np.zeros(3, np.int64)
    assert found.get([6, 9, 0], out) is out
    assert out.tolist() == [2, -1, 0]
    over = np.array([9, 0, 6, 1])
    assert found.get(over[:3], over[1:]).tolist() == [-1, 0, 2]
    wrong: Any
    for wrong in (np.zeros(4, np.int64), np.zeros(3, np.int32), np.zeros(6, np.int64)[::2]):
        with pytest.raises(ShapeError, match="out must be"):
            found.get([6, 9, 0], wrong)


def test_arguments() -> None:
    with pytest.raises(AttributeValueError, match="'fast' must be one of auto, native, reference"):
        IdMap(engine="fast")
    with pytest.raises(AttributeValueError, match="0 or more"):
        IdMap(-1)
    with pytest.raises(DTypeError, match="number of ids"):
        IdMap().reserve(2.5)  # type: ignore[arg-type]
