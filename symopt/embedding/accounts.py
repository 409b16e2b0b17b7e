"""What a table knows beside its rows: its parts, and the numbers that all rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .commands import Update
from .onebit import OneBit
from .parts import Part, layout_of, log_of
from .segment import Segment

ALIGNMENT = 16


class Step(NamedTuple):
    """The numbers of a step, and what part decay takes of the weights of each segment in it. And what the accounts are
    after it: the logarithms and scales of segments, and the products of their rules."""

    numbers: dict[str, Any]
    taken: list[float]
    logs: list[float]
    scales: list[float]
    products: list[dict[str, float]]


class Accounts:
    """The numbers of a table's segments. They need no row: who is told of all steps has the same.

    `dim`: columns of a row; `dtype`: of them, and of what is computed. `steps`: updates so far. `logs`: for each
    segment the logarithm of what its decay has made of weights since the table was empty; `scales`: of soft codes.
    """

    def __init__(self, segments: Sequence[Segment], alignment: int = ALIGNMENT) -> None:
        starts = np.cumsum([0, *(s.dim for s in segments)]).tolist()
        self.parts = [Part(s, k, starts[k]) for k, s in enumerate(segments)]
        self.dim: int = starts[-1]
        self.dtype = np.dtype(segments[0].dtype)
        self.layout = layout_of(self.parts, alignment)
        self.steps = 0
        self.logs = [0.0] * len(self.parts)
        codes = [part.segment.compressor for part in self.parts]
        self.scales = [code.init_scale if isinstance(code, OneBit) else 1.0 for code in codes]
        self._soft = [k for k, code in enumerate(codes) if isinstance(code, OneBit)]

    def step(self, c: Update) -> Step:
        """What an update is made with, whose functions are asked; nothing is changed. AttributeValueError for decay
        that would leave nothing of rows that come later."""
        numbers: dict[str, Any] = {}
        products: list[dict[str, float]] = []
        for k, part in enumerate(self.parts):
            own = part.numbers(c.done, c.rates[k] if c.rates else None)
            products.append(part.hyper.products_after(own))
            numbers |= own
        taken = [part.shrinking(numbers) if part.decays else 0.0 for part in self.parts]
        logs = [
            log + log_of(lost) if part.is_global else log
            for part, log, lost in zip(self.parts, self.logs, taken, strict=True)
        ]
        scales = self.grown_scales(c.done)
        return Step(numbers | self.shown_scales(scales), taken, logs, scales, products)

    def finish(self, step: Step, done: int) -> None:
        """A step was made, `done` updates after the first."""
        self.steps, self.logs, self.scales = done + 1, step.logs, step.scales
        for part, product in zip(self.parts, step.products, strict=True):
            part.hyper.products = product

    def decay(self, logs: Sequence[float]) -> list[float]:
        """The logarithms after decay that happened elsewhere."""
        return [log + more for log, more in zip(self.logs, logs, strict=True)]

    def go_on(
        self, scales: Sequence[float], steps: int | None, products: Sequence[Mapping[str, float]]
    ) -> None:
        """Have the numbers of another table; steps and products only if there are steps."""
        self.scales = list(scales)
        if steps is not None:
            self.steps = steps
            for part, given in zip(self.parts, products, strict=True):
                part.hyper.products.update(given)

    def shown_scales(self, scales: Sequence[float]) -> dict[str, Any]:
        """The scales of soft codes, as graphs know them."""
        return {f"@scale:{self.parts[k].name}": scales[k] for k in self._soft}

    def grown_scales(self, done: int) -> list[float]:
        """The scales after one step more."""
        scales = list(self.scales)
        for k in self._soft:
            code: Any = self.parts[k].segment.compressor
            scales[k] = code.scale_after(scales[k], done)
        return scales
