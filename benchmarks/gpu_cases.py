"""The GPU benchmark's cases: their arrays, the graphs that symopt runs on them, and which peers run beside it.

Bytes are those of the arrays that the formula must read and write, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gpu_formulas as formulas
import gpu_peers as peers
import numpy as np
from gpu_check import OURS, Case, Contender, Pick, View
from gpu_formulas import DECAY, LR, rate
from gpu_machine import Machine, Step
from gpu_sparse import sparse, sparse_repeated

import symopt as so
from symopt import sym

PIECE = 1 << 16  # elements compared at either end of a tensor
Arrays = dict[str, Any]


def gpt2_medium(quick: bool) -> list[int]:
    """Elements of each of GPT-2 medium's 292 tensors; of two narrow layers to try it."""
    d, layers, words, length = (32, 2, 500, 32) if quick else (1024, 24, 50257, 1024)
    block = [d, d, 3 * d * d, 3 * d, d * d, d, d, d, 4 * d * d, 4 * d, 4 * d * d, d]
    return [words * d, length * d, *(block * layers), d, d]


# ---- dense Adam


def dense_sets(machine: Machine, sizes: Sequence[int], sets: int = 1, skip: int = 0) -> list[Arrays]:
    """Weights w0, w1, ..., gradients, means and vars. `skip`: elements that all arrays begin after alignment."""

    def one(n: int, scale: float = 1.0, positive: bool = False) -> Any:
        made = machine.random(n + skip, scale=scale)
        return (machine.xp.abs(made, out=made) if positive else made)[skip:]

    def whole() -> Arrays:
        found: Arrays = {}
        for k, n in enumerate(sizes):
            found |= {f"w{k}": one(n), f"g{k}": one(n), f"m{k}": one(n, 0.1), f"v{k}": one(n, 0.1, True)}
        return found

    return [whole() for _ in range(sets)]


def adam(machine: Machine, arrays: Arrays, **attrs: Any) -> Step:
    """One graph for all tensors; the rate is given at each step."""
    lr, heads = sym.var("lr", shape=()), []
    for k in range(_count(arrays)):
        w, g, m, v = (sym.var(f"{n}{k}") for n in "wgmv")
        heads.append(sym.adam_update(w, g, m, v, lr=lr, out=w, **attrs))
    executor = machine.bind(sym.Group(heads), {**arrays, "lr": 0.0}, arrays)
    return lambda t: executor.forward(lr=rate(t))


def _count(arrays: Arrays) -> int:
    return sum(name[0] == "w" and name[1:].isdigit() for name in arrays)


def ends(names: str = "wgmv", **constants: Any) -> Callable[[Arrays], list[Pick]]:
    """Both ends of the first, the middle and the last tensor."""

    def picks(arrays: Arrays) -> list[Pick]:
        n, found = _count(arrays), []
        for k in sorted({0, n // 2, n - 1}):
            size = arrays[f"w{k}"].size
            for start in sorted({0, max(0, size - PIECE)}):
                index = slice(start, start + PIECE)
                found.append({c: View(arrays[f"{c}{k}"], index) for c in names} | constants)
        return found

    return picks


def dense(machine: Machine, sizes: Sequence[int], sets: int = 1, skip: int = 0) -> Case:
    contenders = {OURS: Contender(adam, formulas.adam)} | peers.adams()
    if len(sizes) == 1 and not skip:
        contenders |= peers.traffic(machine)
    return Case(28 * sum(sizes), dense_sets(machine, sizes, sets, skip), contenders, ends())


def big(machine: Machine, quick: bool) -> Case:
    """One tensor of 2**28 elements."""
    return dense(machine, [1 << (12 if quick else 28)])


def gpt2m(machine: Machine, quick: bool) -> Case:
    return dense(machine, gpt2_medium(quick))


def many(machine: Machine, quick: bool) -> Case:
    """10,000 tensors of 1024 elements; three sets, since one would stay in the cache in part."""
    return dense(machine, [64] * 20 if quick else [1024] * 10_000, sets=3)


def offset(machine: Machine, quick: bool) -> Case:
    """All arrays begin one element after a multiple of 16 bytes."""
    return dense(machine, [1 << (12 if quick else 28)], skip=1)


def zero_var(machine: Machine, quick: bool) -> Case:
    """Gradient and var are zero: roots and quotients of such take the slow path of the arithmetic."""
    case = dense(machine, [1 << (12 if quick else 28)])
    for name in ("g0", "v0"):
        case.sets[0][name][...] = 0
    return case


def bfloat16(machine: Machine, quick: bool) -> Case:
    """bfloat16 weight and gradient, float32 states: 2 + 2 + 2 + 16 bytes an element."""
    n = 1 << (12 if quick else 28)
    arrays = dense_sets(machine, [n])[0]
    for name in ("w0", "g0"):
        arrays[name] = arrays[name].astype(so.dtypes.to_numpy("bfloat16"))

    def make(machine: Machine, arrays: Arrays) -> Step:
        return adam(machine, arrays, state_dtype="float32")

    # A sum just beside a tie may be rounded the other way: one place of 8 bits, in few elements.
    ours = Contender(make, formulas.adam_in_bfloat16, {"w": 1e-3})
    return Case(22 * n, [arrays], {OURS: ours}, ends())


def mixed_precision(machine: Machine, quick: bool) -> Case:
    """float16 weight and gradient, float32 copy and states: 2 + 2 + 24 bytes, since the float16 weight is not read."""
    n = 1 << (12 if quick else 28)
    arrays = dense_sets(machine, [n])[0]
    arrays["w320"] = arrays["w0"]
    arrays["w0"], arrays["g0"] = (arrays[name].astype(np.float16) for name in ("w0", "g0"))

    def make(machine: Machine, arrays: Arrays) -> Step:
        w, g, m, v, w32 = (sym.var(name) for name in ("w0", "g0", "m0", "v0", "w320"))
        update = sym.mp_adam_update(w, g, m, v, w32, lr=sym.var("lr", shape=()), out=w)
        executor = machine.bind(update, {**arrays, "lr": 0.0}, arrays)
        return lambda t: executor.forward(lr=rate(t))

    def picks(arrays: Arrays) -> list[Pick]:
        return [
            {**{c: View(arrays[f"{c}0"], index) for c in "wgmv"}, "w32": View(arrays["w320"], index)}
            for index in (slice(0, PIECE), slice(max(0, n - PIECE), n))
        ]

    return Case(28 * n, [arrays], {OURS: Contender(make, formulas.mp_adam, {"w": 1e-3})}, picks)


# ---- rows


def rows_of(cols: int) -> Callable[[Machine, bool], Case]:
    """Group AdaGrad on 2**28 elements in rows of `cols`: 12 bytes an element, and 8 a row."""

    def group_adagrad(machine: Machine, quick: bool) -> Case:
        n_rows = max(3, (1 << (14 if quick else 28)) // cols)
        arrays = {name: machine.random((n_rows, cols)) for name in "wg"}
        arrays["h"] = machine.xp.abs(machine.random((n_rows, 1)))

        def make(machine: Machine, arrays: Arrays) -> Step:
            w = sym.var("w")
            update = sym.group_adagrad_update(w, sym.var("g"), sym.var("h"), lr=LR, out=w)
            executor = machine.bind(update, arrays, arrays)
            return lambda t: executor.forward()

        def picks(arrays: Arrays) -> list[Pick]:
            some = max(1, PIECE // cols)
            return [
                {c: View(arrays[c], slice(first, first + some)) for c in "wgh"}
                for first in (0, n_rows - some)
                if first >= 0
            ]

        nbytes = n_rows * (12 * cols + 8)
        return Case(nbytes, [arrays], {OURS: Contender(make, formulas.group_adagrad)}, picks)

    return group_adagrad


# ---- graphs of several kernels


def clip(machine: Machine, quick: bool) -> Case:
    """GPT-2 medium: gradients clipped by their common norm, then Adam. 4 + 28 bytes an element."""
    sizes = gpt2_medium(quick)
    (arrays,) = dense_sets(machine, sizes)
    squares = [
        float(np.square(machine.get(arrays[f"g{k}"]), dtype=np.float64).sum()) for k in range(len(sizes))
    ]
    scale = min(1.0, 1.0 / (float(np.sqrt(sum(squares))) + 1e-6))

    def make(capture: bool) -> Callable[[Machine, Arrays], Step]:
        def bound(machine: Machine, arrays: Arrays) -> Step:
            grads = [sym.var(f"g{k}") for k in range(len(sizes))]
            norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads)))
            scale = sym.minimum(1.0 / (norm + 1e-6), 1.0)
            lr, heads = sym.var("lr", shape=()), []
            for k, g in enumerate(grads):
                w, m, v = (sym.var(f"{n}{k}") for n in "wmv")
                heads.append(sym.adam_update(w, g, m, v, lr=lr, rescale_grad=scale, out=w))
            executor = machine.bind(sym.Group(heads), {**arrays, "lr": 0.0}, arrays, capture=capture)
            return lambda t: executor.forward(lr=rate(t))

        return bound

    contenders = _plain_and_captured(make, formulas.adam) | peers.clipped()
    return Case(32 * sum(sizes), [arrays], contenders, ends(scale=scale))


def lamb(machine: Machine, quick: bool) -> Case:
    """GPT-2 medium: 16 bytes an element for the norms of weight and direction, 28 for the step."""
    sizes = gpt2_medium(quick)
    (arrays,) = dense_sets(machine, sizes)

    def make(capture: bool) -> Callable[[Machine, Arrays], Step]:
        def bound(machine: Machine, arrays: Arrays) -> Step:
            count, heads = sym.var("t", shape=()), []
            for k in range(len(sizes)):
                w, g, m, v = (sym.var(f"{n}{k}") for n in "wgmv")
                heads.append(sym.lamb_update(w, g, m, v, lr=LR, wd=DECAY, t=count, out=w))
            executor = machine.bind(sym.Group(heads), {**arrays, "t": 0.0}, arrays, capture=capture)
            return lambda t: executor.forward(t=t)

        return bound

    def picks(arrays: Arrays) -> list[Pick]:
        """Whole tensors, since a norm is of all of one: the last, and one of each of the sizes below 5 million."""
        chosen = {n: k for k, n in enumerate(sizes) if n < 5_000_000}
        return [{c: View(arrays[f"{c}{k}"], slice(None)) for c in "wgmv"} for k in chosen.values()]

    return Case(44 * sum(sizes), [arrays], _plain_and_captured(make, formulas.lamb), picks)


def _plain_and_captured(
    make: Callable[[bool], Callable[[Machine, Arrays], Step]], formula: formulas.Formula
) -> dict[str, Contender]:
    return {
        OURS: Contender(make(False), formula),
        "symopt, capture=True": Contender(make(True), formula),
    }


CASES: dict[str, Callable[[Machine, bool], Case]] = {
    "big": big,
    "gpt2m": gpt2m,
    "many": many,
    "sparse": sparse,
    "sparse_repeated": sparse_repeated,
    "zero_var": zero_var,
    "offset": offset,
    "bfloat16": bfloat16,
    "mp_adam": mixed_precision,
    "group_adagrad_64": rows_of(64),
    "group_adagrad_1024": rows_of(1024),
    "group_adagrad_65536": rows_of(65536),
    "clip": clip,
    "lamb": lamb,
}
