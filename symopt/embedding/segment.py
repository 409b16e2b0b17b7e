"""One segment of a table's rows: some columns with a rule, first values and a code of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..attrs import REQUIRED
from ..errors import AttributeValueError, RuleError
from ..opdef import OpDef
from ..training.hyper import Hyper, describe
from ..training.update import Initial, find_op
from .compressors import Compressor, as_compressor
from .initializers import Initializer, as_initializer

DECAYS = ("l2", "decoupled", "decoupled_global")
CLOCKS = ("row", "table")
DTYPES = ("float32", "float64")
Rate = float | Callable[[int], float] | None


@dataclass(frozen=True, init=False, eq=False)
class Segment:
    """`dim` columns of each row of a table, and the rule that updates them.

    rule: an update op, by name (with or without `_update`), formula or constructor; `attrs` are its attributes, numbers
        or functions of the step. Each row is a tensor of its own: a rule's sum over the tensor is one over these `dim`
        elements.
    initializer: what a row's weights begin with: one of `so.embedding.initializers`, or a number. 0 if not given.
    compressor: the code of weights in serving tables, and what lookups in training see of it
        (`so.embedding.compressors`).
    learning_rate: a number, or a function of the step; None: the rule's own default.
    weight_decay, decay: "l2" adds weight_decay * weight to the gradient; "decoupled" takes lr * weight_decay of the
        weight of rows that are updated; "decoupled_global" of all rows at every step, made up for when a row is next
        read or updated. It is the table's; a rule that has an attribute `wd`, as AdamW, may decay by that instead.
    clock: what the rule's step number counts: the updates of the "row", or those of the "table".
    initial: what states begin with, by name, where not as the rule says.
    n_blocks: the rule sees the columns as so many rows of equal width: what it keeps per row is per block then.
    rounds_to_float16: after each update the new weights become one of the two values of float16 around them, at random,
        such that they stay on average. They are still stored in `dtype`. Drawn from (seed, id, number of the update).
    dtype: of weights and of what is computed: float32 or float64.

    AttributeValueError, UnknownAttributeError, UnknownOpError or RuleError for what contradicts itself.

    >>> Segment(16, "adagrad", learning_rate=0.1, epsilon=1e-6)
    Segment(16, 'adagrad', learning_rate=0.1, epsilon=1e-06)
    """

    dim: int
    op: OpDef
    learning_rate: Rate
    attrs: Mapping[str, Any]
    initializer: Initializer
    compressor: Compressor
    weight_decay: float
    decay: str
    clock: str
    initial: Mapping[str, Initial]
    dtype: str
    n_blocks: int
    rounds_to_float16: bool
    _given: Mapping[str, Any] = field(repr=False)

    def __init__(
        self,
        dim: int,
        rule: str | Callable[..., Any] | OpDef,
        *,
        learning_rate: Rate = None,
        initializer: Any = None,
        compressor: Any = None,
        weight_decay: float = 0.0,
        decay: str = "l2",
        clock: str = "row",
        initial: Mapping[str, Initial] | None = None,
        dtype: str = "float32",
        n_blocks: int = 1,
        rounds_to_float16: bool = False,
        **attrs: Any,
    ) -> None:
        given = {"learning_rate": learning_rate, "initializer": initializer, "compressor": compressor}
        given |= {"weight_decay": weight_decay, "decay": decay, "clock": clock, "initial": initial}
        given |= {"dtype": dtype, "n_blocks": n_blocks, "rounds_to_float16": rounds_to_float16}
        if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or dim < 1:
            raise AttributeValueError(f"a segment: dim is a number of columns, at least 1, got {dim!r}")
        op = find_op(rule)
        _check_kinds(f"a segment with {op.name}", weight_decay, n_blocks, initial)
        fields = {
            "dim": int(dim),
            "op": op,
            "learning_rate": learning_rate,
            "attrs": dict(attrs),
            "initializer": as_initializer(initializer),
            "compressor": as_compressor(compressor),
            "weight_decay": float(weight_decay),
            "decay": decay,
            "clock": clock,
            "initial": dict(initial or {}),
            "dtype": dtype,
            "n_blocks": n_blocks,
            "rounds_to_float16": rounds_to_float16,
            "_given": {k: v for k, v in given.items() if v != _DEFAULTS[k]} | attrs,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        _check(self)

    def __repr__(self) -> str:
        rule = self.op.name.removesuffix("_update")
        given = "".join(
            f", {k}={describe(v) if callable(v) else repr(v)}"
            for k, v in self._given.items()
            if v is not None
        )
        return f"Segment({self.dim}, {rule!r}{given})"

    def hyper(self, number: int) -> Hyper:
        """The rule's attributes as numbers of segment `number`."""
        given = dict(self.attrs)
        if self.learning_rate is not None:
            given["lr"] = self.learning_rate
        elif "lr" in self.op.attrs and self.op.attrs["lr"].default is not REQUIRED:
            given.setdefault("lr", self.op.attrs["lr"].default)  # a number that calls may replace
        return Hyper(self.op, given, suffix=f":{number}")


_DEFAULTS: dict[str, Any] = {
    "learning_rate": None, "initializer": None, "compressor": None, "weight_decay": 0.0, "decay": "l2", "clock": "row",
    "initial": None, "dtype": "float32", "n_blocks": 1,
    "rounds_to_float16": False,
}  # fmt: skip


def _check_kinds(what: str, weight_decay: Any, n_blocks: Any, initial: Any) -> None:
    if isinstance(weight_decay, bool) or not isinstance(weight_decay, int | float | np.integer | np.floating):
        raise AttributeValueError(f"{what}: weight_decay is a number, got {weight_decay!r}")
    if isinstance(n_blocks, bool) or not isinstance(n_blocks, int):
        raise AttributeValueError(f"{what}: n_blocks is a whole number, got {n_blocks!r}")
    if initial is not None and not isinstance(initial, Mapping):
        raise AttributeValueError(f"{what}: initial is a dict by names of states, got {initial!r}")


def _check(segment: Segment) -> None:
    op, what = segment.op, f"a segment with {segment.op.name}"
    for name, value, known in (
        ("decay", segment.decay, DECAYS),
        ("clock", segment.clock, CLOCKS),
        ("dtype", segment.dtype, DTYPES),
    ):
        if value not in known:
            raise AttributeValueError(f"{what}: {name} is one of {', '.join(known)}, got {value!r}")
    if op.is_matrix:
        raise RuleError(f"{what}: its formula is on whole matrices, and a row of a table is a vector")
    more = [i.name for i in op.inputs[2:] if i.name not in op.states and i.kind != "scalar"]
    if more:
        raise RuleError(f"{what}: the rule also takes {more[0]!r}, an array that a table does not have")
    if not 0 <= segment.weight_decay < math.inf:
        raise AttributeValueError(
            f"{what}: weight_decay is at least 0 and finite, got {segment.weight_decay!r}"
        )
    _check_one_decay(segment, what)
    if segment.n_blocks < 1 or segment.dim % segment.n_blocks:
        raise AttributeValueError(f"{what}: {segment.n_blocks} blocks do not divide {segment.dim} columns")
    if not isinstance(segment.rounds_to_float16, bool):
        raise AttributeValueError(
            f"{what}: rounds_to_float16 is True or False, got {segment.rounds_to_float16!r}"
        )
    rate = segment.learning_rate
    if rate is not None and not callable(rate) and np.asarray(rate).dtype.kind not in "fiu":
        raise AttributeValueError(
            f"{what}: learning_rate is a number, or a function of the step, got {rate!r}"
        )
    if segment.learning_rate is not None and "lr" not in op.attrs:
        raise AttributeValueError(f"{what}: the rule has no learning rate, got {segment.learning_rate!r}")
    if "lr" in segment.attrs and segment.learning_rate is not None:
        raise AttributeValueError(f"{what}: learning_rate and lr are one number, give one of them")
    segment.hyper(0)  # says what is wrong with an attribute
    unknown = [name for name in segment.initial if name not in op.states]
    if unknown:
        raise AttributeValueError(
            f"{what}: initial= names {unknown[0]!r}; its states are {', '.join(op.states) or 'none'}"
        )


def _check_one_decay(segment: Segment, what: str) -> None:
    """Some rules decay weights themselves, AdamW's by default: the two decays would add up unseen."""
    if not segment.weight_decay or "wd" not in segment.op.attrs:
        return
    own = segment.attrs.get("wd", segment.op.attrs["wd"].default)
    if callable(own) or (own is not REQUIRED and own):
        said = describe(own) if callable(own) else own
        raise AttributeValueError(
            f"{what}: weight_decay={segment.weight_decay} of the table and wd={said} of the rule would both decay the "
            "weights: give one of them, and 0 for the other"
        )
