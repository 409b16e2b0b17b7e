"""The formulas, by family. Importing this package registers them all."""

if __name__ != "symopt.ops":
    raise ImportError("these are the definitions of symopt.ops: import symopt, not ops")

from . import (
    adafactor,
    adagrad,
    adam,
    adamw,
    arithmetic,
    elementwise,
    ftrl,
    lamb,
    muon,
    reductions,
    rmsprop,
    sgd,
    signs,
)

__all__ = [
    "adafactor", "adagrad", "adam", "adamw", "arithmetic", "elementwise", "ftrl", "lamb", "muon", "reductions",
    "rmsprop", "sgd", "signs",
]
