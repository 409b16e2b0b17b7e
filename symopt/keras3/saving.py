"""Optimizers as plain data: classes by name, `serialize`, `deserialize`, `get`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AttributeValueError
from ..keras.schedules import LearningRateSchedule
from ..keras.serialize import from_description, to_description
from . import schedules

MODULE = "keras.optimizers"

registry: dict[str, type] = {}  # by name, filled where classes are defined: the first of a name stays


def register(cls: type) -> None:
    """Make a class known by its name, unless another has it."""
    if not cls.__name__.startswith("_"):
        registry.setdefault(cls.__name__, cls)


def serialize(optimizer: Any) -> dict[str, Any]:
    """An optimizer as plain data, without its state: `{module, class_name, config, registered_name}`.

    >>> from symopt.keras3.optimizers import SGD
    >>> serialize(SGD(0.5, name="mine"))["config"]["learning_rate"]
    0.5
    """
    own = {name: cls for name, cls in registry.items() if cls.__module__.startswith("symopt.")}
    return to_description(optimizer, own, MODULE)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that `serialize` described, without state. Classes are found by name, in any case;
    `custom_objects` has more of them. ValueError for one that is not known. `config` is not changed."""
    if not isinstance(config, Mapping) or "class_name" not in config:
        raise AttributeValueError(f"an optimizer is described by class_name and config, got {config!r}")
    try:
        cls = _class_of(str(config["class_name"]), custom_objects)
    except AttributeValueError:
        return from_description(config, registry, custom_objects, "optimizer")
    return cls.from_config(dict(config.get("config") or {}), custom_objects)


def _class_of(name: str, custom_objects: Mapping[str, Any] | None) -> Any:
    from ..keras.serialize import find_class

    return find_class(name, registry, custom_objects, "optimizer")


def get(identifier: Any) -> Any:
    """An optimizer from its name, a description, or itself; None gives None. ValueError for anything else.

    >>> from symopt.keras3 import optimizers
    >>> optimizers.get("lamb").get_config()["beta_1"]
    0.9
    """
    from .optimizer import Optimizer

    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier})
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise AttributeValueError(f"Could not interpret optimizer identifier: {identifier!r}")


def learning_rate_config(rate: Any) -> Any:
    """A learning rate as plain data: a number, or a schedule's description."""
    if isinstance(rate, LearningRateSchedule):
        return schedules.serialize(rate)
    if callable(rate):
        raise AttributeValueError(
            f"learning_rate = {rate!r} is a function, which can't be written as data: make it a LearningRateSchedule"
        )
    return float(rate)


def learning_rate_of(config: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    """The learning rate that `learning_rate_config` described."""
    return schedules.deserialize(config, custom_objects) if isinstance(config, Mapping) else config
