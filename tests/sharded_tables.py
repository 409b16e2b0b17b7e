"""Tables beside sharded ones: made alike, asked alike, compared bit by bit; and processes that can be killed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.inprocess import Answered, InProcess
from symopt.distributed.questions import QUESTIONS
from symopt.embedding import Admission, RandomUniform, Segment, Table
from symopt.errors import ProcessLostError, SymoptError


class Process:
    """An object that is there until it is killed."""

    def __init__(self, served: Any) -> None:
        self.served, self.is_alive = served, True


class Mortal(InProcess):
    """Processes that can be killed, and that share no memory: all that is sent is copied, and can't be written to."""

    may_lose = True

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.calls: list[str] = []

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Process:
        self.processes.append(Process(super().start(service, name, config)))
        return self.processes[-1]

    def call(
        self, host: Process, method: str, *args: Any, returns: int = 1, lane: str = "writes", **how: Any
    ) -> Any:
        self.calls.append(method)
        if not host.is_alive:
            return Answered(None, ProcessLostError("killed"))
        values = [a.get() if type(a) is Answered else a for a in args]
        found = super().call(host.served, method, *sent(values), returns=returns)
        return Answered(sent(found.value), found.error)

    def put(self, value: Any) -> Any:
        return Answered(sent(value))

    def stop(self, host: Process) -> None:
        host.is_alive = False

    def kill(self, number: int) -> None:
        """Kill the process of shard `number`."""
        self.of(number).is_alive = False

    def of(self, number: int) -> Process:
        """The newest process of shard `number`."""
        return next(p for p in reversed(self.processes) if p.served.number == number)


def sent(x: Any) -> Any:
    """What another process gets."""
    buffers: list[Any] = []
    data = pickle.dumps(x, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(b.raw()) for b in buffers])


def own_weights(ids: Any, dim: int) -> Any:
    """First weights by a function of the ids."""
    return np.sin(ids.astype(np.float64)[:, None] + np.arange(dim)) / 10


def rate(done: int) -> float:
    """A schedule."""
    return 0.1 / (1 + done)


SEGMENTS: dict[str, Callable[[], list[Segment]]] = {
    "sgd": lambda: [Segment(3, "sgd", learning_rate=0.5, initializer=2.0)],
    "several": lambda: [
        Segment(3, "adagrad", learning_rate=rate, initializer=RandomUniform()),
        Segment(2, "adam", learning_rate=0.01, weight_decay=0.01, decay="decoupled_global"),
        Segment(2, "keras_nadam", learning_rate=0.1, clock="table", initializer=own_weights),
    ],
    "codes": lambda: [
        Segment(4, "ftrl", learning_rate=0.1, compressor="one_bit", initializer=RandomUniform()),
        Segment(4, "adam", learning_rate=0.1, compressor="fixed_r8", rounds_to_float16=True),
    ],
    "wide": lambda: [
        Segment(2, "keras_nadam", learning_rate=rate, dtype="float64", weight_decay=0.1, decay="decoupled"),
        Segment(3, "adam", learning_rate=0.1, dtype="float64", weight_decay=0.1),
    ],
}
ADMISSIONS: dict[str, Callable[[], Admission | None]] = {
    "all": lambda: None,
    "second": lambda: Admission(1),
    "monolith": lambda: Admission(2, filter="monolith", capacity=1 << 10),
}


def outcome(do: Callable[[], Any]) -> Any:
    """What a call gave, or raised."""
    try:
        return do()
    except SymoptError as error:
        return type(error), str(error)


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Both are the same, with all bits."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys(), where
        for name in a:
            assert_equal(a[name], b[name], f"{where}/{name}")
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), (where, a, b)
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{k}")
    elif isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), (where, a, b)
        assert a.tobytes() == np.ascontiguousarray(b).tobytes(), (where, a, b)
    else:
        assert a == b or (a != a and b != b), (where, a, b)


def assert_same(table: Table, sharded: ShardedTable, with_stats: bool = True) -> None:
    """All that a table knows."""
    ids = np.sort(table.ids())
    assert_equal(ids, np.sort(sharded.ids()), "ids")
    assert len(table) == len(sharded)
    assert_equal(tuple(table.lookup_entry(ids)), tuple(sharded.lookup_entry(ids)), "entries")
    assert_equal(kept_beside(table), kept_beside(sharded), "beside")
    for numbers in sharded._ask("numbers"):
        assert_equal(numbers, QUESTIONS["numbers"](sharded), "numbers")
    if with_stats:
        sharded.cluster.settle()  # births are counted when shards answer
        assert asdict(table.stats) == asdict(sharded.stats)


def kept_beside(table: Any) -> dict[str, Any]:
    """What a table saves beside its rows, in one order."""
    state = table.state_dict()
    state = {name: x for name, x in state.items() if name not in ("rows", "free")}
    if state.get("admission", {}).get("filter") == "exact":
        counts = state["admission"]["counts"]
        for age, each in counts.items():
            order = np.argsort(each["ids"])
            counts[age] = {name: x[order] for name, x in each.items()}
    if "touched" in state:
        order = np.argsort(state["touched"]["ids"])
        for name in ("ids", "gone"):
            state["touched"][name] = state["touched"][name][order]
    return state


def kill(made: Cluster, number: int) -> None:
    """Kill the process of shard `number` of a `cluster`."""
    transport: Any = made.transport
    transport.kill(number)


def cluster(n: int, **options: Any) -> Cluster:
    """One whose processes can be killed."""
    return Cluster(n, transport=Mortal(), **options)
