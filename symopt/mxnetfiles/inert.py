"""What a pickle may name, and what is made of it here: arrays and records, by functions of this module alone.

A name in a pickle is only ever compared with those below. Nothing is imported for it, looked up, or called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import FormatError
from .ndarrays import read_array
from .source import MOST_DIMENSIONS, Source, check_size


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names. It is no such thing, and cannot be called. `is_recorded`: new objects
    of it are `ObjectRecord`s."""

    module: str
    name: str
    is_recorded: bool = False

    def __str__(self) -> str:
        return f"{self.module[:100]!r}.{self.name[:100]!r}".replace("'", "")


@dataclass(frozen=True)
class ObjectRecord:
    """What a pickle says of an optimizer or scheduler of MXNet's: its class, and its attributes as plain data.

    It is two names and a dict: nothing of the class is here. `write_states` writes it as MXNet would.
    """

    module: str
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Unfinished:
    """An object between its REDUCE or NEWOBJ and its BUILD: the pickle may refer to it before its value is known."""

    __slots__ = ("kind", "name", "value")

    def __init__(self, kind: str, value: Any = None, name: Name | None = None) -> None:
        self.kind, self.value, self.name = kind, value, name


class Budget:
    """Bytes and elements that may be copied in all: a pickle that refers to the same ones again and again runs out."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise FormatError("the pickle would copy the same bytes again and again")


# ---- what may be named

BUILTINS = ("builtins", "__builtin__")
NUMPY = ("numpy.core", "numpy._core")
NDARRAYS = {
    ("mxnet.ndarray.ndarray", "NDArray"), ("mxnet.ndarray", "NDArray"), ("mxnet.ndarray.sparse", "RowSparseNDArray"),
    ("mxnet.ndarray.sparse", "CSRNDArray"), ("mxnet.numpy", "ndarray"), ("mxnet.numpy.multiarray", "ndarray"),
}  # fmt: skip
RECORDED = ("mxnet.optimizer", "mxnet.lr_scheduler")
OBJECT = {(module, "object") for module in BUILTINS}
NUMPY_ARRAY = ("numpy", "ndarray")
DTYPES = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"}


def known_name(module: str, name: str, classes: Collection[str]) -> Name | None:
    """The name, if pickles may have it. `classes`: those that become records beside MXNet's optimizers."""
    pair = (module, name)
    if pair in MAKERS or pair in NDARRAYS or pair in OBJECT or pair == NUMPY_ARRAY:
        return Name(module, name)
    inside = any(module == m or module.startswith(m + ".") for m in RECORDED)
    is_plain = name.isidentifier() and module.replace(".", "_").isidentifier()
    return Name(module, name, True) if (inside and is_plain) or f"{module}.{name}" in classes else None


# ---- REDUCE and NEWOBJ


def reduce(name: Name, args: tuple[Any, ...], budget: Budget) -> Any:
    """What the pickle means by calling `name` with `args`. FormatError for all that is not listed here."""
    pair = (name.module, name.name)
    if pair in NDARRAYS and len(args) == 1 and args[0] is None:
        return Unfinished("NDArray")
    if pair not in MAKERS:
        raise FormatError(f"{name} is called, which is refused")
    made = MAKERS[pair](args, budget)
    if made is None:
        kinds = ", ".join(type(x).__name__ for x in args[:5])
        raise FormatError(f"{name} is called with ({kinds}), which is refused")
    return made


def new_object(name: Name, args: tuple[Any, ...]) -> Unfinished:
    if not name.is_recorded or args:
        raise FormatError(f"a new {name} is asked for, which is refused")
    return Unfinished("record", name=name)


Maker = Callable[[tuple[Any, ...], Budget], Any]


def _kinds(args: tuple[Any, ...], *kinds: type) -> bool:
    """Whether the arguments are of exactly these types. Nothing is compared: hostile containers compare for ever."""
    return len(args) == len(kinds) and all(type(x) is kind for x, kind in zip(args, kinds))


def _make_bytes(args: tuple[Any, ...], budget: Budget) -> bytes | None:
    """bytes, bytearray and _codecs.encode: how each protocol writes bytes."""
    if not args:
        return b""
    if _kinds(args, bytes):
        return bytes(args[0])
    if _kinds(args, str, str) and args[1] in ("latin1", "latin-1"):
        budget.spend(len(args[0]))
        try:
            return str(args[0]).encode("latin-1")
        except UnicodeEncodeError:
            raise FormatError(
                "bytes are written as text that has other letters than those of latin-1"
            ) from None
    return None


def _make_dict(args: tuple[Any, ...], budget: Budget) -> dict[Any, Any] | None:
    """An OrderedDict as a dict: empty, or in Python 2 of pairs."""
    pairs: list[Any] = [] if not args else args[0] if _kinds(args, list) else [None]
    made: dict[Any, Any] = {}
    budget.spend(len(pairs))
    for pair in pairs:
        if not (type(pair) in (list, tuple) and len(pair) == 2):
            return None
        made[check_key(pair[0])] = pair[1]
    return made


def check_key(key: Any) -> Any:
    """A key of a dict: integers and strings, of which no two collide on purpose."""
    if type(key) not in (int, str, bool):
        raise FormatError(f"a key of a dict is of type {type(key).__name__}: expected an integer or a string")
    return key


def _make_object(args: tuple[Any, ...], budget: Budget) -> Unfinished | None:
    """copyreg._reconstructor(class, object, None): a new object in protocols 0 and 1."""
    if _kinds(args, Name, Name, type(None)) and (args[1].module, args[1].name) in OBJECT:
        return new_object(args[0], ())
    return None


def _make_dtype(args: tuple[Any, ...], budget: Budget) -> Unfinished | None:
    is_one = len(args) == 3 and type(args[0]) is str and args[0] in DTYPES
    return Unfinished("dtype", np.dtype(args[0])) if is_one else None


def _make_empty(args: tuple[Any, ...], budget: Budget) -> Unfinished | None:
    is_one = len(args) == 3 and type(args[0]) is Name and (args[0].module, args[0].name) == NUMPY_ARRAY
    return Unfinished("array") if is_one else None


def _make_scalar(args: tuple[Any, ...], budget: Budget) -> Any:
    if not _kinds(args, Unfinished, bytes) or args[0].kind != "dtype":
        return None
    return numpy_array((), args[0].value, args[1], False, budget)[()]


def _make_from_buffer(args: tuple[Any, ...], budget: Budget) -> Unfinished | None:
    """numpy's _frombuffer(bytes, dtype, shape, order): arrays in protocol 5."""
    if (
        not _kinds(args, bytes, Unfinished, tuple, str)
        or args[1].kind != "dtype"
        or args[3] not in ("C", "F")
    ):
        return None
    return Unfinished("done", numpy_array(args[2], args[1].value, args[0], args[3] == "F", budget))


MAKERS: dict[tuple[str, str], Maker] = {
    **{(module, name): _make_bytes for module in BUILTINS for name in ("bytes", "bytearray")},
    ("_codecs", "encode"): _make_bytes,
    ("collections", "OrderedDict"): _make_dict,
    ("copyreg", "_reconstructor"): _make_object,
    ("copy_reg", "_reconstructor"): _make_object,
    ("numpy", "dtype"): _make_dtype,
    **{(f"{module}.multiarray", "_reconstruct"): _make_empty for module in NUMPY},
    **{(f"{module}.multiarray", "scalar"): _make_scalar for module in NUMPY},
    **{(f"{module}.numeric", "_frombuffer"): _make_from_buffer for module in NUMPY},
}


# ---- BUILD


def build(made: Unfinished, state: Any, budget: Budget) -> None:
    """Give an object its state: once. FormatError for a state that its kind does not have."""
    if made.kind == "NDArray" and type(state) is dict and len(state) == 1 and "handle" in state:
        made.kind, made.value = "done", _ndarray(state["handle"], budget)
    elif made.kind == "array" and type(state) is tuple and _kinds(state, int, tuple, Unfinished, bool, bytes):
        made.kind, made.value = "done", numpy_array(state[1], state[2].value, state[4], state[3], budget)
    elif made.kind == "dtype" and type(state) is tuple and len(state) > 1 and _is_order(state[1]):
        made.value = made.value.newbyteorder(state[1])
    elif made.kind == "record" and made.value is None and type(state) is dict:
        budget.spend(len(state))
        if not all(type(key) is str for key in state):
            raise FormatError(f"{made.name} has an attribute whose name is no string")
        made.value = state
    else:
        kind = type(state).__name__
        raise FormatError(f"a state of type {kind} is given to an object ({made.kind}), which is refused")


def _is_order(x: Any) -> bool:
    return type(x) is str and x in ("<", ">", "|", "=")


def _ndarray(handle: Any, budget: Budget) -> Any:
    if handle is None:
        return None
    if type(handle) is not bytes:
        raise FormatError(f"the handle of an NDArray is of type {type(handle).__name__}: expected bytes")
    budget.spend(len(handle))
    source = Source(BytesIO(handle), len(handle))
    array = read_array(source)
    if source.left:
        source.fail(f"the bytes of an NDArray go on for {source.left} after its end")
    return array


def numpy_array(
    shape: tuple[Any, ...], dtype: np.dtype[Any], raw: bytes, is_fortran: bool, budget: Budget
) -> Array:
    """An array of NumPy's from its bytes. FormatError unless they are as many as shape and dtype take."""
    if (
        not isinstance(dtype, np.dtype)
        or len(shape) > MOST_DIMENSIONS
        or any(type(n) is not int or n < 0 for n in shape)
    ):
        raise FormatError("an array of NumPy's has no dtype, or a shape that is none")
    check_size(Source(BytesIO(), 0), shape, dtype.itemsize, "an array")
    if prod(shape) * dtype.itemsize != len(raw):
        raise FormatError(f"an array of shape {shape}, {dtype.name}, has {len(raw)} bytes")
    budget.spend(len(raw))
    if dtype.kind == "b" and raw.strip(b"\0\1"):
        raise FormatError("a bool is neither 0 nor 1")
    found = np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")
    return found.astype(dtype.newbyteorder("="), order="C", copy=True)
