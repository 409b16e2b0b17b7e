"""Keras 3's optimizers: `so.keras3.optimizers`, keras.optimizers.

>>> import numpy as np, symopt as so
>>> kernel = so.Variable(np.ones((2, 2), "float32"), name="kernel")
>>> optimizer = so.keras3.optimizers.AdamW(0.1, clipnorm=1.0)
>>> optimizer.apply([np.full((2, 2), 0.5, "float32")], [kernel])
>>> kernel.numpy()[0].round(3)
array([0.9, 0.9], dtype=float32)
"""

from __future__ import annotations

from ..keras.rules import Rule
from . import schedules
from .loss_scale import LossScaleOptimizer
from .moments import Adam, Adamax, AdamW, Lamb, Lion, Muon, Nadam, ScheduleFreeAdamW
from .multi import MultiOptimizer, OptimizerMap
from .optimizer import Optimizer
from .saving import deserialize, get, serialize
from .squares import SGD, Adadelta, Adafactor, Adagrad, Ftrl, RMSprop

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "Rule",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
