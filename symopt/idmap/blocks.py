"""The native id map's table as LLVM IR: open addressing in blocks of one cache line.

A block is 64 bytes: five ids (int64), their slots (uint32), and how many of the five are in use (uint32), the first
ones. An id belongs to the block at the same relative place as its hash among all 64-bit numbers, so any number of
blocks will do, and a table is copied into a larger one from front to back. An id whose block is full is in the next one
that was not. One vector comparison finds an id in a block; no id is reserved, since a count says what is empty.

The head of a map is four int64: ids in the table, slots ever given, freed slots on the stack, and how many ids of its
batch a call is done with.
"""

from __future__ import annotations

from ..codegen.functions import Function, Value, Variable
from ..splitmix import finished

PER_BLOCK = 5
BLOCK_BYTES = 64
_SLOTS_AT, _COUNT_AT = 40, 60  # bytes into a block
_AHEAD = 24  # ids between the one that is looked for and the one whose block is fetched
COUNT, N_SLOTS, N_FREE, DONE = range(4)

_TABLE = {"blocks": "i64[]", "n_blocks": "i64", "seed": "i64"}


def table_functions() -> tuple[Function, ...]:
    """All functions on tables."""
    return _get(), _insert(), _remove(), _place(), _move()


def _get() -> Function:
    """Slots of ids; -1 for those that are missing."""
    f = Function("get", **_TABLE, ids="i64[]", n="i64", slots="i64[]")
    *table, ids, n, slots = f.parameters
    with f.loop(n) as i:
        _fetch_ahead(f, table, ids, i, n)
        block, mask, _ = _seek(f, table, ids[i])
        slots[i] = f.select(mask.value.differs(0), _slots(block)[_first(f, mask.value)].to("i64"), -1)
    return f


def _insert() -> Function:
    """Slots of ids; the missing ones get new slots, which are also listed. Ends early when the table holds `limit`
    ids, or all `most_slots` slots are in use."""
    f = Function(
        "insert", **_TABLE, limit="i64", most_slots="i64", ids="i64[]", n="i64", slots="i64[]",
        new_slots="i64[]", new_ids="i64[]", n_new="i64[]", free="i32[]", head="i64[]",
    )  # fmt: skip
    *table, limit, most_slots, ids, n, slots, new_slots, new_ids, n_new, free, head = f.parameters
    count, n_slots, n_free = (f.variable(head[k]) for k in (COUNT, N_SLOTS, N_FREE))
    done, new = f.variable(head[DONE]), f.variable(n_new[0])
    with f.loop(n, start=head[DONE]) as i:
        _fetch_ahead(f, table, ids, i, n, write=True)
        block, mask, used = _seek(f, table, ids[i])
        with f.when(mask.value.differs(0)):
            slots[i] = _slots(block)[_first(f, mask.value)].to("i64")
        with f.otherwise():
            is_full = (count.value >= limit) | (n_free.value.equals(0) & (n_slots.value >= most_slots))
            with f.when(is_full):
                f.leave()
            slot = f.variable(n_slots.value)
            with f.when(n_free.value > 0):
                n_free.value -= 1
                slot.value = free[n_free.value].to("i64")
            with f.otherwise():
                n_slots.value += 1
            _append(block, used.value, ids[i], slot.value.to("i32"))
            count.value += 1
            slots[i] = slot.value
            new_slots[new.value], new_ids[new.value] = slot.value, ids[i]
            new.value += 1
        done.value = i + 1
    n_new[0] = new.value
    for k, variable in ((COUNT, count), (N_SLOTS, n_slots), (N_FREE, n_free), (DONE, done)):
        head[k] = variable.value
    return f


def _remove() -> Function:
    """Take ids out; their slots go on the stack of free ones and into `slots`, which has -1 for missing ids."""
    f = Function("remove", **_TABLE, ids="i64[]", n="i64", slots="i64[]", free="i32[]", head="i64[]")
    *table, ids, n, slots, free, head = f.parameters
    with f.loop(n) as i:
        _fetch_ahead(f, table, ids, i, n, write=True)
        at = f.variable(_home(f, table, ids[i]))
        block, mask, _ = _seek(f, table, ids[i], at)
        slots[i] = -1
        with f.when(mask.value.differs(0)):
            k = f.variable(_first(f, mask.value))
            slot = _slots(block)[k.value]
            slots[i] = slot.to("i64")
            free[head[N_FREE]] = slot
            head[N_FREE] = head[N_FREE] + 1
            head[COUNT] = head[COUNT] - 1
            _close(f, table, at, k)
    return f


def _close(f: Function, table: list[Value], at: Variable, k: Variable) -> None:
    """Fill the place `k` of block `at`, which is empty now, and every place that this empties.

    The block's last id moves there. If the block was full, ids further on may have gone past it: the first of them that
    does not belong behind it moves in, which leaves a place there. So no id is ever behind a block that is not full.
    """
    blocks, n_blocks, _ = table
    with f.forever():
        hole = _block(blocks, at.value)
        used = _count(hole)[0]
        last = used.to("i64") - 1
        hole[k.value], _slots(hole)[k.value] = hole[last], _slots(hole)[last]
        _count(hole)[0] = last.to("i32")
        with f.when(used.differs(PER_BLOCK)):
            f.leave()
        following = f.variable(_next(f, at.value, n_blocks))
        found = f.variable(-1)
        with f.forever():
            block = _block(blocks, following.value)
            here = _count(block)[0].to("i64")
            with f.loop(here) as j:
                gone = _distance(f, _home(f, table, block[j]), following.value, n_blocks)
                with f.when(gone >= _distance(f, at.value, following.value, n_blocks)):
                    found.value = j
                    f.leave()
            with f.when((found.value >= 0) | here.differs(PER_BLOCK)):
                f.leave()
            following.value = _next(f, following.value, n_blocks)
        with f.when(found.value < 0):
            f.leave()
        block = _block(blocks, following.value)
        _append(hole, last.to("i32"), block[found.value], _slots(block)[found.value])
        at.value, k.value = following.value, found.value


def _place() -> Function:
    """Put ids with given slots into a table with room for them, until one is there already."""
    f = Function("place", **_TABLE, ids="i64[]", slots="i64[]", n="i64", head="i64[]")
    *table, ids, slots, n, head = f.parameters
    with f.loop(n) as i:
        _fetch_ahead(f, table, ids, i, n, write=True)
        block, mask, used = _seek(f, table, ids[i])
        with f.when(mask.value.differs(0)):
            f.leave()
        _append(block, used.value, ids[i], slots[i].to("i32"))
        head[DONE] = i + 1
    return f


def _move() -> Function:
    """Put all of one table into another with room for it: both are walked from front to back."""
    f = Function("move", **_TABLE, old="i64[]", n_old="i64")
    *table, old, n_old = f.parameters
    blocks, n_blocks, _ = table
    with f.loop(n_old) as b:
        source = _block(old, b)
        with f.loop(_count(source)[0].to("i64")) as k:
            at = f.variable(_home(f, table, source[k]))
            with f.forever():
                with f.when(_count(_block(blocks, at.value))[0].differs(PER_BLOCK)):
                    f.leave()
                at.value = _next(f, at.value, n_blocks)
            target = _block(blocks, at.value)
            _append(target, _count(target)[0], source[k], _slots(source)[k])
    return f


# ---- what the functions are made of


def _seek(
    f: Function, table: list[Value], id_: Value, at: Variable | None = None
) -> tuple[Value, Variable, Variable]:
    """Where an id is, or would go: the block; the places there that hold it, as bits; how many are in use."""
    blocks, n_blocks, _ = table
    at = at or f.variable(_home(f, table, id_))
    mask, used = f.variable(0), f.variable(0, "i32")
    wanted = f.splat(id_, 8)
    with f.forever():
        block = _block(blocks, at.value)
        used.value = _count(block)[0]
        line = f.load("<8 x i64>", block)  # the last three are no ids
        same = line.equals(wanted).bits_as("i8").to("i32")
        valid = (f.value(1, "i32") << used.value) - 1
        mask.value = (same & valid).to("i64")
        with f.when(mask.value.differs(0) | used.value.differs(PER_BLOCK)):
            f.leave()
        at.value = _next(f, at.value, n_blocks)
    return _block(blocks, at.value), mask, used


def _fetch_ahead(
    f: Function, table: list[Value], ids: Value, i: Value, n: Value, write: bool = False
) -> None:
    """Have the block of an id further on in the batch brought to the cache, while others are looked for."""
    ahead = i + _AHEAD
    later = f.select(ahead < n, ahead, n - 1)
    f.prefetch(_block(table[0], _home(f, table, ids[later])), write)


def _home(f: Function, table: list[Value], id_: Value) -> Value:
    """The block that an id belongs to: its hash as a fraction of all hashes."""
    _, n_blocks, seed = table
    return f.high_product(finished(id_ ^ seed), n_blocks)


def _block(blocks: Value, at: Value) -> Value:
    return blocks.place(at * (BLOCK_BYTES // 8))


def _slots(block: Value) -> Value:
    return block.bytes_on(_SLOTS_AT, "i32")


def _count(block: Value) -> Value:
    return block.bytes_on(_COUNT_AT, "i32")


def _first(f: Function, mask: Value) -> Value:
    """The lowest bit that is set; any place of the block if none is."""
    return f.intrinsic("llvm.cttz.i64", "i64", mask | 1 << PER_BLOCK, "i1 true")


def _append(block: Value, used: Value, id_: Value, slot: Value) -> None:
    """One more id at the end of a block, in which `used` were."""
    at = used.to("i64")
    block[at], _slots(block)[at] = id_, slot
    _count(block)[0] = used + 1


def _next(f: Function, at: Value, n_blocks: Value) -> Value:
    return f.select((at + 1).equals(n_blocks), 0, at + 1)


def _distance(f: Function, start: Value, stop: Value, n_blocks: Value) -> Value:
    """Blocks from one to another, going round at the end."""
    apart = stop - start
    return f.select(apart < 0, apart + n_blocks, apart)
