"""When rows die: Monolith's facts and case, a model, errors."""

from typing import Any

import numpy as np
import pytest
from embedding_golden import CASES, FACTS, VECTORS, by_slot
from hypothesis import given
from hypothesis import strategies as st

from symopt import errors
from symopt.embedding.expiry import DAY, Expiry

EXPIRING = [
    "table.expire_assign_add", "table.expire_gradients", "table.ttl_zero", "table.ttl_not_zero", "table.ttl_by_slot",
    "table.cc_evict", "table.cc_evict_many",
]  # fmt: skip


class Stamps:
    """A table that knows only when each id was written."""

    def __init__(self, expiry: Expiry) -> None:
        self.expiry = expiry
        self.stamps: dict[int, int] = {}
        self.latest = 0

    def write(self, ids: list[int], time: int) -> None:
        self.latest = max(self.latest, time)
        self.stamps.update(dict.fromkeys(ids, time))

    def evict(self, now: int) -> None:
        ids = np.array(list(self.stamps), np.int64)
        dead = self.expiry.expired(ids, np.array(list(self.stamps.values()), np.uint32), now)
        for id_ in ids[dead].tolist():
            del self.stamps[id_]


@pytest.mark.parametrize("name", EXPIRING)
def test_rows_die_as_in_monolith(name: str) -> None:
    fact = FACTS[name]
    table = Stamps(Expiry(fact["expire_days"], by_slot(fact.get("slot_expire"))))
    asked = 0
    for op, *given_ in fact["ops"]:
        if op in ("assign", "assign_add"):
            table.write(given_[0], given_[-1])
        elif op == "assign_at":  # a time for each id
            for id_, time in zip(given_[0], given_[2]):
                table.write([id_], time)
        elif op == "apply_gradients":
            table.write(given_[0], given_[4])
        elif op in ("save_restore", "evict"):
            table.evict(given_[0] if given_ else table.latest)
        elif op == "lookup":
            asked += len(given_[0])
            assert [i in table.stamps for i in given_[0]] == [any(row) for row in given_[1]]
        elif op == "size":
            asked += 1
            assert len(table.stamps) == given_[0]
        else:
            raise AssertionError(op)
    assert asked


def test_rows_die_as_in_the_reference() -> None:
    case = CASES["table_expire"]
    table = Stamps(Expiry(case["expire_days"], by_slot(case["slot_expire"])))
    probe, died = VECTORS["table_expire/probe"].tolist(), 0
    for op, following in zip(case["ops"], [*case["ops"][1:], {}]):
        if "step" in op:
            k = op["step"]
            table.write(VECTORS[f"table_expire/in.ids.{k}"].tolist(), op["time"])
        else:
            died -= len(table.stamps)
            table.evict(op["time"])
            died += len(table.stamps)
        if following.get("op") != "evict":  # an eviction belongs to the step before it
            present = VECTORS[f"table_expire/out.present.{k}"].tolist()
            assert [i in table.stamps for i in probe] == present
    assert died < 0
    table.evict(table.latest)  # as when the table is saved
    assert sorted(table.stamps) == sorted(VECTORS["table_expire/out.saved_ids"].tolist())


STAMPS = st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1))


@given(
    st.lists(STAMPS, max_size=20),
    st.integers(0, 2**33),
    st.integers(0, 60000),
    st.dictionaries(st.sampled_from([0, 1, 32767]), st.integers(0, 60000)),
)
def test_every_row_by_the_definition(rows: Any, now: int, days: int, slot_days: dict[int, int]) -> None:
    ids = np.array([id_ for id_, _ in rows], np.int64)
    stamps = np.array([stamp for _, stamp in rows], np.uint32)
    limits = [slot_days.get((id_ >> 48) & 0x7FFF, days) * DAY for id_, _ in rows]
    expected = [now - stamp >= limit for (_, stamp), limit in zip(rows, limits)]
    assert Expiry(days, slot_days).expired(ids, stamps, now).tolist() == expected


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_boundary_is_dead(offset: int) -> None:
    expiry, ids, stamps = Expiry(3), np.array([5]), np.array([100], np.uint32)
    now = 100 + 3 * DAY + offset
    assert expiry.expired(ids, stamps, now).tolist() == [offset >= 0]
    assert expiry.may_expire(now)


def test_nobody_is_asked_before_anybody_can_die() -> None:
    assert not Expiry(3, {1: 2}).may_expire(2 * DAY - 1)
    assert Expiry(3, {1: 2}).may_expire(2 * DAY)
    assert not Expiry().may_expire(1_700_000_000)  # a hundred years are not over


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"default_days": -1}, "days = -1 must be"),
        ({"default_days": 0.5}, "days = 0.5 must be"),
        ({"default_days": 10**9 + 1}, "to 1000000000"),
        ({"slot_days": {1 << 15: 1}}, "slot = 32768"),
        ({"slot_days": {4: -2}}, "days of slot 4 = -2"),
    ],
)
def test_days_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.AttributeValueError, match=said):
        Expiry(**options)


def test_a_timestamp_for_each_id() -> None:
    with pytest.raises(errors.ShapeError, match="timestamps"):
        Expiry().expired(np.array([1, 2]), np.array([1], np.uint32), 5)
