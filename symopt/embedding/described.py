"""What a table is made of, as plain data: written beside its rows, and compared before rows are taken over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..given import Given
from ..training.hyper import describe
from .compressors import CLASSES as COMPRESSORS
from .initializers import CLASSES as INITIALIZERS
from .parts import Part

_MADE_OF = ("dim", "dtype")  # without these the same, weights mean something else
_RUN_BY = ("rule", "n_blocks", "clock", "decay")  # states
_ATTRIBUTES = ("weight_decay", "initializer", "compressor", "initial")


def described(part: Part) -> dict[str, Any]:
    """A segment: its rule with all attributes, schedules and functions by name; and the columns of its states."""
    segment = part.segment
    attributes = part.hyper.described()
    rate = attributes.pop("lr", None)
    return {
        "dim": segment.dim,
        "dtype": segment.dtype,
        "rule": segment.op.name,
        "n_blocks": segment.n_blocks,
        "clock": segment.clock,
        "decay": segment.decay,
        "learning_rate": rate,
        "attributes": attributes,
        "weight_decay": segment.weight_decay,
        "initial": {name: describe(x) if callable(x) else x for name, x in segment.initial.items()},
        "initializer": _said(segment.initializer, INITIALIZERS),
        "compressor": _said(segment.compressor, COMPRESSORS),
        "states": {name: [dtype, width] for name, dtype, width in part.state_columns()},
    }


def compare(part: Part, given: Given, states: bool = True, attributes: bool = True) -> None:
    """Note where a segment of a state differs: in what its weights are; if `states`, in its rule and what that keeps;
    if `attributes`, in the numbers that the rule goes by. Learning rates may always be others."""
    own = described(part)
    given.needs(*(name for name in own if states or name in _MADE_OF))
    for name in (*_MADE_OF, *(_RUN_BY if states else ()), *(_ATTRIBUTES if attributes and states else ())):
        given.same(name, own[name])
    if states:
        _same_items(given.part("states"), own["states"])
    if states and attributes:
        _same_items(given.part("attributes"), own["attributes"])


def _same_items(given: Given, own: dict[str, Any]) -> None:
    for name in given.names(own):
        given.same(name, own[name])


def _said(x: Any, known: Iterable[type]) -> str:
    """One of ours with its numbers, anything else by its kind: functions have no text that could be compared."""
    return repr(x) if isinstance(x, tuple(known)) else str(getattr(x, "kind", type(x).__name__))
