"""Objects as plain data, the way Keras writes them: a class's name and its configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import AttributeValueError, near


def to_description(thing: Any, known: Mapping[str, type], module: str) -> dict[str, Any]:
    """`{module, class_name, config, registered_name}`. `known`: classes that are Keras's own, of `module`."""
    cls = type(thing)
    is_known = known.get(cls.__name__) is cls
    return {
        "module": module if is_known else cls.__module__,
        "class_name": cls.__name__,
        "config": thing.get_config(),
        "registered_name": None if is_known else cls.__name__,
    }


def from_description(
    description: Mapping[str, Any],
    known: Mapping[str, type],
    custom_objects: Mapping[str, Any] | None,
    what: str,
) -> Any:
    """The object described. `custom_objects`: further classes by name, which come first. ValueError if none has it."""
    if not isinstance(description, Mapping) or "class_name" not in description:
        raise AttributeValueError(f"a {what} is described by class_name and config, got {description!r}")
    cls = find_class(str(description["class_name"]), known, custom_objects, what)
    config = dict(description.get("config") or {})
    if not hasattr(cls, "from_config"):
        return cls(**config)
    takes_custom = "custom_objects" in inspect.signature(cls.from_config).parameters
    return cls.from_config(config, **({"custom_objects": custom_objects} if takes_custom else {}))


def find_class(
    name: str, known: Mapping[str, type], custom_objects: Mapping[str, Any] | None, what: str
) -> Any:
    """A class by name, also as "Package>Name"; case counts for custom ones only."""
    custom = custom_objects or {}
    for key in (name, name.rpartition(">")[2]):
        if key in custom:
            return custom[key]
    lower = {key.lower(): cls for key, cls in known.items()}
    found = known.get(name) or lower.get(name.lower())
    if found is None:
        raise AttributeValueError(
            f"Unknown {what}: {name!r}{near(name, [*known, *custom])}. Known are {', '.join(sorted(known))}; "
            "give classes of your own in custom_objects={name: class}"
        )
    return found
