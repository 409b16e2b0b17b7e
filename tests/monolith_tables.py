"""Tables as Monolith's test vectors configure them, and what their operations do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symopt.embedding import Admission, Expiry, Segment, Table

Array = np.ndarray[Any, np.dtype[Any]]
ATTRIBUTES = {
    "weight_decay_factor": "wd", "averaging_ratio": "rho", "use_nesterov": "nesterov",
    "l1_regularization_strength": "l1", "l2_regularization_strength": "l2",
    "decouple_weight_decay": "decoupled_weight_decay",
}  # fmt: skip
# The state that an initial accumulator value is for.
ACCUMULATORS = {
    "adagrad": "history", "dynamic_wd_adagrad": "history", "group_adagrad": "history", "ftrl": "n", "group_ftrl": "n",
}  # fmt: skip
DEFAULTS = {
    "adagrad": 0.1, "dynamic_wd_adagrad": 0.1, "group_adagrad": 0.1, "ftrl": 0.1, "group_ftrl": 0.0,
}  # fmt: skip


def segment(
    dim: int, first: float, optimizer: str, config: Mapping[str, Any], dtype: str, **more: Any
) -> Segment:
    """A segment whose rule is one of Monolith's."""
    names = {**ATTRIBUTES, "momentum": "rho"} if "rmsprop" in optimizer else ATTRIBUTES
    own = {k: v for k, v in config.items() if k not in ("learning_rate", "initial_accumulator_value")}
    attrs = {names.get(k, k): v for k, v in own.items()}
    initial = {}
    if optimizer in ACCUMULATORS:
        value = config.get("initial_accumulator_value", DEFAULTS[optimizer])
        initial[ACCUMULATORS[optimizer]] = value
    rate = None if optimizer == "moving_average" else config.get("learning_rate", 0.01)
    return Segment(
        dim,
        f"monolith_{optimizer}",
        learning_rate=rate,
        initializer=first,
        initial=initial,
        dtype=dtype,
        **attrs,
        **more,
    )


def table(case: Mapping[str, Any], segments: Sequence[Segment], engine: str) -> Table:
    """A table of a case: its filter and expiry too."""
    slots = {int(k): v for k, v in case.get("filter", {}).get("per_slot", {}).items()}
    has_filter = bool(case.get("filter"))
    days = {int(k): v for k, v in case.get("slot_expire", {}).items()}
    return Table(
        segments,
        duplicates="sequential",
        admission=Admission(case["filter"].get("default", 0), slots) if has_filter else None,
        expiry=Expiry(case.get("expire_days", 36500), days),
        engine=engine,
    )


def rate(given: Any) -> float:
    """A learning rate of a fact: a number, or a polynomial decay at a step."""
    if not isinstance(given, dict):
        return float(given)
    first, steps, end = given["polynomial"]
    done = min(given["at"], steps)
    return float((first - end) * (1 - done / steps) + end)


class Sharded:
    """Tables by owner: id modulo their number, as Monolith shares ids out; gradients of an id are summed first."""

    def __init__(self, make: Callable[[], Table], n_shards: int) -> None:
        self.tables = [make() for _ in range(n_shards)]

    def each(self, ids: Any) -> list[tuple[Table, Array]]:
        """Every table with the positions of its ids."""
        owner = np.mod(np.asarray(ids, np.int64), len(self.tables))
        return [(t, np.flatnonzero(owner == k)) for k, t in enumerate(self.tables)]

    def lookup(self, ids: Any) -> Array:
        found = np.zeros((len(ids), self.tables[0].dim))
        for t, at in self.each(ids):
            found[at] = t.lookup(np.asarray(ids)[at])
        return found

    def contains(self, ids: Any) -> Array:
        found = np.zeros(len(ids), bool)
        for t, at in self.each(ids):
            found[at] = t.contains(np.asarray(ids)[at])
        return found

    def write(self, method: str, ids: Any, values: Any, **more: Any) -> None:
        """Call a method with ids and rows on every table."""
        for t, at in self.each(ids):
            getattr(t, method)(np.asarray(ids)[at], np.asarray(values, t.dtype)[at], **more)

    def evict(self, now: int) -> None:
        for t in self.tables:
            t.expire(now)

    def save_and_restore(self) -> None:
        """As Monolith: rows whose time is over are not saved."""
        self.tables = [copy.deepcopy(t) for t in self.tables]
        for t in self.tables:
            t.expire()
