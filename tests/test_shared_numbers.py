"""Numbers that some tensors of a launch share, changed one at a time: the same bits as the reference engine."""

from typing import Any

import numpy as np
import pytest

from symopt import sym

N = 6
NUMBERS = {"lr.0": 0.1, "lr.1": 0.2, "wd.0": 0.0, "wd.1": 0.3, "scale": 2.0}
CHANGES: list[dict[str, float]] = [
    {}, {"lr.0": 0.3}, {"lr.0": 0.2}, {"wd.1": 0.0}, {"wd.0": -0.0}, {"wd.1": 0.5, "scale": 1.0}, {}, {"scale": -0.0},
    {"scale": 0.0}, {"lr.0": 0.7, "lr.1": 0.7}, {"lr.1": float("inf")}, {"lr.1": 0.1, "scale": 1.0},
]  # fmt: skip


def bound(engine: str, op: str, states: int) -> tuple[Any, dict[str, Any]]:
    """Tensors with one of two rates, one of two decays, and one scale for all."""
    numbers = {name: sym.var(name, shape=()) for name in NUMBERS}
    arrays: dict[str, Any] = {}
    outputs = []
    rng = np.random.default_rng(0)
    for k in range(N):
        names = [f"w{k}", f"g{k}", *(f"s{k}.{i}" for i in range(states))]
        arrays |= {name: abs(rng.standard_normal(3)).astype(np.float32) for name in names}
        attrs = {
            "lr": numbers[f"lr.{k % 2}"],
            "wd": numbers[f"wd.{k // 3}"],
            "rescale_grad": numbers["scale"],
        }
        variables = [sym.var(name) for name in names]
        outputs.append(getattr(sym, op)(*variables, out=variables[0], name=f"u{k}", **attrs))
    symbol = sym.Group(outputs)
    kept = set(symbol.list_auxiliary_states())
    args = {n: x for n, x in arrays.items() if n not in kept}
    aux = {n: x for n, x in arrays.items() if n in kept}
    return symbol.bind(args={**args, **NUMBERS}, aux_states=aux, engine=engine), arrays


@pytest.mark.parametrize(("op", "states"), [("adam_update", 2), ("sgd_update", 0), ("sgd_mom_update", 1)])
def test_each_change_is_seen(op: str, states: int) -> None:
    native, ours = bound("native", op, states)
    reference, expected = bound("reference", op, states)
    for change in CHANGES:
        for executor in (native, reference):
            executor.forward(**change)
        for name, array in expected.items():
            assert ours[name].tobytes() == array.tobytes(), (change, name)
