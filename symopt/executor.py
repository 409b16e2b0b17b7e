"""A graph bound to arrays: `forward` runs one step in place."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import report
from .arrays import Array
from .backends.choose import check_engine, check_guard
from .backends.watched import NanGuard
from .binding import allocate, as_shape, as_source, by_name, check_known
from .bound import Given
from .context import Context
from .dtypes import canonical
from .errors import DTypeError, GraphError, MissingArgumentError, near
from .expr import children, toposort
from .infer import infer
from .listing import Variables, list_variables
from .looking.executors import LookAtExecutor
from .namedarrays import NamedArrays
from .places import HOST, place_of
from .rebuild import changed, parse_changes, switches
from .step import Step

if TYPE_CHECKING:
    from .symbol import Symbol


def bind(
    symbol: Symbol,
    ctx: Context | str | None,
    args: Mapping[str, Given] | Sequence[Given] | None,
    aux_states: Mapping[str, Given] | Sequence[Given] | None,
    engine: str,
    capture: bool,
    nan_guard: NanGuard,
) -> Executor:
    """Bind a symbol to arrays; see Symbol.bind."""
    variables = list_variables(symbol._outputs)
    given = by_name(args, [node.name for node in variables.arguments], "args")
    given.update(by_name(aux_states, [node.name for node in variables.auxiliary], "aux_states"))
    return Executor(symbol, Context.as_context(ctx), given, engine, variables, capture, nan_guard)


def simple_bind(
    symbol: Symbol,
    ctx: Context | str | None,
    type_dict: Mapping[str, Any] | None,
    stype_dict: Mapping[str, str] | None,
    engine: str,
    capture: bool,
    nan_guard: NanGuard,
    shapes: Mapping[str, Sequence[int]],
) -> Executor:
    """Allocate zeros for every variable and bind them; see Symbol.simple_bind."""
    variables = list_variables(symbol._outputs)
    known = [node.name for node in variables.inputs]
    check_known("simple_bind", (*shapes, *(type_dict or {}), *(stype_dict or {})), known)
    dtypes = {name: canonical(dtype) for name, dtype in (type_dict or {}).items()}
    types = infer(symbol._outputs, {k: as_shape(k, v) for k, v in shapes.items()}, dtypes, stype_dict)
    context = Context.as_context(ctx)
    place = place_of(context)
    given = {node.name: allocate(node, types, place) for node in variables.inputs}
    return Executor(symbol, context, given, engine, variables, capture, nan_guard)


class Executor(LookAtExecutor):
    """A step ready to run. Safe to call from several threads; each call is one whole step.

    Attributes: `arg_dict` and `aux_dict`, the bound arrays by name.
    """

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        given: Mapping[str, Given],
        engine: str,
        variables: Variables | None = None,
        capture: bool = False,
        nan_guard: NanGuard = None,
    ) -> None:
        place = place_of(ctx)
        check_engine(engine, place, capture)
        check_guard(nan_guard)
        variables = variables or list_variables(symbol._outputs)
        self._symbol = symbol
        self._ctx = ctx
        self._lock = threading.RLock()
        self._monitor: tuple[Callable[[str, Array], None] | None, bool] = (None, False)
        self._changes: dict[str, dict[str, Any]] = {}  # attributes set since, by node
        self._measured: Mapping[int, float] = {}  # seconds of launches, of the last profile
        self._profile: object = None  # what times the steps now, if anything does
        self._record: Callable[[Step], Any] | None = None  # keeps what a step reads, while steps are recorded
        self._recorded: Any = None  # of the last step
        self._step = Step(symbol._outputs, given, variables.order, engine, place, capture, nan_guard)
        self._step.guard_outputs()
        self.arg_dict = NamedArrays(self, [node.name for node in variables.arguments])
        self.aux_dict = NamedArrays(self, [node.name for node in variables.auxiliary])
        _executors.add(self)

    def __repr__(self) -> str:
        return f"<Executor of {', '.join(self._symbol.list_outputs())} on {self._ctx!r}>"

    @property
    def ctx(self) -> Context:
        """The device it runs on, and where its arrays are."""
        return self._ctx

    @property
    def outputs(self) -> list[Any]:
        """The arrays of the symbol's outputs, the same at every step: with out=, the bound arrays themselves."""
        return list(self._step.outputs)

    @property
    def output_dict(self) -> dict[str, Any]:
        """Outputs by name."""
        return dict(zip(self._symbol.list_outputs(), self.outputs, strict=True))

    @property
    def arg_arrays(self) -> list[Any]:
        """Bound arguments in the order of list_arguments."""
        return list(self.arg_dict.values())

    @property
    def aux_arrays(self) -> list[Any]:
        """Bound states in the order of list_auxiliary_states."""
        return list(self.aux_dict.values())

    # ---- running

    def forward(self, /, is_train: bool = False, **arrays: Given) -> list[Any]:
        """Run one step and return `outputs`.

        Keywords bind other arrays (of the same shape and dtype, without copying) or numbers before the step. Bad
        input raises before anything is written. `is_train` is accepted for MXNet's sake.
        """
        with self._lock:
            if arrays:
                self._step.take(arrays)
            recorded = self._record(self._step) if self._record is not None else None
            try:
                self._step.run()
            finally:
                self._recorded = recorded  # also of a step that a guard complains of
            return list(self._step.outputs)

    def synchronize(self) -> None:
        """Wait until every step so far is done, on the device it runs on. RowIndexError if one was given a row that an
        array does not have; neither that step nor one after it has then written anything."""
        with self._lock:
            self._step.synchronize()

    def _take(self, given: Mapping[str, Given]) -> None:
        with self._lock:
            self._step.take(given)

    # ---- changing

    def set_attr(self, node: str, **attrs: Any) -> None:
        """Change attributes of the node called `node` from the next step on. Numbers change without recompilation;
        flags, and switching a clip on or off, plan the step anew on the same arrays and outputs."""
        with self._lock:
            step = self._step
            target, parsed = parse_changes(step.roots, node, attrs)
            before = {**target.attrs, **self._changes.get(node, {})}
            if switches(target, before, parsed):
                self._check_not_profiled(f"set_attr of {node!r}")
                step.synchronize()
                changes = {**self._changes, node: {**self._changes.get(node, {}), **parsed}}
                roots = changed(step.roots, changes)
                given = {name: b.value for name, b in step.bound.items()}
                order = toposort(roots, children)
                fresh = Step(roots, given, order, step.engine_name, step.place, step.capture, step.guard)
                fresh.skipped, fresh.last_skip = step.skipped, step.last_skip
                fresh.keep_outputs(step)
                fresh.guard_outputs()
                fresh.start(*self._monitor)
                self._step, self._changes, self._measured = fresh, {}, {}
            else:
                step.override({(id(target), key): value for key, value in parsed.items()})
                self._changes.setdefault(node, {}).update(parsed)

    def copy_params_from(
        self,
        arg_params: Mapping[str, Any],
        aux_params: Mapping[str, Any] | None = None,
        allow_extra_params: bool = False,
    ) -> None:
        """Copy values into the bound arrays: all or, when one does not fit, none. ValueError for unknown names unless
        allow_extra_params."""
        given = {**arg_params, **(aux_params or {})}
        with self._lock:
            bound = self._step.bound
            for name in given:
                if name not in bound and not allow_extra_params:
                    raise MissingArgumentError(
                        f"copy_params_from: the graph has no argument {name!r}{near(name, bound)}"
                    )
            sources = {n: as_source(n, bound[n], value) for n, value in given.items() if n in bound}
            self._step.take({n: float(x) for n, x in sources.items() if bound[n].is_number})
            for name, source in sources.items():
                if not bound[name].is_number:
                    bound[name].write(source)

    def reshape(
        self, /, partial_shaping: bool = False, allow_up_sizing: bool = False, **shapes: Sequence[int]
    ) -> Executor:
        """A new executor for other shapes. Arrays whose shape stays are shared; the others are new zeros."""
        bound = self._step.bound
        check_known("reshape", shapes, bound)
        known = {k: as_shape(k, v) for k, v in shapes.items()}
        known.update({n: () for n, b in bound.items() if b.is_number})
        dtypes = {n: b.dtype for n, b in bound.items() if not b.is_number}
        stypes = {n: b.stype for n, b in bound.items() if b.sparse is not None}
        types = infer(self._step.roots, known, dtypes, stypes)
        given: dict[str, Given] = {}
        for node in types.order:
            if node.is_variable:
                b, shape = bound[node.name], types.shape(node)
                keep = b.is_number or shape is None or shape == b.shape
                given[node.name] = b.value if keep else allocate(node, types, self._step.place)
        step = self._step
        return Executor(
            self._current(), self._ctx, given, step.engine_name, capture=step.capture, nan_guard=step.guard
        )

    def as_in_context(self, ctx: Context | str, capture: bool = False) -> Executor:
        """A new executor on device `ctx`: the same symbol with the attributes set since, on copies of all arrays and
        numbers. Its engine is the reference if this one's is, else what "auto" chooses there; see bind for `capture`.
        """
        context = Context.as_context(ctx)
        place = place_of(context)
        engine = "reference" if self._step.engine_name == "reference" else "auto"
        check_engine(engine, place, capture)
        with self._lock:
            self._step.synchronize()
            step = self._step
            given = {n: b.copy_to(HOST if step.is_number(n) else place) for n, b in step.bound.items()}
            return Executor(self._current(), context, given, engine, capture=capture, nan_guard=step.guard)

    def set_monitor_callback(
        self, callback: Callable[[str, Array], None] | None, monitor_all: bool = False
    ) -> None:
        """Call `callback(name, array)` with every op's output at each step, which then runs on the reference engine.

        With monitor_all the variables are shown too. None returns to the former engine.
        """
        if callback is not None and not callable(callback):
            raise DTypeError(f"set_monitor_callback takes a function of (name, array), got {callback!r}")
        with self._lock:
            self._check_not_profiled("set_monitor_callback")
            self._step.synchronize()
            self._monitor = (callback, monitor_all)
            self._step.start(callback, monitor_all)

    def _check_not_profiled(self, what: str) -> None:
        """GraphError for what makes another engine while there are clocks around this one."""
        if self._profile is not None:
            raise GraphError(
                f"{what} makes a new plan while this executor is profiled: leave the profile before"
            )

    # ---- looking inside

    def get_optimized_symbol(self) -> Symbol:
        """The symbol with the attributes set since: fusion happens below it, in the program."""
        return self._current()

    def _current(self) -> Symbol:
        return type(self._symbol)(tuple(changed(self._step.roots, self._changes)))

    def debug_str(self) -> str:
        """The symbol in MXNet's form, then the program."""
        return f"{self._current().debug_str()}\n{report.program_text(self._step.program)}"


_executors: weakref.WeakSet[Executor] = weakref.WeakSet()


def _after_fork() -> None:
    """A thread that was inside a step is not in the child: give up its lock, and its half-filled tables."""
    for executor in _executors:
        if executor._lock.acquire(blocking=False):
            executor._lock.release()
        else:
            executor._lock = threading.RLock()
            executor._step.start(*executor._monitor)


os.register_at_fork(after_in_child=_after_fork)
