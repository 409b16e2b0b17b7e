"""What an answer of a process on this machine keeps, which may be kept for long itself: its own value."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from symopt.distributed.arena import Arena, Memory, Readers
from symopt.distributed.beside import Beside, Lent
from symopt.distributed.near import Listener
from symopt.distributed.transport import WRITES


class Read:
    """What a call reads."""


def beside() -> tuple[Beside, Arena]:
    """A process that answers arrays of different sizes, and its memory."""
    memory = Memory(1 << 24)
    arena = Arena(memory.where)

    def answer(method: str, returns: int, freed: Sequence[int], args: Sequence[Any]) -> list[Any]:
        for block in freed:
            arena.free(block)
        return [arena.put(np.full(1000 * 8**k, k, "float64")) for k in range(returns)]

    return Beside("worker 1", memory, Listener(answer).address, Readers()), arena


def test_an_answer_that_is_kept_keeps_no_other_and_nothing_that_was_read() -> None:
    process, arena = beside()
    replies = process.call("end", [], 3, WRITES)
    read = Read()
    gone = weakref.ref(read)
    for reply in replies:
        reply.args = (read,)
    del reply, read
    assert all(type(each.raw(10)) is Lent for each in replies)
    assert arena.used == 8000 * (1 + 8 + 64)
    kept = replies[1]
    del replies
    gc.collect()
    assert gone() is None
    process.call("end", [], 0, WRITES)
    process.call("end", [], 1, WRITES)[0].raw(10)
    assert arena.used == 8000 * (8 + 1)
    assert kept.is_done() and (process.read(kept, None) == 1).all()
    process.close()


def test_a_call_that_cannot_be_made_forgets_nothing_that_is_to_be_freed() -> None:
    process, arena = beside()
    process.call("end", [], 3, WRITES)[-1].raw(10)
    gc.collect()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        process.call("end", [lambda: None], 1, WRITES)
    process.call("end", [], 0, WRITES)
    process.call("end", [], 1, WRITES)[0].raw(10)
    assert arena.used == 8000
    process.close()


def test_an_array_that_is_read_keeps_the_memory_of_a_process_that_is_gone() -> None:
    process, _ = beside()
    found = process.read(process.call("end", [], 3, WRITES)[2], 10)
    process.close()
    del process, _
    gc.collect()
    assert (found == 2).all()
