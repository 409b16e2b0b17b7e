"""What the passes hand to each other: values, bodies, calls; then kernels, launches and the program.

lower      ops       -> calls      (a traced body on values; equal signatures share one body)
partition  calls     -> regions    (calls that run as one kernel)
simplify   regions   -> kernels    (one merged formula each; equal regions share one kernel)
plan       kernels   -> program    (order, batches, buffers)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..expr import Extent, Node
from ..prims import PAIR

Shape = tuple[int, ...]

DENSE, LISTED, STANDARD, REDUCE, LIBRARY = "dense", "listed", "standard", "reduce", "library"


class Value:
    """An array at one moment of the step, or a number of the host.

    `variable` names the bound array that holds it when the step starts. A value may be made of `parts`, each one
    element of it (`base` is the whole and the index), written by different calls.
    """

    __slots__ = ("base", "dtype", "host", "name", "parts", "shape", "sparse", "variable")

    def __init__(
        self,
        name: str,
        shape: Shape,
        dtype: str,
        *,
        variable: str | None = None,
        host: bool = False,
        sparse: bool = False,
        base: tuple[Value, int] | None = None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.variable = variable
        self.host = host
        self.sparse = sparse
        self.base = base
        self.parts: tuple[Value, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name}:{self.dtype}{list(self.shape)}"

    @property
    def whole(self) -> Value:
        """What this is an element of, or the value itself."""
        return self.base[0] if self.base else self

    @property
    def sources(self) -> tuple[Value, ...]:
        """The values that must have been made before this can be read."""
        return self.parts or ((self, self.base[0]) if self.base else (self,))

    def element(self, index: int) -> Value:
        """One number of a vector: the part it was made of, or a view of it."""
        if self.parts:
            return self.parts[index]
        return Value(f"{self.name}[{index}]", (1,), self.dtype, base=(self, index))


class Param(NamedTuple):
    """An array a body reads or writes: its name in the formula, stored dtype, and one value per what. `grid`: what it
    is an array of in a formula on matrices."""

    name: str
    dtype: str
    extent: Extent
    grid: str = "rc"


@dataclass(frozen=True, eq=False)
class Body:
    """A traced formula: `roots[k]` is what is stored as `outputs[k]`, a pair if that is complex; `load` leaves number
    the params.

    `mode`: DENSE; LISTED (only the rows of the sparse parameter; output k keeps the other rows of param `carries[k]`);
    STANDARD (every row, the sparse parameter is zero where it has none); REDUCE (one root, a reduction over the
    tensor); LIBRARY (one root, a function of a library on whole matrices). `sparse` is the sparse parameter's number.
    `grid` is what a body on matrices runs over.
    """

    op: str
    params: tuple[Param, ...]
    scalars: tuple[str, ...]
    outputs: tuple[Param, ...]
    roots: tuple[Node, ...]
    mode: str = DENSE
    sparse: int = -1
    carries: tuple[int, ...] = ()
    grid: str = "rc"


class Attribute(NamedTuple):
    """A numeric attribute of one node, or number `at` of a tuple of them: what a `scalar` leaf stands for."""

    node: Node
    name: str
    default: Any
    at: int = -1

    def number(self, value: Any) -> float:
        """The number meant, of the attribute's value."""
        return float(value if self.at < 0 else value[self.at])


Source = Attribute | Value | float  # where a scalar comes from: an attribute, a value of the host, a count


@dataclass(eq=False, slots=True)
class Call:
    """A body on values. `domain` is the shape its elements run over; of a LIBRARY body (matrices, rows, columns)."""

    body: Body
    domain: Shape
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    scalars: tuple[Source, ...]
    node: Node


@dataclass(eq=False, slots=True)
class HostCall:
    """An op on numbers of the host, evaluated in float64 before the kernels start."""

    root: Node
    leaves: dict[str, Source]
    output: Value
    node: Node


@dataclass(eq=False)
class Lowered:
    """The whole step as calls, in an order that respects data flow. `writes`: what each variable holds afterwards."""

    calls: list[Call]
    host_calls: list[HostCall]
    variables: dict[str, Value]
    values: dict[int, tuple[Value, ...]]  # by id(op node): the values of its outputs
    writes: dict[str, Value]
    heads: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class Region:
    """Calls that run as one kernel, over one domain."""

    calls: list[Call]
    domain: Shape
    mode: str


class Buffer(NamedTuple):
    """An array of a kernel: read, written, or both in place."""

    name: str
    dtype: str
    extent: Extent
    read: bool
    write: bool
    grid: str = "rc"


@dataclass(frozen=True, eq=False)
class Kernel:
    """One merged formula over one kind of domain. Pure data; equal kernels are one object.

    `stores`: (value, number of the buffer). `scalars`: numbers of the host, rounded to the dtype of their node;
    their leaves are named by position in `leaves`, pairs of (call in the region, scalar of its body).
    LISTED and STANDARD kernels have the stores of a row with gradient, of one whose duplicates were summed first
    (`widened`: the sparse buffer has the dtype of the computation), and of one without gradient (`absent`).
    `rows`: whether the domain is rows (something is per row) or a flat run of elements.
    """

    name: str
    mode: str
    rows: bool
    buffers: tuple[Buffer, ...]
    stores: tuple[tuple[Node, int], ...]
    scalars: tuple[Node, ...]
    leaves: tuple[tuple[int, str], ...]
    sparse: int = -1
    widened: tuple[tuple[Node, int], ...] = ()
    absent: tuple[tuple[Node, int], ...] = ()


@dataclass(eq=False, slots=True)
class Instance:
    """One run of a kernel: which values its buffers are, and where its scalars come from."""

    domain: Shape
    values: tuple[Value, ...]
    leaves: tuple[Source, ...]
    region: Region


@dataclass(eq=False)
class Launch:
    """Every instance of one kernel that may run at the same time."""

    kernel: Kernel
    instances: list[Instance]


@dataclass(eq=False)
class Program:
    """The step: host numbers, then launches in order. Which buffer every value lives in.

    `storage[value]` is the number of an executor's own buffer or the name of a variable; `sizes` their dtype and
    shape. `copies`: (value, variable) pairs written last, where a value could not be computed in place.
    """

    lowered: Lowered
    launches: list[Launch]
    storage: dict[int, str | int]
    buffers: list[tuple[str, Shape]] = field(default_factory=list)
    copies: list[tuple[Value, str]] = field(default_factory=list)


def puts_back(root: Node, buffer: int) -> bool:
    """Whether storing `root` in a buffer of a kernel changes nothing: it was read there."""
    parts = root.inputs if root.op == PAIR else (root,)
    return all(
        x.op == "load" and x.attrs["index"] == buffer and x.attrs.get("part", k) == k
        for k, x in enumerate(parts)
    )
