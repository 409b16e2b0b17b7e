"""Parameters that share their numbers: one set of scalar variables in the graph, and one call of the rule a step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..errors import UnknownAttributeError, near
from ..forms import get_op
from ..opdef import OpDef
from ..training.graph import number
from ..training.update import Update, find_op


class Cohort:
    """Parameters with one learning rate, decay, count and kind.

    `members`: their positions in the list. `t`: how often they were updated. `rule`, `attrs`: what the optimizer's rule
    gave last. `variables`: for each number among the attributes, what its variable is called; see `share`.
    """

    __slots__ = ("attrs", "kind", "lr_mult", "members", "rule", "switched_on", "t", "variables", "wd_mult")

    def __init__(self, members: list[int]) -> None:
        self.members = members
        self.lr_mult = self.wd_mult = 1.0
        self.t = 0
        self.kind: Hashable = None
        self.rule: Any = None
        self.attrs: Mapping[str, Any] = {}
        self.variables: dict[str, str] = {}
        self.switched_on: list[str] = []

    def take(self, rule: Any, attrs: Mapping[str, Any]) -> bool:
        """Take what the rule gives for the next update. Whether the graph stays the same: it does not when another op
        is named, a flag differs, or a clip goes on or off."""
        same = self.is_same(rule, attrs)
        if not same:
            self._sort(find_op(rule), attrs)
        self.rule, self.attrs = rule, attrs
        return same

    def is_same(self, rule: Any, attrs: Mapping[str, Any]) -> bool:
        """What `take` would say of them."""
        return bool(rule == self.rule and (attrs == self.attrs or self._same_flags(attrs)))

    def _same_flags(self, attrs: Mapping[str, Any]) -> bool:
        variables, before = self.variables, self.attrs
        if attrs.keys() != before.keys():
            return False
        for name, value in attrs.items():
            if name not in variables and value != before[name]:
                return False
        return not any(is_off(attrs[name]) for name in self.switched_on)

    def _sort(self, op: OpDef, attrs: Mapping[str, Any]) -> None:
        """Tell numbers from flags."""
        scalars = {i.name for i in op.inputs if i.kind == "scalar"}
        for name in attrs:
            if name not in op.attrs and name not in scalars:
                known = [*op.attrs, *scalars]
                raise UnknownAttributeError(f"{op.name} has no attribute {name!r}{near(name, known)}")
        numeric = [n for n in attrs if n in scalars or op.attrs[n].is_numeric]
        switches = [n for n in numeric if n in op.attrs and op.attrs[n].switch]
        self.switched_on = [n for n in switches if not is_off(attrs[n])]
        self.variables = {n: "" for n in numeric if n not in switches or n in self.switched_on}

    def update(self, prefix: str = "") -> Update:
        """How each member is updated. `prefix`: "mp_" for those with a float32 copy of the weight."""
        base = find_op(self.rule)
        given: dict[str, Any] = {n: number(variable[1:]) for n, variable in self.variables.items()}
        scalars = {n: given.pop(n) for n in list(given) if n not in base.attrs}
        op = get_op(prefix + base.name)
        for name, value in self.attrs.items():
            is_switch = name in base.attrs and base.attrs[name].switch
            if name not in self.variables and name in op.attrs and value is not None and not is_switch:
                given[name] = value
        return Update(op, given, scalars=scalars)


def numbers_of(cohorts: Sequence[Cohort]) -> dict[str, float] | None:
    """The value of each variable; None if cohorts that share one differ, or have none yet."""
    found: dict[str, float] = {}
    for cohort in cohorts:
        attrs = cohort.attrs
        for name, variable in cohort.variables.items():
            value = attrs[name]
            if not variable or found.setdefault(variable, value) != value:
                return None
    return found


def share(cohorts: Sequence[Cohort]) -> None:
    """Give every number a variable: one for all cohorts where it has one value, since what all tensors share costs a
    step nothing per tensor. Those that were told apart stay apart."""
    made: dict[str, dict[Any, str]] = {}
    for cohort in cohorts:
        for name, before in cohort.variables.items():
            known = made.setdefault(name, {})
            cohort.variables[name] = known.setdefault((before, cohort.attrs[name]), f"@{name}.{len(known)}")


def is_off(value: Any) -> bool:
    """Whether a clip or bound does nothing."""
    return value is None or value < 0
