"""Keras's optimizer classes as they were up to TF 2.10: `so.keras.optimizers`, `so.keras.schedules`."""

from . import optimizers, schedules

__all__ = ["optimizers", "schedules"]
