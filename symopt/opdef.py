"""What an op is, read off the signature of its formula, and the registry of all ops.

`forms` derives further ops from these: `mp_`, `multi_`, `preloaded_multi_`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, overload

from .attrs import Attr
from .errors import GraphError, Where
from .signatures import read_signature
from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

STATE_KINDS = ("state", "row_state", "column_state", "residual")
GRIDS = {
    "row_state": "r1",
    "column_state": "1c",
}  # of inputs of formulas on matrices; others have the weight's
NOTHING: Mapping[str, Any] = MappingProxyType({})
# How the tuple is called that gives a `multi_` op one value of an attribute for each tensor.
PLURALS = {"lr": "lrs", "wd": "wds", "eta": "etas", "t": "step_count", "step": "steps"}

# How an update op stores what it computes; the engine reads these, not the formula.
STORAGE_ATTRS = (
    Attr("lazy_update", "bool", True),
    Attr("state_dtype", "dtype", None),
    Attr("rounding", "rounding", "nearest"),
    Attr("seed", "float", 0.0),
    Attr("kahan", "bool", False),
)


class Running(NamedTuple):
    """An attribute that is a running product over the steps, 1 before the first.

    `factor`: what a step multiplies it by, a function of attributes of that name. `inclusive`: whether the factor of
    this step is in the product that the formula gets.
    """

    factor: Callable[..., float]
    inclusive: bool


class Part(NamedTuple):
    """What an op of several tensors does to one of them: the op, which inputs of the whole it takes, and where its
    attributes come from: (tuple attribute, index) or (position of an array input, index)."""

    op: OpDef
    inputs: tuple[int, ...]
    attrs: Mapping[str, tuple[str, int]]
    arrays: Mapping[str, tuple[int, int]]


class OpDef:
    """An op: its formula and everything read off the formula's signature.

    `result`: dtype of the outputs, "same" as the inputs or "compute" (float32 for 16-bit inputs).
    `mxnet`: the name MXNet registered it under, used in files, if not `name`.
    `standard`: outputs that follow the dense formula in every row even under lazy_update.
    `gives`: "weight", or what else the output of an update op is.
    `initial`: what states begin with that do not begin at 0: a number, or the name of an attribute or of the weight.
    `running`: attributes that are running products over the steps.
    `plurals`: names of the tuple attributes of the `multi_` forms; `count`: their attribute for the number of tensors.
    `then`: what an op of any number of arrays makes of the results, one for each array; None: it gives all of them.
    """

    def __init__(
        self,
        formula: Callable[..., Any],
        *,
        name: str = "",
        is_update: bool,
        aliases: tuple[str, ...] = (),
        result: str = "same",
        standard: tuple[str, ...] = (),
        mxnet: str = "",
        gives: str = "weight",
        initial: Mapping[str, float | str] = NOTHING,
        running: Mapping[str, Running] = NOTHING,
        plurals: Mapping[str, str] = PLURALS,
        count: str = "",
        then: Callable[..., Any] | None = None,
    ) -> None:
        self.name = name or formula.__name__
        self.formula = formula
        self.inputs, self.attrs = read_signature(formula)
        self.keywords = frozenset(self.attrs)
        self.where = Where(formula.__code__.co_filename, formula.__code__.co_firstlineno)
        self.is_update = is_update
        self.aliases = aliases
        self.result = result
        self.standard = frozenset(standard if gives == "weight" else ("output", *standard))
        self.mxnet = mxnet
        self.gives = gives
        self.initial = dict(initial)
        self.running = dict(running)
        self.plurals = {name: plural for name, plural in plurals.items() if name in self.attrs}
        self.count = count or ("num_weights" if is_update else "num_arrays")
        self.then = then
        # Of derived ops:
        self.n_results = 1  # outputs before the new states
        self.parts: tuple[Part, ...] = ()
        self.base: OpDef | None = None  # of a `multi_` op: what it does to each tensor
        self.preloaded: tuple[str, ...] = ()  # attributes that it takes as arrays, one number per tensor

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Callable[[str], OpDef], tuple[str]]:
        """Ops are copied and pickled by name, as functions are."""
        from .forms import get_op

        return get_op, (self.name,)

    def derive(self, **fields: Any) -> OpDef:
        """A copy with some attributes replaced."""
        made = object.__new__(OpDef)
        cached = {k for k, v in vars(OpDef).items() if isinstance(v, cached_property)}
        made.__dict__.update({k: v for k, v in self.__dict__.items() if k not in cached}, **fields)
        return made

    @cached_property
    def doc(self) -> str:
        """The formula's docstring, without its indentation."""
        from inspect import cleandoc

        return cleandoc(self.formula.__doc__ or "")

    @cached_property
    def state_positions(self) -> tuple[int, ...]:
        """Where the states are among the inputs."""
        kinds = (*STATE_KINDS, *(("master",) if self.gives == "weight" else ()))
        return tuple(k for k, i in enumerate(self.inputs) if i.kind in kinds)

    @cached_property
    def states(self) -> tuple[str, ...]:
        return tuple(self.inputs[k].name for k in self.state_positions)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: "output" (or "output0", "output1", ...), then the new value of each state."""
        results = ("output",) if self.n_results == 1 else tuple(f"output{k}" for k in range(self.n_results))
        return (*results, *self.states)

    @cached_property
    def like(self) -> tuple[int, ...]:
        """For each output the position of the input that has its shape: the weight, or the old state."""
        weights = tuple(part.inputs[0] for part in self.parts) or (0,)
        return (*weights[: self.n_results], *self.state_positions)

    @cached_property
    def master(self) -> int:
        """Position of the float32 copy of the weight that the formula works on; -1 if it works on the weight."""
        return next((k for k, i in enumerate(self.inputs) if i.kind == "master"), -1)

    @cached_property
    def residual(self) -> str:
        """The state that keeps what rounding the weight loses; "" if there is none."""
        return next((i.name for i in self.inputs if i.kind == "residual"), "")

    @cached_property
    def is_matrix(self) -> bool:
        """Whether the formula is one on matrices: its weight is annotated Matrix."""
        return bool(self.inputs) and self.inputs[0].kind == "matrix"

    def grid(self, name: str) -> str:
        """The grid that an input, or an output, of a formula on matrices is an array on."""
        kind = next((i.kind for i in self.inputs if i.name == name), "")
        return GRIDS.get(kind, "rc") if self.is_matrix else "rc"

    @cached_property
    def is_variadic(self) -> bool:
        """Whether it takes any number of tensors; `forms.of_count` makes the op of so many."""
        return self.base is not None or (bool(self.inputs) and self.inputs[0].kind in ("tensors", "states"))

    @cached_property
    def structural(self) -> tuple[str, ...]:
        """Names of the attributes that decide what is computed, not with which numbers."""
        return tuple(a.name for a in self.attrs.values() if not a.is_numeric)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.attrs.values() if a.is_numeric)

    def input_names(self) -> tuple[str, ...]:
        return tuple(i.name for i in self.inputs)


OPS: dict[str, OpDef] = {}


def all_ops() -> Iterator[OpDef]:
    """Every registered op once, in order of registration; derived forms are made when asked for."""
    return iter({id(op): op for op in OPS.values()}.values())


@overload
def update_op(formula: F) -> F: ...
@overload
def update_op(
    *,
    mxnet: str = "",
    aliases: tuple[str, ...] = (),
    standard: tuple[str, ...] = (),
    gives: str = "weight",
    initial: Mapping[str, float | str] = NOTHING,
    running: Mapping[str, Running] = NOTHING,
    plurals: Mapping[str, str] = PLURALS,
    count: str = "",
) -> Callable[[F], F]: ...
def update_op(formula: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """Register an update op: its first input is the weight, its output the new weight, its states are updated.

    `mxnet`: the name MXNet has for it in files; `aliases`: further names; `standard`: outputs ("output" or states)
    that follow the dense formula in every row even when the gradient is row_sparse and lazy_update is on; `gives`:
    what the output is, if not the new weight; `initial`: what states begin with, if not 0 (a number, or the name of an
    attribute or of the weight); `running`: attributes that are products over the steps; `plurals`, `count`: attributes
    of the `multi_` forms, if not the usual.

    >>> from symopt.lang import State, Tensor, Updated, updated
    >>> @update_op
    ... def heavy_ball_update(weight: Tensor, grad: Tensor, mom: State, *, lr: float, momentum: float = 0.9) -> Updated:
    ...     '''Polyak's heavy ball.'''
    ...     mom = momentum * mom - lr * grad
    ...     return updated(weight + mom, mom=mom)
    >>> OPS["heavy_ball_update"].states
    ('mom',)
    """

    def decorate(function: F) -> F:
        _register(function, is_update=True, **options)
        return function

    return decorate(formula) if formula is not None else decorate


@overload
def op(formula: F) -> F: ...
@overload
def op(
    *,
    name: str = "",
    mxnet: str = "",
    aliases: tuple[str, ...] = (),
    result: str = "same",
    then: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[F], F]: ...
def op(formula: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """Register an ordinary op: a formula without states. Shapes follow from what the formula looks at.

    `then`: of an op of any number of arrays, what it makes of the results, one for each array.
    """

    def decorate(function: F) -> F:
        _register(function, is_update=False, **options)
        return function

    return decorate(formula) if formula is not None else decorate


def _register(function: Callable[..., Any], *, is_update: bool, **options: Any) -> None:
    made = OpDef(function, is_update=is_update, **options)
    if is_update:
        for attr in STORAGE_ATTRS:
            made.attrs.setdefault(attr.name, attr)
        if not made.inputs or made.inputs[0].kind not in ("tensor", "matrix", "states"):
            raise GraphError(
                f"{made.name}: the first input of an update op is the weight, annotated Tensor or Matrix"
            )
    for spec in made.inputs[made.is_matrix and is_update :]:
        if spec.kind == "matrix" or (spec.kind == "column_state" and not made.is_matrix):
            raise GraphError(
                f"{made.name}: only the weight of an update op can be a Matrix, and only then are there ColumnStates: "
                f"see input {spec.name}"
            )
    _check_names(made)
    for key in dict.fromkeys((made.name, made.mxnet or made.name, *made.aliases)):
        old = OPS.get(key)
        if old is not None and old.where.file != made.where.file:
            raise GraphError(f"an op called {key!r} is already registered at {old.where}")
        OPS[key] = made


def _check_names(made: OpDef) -> None:
    """GraphError where `initial` or `running` name what the op does not have."""
    known = {*made.attrs, made.inputs[0].name} if made.inputs else set(made.attrs)
    wrong = [name for name in made.initial if name not in made.states]
    wrong += [value for value in made.initial.values() if isinstance(value, str) and value not in known]
    wrong += [name for name in made.running if name not in made.attrs]
    if wrong:
        raise GraphError(f"{made.name}: initial= or running= names {wrong[0]!r}, which the op does not have")
