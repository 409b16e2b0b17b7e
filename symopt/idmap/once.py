"""The distinct ids of a batch, as LLVM IR.

A table of 2**bits places holds numbers of distinct ids, counted from 1; 0 is an empty place. An id is at the place that
its hash says, or at the first after it that was empty when the id came.
"""

from __future__ import annotations

from ..codegen.functions import Function, Value

_AHEAD = 16  # ids between the one that is looked for and the one whose place is fetched


def places_for(n: int) -> int:
    """A power of two, of which `n` ids take half at most."""
    return 1 << max(4, (2 * n - 1).bit_length())


def once_function() -> Function:
    """Each id of a batch once, (n,); which of them every id is; how often each occurs; how many they are."""
    f = Function(
        "once", ids="i64[]", n="i64", table="i32[]", places="i64", inverse="i64[]", once="i64[]",
        counts="i64[]", n_once="i64[]",
    )  # fmt: skip
    ids, n, table, places, inverse, once, counts, n_once = f.parameters
    with f.loop(places) as j:
        table[j] = 0
    mask, found = places - 1, f.variable(0)
    with f.loop(n) as i:
        ahead = i + _AHEAD
        f.prefetch(table.place(_hash(ids[f.select(ahead < n, ahead, n - 1)]) & mask), write=True)
        place = f.variable(_hash(ids[i]) & mask)
        with f.forever():
            number = table[place.value].to("i64")
            with f.when(number.equals(0)):
                k = found.value
                once[k], counts[k], inverse[i] = ids[i], 1, k
                found.value = k + 1
                table[place.value] = found.value.to("i32")
                f.leave()
            k = number - 1
            with f.when(once[k].equals(ids[i])):
                counts[k] = counts[k] + 1
                inverse[i] = k
                f.leave()
            place.value = (place.value + 1) & mask
    n_once[0] = found.value
    return f


def _hash(x: Value) -> Value:
    """An id as a word whose low bits depend on all of it: the middle of Evensen's rrxmrrxmsx_0."""
    x = (x ^ (x >> 32)) * 0x9FB21C651E98DF25
    return x ^ (x >> 29)
