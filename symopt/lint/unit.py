"""One op on one tensor, with the numbers that are known; and what its formula says with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import SymoptError
from ..expr import Node
from ..opdef import STATE_KINDS, OpDef
from ..show.formula import Formula, formula_of
from ..show.terms import in_order
from .probe import Numbers, Settings, probe_of

P = ParamSpec("P")
T = TypeVar("T")
LATE = 1000.0  # the number of a step that is not known: one at which averages have settled
GENERIC = (0.37, 0.61, 0.43, 0.71, 0.53, 0.29, 0.67)  # for numbers that are not known, where any will do


class Facts:
    """What a formula does with these numbers, shared by all nodes that are alike.

    `numbers`: the numeric attributes that are known; `given`: attributes that the user wrote; `symbols`: those that are
    Symbols. `weight`: the input that the formula takes for the weight, a float32 copy if there is one. `sketch`: the
    same with all numbers but 0 and 1 unknown, for questions that their size does not matter to; shared by many.
    """

    def __init__(
        self,
        op: OpDef,
        structural: Settings,
        switches: Settings,
        numbers: Mapping[str, float],
        given: frozenset[str],
        symbols: frozenset[str],
        sketch: Facts | None = None,
    ) -> None:
        self.op = op
        self.settings = structural
        self.structural = dict(structural)
        self.switches = switches
        self.numbers = numbers
        self.given = given
        self.symbols = symbols
        self.sketch: Facts = sketch or self
        self.probe = probe_of(op, structural, switches)
        self.weight = op.inputs[max(op.master, 0)].name if op.inputs else ""
        self.grads = tuple(i.name for i in op.inputs[1:] if i.kind == "tensor")
        self.states = tuple(i.name for i in op.inputs if i.kind in STATE_KINDS and i.kind != "residual")
        self.gives_weight = op.is_update and op.gives == "weight" and op.n_results > 0
        self._answers: dict[Any, Any] = {}

    def ask(self, question: Callable[Concatenate[Facts, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer to a question, found once."""
        key = (question, args)
        if key not in self._answers:
            self._answers[key] = question(self, *args, **kwargs)
        answer: T = self._answers[key]
        return answer

    def about(self, output: str) -> Facts:
        """The facts with those numbers only that an output depends on."""
        return self.only(self.sketch.ask(attributes_of, output))

    def only(self, names: frozenset[str]) -> Facts:
        """The facts with these numbers only, shared by all that have them in common."""
        numbers = {n: v for n, v in self.numbers.items() if n in names}
        key = ("only", tuple(numbers.items()))
        shared = self.sketch._answers
        if key not in shared:
            shared[key] = Facts(
                self.op, self.settings, self.switches, numbers, self.given, self.symbols, self.sketch
            )
        found: Facts = shared[key]
        return found

    @property
    def formula(self) -> Formula | None:
        """The formula as terms, with flags and the numbers 0 and 1 put in; None if it cannot be traced so."""
        return self.sketch._formula

    @cached_property
    def _formula(self) -> Formula | None:
        values = {n: v for n, v in self.structural.items() if n in self.op.attrs}
        values.update({n: v for n, v in self.numbers.items() if special(self.op, n, v)})
        values.update({n: -1.0 for n, on in self.switches if not on})
        try:
            return formula_of(self.op, values)
        except SymoptError:
            return None

    @property
    def stochastic(self) -> bool:
        return self.structural.get("rounding") == "stochastic"

    # ---- asking the formula

    def at(
        self, change: Mapping[str, Any] | None = None, turn: int = 0, /, **inputs: Any
    ) -> dict[str, Numbers] | None:
        """The outputs at these inputs and changed numbers, what is not said at some number or other; None: cannot be.

        Another `turn` takes other numbers for what is not known.
        """
        if self.probe is None:
            return None
        point = dict(self._generic if turn == 0 else self._unknown(turn))
        point.update(change or {})
        point.update(inputs)
        return self.probe(point)

    @cached_property
    def _generic(self) -> dict[str, float]:
        return self._unknown(0)

    def _unknown(self, turn: int) -> dict[str, float]:
        point = {i.name: GENERIC[(k + turn) % len(GENERIC)] for k, i in enumerate(self.op.inputs)}
        point.update({i.name: 0.0 for i in self.op.inputs if i.kind == "residual"})
        for k, name in enumerate(self.op.numeric):
            late = self.op.attrs[name].kind == "integer"
            generic = LATE if late else GENERIC[-1 - (k + turn) % len(GENERIC)]
            point[name] = self.numbers.get(name, generic)
        return point

    def at_rest(
        self, change: Mapping[str, Any] | None = None, turn: int = 0, /, **inputs: Any
    ) -> dict[str, Numbers] | None:
        """`at` with no gradient and all states zero."""
        zero = dict.fromkeys((*self.grads, *self.states), 0.0)
        return self.at(change, turn, **{**zero, **inputs})


def special(op: OpDef, name: str, value: float) -> bool:
    """Whether a number changes what a formula says, not only how much: 0 and 1; of a clip, 0."""
    return value == 0 if op.attrs[name].switch else value in (0, 1)


def attributes_of(facts: Facts, output: str) -> frozenset[str]:
    """The attributes that an output depends on, and those that are 0 or 1."""
    outputs = facts.formula.outputs if facts.formula else {}
    name = facts.op.inputs[0].name if output in ("output", facts.weight) else output
    roots = [outputs[name]] if name in outputs else outputs.values()
    return frozenset(str(t.value) for t in in_order(roots) if t.op == "attr") | {
        n for n, v in facts.numbers.items() if special(facts.op, n, v)
    }


@dataclass(frozen=True, eq=False)
class Unit:
    """An op on one tensor: a node, or one part of a node that takes several."""

    node: Node
    name: str
    inputs: Mapping[str, Node]
    symbols: Mapping[str, Node]
    result: int  # which output of the node the weight is
    facts: Facts

    @property
    def sketch(self) -> Facts:
        return self.facts.sketch

    @property
    def weight(self) -> Node:
        """The variable or value whose new value it gives."""
        return next(iter(self.inputs.values()))
