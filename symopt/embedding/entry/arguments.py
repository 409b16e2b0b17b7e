"""Arguments of the classes: what type, what bounds, and the names they have in Monolith's proto files and in ops."""

from __future__ import annotations

import math
import sys
from dataclasses import field
from typing import Any, NamedTuple

from ...errors import AttributeValueError

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "unset"})()


class Spec(NamedTuple):
    """One argument. kind: number, whole or flag. `unset`: what None means, the default in the proto file.

    `proto`: its name there; "" for what only symopt has, which is left out of dicts at its default. `attr`: the op's
    attribute that it becomes; `state`: the op's state that begins with it.
    """

    kind: str
    unset: Any
    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"  # "(" and ")" where the bound itself is not allowed
    proto: str | None = None
    attr: str = ""
    state: str = ""

    def parse(self, value: Any, where: str) -> Any:
        """The value as Python's own type. AttributeValueError (a ValueError) if it is none, or out of bounds."""
        if value is None and self.unset is not UNSET:
            return self.unset
        parsed = _PARSERS[self.kind](value, where)
        is_low = parsed <= self.low if self.ends[0] == "(" else parsed < self.low
        is_high = parsed >= self.high if self.ends[1] == ")" else parsed > self.high
        if is_low or is_high:
            raise AttributeValueError(f"{where} = {value!r} must be {self._bounds()}")
        return parsed

    def _bounds(self) -> str:
        if self.high == math.inf:
            return f"above {self.low:g}" if self.ends[0] == "(" else f"{self.low:g} or above"
        return f"in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


def number(default: Any = UNSET, unset: Any = UNSET, **more: Any) -> Any:
    """A field that holds a finite real number. `unset`: what None means, if not the default."""
    return _field("number", default, unset, more)


def whole(default: Any = UNSET, **more: Any) -> Any:
    """A field that holds a whole number."""
    return _field("whole", default, UNSET, more)


def flag(default: bool, unset: Any = UNSET, **more: Any) -> Any:
    """A field that holds True or False."""
    return _field("flag", default, unset, more)


def _field(kind: str, default: Any, unset: Any, more: dict[str, Any]) -> Any:
    spec = Spec(kind, default if unset is UNSET else unset, **more)
    return (
        field(metadata={"spec": spec})
        if default is UNSET
        else field(default=default, metadata={"spec": spec})
    )


def positive(default: Any = UNSET, unset: Any = UNSET, **more: Any) -> Any:
    """A field that holds a number above 0."""
    return number(default, unset, low=0, ends="(]", **more)


def rate(unset: float) -> Any:
    """`learning_rate`: None is `unset`."""
    return number(None, unset, low=0)


def decay() -> Any:
    """`weight_decay_factor`."""
    return number(0.0, low=0, attr="wd")


def share(default: float, attr: str) -> Any:
    """How much of an average is kept, from 0 to 1."""
    return number(default, low=0, high=1, attr=attr)


def strength(attr: str) -> Any:
    """`l1_regularization` or `l2_regularization`."""
    return number(None, 0.0, low=0, attr=attr, proto=f"{attr}_regularization_strength")


def first(unset: float, state: str) -> Any:
    """`initial_accumulator_value`, which a state begins with."""
    return number(None, unset, low=0, state=state)


def published(attr: str = "published") -> Any:
    """`published`, which only symopt has."""
    return flag(False, proto="", attr=attr)


def _item(value: Any) -> Any:
    """A number of NumPy's as Python's; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "size", 0) == 1 else value


def _number(value: Any, where: str) -> float:
    item = _item(value)
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not abs(item) <= sys.float_info.max:
        raise AttributeValueError(f"{where} must be a finite number, got {value!r}")
    return float(item)


def _whole(value: Any, where: str) -> int:
    item = _item(value)
    if isinstance(item, bool) or not isinstance(item, (int, float)) or item != item or item % 1 != 0:
        raise AttributeValueError(f"{where} must be a whole number, got {value!r}")
    return int(item)


def _flag(value: Any, where: str) -> bool:
    item = _item(value)
    if not isinstance(item, bool):
        raise AttributeValueError(f"{where} must be True or False, got {value!r}")
    return item


_PARSERS = {"number": _number, "whole": _whole, "flag": _flag}
