"""Keras's optimizer classes as they were up to TF 2.10: `so.keras.optimizers`, tf.keras.optimizers.

Each does what its class in tf.keras did, number by number, but for the differences that docs/migration/keras.md lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AttributeValueError, UnknownArgumentError
from . import schedules
from .classes import SGD, Adadelta, Adagrad, Adam, Adamax, Ftrl, Nadam, RMSprop
from .optimizer import Optimizer
from .rules import Rule
from .serialize import from_description, to_description

MODULE = "keras.optimizers.legacy"
CLASSES: dict[str, type] = {
    cls.__name__: cls for cls in (SGD, Adagrad, Adadelta, Adam, Adamax, Nadam, RMSprop, Ftrl)
}


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer as plain data: its class and its configuration, without its state.

    >>> serialize(SGD(0.5))["class_name"]
    'SGD'
    """
    return to_description(optimizer, CLASSES, MODULE)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    """The optimizer that `serialize` described; `custom_objects` has classes of one's own by name.

    ValueError for a class that is not known, TypeError for other keywords.
    """
    unknown = sorted(set(kwargs) - {"use_legacy_optimizer", "use_legacy_format"})
    if unknown:
        raise UnknownArgumentError(f"Invalid keyword arguments: {unknown}")
    return from_description(config, CLASSES, custom_objects, "optimizer")


def get(identifier: Any, **kwargs: Any) -> Any:
    """An optimizer: itself, by the name of its class in any case, or as `serialize` described it.

    ValueError for anything else, TypeError for other keywords.

    >>> get("adagrad").learning_rate
    0.001
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}}, **kwargs)
    if isinstance(identifier, Mapping):
        return deserialize(identifier, **kwargs)
    raise AttributeValueError(f"Could not interpret optimizer identifier: {identifier!r}")


__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "Optimizer", "RMSprop", "Rule", "deserialize",
    "get", "schedules", "serialize",
]  # fmt: skip
