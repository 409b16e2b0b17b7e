"""Attributes of rules as the numbers of a step: fixed, scheduled, counted, or products over the steps."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..attrs import REQUIRED, Attr
from ..errors import AttributeValueError, MissingArgumentError, UnknownAttributeError, near
from ..lr_scheduler import LRScheduler
from ..opdef import OpDef
from ..symbol import Symbol
from .graph import number
from .update import count_of

Value = float | Callable[[int], float]


class Hyper:
    """The attributes of one group of parameters.

    A numeric attribute that is given is a variable of the graph, called `@lr`, or `@lr:2` in group 2: another value
    costs no new graph. A function is asked at every step with the number of updates done so far, an
    `so.lr_scheduler` with that number plus one, as MXNet does. Flags, clips that are off, and what is left at the op's
    default are part of the graph.
    """

    def __init__(self, op: OpDef, given: Mapping[str, Any], suffix: str = "", lr_mult: float = 1.0) -> None:
        self.op = op
        self.suffix = suffix
        self.lr_mult = lr_mult
        self.count = count_of(op)
        self.fixed: dict[str, Any] = {}
        self.values: dict[str, Value] = {}
        self.products: dict[str, float] = dict.fromkeys((n for n in op.running if n not in given), 1.0)
        self.scalars = {i.name: Attr(i.name, "float", 1.0) for i in op.inputs if i.kind == "scalar"}
        self.known = {**op.attrs, **self.scalars}
        self.values.update(dict.fromkeys(self.scalars, 1.0))
        for name, value in given.items():
            self.put(name, self.parse(name, value))
        automatic = {self.count, *self.products}
        for name, attr in op.attrs.items():
            if attr.default is REQUIRED and name not in given and name not in automatic:
                raise MissingArgumentError(f"{op.name} needs {name}: {attr.doc or 'it has no default'}")

    def parse(self, name: str, value: Any) -> Any:
        """A value as the attribute has it: UnknownAttributeError or AttributeValueError if it is none."""
        attr = self.known.get(name)
        if attr is None:
            raise UnknownAttributeError(
                f"{self.op.name} has no attribute {name!r}: it has {', '.join(self.known)}{near(name, self.known)}"
            )
        if attr.is_numeric and callable(value) and not hasattr(value, "__array__"):
            return value
        try:
            return attr.parse(value)
        except (ValueError, TypeError) as error:
            raise AttributeValueError(f"{self.op.name}: {name} {error}") from None

    def put(self, name: str, parsed: Any) -> bool:
        """Take a value that was parsed. True if that makes another graph."""
        attr = self.known[name]
        is_number = attr.is_numeric and (callable(parsed) or not attr.switch or parsed >= 0)
        is_new = is_number != (name in self.values) or (not is_number and self.fixed.get(name) != parsed)
        self.values.pop(name, None)
        self.fixed.pop(name, None)
        (self.values if is_number else self.fixed)[name] = parsed
        return is_new

    def attrs(self) -> dict[str, Any]:
        """What the nodes of the graph are given."""
        names = [n for n in (*self.values, self.count, *self.products) if n and n not in self.scalars]
        return {**self.fixed, **{name: self._variable(name) for name in names}}

    def scalar_inputs(self) -> dict[str, Symbol]:
        """What the nodes get for inputs of one element, such as adamw's rescale_grad: numbers too, 1 if not given."""
        return {name: self._variable(name) for name in self.scalars}

    def _variable(self, name: str) -> Symbol:
        return number(name + self.suffix)

    def lr(self) -> Any:
        """The learning rate as a Symbol or number of the graph."""
        return self.attrs().get("lr", self.op.attrs["lr"].default if "lr" in self.op.attrs else None)

    def numbers(self, done: int) -> dict[str, float]:
        """The values of this step's variables, after `done` updates. Changes nothing."""
        found = {name: self._value(name, value, done) for name, value in self.values.items()}
        if "lr" in found:
            found["lr"] *= self.lr_mult
        if self.count:
            found[self.count] = done + 1
        for name, product in self.products.items():
            running = self.op.running[name]
            found[name] = product * self._factor(name, found) if running.inclusive else product
        return {f"@{name}{self.suffix}": value for name, value in found.items()}

    def advance(self, done: int) -> None:
        """Take the step after `done` updates into the products."""
        if self.products:  # else functions need not be asked
            self.products = self.products_after(self.numbers(done))

    def products_after(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The products after a step with these numbers, as `numbers` gave them."""
        if not self.products:
            return {}
        found = {n[1:].removesuffix(self.suffix): v for n, v in numbers.items()}
        return {n: product * self._factor(n, found) for n, product in self.products.items()}

    def _factor(self, name: str, found: Mapping[str, float]) -> float:
        factor = self.op.running[name].factor
        known = {**{n: a.default for n, a in self.op.attrs.items()}, **self.fixed, **found}
        return float(factor(*(known[n] for n in inspect.signature(factor).parameters)))

    def _value(self, name: str, value: Value, done: int) -> float:
        if not callable(value):
            return value
        made = float(value(done + 1 if isinstance(value, LRScheduler) else done))
        if math.isnan(made):
            raise AttributeValueError(f"{self.op.name}: the schedule of {name} gave nan after {done} updates")
        return made

    def described(self) -> dict[str, Any]:
        """What is given, as plain data: schedules by their text."""
        values = {n: v if not callable(v) else describe(v) for n, v in self.values.items()}
        return {**self.fixed, **values}


def describe(schedule: Callable[[int], float]) -> str:
    """A schedule as text, for people to compare: it is configuration, not state."""
    is_plain = inspect.isfunction(schedule) or inspect.isbuiltin(schedule) or inspect.ismethod(schedule)
    return f"{schedule.__module__}.{schedule.__qualname__}" if is_plain else type(schedule).__name__


def described_as(schedule: Callable[[int], float], text: str) -> Callable[[int], float]:
    """A function that does what another does, and that `describe` gives this text for."""

    def asked(done: int) -> float:
        return schedule(done)

    module, _, name = text.rpartition(".")
    if module:
        asked.__module__, asked.__qualname__ = module, name
        return asked
    return type(text, (), {"__call__": staticmethod(asked)})()  # type: ignore[no-any-return]


def check_one_decay(op: OpDef, attrs: Mapping[str, Any], weight_decay: float | None, what: str) -> None:
    """AttributeValueError where a rule decays weights by itself, AdamW's by default, and `weight_decay` would again:
    the two would add up unseen."""
    if not weight_decay or "wd" not in op.attrs:
        return
    own = attrs.get("wd", op.attrs["wd"].default)
    if callable(own) or (own is not REQUIRED and own):
        said = describe(own) if callable(own) else own
        raise AttributeValueError(
            f"{what}: weight_decay={weight_decay:g} and the rule's own wd={said} would both decay the weights: give "
            "one of them, and 0 for the other"
        )
