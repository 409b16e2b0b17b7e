"""What a table takes on many machines, from formulas: hosts, memory, bytes on the wire, seconds.

>>> from symopt.embedding import Segment
>>> vector = Segment(64, "group_adagrad", learning_rate=0.1)
>>> found = plan(Job(10**12, vector, workers=64, unique=20_000))
>>> found.hosts, found.shards, found.row.record
(501, 501, 288)
"""

from .hosts import Hosts
from .job import Job
from .measured import RowSeconds, measure_rows
from .planning import plan
from .results import Checkpoint, Plan, Recovery, RowBytes, StepTime, Wire
from .skew import Skew, distinct, simulate_skew, skew_text
from .staleness import simulate_staleness, staleness_text

__all__ = [
    "Checkpoint",
    "Hosts",
    "Job",
    "Plan",
    "Recovery",
    "RowBytes",
    "RowSeconds",
    "Skew",
    "StepTime",
    "Wire",
    "distinct",
    "measure_rows",
    "plan",
    "simulate_skew",
    "simulate_staleness",
    "skew_text",
    "staleness_text",
]
