"""symopt: optimizer update ops as symbols, bound to your arrays and run in place.

>>> import numpy as np, symopt as so
>>> from symopt import sym
>>> w, g = sym.var("w"), sym.var("g")
>>> step = sym.sgd_update(w, g, lr=0.5, out=w).bind(so.cpu(), args={"w": np.ones(3), "g": np.ones(3)})
>>> step.forward()[0]
array([0.5, 0.5, 0.5])
"""

from typing import TYPE_CHECKING, Any

from . import lang, sym
from . import sym as symbol
from ._load import load_ops
from .config import num_threads, set_num_threads
from .context import Context, cpu, gpu
from .errors import SymoptError
from .names import AttrScope, NameManager, Prefix
from .opdef import op, update_op
from .symbol import Symbol

if TYPE_CHECKING:
    from . import (
        checkpoint,
        convert,
        distributed,
        embedding,
        keras,
        keras3,
        lr_scheduler,
        model,
        mxnetfiles,
        nd,
        optimizer,
        rules,
        scale,
        sparse,
        torch,
        training,
    )
    from .checkpoint import load, save
    from .keras.variables import Variable
    from .training.compile import compile

ops = load_ops()

# What needs the engine, and is imported when it is first asked for: building and saving graphs does not.
MODULES = (
    "checkpoint",
    "convert",
    "distributed",
    "embedding",
    "keras",
    "keras3",
    "lr_scheduler",
    "model",
    "mxnetfiles",
    "nd",
    "optimizer",
    "rules",
    "scale",
    "sparse",
    "torch",
    "training",
)
NAMES = {
    "Variable": "keras.variables",
    "compile": "training.compile",
    "load": "checkpoint",
    "save": "checkpoint",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in MODULES:
        return import_module(f"symopt.{name}")
    if name in NAMES:
        return getattr(import_module(f"symopt.{NAMES[name]}"), name)
    raise AttributeError(f"module 'symopt' has no attribute {name!r}")


__version__ = "0.1.0"
__all__ = [
    "AttrScope",
    "Context",
    "NameManager",
    "Prefix",
    "Symbol",
    "SymoptError",
    "Variable",
    "checkpoint",
    "compile",
    "convert",
    "cpu",
    "distributed",
    "embedding",
    "gpu",
    "keras",
    "keras3",
    "lang",
    "load",
    "lr_scheduler",
    "model",
    "mxnetfiles",
    "nd",
    "num_threads",
    "op",
    "ops",
    "optimizer",
    "rules",
    "save",
    "scale",
    "set_num_threads",
    "sparse",
    "sym",
    "symbol",
    "torch",
    "training",
    "update_op",
]
