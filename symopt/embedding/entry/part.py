"""Parts of a segment: plain data that is checked when it is made, and goes into dicts and comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from ...errors import FormatError, RuleError, UnknownArgumentError, near
from .arguments import Spec

IGNORED = "dim_size"  # in a part; the segment's overwrites it


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a segment. Two are equal if their dicts are. `kind`: the field of the proto's oneof."""

    kind: ClassVar[str] = ""
    _classes: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls) -> None:
        if Part in cls.__bases__:
            cls._classes = {}
        elif cls.kind:
            cls._classes.setdefault(cls.kind, cls)

    def __post_init__(self) -> None:
        family = type(self)
        if Part in family.__bases__:
            raise RuleError(
                f"{family.__name__} says nothing by itself: take one of {', '.join(self._classes)}"
            )
        for name, spec in specs_of(type(self)).items():
            object.__setattr__(self, name, spec.parse(getattr(self, name), f"{type(self).__name__}: {name}"))
        self._check()

    def _check(self) -> None:
        """Raise if arguments, good each by itself, contradict each other."""

    def __eq__(self, other: object) -> bool:
        return self.as_dict() == other.as_dict() if isinstance(other, Part) else NotImplemented

    def __hash__(self) -> int:
        return hash(as_text(self.as_dict()))

    def said(self) -> dict[str, Any]:
        """The arguments by name, without those of symopt's own that are at their defaults."""
        values = [(name, spec, getattr(self, name)) for name, spec in specs_of(type(self)).items()]
        return {name: value for name, spec, value in values if spec.proto != "" or value != spec.unset}

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        specs = specs_of(type(self))
        return {self.kind: {specs[name].proto or name: value for name, value in self.said().items()}}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The part that a dict describes; what is left out has the proto's default.

        A dict made by protobuf's `MessageToDict(..., preserving_proto_field_name=True)` will do. FormatError or
        UnknownArgumentError for what is none, AttributeValueError for values that are not allowed.
        """
        kind, given = the_one(description, cls._classes, cls.__name__)
        made = cls._classes[kind]
        specs = specs_of(made)
        names = {spec.proto or name: name for name, spec in specs.items()}
        known_only(given, [*names, IGNORED], f"{cls.__name__} {kind!r}")
        result: Self = made(**{name: _from_json(given.get(key), specs[name]) for key, name in names.items()})
        return result


def specs_of(cls: type[Any]) -> dict[str, Spec]:
    """What there is to know of each argument of a class, by name."""
    return {f.name: f.metadata["spec"] for f in fields(cls) if "spec" in f.metadata}


def _from_json(value: Any, spec: Spec) -> Any:
    """Protobuf writes 64-bit integers as strings."""
    return int(value) if spec.kind == "whole" and isinstance(value, str) and value.isdecimal() else value


def the_one(description: Any, known: Mapping[str, Any], what: str) -> tuple[str, Mapping[str, Any]]:
    """The only entry of a dict, whose name must be known and whose value a dict: FormatError otherwise."""
    names = list(description) if isinstance(description, Mapping) else []
    if len(names) != 1 or names[0] not in known or not isinstance(description[names[0]], Mapping):
        options = ", ".join(known)
        raise FormatError(
            f"{what}: expected {{kind: {{...}}}} with one kind of {options}; got {description!r}"
        )
    return names[0], description[names[0]]


def known_only(given: Mapping[str, Any], known: list[str], what: str) -> None:
    """UnknownArgumentError for the first name that is not known."""
    for name in given:
        if name not in known:
            raise UnknownArgumentError(
                f"{what} has no {name!r}{near(str(name), known)}; it has {', '.join(known)}"
            )


def as_text(description: Mapping[str, Any]) -> str:
    """A dict as one line of JSON, the same for equal dicts."""
    return json.dumps(description, sort_keys=True)
