"""MXNet 2's optimizer classes: `update` changes weights in place, all of a call in one compiled step.

>>> import numpy as np
>>> import symopt as so
>>> adam = so.optimizer.Adam(learning_rate=0.1)
>>> weights, grads = [np.ones((2, 2)), np.ones(3)], [np.ones((2, 2)), np.ones(3)]
>>> states = [adam.create_state(i, w) for i, w in enumerate(weights)]
>>> adam.update([0, 1], weights, grads, states)
>>> weights[1].round(3)
array([0.9, 0.9, 0.9])
"""

from . import contrib
from .adagrad import AdaDelta, AdaGrad, Ftrl, GroupAdaGrad, RMSProp
from .adam import FTML, AdaBelief, Adam, Adamax, AdamW, Nadam
from .lamb import LAMB, LANS
from .optimizer import Optimizer
from .registry import create, register
from .sgd import DCASGD, LARS, NAG, SGD, SGLD, Signum, Test
from .updater import Updater, get_updater

create_optimizer = create

__all__ = [
    "DCASGD", "FTML", "LAMB", "LANS", "LARS", "NAG", "SGD", "SGLD", "AdaBelief", "AdaDelta", "AdaGrad", "Adam", "AdamW",
    "Adamax", "Ftrl", "GroupAdaGrad", "Nadam", "Optimizer", "RMSProp", "Signum", "Test", "Updater",
    "contrib", "create",
    "create_optimizer", "get_updater", "register",
]  # fmt: skip
