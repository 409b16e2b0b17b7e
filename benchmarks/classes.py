"""What the optimizer classes cost beside the step itself: a call of the class, and `executor.forward()`.

The gradients are the same arrays at every step, so what is measured is the Python around one compiled call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from harness import OURS, Row, Work, measure

import symopt as so
from symopt.executor import Executor

COUNTS = (1, 100, 1000)
SHAPE = (8, 8)
BASE, EACH = 15e-6, 0.1e-6  # seconds that a class may take beside forward(), and for each parameter
Arrays = list[Any]


class Case(NamedTuple):
    """A class at work. `make` gets weights and gradients, and gives the call of one step. `decays`: how many different
    weight decays the parameters have."""

    name: str
    make: Callable[[Arrays, Arrays], Work]
    decays: int = 1


def mxnet_update(weights: Arrays, grads: Arrays) -> Work:
    """`update` of an optimizer with states that the caller keeps."""
    optimizer = so.optimizer.Adam()
    indices = list(range(len(weights)))
    states = [optimizer.create_state(i, w) for i, w in zip(indices, weights, strict=True)]
    return lambda: optimizer.update(indices, weights, grads, states)


def mxnet_updater(weights: Arrays, grads: Arrays) -> Work:
    """An Updater whose parameters have names, and biases no decay."""
    names = {i: f"layer{i // 2}_{'bias' if i % 2 else 'weight'}" for i in range(len(weights))}
    optimizer = so.optimizer.Adam(wd=0.01, param_idx2name=names)
    optimizer.set_wd_mult({name: 0.0 for name in names.values() if name.endswith("bias")})
    updater, indices = so.optimizer.Updater(optimizer), list(names)
    return lambda: updater(indices, grads, weights)


def keras_pairs(weights: Arrays, grads: Arrays) -> Work:
    """`apply_gradients(zip(...))` of a class of TF 2's Keras."""
    optimizer = so.keras.optimizers.Adam()
    return lambda: optimizer.apply_gradients(zip(grads, weights, strict=True))


def keras3_pairs(weights: Arrays, grads: Arrays) -> Work:
    """The same of Keras 3."""
    optimizer = so.keras3.optimizers.Adam()
    return lambda: optimizer.apply_gradients(zip(grads, weights, strict=True))


def keras3_apply(weights: Arrays, grads: Arrays) -> Work:
    """`apply` of Keras 3, with two lists."""
    optimizer = so.keras3.optimizers.Adam()
    return lambda: optimizer.apply(grads, weights)


def compiled(weights: Arrays, grads: Arrays) -> Work:
    """A step of `so.compile`, whose gradients come in a dict."""
    names = [f"w{k}" for k in range(len(weights))]
    step = so.compile("keras_adam", dict(zip(names, weights, strict=True)), lr=0.001)
    given = dict(zip(names, grads, strict=True))
    return lambda: step(given)


CASES = [
    Case("so.compile", compiled),
    Case("mxnet Adam.update", mxnet_update),
    Case("mxnet Updater, named", mxnet_updater, 2),
    Case("keras apply_gradients", keras_pairs),
    Case("keras3 apply_gradients", keras3_pairs),
    Case("keras3 apply", keras3_apply),
]


def classes(quick: bool) -> Iterable[Row]:
    """Each class with 1, 100 and 1,000 parameters."""
    for case in CASES:
        for count in COUNTS[:2] if quick else COUNTS:
            yield from _rows(case, count, 11 if quick else 301)


def _rows(case: Case, count: int, rounds: int) -> Iterator[Row]:
    weights, grads = ([np.full(SHAPE, 0.5, np.float32) for _ in range(count)] for _ in range(2))
    call = case.make(weights, grads)
    seconds = measure({OURS: call, "forward()": _forward(count, case.decays)}, rounds)
    beside = seconds[OURS] - seconds["forward()"]
    allowed = BASE + EACH * count
    remark = f"beside forward(): {beside * 1e6:.1f} us; allowed {allowed * 1e6:.0f} us"
    yield Row(f"{case.name}, {count:,} x 64", seconds, limit=seconds["forward()"] + allowed, remark=remark)


def _forward(count: int, decays: int) -> Work:
    """The same step by an executor, with another learning rate at each."""
    sym = so.sym
    lr, wds = sym.var("lr", shape=()), [sym.var(f"wd{k}", shape=()) for k in range(min(decays, count))]
    heads, arrays = [], {}
    for k in range(count):
        names = [f"{n}{k}" for n in "wgmv"]
        arrays.update({n: np.full(SHAPE, 0.5, np.float32) for n in names})
        w, *rest = map(sym.var, names)
        heads.append(sym.adam_update(w, *rest, lr=lr, wd=wds[k % len(wds)], out=w))
    given = {**arrays, "lr": 1e-3, **{f"wd{k}": 0.01 * k for k in range(len(wds))}}
    executor: Executor = sym.Group(heads).bind(args=given, aux_states=given)
    rates = iter(np.geomspace(1e-3, 1e-4, 1_000_000).tolist())
    return lambda: executor.forward(lr=next(rates))
