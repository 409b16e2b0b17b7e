"""One array as MXNet stores it: in the list of a .params file, and as the `handle` of a pickled NDArray.

What is stored, little-endian (apache/mxnet, src/ndarray/ndarray.cc, NDArray::Save and NDArray::Load):

    uint32  version: a magic number, or in the oldest files the number of dimensions, with uint32 sizes
    int32   storage type            since V2: 0 dense, 1 row_sparse, 2 csr
    shape   of the rows stored      row_sparse only: int32 dimensions, then int64 sizes
    shape   of the array            if it says "none", the array ends here
    int32   device type, device number
    int32   dtype
    int32   dtype of the indices    row_sparse only
    shape   of the indices          row_sparse only
    the elements, then the indices

V3 means NumPy's shapes: () is a number and a size of 0 is 0. Before, both meant that a shape is not known.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import DTYPES, MXNET_CODES, to_numpy
from ..errors import ArrayError, DTypeError, StorageError
from ..places import HOST, place_of_array
from ..sparse import RowSparseArray
from .source import MOST_DIMENSIONS, Source, check_size

Stored = Array | RowSparseArray

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
DEVICES = {1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"}
INTEGERS = {
    "uint8": 3,
    "int32": 4,
    "int8": 5,
    "int64": 6,
    "int16": 8,
    "uint16": 9,
    "uint32": 10,
    "uint64": 11,
}
CODES = {**MXNET_CODES, **INTEGERS, "bool": 7}
NAMES = {code: name for name, code in CODES.items()}


# ---- reading


def read_array(source: Source) -> Stored | None:
    """The next array, on the host wherever it was; None where MXNet stored an NDArray that holds nothing.

    FormatError for what is no such array, for csr, and for sizes beyond the end of the file.
    """
    start = source.offset
    (version,) = source.numbers("I", "the version of an array")
    if version not in (V2, V3):
        shape = _shape(source) if version == V1 else _old_shape(source, version, start)
        return _dense(source, shape) if shape else None
    (storage,) = source.numbers("i", "the storage type of an array")
    if storage == CSR:
        source.fail("an array is stored as csr: symopt has dense and row_sparse arrays", start)
    if storage not in (DENSE, ROW_SPARSE):
        source.fail(f"an array has the unknown storage type {storage}", start)
    rows = _shape(source) if storage == ROW_SPARSE else None
    shape = _shape(source, is_numpys=version == V3)
    if shape is None or (version == V2 and shape == ()):
        return None
    return _dense(source, shape) if storage == DENSE else _row_sparse(source, shape, rows or ())


def _shape(source: Source, is_numpys: bool = False) -> tuple[int, ...] | None:
    """Dimensions and sizes; None for a shape that is not known."""
    at = source.offset
    (count,) = source.numbers("i", "the number of dimensions")
    if count == -1:
        return None
    if not 0 <= count <= MOST_DIMENSIONS:
        source.fail(f"an array has {count} dimensions: expected 0 to {MOST_DIMENSIONS}", at)
    sizes = source.numbers(f"{count}q", "the shape of an array")
    if is_numpys and -1 in sizes:
        return None
    if sizes and min(sizes) < 0:
        source.fail(f"an array has the shape {sizes}: sizes must be at least 0", at)
    return sizes


def _old_shape(source: Source, count: int, at: int) -> tuple[int, ...]:
    if count > MOST_DIMENSIONS:
        source.fail(f"no array begins with {count:#x}: expected the version of one", at)
    return source.numbers(f"{count}I", "the shape of an array")


def _device(source: Source) -> None:
    at = source.offset
    kind, number = source.numbers("2i", "the device of an array")
    if kind not in DEVICES or number < 0:
        source.fail(f"an array lies on the unknown device {kind}, {number}", at)


def _dtype(source: Source, what: str) -> str:
    at = source.offset
    (code,) = source.numbers("i", what)
    if code not in NAMES:
        source.fail(
            f"{what} is {code}: expected one of {', '.join(f'{c} {n}' for c, n in NAMES.items())}", at
        )
    return NAMES[code]


def _dense(source: Source, shape: Sequence[int]) -> Array:
    _device(source)
    dtype = _dtype(source, "the dtype of an array")
    return _elements(source, shape, dtype)


def _elements(source: Source, shape: Sequence[int], dtype: str) -> Array:
    at = source.offset
    if dtype != "bool":
        return source.array(shape, to_numpy(dtype), f"an array of shape {tuple(shape)}, {dtype},")
    raw = source.array(shape, np.dtype(np.uint8), f"an array of shape {tuple(shape)}, bool,")
    if (raw > 1).any():
        source.fail(f"a bool is {int(raw.max())}: expected 0 or 1", at)
    return raw.view(np.bool_)


def _row_sparse(source: Source, shape: tuple[int, ...], rows: tuple[int, ...]) -> RowSparseArray:
    at = source.offset
    _device(source)
    dtype = _dtype(source, "the dtype of an array")
    index = _dtype(source, "the dtype of indices")
    count = _shape(source)
    if rows[1:] != shape[1:] or len(rows) != len(shape) or count != rows[:1]:
        source.fail(f"a row_sparse array of shape {shape} stores rows {rows} at indices {count}", at)
    if dtype not in DTYPES:
        source.fail(f"a row_sparse array has dtype {dtype}: expected one of {', '.join(DTYPES)}", at)
    if index not in INTEGERS:
        source.fail(f"indices have dtype {index}: expected integers", at)
    check_size(source, shape, to_numpy(dtype).itemsize, "a row_sparse array")
    data = _elements(source, rows, dtype)
    at = source.offset
    indices = _elements(source, rows[:1], index)
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= shape[0]):
        source.fail(f"a row_sparse array of shape {shape} has rows {indices.min()} to {indices.max()}", at)
    indices = indices.astype(np.int64, copy=False)
    return RowSparseArray(data, indices, shape, canonical=_ascend(indices))


def _ascend(indices: Array) -> bool:
    return bool((np.diff(indices) > 0).all())


# ---- writing


def on_host(x: Any, what: str) -> Stored:
    """An array of any library and device as one of the host, contiguous, of a dtype that MXNet has.

    row_sparse arrays have ascending rows then, each once: MXNet reads others wrongly. DTypeError and ArrayError name
    the array.
    """
    place = place_of_array(x)
    if isinstance(x, RowSparseArray):
        _check_dtype(x.dtype, what)
        x.check_indices(what)
        hosted = x if place is HOST else x.copy_to(HOST)
        return hosted if _ascend(hosted.indices) else hosted.coalesce()
    array = place.view(x, what)
    _check_dtype(array.dtype, what)
    if place is not HOST:
        array = place.to_host(array)
    dtype = to_numpy(array.dtype.name)
    return np.ascontiguousarray(array, dtype).reshape(array.shape)


def _check_dtype(dtype: np.dtype[Any], what: str) -> None:
    if dtype.name not in CODES:
        raise DTypeError(f"{what} has dtype {dtype.name}: MXNet's files hold {', '.join(CODES)}")


def version_for(arrays: Mapping[str, Stored], np_shape: bool | None) -> int:
    """The version that arrays of one file are written in. V2, which all readers know, unless `np_shape` is True, or it
    is None and an array has no dimensions or no elements. ArrayError or StorageError where the one asked for cannot."""
    empty = [
        what for what, x in arrays.items() if not isinstance(x, RowSparseArray) and not (x.ndim and x.size)
    ]
    sparse = [what for what, x in arrays.items() if isinstance(x, RowSparseArray)]
    if np_shape is False and empty:
        raise ArrayError(f"{empty[0]} has no dimensions or no elements, which the format of np_shape=False cannot say: "
                         "give it the shape (1,), or np_shape=True")  # fmt: skip
    if not (np_shape or empty):
        return V2
    if sparse:
        why = "np_shape=True" if np_shape else f"{empty[0]} has no dimensions or no elements"
        raise StorageError(f"{sparse[0]} is row_sparse, which MXNet's format with NumPy's shapes lacks, and {why}: "
                           "write it to a file of its own, or .todense()")  # fmt: skip
    return V3


def pieces(x: Stored, version: int) -> Iterator[bytes | memoryview]:
    """The bytes of an array that `on_host` gave, in parts: elements are not copied."""
    head = struct.pack("<Ii", version, ROW_SPARSE if isinstance(x, RowSparseArray) else DENSE)
    code = CODES[x.dtype.name]
    device = struct.pack("<2i", 1, 0)  # cpu(0)
    if isinstance(x, RowSparseArray):
        tail = struct.pack("<2i", code, CODES["int64"]) + _packed(x.indices.shape)
        yield head + _packed(x.data.shape) + _packed(x.shape) + device + tail
        yield from (_raw(x.data), _raw(x.indices))
    else:
        yield head + _packed(x.shape) + device + struct.pack("<i", code)
        yield _raw(x)


def _packed(shape: Sequence[int]) -> bytes:
    return struct.pack(f"<i{len(shape)}q", len(shape), *shape)


def _raw(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data  # bfloat16 has no buffer of its own
