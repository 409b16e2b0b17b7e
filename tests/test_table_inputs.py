"""Wrong input says which table, what, and what was given, before anything is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symopt.embedding import Segment, Table, Tables, shard_of
from symopt.errors import SymoptError

ONE = np.ones((1, 2))


def made(**options: Any) -> Table:
    table = Table(Segment(2, "adagrad", learning_rate=0.1), name="users", **options)
    table.apply_gradients([1], ONE, req_time=7)
    return table


AnySegment: Any = Segment  # called in ways that no type allows
AnyTables: Any = Tables
AnyTable: Any = Table

WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "ragged ids": (lambda t: t.lookup([[1], [2, 3]]), "users.lookup: no array"),
    "masked ids": (lambda t: t.lookup(np.ma.array([1, 2], mask=[False, True])), "users.lookup: got a masked"),
    "masked gradients": (
        lambda t: t.apply_gradients([1], np.ma.array(ONE)),
        "users.apply_gradients: gradients: got a",
    ),
    "ragged gradients": (lambda t: t.apply_gradients([1, 2], [[1, 2], [1]]), "gradients: no array"),
    "complex gradients": (lambda t: t.apply_gradients([1], ONE * 1j), "gradients must be real"),
    "steps beyond float64": (lambda t: t.apply_gradients([1], ONE, 2**53 + 1), "whole number from 0 to 2"),
    "a step that is true": (lambda t: t.apply_gradients([1], ONE, True), "got True"),
    "a time that is nan": (lambda t: t.apply_gradients([1], ONE, req_time=float("nan")), "seconds"),
    "a rate of nan": (
        lambda t: t.apply_gradients([1], ONE, learning_rate=float("nan")),
        "learning_rate is a number",
    ),
    "a rate of text": (lambda t: t.apply_gradients([1], ONE, learning_rate="a"), "got 'a'"),
    "a rate of truth": (lambda t: t.apply_gradients([1], ONE, learning_rate=True), "got True"),
    "rates of nothing": (lambda t: t.apply_gradients([1], ONE, learning_rate=[None]), "got .None"),
    "a matrix of rates": (
        lambda t: t.apply_gradients([1], ONE, learning_rate=np.ones((1, 1))),
        "one for each segment",
    ),
    "two rates": (lambda t: t.apply_gradients([1], ONE, learning_rate=[1, 2]), "1 segments need 1"),
    "part of a row leaves": (lambda t: t.evict(n=1.5), "users.evict: n = 1.5"),
    "fewer than no rows": (lambda t: t.evict(n=-1), "users.evict: n = -1"),
    "where is no function": (lambda t: t.evict(where=3), "where is a function"),
    "a policy of number": (lambda t: t.evict(n=1, policy=3), "policy is one of"),
    "room for part of a row": (lambda t: t.reserve(1.5), "users: reserve = 1.5"),
    "rates of tables": (
        lambda t: AnyTables({"a": t}).apply_gradients({}, learning_rate=0.1),
        "expected a dict",
    ),
    "no dict of tables": (lambda t: AnyTables([t]), "Tables by their names"),
    "a table called 1": (lambda t: AnyTables({1: t}), "Tables by their names"),
    "a batch that is none": (lambda t: AnyTables({"a": t}).apply_gradients(None), "expected a dict"),
    "shards beyond int64": (lambda t: shard_of([1], 2**70), "number of shards"),
    "admission": (lambda t: made(admission=1.5), "users: admission is one of so.embedding.Admission"),
    "expiry": (lambda t: made(expiry="3"), "users: expiry is one of"),
    "policy": (lambda t: made(max_rows=3, policy=3), "users: policy is one of"),
    "max_rows": (lambda t: made(max_rows=1.5), "users: max_rows = 1.5"),
    "most rows of truth": (lambda t: made(max_rows=True), "max_rows = True"),
    "seed": (lambda t: made(seed=1.5), "users: seed is a whole number"),
    "name": (lambda t: AnyTable(Segment(2, "sgd", learning_rate=1), name=3), "name of a table"),
    "decay of text": (
        lambda t: AnySegment(2, "sgd", learning_rate=1, weight_decay="a"),
        "weight_decay is a number",
    ),
    "endless decay": (lambda t: AnySegment(2, "sgd", learning_rate=1, weight_decay=float("inf")), "finite"),
    "blocks": (lambda t: AnySegment(2, "sgd", learning_rate=1, n_blocks="2"), "n_blocks is a whole"),
    "initial": (lambda t: AnySegment(2, "sgd", learning_rate=1, initial=3), "initial is a dict"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case: str) -> None:
    do, message = WRONG[case]
    table = made()
    before = table.lookup([1]).tobytes(), table.steps, table.latest, len(table)
    with pytest.raises(SymoptError, match=message):
        do(table)
    assert before == (table.lookup([1]).tobytes(), table.steps, table.latest, len(table))


def test_membership_is_asked_of_anything() -> None:
    table = made()
    assert 1 in table and np.int64(1) in table
    assert not any(x in table for x in (2, 1.0, "1", None, (1, 2)))


def test_a_seed_is_any_integer() -> None:
    assert made(seed=np.int64(-1)).seed == -1
    assert made(seed=np.uint64(2**64 - 1)).lookup([1]).shape == (1, 2)
