"""A graph bound to arrays: `forward` runs one step in place."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import report
from .arrays import Array
from .backends.base import Memory
from .backends.native import NativeEngine
from .backends.reference import ReferenceEngine
from .binding import Bound, Given, as_dense, by_name, check_memory, check_names, check_same
from .context import Context
from .dtypes import canonical, to_numpy
from .errors import (
    DeviceError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    ShapeError,
    UnknownArgumentError,
    built_at,
    near,
)
from .expr import Node, children, toposort
from .infer import Types, infer
from .listing import Variables, list_variables
from .opdef import STATE_KINDS, get_op
from .passes import compile_graph
from .rebuild import with_attrs
from .sparse import zeros

if TYPE_CHECKING:
    import networkx

    from .symbol import Symbol

ENGINES = ("auto", "native", "reference")


def bind(
    symbol: Symbol,
    ctx: Context | str | None,
    args: Mapping[str, Given] | Sequence[Given] | None,
    aux_states: Mapping[str, Given] | Sequence[Given] | None,
    engine: str,
) -> Executor:
    """Bind a symbol to arrays; see Symbol.bind."""
    variables = list_variables(symbol._outputs)
    given = by_name(args, [node.name for node in variables.arguments], "args")
    given.update(by_name(aux_states, [node.name for node in variables.auxiliary], "aux_states"))
    return Executor(symbol, Context.as_context(ctx), given, engine, variables)


def simple_bind(
    symbol: Symbol,
    ctx: Context | str | None,
    type_dict: Mapping[str, Any] | None,
    stype_dict: Mapping[str, str] | None,
    engine: str,
    shapes: Mapping[str, Sequence[int]],
) -> Executor:
    """Allocate zeros for every variable and bind them; see Symbol.simple_bind."""
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    for name in (*shapes, *(type_dict or {}), *(stype_dict or {})):
        if name not in names:
            raise UnknownArgumentError(f"simple_bind: the graph has no argument {name!r}{near(name, names)}")
    dtypes = {name: canonical(dtype) for name, dtype in (type_dict or {}).items()}
    types = infer(symbol._outputs, {k: tuple(v) for k, v in shapes.items()}, dtypes, stype_dict)
    given: dict[str, Given] = {}
    for node in types.order:
        if node.is_variable:
            given[node.name] = _allocate(node, types)
    return Executor(symbol, Context.as_context(ctx), given, engine)


def _allocate(node: Node, types: Types) -> Given:
    shape = types.shape(node)
    if shape is None or -1 in shape:
        raise MissingArgumentError(f"simple_bind: the shape of {node.name!r} does not follow from those given")
    if types.is_host(node):
        return 0.0
    dtype = types.dtype(node) or "float32"
    if types.stype(node) == "row_sparse":
        return zeros(shape, dtype)
    return np.zeros(shape, to_numpy(dtype))


class Names(dict[str, Any]):
    """Bound arrays by name. Assigning binds another array, as `forward(name=array)` does."""

    def __init__(self, executor: Executor, names: Sequence[str]) -> None:
        super().__init__({name: executor._bound[name].given for name in names})
        self._executor = executor

    def __setitem__(self, name: str, value: Any) -> None:
        self._executor._take({name: value})


class Executor:
    """A step ready to run. Safe to call from several threads; each call is one whole step.

    Attributes: `outputs`, the arrays of the symbol's outputs, the same at every step; `arg_dict`, `aux_dict`.
    """

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        given: Mapping[str, Given],
        engine: str,
        variables: Variables | None = None,
    ) -> None:
        if ctx.device_type != "cpu":
            raise DeviceError(f"bind on {ctx!r}: this release runs on cpu() only")
        if engine not in ENGINES:
            raise ValueError(f"engine {engine!r} must be one of {', '.join(ENGINES)}")
        self._symbol = symbol
        self._ctx = ctx
        self._engine_name = engine
        self._lock = threading.RLock()
        self._monitor: Callable[[str, Array], None] | None = None
        variables = variables or list_variables(symbol._outputs)
        self._arguments = [node.name for node in variables.arguments]
        self._states = [node.name for node in variables.auxiliary]
        with without_collection():
            self._build(symbol._outputs, given, variables.order)

    # ---- binding

    def _build(self, roots: Sequence[Node], given: Mapping[str, Given], order: list[Node]) -> None:
        mutable = _written(order)
        bound = {}
        for name, value in given.items():
            bound[name] = Bound(name, value, mutable=name in mutable)
            if name in mutable and bound[name].sparse is not None:
                bound[name] = as_dense(name, bound[name])
        types = infer(
            roots,
            {k: b.shape for k, b in bound.items()},
            {k: b.dtype for k, b in bound.items() if b.number is None},
            {k: b.stype for k, b in bound.items() if b.sparse is not None},
            order=order,
        )
        _check_complete(types)
        _check_kinds(types, bound)
        check_memory(bound, mutable)
        for name, b in bound.items():
            if b.sparse is not None:
                b.sparse.check_indices(f"argument {name!r}")
        self._roots, self._types, self._bound, self._mutable = roots, types, bound, mutable
        self._program = compile_graph(roots, types)
        self._memory = self._make_memory()
        self._start()

    def _make_memory(self) -> Memory:
        memory = Memory()
        variables = self._program.lowered.variables
        for name, b in self._bound.items():
            if b.sparse is not None:
                memory.sparse[name] = b.sparse
            elif name in variables and variables[name].host:
                memory.numbers[name] = b.number if b.number is not None else float(b.array)  # type: ignore[arg-type]
            elif b.array is not None:
                memory.arrays[name] = b.array
        for k, (dtype, shape) in enumerate(self._program.buffers):
            memory.arrays[k] = np.zeros(shape, to_numpy(dtype))
        return memory

    def _start(self) -> None:
        """Choose the engine and collect the outputs."""
        use_reference = self._engine_name == "reference" or self._monitor is not None
        self._engine: NativeEngine | ReferenceEngine
        if use_reference:
            self._engine = ReferenceEngine(self._program, self._memory)
            self._engine.monitor = self._monitor
        else:
            self._engine = NativeEngine(self._program, self._memory)
        variables = self._program.lowered.variables
        self._strided = [b for b in self._bound.values() if b.source is not None]
        self._held = [(n, b) for n, b in self._bound.items() if variables[n].host and b.array is not None]
        self._heads_in: dict[str | int, list[int]] = {}  # outputs that lie in a variable's array
        for k, value in enumerate(self._program.lowered.heads):
            if not value.host:
                self._heads_in.setdefault(self._program.storage.get(id(value), ""), []).append(k)
        self._host_heads: list[tuple[Array, int]] = []
        self.outputs: list[Any] = [self._output(k) for k in range(len(self._roots))]
        counts = any(v.host for v in self._program.lowered.writes.values())
        self._counts = counts or bool(self._host_heads)  # the step makes numbers of the host that the user sees
        self.arg_dict = Names(self, self._arguments)
        self.aux_dict = Names(self, self._states)

    def _output(self, k: int) -> Any:
        value = self._program.lowered.heads[k]
        if value.host:
            array = np.zeros((), np.float64)
            self._host_heads.append((array, k))
            return array
        key = self._program.storage[id(value)]
        if isinstance(key, str):
            given = self._bound[key].given
            return given if isinstance(given, np.ndarray) or self._bound[key].sparse else self._bound[key].array
        return self._memory.arrays[key]

    # ---- running

    def forward(self, is_train: bool = False, **arrays: Given) -> list[Any]:
        """Run one step and return `outputs`.

        Keywords bind other arrays (of the same shape and dtype, without copying) or numbers before the step. Bad
        input raises before anything is written. `is_train` is accepted for MXNet's sake.
        """
        with self._lock:
            if arrays:
                self._take(arrays)
            if self._strided:
                for b in self._strided:
                    np.copyto(b.array, b.source)  # type: ignore[arg-type]
            if self._held:
                self._read_held()
            engine = self._engine
            engine.prepare()
            engine.run()
            if self._counts:
                self._write_numbers()
        return self.outputs

    def _take(self, given: Mapping[str, Given]) -> None:
        """Bind other arrays or numbers: all are checked before any is taken."""
        with self._lock:
            check_names(given, self._bound)
            fresh: dict[str, Bound] = {}
            for name, value in given.items():
                b = Bound(name, value, mutable=name in self._mutable)
                if name in self._mutable and b.sparse is not None:
                    b = as_dense(name, b)
                check_same(name, self._bound[name], b)
                if b.sparse is not None:
                    b.sparse.check_indices(f"argument {name!r}")
                fresh[name] = b
            if any(b.memory is not None for b in fresh.values()):
                self._check_fresh(fresh)
            for name, b in fresh.items():
                self._replace(name, b)
            self._engine.rebound(set(fresh))
            self._strided = [b for b in self._bound.values() if b.source is not None]

    def _check_fresh(self, fresh: dict[str, Bound]) -> None:
        if any(name in self._mutable for name in fresh):
            check_memory({**self._bound, **fresh}, self._mutable)
        else:  # reads may share: only what is written matters
            written = {n: b for n, b in self._bound.items() if n in self._mutable}
            check_memory({**written, **fresh}, self._mutable)

    def _replace(self, name: str, b: Bound) -> None:
        self._bound[name] = b
        dictionary = self.arg_dict if name in self.arg_dict else self.aux_dict
        dict.__setitem__(dictionary, name, b.given)
        if self._program.lowered.variables[name].host:
            number = b.number if b.number is not None else float(b.array)  # type: ignore[arg-type]
            self._held = [(n, x) for n, x in self._held if n != name]
            if b.array is not None:
                self._held.append((name, b))
            self._set_number(name, number)
        elif b.sparse is not None:
            self._memory.sparse[name] = b.sparse
        else:
            assert b.array is not None
            self._memory.arrays[name] = b.array
            for k in self._heads_in.get(name, ()):
                self.outputs[k] = b.given if isinstance(b.given, np.ndarray) else b.array

    def _set_number(self, name: str, number: float) -> None:
        if self._memory.numbers[name] != number:
            self._memory.numbers[name] = number
            if isinstance(self._engine, NativeEngine):
                self._engine.stale = True

    def _read_held(self) -> None:
        """Scalars bound to 0-d arrays: the user may have written another number into them."""
        for name, b in self._held:
            self._set_number(name, float(b.array))  # type: ignore[arg-type]

    def _write_numbers(self) -> None:
        numbers = self._engine.numbers
        for array, k in self._host_heads:
            array[...] = numbers.values[id(self._program.lowered.heads[k])]
        for name, b in self._held:
            if name in self._program.lowered.writes:
                b.array[...] = self._memory.numbers[name]  # type: ignore[index]
        for name in self._program.lowered.writes:
            if self._program.lowered.variables[name].host and self._bound[name].array is None:
                self._bound[name].number = self._memory.numbers[name]
                dictionary = self.arg_dict if name in self.arg_dict else self.aux_dict
                dict.__setitem__(dictionary, name, self._memory.numbers[name])

    def _set_numbers(self, overrides: Mapping[tuple[int, str], float]) -> None:
        """Other values for numeric attributes, by (id of node, name)."""
        if any(self._memory.overrides.get(key) != value for key, value in overrides.items()):
            self._memory.overrides.update(overrides)
            if isinstance(self._engine, NativeEngine):
                self._engine.stale = True

    def _release(self) -> None:
        """Let go of the arrays of the last step; the next one binds others before it runs."""
        for name, b in self._bound.items():
            b.release()
            dict.__setitem__(self.arg_dict if name in self.arg_dict else self.aux_dict, name, None)
        self._memory.arrays = {}
        self._memory.sparse = {}
        self.outputs = [None] * len(self.outputs)

    # ---- changing

    def set_attr(self, node: str, **attrs: Any) -> None:
        """Change attributes of the node called `node` from the next step on. Numbers change without recompilation;
        flags, and switching a clip on or off, plan the step anew on the same arrays."""
        with self._lock:
            roots, overrides = with_attrs(self._roots, node, attrs)
            if overrides is not None:
                self._memory.overrides.update(overrides)
                if isinstance(self._engine, NativeEngine):
                    self._engine.stale = True
                return
            kept = dict(self._memory.overrides)
            numbers = dict(self._memory.numbers)
            self._build(roots, {n: b.given for n, b in self._bound.items()}, toposort(roots, children))
            self._memory.overrides.update(kept)
            self._memory.numbers.update(numbers)

    def copy_params_from(
        self,
        arg_params: Mapping[str, Any],
        aux_params: Mapping[str, Any] | None = None,
        allow_extra_params: bool = False,
    ) -> None:
        """Copy values into the bound arrays. ValueError for unknown names unless allow_extra_params."""
        given = {**arg_params, **(aux_params or {})}
        sources: dict[str, Any] = {}
        for name, value in given.items():
            b = self._bound.get(name)
            if b is None:
                if not allow_extra_params:
                    raise MissingArgumentError(f"copy_params_from: the graph has no argument {name!r}{near(name, self._bound)}")
                continue
            source = np.asarray(value)
            if b.array is not None and source.shape != b.shape:
                raise ShapeError(f"copy_params_from: {name!r} has shape {b.shape}, got {source.shape}")
            if b.array is None and b.number is None:
                raise DTypeError(f"copy_params_from: {name!r} is row_sparse; give it to forward")
            sources[name] = source
        with self._lock:
            for name, source in sources.items():
                b = self._bound[name]
                if b.number is not None:
                    self._take({name: float(source)})
                else:
                    target = b.source if b.source is not None else b.array
                    target[...] = source  # type: ignore[index]

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False, **shapes: Sequence[int]) -> Executor:
        """A new executor for other shapes. Arrays whose shape stays are shared; the others are new zeros."""
        names = [*self._arguments, *self._states]
        for name in shapes:
            if name not in names:
                raise UnknownArgumentError(f"reshape: the graph has no argument {name!r}{near(name, names)}")
        dtypes = {n: b.dtype for n, b in self._bound.items() if b.number is None}
        stypes = {n: b.stype for n, b in self._bound.items() if b.sparse is not None}
        known = {k: tuple(v) for k, v in shapes.items()}
        known.update({n: () for n, b in self._bound.items() if b.number is not None})
        types = infer(self._roots, known, dtypes, stypes)
        given: dict[str, Given] = {}
        for node in types.order:
            if node.is_variable:
                b = self._bound[node.name]
                shape = types.shape(node)
                keep = b.number is not None or shape == b.shape or shape is None
                given[node.name] = b.given if keep else _allocate(node, types)
        return Executor(self._symbol, self._ctx, given, self._engine_name)

    def set_monitor_callback(self, callback: Callable[[str, Array], None] | None, monitor_all: bool = False) -> None:
        """Call `callback(name, array)` with every op's output at each step, which then runs on the reference engine.

        With monitor_all the variables are shown too. None returns to the former engine.
        """
        with self._lock:
            self._monitor = callback
            if callback is not None and monitor_all:

                def monitor(name: str, array: Array, seen: Callable[[str, Array], None] = callback) -> None:
                    seen(name, array)

                self._monitor = monitor
            self._monitor_all = monitor_all
            self._start()
            if isinstance(self._engine, ReferenceEngine):
                self._engine.monitor_variables = monitor_all

    # ---- looking inside

    @property
    def arg_arrays(self) -> list[Any]:
        """Bound arguments in the order of list_arguments."""
        return [self._bound[n].given for n in self._arguments]

    @property
    def aux_arrays(self) -> list[Any]:
        """Bound states in the order of list_auxiliary_states."""
        return [self._bound[n].given for n in self._states]

    @property
    def output_dict(self) -> dict[str, Any]:
        """Outputs by name."""
        return dict(zip(self._symbol.list_outputs(), self.outputs, strict=True))

    def get_optimized_symbol(self) -> Symbol:
        """The symbol, as it was bound: fusion happens below it, in the program."""
        return self._symbol

    def debug_str(self) -> str:
        """The symbol in MXNet's form, then the program."""
        return f"{self._symbol.debug_str()}\n{report.program_text(self._program)}"

    def summary(self) -> str:
        """Nodes, kernels, bytes moved in a step, buffers and scratch, as text."""
        return report.summary(self._types.order, self._program, self._memory, len(self._strided))

    def source(self, form: Literal["text", "llvm", "asm"] = "text") -> str:
        """The code of every kernel: readable text, LLVM IR, or this processor's assembly."""
        return report.source(self._program, form)

    def to_networkx(self) -> networkx.MultiDiGraph[Any]:
        """The symbol's graph: nodes have op, name, shape, dtype and where; edges the input's position."""
        return report.to_networkx(self._types)


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector: planning makes many objects that all stay, and it would walk them again and again."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _written(order: Sequence[Node]) -> set[str]:
    """Variables that the step writes: states, and those named by out=."""
    found: set[str] = set()
    for node in order:
        if node.is_variable or node.op == "_pick":
            continue
        for spec, x in zip(get_op(node.op).inputs, node.inputs, strict=False):
            if spec.kind in STATE_KINDS and x.is_variable:
                found.add(x.name)
        found.update(v.name for v in node.attrs.get("__out__", ()))
    return found


def _check_complete(types: Types) -> None:
    names: dict[str, Node] = {}
    for node in types.order:
        shape = types.shape(node)
        if shape is None or -1 in shape:
            raise MissingArgumentError(f"bind: the shape of {node.name!r} does not follow from the arrays given{built_at(node.where)}")
        if node.is_variable and names.setdefault(node.name, node) is not node:
            raise GraphError(f"two variables are called {node.name!r}{built_at(node.where)}")


def _check_kinds(types: Types, bound: Mapping[str, Bound]) -> None:
    """Numbers where the graph has scalars of the host, arrays elsewhere."""
    for node in types.order:
        if node.is_variable:
            b = bound[node.name]
            if b.number is not None and not types.is_host(node):
                raise DTypeError(
                    f"argument {node.name!r}: expected an array of shape {types.shape(node)}, "
                    f"got the number {b.given!r}{built_at(node.where)}"
                )
