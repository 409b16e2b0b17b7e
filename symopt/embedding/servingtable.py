"""A table that is only looked up, and where it is mutable assigned to: ids and codes of weights."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..errors import AttributeValueError, ShapeError, TooLateError
from ..idmap.given import chosen_engine
from .bags import Bags, given_ids
from .batches import Ids, ids_of, last_of, rows_of, waves
from .checks import unknown
from .coded import Coded
from .exporting import export_codes, is_zero
from .held import Held, Mapped
from .sizes import SizeReport

Missing = Literal["zeros", "raise"]
_AT_ONCE = 1 << 18  # weights decoded at a time: codes and rows stay in the cache
_PIECE = 1 << 16  # rows exported at a time
_FLOAT32 = np.dtype(np.float32)


def _needs_states(method: str) -> Callable[..., NoReturn]:
    """A method that tables have and serving tables cannot."""

    def refused(self: ServingTable, *given: Any, **named: Any) -> NoReturn:
        raise TooLateError(
            f"{self.name}.{method}: this is a serving table, which has codes only: no optimizer states, no timestamps. "
            "Train the table that it was exported from, and export again or assign what changed"
        )

    refused.__name__ = method
    refused.__doc__ = "TooLateError: a serving table has no optimizer states."
    return refused


class ServingTable:
    """What `load_serving` gives: embeddings by id, from codes. Any number of threads may look up.

    `name`; `sizes`: a SizeReport, made at the export; `meta`: as given to it, and more; `is_mutable`;
    `skip_zero_embedding`: whether rows that are assigned zeros are taken out.
    """

    def __init__(
        self,
        coded: Coded,
        rows: Mapped | Held,
        name: str,
        sizes: SizeReport,
        meta: Mapping[str, Any],
        skip_zero_embedding: bool,
    ) -> None:
        self.name, self.sizes, self.meta = name, sizes, dict(meta)
        self.skip_zero_embedding = skip_zero_embedding
        self._coded, self._rows = coded, rows
        self._lock = threading.RLock() if isinstance(rows, Held) else nullcontext()

    @property
    def is_mutable(self) -> bool:
        """Whether rows may be assigned."""
        return isinstance(self._rows, Held)

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return self._coded.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what lookups give: float32."""
        return _FLOAT32

    @property
    def segments(self) -> tuple[tuple[int, Any], ...]:
        """(dim, compressor) of each segment."""
        return tuple(zip(self._coded.dims, self._coded.compressors, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id_: Any) -> bool:
        return bool(self.contains([id_])[0])

    def __iter__(self) -> Iterator[int]:
        """The ids, in the order in which they were exported."""
        return iter(self.ids().tolist())

    def __repr__(self) -> str:
        kinds = ", ".join(f"{dim} x {x!r}" for dim, x in self.segments)
        return f"<ServingTable {self.name!r}: {len(self)} rows of {self.dim} columns, {kinds}>"

    def ids(self) -> Ids:
        """All ids (n,)."""
        with self._lock:
            return self._rows.ids()

    def contains(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which ids have a row, in the shape of `ids`."""
        flat, shape = ids_of(ids, f"{self.name}.contains")
        with self._lock:
            return (self._rows.find(flat) >= 0).reshape(shape)

    def memory_bytes(self) -> int:
        """Bytes of codes and index: mapped, which the system may drop and read again, or in memory if mutable."""
        with self._lock:
            return self._rows.memory_bytes()

    def lookup(
        self,
        ids: npt.ArrayLike | Bags,
        *,
        missing: Missing = "zeros",
        with_hits: bool = False,
        out: Array | None = None,
    ) -> Any:
        """The embeddings of ids, float32: for ids of any shape, that shape and (dim,); for `Bags`, as tables give them.

        `with_hits`: also which ids have a row, in their shape. `missing`: "zeros", or "raise" UnknownIdError. `out`: a
        contiguous array to write to.
        """
        what = f"{self.name}.lookup"
        if missing not in ("zeros", "raise"):
            raise AttributeValueError(f"{what}: missing must be 'zeros' or 'raise', got {missing!r}")
        flat, shape = given_ids(ids, what)
        found = _checked_out(out, (*shape, self.dim), what)
        with self._lock:
            slots = self._rows.find(flat)
            hits = slots >= 0
            n_missing = len(flat) - int(np.count_nonzero(hits))
            if n_missing and missing == "raise":
                raise unknown(flat[~hits], what)
            if isinstance(ids, Bags):
                self._pool(slots, ids, found.reshape(-1, self.dim))
            else:
                self._read(slots, hits if n_missing else None, found.reshape(-1, self.dim))
        if not with_hits:
            return found
        return found, hits if isinstance(ids, Bags) else hits.reshape(shape)

    def _pool(self, slots: Ids, bags: Bags, out: Array) -> None:
        """Write what bags of the rows in these slots are, (n_bags, dim) or (n_bags * n, dim)."""
        each = bags.spread_slots(slots)
        slots = slots if each is None else each
        rows = np.empty((len(slots), self.dim), np.float32) if each is None else out
        self._read(slots, slots >= 0, rows)
        if each is None:
            native = chosen_engine("auto") == "native"
            bags.pool(rows, np.arange(len(slots)), self.dim, out, native)

    def _read(self, slots: Ids, hits: Array | None, out: Array) -> None:
        """Write the rows of slots; zeros where there is no hit."""
        if not len(self._rows):
            out[:] = 0
            return
        slots = slots if hits is None else np.maximum(slots, 0)
        at_once = max(1, _AT_ONCE // self.dim)
        for begin in range(0, len(slots), at_once):
            some = slice(begin, begin + at_once)
            self._coded.decode_into(self._rows.codes.take(slots[some], axis=0), out[some])
        if hits is not None:
            out[~hits] = 0

    # ---- writing, if mutable

    def assign(self, ids: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Rows (*ids.shape, dim) for ids of any shape, kept as their codes; of a repeated id the last.

        With `skip_zero_embedding`, an id whose row is nearly zero is taken out.
        """
        what = f"{self.name}.assign"
        held = self._writable(what)
        flat, shape = ids_of(ids, what)
        rows = rows_of(values, shape, self.dim, _FLOAT32, f"{what}: values")
        with self._lock:
            self._put(held, *last_of(flat, rows))

    def assign_add(self, ids: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Add to rows as they are decoded, and keep the codes of the sums; of a repeated id, one after the other."""
        what = f"{self.name}.assign_add"
        held = self._writable(what)
        flat, shape = ids_of(ids, what)
        rows = rows_of(values, shape, self.dim, _FLOAT32, f"{what}: values")
        with self._lock:
            held.make_room(flat)
            for some, added in waves(flat, rows):
                self._put(held, some, self.lookup(some) + added)

    def erase(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Take rows out; which ids had one, in the shape of `ids`."""
        what = f"{self.name}.erase"
        held = self._writable(what)
        flat, shape = ids_of(ids, what)
        with self._lock:
            had = held.find(flat) >= 0  # of a repeated id, each entry
            held.remove(flat)
        return had.reshape(shape)

    def export(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, meta: Mapping[str, Any] | None = None
    ) -> SizeReport:
        """Write the table as it is now, in the same codes. Its sizes; the errors are those of the first export."""
        with self._lock:
            ids, slots = self._rows.ids(), self._rows.slots()

            def pieces() -> Iterator[Array]:
                for begin in range(0, len(slots), _PIECE):
                    yield self._rows.codes.take(slots[begin : begin + _PIECE], axis=0)

            return export_codes(
                path, self._coded, ids, pieces, name=self.name, skip_zero_embedding=self.skip_zero_embedding,
                report=self.sizes, meta=meta, overwrite=overwrite,
            )  # fmt: skip

    def _put(self, held: Held, ids: Ids, rows: Array) -> None:
        held.make_room(ids)
        if self.skip_zero_embedding:
            nearly = is_zero(rows)
            held.remove(ids[nearly])
            ids, rows = ids[~nearly], rows[~nearly]
        held.put(ids, self._coded.encode(rows))

    def _writable(self, what: str) -> Held:
        if not isinstance(self._rows, Held):
            raise TooLateError(
                f"{what}: this table is mapped from its files, which do not change: load_serving(path, mutable=True)"
            )
        return self._rows

    # ---- what only tables that train have

    apply_gradients = _needs_states("apply_gradients")
    lookup_entry = _needs_states("lookup_entry")
    reinitialize = _needs_states("reinitialize")
    touch = _needs_states("touch")
    expire = _needs_states("expire")
    take_delta = _needs_states("take_delta")
    state_dict = _needs_states("state_dict")


def _checked_out(out: Array | None, shape: tuple[int, ...], what: str) -> Array:
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
        raise ShapeError(
            f"{what}: out must be a writable contiguous float32 array of shape {shape}, got {out.dtype} {out.shape}"
        )
    return out
