"""JSON as its standard has it, and nothing else: no key twice, no NaN, no number that overflows a double."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from .refusal import Refuse

_DIGITS = 20


def parse(text: bytes, refuse: Refuse) -> Any:
    """What a text says. `refuse` raises the error for a text that is no such JSON."""
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError) as error:
        refuse(f"it is not the JSON that it should be: {str(error)[:100]}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("an integer is too large")
    return int(text)
