"""Memory that processes share: what is put is read, and freed room is used again."""

import gc
import os
import random
import subprocess
import sys
import threading
from types import FrameType
from typing import Any

import numpy as np
import pytest

import symopt.distributed.arena
from symopt.distributed.arena import LINE, Arena, Memory, Readers, Shared
from symopt.dtypes import to_numpy
from symopt.errors import StoreFullError

MEMORIES: list[Memory] = []


def arena_of(capacity: int) -> Arena:
    """An arena whose memory others find."""
    MEMORIES[:] = [Memory(capacity)]
    return Arena(MEMORIES[0].where)


def read(there: Shared) -> Any:
    return Readers().read(there)


def test_values_come_back_with_arrays_on_lines_that_cannot_be_written() -> None:
    arena = arena_of(1 << 20)
    value = {"a": np.arange(7), "b": [np.ones((3, 5), "float32"), "text"], "c": (np.zeros(0), None)}
    found = read(arena.put(value))
    assert found["b"][1] == "text" and found["c"][1] is None
    np.testing.assert_array_equal(found["a"], value["a"])
    np.testing.assert_array_equal(found["b"][0], np.ones((3, 5)))
    for array in (found["a"], found["b"][0]):
        assert array.ctypes.data % LINE == 0 and not array.flags.writeable


def test_large_arrays_are_in_no_message_whatever_they_are() -> None:
    arena, bits = arena_of(1 << 20), np.arange(6000).reshape(100, 60).astype(to_numpy("bfloat16"))
    every = [
        bits,
        bits.T,
        bits[:, ::2],
        np.arange(6000.0).reshape(100, 60)[::2, ::2],
        bits.astype("float16").T,
    ]
    there = arena.put({"twice": [*every, bits]})
    assert len(there.head) < 1000 and len(there.spans) == len(every)
    for found, array in zip(read(there)["twice"], [*every, bits], strict=True):
        assert found.dtype == array.dtype and found.shape == array.shape and not found.flags.writeable
        assert found.tobytes() == array.tobytes()


def test_what_was_put_is_a_copy() -> None:
    arena, array = arena_of(1 << 16), np.arange(10)
    there = arena.put(array)
    array[:] = 0
    np.testing.assert_array_equal(read(there), np.arange(10))


@pytest.mark.parametrize("seed", range(5))
def test_room_is_used_again_and_values_never_overlap(seed: int) -> None:
    arena, rng, readers = arena_of(1 << 16), random.Random(seed), Readers()
    kept: list[tuple[object, np.ndarray]] = []
    for number in range(2000):
        if kept and rng.random() < 0.5:
            there, _ = kept.pop(rng.randrange(len(kept)))
            arena.free(there.block)  # type: ignore[attr-defined]
            continue
        array = np.full(rng.randrange(1, 900), number)
        try:
            kept.append((arena.put(array), array))
        except StoreFullError:
            assert arena.used + array.nbytes > arena.capacity // 2
    for there, array in kept:
        np.testing.assert_array_equal(readers.read(there), array)  # type: ignore[arg-type]
    for there, _ in kept:
        arena.free(there.block)  # type: ignore[attr-defined]
    assert arena.used == 0 and arena._free == [(0, arena.capacity)]


def test_an_array_that_is_there_already_is_not_copied() -> None:
    arena = arena_of(1 << 16)
    rows = arena.empty((40, 3), np.float32)
    rows[...] = np.arange(120).reshape(40, 3)
    used, hits = arena.used, np.arange(40)
    there = arena.put((rows, hits, rows.T))
    assert arena.used == used and there.spans == ((there.block, rows.nbytes),) * 2
    found = read(there)
    np.testing.assert_array_equal(found[0], rows)
    np.testing.assert_array_equal(found[1], hits)
    np.testing.assert_array_equal(found[2], rows.T)
    rows[0, 0] = 7  # against the rule: it is the same memory
    assert found[0][0, 0] == 7
    del rows, found
    arena.put(1)
    assert arena.used == used + LINE  # it stays until it is freed
    arena.free(there.block)
    assert arena.used == LINE


def test_an_array_that_was_not_put_gives_its_room_back() -> None:
    arena = arena_of(1 << 12)
    for _ in range(100):
        array = arena.empty((200,), "float64")
        there = arena.put(array[1:])  # begins elsewhere: copied
        arena.free(there.block)
        del array
    arena.free(arena.put(1).block)
    assert arena.used == 0
    kept = [arena.empty((200,), "float64") for _ in range(4)]
    for number, array in enumerate(kept):  # those that have no room are NumPy's own
        array[:] = number
    assert [array[0] for array in kept] == [0, 1, 2, 3] and arena.used <= 1 << 12


def test_a_full_arena_is_an_error_that_says_how_full() -> None:
    arena = arena_of(1 << 12)
    arena.put(np.zeros(256))
    with pytest.raises(StoreFullError, match="of 4096 there are 2048 left"):
        arena.put(np.zeros(300))


def test_another_process_reads_it() -> None:
    arena = arena_of(1 << 12)
    there = arena.put(np.arange(5))
    code = f"from symopt.distributed.arena import *\nprint(Readers().read({there!r}).sum())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "10\n"


def test_what_is_freed_twice_is_an_error() -> None:
    arena = arena_of(1 << 12)
    there = arena.put(np.arange(5))
    arena.free(there.block)
    with pytest.raises(KeyError):
        arena.free(there.block)


def test_an_arena_of_a_process_that_is_gone_is_not_taken_for_another() -> None:
    arena = arena_of(1 << 12)
    there = arena.put(np.arange(5))
    other = there._replace(arena=there.arena._replace(name="symopt-other"))
    with pytest.raises(FileNotFoundError, match="is not symopt-other"):
        read(other)


class Owner:
    """Says when it goes."""

    def __init__(self, gone: list[str]) -> None:
        self.gone = gone

    def __del__(self) -> None:
        self.gone.append("gone")


def test_an_owner_stays_until_the_last_array_is_gone() -> None:
    arena, gone = arena_of(1 << 14), list[str]()
    there = arena.put((np.arange(5), np.zeros(0), np.ones((40, 3))))
    value = Readers().read(there, Owner(gone))
    first, last = value[0][1:3], value[2].T
    del value
    assert not gone and first.tolist() == [1, 2]
    del first
    assert not gone and last.sum() == 120
    del last
    assert gone == ["gone"]


def test_what_has_no_arrays_keeps_no_owner() -> None:
    arena, gone = arena_of(1 << 12), list[str]()
    found = Readers().read(arena.put(["text"]), Owner(gone))
    assert found == ["text"] and gone == ["gone"]


def test_memory_that_is_gone_is_not_found() -> None:
    arena = arena_of(1 << 12)
    there = arena.put(np.arange(3))
    MEMORIES.clear()
    with pytest.raises(FileNotFoundError):
        read(there)
    del arena


def test_an_array_of_any_size_leaves_lines_to_others() -> None:
    arena = arena_of(1 << 16)
    for size in (1, 63, 65, 1001):
        first, second = arena.empty((size,), "uint8"), arena.empty((10,), "float64")
        assert first.ctypes.data % LINE == second.ctypes.data % LINE == 0
        assert arena.put(np.arange(9.0)).block % LINE == 0


def test_a_collection_while_room_is_looked_for_may_free_values() -> None:
    """Such as one that an error holds with its frames, in a cycle."""
    arena, done = arena_of(1 << 16), list[bool]()

    class Held:
        def __init__(self) -> None:
            self.block, self.cycle = arena.put(np.zeros(100)).block, self

        def __del__(self) -> None:
            arena.free(self.block)

    def collect(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != symopt.distributed.arena.__file__:
            return None
        frame.f_trace_opcodes = True
        if arena._lock.locked():
            gc.collect(0)  # of the youngest, with what was made below: all would take too long
        return collect

    def work() -> None:
        Held()
        sys.settrace(collect)
        arena.put(np.ones(10))
        sys.settrace(None)
        done.append(True)

    gc.disable()
    try:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(20)
        assert done
    finally:
        gc.enable()
    arena.put(1)
    assert arena.used == 3 * LINE


def test_a_fork_that_lets_go_of_memory_empties_none() -> None:
    memory = Memory(1 << 20)
    there = Arena(memory.where).put(np.ones(1000))
    child = os.fork()
    if not child:
        del memory
        os._exit(0)
    os.waitpid(child, 0)
    assert read(there).sum() == 1000


def test_memory_that_nobody_holds_is_given_back_though_it_is_mapped() -> None:
    """Processes keep what they have opened, also of those that were lost long ago."""
    memory, readers = Memory(1 << 24), Readers()
    arena = Arena(memory.where)
    found = readers.read(arena.put(np.ones(1 << 20)))
    assert found.sum() == 1 << 20
    file = os.dup(memory._file)
    del found
    assert os.fstat(file).st_blocks * 512 >= 8 << 20
    del memory
    assert os.fstat(file).st_blocks == 0
    os.close(file)
