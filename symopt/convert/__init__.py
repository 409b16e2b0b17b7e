"""State of other systems' optimizers, to and from the state of a step of `so.compile`."""

from .fromtorch import from_torch
from .keras import from_keras_weights, to_keras_weights
from .totorch import to_torch

__all__ = ["from_keras_weights", "from_torch", "to_keras_weights", "to_torch"]
