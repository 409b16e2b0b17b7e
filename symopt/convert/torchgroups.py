"""A parameter group that torch saved: the class it is of, the rule that this class follows, and its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import StateError
from ..state import Differences
from ..torch.classes import CLASSES, IGNORED, SMALLEST
from ..torch.groups import Rule, rule_called

# Options that only one class has. What has betas but none of these is told apart below.
SIGNS = {
    "beta2_decay": "Adafactor", "ns_steps": "Muon", "momentum_decay": "NAdam", "lr_decay": "Adagrad", "etas": "Rprop",
    "lambd": "ASGD", "rho": "Adadelta", "centered": "RMSprop", "dampening": "SGD",
}  # fmt: skip


def rule_of(
    group: Mapping[str, Any], wanted: str | None, ndim: int, found: Differences, path: str
) -> Rule | None:
    """The rule of a group for a parameter of so many axes; None, and lines in `found`, if there is none here.

    `wanted`: the rule it must be, or None: what the options say.
    """
    name = group.get("rule") or _named(group, wanted, found, path)
    if name is None:
        return None
    if wanted is not None and not found.compare(path, "rule", wanted.removesuffix("_update"), name):
        return None
    rule = rule_called(name)
    if rule.op.is_matrix and ndim < 2:
        rule = rule_called(f"{name}_vector")
    known = CLASSES[name]
    words = (
        {f.option for f in rule.fields} | known.options.keys() | known.defaults.keys() | IGNORED | {"rule"}
    )
    for option in group:
        if option not in words and group[option] not in (None, False, 0):
            found.unexpected.append(f"{path}/{option}")
    return rule


def _named(group: Mapping[str, Any], wanted: str | None, found: Differences, path: str) -> str | None:
    cls = _class(group)
    if cls is None:
        options = ", ".join(sorted(str(name) for name in group if name != "params"))
        found.different.append(
            f"{path}: no class of torch.optim that has a rule here has these options: {options}"
        )
        return None
    if cls == "Adam" and "decoupled_weight_decay" not in group:
        if wanted is not None:
            return wanted.removesuffix("_update")
        found.different.append(f"{path}: Adam and AdamW of older torch save the same options: give rule=")
        return None
    return next(n for n, known in CLASSES.items() if known.name == cls and _agrees(n, group))


def _class(group: Mapping[str, Any]) -> str | None:
    sign = next((name for name in SIGNS if name in group), None)
    if sign is not None:
        return SIGNS[sign]
    if "amsgrad" in group:
        return "AdamW" if group.get("decoupled_weight_decay") else "Adam"
    if "betas" not in group or not group.keys() <= {*IGNORED, *_BETAS}:
        return None
    if "decoupled_weight_decay" in group:
        return "RAdam"
    return "Adamax" if "weight_decay" in group else "SparseAdam"


_BETAS = ("params", "lr", "betas", "eps", "weight_decay", "maximize", "decoupled_weight_decay")


def _agrees(name: str, group: Mapping[str, Any]) -> bool:
    """Whether the options of a group make its class this rule. Of several, the first in the table counts."""
    options = CLASSES[name].options
    return all(group.get(o, False) == v for o, v in options.items() if o not in ("dampening", "nesterov"))


def refuse(found: Differences, what: str) -> None:
    """StateError that lists everything, if there is anything."""
    lines = [*found.different, *(f"{line}: missing in the state" for line in found.missing),
             *(f"{line}: only in the state" for line in found.unexpected)]  # fmt: skip
    if lines:
        raise StateError(f"{what}: this state cannot be taken over:\n    " + "\n    ".join(lines))


def attributes_of(rule: Rule, group: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The rule's attributes as a group has them. StateError for a value that is no number."""
    found = {}
    for field in rule.fields:
        if field.option not in group:
            continue
        value = field.read(group)
        if value is None and field.option == "eps":
            value = SMALLEST.get(dtype, SMALLEST["float32"])
        if value is not None:
            found[field.attr] = value if field.is_fixed else _number(field.option, value)
    return found


def _number(option: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise StateError(f"param_groups: {option} = {value!r} is no number") from None


def group_of(rule: Rule, attrs: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of torch's class for a rule with these attributes; `given` ones count before them."""
    known = CLASSES[rule.name]
    parts: dict[str, dict[int, Any]] = {}
    found: dict[str, Any] = {**known.defaults, **known.options, **_HOW}
    for field in rule.fields:
        value = attrs.get(field.attr)
        if value is None and field.attr in rule.op.attrs and not field.is_optional:
            value = rule.op.attrs[field.attr].default
        if isinstance(value, str) and not field.is_fixed and field.option not in given:
            raise StateError(
                f"{field.attr} is a schedule here ({value}), and a number in torch: give {field.option}="
            )
        if field.place is not None:
            parts.setdefault(field.option, {})[field.place] = value
        elif not field.is_optional:
            found[field.option] = value
    found.update({option: tuple(values[k] for k in sorted(values)) for option, values in parts.items()})
    return {**found, **given}


_HOW = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
