"""A batch is applied whole or not at all: an interrupt at any line, no memory at any call, functions that raise."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.embedding import Segment, Table, Tables, initializers

ROOT = os.path.dirname(so.__file__)
IDS = np.array([3, 3, 3, 20, 21, 20, 5, -7, 9, 9, 100])
GRADS = np.random.default_rng(1).normal(size=(11, 9)).astype("float32")


def made(**options: Any) -> Table:
    """A table with rows, products over steps, and decay that rows make up for."""
    segments = [
        Segment(3, "nadam", learning_rate=0.1),
        Segment(4, "adam", learning_rate=lambda t: 0.1 / (t + 1), weight_decay=0.1, decay="decoupled_global"),
        Segment(
            2,
            "sgd",
            learning_rate=1,
            initializer=initializers.Custom(lambda ids, dim: np.ones((len(ids), dim))),
        ),
    ]
    table = Table(segments, seed=3, track=1000, **options)
    table.apply_gradients(np.arange(10), GRADS[:10], req_time=100)
    table.apply_gradients(np.arange(5), GRADS[:5], req_time=101)
    return table


FULL: dict[str, Any] = {"max_rows": 12, "policy": "least_recent"}
Do = Callable[[list[Table]], Any]
CASES: dict[str, tuple[list[dict[str, Any]], Do]] = {
    "sum": ([{}], lambda t: t[0].apply_gradients(IDS, GRADS, req_time=200)),
    "sequential": ([FULL], lambda t: t[0].apply_gradients(IDS, GRADS, req_time=200, duplicates="sequential")),
    "admission": ([{"admission": 2}], lambda t: t[0].apply_gradients(IDS, GRADS, req_time=200)),
    "reference": (
        [{**FULL, "engine": "reference"}],
        lambda t: t[0].apply_gradients(IDS[:4], GRADS[:4], req_time=200),
    ),
    "assign": ([{}], lambda t: t[0].assign(IDS, GRADS, req_time=200)),
    "assign_add": ([FULL], lambda t: t[0].assign_add(IDS, GRADS, req_time=200)),
    "reinitialize": ([FULL], lambda t: t[0].reinitialize(IDS, req_time=200)),
    "lookup": ([FULL], lambda t: t[0].lookup(IDS, missing="initialize", req_time=200)),
    "evict": ([{}], lambda t: t[0].evict(n=3, policy="least_recent")),
    "flush": ([{}], lambda t: t[0].flush()),
    "tables": (
        [{}, FULL],
        lambda t: Tables({"a": t[0], "b": t[1]}).apply_gradients(
            {"a": (IDS, GRADS), "b": (IDS, GRADS)}, req_time=200
        ),
    ),
}


def seen(table: Table, has_counts: bool) -> dict[str, Any]:
    """All that a batch may change, by id. Counts of admission stay, whatever becomes of the batch."""
    rows = table._rows
    ids, slots = rows.map.pairs()
    order = np.argsort(ids)
    found: dict[str, Any] = {n: c[slots[order]].tobytes() for n, c in rows.store.columns.items()}
    found |= {
        "steps": rows.steps,
        "logs": list(rows.logs),
        "scales": list(rows.scales),
        "latest": table.latest,
    }
    found["products"] = [dict(part.hyper.products) for part in rows.parts]
    found |= {"born": table.stats.born, "evicted": table.stats.evicted, "updated": table.stats.updated}
    if has_counts:
        assert table.touched is not None
        found["touched"] = {k: np.asarray(v).tolist() for k, v in table.touched.state_dict().items()}
    return found


@contextmanager
def interrupted(at: int, reached: list[str]) -> Iterator[None]:
    """The signal of Ctrl-C comes at the `at`-th line of ours that is run."""
    n = 0

    def every(frame: FrameType, event: str, _: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(ROOT) else None

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal n
        n += event == "line"
        if n == at and not reached:
            reached.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
            signal.raise_signal(signal.SIGINT)
        return line

    before = sys.gettrace()
    sys.settrace(every)
    try:
        yield
    finally:
        sys.settrace(before)


MAKERS = [
    "empty",
    "zeros",
    "array",
    "where",
    "concatenate",
    "unique",
    "argsort",
    "ascontiguousarray",
    "isin",
    "arange",
]


@contextmanager
def without_memory(at: int, reached: list[str]) -> Iterator[None]:
    """The `at`-th array that we ask NumPy for is not to be had."""
    n, patch = 0, pytest.MonkeyPatch()

    def failing(make: Callable[..., Any]) -> Callable[..., Any]:
        def tried(*args: Any, **options: Any) -> Any:
            nonlocal n
            caller = sys._getframe(1)
            n += caller.f_code.co_filename.startswith(ROOT)
            if n == at and not reached:
                reached.append(f"{caller.f_code.co_filename}:{caller.f_lineno}")
                raise MemoryError("injected")
            return make(*args, **options)

        return tried

    with patch.context() as own:
        for name in MAKERS:
            own.setattr(np, name, failing(getattr(np, name)))
        yield


@pytest.mark.parametrize(
    ("fault", "error", "step"), [(interrupted, KeyboardInterrupt, 61), (without_memory, MemoryError, 3)]
)
@pytest.mark.parametrize("case", CASES)
def test_whole_or_not_at_all(case: str, fault: Any, error: type[BaseException], step: int) -> None:
    options, do = CASES[case]
    has_counts = error is KeyboardInterrupt

    def look(tables: list[Table]) -> list[dict[str, Any]]:
        return [seen(table, has_counts) for table in tables]

    tables = [made(**o) for o in options]
    before, _, after = look(tables), do(tables), look(tables)
    reached: list[str] = ["begin"]
    at, raised = 1, 0
    while reached:
        tables, reached = [made(**o) for o in options], []
        try:
            with fault(at, reached):
                do(tables)
        except error:
            raised += 1
        now = look(tables)
        assert now in (before, after), f"{reached}: half of it"
        if now == before != after:
            do(tables)
            assert look(tables) == after or case == "admission", f"{reached}: does not go on"
        at += step
    assert raised > 2


def test_nothing_is_evicted_for_rows_that_are_not_born() -> None:
    said = [True]

    def first(ids: Any, dim: int) -> Any:
        if not said[0]:
            raise OSError("no first weights")
        return np.ones((len(ids), dim))

    segment = Segment(2, "sgd", learning_rate=1, initializer=initializers.Custom(first))
    table = Table(segment, max_rows=3, policy="least_recent")
    table.lookup([1, 2, 3], missing="initialize")
    said[0] = False
    for do in (
        lambda: table.lookup([4], missing="initialize"),
        lambda: table.apply_gradients([4], np.ones((1, 2))),
        lambda: table.reinitialize([4]),
        lambda: table.assign_add([4], np.ones((1, 2))),
    ):
        with pytest.raises(OSError, match="no first weights"):
            do()
        assert table.ids().tolist() == [1, 2, 3]


def test_a_schedule_is_asked_once_a_step_whatever_repeats() -> None:
    asked: list[int] = []

    def rate(done: int) -> float:
        asked.append(done)
        return 0.5

    table = Table(Segment(2, "nadam", learning_rate=rate, clock="table"), duplicates="sequential")
    table.apply_gradients([1, 1, 1], np.ones((3, 2)))
    assert asked == [0]
