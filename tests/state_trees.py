"""Trees to save: what must come back, and what must be refused."""

from __future__ import annotations

import enum
import math
from collections import namedtuple
from typing import Any

import ml_dtypes
import numpy as np

from symopt.sparse import RowSparseArray

Point = namedtuple("Point", "x y")


class Level(enum.IntEnum):
    """An integer that would come back as another type."""

    HIGH = 3


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else "inside"


PLAIN: dict[str, Any] = {
    "none": None,
    "booleans": [True, False],
    "integers": [0, -1, 2**53, 2**53 + 1, -(2**64), 10**4000],
    "floats": [0.1, 1e-320, 1.7976931348623157e308, math.inf, -math.inf, 2.0],
    "complex": [1 - 2j, complex(math.inf, -0.0)],
    "texts": ["", "a/b", "żółć ☃ \U0001d518", "\ud800", '\x00\n\\"', "nan"],
    "bytes": [b"", bytes(range(256))],
    "empty": [[], (), {}],
    "tuples": ((), (1,), [(2, (3, [4]))]),
    "slashes": {"a/b": {"c": 1}, "a": {"b/c": 2}, "": {"": 3}, "/": 4, "__metadata__": 5, "../up": 6},
    "kinds": {"dict": {"dict": {"array": [1]}}, "items": {"tuple": 1}},
    "keys": {1: "a", "1": "b", (1, "x"): "c", None: "d", 2.5: "e", b"k": "f", -(2**70): "g", False: "h"},
    "deep": nested(90),
    "scalars": [
        np.float32(0.1),
        np.int64(-5),
        np.bool_(True),
        ml_dtypes.bfloat16(1.5),
        np.complex64(1j),
        np.uint8(255),
    ],
    "scalar-keys": {"w": np.float64(math.nan)},
}

BAD: dict[str, tuple[Any, str]] = {
    "object": (object(), "'a/b' is a object"),
    "set": ({1, 2}, "'a/b' is a set"),
    "function": (len, "builtin_function"),
    "named-tuple": (Point(1, 2), "Point"),
    "enum": (Level.HIGH, "Level"),
    "key": ({Level.HIGH: 1}, "key"),
    "tuple-key": ({(1, Point(1, 2)): 1}, "key"),
    "objects": (np.array([object()]), "dtype object"),
    "strings": (np.array(["a"]), "dtype str"),
    "dates": (np.array(["2024-01-01"], "M8[D]"), "dtype datetime64"),
    "records": (np.zeros(2, [("x", "f4")]), "dtype"),
    "string-scalar": (np.str_("a"), "dtype str"),
    "deep": (nested(101), "nested more than 100 deep"),
    "masked": (np.ma.masked_array([1.0], [True]), "masked"),
    "bytearray": (bytearray(b"a"), "bytearray"),
}


def numbers(*shape: int) -> Any:
    """The same in every version of NumPy: golden files have them."""
    return (np.arange(math.prod(shape)) * 37 % 101 / 101).reshape(shape)


NUMPYS = (
    *(f"float{n}" for n in (64, 32, 16)),
    *(f"{k}{n}" for k in ("int", "uint") for n in (64, 32, 16, 8)),
    "bool",
)


def arrays() -> dict[str, Any]:
    found: dict[str, Any] = {name: (numbers(3, 5) * 100).astype(name) for name in NUMPYS}
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        found[name] = numbers(3, 5).astype(getattr(ml_dtypes, name))
    found["complex64"] = (numbers(3, 5) + 1j).astype(np.complex64)
    found["complex128"] = numbers(2, 1) - 1j
    found["number"], found["complex number"] = np.array(3.5), np.array(1j)
    found["empty"], found["empty complex"] = np.zeros((0, 4)), np.zeros((2, 0), np.complex64)
    found["turned"] = numbers(3, 5).T
    found["strided"] = numbers(20)[::-3]
    found["spread"] = np.broadcast_to(np.float32(2.0), (3, 2))
    found["read-only"] = np.ones(3)
    found["read-only"].flags.writeable = False
    found["big-endian"] = np.arange(5, dtype=">i4")
    found["odd/näme\ud800"] = np.arange(3, dtype=np.int8)
    found["rows"] = RowSparseArray(numbers(3, 2), np.array([4, 0, 4]), (9, 2))
    found["no rows"] = RowSparseArray(
        np.zeros((0, 2), np.float32), np.array([], np.int64), (9, 2), canonical=True
    )
    return found


def same(expected: Any, found: Any) -> None:
    """Of one type, and of the same bits."""
    if isinstance(expected, RowSparseArray):
        assert isinstance(found, RowSparseArray)
        assert found.shape == expected.shape and found.canonical == expected.canonical
        same(expected.data, found.data)
        same(expected.indices, found.indices)
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray) and found.shape == expected.shape
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert found.tobytes() == expected.astype(found.dtype).tobytes()
    elif isinstance(expected, dict):
        assert type(found) is dict and list(found) == list(expected)
        assert [type(key) for key in found] == [type(key) for key in expected]
        for key in expected:
            same(expected[key], found[key])
    elif isinstance(expected, (list, tuple)):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(expected, found):
            same(a, b)
    else:
        assert type(found) is type(expected)
        assert repr(found) == repr(expected)
