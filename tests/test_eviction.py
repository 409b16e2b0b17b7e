"""Which rows leave a full table: a model by sorting, policies, room for batches, errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed import up

from symopt import errors
from symopt.embedding.eviction import Policy, matching, victims
from symopt.places import Place

Array = np.ndarray[Any, np.dtype[Any]]
SCORES = st.one_of(
    st.integers(0, 3), st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf")])
)


@settings(max_examples=100)
@given(st.data(), st.integers(0, 40))
def test_the_lowest_leave_and_of_equals_the_lowest_ids(data: st.DataObject, size: int) -> None:
    ids = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=size, max_size=size, unique=True))
    scores = np.array(data.draw(st.lists(SCORES, min_size=size, max_size=size)), np.float64)
    protect = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), np.bool_)
    n = data.draw(st.integers(0, int((~protect).sum())))
    free = np.flatnonzero(~protect).tolist()
    rank = {
        k: (float(np.nan_to_num(scores[k], nan=-np.inf, posinf=np.inf, neginf=-np.inf)), ids[k]) for k in free
    }
    found = victims(n, scores, np.array(ids, np.int64), protect)
    assert found.tolist() == sorted(sorted(free, key=rank.__getitem__)[:n])


def rows(n: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "id": rng.permutation(n).astype(np.int64) - n // 2,
        "timestamp": rng.integers(0, 50, n).astype(np.uint32),
        "updates": rng.integers(0, 2**32 - 1, n).astype(np.uint32),
        "weight": rng.standard_normal((n, 3)).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("by", "score"),
    [
        ("least_recent", lambda r: r["timestamp"]),
        ("least_frequent", lambda r: r["updates"]),
        ("small_norm", lambda r: np.square(r["weight"].astype(np.float64)).sum(1)),
        (lambda r: -r["weight"][:, 1], lambda r: -r["weight"][:, 1]),
        (lambda r: r["id"] % 2 == 0, lambda r: r["id"] % 2 == 0),
    ],
    ids=["recent", "frequent", "norm", "function", "predicate"],
)
def test_policies_go_by_their_score(by: Any, score: Any) -> None:
    table = rows(10_000)
    order = np.lexsort((table["id"], score(table)))
    policy = Policy(by)
    needed = {name: table[name] for name in policy.reads}
    assert policy.victims(1234, needed).tolist() == sorted(order[:1234].tolist())


def test_rows_beside_each_other_in_records_give_the_same() -> None:
    table = rows(5000)
    records = np.zeros(5000, [(name, x.dtype, x.shape[1:]) for name, x in table.items()])
    for name, x in table.items():
        records[name] = x
    strided = {name: records[name] for name in table}
    for by in ("least_recent", "least_frequent", "small_norm"):
        assert Policy(by).victims(77, strided).tolist() == Policy(by).victims(77, table).tolist()


def test_rows_on_a_device_give_the_same(gpu: Place) -> None:
    table = rows(5000)
    there = up(gpu, table)
    for by in ("least_recent", "least_frequent", "small_norm", lambda r: r["weight"][:, 0] * 2):
        assert Policy(by).victims(77, there).tolist() == Policy(by).victims(77, table).tolist()
    assert (
        matching(there, lambda r: r["updates"] < 10**9).tolist()
        == matching(table, lambda r: r["updates"] < 10**9).tolist()
    )


def test_it_does_not_matter_where_rows_lie() -> None:
    table = rows(3000)
    other = np.random.default_rng(1).permutation(3000)
    moved = {name: x[other] for name, x in table.items()}
    for by in ("least_recent", "small_norm"):
        left = table["id"][Policy(by).victims(500, table)]
        assert set(left.tolist()) == set(moved["id"][Policy(by).victims(500, moved)].tolist())


@pytest.mark.parametrize("slack", [0.0, 0.01, 0.5])
def test_a_table_never_grows_over_its_bound_nor_empties(slack: float) -> None:
    policy, most, held = Policy(slack=slack), 200, 0
    for n_new in [1, 50, 199, 3, 200, 7, 7, 7] * 5:
        left = policy.excess(held, n_new, most)
        assert held - left + n_new <= most
        assert left == 0 or left >= min(slack * most, held)
        held += n_new - left
        assert held >= (1 - slack) * most or left == 0 or n_new > slack * most or held == most


def test_looks_at_the_table_are_few() -> None:
    policy, held, looks = Policy(slack=0.05), 10_000, 0
    for _ in range(10_000):
        left = policy.excess(held, 1, 10_000)
        looks += left > 0
        held += 1 - left
    assert looks == 20  # 1 / slack looks for as many new rows as there may be


def test_rows_that_the_batch_needs_stay() -> None:
    policy = Policy(slack=0.5)
    assert policy.excess(10, 2, 10, n_protected=7) == 3
    with pytest.raises(errors.TooLateError, match="needs 11 rows at once, and max_rows is 10"):
        policy.excess(10, 2, 10, n_protected=9)


def test_rows_that_a_predicate_names() -> None:
    table = rows(100)
    found = matching(table, lambda r: r["timestamp"] < 10)
    assert found.tolist() == np.flatnonzero(table["timestamp"] < 10).tolist()
    with pytest.raises(errors.DTypeError, match="True or False"):
        matching(table, lambda r: r["timestamp"])
    with pytest.raises(errors.ShapeError, match="100 rows"):
        matching(table, lambda r: np.array(True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "least_recnt"}, "did you mean least_recent"),
        ({"slack": 1.0}, r"slack = 1.0 must be in \[0, 1\)"),
        ({"slack": -0.1}, "slack = -0.1"),
    ],
)
def test_policies_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.AttributeValueError, match=said):
        Policy(**options)


def test_scores_that_are_none() -> None:
    table = rows(4)
    with pytest.raises(errors.ShapeError, match="a score for each of 4 rows"):
        Policy(lambda r: r["weight"]).victims(1, table)
    with pytest.raises(errors.DTypeError, match="scores must be numbers"):
        Policy(lambda r: r["weight"][:, 0].astype(str)).victims(1, table)
    with pytest.raises(errors.AttributeValueError, match="from 0 to 3"):
        Policy().victims(4, table, np.array([True, False, False, False]))
