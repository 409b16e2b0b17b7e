"""One step for all variables: gradients looked at, the graph built when it is a new one, and run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..errors import DTypeError, MissingArgumentError, PairsError, ShapeError, SymoptError, TooLateError
from ..places import place_of_array
from ..slices import is_slices, to_row_sparse
from ..sparse import RowSparseArray
from ..state import as_view, copy_into
from ..training.copies import MadeAgain
from ..training.gradients import clipped
from ..training.graph import Entry, arrays_of, gradients, group, in_place, number, stype_of
from ..training.runner import Runner, Runners
from .clipping import Clips, clipped_eagerly
from .known import KnownVariable
from .slots import Slots
from .updates import Updates, update_from

if TYPE_CHECKING:
    from .optimizer import Optimizer

Pair = tuple[Any, KnownVariable]


class Step(NamedTuple):
    """A step that was prepared. `given`: the gradients and variables given, if the same make the same step again;
    `grads`: those that there are, as they are bound."""

    version: int
    given: tuple[list[Any], list[Any]] | None
    grads: tuple[Any, ...]
    variables: list[KnownVariable]
    runner: Runner
    constrained: list[KnownVariable]


class Steps(MadeAgain):
    """The bound graphs of an optimizer, one for each set of variables and storage of their gradients."""

    made_again: ClassVar[Mapping[str, Callable[[], Any]]] = {"_runners": Runners, "_last": type(None)}

    def __init__(self, optimizer: Optimizer, updates: Updates, slots: Slots) -> None:
        self._optimizer = optimizer
        self._updates = updates
        self._slots = slots
        self._runners = Runners()
        self._last: Step | None = None
        self._warned: set[tuple[str, ...]] = set()
        self._updated: set[str] = set()  # keys of variables that have their slots

    def prepare(self, grads: list[Any], variables: list[Any], aggregate: bool) -> Step:
        """The step for these gradients and variables, everything about it checked, no variable written. It costs
        little where all objects are those of the last step."""
        last = self._last
        if last is not None and last.given is not None and last.version == self._optimizer._version:
            last_grads, last_variables = last.given
            if len(variables) == len(last_variables) and all(map(is_, variables, last_variables)):
                if all(map(is_, grads, last_grads)):
                    return last
                if list(map(type, grads)) == list(map(type, last_grads)):
                    present = tuple([grad for grad in grads if grad is not None])
                    return last._replace(given=(grads, variables), grads=present)
        return self._prepared(grads, variables, aggregate)

    def run(self, step: Step, numbers: Mapping[str, float]) -> None:
        """Take a step that was prepared."""
        try:
            step.runner.run(step.grads, numbers)
        except SymoptError:
            check_gradients(step.grads, step.variables)
            raise
        self._last = step

    def gradients(
        self, given_grads: list[Any], given: list[Any], aggregate: bool
    ) -> tuple[list[Any], list[KnownVariable], bool]:
        """Gradients that there are and their variables, checked; and whether functions of the user's changed them."""
        n_known = len(self._slots.known)
        try:
            pairs = self._with_gradients(given_grads, given)
            variables = [known for _, known in pairs]
            grads, has_hooks = self._through_hooks([grad for grad, _ in pairs], variables, aggregate)
            is_new = not self._updated.issuperset(
                known.key for known in variables
            )  # later the executor looks
            grads = [as_gradient(grad, known, is_new) for grad, known in zip(grads, variables, strict=True)]
        except BaseException:
            self._slots.known.forget(n_known)
            raise
        return grads, variables, has_hooks

    def _prepared(self, given_grads: list[Any], given: list[Any], aggregate: bool) -> Step:
        mark = self._slots.mark()
        grads, variables, has_hooks = self.gradients(given_grads, given, aggregate)
        try:
            return self._bound(grads, variables, None if has_hooks else (given_grads, given))
        except SymoptError:
            self._optimizer._forget_since(mark)
            check_gradients(grads, variables)
            raise

    def _bound(
        self, grads: list[Any], variables: list[KnownVariable], given: tuple[list[Any], list[Any]] | None
    ) -> Step:
        grads, clips = self._clipped(grads, variables)
        _ = self._optimizer.iterations  # the first of the weights
        self._updates.create(variables)
        version = self._optimizer._version
        key = (version, tuple(known.key for known in variables), tuple(map(stype_of, grads)), clips)
        runner = self._runners.get(key, lambda: self._build(variables, grads, clips))
        self._updated.update(known.key for known in variables)
        is_same_again = not any(isinstance(g, RowSparseArray) for g in grads)
        constrained = [known for known in variables if known.constraint is not None]
        return Step(version, given if is_same_again else None, tuple(grads), variables, runner, constrained)

    def _with_gradients(self, grads: list[Any], variables: list[Any]) -> list[Pair]:
        """The pairs that have a gradient, each variable known from now on. Warns of the others, once for the same."""
        met = [(grad, self._slots.known.meet(variable)) for grad, variable in zip(grads, variables)]
        given = [(grad, known) for grad, known in met if grad is not None]
        names = tuple(known.name for grad, known in met if grad is None)
        if not given:
            raise MissingArgumentError(
                f"No gradients provided for any variable: {list(names)}. Give a gradient for one of them."
            )
        if names and names not in self._warned:
            self._warned.add(names)
            warnings.warn(
                f"Gradients do not exist for variables {list(names)}: they stay as they are.", stacklevel=6
            )
        counts = Counter(known.key for _, known in given)
        if len(counts) < len(given):
            twice = [key for key, count in counts.items() if count > 1]
            raise PairsError(f"variables {twice} are given more than once: add up their gradients")
        return given

    def _through_hooks(
        self, grads: list[Any], variables: Sequence[KnownVariable], aggregate: bool
    ) -> tuple[list[Any], bool]:
        """Gradients as the aggregator and the transformers give them back, and whether there are any."""
        objects = [known.variable for known in variables]
        transformers = self._optimizer.gradient_transformers
        aggregator = self._optimizer.gradient_aggregator if aggregate else None
        if aggregator is not None:
            grads = list(aggregator(list(zip(grads, objects))))
        for transform in transformers:
            grads = [grad for grad, _ in transform(list(zip(grads, objects)))]
        if len(grads) != len(objects):
            raise PairsError(
                f"{len(objects)} gradients are needed, the functions of gradients gave {len(grads)}"
            )
        return grads, aggregator is not None or bool(transformers)

    def _clipped(self, grads: list[Any], variables: Sequence[KnownVariable]) -> tuple[list[Any], Clips]:
        """Gradients as they enter the graph, and the clips that are left to it: none if there are sparse gradients and
        clips act on their rows as stored."""
        rows = [
            (g, known) for g, known in zip(grads, variables, strict=True) if isinstance(g, RowSparseArray)
        ]
        clips = self._optimizer._clips()
        for grad, known in rows:
            if known.constraint is not None:
                raise TooLateError(
                    f"Cannot use a constraint function on a sparse variable. ({known.name} has a constraint and a "
                    "sparse gradient: give the gradient dense, or take the constraint away)"
                )
            if clips:
                grad.check_indices(f"the gradient of {known.name}")
        if rows and clips and self._optimizer.clip_before_sum:
            return clipped_eagerly(grads, clips), Clips()
        return grads, clips

    def _build(self, variables: Sequence[KnownVariable], grads: Sequence[Any], clips: Clips) -> Runner:
        names = self._updates.number_names()
        symbols = {name: number(name) for name in names}
        entries = []
        for known, grad in zip(variables, grads, strict=True):
            rule = self._updates.rule(known)
            decay = rule.weight_decay * symbols["learning_rate"] if rule.weight_decay else None
            # A name with a colon, which no key has: so no variable's name is that of another one's state.
            entries.append(Entry(f"{known.key}:0", update_from(rule, symbols), stype_of(grad), decay))
        grads_in = clipped(gradients(entries), *clips)
        outputs = [x for entry in entries for x in in_place(entry, grads_in[entry.name])]
        arrays: dict[str, Any] = {}
        for entry, known in zip(entries, variables, strict=True):
            arrays |= arrays_of(entry.name, {"": known.array, **self._updates.states_of(known)})
        given = {f"{entry.name}/grad": grad for entry, grad in zip(entries, grads, strict=True)}
        numbers = {f"@{name}": 1.0 for name in names}  # run() has the real ones
        context = place_of_array(variables[0].view).context
        return Runner(group(outputs), arrays, given, numbers, context, self._optimizer.engine)


def constrain(variables: Sequence[KnownVariable]) -> None:
    """Put each variable's constraint on its array: all of them made before the first is written."""
    made = [(k, k.constraint(k.array)) for k in variables if k.constraint is not None]
    for known, array in made:
        copy_into(known.view, as_view(array, f"what the constraint of {known.name} gave"))


def check_gradients(grads: Sequence[Any], variables: Sequence[KnownVariable]) -> None:
    """The errors of gradients that do not fit: they say more than the executor's."""
    for grad, known in zip(grads, variables, strict=True):
        as_gradient(grad, known, look_at_rows=True)


def as_gradient(grad: Any, known: KnownVariable, look_at_rows: bool = False) -> Any:
    """A gradient as it is bound: slices as a RowSparseArray of the variable's shape. ShapeError, DTypeError or
    DeviceError if it does not fit; with `look_at_rows` RowIndexError too."""
    what = f"the gradient of {known.name}"
    if is_slices(grad):
        grad = to_row_sparse(grad, known.shape, what, check=False)
    place = place_of_array(known.view)
    array = grad if isinstance(grad, RowSparseArray) else place.view(grad, what)
    if array.shape != known.shape:
        raise ShapeError(f"{what}: expected shape {known.shape}, got {array.shape}")
    if array.dtype != known.dtype:
        raise DTypeError(f"{what}: expected {known.dtype.name}, got {array.dtype.name}: give g.astype(...)")
    if array is not grad or not isinstance(grad, RowSparseArray):
        place.as_array(grad, what, mutable=False)
    elif look_at_rows:
        place.view(grad.data, what)
        grad.check_indices(what)
    return grad
