"""What a class does to one variable: an update op, where its attributes come from, and what its states are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AttributeValueError
from ..keras.rules import Rule, find_rule
from ..opdef import OpDef
from ..training.update import find_op

# Keras 3 computes 0.96 in float32 in Nadam's momentum schedule, whatever the dtype of the weight.
NADAM_BASE = float(np.float32(0.96))
SLOTS = {"v": "velocity"}  # Adafactor's, as its variable is called


@dataclass(frozen=True, slots=True)
class FullRule:
    """How one variable is updated.

    `attrs`: attributes that are part of the graph. `keys`: numeric attributes, and by what name the optimizer has the
    number: they are variables of the graph, so that another number costs nothing. `slots`: states of the op by Keras's
    names. `initial`: what states begin with, if not as the op says: a number, or "weight". `decay` and `lr_factor`: the
    optimizer's attributes that are the variable's weight decay, and a factor on the learning rate.
    """

    op: OpDef
    attrs: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, float | str] = field(default_factory=dict)
    decay: str = "weight_decay"
    lr_factor: str = ""


def class_rule(
    name: str,
    optimizer: object,
    hypers: Mapping[str, str],
    ndim: int,
    decay: str = "weight_decay",
    factor: str = "",
) -> FullRule:
    """The rule of Keras's class `name`. `hypers`: its configuration, as attributes of `optimizer` by Keras's keys."""
    config = {key: getattr(optimizer, attribute) for key, attribute in hypers.items()}
    found = find_rule("keras3", name, config, ndim)
    op = find_op(found.op)
    keys = {a: hypers[k] for a, k in found.keys.items() if op.attrs[a].is_numeric and config[k] is not None}
    attrs = {a: value for a, value in found.attrs.items() if a not in keys}
    if "wd" in op.attrs:
        attrs["wd"] = 0.0  # all classes decay in one way, before the op
    if "schedule_base" in op.attrs:
        attrs["schedule_base"] = NADAM_BASE
    slots = {SLOTS.get(slot, slot): state for slot, state in (found.slots or {}).items()}
    return FullRule(op, attrs, keys, slots, found.initial, decay, factor)


def full_rule(rule: Rule | FullRule, optimizer: object) -> FullRule:
    """The rule of somebody's class, with what it leaves open: slots that have the names of the op's states."""
    if isinstance(rule, FullRule):
        return rule
    if not isinstance(rule, Rule) or rule.weight_decay is not None or rule.lr_factor != 1.0:
        raise AttributeValueError(
            f"{type(optimizer).__name__}.update_rule must give a Rule of op, attrs, keys, slots and initial; weight "
            f"decay and learning rate are the optimizer's: got {rule!r}"
        )
    op = find_op(rule.op)
    values = {attr: getattr(optimizer, key) for attr, key in rule.keys.items()}
    keys = {a: rule.keys[a] for a, value in values.items() if op.attrs[a].is_numeric and value is not None}
    attrs = {**rule.attrs, **{a: value for a, value in values.items() if a not in keys}}
    slots = {state: state for state in op.states} if rule.slots is None else rule.slots
    return FullRule(op, attrs, keys, slots, dict(rule.initial))


def slot_shape(slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that Keras gives a slot of a variable."""
    if slot == "row":
        return shape[:-1]
    return (*shape[:-2], shape[-1]) if slot == "col" else shape
