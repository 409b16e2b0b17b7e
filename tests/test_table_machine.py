"""A table and a plain dict driven through the same operations, chosen by hypothesis, without a difference.

The rule adds integers, which float32 does exactly, so the model is Python's own arithmetic.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from symopt.embedding import Admission, Expiry, Policy, Segment, Table

DAY = 86400
LOW, HIGH = -(2**63), 2**63 - 1
DIM = 3
# Few ids, so that they meet again; among them the ends of the range, and some of other slots.
POOL = [
    0,
    1,
    -1,
    7,
    LOW,
    HIGH,
    *range(100, 118),
    *(k << 48 for k in range(1, 9)),
    *((5 << 48) + k for k in range(6)),
]
ids_ = st.lists(st.sampled_from(POOL), max_size=8)
kinds: st.SearchStrategy[Any] = st.sampled_from(["sum", "sequential"])


class Model:
    """What a table means, written with dicts: rows of whole numbers, under the rule w - g, which counts in `n`."""

    def __init__(self, threshold: int, days: int, most: int) -> None:
        self.rows: dict[int, list[Any]] = {}  # id: [weights, n, second, updates]
        self.seen: dict[int, int] = {}
        self.threshold, self.days, self.most = threshold, days, most

    def admitted(self, ids: list[int], counts: list[int] | None) -> list[bool]:
        found = []
        for k, i in enumerate(ids):
            if i in self.rows:
                found.append(True)
                continue
            old = self.seen.get(i, 0)
            found.append(old >= self.threshold)
            self.seen[i] = old + (counts[k] if counts else 1)
        for i, yes in zip(ids, found, strict=True):
            if yes and i not in self.rows:
                self.seen.pop(i, None)
        return found

    def bear(self, ids: list[int], now: int, anew: bool) -> None:
        """Rows as they are born, that nobody had to earn: what was counted of them is forgotten."""
        for i in ids:
            if anew or i not in self.rows:
                self.rows[i] = [[2] * DIM, 0, now, 0]
            self.seen.pop(i, None)

    def make_room(self, ids: list[int]) -> list[int]:
        new = len({i for i in ids if i not in self.rows})
        excess = len(self.rows) + new - self.most
        if excess <= 0:
            return []
        others = sorted((r[2], i) for i, r in self.rows.items() if i not in ids)
        gone = [i for _, i in others[: max(excess, 1)]]
        for i in gone:
            del self.rows[i]
        return gone

    def row(self, i: int, now: int) -> list[Any]:
        row = self.rows.setdefault(i, [[2] * DIM, 0, 0, 0])
        row[2] = now
        return row


class TableMachine(RuleBasedStateMachine):
    """Both, side by side."""

    engine = "native"

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(threshold=1, days=2, most=24)
        # mom = mom - lr * g; w += mom, with momentum 0: w - g, exactly
        segment = Segment(DIM, "monolith_momentum", learning_rate=1.0, momentum=0.0, initializer=2.0)
        self.table = Table(
            segment,
            admission=Admission(1),
            expiry=Expiry(2),
            max_rows=24,
            policy=Policy("least_recent", slack=0.0),
            engine=self.engine,
        )
        self.now = 1000

    def rows(self, ids: list[int], data: Any) -> list[list[int]]:
        return [[(37 * k + c + data) % 11 - 5 for c in range(DIM)] for k in range(len(ids))]

    @rule(ids=ids_, data=st.integers(0, 10), kind=kinds)
    def apply(self, ids: list[int], data: int, kind: Any) -> None:
        grads, model = self.rows(ids, data), self.model
        result = self.table.apply_gradients(
            np.array(ids, np.int64),
            np.array(grads, np.float32).reshape(-1, DIM),
            req_time=self.now,
            duplicates=kind,
        )
        if kind == "sum":
            total: dict[int, list[int]] = {}
            for i, g in zip(ids, grads, strict=True):
                total[i] = [a + b for a, b in zip(total.get(i, [0] * DIM), g, strict=True)]
            counts = [ids.count(i) for i in total]
            pairs, admitted = list(total.items()), model.admitted(list(total), counts)
            blocked = sum(c for c, yes in zip(counts, admitted, strict=True) if not yes)
        else:
            pairs, admitted = list(zip(ids, grads, strict=True)), model.admitted(ids, None)
            blocked = admitted.count(False)
        kept = [pair for pair, yes in zip(pairs, admitted, strict=True) if yes]
        gone = model.make_room([i for i, _ in kept])
        born = len({i for i, _ in kept if i not in model.rows})
        for i, g in kept:
            row = model.row(i, self.now)
            row[0], row[1] = [w - x for w, x in zip(row[0], g, strict=True)], [-x for x in g]
            row[3] += 1
        assert (result.updated, result.born, result.blocked) == (len(kept), born, blocked)
        assert sorted(result.evicted.tolist()) == sorted(gone)

    @rule(ids=ids_, data=st.integers(0, 10), adds=st.booleans())
    def assign(self, ids: list[int], data: int, adds: bool) -> None:
        values = self.rows(ids, data)
        method = self.table.assign_add if adds else self.table.assign
        method(np.array(ids, np.int64), np.array(values, np.float32).reshape(-1, DIM), req_time=self.now)
        pairs = zip(ids, values, self.model.admitted(ids, None), strict=True)
        kept = [(i, v) for i, v, yes in pairs if yes]
        self.model.make_room([i for i, _ in kept])
        for i, v in kept:
            row = self.model.row(i, self.now)
            row[0] = [a + b for a, b in zip(row[0], v, strict=True)] if adds else v

    @rule(ids=ids_)
    def reinitialize(self, ids: list[int]) -> None:
        had = self.table.reinitialize(np.array(ids, np.int64), req_time=self.now)
        assert had.tolist() == [i in self.model.rows for i in ids]
        self.model.make_room(ids)
        self.model.bear(ids, self.now, anew=True)

    @rule(ids=ids_)
    def touch(self, ids: list[int]) -> None:
        had = self.table.touch(np.array(ids, np.int64), req_time=self.now)
        assert had.tolist() == [i in self.model.rows for i in ids]
        for i in ids:
            if i in self.model.rows:
                self.model.rows[i][2] = self.now

    @rule(ids=ids_)
    def evict(self, ids: list[int]) -> None:
        gone = self.table.evict(np.array(ids, np.int64))
        assert gone.tolist() == [i for i in dict.fromkeys(ids) if self.model.rows.pop(i, None)]

    @rule(n=st.integers(0, 5))
    def evict_oldest(self, n: int) -> None:
        gone = self.table.evict(n=n)
        oldest = sorted((r[2], i) for i, r in self.model.rows.items())[:n]
        assert sorted(gone.tolist()) == sorted(i for _, i in oldest)
        for _, i in oldest:
            del self.model.rows[i]

    @rule()
    def expire(self) -> None:
        gone = self.table.expire(self.now)
        old = [i for i, r in self.model.rows.items() if self.now - r[2] >= self.model.days * DAY]
        assert sorted(gone.tolist()) == sorted(old)
        for i in old:
            del self.model.rows[i]

    @rule(seconds=st.sampled_from([1, 3600, DAY, 3 * DAY]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(ids=ids_)
    @precondition(lambda self: len(self.model.rows) < 16)
    def look_and_make(self, ids: list[int]) -> None:
        found = self.table.lookup(np.array(ids, np.int64), missing="initialize", req_time=self.now)
        self.model.make_room(ids)
        self.model.bear([i for i in ids if i not in self.model.rows], self.now, anew=False)
        assert found.tolist() == [self.model.rows[i][0] for i in ids]

    @rule(ids=ids_)
    def lookup(self, ids: list[int]) -> None:
        found, hits = self.table.lookup(np.array(ids, np.int64), with_hits=True)
        assert hits.tolist() == [i in self.model.rows for i in ids]
        assert found.tolist() == [self.model.rows[i][0] if i in self.model.rows else [0] * DIM for i in ids]

    @invariant()
    def are_the_same(self) -> None:
        table, model = self.table, self.model
        assert len(table) == len(model.rows)
        assert sorted(table) == sorted(model.rows)
        found = table.lookup_entry(np.array(list(model.rows), np.int64))
        for k, row in enumerate(model.rows.values()):
            assert found.weights[k].tolist() == row[0]
            assert (int(found.timestamps[k]), int(found.updates[k])) == (row[2], row[3])


class ReferenceTableMachine(TableMachine):
    engine = "reference"


@pytest.mark.parametrize("machine", [TableMachine, ReferenceTableMachine])
def test_a_table_is_what_the_model_says(machine: type[TableMachine], request: pytest.FixtureRequest) -> None:
    """10 ** 5 operations with `--all-faults`, a few thousand in every run."""
    runs = 1000 if request.config.getoption("--all-faults") else 20
    phases = (
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    )  # a shorter story of a failure takes minutes to find
    checked = settings(
        max_examples=runs,
        stateful_step_count=100,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=checked)
