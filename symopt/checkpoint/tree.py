"""A tree of containers, numbers and arrays as JSON, and back. Nothing in it names a class to be made.

JSON                                      stands for
null, true, "text", 12, 0.5               itself; integers beyond 2**53 are {"int": "0x..."}
{"float": "7ff8000000000000"}             a number that is not finite, by its bits
{"complex": [a, b]}, {"bytes": "base64"}
[...], {"tuple": [...]}                   list, tuple
{"dict": {"key": ...}}                    a dict whose keys are strings
{"items": [[key, value], ...]}            any other dict
{"scalar": ["float32", "0000803f"]}       a NumPy scalar, by its bytes
{"array": "name"}                         an array: the tensor of that name
{"row_sparse": {"data", "indices", "shape", "canonical"}}
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import AttributeValueError, DTypeError
from ..overlap import address
from ..places import HOST, Place, place_of_array
from ..state import held
from .dtypes import name_of
from .streamed import Streamed

MAX_DEPTH = 100
EXACT = 1 << 53  # readers that have nothing but doubles keep integers up to here
_NAME_LENGTH = 200


class Leaf(NamedTuple):
    """An array of a tree, the place it lies in, and the name of its dtype. One that is streamed lies nowhere yet."""

    array: Array | Streamed
    place: Place
    dtype: str


class Encoder:
    """`encode(tree)` gives the JSON; `leaves` then has the arrays, by name, each once however often it occurs."""

    def __init__(self) -> None:
        self.leaves: dict[str, Leaf] = {}
        self._names: dict[Any, str] = {}
        self._open: set[int] = set()  # containers that we are inside of

    def encode(self, x: Any, path: tuple[str, ...] = ()) -> Any:
        plain = _encode_number(x)
        if plain is not None or x is None:
            return plain
        if type(x) is str or type(x) is bool:
            return x
        if type(x) is bytes:
            return {"bytes": base64.b64encode(x).decode()}
        if isinstance(x, np.generic):
            return _encode_scalar(x, _said(path))
        if getattr(x, "stype", "default") == "row_sparse":
            return self._encode_rows(x, path)
        if isinstance(x, Streamed):
            name = self._unused(_name_at(path))
            self.leaves[name] = Leaf(x, HOST, name_of(x.dtype, _said(path)))
            return {"array": name}
        if hasattr(x, "dtype") and hasattr(x, "shape"):
            return {"array": self._leaf(x, path)}
        return self._encode_inside(x, path)

    def _encode_inside(self, x: Any, path: tuple[str, ...]) -> Any:
        if id(x) in self._open:
            raise AttributeValueError(f"{_said(path)} contains itself, and can't be saved")
        if len(path) >= MAX_DEPTH:
            raise AttributeValueError(f"{_said(path)[:_NAME_LENGTH]}... is nested more than {MAX_DEPTH} deep")
        self._open.add(id(x))
        try:
            if type(x) in (list, tuple):
                items = [self.encode(each, (*path, str(k))) for k, each in enumerate(x)]
                return items if type(x) is list else {"tuple": items}
            if isinstance(x, Mapping):
                return self._encode_mapping(x, path)
            if callable(getattr(x, "state_dict", None)):
                return self.encode(x.state_dict(), path)
        finally:
            self._open.discard(id(x))
        raise DTypeError(
            f"{_said(path)} is a {type(x).__name__}, which can't be saved: give arrays, numbers, strings, bytes, "
            "lists, tuples, dicts, None, or objects with state_dict()"
        )

    def _encode_mapping(self, x: Mapping[Any, Any], path: tuple[str, ...]) -> Any:
        if all(type(key) is str for key in x):
            return {"dict": {key: self.encode(value, (*path, key)) for key, value in x.items()}}
        pairs = []
        for key, value in x.items():
            if not _is_key(key):
                raise DTypeError(
                    f"{_said(path)} has the key {key!r}, a {type(key).__name__}: keys can be strings, numbers, bytes, "
                    "booleans, None, and tuples of such"
                )
            pairs.append([self.encode(key, path), self.encode(value, (*path, str(key)))])
        return {"items": pairs}

    def _encode_rows(self, x: Any, path: tuple[str, ...]) -> Any:
        x.check_indices(_said(path))  # what loads refuse is not saved
        data = self._leaf(x.data, (*path, "data"))
        indices = self._leaf(x.indices, (*path, "indices"))
        shape, canonical = list(map(int, x.shape)), bool(x.canonical)
        return {"row_sparse": {"data": data, "indices": indices, "shape": shape, "canonical": canonical}}

    def _leaf(self, x: Any, path: tuple[str, ...]) -> str:
        x = held(x)
        place = place_of_array(x)
        array = place.view(x, _said(path))
        dtype = name_of(array.dtype, _said(path))
        same = (repr(place), address(array), array.shape, array.strides, array.dtype.str, dtype)
        if same not in self._names:
            name = self._names[same] = self._unused(_name_at(path))
            self.leaves[name] = Leaf(array, place, dtype)
        return self._names[same]

    def _unused(self, name: str) -> str:
        name = name.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text in a file
        count, unused = 1, name
        while unused in self.leaves or unused == "__metadata__":
            count += 1
            unused = f"{name}#{count}"
        return unused


def _encode_number(x: Any) -> Any:
    """The JSON of one of Python's own numbers, None of anything else."""
    if type(x) is int:
        return x if -EXACT <= x <= EXACT else {"int": hex(x)}
    if type(x) is float:
        return x if x - x == 0 else {"float": struct.pack(">d", x).hex()}
    if type(x) is complex:
        return {"complex": [_encode_number(x.real), _encode_number(x.imag)]}
    return None


def _encode_scalar(x: np.generic, what: str) -> Any:
    name = name_of(x.dtype, what)
    return {"scalar": [name, np.asarray(x).astype(x.dtype.newbyteorder("<")).tobytes().hex()]}


def _is_key(x: Any) -> bool:
    if type(x) is tuple:
        return all(map(_is_key, x))
    return type(x) in (str, int, float, complex, bool, bytes, type(None))


def _name_at(path: tuple[str, ...]) -> str:
    return "/".join(path)[:_NAME_LENGTH] or "array"


def _said(path: tuple[str, ...]) -> str:
    return repr("/".join(path)) if path else "the object to save"
