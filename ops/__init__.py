"""The formulas, by family. Importing this package registers them all."""

if __name__ != "symopt.ops":
    raise ImportError("these are the definitions of symopt.ops: import symopt, not ops")

from . import adagrad, adam, adamw, arithmetic, elementwise, ftrl, lamb, reductions, rmsprop, sgd, signs

__all__ = [
    "adagrad", "adam", "adamw", "arithmetic", "elementwise", "ftrl", "lamb", "reductions", "rmsprop", "sgd", "signs",
]
