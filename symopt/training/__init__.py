"""A step for many parameters at once: what `so.compile` and the classes of MXNet, Keras and torch are made of."""

from .averages import swa, warmed_up
from .compile import compile
from .compiled import CompiledStep
from .scaling import LossScale

__all__ = ["CompiledStep", "LossScale", "compile", "swa", "warmed_up"]
