"""Learning rates that fall like a cosine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..decays import CLOSE, whole
from ..errors import AttributeValueError
from .numbers import plain_number, positive
from .schedule import Decay


class CosineDecay(Decay):
    """Half a cosine from `initial` down to alpha * initial, over decay_steps [Loshchilov & Hutter 2016].

    With `warmup_target` the rate first goes linearly from `initial` to the target in warmup_steps, then the cosine
    from the target to alpha times the target.

    >>> CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=4)([0, 2, 4, 9, 14])
    array([0. , 0.5, 1. , 0.5, 0. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        steps = plain_number(warmup_steps, "warmup_steps")
        if steps < 0:
            raise AttributeValueError(f"warmup_steps must be 0 or above, got {steps!r}")
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            decay_steps=positive(decay_steps, "decay_steps"),
            alpha=plain_number(alpha, "alpha"),
            name=name,
            warmup_target=None if warmup_target is None else plain_number(warmup_target, "warmup_target"),
            warmup_steps=steps,
        )

    def _rates(self, step: Any) -> Any:
        first, target = self._config["initial_learning_rate"], self._config["warmup_target"]
        steps = 0 if target is None else self._config["warmup_steps"]
        top = first if target is None else target
        done = np.clip((step - steps) / self._config["decay_steps"], 0, 1)
        decayed = top * _cosine(done, self._config["alpha"])
        return np.where(step < steps, first + (top - first) * step / max(steps, 1e-300), decayed)


class CosineDecayRestarts(Decay):
    """CosineDecay that starts anew, each time over `t_mul` times the steps and from `m_mul` times the rate.

    A restart is at exactly the step that its period begins with. With t_mul < 1 periods end at
    first_decay_steps / (1 - t_mul); from there on the rate is alpha * initial.

    >>> CosineDecayRestarts(1.0, first_decay_steps=10, t_mul=1.1)([0, 5, 10, 21])
    array([1. , 0.5, 1. , 1. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            first_decay_steps=positive(first_decay_steps, "first_decay_steps"),
            t_mul=positive(t_mul, "t_mul"),
            m_mul=plain_number(m_mul, "m_mul"),
            alpha=plain_number(alpha, "alpha"),
            name=name,
        )

    def _rates(self, step: Any) -> Any:
        alpha, ratio = self._config["alpha"], float(self._config["t_mul"])
        done = step / self._config["first_decay_steps"]
        restarts, done, is_over = _restarts(done, ratio)
        height = np.where(is_over, 0.0, np.power(float(self._config["m_mul"]), restarts))
        cosine = 0.5 * height * (1 + np.cos(np.pi * done))
        return self._config["initial_learning_rate"] * ((1 - alpha) * cosine + alpha)


def _cosine(done: Any, alpha: float) -> Any:
    return (1 - alpha) * 0.5 * (1 + np.cos(np.pi * done)) + alpha


def _restarts(done: Any, ratio: float) -> tuple[Any, Any, Any]:
    """How many periods are over after `done` first periods, how much of the present one, and if none is left."""
    if ratio == 1:
        restarts = np.floor(whole(done))
        return restarts, np.maximum(done - restarts, 0), np.zeros_like(done, bool)
    left = 1 - done * (1 - ratio)  # ratio ** the number of periods
    is_over = left <= CLOSE
    restarts = np.floor(whole(np.log(np.where(is_over, 1, left)) / np.log(ratio)))
    begun = (1 - ratio**restarts) / (1 - ratio)
    return restarts, np.clip((done - begun) / ratio**restarts, 0, 1), is_over
