"""An index from ids to rows that is never changed: three arrays that are used as they lie in a file.

Ids are in the order of their hashes (`mixing.mixed`). The first bits of the hash are the number of a bucket of 4 to 8
ids on average, and `starts` says where each begins; so an id is found by looking at one place of `starts` and one or
two cache lines of ids. There are no empty places and nothing is made when a file is opened: 8 bytes for the id, 4 for
its row, and 1/2 to 1 for the bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..backends.jit import compile_written
from ..codegen.functions import Function, Value
from ..errors import AttributeValueError
from ..splitmix import GOLDEN, finished
from .batches import Ids
from .mixing import mixed

_PER_BUCKET = 4  # ids, at least, on average
_MOST_ROWS = 1 << 32
_LANES = 8  # ids that are compared at once
_AHEAD = 16  # ids between the one that is looked for and the one whose line is fetched


class FrozenIndex(NamedTuple):
    """`ids` (n,) int64 by hash, `rows` (n,) uint32: where each is, `starts` (buckets + 1,) uint32."""

    ids: Array
    rows: Array
    starts: Array

    def find(self, ids: Ids) -> Ids:
        """The rows of ids (n,), -1 where one is missing. What a damaged index says is a row may be none."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        is_native = len(self.ids) >= _LANES and find_spec("llvmlite")
        return _find_natively(self, ids) if is_native else find_with_numpy(self, ids)

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.ids.nbytes + self.rows.nbytes + self.starts.nbytes


def make_index(ids: Ids, what: str) -> FrozenIndex:
    """The index in which `ids[k]` has row k. AttributeValueError if an id is there twice."""
    if len(ids) >= _MOST_ROWS:
        raise AttributeValueError(f"{what}: a serving table has fewer than 2**32 rows, got {len(ids):,}")
    hashes = mixed(ids)
    order = np.argsort(hashes)
    hashes = hashes[order]
    if (same := np.flatnonzero(hashes[1:] == hashes[:-1])).size:  # no two ids have one hash
        raise AttributeValueError(f"{what}: id {ids[order[same[0]]]} is there twice")
    n_bits = max(1, (len(ids) // _PER_BUCKET).bit_length() - 1)
    bounds = np.arange(1, 1 << n_bits, dtype=np.uint64) << np.uint64(64 - n_bits)
    starts = np.concatenate([[0], np.searchsorted(hashes, bounds), [len(ids)]])
    return FrozenIndex(ids[order], order.astype(np.uint32), starts.astype(np.uint32))


def is_index(index: FrozenIndex, n_rows: int) -> bool:
    """Whether the arrays are of an index of so many rows, as far as shapes and dtypes tell."""
    n_buckets = len(index.starts) - 1
    return (
        index.ids.shape == index.rows.shape == (n_rows,)
        and index.starts.ndim == 1
        and n_buckets >= 2
        and n_buckets & (n_buckets - 1) == 0
        and [array.dtype.name for array in index] == ["int64", "uint32", "uint32"]
        and all(array.flags.c_contiguous for array in index)
    )


def find_with_numpy(index: FrozenIndex, ids: Ids) -> Ids:
    """FrozenIndex.find by NumPy: the definition."""
    buckets = (mixed(ids) >> np.uint64(_shift(index))).astype(np.int64)
    at = index.starts[buckets].astype(np.int64)
    ends = np.minimum(index.starts[buckets + 1], len(index.ids)).astype(np.int64)
    rows = np.full(len(ids), -1, np.int64)
    open_ = np.flatnonzero(at < ends)
    while open_.size:
        here = at[open_]
        hit = index.ids[here] == ids[open_]
        rows[open_[hit]] = index.rows[here[hit]]
        at[open_] += 1
        open_ = open_[~hit & (here + 1 < ends[open_])]
    return rows


def _find_natively(index: FrozenIndex, ids: Ids) -> Ids:
    ids = np.ascontiguousarray(ids)
    rows = np.empty(len(ids), np.int64)
    places = (x.ctypes.data for x in (index.ids, index.rows, index.starts))
    _code()["find"](*places, len(index.ids), _shift(index), ids.ctypes.data, len(ids), rows.ctypes.data)
    return rows


def _shift(index: FrozenIndex) -> int:
    """How far a hash is shifted to be the number of a bucket."""
    return 65 - (len(index.starts) - 1).bit_length()


def _written() -> Function:
    """`find_with_numpy` for one id after the other, in an index of eight or more. Memory that later ones need is asked
    for before."""
    f = Function(
        "find", all_ids="i64[]", rows="i32[]", starts="i32[]", n_rows="i64", shift="i64", ids="i64[]",
        n="i64", found="i64[]",
    )  # fmt: skip
    all_ids, rows, starts, n_rows, shift, ids, n, found = f.parameters
    with f.loop(n) as i:
        f.prefetch(starts.place(_bucket(ids[_later(f, i, 2 * _AHEAD, n)], shift)))
        soon = starts[_bucket(ids[_later(f, i, _AHEAD, n)], shift)].to("i64")
        f.prefetch(all_ids.place(soon))
        f.prefetch(all_ids.place(soon + _LANES - 1))
        f.prefetch(rows.place(soon))
        bucket = _bucket(ids[i], shift)
        end = starts[bucket + 1].to("i64")
        found[i] = -1
        begin, end = starts[bucket].to("i64"), f.select(end < n_rows, end, n_rows)
        wanted = f.splat(ids[i], _LANES)
        with f.loop(end, start=begin, step=_LANES) as k:
            at = f.select(k + _LANES <= n_rows, k, n_rows - _LANES)
            same = f.load(f"<{_LANES} x i64>", all_ids.place(at)).equals(wanted)
            mask = same.bits_as(f"i{_LANES}").to("i64")
            with f.when(
                mask.differs(0)
            ):  # an id is nowhere else, so it may be in a neighbouring bucket's place
                found[i] = rows[at + f.intrinsic("llvm.cttz.i64", "i64", mask, "i1 true")].to("i64")
                f.leave()
    return f


def _later(f: Function, i: Value, ahead: int, n: Value) -> Value:
    return f.select(i + ahead < n, i + ahead, n - 1)


def _bucket(id_: Value, shift: Value) -> Value:
    """`mixing.mixed`, of which the first bits are left."""
    found: Value = finished(id_ + GOLDEN) >> shift
    return found


@cache
def _code() -> dict[str, Callable[..., Any]]:
    return compile_written(_written())
