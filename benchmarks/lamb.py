"""LAMB: two passes, for a step is as long as the norms of the whole weight and of the whole direction say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from dense import BETA1, BETA2, DECAY, LR, STATES, Arrays, gpt2_shapes
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt import sym

EPSILON = 1e-6


def lamb(quick: bool) -> Iterable[Row]:
    """A list of tensors like GPT-2's, and one tensor of 16M elements, beside a loop in torch."""
    yield _job("lamb, gpt-2 list", gpt2_shapes(2 if quick else 6, 256 if quick else 512), quick)
    yield _job("lamb", [(1 << (20 if quick else 24),)], quick)


def _job(name: str, shapes: list[tuple[int, ...]], quick: bool) -> Row:
    rng = np.random.default_rng(0)
    arrays = {f"{p}{k}": rng.random(s, np.float32) for k, s in enumerate(shapes) for p in ("w", *STATES)}
    work: dict[str, Work] = {OURS: _executor(len(shapes), arrays).forward}
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch loop"] = _torch(torch, arrays, len(shapes))
    seconds = measure(work, 7 if quick else 15)
    size = sum(arrays[f"w{k}"].size for k in range(len(shapes)))
    rate = 44 * size / seconds[OURS] / 1e9
    remark = f"{rate:.1f} GB/s of 44 bytes an element: 16 for the norms, 28 for the step"
    return Row(f"{name}, {len(shapes)} x {size // len(shapes):,}", seconds, remark=remark)


def _executor(n: int, arrays: Arrays) -> Any:
    """One graph that counts its own steps."""
    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    heads = [t]
    for k in range(n):
        w, g, m, v = (sym.var(f"{p}{k}") for p in ("w", *STATES))
        heads.append(sym.lamb_update(w, g, m, v, lr=LR, wd=DECAY, epsilon=EPSILON, t=t, out=w, name=f"u{k}"))
    return sym.Group(heads).bind(so.cpu(), args={**arrays, "t": 0}, aux_states=arrays)


def _torch(torch: Any, arrays: Arrays, n: int) -> Work:
    tensors = {k: torch.from_numpy(x.copy()) for k, x in arrays.items()}
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        for k in range(n):
            w, g, m, v = (tensors[f"{p}{k}"] for p in ("w", *STATES))
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            root = (v / (1 - BETA2**t)).sqrt_().add_(EPSILON)
            direction = torch.addcdiv(DECAY * w, m, root, value=1 / (1 - BETA1**t))
            w_norm, d_norm = torch.linalg.vector_norm(w), torch.linalg.vector_norm(direction)
            ratio = torch.where((w_norm > 0) & (d_norm > 0), w_norm / d_norm, 1.0)
            w.addcmul_(direction, ratio, value=-LR)

    return step
