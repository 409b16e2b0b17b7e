"""Hash tables of int64 ids in Numba, as peers of `symopt.idmap`: get, and get or insert; ids are never taken out.

`split`: ids and rows in two arrays, a power of two of places, at most 0.6 in use, doubled. `blocks`: what symopt
does in LLVM IR, as far as Numba can say it: no vector comparison, no prefetch.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

_SEED = np.uint64(0x5E7D)


@nb.njit(inline="always")
def _mix(x: Any) -> Any:
    x = np.uint64(x) ^ _SEED
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@nb.njit(nogil=True)
def _split_get(keys: Any, rows: Any, ids: Any, out: Any) -> None:
    mask = len(keys) - 1
    for i in range(len(ids)):
        at = np.int64(_mix(ids[i])) & mask
        while rows[at] >= 0 and keys[at] != ids[i]:
            at = (at + 1) & mask
        out[i] = rows[at]


@nb.njit(nogil=True)
def _split_insert(
    keys: Any, rows: Any, ids: Any, out: Any, start: int, count: int, limit: int
) -> tuple[int, int]:
    mask = len(keys) - 1
    for i in range(start, len(ids)):
        at = np.int64(_mix(ids[i])) & mask
        while rows[at] >= 0 and keys[at] != ids[i]:
            at = (at + 1) & mask
        if rows[at] < 0:
            if count >= limit:
                return i, count
            keys[at], rows[at] = ids[i], count
            count += 1
        out[i] = rows[at]
    return len(ids), count


@nb.njit(nogil=True)
def _split_move(old_keys: Any, old_rows: Any, keys: Any, rows: Any) -> None:
    mask = len(keys) - 1
    for k in range(len(old_keys)):
        if old_rows[k] >= 0:
            at = np.int64(_mix(old_keys[k])) & mask
            while rows[at] >= 0:
                at = (at + 1) & mask
            keys[at], rows[at] = old_keys[k], old_rows[k]


class Split:
    """Grows by itself."""

    def __init__(self) -> None:
        self.keys, self.rows, self.count = np.empty(64, np.int64), np.full(64, -1, np.int32), 0

    def get(self, ids: Any) -> Any:
        out = np.empty(len(ids), np.int64)
        _split_get(self.keys, self.rows, ids, out)
        return out

    def insert(self, ids: Any) -> Any:
        out, done = np.empty(len(ids), np.int64), 0
        while done < len(ids):
            limit = int(0.6 * len(self.keys))
            done, self.count = _split_insert(self.keys, self.rows, ids, out, done, self.count, limit)
            if done < len(ids):
                keys = np.empty(2 * len(self.keys), np.int64)
                rows = np.full(len(keys), -1, np.int32)
                _split_move(self.keys, self.rows, keys, rows)
                self.keys, self.rows = keys, rows
        return out

    @property
    def nbytes(self) -> int:
        return int(self.keys.nbytes + self.rows.nbytes)


@nb.njit(inline="always")
def _home(x: Any, n_blocks: Any) -> Any:
    """The high half of a product of 64-bit numbers, from products of 32-bit halves; `n_blocks` is below 2**32."""
    x, n = _mix(x), np.uint64(n_blocks)
    low = (x & np.uint64(0xFFFFFFFF)) * n
    return np.int64(((x >> np.uint64(32)) * n + (low >> np.uint64(32))) >> np.uint64(32))


@nb.njit(nogil=True)
def _blocks_get(words: Any, halves: Any, ids: Any, out: Any) -> None:
    n_blocks = len(words)
    for i in range(len(ids)):
        at, found = _home(ids[i], n_blocks), np.int64(-1)
        while True:
            used = halves[at, 15]
            for k in range(5):
                if k < used and words[at, k] == ids[i]:
                    found = np.int64(halves[at, 10 + k])
            if found >= 0 or used < 5:
                break
            at = at + 1 if at + 1 < n_blocks else 0
        out[i] = found


@nb.njit(nogil=True)
def _blocks_insert(words: Any, halves: Any, ids: Any, out: Any, start: int, count: int) -> tuple[int, int]:
    n_blocks = len(words)
    for i in range(start, len(ids)):
        at, found = _home(ids[i], n_blocks), np.int64(-1)
        while True:
            used = halves[at, 15]
            for k in range(5):
                if k < used and words[at, k] == ids[i]:
                    found = np.int64(halves[at, 10 + k])
            if found >= 0 or used < 5:
                break
            at = at + 1 if at + 1 < n_blocks else 0
        if found < 0:
            if count >= 4 * n_blocks:
                return i, count
            words[at, used], halves[at, 10 + used], halves[at, 15] = ids[i], count, used + 1
            found = np.int64(count)
            count += 1
        out[i] = found
    return len(ids), count


@nb.njit(nogil=True)
def _blocks_move(old: Any, old_halves: Any, words: Any, halves: Any) -> None:
    n_blocks = len(words)
    for b in range(len(old)):
        for k in range(old_halves[b, 15]):
            at = _home(old[b, k], n_blocks)
            while halves[at, 15] == 5:
                at = at + 1 if at + 1 < n_blocks else 0
            used = halves[at, 15]
            words[at, used], halves[at, 10 + used], halves[at, 15] = (
                old[b, k],
                old_halves[b, 10 + k],
                used + 1,
            )


class Blocks:
    """Lines of 64 bytes, as 8 words or 16 half words, as in symopt/idmap/blocks.py."""

    def __init__(self) -> None:
        self.words, self.count = np.zeros((16, 8), np.int64), 0

    def get(self, ids: Any) -> Any:
        out = np.empty(len(ids), np.int64)
        _blocks_get(self.words, self.words.view(np.int32), ids, out)
        return out

    def insert(self, ids: Any) -> Any:
        out, done = np.empty(len(ids), np.int64), 0
        while done < len(ids):
            halves = self.words.view(np.int32)
            done, self.count = _blocks_insert(self.words, halves, ids, out, done, self.count)
            if done < len(ids):
                words = np.zeros((len(self.words) * 7 // 5 + 1, 8), np.int64)
                _blocks_move(self.words, halves, words, words.view(np.int32))
                self.words = words
        return out

    @property
    def nbytes(self) -> int:
        return int(self.words.nbytes)


PEERS = {"numba, split arrays": Split, "numba, same blocks": Blocks}
