"""A graph that is run on rows of records, each row by itself: in one pass of machine code, or by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import config
from ..backends.jit import Compiled, compile_ir
from ..backends.launch import threads_for
from ..backends.pool import run_shared
from ..errors import AttributeValueError, DependencyError
from ..overlap import address
from ..passes.ir import LISTED
from ..symbol import Symbol
from .code import module_text
from .interpreted import Interpreted
from .layout import Layout
from .mix import seed_word
from .numbers import NOTHING, Given, Numbers
from .plan import Bound, Target, plan_rows

Array = npt.NDArray[Any]
CHUNK = 512  # rows that a thread takes at once
ENGINES = ("auto", "native", "reference")


class RowGraph:
    """A Symbol whose variables are columns of records, fields of batch arrays, or numbers.

    `bound`: what each variable is that is not a number. A variable's new value goes back where it came from; `outputs`
    say where those of the Symbol go. Each row is a tensor of its own: sums over the tensor are sums over its row. What
    formulas call the number of an element begins, in each row, at a number made of the seed and the row's id.
    `stamps`: rows that are run on count the update and note the second. `what`: for errors.
    """

    def __init__(
        self,
        symbol: Symbol,
        layout: Layout,
        bound: Mapping[str, Bound],
        outputs: Sequence[Target] = (),
        *,
        seed: int = 0,
        stamps: bool = False,
        engine: str = "auto",
        what: str = "a table",
    ) -> None:
        self.plan = plan_rows(symbol, layout, bound, outputs, what)
        self.stamps = stamps
        word = seed_word(seed)
        self._seed = word - (1 << 64) if word >> 63 else word  # as int64 has it
        self.numbers = Numbers(self.plan.program)
        self.interpreted = Interpreted(self.plan, word, stamps)
        self.code: Compiled | None = None
        if chosen(engine) == "native":
            self.code = compile_ir(module_text(self.plan, stamps))

    def reserve(self, n: int) -> None:
        """Be ready to run on `n` rows: on the host it takes nothing."""

    def run(
        self,
        records: npt.NDArray[np.uint8],
        slots: npt.NDArray[np.int64],
        arrays: Mapping[str, Any] = NOTHING,
        numbers: Given = NOTHING,
        now: int = 0,
    ) -> None:
        """Run on the records (capacity, stride) of these slots (n,), each listed once if the graph writes it.

        `arrays`: (n, width) each, rows contiguous. `numbers`: floats, or float64 (n,). A slot below 0 is skipped, and
        gets outputs of zeros. All must have been checked: nothing is, here.
        """
        self.ready(records, slots, arrays, numbers, now)()

    def ready(
        self,
        records: npt.NDArray[np.uint8],
        slots: npt.NDArray[np.int64],
        arrays: Mapping[str, Any] = NOTHING,
        numbers: Given = NOTHING,
        now: int = 0,
    ) -> Callable[[], None]:
        """What `run` does, later: a function that, with machine code, needs no more memory and can't fail."""
        if not len(slots):
            return _nothing
        if self.code is None:
            return partial(self.interpreted.run, records, slots, arrays, numbers, now)
        table = self.numbers.table(numbers)
        job, n_bytes = self._job(records, slots, arrays, table, now)
        threads = threads_for(LISTED, n_bytes, int(job[1]))
        kept = job, table, records, slots, arrays  # whose addresses the job has
        return partial(_launch, self.code, threads, kept)

    def _job(
        self, records: Array, slots: Array, arrays: Mapping[str, Array], table: Array, now: int
    ) -> tuple[Array, int]:
        n = len(slots)
        words = table.shape[-1] if table.ndim == 2 else 0
        job = [0, -(-n // CHUNK), CHUNK, n, address(records), address(slots), address(table), words]
        job += self._seed, now
        n_bytes = n * self.plan.layout.stride
        for name in self.plan.arrays:
            array = arrays[name]
            job += address(array), array.strides[0]
            n_bytes += array.nbytes
        return np.array(job, np.int64), n_bytes


def _launch(code: Compiled, threads: int, kept: tuple[Array, *tuple[Any, ...]]) -> None:
    job = kept[0]
    if threads < 2:
        code.step(address(job), 0)
    else:
        run_shared(code.run, address(job), [0] * min(threads, config.num_threads()))


def _nothing() -> None:
    pass


def chosen(engine: str) -> str:
    """The engine that `engine` means here: machine code where llvmlite is."""
    if engine not in ENGINES:
        raise AttributeValueError(f"engine is one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "auto":
        try:
            import llvmlite.binding
        except ImportError:
            return "reference"
        return "native"
    if engine == "native":
        try:
            import llvmlite.binding  # noqa: F401
        except ImportError as error:
            raise DependencyError(
                "the native engine needs llvmlite: pip install llvmlite, or use engine='reference'"
            ) from error
    return engine
