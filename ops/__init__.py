"""The formulas, by family. Importing this package registers them all."""

if __name__ != "symopt.ops":
    raise ImportError("these are the definitions of symopt.ops: import symopt, not ops")

from . import adagrad, adam, arithmetic, elementwise, ftrl, reductions, sgd

__all__ = ["adagrad", "adam", "arithmetic", "elementwise", "ftrl", "reductions", "sgd"]
