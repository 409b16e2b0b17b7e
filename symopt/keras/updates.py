"""How an optimizer updates each of its variables: ops, their numbers and their states."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import Array
from ..opdef import OpDef
from ..training.copies import MadeAgain
from ..training.update import Update, count_of, find_op, new_states
from .known import KnownVariable
from .rules import Rule, find_rule
from .scalars import Scalar
from .slots import Slots

if TYPE_CHECKING:
    from .optimizer import Optimizer


class Updates(MadeAgain):
    """Rules by variable, and the running products that their ops need, such as Nadam's momentum cache."""

    made_again: ClassVar[Mapping[str, Callable[[], Any]]] = {"_rules": dict}

    def __init__(self, optimizer: Optimizer, slots: Slots) -> None:
        self._optimizer = optimizer
        self._slots = slots
        self._rules: dict[str, Rule] = {}
        self._version = -1
        self._factors: dict[str, float] = {}  # of the step whose numbers were asked for last
        self.products: dict[str, Scalar] = {}

    def rule(self, known: KnownVariable) -> Rule:
        """What is done to a variable, as the optimizer says it now."""
        if self._version != self._optimizer._version:
            self._rules.clear()
            self._version = self._optimizer._version
        found = self._rules.get(known.key)
        if found is None:
            found = self._rules[known.key] = resolved(self._optimizer.update_rule(known))
        return found

    def create(self, variables: Sequence[KnownVariable]) -> None:
        """Make what is missing of the states of these variables, in Keras's order, and of the products."""
        missing: list[tuple[str, KnownVariable, Array]] = []
        for known in variables:
            rule, have = self.rule(known), self._slots.of(known.key)
            slots = rule.slots or {}
            wanted = [slot for slot in slots if slot not in have]
            if wanted:
                states = new_states(update_from(rule, {}), known.view)
                missing += [(slot, known, states[slots[slot]]) for slot in wanted]
        self._start_products(variables)
        if self._optimizer._groups_slots:
            order = {slot: k for k, slot in enumerate(dict.fromkeys(slot for slot, _, _ in missing))}
            missing.sort(key=lambda one: order[one[0]])
        for slot, known, array in missing:
            self._slots.add(self._optimizer.name, known, slot, array)

    def forget_products(self) -> None:
        """Those that are no longer among the weights."""
        kept = set(map(id, self._slots.weights))
        self.products = {attr: x for attr, x in self.products.items() if id(x) in kept}

    def _start_products(self, variables: Sequence[KnownVariable]) -> None:
        for attr in dict.fromkeys(attr for known in variables for attr in op_of(self.rule(known)).running):
            if attr not in self.products:
                name = self._optimizer._product_names.get(attr, attr)
                self.products[attr] = made = Scalar(1.0, f"{self._optimizer.name}/{name}:0", np.float64)
                self._slots.weights.append(made)

    def states_of(self, known: KnownVariable) -> dict[str, Any]:
        """Arrays by the op's names for its states."""
        slots = self._slots.of(known.key)
        return {state: slots[slot].value for slot, state in (self.rule(known).slots or {}).items()}

    def numbers(self, iterations: int) -> dict[str, float]:
        """Every number of the next step, called @name."""
        numbers: dict[str, float] = self._optimizer._hypers.numbers(iterations)
        numbers["@step"] = iterations + 1
        for attr, product in self.products.items():
            rule = self._rule_with(attr)
            self._factors[attr] = factor = float(factor_of(rule, attr, _without_marks(numbers)))
            is_inclusive = op_of(rule).running[attr].inclusive
            numbers[f"@{attr}"] = product.value * factor if is_inclusive else product.value
        return numbers

    def number_names(self) -> list[str]:
        """What `numbers` has, without the @."""
        return [*self._optimizer._hypers, "step", *self.products]

    def advance(self) -> None:
        """The step that `numbers` were for was taken."""
        for attr, product in self.products.items():
            product.value *= self._factors[attr]

    def _rule_with(self, attr: str) -> Rule:
        """The first rule whose op has a running product."""
        return next(rule for rule in map(self.rule, self._slots.known) if attr in op_of(rule).running)


def _without_marks(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("@"): value for name, value in numbers.items()}


def builtin_rule(optimizer: Optimizer, variable: Any) -> Rule:
    """What a class of Keras's does to a variable, with its hyperparameters and options as they are."""
    hypers = optimizer._hypers
    config = {name: hypers[name] for name in hypers if name not in ("learning_rate", "decay")}
    config |= {name: getattr(optimizer, name) for name in optimizer._option_names}
    config |= {"momentum": float(optimizer._with_momentum)} if "momentum" in config else {}
    return find_rule("keras", optimizer._keras_class, config, variable.ndim)


def resolved(rule: Rule) -> Rule:
    """A rule with its op looked up, and its states' own names for slots that have none."""
    op = find_op(rule.op)
    return rule._replace(op=op, slots={s: s for s in op.states} if rule.slots is None else rule.slots)


def op_of(rule: Rule) -> OpDef:
    """The op of a rule that is resolved."""
    assert isinstance(rule.op, OpDef)
    return rule.op


def update_from(rule: Rule, numbers: Mapping[str, Any]) -> Update:
    """The op with its attributes: of `numbers`, by name, where hyperparameters are asked for."""
    op = op_of(rule)
    attrs = {**rule.attrs, **{attr: numbers[key] for attr, key in rule.keys.items() if key in numbers}}
    if "lr" in op.attrs and "lr" not in rule.keys and "learning_rate" in numbers:
        lr = numbers["learning_rate"]
        attrs["lr"] = lr if rule.lr_factor == 1 else lr * rule.lr_factor
    if count := count_of(op):
        attrs[count] = numbers.get("step", 1)
    attrs |= {attr: numbers.get(attr, 1) for attr in op.running}
    return Update(op, attrs, dict(rule.initial))


def factor_of(rule: Rule, attr: str, numbers: Mapping[str, Any]) -> Any:
    """What a step multiplies a running product by, of numbers or Symbols by name."""
    op = op_of(rule)
    factor, values = op.running[attr].factor, {}
    for name in _parameters(factor):
        key = "step" if name == count_of(op) else rule.keys.get(name, name)
        values[name] = numbers[key] if key in numbers else rule.attrs.get(name, op.attrs[name].default)
    return factor(**values)


@cache
def _parameters(function: Callable[..., float]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
