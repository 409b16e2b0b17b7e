"""Why calls do not run as one kernel, and why a new value is not written over the old one.

The passes name these reasons where they decide; `view.explain` asks them, by running the passes once more with a log.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .ir import Call, Value

MAX_CALLS = 64  # larger kernels compile slowly and run out of registers


class Apart(Enum):
    """Why two calls are in different kernels. The value is a sentence about both."""

    SHAPES = "they run over different shapes"
    LISTED = "what updates only the rows of a row_sparse gradient is a kernel of its own"
    LIBRARY = "a call of a library on whole matrices is a kernel of its own"
    FULL = f"together they would be a kernel of more than {MAX_CALLS} calls"
    STARTS = "what reads a row_sparse gradient as a dense one starts a kernel of its own"
    SPARSE_SUM = "a reduction goes block by block, a kernel with a row_sparse gradient row by row"
    BLOCKS = "a reduction goes over blocks of elements, which cut across the rows that the other needs"
    REDUCTION = "a reduction must be complete before it is read: only the end of its kernel makes it so"
    PARTS = "a vector must be complete before it is read, and different calls make its elements"
    NUMBER = "the one makes a number, which the other reads as an array"
    LATER = "the later one needs something else that is made after the earlier one's kernel"
    BETWEEN = "something in between needs what the one makes, and makes what the other reads"
    # These two are no decision of a pass: nothing offered the two calls to each other.
    THROUGH = "the one reaches the other only through a third, which is apart"
    UNRELATED = "neither reads what the other makes, so nothing brought them into one pass over memory"


class Kept(Enum):
    """Why the new value of a variable is computed in a buffer of its own, and copied at the end of the step."""

    ELSEWHERE = "it is a value that no kernel makes, or an element of a vector"
    LIBRARY = "a call of a library never writes over what it reads"
    ROWS = "the rows that the gradient does not list come from another array"
    NEIGHBOURS = "its kernel also reads other elements of the old value than the one that it writes"
    READERS = "the old value is read by what can only run later"


class Misfit(NamedTuple):
    """Why a call does not fit a region; `culprit`: the call in question, if it is a certain one."""

    reason: Apart
    culprit: Call | None = None


class Refusal(NamedTuple):
    """Two groups of calls that were offered to each other, and stayed apart."""

    reason: Apart
    calls: tuple[Call, ...]
    others: tuple[Call, ...]
    culprit: Call | None = None


class Copied(NamedTuple):
    """A variable that is copied at the end; `readers`: the calls in question."""

    reason: Kept
    variable: str
    value: Value
    readers: tuple[Call, ...] = ()
