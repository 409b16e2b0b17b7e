"""The parameters of one device that have a gradient, as one executor on their memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch

from ..arrays import Array
from ..places import HOST, Place
from ..symbol import Symbol
from ..training.graph import Entry, group, in_place, number, variable_name
from ..training.runner import Runner, Runners
from ..training.update import Update
from .counters import Counter
from .gradients import Gradients
from .groups import Rule, attributes, numbers
from .tensors import bound_type, memory

Group = Mapping[str, Any]


class Parameter:
    """A parameter with a gradient. `position`: of its group. `pairs`: whether complex numbers are bound as two reals.
    `states`: its tensors by the rule's names. `cohort`: which counter of the part is its own."""

    __slots__ = ("cohort", "name", "pairs", "position", "rule", "states", "tensor")

    def __init__(self, name: str, tensor: torch.Tensor, position: int, rule: Rule, pairs: bool) -> None:
        self.name, self.tensor, self.position, self.rule, self.pairs = name, tensor, position, rule, pairs
        self.states: Mapping[str, torch.Tensor] = {}
        self.cohort = 0

    def type(self) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the weight as it is bound."""
        return bound_type(self.tensor, self.pairs, self.name)

    def key(self) -> tuple[Any, ...]:
        """All that decides how the parameter is bound: where it and its states lie, and its gradient's kind."""
        grad: Any = self.tensor.grad
        kept = tuple((t.data_ptr(), t.dtype, tuple(t.shape)) for t in self.states.values())
        return (
            self.name,
            self.position,
            self.cohort,
            self.tensor.data_ptr(),
            self.type(),
            grad.is_sparse,
            grad.dtype,
            kept,
        )

    def arrays(self, place: Place) -> dict[str, Array]:
        """Weight and states by variable."""
        found = {variable_name(self.name): memory(place, self.tensor.data_ptr(), *self.type())}
        for name, state in self.states.items():
            kind = bound_type(state, self.pairs, f"state {name!r} of {self.name}")
            found[variable_name(self.name, name)] = memory(place, state.data_ptr(), *kind)
        return found

    def entry(self, settings: Group, counter: Counter, variable: Callable[[str], Symbol]) -> Entry:
        """The parameter in the graph. Its attributes are variables of its group and of its counter."""
        attrs = attributes(self.rule, settings, self.position, self.type()[1], variable)
        attrs.update({name: variable(_counted(name, self.cohort)) for name in counter.names})
        scalars = {i.name: attrs.pop(i.name) for i in self.rule.op.inputs if i.kind == "scalar"}
        stype = "row_sparse" if self.tensor.grad.is_sparse else "default"
        return Entry(self.name, Update(self.rule.op, attrs, scalars=scalars), stype)


class Part:
    """A step of these parameters. `counters`: by cohort, each with the group that its parameters are in."""

    def __init__(
        self, place: Place, parameters: Sequence[Parameter], counters: Sequence[tuple[Counter, int]],
        groups: Sequence[Group], runners: Runners, engine: str,
    ) -> None:  # fmt: skip
        self._place, self.parameters, self._counters = place, parameters, counters
        self._rules = sorted({p.position: p.rule for p in parameters}.items())
        self._gradients = Gradients(place, parameters)
        self._gradients.see([p.tensor.grad for p in parameters])
        fixed = tuple((position, rule.fixed(groups[position])) for position, rule in self._rules)
        key = (place, engine, fixed, tuple(p.key() for p in parameters))
        self._settings: dict[int, dict[str, float]] = {}
        self._shared: dict[str, float] = {}
        self.read(groups)
        self._runner = runners.get(key, lambda: self._made(groups, engine))

    def read(self, groups: Sequence[Group]) -> None:
        """Take the numbers of the groups as they are now."""
        self._settings = {position: numbers(rule, groups[position]) for position, rule in self._rules}
        self._shared = {
            f"@{name}.{position}": value
            for position, own in self._settings.items()
            for name, value in own.items()
        }

    def see(self, grads: Sequence[Any]) -> None:
        """Look at the gradients of the next step, one for each parameter. Stale if they are of other kinds."""
        self._gradients.see(grads)

    def run(self) -> None:
        """One step with the gradients seen and the numbers read; errors leave everything as it was."""
        with on_stream(self._place):
            self._runner.run(self._gradients.arrays, self._numbers())
        for counter, _ in self._counters:
            counter.advance()

    def _numbers(self) -> dict[str, float]:
        """The numbers of this step by variable."""
        found = dict(self._shared)
        for cohort, (counter, position) in enumerate(self._counters):
            for name, value in counter.numbers(self._settings[position]).items():
                found[f"@{_counted(name, cohort)}"] = value
        return found

    def _made(self, groups: Sequence[Group], engine: str) -> Runner:
        arrays: dict[str, Any] = {}
        outputs = []
        variable = cache(number)  # one Symbol for all who share a number
        for p in self.parameters:
            entry = p.entry(groups[p.position], self._counters[p.cohort][0], variable)
            outputs += in_place(entry, entry.variable("grad"))
            arrays.update(p.arrays(self._place))
        grads = {variable_name(p.name, "grad"): g for p, g in zip(self.parameters, self._gradients.arrays)}
        with on_stream(self._place):
            context = self._place.context
            return Runner(group(outputs), arrays, grads, self._numbers(), context, engine)


def _counted(name: str, cohort: int) -> str:
    """The variable of what a counter counts."""
    return f"{name}:{cohort}"


def on_stream(place: Place) -> AbstractContextManager[Any]:
    """Inside it, CuPy works on torch's current stream of the device."""
    if place is HOST:
        return nullcontext()
    device = place.context.device_id
    stream = torch.cuda.current_stream(device).cuda_stream
    return place.xp.cuda.ExternalStream(stream, device)  # type: ignore[no-any-return]
