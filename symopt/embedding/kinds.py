"""Plain data that names what is meant: to and from dicts that a file can hold, and from objects of other libraries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..errors import AttributeValueError, near

T = TypeVar("T")
ALSO = "also"  # in a field's metadata: what other libraries call it


def config_of(x: Any) -> dict[str, Any]:
    """The kind of a dataclass of ours and its fields, as a dict of strings, numbers and booleans."""
    return {"kind": x.kind, **dataclasses.asdict(x)}


def from_config(classes: Iterable[type[T]], config: Mapping[str, Any], what: str) -> T:
    """The object whose `config_of` this is. `what` is for errors, such as "compressor"."""
    made = _by_kind(classes, config.get("kind"), what)
    fields = {name: value for name, value in config.items() if name != "kind"}
    known = {field.name for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    if unknown := sorted(set(fields) - known):
        raise AttributeValueError(f"{what} {config['kind']!r} has no field {unknown[0]!r}")
    return made(**fields)


def recognised(classes: Iterable[type[T]], x: Any, suffix: str) -> T | None:
    """Ours for an object of a class that is called like one of ours, with `suffix` after it: Zeros for a
    ZerosInitializer. Its attributes with our fields' names are taken; one that is missing or None is our default."""
    classes = tuple(classes)
    name = type(x).__name__.removesuffix(suffix)
    made = next((cls for cls in classes if cls.__name__ == name), None)
    if made is None:
        return None
    found: dict[str, Any] = {}
    for field in dataclasses.fields(made):  # type: ignore[arg-type]
        value = getattr(x, field.name, None)
        value = getattr(x, field.metadata.get(ALSO, field.name), None) if value is None else value
        if value is not None:
            found[field.name] = value
    return made(**found)


def finite(what: str, **numbers: Any) -> None:
    """AttributeValueError for what is no finite number, by its name."""
    for name, number in numbers.items():
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not (is_number or hasattr(number, "__float__")) or not math.isfinite(number):
            raise AttributeValueError(f"{what}: {name} must be a finite number, got {number!r}")


def positive(what: str, **numbers: Any) -> None:
    """AttributeValueError for what is no finite number above 0, by its name."""
    finite(what, **numbers)
    for name, number in numbers.items():
        if number <= 0:
            raise AttributeValueError(f"{what}: {name} must be above 0, got {number!r}")


def _by_kind(classes: Iterable[type[T]], kind: Any, what: str) -> type[T]:
    known: dict[str, type[T]] = {cls.kind: cls for cls in classes}  # type: ignore[attr-defined]
    if kind not in known:
        hint = near(str(kind), known)
        raise AttributeValueError(f"no {what} is called {kind!r}: there are {', '.join(known)}{hint}")
    return known[kind]
