"""Optimizers around optimizers: random rounding of weights, and delay compensation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import AttributeValueError
from .arguments import number
from .learning_rates import LearningRate
from .optimizer import DELAYED, FLOAT16, Optimizer
from .part import known_only


@dataclass(frozen=True, eq=False)
class Wrapper(Optimizer):
    """An optimizer with the rule of another one, inside it."""

    optimizer: Optimizer

    def _check(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            raise AttributeValueError(
                f"{type(self).__name__}: optimizer must be one of symopt.embedding.entry's, got {self.optimizer!r}"
            )

    @property
    def rule(self) -> str:
        return self.optimizer.rule

    @property
    def attrs(self) -> dict[str, Any]:
        return self.optimizer.attrs

    @property
    def initial(self) -> dict[str, float]:
        return self.optimizer.initial

    @property
    def clock(self) -> str:
        return self.optimizer.clock

    @property
    def rounds_to_float16(self) -> bool:
        return self.optimizer.rounds_to_float16

    @property
    def delay_compensation(self) -> float:
        return self.optimizer.delay_compensation

    @property
    def learning_rate(self) -> float | None:
        """The inner optimizer's; None if its rule has none."""
        return getattr(self.optimizer, "learning_rate", None)

    def rate(self, given: LearningRate | None = None) -> LearningRate | None:
        return self.optimizer.rate(given)

    def blocks(self, dim: int) -> list[tuple[int, int]]:
        return self.optimizer.blocks(dim)

    def state_floats(self, dim: int) -> int:
        return self.optimizer.state_floats(dim)


@dataclass(frozen=True, eq=False)
class StochasticRoundingFloat16OptimizerWrapper(Wrapper):
    """After the inner rule each weight becomes one of the two values of float16 around it, at random.

    On average it stays what it was. Weights are still stored as float32. Only the segment's own columns are rounded, by
    random numbers that depend on the table's seed and the id.
    """

    @property
    def rounds_to_float16(self) -> bool:
        return True

    def as_dict(self) -> dict[str, Any]:
        """The inner optimizer's dict, and beside it that it rounds."""
        return {**self.optimizer.as_dict(), FLOAT16: True}


@dataclass(frozen=True, eq=False)
class DcOptimizer(Wrapper):
    """Delay compensation [Zheng et al. 2017]: the inner rule gets grad + lambda_ * grad^2 * (w - w_latest).

    w_latest are the weights that the gradient was computed at, which the caller gives along with it. Monolith has the
    decorator and its proto `dc`, but neither a class nor a way to configure it; its dict here is the inner optimizer's,
    with `dc` beside the rule.
    """

    lambda_: float = number(0.0, low=0)

    def _check(self) -> None:
        super()._check()
        if self.optimizer.delay_compensation:
            raise AttributeValueError(
                "DcOptimizer: the inner optimizer compensates delays already; give one lambda_"
            )

    @classmethod
    def around(cls, optimizer: Optimizer, description: Any) -> DcOptimizer:
        """What `dc` of a dict says, around an optimizer."""
        given = description if isinstance(description, Mapping) else {"": description}
        known_only(given, ["lambda_", "dim_size"], f"Optimizer {DELAYED!r}")
        return cls(optimizer, given.get("lambda_", 0.0))

    @property
    def delay_compensation(self) -> float:
        return self.lambda_

    def as_dict(self) -> dict[str, Any]:
        """The inner optimizer's dict, and beside its rule `dc`."""
        return {**self.optimizer.as_dict(), DELAYED: {"lambda_": self.lambda_}}
