"""The tables that kernels read, each written down once: as a NumPy dtype for the host and as a C struct."""

from __future__ import annotations

import numpy as np

from ...canonical import BLOCK, LANES
from ...passes.ir import LISTED, STANDARD, Kernel

THREADS = 256  # of every block of every launch
OPEN = 2**64 - 1  # what the gate holds while nothing is wrong
NONFINITE = 1  # what it holds if a step was not finite: below every fault
ENTRY_BITS = 40  # of a fault, below the number of the gradient: which entry it is
BY_VALUE = 256  # numbers that fit in the arguments of a launch; kernels with more read them from a table
_C = {"u8": "u64", "i8": "i64", "i4": "int"}

Field = tuple[str, str, int]  # name, type, how many (0: one, not an array)


def chunk_fields(kernel: Kernel) -> tuple[Field, ...]:
    """What a block of threads must know to run one chunk of one tensor.

    p: the address of each buffer; of what is per element or row where the chunk starts, except in LISTED kernels and
    of the sparse gradient, whose rows lie anywhere. n: elements, rows or entries in the chunk; first: the number of the
    first one in the tensor; cols: elements of a row; tensor: which of the launch; aligned: whether every access may be
    of 16 bytes; shift: two to that are the threads of a row.
    Of a sparse gradient: rows, the row of each entry, ascending if `order` is not null, which then says where each lies
    in the data; listed: how many there are; slots: of STANDARD kernels, the first entry of each row, or -1.
    """
    fields: tuple[Field, ...] = (
        ("p", "u8", len(kernel.buffers)),
        ("n", "i8", 0),
        ("first", "i8", 0),
        ("cols", "i8", 0),
        ("tensor", "i4", 0),
        ("aligned", "i4", 0),
        ("shift", "i4", 0),
        ("unused", "i4", 0),
    )
    if kernel.mode in (LISTED, STANDARD):
        fields += (("rows", "u8", 0), ("order", "u8", 0), ("slots", "u8", 0), ("listed", "i8", 0))
    return fields


def scalar_fields(kernel: Kernel) -> tuple[Field, ...]:
    """The numbers of a launch: `values`, the same for each tensor, or, if `table` is not null, a table of which each
    tensor has the row `stride` numbers further. A number takes 8 bytes; a float32 is in the first four."""
    count = len(kernel.scalars)
    return (
        ("table", "u8", 0),
        ("stride", "i8", 0),
        ("values", "u8", count if 0 < count <= BY_VALUE else 1),
    )


FOLD_FIELDS: tuple[Field, ...] = (("parts", "u8", 0), ("result", "u8", 0), ("n", "i8", 0))
# Of the structs that service.cuh declares.
LISTING_FIELDS: tuple[Field, ...] = (
    ("indices", "u8", 0),
    ("rows", "u8", 0),
    ("slots", "u8", 0),
    ("n", "i8", 0),
    ("n_rows", "i8", 0),
    ("ascending", "i8", 0),
)
COPY_FIELDS: tuple[Field, ...] = (("target", "u8", 0), ("source", "u8", 0), ("bytes", "i8", 0))


def dtype_of_fields(fields: tuple[Field, ...]) -> np.dtype[np.void]:
    """Fields as NumPy lays them out: without gaps, but a multiple of 16 bytes, which are read at once."""
    packed = np.dtype([(name, f"<{type_}", (n,)) if n else (name, f"<{type_}") for name, type_, n in fields])
    names = [name for name, _, _ in fields]
    assert packed.fields is not None
    formats, offsets = zip(*(packed.fields[name][:2] for name in names), strict=True)
    size = -(-packed.itemsize // 16) * 16
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def struct(name: str, fields: tuple[Field, ...]) -> str:
    """Fields as a C struct, with assertions that the compiler lays them out as NumPy does."""
    members = " ".join(f"{_C[type_]} {field}{f'[{n}]' if n else ''};" for field, type_, n in fields)
    return f"struct alignas(16) {name} {{ {members} }};\n{struct_checks(name, fields)}"


def defines() -> str:
    """The numbers that the host and the kernels must agree on, for C."""
    numbers = {
        "THREADS": THREADS,
        "LANES": LANES,
        "BLOCK": BLOCK,
        "ENTRY_BITS": ENTRY_BITS,
        "OPEN": f"{OPEN}ull",
    }
    return "".join(f"#define {name} {number}\n" for name, number in numbers.items())


def struct_checks(name: str, fields: tuple[Field, ...]) -> str:
    """The assertions of a struct."""
    dtype = dtype_of_fields(fields)
    assert dtype.fields is not None
    checks = [
        f'static_assert(__builtin_offsetof({name}, {field}) == {dtype.fields[field][1]}, "{name}.{field}");'
        for field, _, _ in fields
    ]
    return "\n".join([*checks, f'static_assert(sizeof({name}) == {dtype.itemsize}, "{name}");'])
