"""Optimizers as plain data, and from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .checks import CLIPS
from .schedules import deserialize

if TYPE_CHECKING:
    from .optimizer import Optimizer


def config_of(optimizer: Optimizer) -> dict[str, Any]:
    """The name, the clips that are on, hyperparameters and options."""
    config: dict[str, Any] = {"name": optimizer.name}
    for clip in CLIPS:
        if getattr(optimizer, clip) is not None:
            config[clip] = getattr(optimizer, clip)
    hypers = optimizer._hypers
    if optimizer._keras_class:
        first = ["learning_rate", *(["decay"] if optimizer._has_decay else [])]
        names = [*first, *(name for name in hypers if name not in ("learning_rate", "decay"))]
        config |= {name: hypers.described(name) for name in names}
        config |= {name: getattr(optimizer, name) for name in optimizer._option_names}
    return config


def instance_of(cls: Any, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """An optimizer of class `cls` from its configuration, which stays as it is."""
    arguments = {"learning_rate" if key == "lr" else key: value for key, value in config.items()}
    custom = custom_objects or {}
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "class_name" in value:
            arguments[key] = deserialize(value, custom)
        elif key != "name" and isinstance(value, str) and value in custom:
            arguments[key] = custom[value]
    return cls(**arguments)
