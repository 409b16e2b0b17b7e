"""A table and sharded ones driven through the same operations, chosen by hypothesis: all bits are the same, whatever is
killed, saved, restored or sharded anew in between."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sharded_tables import ADMISSIONS, SEGMENTS, Mortal, assert_equal, assert_same, outcome

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Bags, Table

DAY = 86400
LOW, HIGH = -(2**63), 2**63 - 1
POOL = [
    0,
    1,
    -1,
    7,
    LOW,
    HIGH,
    *range(100, 110),
    *(k << 48 for k in range(1, 5)),
    *range(-(1 << 60), 4 - (1 << 60)),
]
ids_ = st.lists(st.one_of(st.sampled_from(POOL), st.integers(LOW, HIGH)), max_size=9)
seeds = st.integers(0, 99)


class Machine(RuleBasedStateMachine):
    """A table, and the same at 1, 2 and 3 shards."""

    @initialize(
        kind=st.sampled_from(sorted(SEGMENTS)),
        admission=st.sampled_from(sorted(ADMISSIONS)),
        duplicates=st.sampled_from(["sum", "sequential"]),
        missing=st.sampled_from(["zeros", "initialize", "raise"]),
        most=st.sampled_from([None, (12, None), (16, "least_recent"), (16, "small_norm")]),
        track=st.sampled_from([None, 6, 1000]),
        engine=st.sampled_from(["native", "reference"]),
    )
    def begin(self, kind: str, admission: str, most: Any, **options: Any) -> None:
        self.segments, self.admission, self.options = SEGMENTS[kind], ADMISSIONS[admission], options
        self.options |= {"expiry": 2, "seed": 5}
        if most is not None:
            self.options |= {"max_rows": most[0], "policy": most[1]}
        self.table = Table(self.segments(), admission=self.admission(), **self.options)
        self.paths = [tempfile.TemporaryDirectory() for _ in range(3)]
        self.sharded = [self.opened(k, k + 1) for k in range(3)]
        self.saved: Table | None = None
        self.now = 1000

    def opened(self, k: int, n: int | None) -> ShardedTable:
        cluster = Cluster(n, path=self.paths[k].name, transport=Mortal(), window=1 + k)
        return self.made(cluster)

    def made(self, cluster: Cluster) -> ShardedTable:
        return ShardedTable(cluster, self.segments(), admission=self.admission(), **self.options)

    def both(self, do: Any, waits: bool = True) -> None:
        """The same to all, with the same result or error."""
        expected = outcome(lambda: do(self.table))
        for sharded in self.sharded:
            found = outcome(lambda s=sharded: do(s))  # type: ignore[misc]
            if waits:
                assert_equal(expected, found)

    def rows(self, n: int, seed: int) -> Any:
        found = np.random.default_rng(seed).normal(size=(n, self.table.dim)) * 3
        return found.astype(self.table.dtype)

    # ---- writing

    @rule(
        ids=ids_,
        seed=seeds,
        kind=st.sampled_from([None, "sum", "sequential"]),
        rate=st.sampled_from([None, 0.25]),
        step=st.sampled_from([None, None, 3, 10]),
        waits=st.booleans(),
    )
    def apply(self, ids: list[int], seed: int, kind: Any, rate: Any, step: Any, waits: bool) -> None:
        given, grads = np.array(ids, np.int64), self.rows(len(ids), seed)
        more = {"duplicates": kind, "learning_rate": rate}

        def do(table: Any) -> Any:
            own_ids, own_grads = given.copy(), grads.copy()
            is_pushed = not waits and isinstance(table, ShardedTable)
            method = table.push if is_pushed else table.apply_gradients
            try:
                found = method(own_ids, own_grads, step, self.now, **more)
            finally:
                own_ids[:], own_grads[:] = 77, np.nan  # whoever looks at them later sees that
            return None if found is None else found._replace(evicted=np.sort(found.evicted))

        self.both(do, waits)

    @rule(
        lists=st.lists(ids_, max_size=4),
        seed=seeds,
        combiner=st.sampled_from(["sum", "mean", "sqrtn", "first_n"]),
    )
    def apply_bags(self, lists: list[list[int]], seed: int, combiner: Any) -> None:
        more = {"n": 2} if combiner == "first_n" else {}
        bags = Bags.from_lists(lists, combiner, **more)
        grads = self.rows(int(np.prod(bags.shape)), seed).reshape(*bags.shape, self.table.dim)
        self.both(lambda table: table.apply_gradients(bags, grads, req_time=self.now)[:3])
        self.both(lambda table: table.lookup(bags, with_hits=True, missing="zeros"))

    @rule(ids=ids_, seed=seeds, adds=st.booleans())
    def assign(self, ids: list[int], seed: int, adds: bool) -> None:
        rows = self.rows(len(ids), seed)
        name = "assign_add" if adds else "assign"
        self.both(lambda table: getattr(table, name)(np.array(ids, np.int64), rows, self.now))

    @rule(ids=ids_, name=st.sampled_from(["reinitialize", "touch"]))
    def renew(self, ids: list[int], name: str) -> None:
        self.both(lambda table: getattr(table, name)(np.array(ids, np.int64), self.now))

    # ---- rows that leave

    @rule(ids=ids_)
    def evict(self, ids: list[int]) -> None:
        self.both(lambda table: table.evict(np.array(ids, np.int64)))

    @rule(n=st.integers(0, 5), policy=st.sampled_from([None, "least_recent", "least_frequent", "small_norm"]))
    def evict_some(self, n: int, policy: Any) -> None:
        self.both(lambda table: np.sort(table.evict(n=n, policy=policy)))

    @rule(limit=st.integers(1, 4))
    def evict_where(self, limit: int) -> None:
        def where(rows: Any) -> Any:
            return (rows["updates"] > limit) | (rows["weight"].sum(axis=1) > 6) | (rows["id"] % 13 == 12)

        self.both(lambda table: np.sort(table.evict(where=where)))

    @rule(given=st.booleans())
    def expire(self, given: bool) -> None:
        self.both(lambda table: np.sort(table.expire(self.now if given else None)))

    @rule()
    def flush(self) -> None:
        self.both(lambda table: table.flush())

    @rule(seconds=st.sampled_from([1, 3600, DAY, 3 * DAY]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    # ---- reading

    @rule(ids=ids_, missing=st.sampled_from([None, "zeros", "raise", "initialize"]), into=st.booleans())
    def lookup(self, ids: list[int], missing: Any, into: bool) -> None:
        def do(table: Any) -> Any:
            out = np.full((len(ids), table.dim), 9, table.dtype) if into else None
            found = outcome(
                lambda: table.lookup(
                    np.array(ids, np.int64), missing=missing, with_hits=True, out=out, req_time=self.now
                )
            )
            return found, out, table.contains(np.array(ids, np.int64))

        self.both(do)
        self.both(lambda table: tuple(table.lookup_entry(np.array(ids, np.int64))))

    # ---- states, changes

    @rule(states=st.booleans(), whole=st.booleans(), sent=st.booleans())
    def changes(self, states: bool, whole: bool, sent: bool) -> None:
        def do(table: Any) -> Any:
            delta = table.take_delta(states=states, whole=whole)
            if not sent:
                table.untake(delta)
            order = np.argsort(delta.ids)
            kept = {name: x[order] for name, x in delta.states.items()}
            updates = None if delta.updates is None else delta.updates[order]
            return (
                delta.ids[order],
                delta.weights[order],
                np.sort(delta.gone),
                delta.decay,
                delta.scales,
                kept,
                updates,
            )

        self.both(do)

    @rule(states=st.booleans(), seed=seeds)
    def take_over_changes(self, states: bool, seed: int) -> None:
        other = Table(self.segments(), track=100, seed=5)
        other.apply_gradients(
            POOL[seed % 7 : 20 : 3], self.rows(len(POOL[seed % 7 : 20 : 3]), seed), req_time=seed
        )
        other.evict(POOL[7:9])
        delta = other.take_delta(states=states)
        self.both(lambda table: table.apply_delta(delta))

    @rule(
        from_=st.integers(0, 3),
        merge=st.booleans(),
        only=st.sampled_from([None, "odd", "some"]),
        states=st.sampled_from([True, False, [0]]),
        segments=st.sampled_from([None, [0]]),
        files=st.integers(1, 3),
        keep_expired=st.booleans(),
    )
    def restore(self, from_: int, only: Any, files: int, keep_expired: bool, **options: Any) -> None:
        chosen = {"odd": lambda ids: ids % 2 == 1, "some": POOL[:12]}.get(only)
        with tempfile.TemporaryDirectory() as folder:
            source: Any = [self.table, *self.sharded][from_]
            source.save(f"{folder}/it", files=files, keep_expired=keep_expired)
            self.apply(POOL[3:9], from_, None, None, None, True)

            def do(table: Any) -> Any:
                found = table.restore(f"{folder}/it", only=chosen, **options)
                return sorted(found.missing), sorted(found.unexpected)

            self.both(do)

    @rule(from_=st.integers(0, 3))
    def load(self, from_: int) -> None:
        source: Any = [self.table, *self.sharded][from_]
        state = copy.deepcopy(source.state_dict())
        self.apply(POOL[3:9], from_, None, None, None, True)
        self.both(lambda table: repr(table.load_state_dict(state)))

    # ---- what befalls clusters

    @rule(k=st.integers(0, 2), number=st.integers(0, 5))
    def kill(self, k: int, number: int) -> None:
        cluster: Any = self.sharded[k].cluster
        cluster.transport.kill(number % cluster.n_shards)

    @rule(n=st.integers(1, 4), k=st.integers(0, 2))
    def reshard(self, n: int, k: int) -> None:
        self.sharded[k].cluster.reshard(n)

    @rule()
    def checkpoint(self) -> None:
        for sharded in self.sharded:
            sharded.checkpoint()
        self.saved = copy.deepcopy(self.table)

    @rule(k=st.integers(0, 2))
    def make_it_again(self, k: int) -> None:
        self.sharded[k].close(checkpoint=False)
        self.sharded[k] = self.made(self.sharded[k].cluster)

    @rule(n=st.sampled_from([None, 1, 2, 4]))
    def begin_with_the_checkpoint(self, n: int | None) -> None:
        if self.saved is None:
            return
        self.checkpoint_of_now()
        self.sharded = [self.opened(k, n) for k in range(3)]
        self.table.stats = type(self.table.stats)()

    def checkpoint_of_now(self) -> None:
        for sharded in self.sharded:
            sharded.cluster.checkpoint({"now": self.now})
            sharded.cluster.close()

    @invariant()
    def are_the_same(self) -> None:
        for sharded in getattr(self, "sharded", ()):
            assert_same(self.table, sharded)

    def teardown(self) -> None:
        for path in getattr(self, "paths", ()):
            path.cleanup()


def test_sharded_tables_have_the_bits_of_a_table(request: pytest.FixtureRequest) -> None:
    phases = (
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    )  # a shorter story of a failure takes minutes to find
    checked = settings(
        max_examples=300 if request.config.getoption("--all-faults") else 8,
        stateful_step_count=40,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=checked)
