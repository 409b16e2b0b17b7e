"""Step functions of test_workers*.py, which processes import; and what one process makes of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

import symopt as so
from symopt.idmap import sum_by, unique

Step = Generator[dict[str, Any], dict[str, np.ndarray], Any]


def learn(step: int, rank: int, ranks: int, *, n: int = 24, scale: float = 1.0) -> Step:
    """Two tables, repeated ids, gradients that depend on all rows to the last bit."""
    rng = np.random.default_rng([step, rank])
    users = rng.zipf(1.5, (n, 2)) % 50 - 10
    items = rng.integers(0, 1 << 40, n) % 7
    rows = yield {"users": users, "items": items}
    u, i = rows["users"], rows["items"]
    grads = scale * (u * i[:, None, :1] + rng.normal(size=u.shape).astype(np.float32))
    return {"users": (users, grads), "items": u.sum(1)[:, :2] - i}, float(u.sum() + i.sum())


def twice(step: int, rank: int, ranks: int) -> Step:
    """Asks again for what it saw, then for nothing; some ranks have no gradients, in some steps for no table."""
    first = (yield {"users": [[step, step + rank]]})["users"]
    more = yield {"users": np.array([int(abs(first.sum()))]), "items": np.array([3, 3])}
    assert (yield {}) == {} and first.shape == (1, 2, 3)
    first += 1000  # is its own
    if (step + rank) % 3 == 0:
        return None
    users = np.arange(4) % 3 + step
    return {"users": (users, np.ones((4, 3)) * more["items"][0, 0] + 0.1 * rank)}


def count(step: int, rank: int, ranks: int, *, ids: Sequence[int], slow: float = 0.0) -> Step:
    """Gradients of one, of rows that therefore count steps; reports what it saw."""
    seen = (yield {"users": ids})["users"]
    time.sleep(slow * (rank + 1))
    return {"users": np.full_like(seen, -1.0)}, (step, seen[:, 0].tolist())


def kill_once(step: int, rank: int, ranks: int, *, folder: str, at: Mapping[str, str], **given: Any) -> Step:
    """`learn`, in a process that kills itself at some steps: before it asks, or before it answers."""
    path = os.path.join(folder, f"{step}-{rank}")
    when = at.get(f"{step}-{rank}")
    if when == "begin" and not os.path.exists(path):
        _die(path)
    run = learn(step, rank, ranks, **given)
    rows = yield next(run)
    if when == "rows" and not os.path.exists(path):
        _die(path)
    try:
        run.send(rows)
    except StopIteration as end:
        return end.value


def _die(path: str) -> None:
    with open(path, "w"):
        pass
    os.kill(os.getpid(), 9)


def fails(step: int, rank: int, ranks: int, *, at: int) -> Step:
    rows = yield {"users": [1, 2]}
    if step == at and rank == ranks - 1:
        raise OverflowError("too much")
    return {"users": rows["users"] + 1}


def no_generator(step: int, rank: int, ranks: int) -> None:
    return None


def makers(**options: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Segments and options of the tables, by name."""
    schedule = so.embedding.Segment(1, "sgd", learning_rate=_rate)
    users = [so.embedding.Segment(2, "adagrad", learning_rate=0.1, initializer=_first()), schedule]
    return {"users": (users, options), "items": ([so.embedding.Segment(2, "adam", learning_rate=0.01)], {})}


def _rate(done: int) -> float:
    return 0.5 / (1 + done)


def _first() -> Any:
    return so.embedding.RandomNormal(0, 0.5)


def one_process(
    step: Callable[..., Step], tables: Mapping[str, Any], steps: int, ranks: int, start: int = 0, **given: Any
) -> list[tuple[Any, ...]]:
    """What the workers do, by one process on tables that are not sharded: gradients of all ranks, each rank's added up
    by id, one behind the other. What ranks reported."""
    reports = []
    for t in range(start + 1, steps + 1):
        ended = [_ended(step(t, rank, ranks, **given), tables) for rank in range(ranks)]
        for name, table in tables.items():
            parts = [grads[name] for grads, _ in ended if name in grads]
            if parts:
                is_summed = table.duplicates == "sum"
                sent = [_sent(ids, grads, is_summed) for ids, grads in parts]
                table.apply_gradients(*(np.concatenate(each) for each in zip(*sent, strict=True)))
        reports.append(tuple(report for _, report in ended))
    return reports


def _ended(run: Step, tables: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    rows: Any = None
    asked: dict[str, Any] = {}
    while True:
        try:
            wanted = run.send(rows)
        except StopIteration as end:
            returned, report = end.value if isinstance(end.value, tuple) else (end.value, None)
            grads = {
                name: given if isinstance(given, tuple) else (asked[name], given)
                for name, given in (returned or {}).items()
            }
            return grads, report
        asked |= wanted
        rows = {name: tables[name].lookup(ids) for name, ids in wanted.items()}


def _sent(ids: Any, grads: Any, is_summed: bool) -> tuple[np.ndarray, np.ndarray]:
    flat = np.asarray(ids, np.int64).reshape(-1)
    rows = np.asarray(grads, np.float32)
    rows = rows.reshape(len(flat), rows.shape[-1])
    found = unique(flat)
    return (found.ids, sum_by(found.inverse, len(found.ids), rows)) if is_summed else (flat, rows)


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """All rows and states are the same, bit for bit."""
    for name, table in expected.items():
        ids = np.sort(table.ids())
        np.testing.assert_array_equal(np.sort(found[name].ids()), ids, name)
        ours, theirs = found[name].lookup_entry(ids), table.lookup_entry(ids)
        np.testing.assert_array_equal(_bits(ours.weights), _bits(theirs.weights), name)
        for state, rows in theirs.states.items():
            np.testing.assert_array_equal(_bits(ours.states[state]), _bits(rows), f"{name}: {state}")
        assert found[name].steps == table.steps


def _bits(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8)
