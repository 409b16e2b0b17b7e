"""Adam on dense tensors: one large, a thousand small, one small; with global-norm clipping and averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt import sym
from symopt.lang import State, Tensor, Updated, updated

LR, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01
STATES = ("g", "m", "v")
Arrays = dict[str, np.ndarray]


@so.update_op
def same_streams_update(weight: Tensor, grad: Tensor, mean: State, var: State) -> Updated:
    """Reads and writes what Adam does, with next to no arithmetic: the memory limit of the same kernel."""
    return updated(weight + grad, mean=mean + grad, var=var + grad)


def tensors(n: int, shape: tuple[int, ...]) -> Arrays:
    rng = np.random.default_rng(0)
    made = {f"{p}{k}": rng.random(shape, np.float32) for k in range(n) for p in ("w", *STATES)}
    for name in made:
        if name[0] in "mv":
            made[name] *= np.float32(1e-3)
    return made


def executor(n: int, arrays: Arrays, op: str = "adam_update", **attrs: Any) -> Any:
    heads = []
    for k in range(n):
        w, g, m, v = (sym.var(f"{p}{k}") for p in ("w", *STATES))
        heads.append(getattr(sym, op)(w, g, m, v, out=w, name=f"u{k}", **attrs))
    return sym.Group(heads).bind(so.cpu(), args=arrays, aux_states=arrays)


def numpy_adam(w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
    m[...] = BETA1 * m + (1 - BETA1) * g
    v[...] = BETA2 * v + (1 - BETA2) * g * g
    w -= LR * m / (np.sqrt(v) + EPSILON)


def torch_adam(torch: Any, arrays: Arrays, n: int, kind: str, name: str = "Adam") -> Any:
    parameters = []
    for k in range(n):
        parameter = torch.nn.Parameter(torch.from_numpy(arrays[f"w{k}"].copy()))
        parameter.grad = torch.from_numpy(arrays[f"g{k}"].copy())  # clip_grad_norm_ writes into it
        parameters.append(parameter)
    return getattr(torch.optim, name)(parameters, lr=LR, **{kind: True})


def large(quick: bool) -> Iterable[Row]:
    """One tensor of 16M elements: the memory limit, torch fused, NumPy."""
    n = 1 << (20 if quick else 24)
    arrays = tensors(1, (n,))
    work: dict[str, Work] = {OURS: executor(1, arrays, lr=LR).forward}
    work["memory limit"] = executor(1, tensors(1, (n,)), "same_streams_update").forward
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch fused"] = torch_adam(torch, arrays, 1, "fused").step
    copies = {k: x.copy() for k, x in arrays.items()}
    work["numpy"] = lambda: numpy_adam(copies["w0"], copies["g0"], copies["m0"], copies["v0"])
    seconds = measure(work, 7 if quick else 21)
    targets = {"memory limit": 0.95, "torch fused": 1.0, "numpy": 12.0}
    rate = 28 * n / seconds[OURS] / 1e9
    yield Row(f"adam, 1 x {n:,}", seconds, targets, remark=f"{rate:.1f} GB/s of 28 bytes an element")


def many(quick: bool) -> Iterable[Row]:
    """A thousand tensors of a thousand elements, ten steps in a row: the 16 MB stay in the caches of all contenders."""
    n = 100 if quick else 1000
    arrays = tensors(n, (1000,))
    work: dict[str, Work] = {OURS: executor(n, arrays, lr=LR).forward}
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch fused"] = torch_adam(torch, arrays, n, "fused").step
        work["torch foreach"] = torch_adam(torch, arrays, n, "foreach").step
    yield Row(
        f"adam, {n:,} x 1,000", measure(work, 15, inner=10), {"torch fused": 12.0, "torch foreach": 30.0}
    )


def latency(quick: bool) -> Iterable[Row]:
    """One tensor of a thousand elements: what a call costs."""
    arrays = tensors(1, (1000,))
    work: dict[str, Work] = {OURS: executor(1, arrays, lr=LR).forward}
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch fused"] = torch_adam(torch, arrays, 1, "fused").step
    seconds = measure(work, 31, inner=100)
    yield Row("adam, 1 x 1,000: forward()", seconds, {"torch fused": 10.0}, limit=6e-6)


def gpt2_shapes(layers: int, width: int) -> list[tuple[int, ...]]:
    """The tensors of a GPT-2 like model: embeddings, then per layer attention, feed-forward and norms."""
    shapes: list[tuple[int, ...]] = [(16 * width, width), (1024, width)]
    for _ in range(layers):
        shapes += [(width, 3 * width), (3 * width,), (width, width), (width,)]
        shapes += [(width, 4 * width), (4 * width,), (4 * width, width), (width,), *[(width,)] * 4]
    return shapes


def clip_ema(quick: bool) -> Iterable[Row]:
    """Global-norm clip, Adam with decay, and averaged weights, on a list of tensors like GPT-2's."""

    def update(w: Any, g: Any, m: Any, v: Any, scale: Any) -> Any:
        return sym.adam_update(w, g, m, v, lr=LR, wd=DECAY, rescale_grad=scale, out=w)

    yield _clip_ema(quick, "adam", update, "Adam")


def clip_ema_adamw(quick: bool) -> Iterable[Row]:
    """The same with AdamW; MXNet's decay is not multiplied by lr, torch's is."""

    def update(w: Any, g: Any, m: Any, v: Any, scale: Any) -> Any:
        return sym.adamw_update(w, g, m, v, scale, lr=LR, eta=1.0, wd=LR * DECAY, out=w)

    yield _clip_ema(quick, "adamw", update, "AdamW")


def _clip_ema(quick: bool, name: str, update: Callable[..., Any], torch_class: str) -> Row:
    shapes = gpt2_shapes(2 if quick else 6, 256 if quick else 512)
    rng = np.random.default_rng(0)
    arrays = {f"{p}{k}": rng.random(s, np.float32) for k, s in enumerate(shapes) for p in ("w", *STATES, "e")}
    grads = [sym.var(f"g{k}") for k in range(len(shapes))]
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads)))
    scale = sym.minimum(1.0 / (norm + 1e-6), 1.0)
    heads = []
    for k, g in enumerate(grads):
        w, m, v, e = (sym.var(f"{p}{k}") for p in ("w", "m", "v", "e"))
        new = update(w, g, m, v, scale)
        heads += [new, sym.elemwise_add(0.999 * e, 0.001 * new, out=e)]
    work: dict[str, Work] = {OURS: sym.Group(heads).bind(so.cpu(), args=arrays, aux_states=arrays).forward}
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch"] = _torch_clip_ema(torch, arrays, len(shapes), torch_class)
    size = sum(arrays[f"w{k}"].size for k in range(len(shapes)))
    return Row(
        f"clip + {name} + average, {len(shapes)} tensors",
        measure(work, 15),
        {"torch": 1.5},
        remark=f"{size / 1e6:.0f}M elements, two passes over the gradient",
    )


def _torch_clip_ema(torch: Any, arrays: Arrays, n: int, torch_class: str) -> Work:
    optimizer = torch_adam(torch, arrays, n, "fused", torch_class)
    optimizer.param_groups[0]["weight_decay"] = DECAY
    parameters = optimizer.param_groups[0]["params"]
    averages = [torch.from_numpy(arrays[f"e{k}"].copy()) for k in range(n)]

    def step() -> None:
        with torch.no_grad():
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            torch._foreach_lerp_(averages, [p.detach() for p in parameters], 0.001)

    return step
