"""Where everything that belongs to one id lies in its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..dtypes import ITEMSIZE, to_numpy

ALIGNMENT = 16  # bytes: what a vector of four floats likes
ID, TIMESTAMP, UPDATES = "id", "timestamp", "updates"
ABSENT = 0xFFFFFFFF  # in place of a number of updates: a record that is no row
_HEADER = ((ID, "int64"), (TIMESTAMP, "uint32"), (UPDATES, "uint32"))


class Column(NamedTuple):
    """`width` numbers of one dtype at `offset` bytes from the start of a record."""

    name: str
    dtype: str
    width: int
    offset: int

    @property
    def nbytes(self) -> int:
        return self.width * _size(self.dtype)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The dtype as NumPy has it."""
        return np.dtype(self.dtype) if self.dtype in _OWN else to_numpy(self.dtype)


class Layout:
    """The columns of a record, and how many bytes it has.

    A record begins with its header: the id, the second at which it was last written, how often it was updated, and
    what else a table keeps of it (`header`: names and dtypes). Then come the columns that are given, in order.
    `alignment`: of a record, in bytes.

    >>> layout = Layout([("0/weight", "float32", 3), ("0/mom", "float32", 3)])
    >>> layout["0/mom"], layout.stride
    (Column(name='0/mom', dtype='float32', width=3, offset=28), 48)
    """

    def __init__(
        self,
        columns: Iterable[tuple[str, str, int]],
        header: Iterable[tuple[str, str]] = (),
        alignment: int = ALIGNMENT,
    ) -> None:
        found: dict[str, Column] = {}
        at = 0
        for name, dtype, width in (*((n, d, 1) for n, d in (*_HEADER, *header)), *columns):
            size = _size(dtype)
            at = -(-at // size) * size
            found[name] = Column(name, dtype, width, at)
            at += width * size
        self.columns: Mapping[str, Column] = found
        self.stride = -(-at // alignment) * alignment

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def views(self, records: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """A view of each column of (n, stride) bytes: (n, width); of the header, (n,)."""
        return {column.name: self.view(records, column.name) for column in self.columns.values()}

    def view(self, records: npt.NDArray[np.uint8], name: str) -> npt.NDArray[Any]:
        """A view of one column of (n, stride) bytes."""
        column = self.columns[name]
        part = records[:, column.offset : column.offset + column.nbytes]
        found = part.view(column.numpy)
        return found if "/" in name else found[:, 0]


_OWN = {"int64": 8, "uint32": 4}  # of headers: arrays of graphs have none of these


def _size(dtype: str) -> int:
    return _OWN[dtype] if dtype in _OWN else ITEMSIZE[dtype]
