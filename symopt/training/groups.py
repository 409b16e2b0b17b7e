"""Which parameters are updated how: groups by pattern of the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..errors import AttributeValueError, MissingArgumentError, UnknownArgumentError, near
from ..forms import with_compensation
from .hyper import Hyper, check_one_decay
from .update import Initial, Update, find_op

Groups = Mapping[str, Mapping[str, Any] | None]
OPTIONS = ("rule", "lr_mult", "weight_decay", "initial")


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with the same rule and attributes. `pattern` is "" for those that no pattern matches.

    `own`: attributes that the pattern gives a value of their own. `weight_decay`: decoupled, in units of the learning
    rate; None: no such decay.
    """

    pattern: str
    hyper: Hyper
    initial: Mapping[str, Initial]
    own: frozenset[str]
    weight_decay: float | None

    def update(self) -> Update:
        """How its parameters are updated, as it is now."""
        hyper = self.hyper
        op = with_compensation(hyper.op) if hyper.fixed.get("kahan") else hyper.op
        return Update(op, hyper.attrs(), self.initial, hyper.scalar_inputs())

    @property
    def decay(self) -> Any:
        """What share of the weight a step takes away, as a Symbol or number."""
        return None if not self.weight_decay else self.hyper.lr() * self.weight_decay


def assign(
    names: Sequence[str],
    rule: Any,
    given: Mapping[str, Any],
    groups: Groups | None,
    multi_precision: Sequence[str],
) -> dict[str, Group | None]:
    """The group of each parameter, None for those that are frozen: the first pattern that matches decides.

    `multi_precision`: names of the parameters that get a float32 copy. A pattern that matches nothing is an error.
    """
    made: dict[tuple[str, bool], Group] = {}
    found: dict[str, Group | None] = {}
    patterns = dict(groups or {})
    unused = set(patterns)
    for name in names:
        pattern = next((p for p in patterns if fnmatchcase(name, p)), "")
        unused.discard(pattern)
        own = patterns.get(pattern, {})
        if own is None:
            found[name] = None
            continue
        key = (pattern, name in multi_precision)
        if key not in made:
            made[key] = _group(pattern, rule, given, own, key[1], len(made))
        found[name] = made[key]
    if unused:
        _refuse(next(p for p in patterns if p in unused), patterns, names)
    return found


def _refuse(pattern: str, patterns: Sequence[str] | Groups, names: Sequence[str]) -> None:
    """UnknownArgumentError for a pattern that decides nothing."""
    taken = next((p for n in names if fnmatchcase(n, pattern) for p in patterns if fnmatchcase(n, p)), None)
    if taken is None:
        raise UnknownArgumentError(f"groups: no parameter matches {pattern!r}{near(pattern, names)}")
    raise UnknownArgumentError(
        f"groups: {taken!r} comes first and takes all that {pattern!r} matches: put it after"
    )


def _group(
    pattern: str, rule: Any, given: Mapping[str, Any], own: Mapping[str, Any], mp: bool, index: int
) -> Group:
    op = find_op(own.get("rule", rule), "mp_" if mp else "")
    shared = given if "rule" not in own else {n: x for n, x in given.items() if n == "lr" and n in op.attrs}
    options = {**shared, **own}
    options.pop("rule", None)
    lr_mult = _number("lr_mult", options.pop("lr_mult", 1.0))
    decay = options.pop("weight_decay", None)
    initial: Mapping[str, Initial] = options.pop("initial", {})
    for state in initial:
        if state not in op.states:
            raise UnknownArgumentError(
                f"initial: {op.name} has no state {state!r}: it has {', '.join(op.states)}"
            )
    extra = [
        i.name
        for i in op.inputs[2:]
        if i.kind not in ("scalar", "residual", "master") and i.name not in op.states
    ]
    if extra:
        raise UnknownArgumentError(
            f"{op.name} needs {', '.join(extra)} beside weight and gradient: build a Symbol"
        )
    if lr_mult != 1 and "lr" in op.attrs:
        options.setdefault("lr", op.attrs["lr"].default)
    hyper = Hyper(op, options, f":{index}" if index else "", lr_mult)
    if decay is not None:
        decay = _number("weight_decay", decay)
        if "lr" not in op.attrs:
            raise MissingArgumentError(f"weight_decay is in units of lr, which {op.name} does not have")
        check_one_decay(op, options, decay, op.name)
    return Group(pattern, hyper, initial, frozenset(own), decay)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise AttributeValueError(f"{name} must be a number, got {value!r}")
    return float(value)
