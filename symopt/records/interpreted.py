"""A graph on rows of records in NumPy, call by call: the definition of what the machine code does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.interpret import Window, interpret
from ..dtypes import to_numpy
from ..expr import Extent
from ..passes.ir import REDUCE, Call, Program, Source, Value
from .layout import ABSENT, ID, TIMESTAMP, UPDATES
from .mix import first_of
from .numbers import Given, Numbers
from .plan import Field, RowPlan

Array = npt.NDArray[Any]


class Interpreted:
    """Runs a row plan without machine code."""

    def __init__(self, plan: RowPlan, word: int, stamps: bool) -> None:
        self.plan = plan
        self.word = word
        self.stamps = stamps
        self.numbers = Numbers(plan.program)

    def run(
        self, records: Array, slots: Array, arrays: Mapping[str, Array], numbers: Given, now: int
    ) -> None:
        """RowGraph.run."""
        is_row = slots >= 0
        for field in self.plan.outputs:
            if isinstance(field, Field):
                _part(arrays[field.array], field)[~is_row] = 0
        which = np.flatnonzero(is_row)
        # A sum over the tensor is one over a row: such graphs run row by row, any other on all rows at once.
        step = 1 if _has_tensors(self.plan.program) else max(len(which), 1)
        for begin in range(0, len(which), step):
            some = which[begin : begin + step]
            own = {k: x[some] if isinstance(x, np.ndarray) else x for k, x in numbers.items()}
            _Rows(self, records, slots[some], some, arrays, own).run(now)


class _Rows:
    """Some rows under way."""

    def __init__(
        self,
        of: Interpreted,
        records: Array,
        slots: Array,
        places: Array,
        arrays: Mapping[str, Array],
        own: Given,
    ) -> None:
        self.plan, self.stamps = of.plan, of.stamps
        self.records, self.slots, self.places, self.arrays = records, slots, places, arrays
        self.numbers = of.numbers
        self.numbers.take(own)
        self.first = first_of(self._column(ID)[slots], of.word)
        self.made: dict[int, Array] = {}
        self._repeats = 1

    def run(self, now: int) -> None:
        program = self.plan.program
        with np.errstate(all="ignore"):
            for call in program.lowered.calls:
                for value, array in zip(call.outputs, self._call(call), strict=True):
                    self.made[id(value)] = array
        for name, value in program.lowered.writes.items():
            self._write(name, self.made[id(value)])
        for target, head in zip(self.plan.outputs, program.lowered.heads, strict=False):
            if target is not None:
                made = self.made.get(id(head))
                self._put(target, self._read(str(head.variable)) if made is None else made)
        if self.stamps:
            self._column(TIMESTAMP)[self.slots] = now
            updates = self._column(UPDATES)
            updates[self.slots] = np.minimum(updates[self.slots].astype(np.int64) + 1, ABSENT - 1)

    def _call(self, call: Call) -> list[Array]:
        n_rows = call.domain[0] if call.domain else 1
        n_columns = int(np.prod(call.domain[1:]))
        window = Window(range(len(self.slots) * n_rows), range(n_columns), n_columns)
        self._repeats = n_rows
        first = (self.first[:, None] + np.arange(n_rows) * n_columns).ravel()
        outputs = interpret(call, window, self, range(len(call.outputs)), first=first)
        return [np.asarray(x) for x in outputs]

    # ---- what calls read (backends.interpret.Reader)

    def array(self, value: Value, extent: Extent, window: Window) -> Array:
        array = self.made.get(id(value))
        if array is None:
            array = self._read(str(value.variable))
        if extent == Extent.TENSOR:
            return array.reshape(())
        return array.reshape(len(window.rows), -1 if extent == Extent.ELEMENT else 1)

    def entries(self, value: Value, window: Window) -> tuple[Array, Array]:
        raise AssertionError("rows have no sparse gradient")

    def number(self, source: Source) -> float:
        number: Any = self.numbers.evaluated.number(source)
        if isinstance(number, np.ndarray):
            number = number[0] if len(number) == 1 else np.repeat(number, self._repeats)
        return number  # type: ignore[no-any-return]

    # ---- where variables are

    def _column(self, name: str) -> Array:
        return self.plan.layout.view(self.records, name)

    def _read(self, name: str) -> Array:
        place = self.plan.bound[name].place
        if isinstance(place, Field):
            return _part(self.arrays[place.array], place)[self.places]
        return self._column(place)[self.slots]

    def _write(self, name: str, array: Array) -> None:
        self._put(self.plan.bound[name].place, array)

    def _put(self, place: str | Field, array: Array) -> None:
        found = array.reshape(len(self.slots), -1)
        if isinstance(place, Field):
            _part(self.arrays[place.array], place)[self.places] = found
        else:
            self._column(place)[self.slots] = found


def _part(array: Array, field: Field) -> Array:
    part = array[:, field.offset : field.offset + field.width]
    return part if part.dtype == to_numpy(field.dtype) else part.view(to_numpy(field.dtype))


def _has_tensors(program: Program) -> bool:
    """Whether some value is one of a whole tensor."""
    calls = program.lowered.calls
    return any(
        c.body.mode == REDUCE or any(p.extent == Extent.TENSOR for p in (*c.body.params, *c.body.outputs))
        for c in calls
    )
