"""The formulas, by family. Importing this package registers them all."""

if __name__ != "symopt.ops":
    raise ImportError("these are the definitions of symopt.ops: import symopt, not ops")

from . import (
    adadelta,
    adagrad,
    adam,
    arithmetic,
    averaging,
    codecs,
    elementwise,
    ftrl,
    reductions,
    rmsprop,
    sgd,
)

__all__ = [
    "adadelta", "adagrad", "adam", "arithmetic", "averaging", "codecs", "elementwise", "ftrl", "reductions",
    "rmsprop", "sgd",
]
