"""Bags of ids: what a lookup gives, what its gradient gives, both engines, and all that may be given wrongly."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symopt as so
from symopt.embedding import (
    Admission,
    Bags,
    FixedR8,
    RandomUniform,
    Segment,
    Table,
    Tables,
    Zeros,
)  # fmt: skip

ENGINES = ("native", "reference")
COMBINERS = ("sum", "mean", "sqrtn", "first_n")
DIM = 5


def table(engine: str = "auto", dtype: str = "float32", **more: Any) -> Table:
    """Rows for the even ids from 0 to 38, of two segments."""
    first = RandomUniform(-1.0, 1.0)
    segments = [
        Segment(2, "adagrad", learning_rate=0.1, initializer=first, dtype=dtype),
        Segment(DIM - 2, "sgd", learning_rate=1.0, initializer=first, dtype=dtype, **more),
    ]
    made = Table(segments, engine=engine)
    made.reinitialize(np.arange(0, 40, 2), req_time=1)
    return made


def random_bags(seed: int, combiner: str, weighted: bool = False, n_bags: int = 12) -> Bags:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 7, n_bags)
    ids = rng.integers(0, 30, lengths.sum())
    weights = rng.normal(size=len(ids)) if weighted else None
    return Bags.from_lengths(ids, lengths, combiner, weights=weights, n=3 if combiner == "first_n" else None)


CASES = [(c, w) for c in COMBINERS for w in (False, True) if (c, w) != ("first_n", True)]
cases = pytest.mark.parametrize(("combiner", "weighted"), CASES)


def by_hand(bags: Bags, rows: Any) -> Any:
    """What a lookup of bags gives, in float64, from the rows of their ids."""
    out = np.zeros((*bags.shape, rows.shape[1]))
    for k in range(len(bags)):
        some = slice(bags.offsets[k], bags.offsets[k + 1])
        own = rows[some].astype(np.float64)
        w = np.ones(len(own)) if bags.weights is None else bags.weights[some]
        if bags.combiner == "first_n":
            out[k, : len(own)] = own
        elif len(own):
            by = {"sum": 1.0, "mean": w.sum(), "sqrtn": np.sqrt((w * w).sum())}[bags.combiner]
            out[k] = (own * w[:, None]).sum(0) / by
    return out


@cases
@pytest.mark.parametrize("engine", ENGINES)
def test_lookup_of_bags(combiner: str, weighted: bool, engine: str) -> None:
    bags, made = random_bags(1, combiner, weighted), table(engine)
    found, hits = made.lookup(bags, with_hits=True)
    rows, each = made.lookup(bags.ids, with_hits=True)
    assert found.shape == (*bags.shape, DIM) and hits.tolist() == each.tolist()
    np.testing.assert_allclose(found, by_hand(bags, rows), rtol=1e-5, atol=1e-6)


@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_engines_have_the_same_bits(combiner: str, weighted: bool, dtype: str) -> None:
    one, two = (table(engine, dtype) for engine in ENGINES)
    rng = np.random.default_rng(4)
    for step in range(4):
        bags = random_bags(step, combiner, weighted)
        assert one.lookup(bags).tobytes() == two.lookup(bags).tobytes()
        grads = rng.normal(size=(*bags.shape, DIM)).astype(dtype)
        assert one.apply_gradients(bags, grads, step, 7)[:3] == two.apply_gradients(bags, grads, step, 7)[:3]
        ids = np.sort(one.ids())
        assert one.lookup(ids).tobytes() == two.lookup(ids).tobytes()
        assert set(one.ids()) == set(two.ids())


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_are_added_in_order(engine: str) -> None:
    """1e8 + 1 - 1e8 is 0 in float32, and 1e8 - 1e8 + 1 is 1."""
    made = Table(Segment(1, "sgd", learning_rate=-1.0), engine=engine)
    made.assign([1, 2, 3], [[1e8], [1.0], [-1e8]])
    assert made.lookup(Bags([1, 2, 3, 1, 3, 2], [0, 3, 6])).ravel().tolist() == [0.0, 1.0]
    made.apply_gradients(
        Bags([8, 8, 8, 9, 9, 9], [0, 1, 2, 3, 4, 5, 6]), [[1e8], [1.0], [-1e8], [1e8], [-1e8], [1.0]]
    )
    assert made.lookup([8, 9]).ravel().tolist() == [0.0, 1.0]


@cases
@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_those_of_the_lookup(combiner: str, weighted: bool, engine: str) -> None:
    """The lookup is linear in the rows: <lookup(rows), grads> = <rows, gradients of the rows>, for any grads."""
    bags, rng = random_bags(2, combiner, weighted), np.random.default_rng(5)
    made = Table(Segment(DIM, "sgd", learning_rate=-1.0, dtype="float64"), engine=engine)
    ids = np.unique(bags.ids)
    start = rng.normal(size=(len(ids), DIM))
    made.assign(ids, start)
    grads = rng.normal(size=(*bags.shape, DIM))
    shown = made.lookup(bags)
    made.apply_gradients(bags, grads)
    moved = made.lookup(ids) - start
    np.testing.assert_allclose((shown * grads).sum(), (start * moved).sum(), rtol=1e-9)
    assert np.abs(moved).max() > 0.01


@pytest.mark.parametrize("duplicates", ["sum", "sequential"])
@cases
def test_the_same_as_a_gradient_for_each_id(combiner: str, weighted: bool, duplicates: Any) -> None:
    bags, grads = random_bags(3, combiner, weighted), np.random.default_rng(6).normal(size=(12, 3, DIM))
    grads = (grads if combiner == "first_n" else grads[:, 0]).astype(np.float32)
    one, two = table(), table()
    one.apply_gradients(bags, grads, req_time=3, duplicates=duplicates)
    flat = grads.reshape(-1, DIM)
    two.apply_gradients(bags.ids, bags.entries(flat), req_time=3, duplicates=duplicates)
    ids = np.sort(one.ids())
    assert ids.tolist() == np.sort(two.ids()).tolist()
    assert one.lookup(ids).tobytes() == two.lookup(ids).tobytes()


def test_bags_and_ids_of_one_table_are_summed_once() -> None:
    one, two = table(), table()
    bags, plain = Bags([0, 2, 2], [0, 3]), np.array([2, 4])
    tables = Tables({"a": one, "b": one})
    tables.apply_gradients({"b": (plain, np.ones((2, DIM))), "a": (bags, np.full((1, DIM), 2.0))}, req_time=2)
    two.apply_gradients([0, 2, 4], np.repeat([[2.0], [5.0], [1.0]], DIM, 1), req_time=2)
    assert one.lookup([0, 2, 4]).tobytes() == two.lookup([0, 2, 4]).tobytes() and one.steps == 1
    assert tables.lookup({"a": bags})["a"].shape == (1, DIM)


def test_bags_see_what_lookups_see() -> None:
    """A compressor that acts in training acts in bags."""
    made = table(compressor=FixedR8(1.0))
    bags = random_bags(7, "sum")
    np.testing.assert_allclose(made.lookup(bags), by_hand(bags, made.lookup(bags.ids)), rtol=1e-6, atol=1e-6)


def test_missing_ids_in_bags() -> None:
    made, bags = table(), Bags([0, 1, 3], [0, 2, 3], "mean")
    np.testing.assert_array_equal(made.lookup(bags), [made.lookup([0])[0] / 2, np.zeros(DIM)])
    with pytest.raises(so.errors.UnknownIdError, match="id 1 has no row, nor have 1 more"):
        made.lookup(bags, missing="raise")
    made.lookup(bags, missing="initialize")
    assert {1, 3} <= set(made)


def test_admission_counts_occurrences_in_bags() -> None:
    made = Table(Segment(1, "sgd", learning_rate=1.0, initializer=Zeros()), admission=Admission(2))
    bags = Bags([5, 5, 6], [0, 3])
    assert made.apply_gradients(bags, [[1.0]]).blocked == 3
    assert made.apply_gradients(bags, [[1.0]])[:3] == (1, 1, 1)
    assert made.lookup([5]).tolist() == [[-2.0]]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = so.config.threads_set()
    so.config.set_num_threads(3)
    yield
    so.config.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_threads_share_bags_out() -> None:
    made = Table(Segment(16, "sgd", learning_rate=1.0, initializer=RandomUniform(-1.0, 1.0)))
    made.reinitialize(np.arange(3000))
    rng = np.random.default_rng(8)
    bags = Bags.from_lengths(rng.integers(0, 3000, 60000), np.full(6000, 10), "mean")
    out = np.empty((6000, 16), np.float32)
    assert np.shares_memory(made.lookup(bags, out=out), out)
    np.testing.assert_allclose(out, made.lookup(bags.ids).reshape(6000, 10, 16).mean(1), rtol=1e-4, atol=1e-6)


def test_weights_that_sum_to_0_give_zeros() -> None:
    made = table()
    for combiner in ("mean", "sqrtn"):
        bags = Bags([0, 2], [0, 2], combiner, weights=[1.0, -1.0] if combiner == "mean" else [0.0, 0.0])
        assert made.lookup(bags).tolist() == [[0.0] * DIM]


@given(
    lists=st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), max_size=6), n=st.integers(1, 4)
)
def test_first_n_are_the_first_n(lists: list[list[int]], n: int) -> None:
    bags = Bags.from_lists(lists, "first_n", n=n)
    made = Table(Segment(1, "sgd", learning_rate=-1.0, dtype="float64"))
    made.apply_gradients(bags, np.ones((len(lists), n, 1)), req_time=1)
    kept = [i for some in lists for i in some[:n]]
    assert {i: float(made.lookup([i])[0, 0]) for i in kept} == {i: float(kept.count(i)) for i in kept}
    assert set(made) == set(kept)
    shown = made.lookup(bags)
    assert shown.shape == (len(lists), n, 1)
    assert (shown[..., 0] > 0).sum(1).tolist() == [min(len(some), n) for some in lists]


BAD: dict[str, tuple[Any, ...]] = {
    "an unknown combiner": (([1], [0, 1], "max"), {}, so.errors.AttributeValueError, "sum, mean, sqrtn, first_n"),
    "offsets without an end": (([1, 2], [0, 1]), {}, so.errors.ShapeError, "from 0 to the 2 ids"),
    "offsets without a start": (([1, 2], [1, 2]), {}, so.errors.ShapeError, "from 1 to 2"),
    "no offsets": (([], []), {}, so.errors.ShapeError, "one more than the bags"),
    "offsets that descend": (([1, 2], [0, 2, 1, 2]), {}, so.errors.AttributeValueError, "ascend, got 2 before 1"),
    "offsets that are no numbers": (([1], ["a", "b"]), {}, so.errors.DTypeError, "offsets"),
    "ids of two dimensions": (([[1]], [0, 1]), {}, so.errors.ShapeError, "one dimension"),
    "a weight too few": (([1, 2], [0, 2]), {"weights": [1.0]}, so.errors.ShapeError, r"\(2,\)"),
    "a weight of nan": (([1], [0, 1]), {"weights": [np.nan]}, so.errors.AttributeValueError, "finite"),
    "weights of texts": (([1], [0, 1]), {"weights": ["a"]}, so.errors.DTypeError, "real numbers"),
    "first_n without n": (([1], [0, 1], "first_n"), {}, so.errors.MissingArgumentError, "n says"),
    "n for a sum": (([1], [0, 1]), {"n": 3}, so.errors.AttributeValueError, "n says"),
    "n of 0": (([1], [0, 1], "first_n"), {"n": 0}, so.errors.AttributeValueError, "at least 1"),
    "weights for first_n": (
        ([1], [0, 1], "first_n"), {"n": 1, "weights": [1.0]}, so.errors.AttributeValueError, "no weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_bags(case: str) -> None:
    arguments, options, error, said = BAD[case]
    with pytest.raises(error, match=said):
        Bags(*arguments, **options)


@pytest.mark.parametrize("combiner", COMBINERS)
def test_gradients_of_a_wrong_shape(combiner: str) -> None:
    bags, made = random_bags(9, combiner), table()
    with pytest.raises(so.errors.ShapeError, match="expected shape"):
        made.apply_gradients(bags, np.ones((len(bags) + 1, DIM)))
    with pytest.raises(so.errors.ShapeError, match="out must be"):
        made.lookup(bags, out=np.empty((1, DIM), np.float32))
