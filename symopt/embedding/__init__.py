"""Embedding tables: rows for any int64 id, updated by any rule.

>>> import numpy as np
>>> table = Table(Segment(8, "adagrad", learning_rate=0.1, initializer=RandomUniform(-0.05, 0.05)))
>>> table.apply_gradients([12, -7], np.ones((2, 8))).born
2
"""

from .admission import Admission
from .compressors import FixedR8, Fp16, Fp32, OneBit
from .delta import Delta, load_delta
from .eviction import Policy
from .expiry import Expiry
from .initializers import BatchSoftmax, Constants, Ones, RandomNormal, RandomUniform, TruncatedNormal, Zeros
from .results import Applied, Entries, Stats
from .segment import Segment
from .table import Table

__all__ = [
    "Admission", "Applied", "BatchSoftmax", "Constants", "Delta", "Entries", "Expiry", "FixedR8", "Fp16", "Fp32", "OneBit",
    "Ones", "Policy", "RandomNormal", "RandomUniform", "Segment", "Stats", "Table", "TruncatedNormal", "Zeros",
    "load_delta",
]  # fmt: skip
