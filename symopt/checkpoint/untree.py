"""A tree from its JSON, which may say anything: what is no tree is refused."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import SymoptError
from ..sparse import RowSparseArray
from .dtypes import NAMES, is_possible, numpy_dtype
from .refusal import Refuse
from .tree import MAX_DEPTH


class Decoder:
    """`decode(node)` gives the tree, with `arrays` by name; `used` then has the names it needed.

    `refuse` raises the error for a tree that is none.
    """

    def __init__(self, arrays: Mapping[str, Any], refuse: Refuse) -> None:
        self.arrays = arrays
        self.refuse = refuse
        self.used: set[str] = set()

    def decode(self, node: Any, depth: int = 0) -> Any:
        if depth > 2 * MAX_DEPTH:
            self.refuse("the tree is nested too deeply")
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.decode(each, depth + 1) for each in node]
        if len(node) != 1:
            self.refuse(f"the tree has an object with {len(node)} keys where it should have one")
        ((kind, value),) = node.items()
        try:
            read = _READERS[kind]
        except KeyError:
            self.refuse(f"the tree has something of the unknown kind {kind[:50]!r}")
        try:
            return read(self, value, depth + 1)
        except (TypeError, ValueError, KeyError, AttributeError, struct.error) as error:
            if isinstance(error, SymoptError):
                raise
            self.refuse(f"the tree has a malformed {kind}: {str(error)[:100]}")

    def _int(self, text: str, depth: int) -> int:
        return int(text, 16)

    def _float(self, text: str, depth: int) -> float:
        (value,) = struct.unpack(">d", bytes.fromhex(text))
        return float(value)

    def _complex(self, parts: list[Any], depth: int) -> complex:
        real, imaginary = (self.decode(part, depth) for part in parts)
        return complex(real, imaginary)

    def _bytes(self, text: str, depth: int) -> bytes:
        return base64.b64decode(text, validate=True)

    def _tuple(self, items: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self.decode(_list(items), depth))

    def _dict(self, entries: dict[str, Any], depth: int) -> dict[str, Any]:
        return {key: self.decode(value, depth) for key, value in entries.items()}

    def _items(self, pairs: list[Any], depth: int) -> dict[Any, Any]:
        found = {self.decode(key, depth): self.decode(value, depth) for key, value in _list(pairs)}
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def _scalar(self, parts: list[str], depth: int) -> np.generic:
        name, text = parts
        if name not in NAMES:
            raise ValueError(f"unknown dtype {name[:50]!r}")
        dtype = numpy_dtype(name)
        found = np.frombuffer(bytes.fromhex(text), dtype).astype(dtype.newbyteorder("="))
        (scalar,) = found
        return scalar  # type: ignore[no-any-return]

    def _array(self, name: str, depth: int) -> Any:
        found = self.arrays[name]
        self.used.add(name)
        return found

    def _row_sparse(self, parts: dict[str, Any], depth: int) -> RowSparseArray:
        if set(parts) != {"data", "indices", "shape", "canonical"} or type(parts["canonical"]) is not bool:
            raise ValueError("it has other parts than data, indices, shape and canonical")
        data, indices = (self._array(parts[name], depth) for name in ("data", "indices"))
        if indices.dtype != np.int64 or not is_possible("int64", parts["shape"]):
            raise ValueError("its indices are no int64, or its shape is impossible")
        try:
            made = RowSparseArray(data, indices, parts["shape"], parts["canonical"])
            made.check_indices("its tensor")
        except SymoptError as error:
            raise ValueError(str(error)) from None
        return made


def _list(x: Any) -> list[Any]:
    if not isinstance(x, list):
        raise TypeError(f"it has a {type(x).__name__} where a list should be")
    return x


_READERS: dict[str, Callable[[Decoder, Any, int], Any]] = {
    "int": Decoder._int,
    "float": Decoder._float,
    "complex": Decoder._complex,
    "bytes": Decoder._bytes,
    "tuple": Decoder._tuple,
    "dict": Decoder._dict,
    "items": Decoder._items,
    "scalar": Decoder._scalar,
    "array": Decoder._array,
    "row_sparse": Decoder._row_sparse,
}
