"""Runs an optimizer class on arrays, for several tests."""

from typing import Any

import numpy as np

import symopt as so
from symopt.optimizer import Nadam, Optimizer

NAMES = [
    "SGD", "NAG", "Signum", "FTML", "LARS", "LAMB", "LANS", "Adam", "AdamW", "AdaBelief", "AdaGrad", "GroupAdaGrad",
    "RMSProp", "AdaDelta", "Ftrl", "Adamax", "Nadam", "DCASGD", "SGLD", "Test",
]  # fmt: skip


class MXNetNadam(Nadam):
    """Nadam with MXNet's one product for all parameters, which each of them multiplies once in every step."""

    parameters = 2

    def kind(self, index: Any, weight: Any, state: Any) -> Any:
        return index

    def m_schedule(self, t: int, kind: Any) -> float:
        before = [self.momentum(k) ** self.parameters for k in range(1, t)]
        return float(np.prod(before) * self.momentum(t) ** (kind + 1))


class Setup:
    """Weights, gradients that are drawn for each step, and states, of one optimizer."""

    def __init__(self, optimizer: Optimizer, shapes: Any = ((4, 3), (5, 2)), dtype: str = "float64") -> None:
        self.optimizer = optimizer
        self.rng = np.random.default_rng(len(type(optimizer).__name__))
        self.weights = [self.rng.standard_normal(s).astype(dtype) for s in shapes]
        self.indices = list(range(len(shapes)))
        self.states = [
            optimizer.create_state_multi_precision(i, w) for i, w in zip(self.indices, self.weights)
        ]

    def grads(self) -> list[Any]:
        return [self.rng.standard_normal(w.shape).astype(w.dtype) for w in self.weights]

    def step(self, grads: Any = None) -> None:
        grads = self.grads() if grads is None else grads
        self.optimizer.update_multi_precision(self.indices, self.weights, grads, self.states)


def make(name: str, engine: str = "auto", **kwargs: Any) -> Optimizer:
    optimizer = so.optimizer.create(name, **kwargs)
    optimizer.engine = engine
    if name.lower() == "sgld":
        optimizer.generator = np.random.default_rng(7)  # type: ignore[attr-defined]
    return optimizer
