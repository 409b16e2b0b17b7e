"""Draws random graphs of ordinary and update ops, each with what plain NumPy makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from symopt import Symbol, sym
from symopt.dtypes import to_numpy
from symopt.sparse import RowSparseArray

Array = np.ndarray[Any, np.dtype[Any]]
Values = dict[Any, Any]  # of variables by name, and of items made so far
Pick = Callable[[list[Any]], Any]

SHAPES = [(5, 7), (6, 70), (3, 4, 5), (9,), (1, 9), (6, 1), (1, 1), (2, 8200), (0, 3), (3, 0)]
WIDEST = ("host", "one", "row", "all")


@dataclass(eq=False)
class Item:
    """A symbol and how NumPy computes it. kind: "all" elements, one value per "row", "one", or a "host" number."""

    symbol: Symbol
    kind: str
    value: Callable[[Values], Any]
    variable: str = ""  # whose value this is, at the start or later

    def __repr__(self) -> str:
        return f"{self.kind} {self.symbol.name or self.symbol.list_outputs()}"

    def __call__(self, values: Values) -> Any:
        if self not in values:
            values[self] = self.value(values)
        return values[self]


def _clip(x: Any, bound: float) -> Any:
    return np.where(x > bound, bound, np.where(x < -bound, -bound, x)) if bound >= 0 else x


def _rows(x: Array) -> Any:
    return np.mean(np.square(x), axis=tuple(range(1, x.ndim)), keepdims=True) if x.ndim > 1 else np.square(x)


def _adam(w: Any, g: Any, lr: Any, wd: float, m: Any, v: Any) -> tuple[Any, ...]:
    g = g + wd * w
    m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g * g
    return w - lr * m / (np.sqrt(v) + 1e-8), m, v


def _momentum(w: Any, g: Any, lr: Any, wd: float, mom: Any) -> tuple[Any, ...]:
    mom = 0.9 * mom - lr * (g + wd * w)
    return w + mom, mom


def _adagrad(w: Any, g: Any, lr: Any, wd: float, h: Any) -> tuple[Any, ...]:
    g = g + wd * w
    return w - lr * g / (np.sqrt(h + g * g) + 1e-7), h + g * g


def _group(w: Any, g: Any, lr: Any, wd: float, h: Any) -> tuple[Any, ...]:
    h = h + _rows(g)
    return w - lr * g / (np.sqrt(h) + 1e-5), h


# name: (attributes, states, formula of the clipped gradient)
UPDATES: dict[str, tuple[dict[str, float], tuple[str, ...], Callable[..., tuple[Any, ...]]]] = {
    "sgd_update": ({}, (), lambda w, g, lr, wd: (w - lr * (g + wd * w),)),
    "sgd_mom_update": ({"momentum": 0.9}, ("mom",), _momentum),
    "adam_update": ({}, ("mean", "var"), _adam),
    "adagrad_update": ({}, ("history",), _adagrad),
    "group_adagrad_update": ({}, ("history",), _group),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs, "square": np.square, "negative": np.negative, "identity": lambda x: x,
    "sign": lambda x: np.where(x > 0, 1.0, np.where(x < 0, -1.0, 0.0)),
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "broadcast_add": np.add, "broadcast_sub": np.subtract, "broadcast_mul": np.multiply,
    "broadcast_maximum": np.maximum, "broadcast_minimum": np.minimum,
    "broadcast_greater": lambda x, y: np.greater(x, y) * 1.0,
    "broadcast_div": lambda x, y: x / y,
}  # fmt: skip
FOLDS: dict[str, Callable[..., Any]] = {
    "sum": np.sum, "mean": np.mean, "max": lambda x, **k: np.max(x, initial=-np.inf, **k),
    "norm": lambda x, **k: np.sqrt(np.sum(np.square(x), **k)),
}  # fmt: skip


class Drawing:
    """A graph under construction. `writes`: the item each variable holds after the step."""

    def __init__(self, pick: Pick, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> None:
        self.pick, self.shape, self.dtype, self.rng = pick, shape, dtype, rng
        self.row_shape = (*shape[:1], *(1 for _ in shape[1:]))
        self.bound: dict[str, Any] = {}
        self.items: dict[str, list[Item]] = {kind: [] for kind in WIDEST}
        self.writes: dict[str, Item] = {}
        self.states: dict[str, Item] = {}  # variables that are states: their last value
        for name, kind in (*zip("abcd", ["all"] * 4), *zip("pq", ["row"] * 2), ("s", "one"), ("t", "host")):
            self.variable(name, kind)
        self.sparse = [self._sparse(name) for name in "xyz"] if shape[0] else []
        self.count = 0

    def variable(self, name: str, kind: str) -> Item:
        shapes = {"all": self.shape, "row": self.row_shape, "one": (1,), "host": ()}
        value = self.rng.uniform(0.2, 1.0, shapes[kind])
        if name in "abcd":
            value *= self.rng.choice([-1, 1], shapes[kind])
        self.bound[name] = float(value) if kind == "host" else self.rounded(value)
        item = Item(sym.var(name), kind, lambda values: values[name], name)
        self.items[kind].append(item)
        return item

    def rounded(self, value: Any) -> Array:
        return np.asarray(value).astype(to_numpy(self.dtype))

    def _sparse(self, name: str) -> Item:
        """x lists different rows, y some of them repeatedly, z none."""
        n = self.shape[0]
        some, repeated = self.rng.permutation(n)[: max(n // 2, 1)], self.rng.integers(0, n, n + 2)
        indices = {"x": some, "y": repeated, "z": repeated[:0]}[name]
        data = self.rounded(self.rng.standard_normal((len(indices), *self.shape[1:])))
        self.bound[name] = RowSparseArray(data, indices, self.shape)
        return Item(sym.var(name, stype="row_sparse"), "all", lambda values: values[name].todense(), name)

    # ---- one more node

    def step(self) -> None:
        self.count += 1
        how = self.pick(
            [self.unary, self.cast, self.binary, self.binary, self.fold, self.choose, *[self.update] * 4]
        )
        how(f"n{self.count}")

    def any_item(self, *kinds: str) -> Item:
        found = [i for kind in kinds or WIDEST for i in self.items[kind][-6:] + self.items[kind][:2]]
        item: Item = self.pick(found + (self.sparse if "all" in kinds or not kinds else []))
        return item

    def target(self, kind: str, inputs: list[Item]) -> dict[str, Symbol]:
        """out=: a variable nobody has written, or one whose last value is among the inputs."""
        free = [
            i.variable
            for i in self.items[kind]
            if i.variable and i.variable not in (*self.writes, *self.states)
        ]
        chained = [n for n, last in self.writes.items() if last in inputs and last.kind == kind]
        names = dict.fromkeys([*free, *chained])
        return {n: self.bound_symbol(n) for n in [self.pick(["", "", *names])] if n}

    def bound_symbol(self, name: str) -> Symbol:
        return next(i.symbol for items in self.items.values() for i in items if i.variable == name)

    def add(
        self, make: Callable[..., Symbol], kind: str, inputs: list[Item], value: Callable[[Values], Any]
    ) -> Item:
        out = self.target(kind, inputs)
        item = Item(make(out=next(iter(out.values()), None)), kind, value)
        self.items[kind].append(item)
        for name in out:
            self.writes[name] = item
        return item

    def unary(self, name: str) -> None:
        op, x = self.pick(list(UNARY)), self.any_item()
        self.add(
            lambda out: getattr(sym, op)(x.symbol, out=out, name=name), x.kind, [x], lambda v: UNARY[op](x(v))
        )

    def cast(self, name: str) -> None:
        """There and back: rounded on the way, so not where NumPy's float64 is the measure."""
        other, x = self.pick(["float16", "bfloat16", "float32"]), self.any_item("all", "row", "one")
        if self.dtype != "float64":
            self.add(
                lambda out: sym.Cast(sym.Cast(x.symbol, dtype=other), dtype=self.dtype, out=out, name=name),
                x.kind, [x], x,
            )  # fmt: skip

    def binary(self, name: str) -> None:
        op, x, y = self.pick(list(BINARY)), self.any_item(), self.any_item()
        self.add(
            lambda out: getattr(sym, op)(x.symbol, y.symbol, out=out, name=name),
            max(x.kind, y.kind, key=WIDEST.index), [x, y], lambda v: BINARY[op](x(v), y(v)),
        )  # fmt: skip

    def choose(self, name: str) -> None:
        c, x, y = self.any_item("all"), self.any_item("all"), self.any_item("all", "row", "one", "host")
        self.add(
            lambda out: sym.where(c.symbol > 0, x.symbol, y.symbol, out=out, name=name),
            "all", [x, y], lambda v: np.where(c(v) > 0, x(v), y(v)),
        )  # fmt: skip

    def fold(self, name: str) -> None:
        op, x = self.pick(list(FOLDS)), self.any_item("all")
        axis = tuple(range(1, len(self.shape)))
        if axis and self.pick([True, False]):
            self.add(
                lambda out: getattr(sym, op)(x.symbol, axis=axis, keepdims=True, out=out, name=name),
                "row", [x], lambda v: FOLDS[op](x(v), axis=axis, keepdims=True),
            )  # fmt: skip
        elif self.pick([True, True, False]):
            self.add(
                lambda out: getattr(sym, op)(x.symbol, out=out, name=name),
                "one", [x], lambda v: np.reshape(FOLDS[op](x(v)), (1,)),
            )  # fmt: skip
        else:
            y = self.any_item("all")
            total = sym.sum(sym.multi_sum_sq(x.symbol, y.symbol))
            self.add(
                lambda out: sym.Cast(total, dtype=self.dtype, out=out, name=name),
                "one", [x, y], lambda v: np.reshape(np.sum(np.square(x(v))) + np.sum(np.square(y(v))), (1,)),
            )  # fmt: skip

    # ---- update ops

    def update(self, name: str) -> None:
        op = self.pick(list(UPDATES))
        attrs, state_names, formula = UPDATES[op]
        weight, grad = self.pick(self.items["all"]), self.any_item("all")
        grad = self.pick([grad, *self.sparse])
        lr = self.pick([None, self.any_item("one"), self.any_item("host")])
        options = {
            **attrs, "lazy_update": self.pick([True, False]), "clip_gradient": self.pick([-1.0, 0.5]),
            "wd": 0.0 if op.startswith("group") else self.pick([0.0, 0.1]),
        }  # fmt: skip
        old: list[Item] = []
        for s in state_names:
            old.append(self.state(f"{name}_{s}", "row" if op.startswith("group") else "all", old))

        def results(values: Values) -> tuple[Any, ...]:
            w, before = weight(values), [s(values) for s in old]
            rate = 0.05 if lr is None else lr(values)
            news = formula(w, _clip(grad(values), options["clip_gradient"]), rate, options["wd"], *before)
            if grad in self.sparse and options["lazy_update"]:
                touched = np.zeros(self.row_shape, bool)
                touched[values[grad.variable].indices] = True
                news = tuple(np.where(touched, x, y) for x, y in zip(news, (w, *before)))
            return news

        both = Item(weight.symbol, "all", results)
        given = {k: v for k, v in options.items() if k != "wd" or not op.startswith("group")}
        made = self.add(
            lambda out: getattr(sym, op)(
                weight.symbol, grad.symbol, *[s.symbol for s in old],
                lr=0.05 if lr is None else lr.symbol, out=out, name=name, **given,
            ),
            "all", [weight], lambda v: both(v)[0],
        )  # fmt: skip
        for k, (state, item) in enumerate(zip(state_names, old), 1):
            new = Item(
                made.symbol.state(state), item.kind, partial(lambda k, v: both(v)[k], k), item.variable
            )
            self.states[item.variable] = new
            self.items[item.kind].append(Item(new.symbol, new.kind, new.value))

    def state(self, name: str, kind: str, taken: list[Item]) -> Item:
        """A new state, or the last value of one that an earlier node updated."""
        old = [s for s in self.states.values() if s.kind == kind and s not in taken]
        chosen: Item | None = self.pick([None, None, *old])
        if chosen is None:
            chosen = self.variable(name, kind)
        self.states[chosen.variable] = chosen
        return chosen

    # ---- all of it

    def symbol(self) -> Symbol:
        every = [i for items in self.items.values() for i in items]
        self.heads = [i for i in every if not i.variable and self.pick([True, False])] or every[-1:]
        writers = [i for i in (*self.writes.values(), *self.states.values()) if i not in self.heads]
        self.heads += writers
        return sym.Group([i.symbol for i in self.heads])

    def expected(self, values: Values) -> tuple[list[Any], dict[str, Any]]:
        """Outputs of a step, and what each variable holds afterwards."""
        after = {n: values[n] for n in self.bound}
        after.update({n: i(values) for n, i in (self.writes | self.states).items()})
        return [i(values) for i in self.heads], after
