"""Embedding tables: rows for any int64 id, updated by any rule.

>>> import numpy as np
>>> vector = Segment(8, "adagrad", learning_rate=0.1, initializer=RandomUniform())
>>> table = Table(vector)
>>> table.apply_gradients([12, -7], np.ones((2, 8))).born
2
"""

from ..idmap import Unique, sum_by, unique
from . import entry
from .admission import Admission
from .bags import Bags
from .compressors import FixedR8, Fp16, Fp32, OneBit
from .delta import Delta, load_delta
from .eviction import Policy
from .expiry import Expiry
from .fused import Fused, Parcel
from .initializers import BatchSoftmax, Constants, Ones, RandomNormal, RandomUniform, TruncatedNormal, Zeros
from .ondisk import OnDisk
from .results import Applied, Entries, Stats
from .segment import Segment
from .serving import ServingTable, export_rows, load_serving
from .shards import Split, shard_of, split_by_shard
from .sizes import SizeReport
from .store import RowStore
from .table import Table
from .tables import Tables

__all__ = [
    "Admission",
    "Applied",
    "Bags",
    "BatchSoftmax",
    "Constants",
    "Delta",
    "Entries",
    "Expiry",
    "FixedR8",
    "Fp16",
    "Fp32",
    "Fused",
    "OnDisk",
    "OneBit",
    "Ones",
    "Parcel",
    "Policy",
    "RandomNormal",
    "RandomUniform",
    "RowStore",
    "Segment",
    "ServingTable",
    "SizeReport",
    "Split",
    "Stats",
    "Table",
    "Tables",
    "TruncatedNormal",
    "Unique",
    "Zeros",
    "entry",
    "export_rows",
    "load_delta",
    "load_serving",
    "shard_of",
    "split_by_shard",
    "sum_by",
    "unique",
]
