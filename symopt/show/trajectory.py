"""Two ops side by side on the same random gradients, and the step at which they part."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import sym
from ..attrs import REQUIRED
from ..opdef import OpDef
from .agree import Roles

SHAPE = (3, 4)
TOLERANCE = 1e-9  # relative, of float64: what rounding may come to in so many steps
REST = 0.5  # of required attributes that no table knows


def _nadam_product(step: int) -> float:
    """The product of Nadam's momenta up to a step, with Keras's defaults."""
    return math.prod(0.9 * (1 - 0.5 * math.pow(0.96, 0.004 * k)) for k in range(1, step + 1))


# Values for required attributes, and numbers that change from step to step; scalar inputs too.
EXAMPLES: dict[str, float | Callable[[int], float]] = {
    "lr": 0.1,
    "eta": 1.0,
    "wd": 0.01,
    "momentum": 0.9,
    "rescale_grad": 1.0,
    "eps": 1e-8,
    "epsilon": 1e-8,
    "r1": 1.0,
    "r2": 1.0,
    "t": lambda step: step,
    "step": lambda step: step,
    "u_product": _nadam_product,
}
# What by default does nothing is made to do something when both ops have it.
ACTIVE = {"wd": 0.01, "rescale_grad": 0.5, "clip_gradient": 0.4, "clip_grad": 0.4, "clip_weights": 2.0}


class Trajectory(NamedTuple):
    """How far two ops stay together. `step`: the first at which they differ by more than rounding, None if at none;
    `relative`: the difference there, or the largest of all steps; `is_finite`: whether both stayed finite."""

    steps: int
    step: int | None
    relative: float
    is_finite: bool

    def __str__(self) -> str:
        broken = "" if self.is_finite else "; not all values stay finite"
        if self.step is not None:
            return f"part at step {self.step}: relative difference {self.relative:.1e}{broken}"
        how = "but for rounding " if self.relative else ""
        return f"equal {how}for {self.steps} steps{broken}"


def trajectory(
    first: OpDef, second: OpDef, role: Roles, steps: int, seed: int, own: bool, at: Mapping[str, Any]
) -> Trajectory:
    """Both in float64 on the reference engine, from one weight and states of 0, on normal gradients.

    Attributes that both have are the same: `at`, an example where one op requires it, else the first's default. With
    `own` each has its own defaults.
    """
    back = {ours: theirs for theirs, ours in role.attrs.items()}
    common = {n: _value(n, first, second if n in back else None, back.get(n, n)) for n in first.attrs} | dict(
        at
    )
    own_first = {n: _value(n, first, None, n) for n in first.attrs} | dict(at)
    ours, theirs = (own_first if own else common), {}
    for name in second.attrs:
        shared = role.attrs.get(name, name)
        if shared in at or (name in role.attrs and not own):
            theirs[name] = common[shared]
        else:
            theirs[name] = _value(name, second, None, name)
    names = {n: n for n in first.input_names()}
    one = _Run(first, ours, names, seed)
    other = _Run(second, theirs, role.inputs, seed)
    largest, is_finite = 0.0, True
    for step in range(1, steps + 1):
        a, b = one.forward(step), other.forward(step)
        is_finite = is_finite and bool(np.isfinite(a).all() and np.isfinite(b).all())
        relative = _relative(a, b)
        if relative > TOLERANCE:
            return Trajectory(steps, step, relative, is_finite)
        largest = max(largest, relative)
    return Trajectory(steps, None, largest, is_finite)


def _value(name: str, op: OpDef, other: OpDef | None, other_name: str) -> Any:
    """What an attribute is in both ops: an example if either requires it, else the first's default."""
    attr = op.attrs[name]
    required = attr.default is REQUIRED or (other is not None and other.attrs[other_name].default is REQUIRED)
    return _example(name, attr.kind) if required or callable(EXAMPLES.get(name)) else attr.default


def _example(name: str, kind: str) -> Any:
    if kind in ("float", "integer"):
        return EXAMPLES.get(name, (lambda step: step) if kind == "integer" else REST)
    return {"bool": False, "int": 1}.get(kind, "")


def _relative(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    with np.errstate(all="ignore"):
        found = np.max(np.abs(a - b)[~same]) / np.max(np.abs(a))
    return float(found) if np.isfinite(found) else math.inf


class _Run:
    """One op bound to arrays made from the seed and the names that its inputs have in the comparison."""

    def __init__(self, op: OpDef, attrs: Mapping[str, Any], names: Mapping[str, str], seed: int) -> None:
        self.seed = seed
        self.fresh = {
            i.name: names.get(i.name, i.name) for i in op.inputs[1:] if i.kind in ("tensor", "condition")
        }
        self.moving = {n: v for n, v in attrs.items() if callable(v)}
        fixed = {n: v for n, v in attrs.items() if not callable(v)}
        arrays: dict[str, Any] = {op.inputs[0].name: self._normal("weight", 0)}
        for i in op.inputs[1:]:
            if i.kind == "scalar":
                value = EXAMPLES.get(i.name, 1.0)
                arrays[i.name] = np.array([value(1) if callable(value) else value])
            elif i.kind in ("row_state", "column_state"):
                arrays[i.name] = np.zeros((SHAPE[0], 1) if i.kind == "row_state" else (1, SHAPE[1]))
            elif i.name in self.fresh:
                arrays[i.name] = self._normal(self.fresh[i.name], 1)
            else:
                arrays[i.name] = np.zeros(SHAPE)
        variables = [sym.var(n) for n in op.input_names()]
        out = {"out": variables[0]} if op.gives == "weight" else {}
        started = {n: v(1) for n, v in self.moving.items()}
        node = getattr(sym, op.name)(*variables, name="rule", **fixed, **started, **out)
        self.executor = node.bind(args=arrays, aux_states=arrays, engine="reference")

    def _normal(self, name: str, step: int) -> npt.NDArray[np.float64]:
        return np.random.default_rng([self.seed, step, zlib.crc32(name.encode())]).standard_normal(SHAPE)

    def forward(self, step: int) -> npt.NDArray[Any]:
        if self.moving:
            self.executor.set_attr("rule", **{n: v(step) for n, v in self.moving.items()})
        given = {n: self._normal(name, step) for n, name in self.fresh.items()}
        result: npt.NDArray[Any] = self.executor.forward(**given)[0]
        return result.copy()
