"""A planned graph on its arrays: what Executor and `so.nd` both run. Not thread-safe by itself."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arrays import Array
from .backends.base import Engine, Memory, Monitor
from .backends.choose import make_engine
from .backends.watched import NanGuard
from .binding import check_complete, check_kinds, check_memory, written
from .bound import Bound, Given, as_argument
from .dtypes import to_numpy
from .errors import RowIndexError
from .expr import Node
from .infer import Types, infer
from .nonfinite import FiniteReport, StepFacts, Uses, error_of, report_of, uses
from .overlap import addresses
from .passes import compile_graph
from .passes.ir import Value
from .places import HOST, Place
from .replacing import Replacing
from .sparse import RowSparseArray


class Step:
    """The program of a graph, the arrays it is bound to, and the engine that runs it.

    `order`: the nodes under `roots`, inputs first. `place`: where all arrays are; engine and `capture` have passed
    `check_engine` for it. `guard`: "raise", "skip" or None; `skipped` counts the steps that it left out, `last_skip`
    tells why. `outputs`: the arrays of the roots, the same at every run.
    """

    def __init__(
        self,
        roots: Sequence[Node],
        given: Mapping[str, Given],
        order: list[Node],
        engine: str,
        place: Place = HOST,
        capture: bool = False,
        guard: NanGuard = None,
    ) -> None:
        self.roots = roots
        self.engine_name = engine
        self.place = place
        self.capture = capture
        self.guard = guard
        self.skipped = 0
        self.last_skip: FiniteReport | None = None
        self._uses: dict[str, Uses] | None = None  # made when a guard first finds something
        with without_collection():
            self.mutable = written(order)
            self.bound = {n: as_argument(n, value, n in self.mutable, place) for n, value in given.items()}
            self.types = self._infer(order)
            check_complete(self.types)
            check_kinds(self.types, self.bound, place)
            check_memory(self.bound, self.mutable)
            for name, b in self.bound.items():
                if b.sparse is not None:
                    b.sparse.check_indices(f"argument {name!r}")
            self.program = compile_graph(roots, self.types)
            self.memory = self._make_memory()
            self._look_up()
            self.start(None)

    # ---- made once

    def _infer(self, order: list[Node]) -> Types:
        return infer(
            self.roots,
            {name: b.shape for name, b in self.bound.items()},
            {name: b.dtype for name, b in self.bound.items() if not b.is_number},
            {name: b.stype for name, b in self.bound.items()},
            order=order,
        )

    def _make_memory(self) -> Memory:
        memory = Memory()
        variables = self.program.lowered.variables
        for name, b in self.bound.items():
            if b.sparse is not None:
                memory.sparse[name] = b.sparse
            elif variables[name].host:
                memory.numbers[name] = b.read_number()
            elif b.array is not None:
                memory.arrays[name] = b.array
        for k, (dtype, shape) in enumerate(self.program.buffers):
            memory.arrays[k] = self.place.zeros(shape, to_numpy(dtype))
        return memory

    def _look_up(self) -> None:
        """Facts about the program that every run needs."""
        lowered, storage = self.program.lowered, self.program.storage
        self.host_writes = [name for name, value in lowered.writes.items() if value.host]
        self.host_heads = [k for k, value in enumerate(lowered.heads) if value.host]
        self.heads_in: dict[str, list[int]] = {}  # outputs that lie in a variable's array
        for k, value in enumerate(lowered.heads):
            key = storage.get(id(value))
            if isinstance(key, str):
                self.heads_in.setdefault(key, []).append(k)
        self.outputs: list[Any] = [self._output(value) for value in lowered.heads]
        host = {name for name, value in lowered.variables.items() if value.host}
        self._replacing = Replacing(self.bound, self.mutable, self.place, host, self.heads_in)
        self._watch()

    def _watch(self) -> None:
        """Arguments that are read anew before each run: strided views, and numbers held in 0-d arrays."""
        variables = self.program.lowered.variables
        self.strided = [b for b in self.bound.values() if b.source is not None]
        self.held = [(n, b) for n, b in self.bound.items() if b.array is not None and variables[n].host]

    def _output(self, value: Value) -> Any:
        key = self.program.storage.get(id(value))
        if value.host:
            return np.zeros((), np.float64)
        return self.bound[key].result() if isinstance(key, str) else self.memory.arrays[key]  # type: ignore[index]

    def start(self, monitor: Monitor | None, variables: bool = False) -> None:
        """Make the engine."""
        self.engine: Engine = make_engine(
            self.engine_name,
            self.program,
            self.memory,
            monitor,
            variables,
            self.capture,
            self.place,
            self.guard,
        )

    def is_number(self, name: str) -> bool:
        """Whether what is bound to `name` is a number of the host, in an array or not."""
        return self.program.lowered.variables[name].host

    # ---- every step

    def run(self) -> None:
        """One step. Raises before anything is written, or not at all, but for the guard's error."""
        for b in self.strided:
            b.read_source()
        for name, b in self.held:
            self._set_number(name, b.read_number())
        self._heeding(self.engine.prepare)
        if self.guard:
            self._heed_guard(late=True)
        self.engine.run()
        is_skipped = self.guard == "skip" and self.engine.found
        if (self.host_writes or self.host_heads) and not is_skipped:
            self._show_numbers()
        if self.guard:
            self._heed_guard(late=False)

    def synchronize(self) -> None:
        """Wait for every step so far, and raise what one of them ran into."""
        self._heeding(self.engine.synchronize)
        if self.guard:
            self._heed_guard(late=True)

    def _heed_guard(self, late: bool) -> None:
        """Count a step that was left out, or raise, if one that the engine knows of by now was not finite. `late`: it
        may not have been the last one."""
        if not self.engine.found:
            return
        found, self.engine.found = self.engine.found, []
        if self._uses is None:
            self._uses = uses(self.types)
        facts = StepFacts(self.roots, self.types, self.program, self.memory, self.bound, self._uses)
        report = report_of(found, facts, changed=self.guard == "raise", late=late)
        if self.guard == "skip":
            self.skipped += self.engine.left_out
            self.last_skip = report
            return
        self._show_written_numbers()
        raise error_of(report, late)

    def _heeding(self, look: Callable[[], None]) -> None:
        """Call what may raise the error of an earlier step: then numbers that it had written are what they were."""
        try:
            look()
        except RowIndexError:
            self._show_written_numbers()
            raise

    def _show_numbers(self) -> None:
        """Put what the host computed where the user sees it."""
        for k in self.host_heads:
            self.outputs[k][...] = self.engine.numbers.values[id(self.program.lowered.heads[k])]
        self._show_written_numbers()

    def _show_written_numbers(self) -> None:
        for name in self.host_writes:
            self.bound[name].write_number(self.memory.numbers[name])

    def take(self, given: Mapping[str, Given]) -> None:
        """Bind other arrays or numbers: all are checked before any is taken."""
        found = self._replacing.checked(given)
        for name, number in found.numbers.items():
            self.bound[name].number = self.bound[name].given = number
            self._set_number(name, number)
        if found.rows:
            self._replace_rows(found.rows)
        if found.arrays:
            self._replace_arrays(found.arrays, found.lie_at)
        if found.others:
            self._replace_each(found.others)

    def _replace_arrays(self, arrays: Mapping[str, Array], lie_at: Array) -> None:
        """Let plain arrays be others, which lie at these addresses."""
        bound, was_strided = self.bound, False
        for name, array in arrays.items():
            b = bound[name]
            was_strided = was_strided or b.source is not None
            b.given, b.array, b.source = array, array, None
        self.memory.arrays.update(arrays)
        self.engine.rebound(tuple(arrays), lie_at)
        if was_strided:
            self._watch()

    def _replace_rows(self, rows: Mapping[str, RowSparseArray]) -> None:
        for name, array in rows.items():
            self.bound[name].sparse = self.bound[name].given = array
        self.memory.sparse.update(rows)

    def _replace_each(self, fresh: Mapping[str, Bound]) -> None:
        anew = [b for name in fresh for b in (self.bound[name], fresh[name]) if _is_read_anew(b)]
        for name, b in fresh.items():
            self._replace(name, b)
        keys = tuple(name for name in fresh if name in self.memory.arrays)
        if keys:
            self.engine.rebound(keys, addresses([self.memory.arrays[key] for key in keys]))
        if anew:
            self._watch()

    def _replace(self, name: str, b: Bound) -> None:
        self.bound[name] = b
        if self.program.lowered.variables[name].host:
            self._set_number(name, b.read_number())
        elif b.sparse is not None:
            self.memory.sparse[name] = b.sparse
        else:
            assert b.array is not None
            self.memory.arrays[name] = b.array
            for k in self.heads_in.get(name, ()):
                self.outputs[k] = b.result()

    def _set_number(self, name: str, number: float) -> None:
        if self.memory.numbers[name] != number:
            self.memory.numbers[name] = number
            self.engine.stale = True

    def override(self, numbers: Mapping[tuple[int, str], float]) -> None:
        """Other values for numeric attributes, by (id of node, name)."""
        if any(self.memory.overrides.get(key) != value for key, value in numbers.items()):
            self.memory.overrides.update(numbers)
            self.memory.changes += 1
            self.engine.stale = True

    def place_output(self, k: int, array: Array | None) -> None:
        """Let the next run write output k into `array`, or into a new one if the output has no other place."""
        value = self.program.lowered.heads[k]
        key = self.program.storage.get(id(value))
        if isinstance(key, int):
            self.memory.arrays[key] = array if array is not None else self._new(value)
            self.outputs[k] = self.memory.arrays[key]
            self.engine.rebound((key,), addresses([self.memory.arrays[key]]))
        elif value.host:
            self.outputs[k] = np.zeros((), np.float64)

    def _new(self, value: Value) -> Array:
        return self.place.empty(value.shape, to_numpy(value.dtype))

    def keep_outputs(self, old: Step) -> None:
        """Write where another plan of the graph did, so that outputs stay the same arrays."""
        placed: set[int] = set()  # an array can be the place of one buffer only, and a buffer has one place
        arrays, heads = self.memory.arrays, self.program.lowered.heads
        for k, (before, value) in enumerate(zip(old.program.lowered.heads, heads, strict=True)):
            key, array = self.program.storage.get(id(value)), old.outputs[k]
            if value.host:
                self.outputs[k] = array
            elif isinstance(key, int):
                own = isinstance(old.program.storage.get(id(before)), int)  # never an array of the user's
                if own and not placed & {id(array), id(arrays[key])}:
                    arrays[key] = array
                    placed.add(id(array))
                self.outputs[k] = arrays[key]

    def guard_outputs(self) -> None:
        """Refuse arguments that lie in an output which the step writes, from now on. Not for steps whose outputs are
        handed out and replaced at every run."""
        self._replacing.guard([a for key, a in self.memory.arrays.items() if isinstance(key, int)])

    def release(self) -> None:
        """Let go of the bound arrays; `take` binds others before the next run."""
        for b in self.bound.values():
            b.release()
        for name in self.bound:
            self.memory.arrays.pop(name, None)
        self.memory.sparse.clear()
        self.outputs = [None] * len(self.outputs)
        self.strided, self.held = [], []


def _is_read_anew(b: Bound) -> bool:
    """Whether an argument may be one that every run reads again: a strided view, or an array that holds a number."""
    return b.source is not None or (b.shape == () and not b.is_number)


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector: planning makes many objects, all of which stay, and it would walk them again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
