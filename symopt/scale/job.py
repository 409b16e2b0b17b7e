"""The table of a plan, and what training does to it at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..distributed.wire import WIRES
from ..dtypes import ITEMSIZE
from ..embedding.checks import checked
from ..embedding.options import whole
from ..embedding.parts import Part, layout_of
from ..embedding.segment import Segment
from ..errors import AttributeValueError
from ..idmap import IdMap
from ..records.layout import ALIGNMENT, Layout
from .given import quantity
from .results import RowBytes

SENDERS = ("driver", "worker")
ID_BYTES = SLOT_BYTES = 8
GROWN_MAP = 24.0  # bytes an id in a map that was not told how many will come: the most
_TRIED = 1 << 16  # ids of a map that is asked how many bytes it takes


@dataclass(frozen=True)
class Job:
    """A table with `rows` rows, of one Segment or several, and training that looks up and updates some at each step.

    workers: how many share a step. unique: rows that each of them asks for and sends gradients of, every one once.
    batch: ids in a worker's batch, with repeats; `unique` if not given. compute: a worker's own seconds per step.
    wire: the dtype of gradients on their way, "float16" or "bfloat16"; the table's own if not given, which is also
        that of rows that are looked up.
    checkpoint_every: steps; what is sent in between is kept, so that it can be sent again. window: steps that may be on
        their way at once. staleness: 0, or how many steps rows may lag behind: then lookups, work and updates overlap.
    sender: who makes the calls, each "worker" its own, or one "driver" all of them. together: the driver makes one call
        for what all workers have for a shard. by_host: messages to shards on one host are sent as one.
    reserved: tables were told how many rows will come (`Table(reserve=...)`). One that grows copies its rows at times,
        and has them twice meanwhile.

    AttributeValueError or DTypeError for what is no such number, or no segment.
    """

    rows: int
    segments: Segment | Sequence[Segment]
    workers: int = 1
    unique: int = 20_000
    batch: int | None = None
    compute: float = 0.0
    wire: str | None = None
    checkpoint_every: int = 1000
    window: int = 4
    staleness: int = 0
    sender: str = "driver"
    together: bool = False
    by_host: bool = False
    reserved: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", checked(self.segments, "a job"))
        for name in ("rows", "workers", "unique", "checkpoint_every", "window"):
            whole(f"a job: {name}", getattr(self, name), 1)
        whole("a job: staleness", self.staleness, 0)
        quantity("a job: compute", self.compute, zero=True)
        if self.batch is not None and whole("a job: batch", self.batch, 1) < self.unique:
            raise AttributeValueError(
                f"a job: a batch of {self.batch} ids has no {self.unique} different ones"
            )
        if self.unique > self.rows:
            raise AttributeValueError(f"a job: unique = {self.unique} of {self.rows} rows")
        if self.together and self.sender != "driver":
            raise AttributeValueError("a job: together is for calls of a driver; workers make their own")
        for name, known in (("wire", (*filter(None, WIRES), self.dtype)), ("sender", SENDERS)):
            value = getattr(self, name)
            if value not in known and (name, value) != ("wire", None):
                raise AttributeValueError(f"a job: {name} is one of {', '.join(known)}, got {value!r}")

    @property
    def parts(self) -> Sequence[Segment]:
        """The segments, as a tuple."""
        assert not isinstance(self.segments, Segment)
        return self.segments

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return sum(segment.dim for segment in self.parts)

    @property
    def dtype(self) -> str:
        """That of weights."""
        return self.parts[0].dtype

    @property
    def weights(self) -> int:
        """Bytes of a row's weights."""
        return self.dim * ITEMSIZE[self.dtype]

    @property
    def gradient(self) -> int:
        """Bytes of a row's gradient on its way."""
        return self.dim * ITEMSIZE[self.wire or self.dtype]

    @property
    def messages(self) -> int:
        """In how many messages a shard gets what all workers have for it."""
        return 1 if self.together else self.workers

    @property
    def repeats(self) -> float:
        """How often an id of a batch is there, on average."""
        return (self.batch or self.unique) / self.unique

    def row(self) -> RowBytes:
        """Bytes of a row, read off the layout that a table with these segments has."""
        layout = self._layout()
        payload = sum(column.nbytes for column in layout.columns.values())
        saved = payload + SLOT_BYTES
        return RowBytes(self.weights, payload, layout.stride, self._map(), saved, self.reserved)

    def _layout(self) -> Layout:
        return layout_of([Part(segment, k, 0) for k, segment in enumerate(self.parts)], ALIGNMENT)

    def _map(self) -> float:
        return IdMap(reserve=_TRIED).memory_bytes() / _TRIED if self.reserved else GROWN_MAP
