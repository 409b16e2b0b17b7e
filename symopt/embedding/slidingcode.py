"""Counting in a sliding filter as LLVM IR: one id after the other, since each may move what the next one finds.

It does what `sliding._seen_in_python` does, on the same arrays.
"""

from __future__ import annotations

from ..codegen.functions import Function, Value, Variable

PROBES = 16  # cells looked at in a split
AHEAD = 2  # splits from the head on that take ids; all others are only looked at
COUNT_BITS = 4  # of a cell's 16; the others are the signature
FULLEST = (1 << COUNT_BITS) - 1  # counts stop here
HEAD, TURNS, FAILURES, USED = range(
    4
)  # words: the head, how often it moved, ids without room, used cells by split

_CELLS = f"<{PROBES} x i16>"
_FETCHED = 8  # ids between the one that is counted and the one whose cells are fetched


def seen_function() -> Function:
    """Write how often ids were seen; with `writes`, which is 1 or 0, count them one after the other."""
    f = Function(
        "seen", cells="i16[]", numbers="i64[]", splits="i64", stride="i64", full="i64", starts="i64[]",
        signatures="i16[]", counts="i64[]", n="i64", olds="i64[]", writes="i64",
    )  # fmt: skip
    cells, numbers, splits, stride, full, starts, signatures, counts, n, olds, writes = f.parameters
    used = numbers.place(USED)
    with f.loop(n) as k:
        head, signature = numbers[HEAD], signatures[k]
        own = cells.place(starts[k])  # the id's first cell in split 0
        _fetch(f, cells.place(head * stride), starts, k, n)
        split, first = f.variable(head), f.variable(PROBES)
        with f.loop(AHEAD) as step:
            split.value = _wrapped(f, head + step, splits)
            first.value = _first_cell(f, own.place(split.value * stride), signature)
            with f.when(first.value < PROBES):
                f.leave()
        olds[k] = FULLEST
        with f.when(first.value.equals(PROBES)):
            numbers[FAILURES] = numbers[FAILURES] + writes
        with f.otherwise():
            cell = own.place(split.value * stride + first.value)
            held = cell[0]
            old = f.variable((held & FULLEST).to("i64"))
            with f.when(held.equals(0)):
                _look_back(f, own, numbers, splits, stride, signature, old)
            olds[k] = old.value
            with f.when(writes.differs(0)):
                total = old.value + counts[k]
                count = f.select(total < FULLEST, total, FULLEST)
                cell[0] = (signature << COUNT_BITS) | count.to("i16")
                with f.when(held.equals(0)):
                    used[split.value] = used[split.value] + 1
                    with f.when(used[head] >= full):
                        _turn(f, cells, numbers, splits, stride)
    return f


def _look_back(
    f: Function, own: Value, numbers: Value, splits: Value, stride: Value, signature: Value, old: Variable
) -> None:
    """Find the count in the youngest split behind the head that has the signature."""
    oldest = splits - AHEAD
    ages = f.select(numbers[TURNS] < oldest, numbers[TURNS], oldest)
    with f.loop(ages + 1, start=1) as age:
        split = _wrapped(f, numbers[HEAD] + splits - age, splits)
        window = own.place(split * stride)
        first = _first_cell(f, window, signature)
        with f.when(first < PROBES):
            held = window[first]
            with f.when(held.differs(0)):
                old.value = (held & FULLEST).to("i64")
                f.leave()


def _turn(f: Function, cells: Value, numbers: Value, splits: Value, stride: Value) -> None:
    """The next split is the head; the one behind it, the oldest, begins anew."""
    oldest = _wrapped(f, numbers[HEAD] + AHEAD, splits)
    numbers[HEAD] = _wrapped(f, numbers[HEAD] + 1, splits)
    numbers[TURNS] = numbers[TURNS] + 1
    numbers.place(USED)[oldest] = 0
    bytes_ = stride << 1
    f.intrinsic("llvm.memset.p0.i64", "void", cells.place(oldest * stride), "i8 0", bytes_, "i1 false")


def _first_cell(f: Function, window: Value, signature: Value) -> Value:
    """The number of the first cell that is empty or has the signature; PROBES if none of those looked at does."""
    found = f.load(_CELLS, window)
    shift = f.splat(f.value(COUNT_BITS, "i16"), PROBES)
    is_same = (found >> shift).equals(f.splat(signature, PROBES))
    is_empty = found.equals(f.splat(f.value(0, "i16"), PROBES))
    fits = (is_same | is_empty).bits_as(f"i{PROBES}").to("i64") | 1 << PROBES
    return f.intrinsic("llvm.cttz.i64", "i64", fits, "i1 true")


def _fetch(f: Function, head: Value, starts: Value, k: Value, n: Value) -> None:
    """Ask for the cells of an id that comes later."""
    later = f.select(k + _FETCHED < n, k + _FETCHED, n - 1)
    f.prefetch(head.place(starts[later]), write=True)


def _wrapped(f: Function, split: Value, splits: Value) -> Value:
    """The number of a split, from one that may be a round too high."""
    return f.select(split >= splits, split - splits, split)
