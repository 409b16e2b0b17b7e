"""The passes from a user's graph to a program, in the order they run."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Node
from ..infer import Types
from .ir import Program
from .lower import lower
from .partition import partition
from .plan import plan
from .schedule import schedule

PASSES = (lower, partition, schedule, plan)  # infer comes before, simplify inside plan: once for each kernel


def compile_graph(roots: Sequence[Node], types: Types) -> Program:
    """The program of a typed graph."""
    lowered = lower(roots, types)
    regions = partition(lowered)
    return plan(lowered, schedule(lowered, regions))
