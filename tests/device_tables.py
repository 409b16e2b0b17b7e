"""A table on a device and the same on the host, twice, driven together; and segments of every kind for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import symopt as so
from symopt import lang
from symopt.embedding import FixedR8, Segment, Table
from symopt.embedding.initializers import Custom, RandomUniform
from symopt.lang import Integer, Tensor, Updated
from symopt.opdef import OPS
from symopt.places import Place, from_host

HOSTS = ("native", "reference")
POOL = [0, 1, -1, 7, -(2**63), 2**63 - 1, *range(20, 30), *(k << 48 for k in range(1, 5))]


def custom(ids: np.ndarray, dim: int) -> np.ndarray:
    return np.add.outer(ids.astype(np.float64) % 17, np.arange(dim)) / 8


def own_device_update(weight: Tensor, grad: Tensor, *, lr: float, t: Integer) -> Updated:
    """A sum over the tensor, one over each row, random numbers, and a number that each row has its own of."""
    scale = lang.sqrt(1 + lang.sum_of(lang.square(grad))) + lang.row_mean(lang.absolute(weight))
    return lang.updated(weight - lr / t * grad * lang.uniform(weight, 3.0, 1.0) / scale)


def own_segment() -> Segment:
    """Registered when it is used: other tests go through all ops there are."""
    if own_device_update.__name__ not in OPS:
        so.update_op(own_device_update)
    initializer = RandomUniform(-1, 1)
    return Segment(6, own_device_update.__name__, lr=0.1, n_blocks=2, initializer=initializer)


MADE: dict[str, Callable[[], Any]] = {
    "adagrad": lambda: Segment(5, "adagrad", learning_rate=0.1, initializer=RandomUniform(-1, 1)),
    "adam, its own step for each row": lambda: Segment(4, "adam", learning_rate=0.1, weight_decay=0.01),
    "adam, the table's steps": lambda: Segment(3, "torch_adam", learning_rate=lambda t: 0.5 / (t + 1), clock="table"),
    "sums over a row": lambda: Segment(9, "group_adagrad", learning_rate=0.3, initializer=0.5),
    "sums over parts of a row": lambda: Segment(
        12, "monolith_rowwise_adagrad", learning_rate=0.3, n_blocks=3
    ),
    "sums over the tensor": lambda: Segment(70, "lamb", learning_rate=0.1, wd=0.1, initializer=1.0),
    "ftrl in float64": lambda: Segment(6, "ftrl", learning_rate=0.3, dtype="float64"),
    "a rule of the user's": own_segment,
    "first weights of the host": lambda: Segment(
        3, "sgd_mom", learning_rate=0.5, momentum=0.9, initializer=Custom(custom)
    ),
    "decay of all rows": lambda: Segment(
        4, "sgd", learning_rate=0.3, weight_decay=0.1, decay="decoupled_global", initializer=1.0
    ),
    "codes": lambda: [
        Segment(5, "adagrad", learning_rate=0.1, compressor=FixedR8(), initializer=RandomUniform(-1, 1)),
        Segment(8, "sgd", learning_rate=0.1, compressor=FixedR8(0.5)),
    ],
    "three rules": lambda: [
        Segment(1, "sgd", learning_rate=0.1),
        Segment(8, "adam", learning_rate=0.01, initializer=RandomUniform(-1, 1), clock="row"),
        Segment(7, "ftrl", learning_rate=0.2, weight_decay=0.1, decay="decoupled"),
    ],
}  # fmt: skip


class Trio:
    """One table on a device and the same on the host, twice: whatever is done to all of them is compared."""

    def __init__(self, place: Place, segments: Callable[[], Any], **more: Any) -> None:
        self.place = place

        def made(**which: Any) -> Table:
            return Table(segments(), **which, **{k: x() if callable(x) else x for k, x in more.items()})

        self.hosts = [made(engine=engine) for engine in HOSTS]
        self.device = made(ctx=place.context)
        self.now = 0

    def up(self, x: Any) -> Any:
        return from_host(self.place, x) if isinstance(x, np.ndarray) else x

    def down(self, x: Any) -> Any:
        return self.place.to_host(x) if isinstance(x, self.place.xp.ndarray) else x

    def do(self, method: str, *args: Any, values: Any = None, **more: Any) -> Any:
        """Call a method of all tables; `values` are those of the place. What the first gives, if all give the same."""
        tables = [(self.hosts[0], values), (self.hosts[1], values), (self.device, self.up(values))]
        found = [getattr(table, method)(*args, *([] if x is None else [x]), **more) for table, x in tables]
        first, *others = [
            flat(self.down(x) if not isinstance(x, tuple) else tuple(map(self.down, x))) for x in found
        ]
        for other in others:
            assert len(first) == len(other)
            for x, y in zip(first, other, strict=True):
                np.testing.assert_array_equal(x, y, strict=True)
        return found[0]

    def check(self) -> None:
        """Everything that lookups show, and all that the tables know."""
        self.do("ids")
        self.do("lookup", np.array(POOL))
        entries = [table.lookup_entry(table.ids()) for table in (*self.hosts, self.device)]
        for other in entries[1:]:
            for x, y in zip(entries[0], other, strict=True):
                if isinstance(x, dict) and isinstance(y, dict):
                    assert x.keys() == y.keys()
                    for name in x:
                        np.testing.assert_array_equal(x[name], self.down(y[name]), strict=True)
                else:
                    np.testing.assert_array_equal(x, self.down(y), strict=True)
        for host in self.hosts:
            assert (host.steps, host.stats, len(host)) == (
                self.device.steps,
                self.device.stats,
                len(self.device),
            )


def flat(x: Any) -> list[Any]:
    return [y for part in x for y in flat(part)] if isinstance(x, tuple) else [np.asarray(x)]


def rows(n: int, dim: int, seed: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(dtype)
