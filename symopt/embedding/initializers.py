"""What the weights of a new row begin with.

Each initializer is plain data; its `symbol` is the graph that makes the weights. Random numbers are made from a seed
and the index of each element, which a table makes of the row's id and the column: so a row begins with the same
weights whenever, wherever and after whichever other rows it is born.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from .. import sym
from ..arrays import Array
from ..errors import AttributeValueError, DTypeError, ShapeError
from ..symbol import Symbol
from .kinds import ALSO, finite, from_config, recognised

__all__ = [
    "BatchSoftmax", "Constants", "Custom", "Initializer", "Ones", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "Zeros", "as_initializer", "initializer_from_config",
]  # fmt: skip


@runtime_checkable
class Initializer(Protocol):
    """What a segment's `initializer` may be: an object that makes the graph of a new row's weights."""

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """The first weights, of the shape and dtype of `weight`, whose values are not read.

        `seed`: a number, or a variable of shape (); `stream`: such as the number of the segment, so that segments with
        one seed begin with numbers that have nothing to do with each other.
        """


@dataclass(frozen=True)
class Zeros:
    """Zeros."""

    kind: ClassVar[str] = "zeros"

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        return sym.zeros_like(weight, name=name)


@dataclass(frozen=True)
class Ones:
    """Ones."""

    kind: ClassVar[str] = "ones"

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        return sym.ones_like(weight, name=name)


@dataclass(frozen=True)
class Constants:
    """One number for every element."""

    value: float = field(metadata={ALSO: "constant"})
    kind: ClassVar[str] = "constants"

    def __post_init__(self) -> None:
        finite("Constants", value=self.value)

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        return sym.full_like(weight, fill_value=float(self.value), name=name)


@dataclass(frozen=True)
class RandomUniform:
    """Drawn evenly from [minval, maxval), one of 2**24 values; in 16-bit weights they are rounded, and may be maxval.

    >>> import numpy as np
    >>> from symopt import sym
    >>> graph = RandomUniform(0.0, 1.0).symbol(sym.var("w"), seed=7)
    >>> x = graph.bind(args={"w": np.empty((1000, 8), "float32")}).forward()[0]
    >>> bool((x >= 0).all() and (x < 1).all()), round(float(x.mean()), 1)
    (True, 0.5)
    """

    minval: float = -0.05
    maxval: float = 0.05
    kind: ClassVar[str] = "random_uniform"

    def __post_init__(self) -> None:
        finite("RandomUniform", minval=self.minval, maxval=self.maxval)
        if self.minval > self.maxval:
            raise AttributeValueError(
                f"RandomUniform: minval = {self.minval!r} must not be above maxval = {self.maxval!r}"
            )

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        bounds = {"low": float(self.minval), "high": float(self.maxval)}
        return sym.uniform_like(weight, seed=seed, stream=stream, **bounds, name=name)


@dataclass(frozen=True)
class RandomNormal:
    """Drawn from the normal distribution; none is further than 5.42 standard deviations from the mean."""

    mean: float = 0.0
    stddev: float = 0.05
    kind: ClassVar[str] = "random_normal"

    def __post_init__(self) -> None:
        _check_normal("RandomNormal", self.mean, self.stddev)

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        moments = {"mean": float(self.mean), "stddev": float(self.stddev)}
        return sym.normal_like(weight, seed=seed, stream=stream, **moments, name=name)


@dataclass(frozen=True)
class TruncatedNormal:
    """Drawn from what the normal distribution has within two standard deviations of the mean, as in Keras."""

    mean: float = 0.0
    stddev: float = 0.05
    kind: ClassVar[str] = "truncated_normal"

    def __post_init__(self) -> None:
        _check_normal("TruncatedNormal", self.mean, self.stddev)

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        moments = {"mean": float(self.mean), "stddev": float(self.stddev)}
        return sym.truncated_normal_like(weight, seed=seed, stream=stream, **moments, name=name)


@dataclass(frozen=True)
class BatchSoftmax:
    """The mean number of steps between two occurrences that an id is first taken to have, at least 1."""

    init_step_interval: float
    kind: ClassVar[str] = "batch_softmax"

    def __post_init__(self) -> None:
        finite("BatchSoftmax", init_step_interval=self.init_step_interval)
        if self.init_step_interval < 1:
            raise AttributeValueError(
                f"BatchSoftmax: init_step_interval must be at least 1 step, got {self.init_step_interval!r}"
            )

    def symbol(
        self, weight: Symbol, seed: Symbol | float, name: str | None = None, stream: int = 0
    ) -> Symbol:
        """See Initializer."""
        return sym.full_like(weight, fill_value=float(self.init_step_interval), name=name)


@dataclass(frozen=True)
class Custom:
    """A function of yours: of the ids of new rows (n,) int64 and the number of columns, the weights (n, columns).

    It is the only initializer that is no graph; a state with it names the kind alone, and the function must be given
    again. To begin alike everywhere it should look at the ids only.
    """

    function: Callable[[Array, int], Any]
    kind: ClassVar[str] = "custom"

    def rows(self, ids: Array, dim: int, dtype: str = "float32") -> Array:
        """(n, dim) weights for the ids. ShapeError or DTypeError for what is no such array."""
        found = np.asarray(self.function(ids, dim))
        if found.shape != (len(ids), dim):
            raise ShapeError(
                f"the initializer {self._name} gave an array of shape {found.shape} for {len(ids)} ids: expected "
                f"{(len(ids), dim)}"
            )
        if found.dtype.kind not in "fiub" and found.dtype.name != "bfloat16":
            raise DTypeError(f"the initializer {self._name} gave {found.dtype.name}: expected numbers")
        return found.astype(dtype)

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


CLASSES: tuple[type[Initializer], ...] = (
    Zeros, Ones, Constants, RandomUniform, RandomNormal, TruncatedNormal, BatchSoftmax,
)  # fmt: skip


def as_initializer(x: Any) -> Initializer | Custom:
    """The initializer that is meant: one of ours or with a `symbol` of its own, None (zeros), a number, a function of
    ids and dim, or an object of a class called ZerosInitializer, RandomUniformInitializer, ... with our fields.

    >>> as_initializer(0.5)
    Constants(value=0.5)
    """
    if x is None:
        return Zeros()
    if isinstance(x, (Initializer, Custom)) and not isinstance(x, type):
        return x
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        return Constants(float(x))
    known = recognised(CLASSES, x, "Initializer")
    if known is not None:
        return known
    if callable(x) and not isinstance(x, type):
        return Custom(x)
    names = ", ".join(cls.__name__ for cls in CLASSES)
    raise DTypeError(
        f"an initializer can't be {x!r}: give a number, a function of ids and dim, or one of {names}"
    )


def initializer_from_config(config: dict[str, Any]) -> Initializer:
    """The initializer whose `config_of` this is: its kind and fields."""
    return from_config(CLASSES, config, "initializer")


def _check_normal(what: str, mean: float, stddev: float) -> None:
    finite(what, mean=mean, stddev=stddev)
    if stddev < 0:
        raise AttributeValueError(f"{what}: stddev must not be negative, got {stddev!r}")
