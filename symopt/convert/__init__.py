"""State of other systems, to and from here."""

from .fromtorch import from_torch
from .totorch import to_torch

__all__ = ["from_torch", "to_torch"]
