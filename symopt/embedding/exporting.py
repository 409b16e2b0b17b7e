"""Writing serving tables: ids and codes, no states, as a checkpoint that is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint.disk import DISK, Disk
from ..checkpoint.progress import Tell
from ..checkpoint.streamed import Streamed
from ..checkpoint.writer import store
from ..dtypes import FLOATS
from ..errors import DTypeError, ShapeError
from .batches import Ids, ids_of
from .coded import Coded
from .frozen import FrozenIndex, make_index
from .sizes import Errors, SizeReport

FORMAT = "symopt serving table"
VERSION = 1
NEARLY_ZERO = 1e-12  # squared norm of a row that `skip_zero_embedding` leaves out
_AT_ONCE = 1 << 17  # weights at a time: what is made of them stays in the cache

Rows = Callable[[int, int], Any]


def export_rows(
    path: str | os.PathLike[str],
    segments: Sequence[tuple[int, Any]],
    ids: Any,
    rows: Rows | Array,
    *,
    name: str = "table",
    meta: Mapping[str, Any] | None = None,
    skip_zero_embedding: bool = False,
    overwrite: bool = False,
    progress: Tell | bool | None = None,
    disk: Disk = DISK,
) -> SizeReport:
    """Write a serving table as a folder at `path`, and say how large it is and how far its rows are from those given.

    `segments`: (dim, compressor) of each, as the columns of a row are in order. `ids`: (n,) integers, each once.
    `rows`: (n, dim) numbers, or a function of start and stop that gives those of the ids from start to stop. It is
    called from front to back, twice if zero rows are to be left out: all rows are never in memory at once.
    `skip_zero_embedding`: leave out rows whose squared norm is at most 1e-12; lookups give zeros for them as for any id
    that is missing. `meta`, `overwrite`, `progress`: as in `so.save`, whose promises hold: when this returns, the table
    survives a loss of power, and a failed export leaves what was there.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp() + "/serving"
    >>> rows = np.array([[0.5] * 4, [0.25] * 4])
    >>> report = export_rows(folder, [(4, "fixed_r8")], [7, -1], rows)
    >>> report.row_bytes, report.ratio, report.errors[0].max_absolute
    (4, 4.0, 0.0)
    """
    what = f"export of {name!r}"
    flat, shape = ids_of(ids, what)
    if len(shape) != 1:
        raise ShapeError(f"{what}: ids must be one-dimensional, got shape {shape}")
    source = _Source(rows, len(flat), Coded.of(segments, what), what)
    kept = source.nonzero() if skip_zero_embedding else None
    exported = flat if kept is None else flat[kept]
    index = make_index(exported, what)
    report: list[SizeReport] = []

    def described() -> dict[str, Any]:
        report.append(source.report(len(exported), len(flat) - len(exported), index.nbytes))
        return _meta(name, source.coded, report[0], meta)

    codes = Streamed((len(exported), source.coded.stride), np.dtype(np.uint8), lambda: source.codes(kept))
    tree = serving_tree(source.coded, index, codes, name, skip_zero_embedding)
    store(path, tree, overwrite=overwrite, meta=described, progress=progress, disk=disk)
    return report[0]


def export_codes(
    path: str | os.PathLike[str],
    coded: Coded,
    ids: Ids,
    codes: Callable[[], Iterator[Array]],
    *,
    name: str,
    skip_zero_embedding: bool,
    report: SizeReport,
    meta: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> SizeReport:
    """`export_rows` of codes (n, stride) as they are, in pieces; the errors are those of `report`."""
    index = make_index(ids, f"export of {name!r}")
    sizes = (len(ids), report.skipped, coded.stride, 4 * coded.dim, index.nbytes)
    found = SizeReport(*sizes, report.errors)
    stream = Streamed((len(ids), coded.stride), np.dtype(np.uint8), codes)
    tree = serving_tree(coded, index, stream, name, skip_zero_embedding)
    store(path, tree, overwrite=overwrite, meta=_meta(name, coded, found, meta))
    return found


def serving_tree(
    coded: Coded, index: FrozenIndex, codes: Streamed, name: str, skip_zero_embedding: bool
) -> dict[str, Any]:
    """The tree of a serving table; `serving.load_serving` reads it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "segments": coded.config(),
        "skip_zero_embedding": skip_zero_embedding,
        "index": {"ids": index.ids, "rows": index.rows, "starts": index.starts},
        "codes": codes,
    }


def is_zero(rows: Array) -> Array:
    """Which of float32 rows (n, dim) have a squared norm that is nearly 0."""
    wide = rows.astype(np.float64)
    found: Array = np.einsum("ij,ij->i", wide, wide) <= NEARLY_ZERO
    return found


def _meta(name: str, coded: Coded, report: SizeReport, own: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "kind": FORMAT,
        "name": name,
        "segments": coded.config(),
        "sizes": report.as_dict(),
        **(own or {}),
    }


class _Source:
    """Rows to export, some at a time; and the errors of those that were encoded."""

    def __init__(self, rows: Rows | Array, n_rows: int, coded: Coded, what: str) -> None:
        self.coded, self.n_rows, self.what = coded, n_rows, what
        self.errors = [Errors() for _ in coded.dims]
        if callable(rows):
            self._rows = rows
            return
        array = np.asarray(rows)
        if array.shape != (n_rows, coded.dim):
            raise ShapeError(
                f"{what}: rows must be of shape {(n_rows, coded.dim)}, for {n_rows} ids and segments of {coded.dims} "
                f"columns; got {array.shape}"
            )
        self._rows = lambda start, stop: array[start:stop]

    def pieces(self) -> Iterator[tuple[int, Array]]:
        """Where each piece begins, and its rows in float32."""
        at_once = max(1, _AT_ONCE // self.coded.dim)
        for start in range(0, self.n_rows, at_once):
            stop = min(start + at_once, self.n_rows)
            piece = np.asarray(self._rows(start, stop))
            expected = (stop - start, self.coded.dim)
            if piece.shape != expected:
                raise ShapeError(
                    f"{self.what}: rows({start}, {stop}) must be of shape {expected}, got {piece.shape}"
                )
            if piece.dtype.kind not in "iu" and piece.dtype.name not in FLOATS:
                raise DTypeError(f"{self.what}: rows must be real numbers, got {piece.dtype.name}")
            with np.errstate(over="ignore"):
                yield start, piece.astype(np.float32, copy=False)

    def nonzero(self) -> Array:
        """Which rows are not nearly zero."""
        kept = np.ones(self.n_rows, bool)
        for start, piece in self.pieces():
            kept[start : start + len(piece)] = ~is_zero(piece)
        return kept

    def codes(self, kept: Array | None) -> Iterator[Array]:
        """The codes of all rows that are kept, some at a time."""
        for start, piece in self.pieces():
            rows = piece if kept is None else piece[kept[start : start + len(piece)]]
            codes = self.coded.encode(rows)
            after = self.coded.decode(codes)
            for errors, (columns, _, _) in zip(self.errors, self.coded.places, strict=True):
                errors.add(rows[:, columns], after[:, columns])
            yield codes

    def report(self, n_rows: int, skipped: int, index_bytes: int) -> SizeReport:
        errors = tuple(each.total() for each in self.errors)
        return SizeReport(n_rows, skipped, self.coded.stride, 4 * self.coded.dim, index_bytes, errors)
