"""The formulas, by family. Importing this package registers them all."""

if __name__ != "symopt.ops":
    raise ImportError("these are the definitions of symopt.ops: import symopt, not ops")

from . import (
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamw,
    arithmetic,
    averaging,
    codecs,
    elementwise,
    federated,
    ftrl,
    initializers,
    lamb,
    muon,
    nadam,
    reductions,
    rmsprop,
    sgd,
    signs,
)

__all__ = [
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "arithmetic", "averaging", "codecs",
    "elementwise", "federated", "ftrl", "initializers", "lamb", "muon", "nadam", "reductions", "rmsprop", "sgd",
    "signs",
]  # fmt: skip
