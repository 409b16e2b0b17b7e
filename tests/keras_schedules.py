"""Keras's learning rate schedules, in float64: the rate at a step, counted from 0, given the schedule's arguments."""

import math
from collections.abc import Callable, Sequence
from typing import Any


def _periods(step: int, length: float, staircase: bool) -> float:
    return math.floor(step / length) if staircase else step / length


def _cosine(done: float, alpha: float) -> float:
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * done)) + alpha


def exponential(
    step: int, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
) -> float:
    return initial_learning_rate * math.pow(decay_rate, _periods(step, decay_steps, staircase))


def inverse_time(
    step: int, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
) -> float:
    return initial_learning_rate / (1 + decay_rate * _periods(step, decay_steps, staircase))


def piecewise_constant(step: int, boundaries: Sequence[float], values: Sequence[float]) -> float:
    return values[sum(step > boundary for boundary in boundaries)]


def polynomial(
    step: int,
    initial_learning_rate: float,
    decay_steps: int,
    end_learning_rate: float = 1e-4,
    power: float = 1.0,
    cycle: bool = False,
) -> float:
    length = decay_steps * max(1, math.ceil(step / decay_steps)) if cycle else decay_steps
    left = 1 - min(step, length) / length
    return (initial_learning_rate - end_learning_rate) * math.pow(left, power) + end_learning_rate


def cosine(
    step: int,
    initial_learning_rate: float,
    decay_steps: int,
    alpha: float = 0.0,
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> float:
    if warmup_target is None:
        return initial_learning_rate * _cosine(min(step / decay_steps, 1), alpha)
    if step < warmup_steps:
        return initial_learning_rate + (warmup_target - initial_learning_rate) * step / warmup_steps
    return warmup_target * _cosine(min((step - warmup_steps) / decay_steps, 1), alpha)


def cosine_restarts(
    step: int,
    initial_learning_rate: float,
    first_decay_steps: int,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> float:
    start, length, restarts = 0.0, float(first_decay_steps), 0
    while step >= start + length:
        start, length, restarts = start + length, length * t_mul, restarts + 1
    cosine = 0.5 * m_mul**restarts * (1 + math.cos(math.pi * (step - start) / length))
    return initial_learning_rate * ((1 - alpha) * cosine + alpha)


SCHEDULES: dict[str, Callable[..., float]] = {
    "ExponentialDecay": exponential,
    "InverseTimeDecay": inverse_time,
    "PiecewiseConstantDecay": piecewise_constant,
    "PolynomialDecay": polynomial,
    "CosineDecay": cosine,
    "CosineDecayRestarts": cosine_restarts,
}


def rate(schedule: dict[str, Any], step: int) -> float:
    """The learning rate of a schedule, as Keras's configurations describe it, at a step."""
    return SCHEDULES[schedule["class_name"]](step, **schedule["config"])
