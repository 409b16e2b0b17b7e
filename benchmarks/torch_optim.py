"""so.torch.optim beside torch's own Adam: what the class costs, many tensors, one large one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so


def adam(quick: bool) -> Iterable[Row]:
    """Adam on torch's parameters, with gradients that stay where they are and with new ones at every step."""
    torch = torch_or_none(so.num_threads())
    if torch is None:
        return
    yield _job(torch, 1, 1000, quick, rounds=200)
    yield _job(torch, 1000, 100 if quick else 1000, quick, rounds=25)
    yield _job(torch, 1000, 100 if quick else 1000, quick, rounds=25, is_fresh=True)
    yield _job(torch, 1, 1 << (20 if quick else 24), quick, rounds=15)


def _job(torch: Any, n: int, size: int, quick: bool, rounds: int, is_fresh: bool = False) -> Row:
    work: dict[str, Work] = {
        OURS: _step(torch, n, size, is_fresh, lambda ps: so.torch.optim(ps, "torch_adam", lr=1e-3)),
        "torch fused": _step(torch, n, size, is_fresh, lambda ps: torch.optim.Adam(ps, fused=True)),
        "torch foreach": _step(torch, n, size, is_fresh, lambda ps: torch.optim.Adam(ps, foreach=True)),
    }
    seconds = measure(work, 5 if quick else rounds)
    name = "so.torch.optim, new gradients" if is_fresh else "so.torch.optim"
    return Row(f"{name}, {n} x {size:,}", seconds)


def _step(torch: Any, n: int, size: int, is_fresh: bool, make: Any) -> Work:
    """A step of an optimizer; new gradients are made by a backward pass, whose time counts for all alike."""
    parameters = [torch.nn.Parameter(torch.randn(size)) for _ in range(n)]
    for p in parameters:
        p.grad = torch.randn(size)
    optimizer = make(parameters)

    def fresh() -> None:
        optimizer.zero_grad()
        torch.cat(parameters).square().sum().backward()
        optimizer.step()

    return fresh if is_fresh else optimizer.step  # type: ignore[no-any-return]
