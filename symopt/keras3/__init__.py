"""Keras 3's optimizer classes: `so.keras3.optimizers`, `so.keras3.schedules`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["optimizers", "schedules"]


def __getattr__(name: str) -> Any:
    """Both modules, imported when they are first needed."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
