"""The numbers that a segment keeps beside its rows: of its decay, its code, and its rule."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..given import Given
from .accounts import Accounts


class Numbers(NamedTuple):
    """`log`: of what decay has made of weights; `scale`: of a soft code; `products`: of the rule over all steps."""

    log: float
    scale: float
    products: dict[str, float]

    @classmethod
    def of(cls, rows: Accounts, k: int) -> Numbers:
        """Those of segment `k`."""
        return cls(rows.logs[k], rows.scales[k], dict(rows.parts[k].hyper.products))

    def into(self, rows: Accounts, k: int) -> None:
        """Let segment `k` go on with these."""
        rows.logs[k], rows.scales[k] = self.log, self.scale
        rows.parts[k].hyper.products.update(self.products)


def numbers_state(rows: Accounts, k: int) -> dict[str, Any]:
    """Those of segment `k`, as they are saved."""
    return Numbers.of(rows, k)._asdict()


def read_numbers(given: Given, rows: Accounts, k: int) -> Numbers:
    """The numbers of a state for segment `k`; what is missing is as it is here, and noted."""
    own = Numbers.of(rows, k)
    given.names(own._asdict())
    log = read_log(given, own.log)
    running = given.part("products")
    products = {name: running.number(name, own.products[name]) for name in running.names(own.products)}
    return Numbers(log, given.number("scale", own.scale, above=0.0), products)


def read_log(given: Given, own: float) -> float:
    """The logarithm of what decay has made of weights; `own`, if it is missing, or, which is noted, none."""
    log = given.get("log", own)
    if isinstance(log, int | float | np.floating) and log <= 0:  # -inf: nothing is left of weights
        return float(log)
    given.found.different.append(
        f"{given.at('log')}: expected the logarithm of a part, the state has {log!r}"
    )
    return own
