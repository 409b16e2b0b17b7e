"""What Monolith's optimizers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import FormatError
from .learning_rates import LearningRate, PolynomialDecay
from .part import Part, specs_of

ROWWISE = "monolith_rowwise_adagrad"
FLOAT16, DELAYED = "stochastic_rounding_float16", "dc"  # what a dict says beside the rule


@dataclass(frozen=True, eq=False)
class Optimizer(Part):
    """How a segment is updated: a rule of symopt's, its attributes, and what its states begin with.

    >>> from symopt.embedding.entry import AdagradOptimizer
    >>> optimizer = AdagradOptimizer(weight_decay_factor=0.1)
    >>> optimizer.rule, optimizer.attrs["wd"], optimizer.initial, optimizer.state_floats(16)
    ('monolith_adagrad', 0.1, {'history': 0.1}, 16)
    """

    _rule: ClassVar[str] = ""
    _states: ClassVar[tuple[int, int]] = (0, 0)  # how many of the weight's width, and how many of one number

    @property
    def rule(self) -> str:
        """The op that updates a row, without `_update`."""
        return ROWWISE if self._times > 1 else self._rule

    @property
    def _times(self) -> int:
        """How many columns share an accumulator."""
        return getattr(self, "hessian_compression_times", 1)

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the op, without the learning rate."""
        specs = specs_of(type(self))
        return {specs[name].attr: value for name, value in self.said().items() if specs[name].attr}

    @property
    def initial(self) -> dict[str, float]:
        """What states of the op begin with, where the op does not say so itself."""
        return {spec.state: getattr(self, name) for name, spec in specs_of(type(self)).items() if spec.state}

    @property
    def clock(self) -> str:
        """What the rule's step number counts: "row", the row's own updates, or "table", the table's steps."""
        return "row"

    @property
    def rounds_to_float16(self) -> bool:
        """Whether weights are rounded at random to a value of float16 after each update."""
        return False

    @property
    def delay_compensation(self) -> float:
        """The strength of delay compensation; 0: none."""
        return 0.0

    def rate(self, given: LearningRate | None = None) -> LearningRate | None:
        """The learning rate, a number or a function of the step: the one given, else the optimizer's own.

        With `warmup_steps` the own one grows from 0 to `learning_rate` in so many steps. None for a rule that has no
        learning rate.
        """
        own = getattr(self, "learning_rate", None)
        if own is None or given is not None:
            return None if own is None else given
        steps = getattr(self, "warmup_steps", 0)
        return PolynomialDecay(0.0, steps, own) if steps > 0 else float(own)

    def blocks(self, dim: int) -> list[tuple[int, int]]:
        """How a row of `dim` columns is cut into rows for the rule: (how many, how wide), in order."""
        return blocks_of(dim, self._times) if self._times > 1 else [(1, dim)]

    def state_floats(self, dim: int) -> int:
        """Numbers of state, of 4 bytes each, that a row of `dim` columns has."""
        elements, rows = self._states
        return -(-dim // self._times) if self._times > 1 else elements * dim + rows

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Any:
        """The optimizer that a dict describes, with what it is wrapped in. Errors are those of every part."""
        from .wrappers import DcOptimizer, StochasticRoundingFloat16OptimizerWrapper

        if not isinstance(description, Mapping):
            raise FormatError(f"Optimizer: expected a dict, got {description!r}")
        inner = {k: v for k, v in description.items() if k not in (FLOAT16, DELAYED)}
        if not inner and DELAYED in description:
            raise FormatError(f"Optimizer: {DELAYED!r} has no rule of its own: name the optimizer beside it")
        made: Any = super().from_dict(inner)
        if DELAYED in description:
            made = DcOptimizer.around(made, description[DELAYED])
        rounds = description.get(FLOAT16, False)
        if not isinstance(rounds, bool):
            raise FormatError(f"Optimizer: {FLOAT16} must be true or false, got {rounds!r}")
        return StochasticRoundingFloat16OptimizerWrapper(made) if rounds else made


def blocks_of(dim: int, times: int) -> list[tuple[int, int]]:
    """`dim` columns in blocks of `times` neighbours, the last one shorter if need be: (how many, how wide).

    >>> blocks_of(10, 4), blocks_of(8, 4), blocks_of(3, 4)
    ([(2, 4), (1, 2)], [(2, 4)], [(1, 3)])
    """
    full, rest = divmod(dim, times)
    return [(full, times)] * (full > 0) + [(1, rest)] * (rest > 0)
