"""A graph that is run on rows which lie on a device, column by column: one launch of one kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends.choose import device_of
from ..backends.cuda.device import Code, Device, DeviceArray, Source
from ..backends.cuda.geometry import PER_MULTIPROCESSOR
from ..dtypes import ITEMSIZE
from ..passes.calls import size_of
from ..places import Place
from ..symbol import Symbol
from .cudacode import Home, Scratch, aligned, cuda_rows_text, is_indexed, sections
from .layout import ABSENT, ID, TIMESTAMP, UPDATES, Layout
from .mix import first_of, seed_word
from .numbers import NOTHING, Given, Numbers
from .plan import Bound, Field, Target, plan_rows

Array = npt.NDArray[Any]
GROWTH = 1.25
MOST_PASSES = 16  # of a block of threads over its rows, before it takes others


class _Lies(NamedTuple):
    """Where the rows of an array are: the address, bytes from row to row, and whether slots tell rows."""

    address: int
    stride: int
    listed: bool


class DeviceRowGraph:
    """`RowGraph` for columns on a device. Numbers are evaluated on the host, by the same functions.

    The columns id, timestamp and updates are the host's. `reserve` comes before anything is written: it compiles the
    kernel and takes the memory that a run needs, so that nothing is left to fail in a run.
    """

    def __init__(
        self,
        symbol: Symbol,
        layout: Layout,
        bound: Mapping[str, Bound],
        outputs: Sequence[Target] = (),
        *,
        place: Place,
        seed: int = 0,
        stamps: bool = False,
        what: str = "a table",
    ) -> None:
        self.plan = plan_rows(symbol, layout, bound, outputs, what)
        self.place = place
        self.stamps = stamps
        self.word = seed_word(seed)
        self.numbers = Numbers(self.plan.program)
        self.sections = sections(self.plan)
        self._words = sum(section.words for section in self.sections)  # before what is told of each row
        self._n_numbers = sum(len(section.kernel.scalars) for section in self.sections)
        self._is_indexed = any(is_indexed(section.kernel) for section in self.sections)
        self._device: Device | None = None
        self._code: Code = {}
        self._room = 0
        self._job: DeviceArray = None
        self._scratch: dict[int, DeviceArray] = {}

    # ---- before anything is written

    def reserve(self, n: int) -> None:
        """Be ready to run on `n` rows. DeviceMemoryError if there is no room."""
        device = self._loaded()
        if n <= self._room or not self.sections:
            return
        room = max(n, int(self._room * GROWTH))
        used = {h.number for s in self.sections for h, _ in s.homes if isinstance(h, Scratch)}
        with device.current():
            job = device.zeros(self._words + room * (3 + self._n_numbers) + self._n_numbers, np.int64)
            sizes = {k: self.plan.program.buffers[k] for k in used}
            scratch = {
                k: device.zeros(max(room * size_of(shape), 1) * ITEMSIZE[dtype], np.uint8)
                for k, (dtype, shape) in sizes.items()
            }
        self._job, self._scratch, self._room = job, scratch, room

    def _loaded(self) -> Device:
        if self._device is None:
            device = device_of(self.place)
            if self.sections:
                with device.current():
                    (self._code,) = device.load([Source(cuda_rows_text(self.sections), ("run",))])
            self._device = device
        return self._device

    # ---- a run

    def ready(
        self,
        columns: Mapping[str, Any],
        slots: npt.NDArray[np.int64],
        arrays: Mapping[str, Any] = NOTHING,
        numbers: Given = NOTHING,
        now: int = 0,
    ) -> Callable[[], None]:
        """What `run` does, later: a function that needs no more memory of the device."""
        self.reserve(len(slots))
        return partial(self.run, columns, slots, arrays, numbers, now)

    def run(
        self,
        columns: Mapping[str, Any],
        slots: npt.NDArray[np.int64],
        arrays: Mapping[str, Any] = NOTHING,
        numbers: Given = NOTHING,
        now: int = 0,
    ) -> None:
        """Run on these slots (n,) of the columns, each listed once if the graph writes it.

        `slots`, and `numbers` of which each row has its own, are the host's; `arrays` (n, width), rows contiguous, and
        all columns but those of the header are the device's. A slot below 0 is skipped, and gets outputs of zeros.
        """
        n = len(slots)
        if not n:
            return
        self.reserve(n)
        assert self._device is not None
        if self.sections:
            with self._device.current():
                self._blank(slots, arrays)
                self._launch(self._device, columns, slots, arrays, numbers)
        if self.stamps:
            columns[TIMESTAMP][slots] = now
            columns[UPDATES][slots] = np.minimum(columns[UPDATES][slots].astype(np.int64) + 1, ABSENT - 1)

    def _blank(self, slots: Array, arrays: Mapping[str, Any]) -> None:
        """Zeros where outputs may not be written."""
        if (slots < 0).any():
            for field in self.plan.outputs:
                if isinstance(field, Field):
                    arrays[field.array][:, field.offset : field.offset + field.width] = 0

    def _launch(
        self,
        device: Device,
        columns: Mapping[str, Any],
        slots: Array,
        arrays: Mapping[str, Any],
        numbers: Given,
    ) -> None:
        n = len(slots)
        table, which = self.numbers.rows(numbers)
        told: list[Array] = [slots]
        if which is not None:
            told.append(which)
        if self._is_indexed:
            told.append(first_of(columns[ID][slots], self.word))
        which_at = self._words + n if which is not None else 0
        firsts_at = self._words + n * (len(told) - 1) if self._is_indexed else 0
        numbers_at = self._words + n * len(told)
        words = [np.array(self._pointers(device, columns, arrays), np.int64), *told]
        job = np.concatenate([*words, table.reshape(-1).view(np.int64)])
        device.upload(self._job[: len(job)], job)
        per, grid = self._cut(n, device.multiprocessors)
        told_at = (n, per, self._words, which_at, firsts_at, numbers_at)
        address = np.uint64(device.address(self._job))
        device.launch(self._code["run"], grid, (address, *map(np.int64, told_at)))

    def _cut(self, n: int, multiprocessors: int) -> tuple[int, int]:
        """Rows of a block of threads at a time, and how many blocks."""
        step = max(section.step for section in self.sections)
        wanted = -(-n // (multiprocessors * PER_MULTIPROCESSOR))
        per = min(-(-wanted // step), MOST_PASSES) * step
        return per, min(-(-n // per), multiprocessors * PER_MULTIPROCESSOR)

    def _pointers(self, device: Device, columns: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[int]:
        """The words of all sections."""
        lie: dict[Home, _Lies] = {}
        words: list[int] = []
        for section in self.sections:
            addresses, steps = [], []
            for (home, index), buffer in zip(section.homes, section.kernel.buffers, strict=True):
                if home not in lie:
                    lie[home] = self._lies(device, home, columns, arrays)
                size = ITEMSIZE[buffer.dtype]
                addresses.append(lie[home].address + index * size)
                steps.append(lie[home].stride // size)
                words += addresses[-1], steps[-1], int(lie[home].listed)
            words.append(int(aligned(section, addresses, steps)))
        return words

    def _lies(
        self, device: Device, home: Home, columns: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> _Lies:
        if isinstance(home, str):
            return _Lies(device.address(columns[home]), self.plan.layout[home].nbytes, listed=True)
        if isinstance(home, Field):
            array = arrays[home.array]
            beside = home.offset * ITEMSIZE[home.dtype]
            return _Lies(device.address(array) + beside, array.strides[0], listed=False)
        dtype, shape = self.plan.program.buffers[home.number]
        return _Lies(
            device.address(self._scratch[home.number]), size_of(shape) * ITEMSIZE[dtype], listed=False
        )
