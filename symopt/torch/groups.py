"""A parameter group: the rule and its attributes, as torch's groups keep them. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from ..attrs import REQUIRED, Attr
from ..errors import AttributeValueError, MissingArgumentError, UnknownAttributeError, near
from ..opdef import STORAGE_ATTRS, OpDef
from ..symbol import Symbol
from ..training.update import count_of, find_op
from .classes import SMALLEST, class_of, option_of

_STORAGE = {attr.name for attr in STORAGE_ATTRS}


class Field(NamedTuple):
    """An attribute of a rule, or an input of it that is one number, and where a group keeps it.

    `place`: which number of a tuple; None if the option is the attribute itself. `is_fixed`: it decides what is
    computed, so another value means another graph. `is_optional`: groups need not have it.
    """

    attr: str
    option: str
    place: int | None
    is_fixed: bool
    is_optional: bool = False

    def read(self, group: Mapping[str, Any]) -> Any:
        """The value in a group; MissingArgumentError if the group has none."""
        try:
            value = group[self.option]
        except KeyError:
            if self.is_optional:
                return None
            raise MissingArgumentError(
                f"a parameter group has no {self.option!r}, which its rule needs: it has {sorted(map(str, group))}"
            ) from None
        if self.place is None or value is None:
            return value
        return value[self.place]


class Rule(NamedTuple):
    """A rule and its fields. `name`: as groups keep it, under "rule"."""

    name: str
    op: OpDef
    fields: tuple[Field, ...]

    def fixed(self, group: Mapping[str, Any]) -> tuple[Any, ...]:
        """What of a group shapes the graph; it is compared at every step."""
        return (group.get("rule"), *(f.read(group) for f in self.fields if f.is_fixed), *self.absent(group))

    def words(self) -> set[str]:
        """All that may be given for it: attributes, and options of torch's class."""
        known = class_of(self.op.name)
        beside = {*known.options, *known.defaults} if known else set()
        return beside | {word for f in self.fields for word in (f.option, f.attr)}

    def absent(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Attributes whose value in the group is None: torch then takes a default of its own."""
        return tuple(f.attr for f in self.fields if not f.is_fixed and f.read(group) is None)


@cache
def rule_called(name: str) -> Rule:
    """The rule that a group names. UnknownOpError if there is none."""
    op = find_op(name)
    return Rule(name, op, tuple(_fields(op)))


@cache
def form_of(rule: Rule, has_copy: bool, ndim: int) -> Rule:
    """The form of a rule for a weight of so many axes: without matrices where it has fewer than two, if the rule has
    such a form, and with a float32 copy of the weight if asked."""
    name = rule.op.name
    if rule.op.is_matrix and ndim < 2:
        name = f"{name.removesuffix('_update')}_vector_update"
    return rule._replace(op=find_op(name, "mp_" if has_copy else ""))


def name_of(op: OpDef) -> str:
    """What groups call a rule: the op without `_update`."""
    return op.name.removesuffix("_update")


def _fields(op: OpDef) -> list[Field]:
    """All attributes but what is counted here, and how values are stored unless somebody says it."""
    counted = {count_of(op), *op.running}
    found = []
    for attr in op.attrs.values():
        if attr.name not in counted:
            option, place = option_of(op.name, attr.name)
            is_fixed = attr.switch or not attr.is_numeric
            found.append(Field(attr.name, option, place, is_fixed, attr.name in _STORAGE))
    return found + [Field(i.name, i.name, None, False) for i in op.inputs if i.kind == "scalar"]


def options_of(rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a rule with the values given, in the rule's words or torch's; the rest as the rule has it.

    UnknownAttributeError, AttributeValueError, and MissingArgumentError for what has no default.
    """
    found = checked(rule, given)
    known = class_of(rule.op.name)
    if known is not None:
        found = {**known.defaults, **found, **known.options}
    for field in rule.fields:
        if field.option not in found and not field.is_optional:
            found[field.option] = _default(rule, field)
    return found


def checked(rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options given, in torch's words where the rule is torch's, each of them a value that the rule takes."""
    known = class_of(rule.op.name)
    by_attr = {f.attr: f for f in rule.fields}
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = by_attr.get(name)
        if known is not None and (name in known.options or name in known.defaults):
            _check_option(rule, known.options, name, value)
            found[name] = value
        elif field is not None and field.place is not None:
            whole = list(found.get(field.option) or _default(rule, field))
            whole[field.place] = value
            found[field.option] = tuple(whole)
        elif field is not None:
            found[field.option] = value
        elif any(f.option == name for f in rule.fields):
            found[name] = value
        else:
            options = {f.option for f in rule.fields} | set(by_attr)
            raise UnknownAttributeError(f"{rule.name} has no attribute {name!r}{near(name, options)}")
    if found.get("kahan"):
        raise AttributeValueError(
            f"{rule.name}: kahan is not kept here: multi_precision=True keeps what rounding loses"
        )
    for field in rule.fields:
        if field.option in found:
            _check_value(rule, field, found)
    return found


def _check_option(rule: Rule, options: Mapping[str, Any], name: str, value: Any) -> None:
    """AttributeValueError for an option of torch's class that makes it another rule."""
    if name in options and value != options[name]:
        raise AttributeValueError(
            f"{rule.name} is torch's class with {name}={options[name]!r}, got {name}={value!r}: give another rule"
        )


def _check_value(rule: Rule, field: Field, options: Mapping[str, Any]) -> None:
    attr = rule.op.attrs.get(field.attr, Attr(field.attr, "float"))
    try:
        value = field.read(options)
        if not (value is None and class_of(rule.op.name)):
            attr.parse(float(value) if attr.is_numeric else value)
    except (TypeError, ValueError, IndexError) as error:
        raise AttributeValueError(
            f"{rule.name}: {field.option} = {options[field.option]!r}: {error}"
        ) from None


def _default(rule: Rule, field: Field) -> Any:
    """The rule's own value of an option; a tuple of them where several attributes share it."""
    if field.place is None:
        return _own_default(rule, field)
    parts = [f for f in rule.fields if f.option == field.option]
    return tuple(_own_default(rule, f) for f in sorted(parts, key=lambda f: f.place or 0))


def _own_default(rule: Rule, field: Field) -> Any:
    attr = rule.op.attrs.get(field.attr)
    if attr is None:
        return 1.0  # an input of one element: a factor on the gradient
    if attr.default is REQUIRED:
        raise MissingArgumentError(f"{rule.name} needs {field.option}=: it has no default")
    return attr.default


def attributes(
    rule: Rule, group: Mapping[str, Any], position: int, dtype: str, variable: Callable[[str], Symbol]
) -> dict[str, Any]:
    """What a node of a group gets: values where they shape the graph, else the variables that all its nodes share."""
    found: dict[str, Any] = {}
    for field in rule.fields:
        value = field.read(group)
        if value is None:
            if field.option == "eps":
                found[field.attr] = SMALLEST.get(dtype, SMALLEST["float32"])
        else:
            found[field.attr] = value if field.is_fixed else variable(f"{field.attr}.{position}")
    return found


def numbers(rule: Rule, group: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a group now, by attribute."""
    found = {}
    for field in rule.fields:
        if not field.is_fixed:
            value = field.read(group)
            if value is not None:
                found[field.attr] = _number(rule, field.option, value)
    return found


def _number(rule: Rule, option: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor of several elements
        raise AttributeValueError(
            f"{option} = {value!r} in a group of {rule.name} must be a number"
        ) from error
