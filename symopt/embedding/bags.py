"""Bags of ids: each is looked up as one row, and its gradient goes to all its ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import config
from ..backends.launch import threads_for
from ..backends.pool import run_shared
from ..errors import AttributeValueError, DTypeError, MissingArgumentError, ShapeError
from ..overlap import address
from ..passes.ir import LISTED
from ..places import Place, place_of_array
from . import bagcode
from .batches import Array, Ids, ids_of
from .placed import beside, sum_runs, taken

COMBINERS = ("sum", "mean", "sqrtn", "first_n")
_CHUNK = 2048  # entries that a thread takes at once, about
_NO_NUMBERS = np.zeros(1)


class Bags:
    """Ids in bags of any size: bag k is ids[offsets[k]:offsets[k + 1]]. Tables take it wherever they take ids.

    ids: (n,).
    offsets: (n_bags + 1,), from 0 to n.
    combiner: what a lookup gives of a bag; see below.
    weights: (n,), fixed numbers; None: all 1.
    n: how many rows "first_n" shows.

    A lookup gives one row for each bag, (n_bags, dim):

    * "sum": the rows of its ids added, in their order, each times its weight.
    * "mean": that sum, divided by how many there are, or by the sum of their weights.
    * "sqrtn": that sum, divided by the root of how many there are, or of the sum of the squares of their weights.
    * "first_n": the rows of its first `n` ids one after the other, then zeros: (n_bags, n, dim). Further ids are
      neither looked up nor updated.

    A bag without ids has zeros, and so has one whose weights give a divisor of 0. An id without a row counts like any
    other. Gradients are given for what a lookup gives, and an id's gradient is the sum of its entries', in their order:
    weight times the gradient of the bag, divided like the sum.

    >>> bags = Bags([4, 9, 4, 7], [0, 3, 3, 4], "mean")
    >>> bags
    <3 Bags of 4 ids, mean>
    >>> from symopt.embedding import Segment, Table
    >>> table = Table(Segment(1, "sgd", learning_rate=1.0))
    >>> done = table.apply_gradients(bags, np.array([[3.0], [5.0], [7.0]]))
    >>> table.lookup([4, 9, 7]).ravel(), table.lookup(bags).ravel()
    (array([-2., -1., -7.], dtype=float32), array([-1.6666666,  0.       , -7.       ], dtype=float32))
    """

    def __init__(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        combiner: str = "sum",
        *,
        weights: npt.ArrayLike | None = None,
        n: int | None = None,
    ) -> None:
        if combiner not in COMBINERS:
            raise AttributeValueError(f"Bags: combiner is one of {', '.join(COMBINERS)}, got {combiner!r}")
        self.combiner, self.n = combiner, _checked_n(combiner, n)
        self.ids, shape = ids_of(ids, "Bags: ids")
        if len(shape) != 1:
            raise ShapeError(
                f"Bags: ids must have one dimension, and offsets say where bags end; got {shape}"
            )
        self.offsets = _checked_offsets(offsets, len(self.ids))
        self.weights = None if weights is None else _checked_weights(weights, len(self.ids), combiner)
        self._cells: Ids | None = None  # where the rows of first_n go, among all of (n_bags * n,)
        if self.n is not None:
            self._keep_first(self.n)

    @classmethod
    def from_lengths(
        cls, ids: npt.ArrayLike, lengths: npt.ArrayLike, combiner: str = "sum", **more: Any
    ) -> Bags:
        """Bags of so many ids each, (n_bags,).

        >>> Bags.from_lengths([1, 2, 3], [2, 0, 1]).offsets
        array([0, 2, 2, 3])
        """
        counts, _ = ids_of(lengths, "Bags: lengths")
        return cls(ids, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]), combiner, **more)

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[int]], combiner: str = "sum", **more: Any) -> Bags:
        """A bag of each list."""
        every = list(lists)
        ids = np.array([i for some in every for i in some], np.int64)
        return cls.from_lengths(ids, np.array([len(some) for some in every], np.int64), combiner, **more)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        combiner = self.combiner if self.n is None else f"first {self.n}"
        return f"<{len(self)} Bags of {len(self.ids)} ids, {combiner}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is looked up, without the columns: (n_bags,), or (n_bags, n)."""
        return (len(self),) if self.n is None else (len(self), self.n)

    @property
    def bag_of(self) -> Ids:
        """The bag of each id, (n,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    # ---- of rows

    def spread_slots(self, slots: Ids) -> Ids | None:
        """For first_n: a slot for each place (n_bags * n,), -1 where there is no id."""
        if self._cells is None:
            return None
        found = np.full(len(self) * (self.n or 0), -1, np.int64)
        found[self._cells] = slots
        return found

    def pool(self, rows: Array, index: Ids, dim: int, out: Array, native: bool) -> None:
        """Write the sums (n_bags, dim) of rows[index] to `out`. `rows`: of `dim` columns, that are contiguous; `index`:
        (n,), below 0 for a row of zeros."""
        dtype = out.dtype
        weights, divisors = self._weights(dtype), self._divisors(dtype)
        if native:
            self._run(rows, index, dim, weights, divisors, out)
            return
        out[...] = -0.0
        taken = (
            np.where((index < 0)[:, None], dtype.type(0), rows[np.maximum(index, 0)])
            if len(index)
            else rows[:0]
        )
        np.add.at(out, self.bag_of, taken if weights is None else taken * weights[:, None])
        out[np.diff(self.offsets) == 0] = 0
        if divisors is not None:
            out /= divisors[:, None]

    def pool_there(self, place: Place, rows: Array, out: Array) -> None:
        """The same of rows (n, dim), one for each id, that lie on a device like `out`."""
        sums = sum_runs(place, self.offsets, np.arange(len(self.ids)), self._weighted(rows))
        with place.current():
            out[...] = self._divided(sums)

    def _run(
        self, rows: Array, index: Ids, dim: int, weights: Array | None, divisors: Array | None, out: Array
    ) -> None:
        zeros, n = np.zeros(dim, out.dtype), len(index)
        per = max(1, len(self) * _CHUNK // max(n, 1))
        given = [address(rows), rows.strides[0] // rows.itemsize, address(index), address(self.offsets)]
        given += [address(x) for x in (zeros, _some(weights), _some(divisors))]
        given += [int(divisors is not None), address(out)]
        job = np.array([0, -(-len(self) // per), per, len(self), *given], np.int64)
        threads = threads_for(LISTED, n * dim * out.itemsize, int(job[1]))
        function = bagcode.pool_code(out.dtype.name, dim, weights is not None)
        run_shared(function, address(job), [0] * max(1, min(threads, config.num_threads())))

    # ---- of gradients

    def entries(self, grads: Array) -> Array:
        """The gradient of each entry, (n, dim), from those of what is looked up, (n_bags, dim) or (n_bags * n, dim)."""
        if self._cells is not None:
            return taken(grads, self._cells)
        return self._weighted(taken(self._divided(grads), self.bag_of))

    def add_to(self, sums: Array, inverse: Ids, grads: Array) -> None:
        """Add the gradients of entries to the sums (k, dim) of their ids, by machine code."""
        grads, weights = self._divided(grads), self._weights(grads.dtype)
        spread = bagcode.spread_code(sums.dtype.name, sums.shape[1], weights is not None)
        arrays = (grads, self.offsets, inverse, _some(weights), sums)
        spread(len(self), *map(address, arrays))

    def _divided(self, grads: Array) -> Array:
        divisors = self._divisors(grads.dtype)
        if divisors is None:
            return grads
        with place_of_array(grads).current():
            return grads / beside(grads, divisors)[:, None]

    def _weighted(self, rows: Array) -> Array:
        """Rows of the entries, each times its weight."""
        weights = self._weights(rows.dtype)
        if weights is None:
            return rows
        with place_of_array(rows).current():
            return rows * beside(rows, weights)[:, None]

    # ---- within

    def _keep_first(self, n: int) -> None:
        """Forget the ids that no place is for."""
        places = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        kept = places < n
        self._cells = (self.bag_of * n + places)[kept]
        self.ids = np.ascontiguousarray(self.ids[kept])
        counts = np.minimum(np.diff(self.offsets), n)
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def _weights(self, dtype: np.dtype[Any]) -> Array | None:
        return None if self.weights is None else self.weights.astype(dtype, copy=False)

    def _divisors(self, dtype: np.dtype[Any]) -> Array | None:
        """What sums are divided by; infinity, which leaves zeros, for 0."""
        if self.combiner in ("sum", "first_n"):
            return None
        found: Array = np.diff(self.offsets).astype(np.float64)
        if self.weights is not None:
            of = self.weights if self.combiner == "mean" else np.square(self.weights)
            found = np.bincount(self.bag_of, of, len(self))
        found = np.sqrt(found) if self.combiner == "sqrtn" else found
        made: Array = found.astype(dtype)
        made[made == 0] = np.inf
        return made


def given_ids(given: Any, what: str) -> tuple[Ids, tuple[int, ...]]:
    """Ids of any shape as (n,), and the shape of what belongs to them; or those of Bags."""
    return (given.ids, given.shape) if isinstance(given, Bags) else ids_of(given, what)


def _some(numbers: Array | None) -> Array:
    return _NO_NUMBERS if numbers is None else numbers


def _checked_n(combiner: str, n: int | None) -> int | None:
    if (combiner == "first_n") != (n is not None):
        error = MissingArgumentError if n is None else AttributeValueError
        raise error(f"Bags: n says how many ids of a bag 'first_n' keeps: combiner={combiner!r}, n={n!r}")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise AttributeValueError(f"Bags: n is at least 1, got {n!r}")
    return None if n is None else int(n)


def _checked_offsets(given: npt.ArrayLike, n: int) -> Ids:
    offsets, shape = ids_of(given, "Bags: offsets")
    if len(shape) != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != n:
        raise ShapeError(
            f"Bags: offsets are one more than the bags, from 0 to the {n} ids; got shape {shape}"
            + (f", from {offsets[0]} to {offsets[-1]}" if len(offsets) else "")
        )
    if (np.diff(offsets) < 0).any():
        k = int(np.argmax(np.diff(offsets) < 0))
        raise AttributeValueError(f"Bags: offsets must ascend, got {offsets[k]} before {offsets[k + 1]}")
    return offsets


def _checked_weights(given: npt.ArrayLike, n: int, combiner: str) -> Array:
    weights = np.asarray(given)
    if combiner == "first_n":
        raise AttributeValueError("Bags: 'first_n' shows rows as they are: it has no weights")
    if weights.dtype.kind not in "fiu":
        raise DTypeError(f"Bags: weights must be real numbers, got {weights.dtype}")
    if weights.shape != (n,):
        raise ShapeError(f"Bags: weights must be ({n},), one for each id, got {weights.shape}")
    if not np.isfinite(weights).all():
        raise AttributeValueError("Bags: weights must be finite")
    return np.ascontiguousarray(weights, np.float64)
