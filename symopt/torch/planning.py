"""The plan of a step: which parameters have a gradient, what they share, and whether that is still so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import is_
from typing import Any

import torch

from ..errors import StateError
from ..places import Place
from ..training.runner import Runners
from ..training.update import Update, new_states
from .classes import class_of
from .counters import Counter, history
from .gradients import picker
from .groups import Rule, form_of, numbers, rule_called
from .part import Group, Parameter, Part
from .tensors import (
    addresses,
    bound_type,
    check_updatable,
    memory,
    place_of_device,
    tensor_like,
)

State = Mapping[torch.Tensor, dict[str, Any]]


class Plan:
    """The parts of a step, and what they were made for. `tensors`: all parameters, with a gradient or not."""

    def __init__(
        self, tensors: Sequence[torch.Tensor], grads: Sequence[Any], groups: Sequence[Group],
        parts: Sequence[Part], state: State,
    ) -> None:  # fmt: skip
        self._tensors = tensors
        self._lacks = [g is None for g in grads]
        self._moved = [p for p, g in zip(tensors, grads) if g is not None]
        self._parts = [(part, _chosen(tensors, part.parameters)) for part in parts]
        self._addresses = addresses(self._moved)
        self._rules = [rule_called(group["rule"]) for group in groups]
        self._fixed = [rule.fixed(group) for rule, group in zip(self._rules, groups)]
        self._values: list[Any] = []  # of all groups; empty if they must be read at each step
        self._states = list(state.values())
        self._kept = list(chain.from_iterable(map(dict.values, self._states)))

    def fits(
        self, tensors: Sequence[torch.Tensor], grads: Sequence[Any], groups: Sequence[Group], state: State
    ) -> bool:
        """Whether the plan is one for these: the same parameters where they were, the same of them with gradients, the
        same state, and groups that differ in numbers only."""
        return (
            len(tensors) == len(self._tensors)
            and all(map(is_, tensors, self._tensors))
            and [g is None for g in grads] == self._lacks
            and len(groups) == len(self._fixed)
            and self._settings_fit(groups)
            and addresses(self._moved) == self._addresses
            and len(state) == len(self._states)
            and all(map(is_, state.values(), self._states))
            and all(map(is_, chain.from_iterable(map(dict.values, self._states)), self._kept))
        )

    def _settings_fit(self, groups: Sequence[Group]) -> bool:
        """Whether what shapes the graph is as it was. Numbers are read again if any value is another object."""
        now = _values(groups)
        if self._values and len(now) == len(self._values) and all(map(is_, now, self._values)):
            return True
        if [rule.fixed(group) for rule, group in zip(self._rules, groups)] != self._fixed:
            return False
        for part, _ in self._parts:
            part.read(groups)
        self._values = [] if any(isinstance(value, (torch.Tensor, list)) for value in now) else now
        return True

    def run(self, grads: Sequence[Any]) -> None:
        """One step. What raises leaves the parameters of its device as they were; Stale comes before anything else."""
        for part, pick in self._parts:
            part.see(pick(grads))
        for part, _ in self._parts:
            part.run()
        torch.autograd.graph.increment_version(self._moved)


def _values(groups: Sequence[Group]) -> list[Any]:
    """All values of all groups, but for the lists of parameters, which come first in each."""
    return [
        value for group in groups for name, value in group.items() if name not in ("params", "param_names")
    ]


def _chosen(tensors: Sequence[torch.Tensor], parameters: Sequence[Parameter]) -> Any:
    """A function that gives what belongs to these parameters, of a list for all tensors."""
    where = {id(tensor): k for k, tensor in enumerate(tensors)}
    return picker([where[id(p.tensor)] for p in parameters], len(tensors))


class Planner:
    """Makes plans, and the state of parameters that have none.

    `initial`: what states begin with, if not as rules say. `multi_precision`: 16-bit parameters have a float32 copy.
    """

    def __init__(
        self, runners: Runners, engine: str, multi_precision: bool, initial: Mapping[str, float | str]
    ) -> None:
        self._runners, self._engine = runners, engine
        self._multi_precision, self._initial = multi_precision, initial

    def plan(
        self,
        groups: Sequence[Group],
        names: Sequence[Sequence[str]],
        state: dict[torch.Tensor, dict[str, Any]],
    ) -> Plan:
        """The plan of a step with the gradients that there are now."""
        tensors = [p for group in groups for p in group["params"]]
        grads = [p.grad for p in tensors]
        parameters = [
            self.parameter(name, tensor, position, group)
            for position, (group, called) in enumerate(zip(groups, names))
            for name, tensor in zip(called, group["params"])
            if tensor.grad is not None
        ]
        for p in parameters:
            if not state.get(p.tensor):
                state[p.tensor] = self.first_state(p, groups[p.position])
        by_place: dict[Place, list[Parameter]] = {}
        for p in parameters:
            by_place.setdefault(place_of_device(p.tensor.device), []).append(p)
        parts = [self._part(place, given, groups, state) for place, given in by_place.items()]
        return Plan(tensors, grads, groups, parts, state)

    def parameter(self, name: str, tensor: torch.Tensor, position: int, group: Group) -> Parameter:
        """A parameter with the form of its group's rule that it takes; its states are not looked up yet."""
        check_updatable(tensor, name)
        base = rule_called(group["rule"])
        pairs = class_of(base.op.name) is not None
        shape, dtype = bound_type(tensor, pairs, name)
        rule = form_of(base, self._multi_precision and dtype in ("float16", "bfloat16"), len(shape))
        return Parameter(name, tensor, position, rule, pairs)

    def first_state(self, p: Parameter, group: Group) -> dict[str, Any]:
        """What a parameter's state begins with: a count of 0, and tensors as the rule says."""
        place = place_of_device(p.tensor.device)
        shape, _ = p.type()
        update = update_for_states(p, group, self._initial)
        weight = memory(place, p.tensor.data_ptr(), *p.type())
        made: dict[str, Any] = dict(Counter(p.rule.op, 0, dict.fromkeys(p.rule.op.running, 1.0)).kept)
        for name, array in new_states(update, weight).items():
            is_pair = len(shape) > p.tensor.ndim and tuple(array.shape) == shape
            made[state_key(p.rule, name)] = tensor_like(
                array, p.tensor.device, is_pair, axis_of(p.rule, name)
            )
        return made

    def _part(
        self,
        place: Place,
        parameters: Sequence[Parameter],
        groups: Sequence[Group],
        state: dict[torch.Tensor, Any],
    ) -> Part:
        """A part with new counters: parameters with equal counts share one from now on."""
        cohorts: dict[Any, tuple[int, Counter, int]] = {}
        for p in parameters:
            own = state[p.tensor]
            p.states = states_of(p.rule, own, p.name)
            key = (p.position, p.rule.op.name, *history(p.rule.op, own))
            if key not in cohorts:
                step, *products = history(p.rule.op, own)
                counter = Counter(p.rule.op, step, dict(zip(p.rule.op.running, products)))
                cohorts[key] = (len(cohorts), counter, p.position)
            p.cohort, counter, _ = cohorts[key]
            own.update(counter.kept)
        counters = [(counter, position) for _, counter, position in cohorts.values()]
        return Part(place, parameters, counters, groups, self._runners, self._engine)


def update_for_states(p: Parameter, group: Group, initial: Mapping[str, float | str]) -> Update:
    """The update of a parameter as far as its states go: flags, and what they begin with, as numbers."""
    values = numbers(p.rule, group)
    fixed = {f.attr: f.read(group) for f in p.rule.fields if f.is_fixed}
    first: dict[str, float | str] = {}
    known = class_of(p.rule.op.name)
    for name, option in (known.first if known else {}).items():
        first[name] = float(group.get(option, 0.0))
    attrs = {n: v for n, v in {**values, **fixed}.items() if n in p.rule.op.attrs and v is not None}
    return Update(p.rule.op, attrs, {**first, **{k: v for k, v in initial.items() if k in p.rule.op.states}})


def state_key(rule: Rule, name: str) -> str:
    """What a parameter's state calls one of the rule's states: torch's word if the rule is torch's."""
    known = class_of(rule.op.name)
    return known.states.get(name, name) if known else name


def axis_of(rule: Rule, name: str) -> int | None:
    """The axis that torch's tensor of a state has beyond the rule's."""
    known = class_of(rule.op.name)
    return known.axes.get(name) if known else None


def states_of(rule: Rule, state: Mapping[str, Any], name: str) -> dict[str, torch.Tensor]:
    """The tensors of a parameter's state by the rule's names, shaped as the rule has them."""
    found = {}
    missing = [state_key(rule, own) for own in rule.op.states if state_key(rule, own) not in state]
    if missing:
        raise StateError(
            f"the state of {name} has no {missing[0]!r}, which {rule.name} needs; it has {list(state)}: clear it, "
            "optimizer.state.pop(p), if the rule is another one now"
        )
    for own in rule.op.states:
        tensor, axis = state[state_key(rule, own)], axis_of(rule, own)
        found[own] = tensor if axis is None else tensor.squeeze(axis)
        check_updatable(found[own], f"state {state_key(rule, own)!r} of {name}")
    return found
