"""Which ids get a row: Monolith's facts and cases, a model, states, errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_golden import CASES, FACTS, VECTORS, by_slot
from hypothesis import given, settings
from hypothesis import strategies as st

import symopt as so
from symopt import errors
from symopt.embedding.admission import Admission, slot_of
from symopt.embedding.counters import MOST
from symopt.state import load_state

Array = np.ndarray[Any, np.dtype[Any]]
KINDS = ["exact", "monolith", "probabilistic", "probabilistic_even"]
counting = pytest.mark.parametrize("filter", ["exact", "monolith"])
IDS = st.sampled_from([0, 1, -1, 7, 2**63 - 1, -(2**63), 1 << 48, (1 << 48) + 1, 2 << 48])
BATCHES = st.lists(st.lists(st.tuples(IDS, st.integers(1, 5)), max_size=12), max_size=12)


def ones(n: int) -> Array:
    return np.ones(n, np.int64)


class Rows:
    """A table that knows only which ids have a row, and how often each was written."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.written: dict[int, int] = {}

    def write(self, ids: Array, is_summed: bool) -> list[bool]:
        counts = None
        if is_summed:
            ids, first, counts = np.unique(ids, return_index=True, return_counts=True)
            ids, counts = ids[np.argsort(first)], counts[np.argsort(first)]
        is_missing = np.array([i not in self.written for i in ids.tolist()], np.bool_)
        passed = ~is_missing
        given_counts = None if counts is None else counts[is_missing]
        passed[is_missing] = self.admission.admit(ids[is_missing], given_counts)
        for i in ids[passed].tolist():
            self.written[i] = self.written.get(i, 0) + 1
        return [bool(x) for x in passed]


def test_the_slot_is_fifteen_bits_below_the_sign() -> None:
    ids = [0, (1 << 48) - 1, 1 << 48, 32767 << 48, -1, -(2**63), 2**63 - 1, -(1 << 48)]
    assert slot_of(ids).tolist() == [0, 0, 1, 32767, 32767, 0, 32767, 32767]


@counting
def test_intercepts_as_in_monolith(filter: str) -> None:
    fact = FACTS["filter.intercept"]
    rows = Rows(Admission(fact["threshold"], filter=filter))
    for passes in fact["passes"]:
        assert rows.write(np.array(fact["ids"]), is_summed=False) == [bool(p) for p in passes]


@counting
def test_ids_without_a_threshold_are_not_counted(filter: str) -> None:
    fact = FACTS["filter.zero_threshold"]
    admission = Admission(1, {1: 0}, filter=filter)
    for id_, count, threshold, is_blocked in fact["calls"]:
        own = id_ + ((1 << 48) if threshold == 0 else 0)
        assert admission.admit([own], [count]).tolist() == [not is_blocked]
    counts: Any = admission._counting
    assert len(counts) == fact["counted"] == admission.blocked


@counting
def test_gradients_are_dropped_as_in_monolith(filter: str) -> None:
    fact = FACTS["table.occurrence_filter"]
    rows = Rows(Admission(fact["filter"]["default"], filter=filter))
    for op, ids, values, *rest in fact["ops"]:
        if op == "apply_gradients":
            rows.write(np.array(ids), is_summed=rest[-1])
        else:  # each gradient of -1 moved a weight by the learning rate, 0.1
            written = [0.1 * rows.written.get(i, 0) for i in ids]
            np.testing.assert_allclose(written, np.ravel(values), atol=fact["atol"])


@counting
@pytest.mark.parametrize("name", ["table_occurrence_filter", "table_occurrence_filter_summed"])
def test_rows_appear_as_in_the_reference(name: str, filter: str) -> None:
    case = CASES[name]
    rows = Rows(Admission(case["filter"]["default"], by_slot(case["filter"].get("per_slot")), filter))
    probe = VECTORS[f"{name}/probe"].tolist()
    for op in case["ops"]:
        k = op["step"]
        rows.write(VECTORS[f"{name}/in.ids.{k}"], is_summed=op.get("dedup", False))
        assert [i in rows.written for i in probe] == VECTORS[f"{name}/out.present.{k}"].tolist(), k


def model(batches: list[list[tuple[int, int]]], threshold: Callable[[int], int]) -> list[list[bool]]:
    """Sequential batches, id by id, on a dict."""
    counts: dict[int, int] = {}
    result = []
    for batch in batches:
        admitted = []
        for id_, count in batch:
            old = counts.get(id_, 0)
            if threshold(id_) > 0:
                counts[id_] = old + count
            admitted.append(old >= threshold(id_))
        for (id_, _), passed in zip(batch, admitted):
            if passed:
                counts.pop(id_, None)
        result.append(admitted)
    return result


@settings(max_examples=80, deadline=None)
@given(BATCHES, st.integers(0, 6), st.dictionaries(st.sampled_from([0, 1, 2, 32767]), st.integers(0, 6)))
def test_exact_counts_are_those_of_a_dict(batches: Any, default: int, by_slot: dict[int, int]) -> None:
    admission = Admission(default, by_slot)
    slots = {id_: int(slot_of([id_])[0]) for batch in batches for id_, _ in batch}
    expected = model([[(i, 1) for i, _ in b] for b in batches], lambda i: by_slot.get(slots[i], default))
    found = [admission.admit([i for i, _ in batch]).tolist() for batch in batches]
    assert found == expected
    assert admission.blocked == sum(not passed for batch in expected for passed in batch)


@settings(max_examples=80, deadline=None)
@given(BATCHES, st.integers(1, 8))
def test_summed_batches_count_multiplicities(batches: Any, threshold: int) -> None:
    distinct = [list(dict(batch).items()) for batch in batches]
    admission = Admission(threshold)
    found = [admission.admit([i for i, _ in b], [c for _, c in b]).tolist() for b in distinct]
    expected = model(distinct, lambda _: threshold)
    assert found == expected
    dropped = [c for b, told in zip(distinct, expected) for (_, c), passed in zip(b, told) if not passed]
    assert admission.blocked == sum(dropped)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_is_only_judged_is_not_counted(kind: str) -> None:
    rng = np.random.default_rng(8)
    one, other = (Admission(3, {1: 0}, kind) for _ in "12")
    for _ in range(12):
        ids = rng.integers(0, 40, 30) | (rng.integers(0, 2, 30) << 48)
        told = other.judge(ids).admitted  # and then the batch fails
        before = other.blocked
        judged = other.judge(ids)
        assert (told == judged.admitted).all()
        assert other.blocked == before
        judged.commit()
        assert (one.admit(ids) == judged.admitted).all()
    assert one.blocked == other.blocked > 0


def test_what_is_admitted_is_no_longer_counted() -> None:
    admission = Admission(1)
    counters: Any = admission._counting
    many = np.arange(1000)
    admission.admit(many)
    assert len(counters) == 1000
    assert admission.admit(many[:900]).all()
    admission.forget(many[900:950])
    assert len(counters) == 50
    assert not admission.admit(many[:10]).any()  # whose rows are lost earn new ones


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_filter_goes_on_as_if_nothing_had_been(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    batches = [rng.integers(0, 60, 40) for _ in range(8)]
    one, other = (Admission(4, filter=kind, capacity=500 if kind == "monolith" else None) for _ in "12")
    for batch in batches[:4]:
        one.admit(batch)
    so.save(tmp_path / "saved", one)
    so.load(tmp_path / "saved", into=other)
    assert other.blocked == one.blocked
    for batch in batches[4:]:
        assert (one.admit(batch) == other.admit(batch)).all()


def test_another_filter_does_not_take_the_state() -> None:
    with pytest.raises(errors.StateError, match="filter is 'monolith' here, the state has 'exact'"):
        load_state(Admission(filter="monolith", capacity=9), Admission().state_dict(), True, "this filter")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"threshold": -1}, "threshold = -1 must be"),
    ({"threshold": 1.5}, "threshold = 1.5 must be"),
    ({"threshold": True}, "threshold = True must be"),
    ({"threshold": MOST + 1}, f"to {MOST}"),
    ({"threshold": 16, "filter": "monolith"}, "stop at 15"),
    ({"slot_thresholds": {3: 16}, "filter": "monolith"}, "stop at 15"),
    ({"slot_thresholds": {32768: 1}}, "slot = 32768 must be"),
    ({"slot_thresholds": {2: -1}}, "threshold of slot 2 = -1"),
    ({"filter": "exakt"}, "did you mean exact"),
    ({"capacity": 1}, "at least 2"),
    ({"capacity": 10, "filter": "probabilistic"}, "counts no ids"),
    ({"capacity": 0, "filter": "monolith"}, "capacity = 0"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda x: str(x)[:40])
def test_options_that_contradict_themselves(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.AttributeValueError, match=said):
        Admission(**options)


@pytest.mark.parametrize(
    ("ids", "counts", "error"),
    [
        (np.zeros(2), None, errors.DTypeError),
        (np.zeros((2, 1), np.int64), None, errors.ShapeError),
        ([1, 2], [1], errors.ShapeError),
        ([1, 2], [1, 0], errors.AttributeValueError),
        ([1, 2], [1.0, 2.0], errors.DTypeError),
    ],
)
def test_batches_that_are_none(ids: Any, counts: Any, error: type[Exception]) -> None:
    admission = Admission(1)
    with pytest.raises(error):
        admission.admit(ids, counts)
    assert admission.blocked == 0
    assert admission.admit([]).shape == (0,)
