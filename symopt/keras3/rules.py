"""What a class does to one variable: an update op, where its attributes come from, and what its states are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..keras.rules import find_rule
from ..opdef import OpDef
from ..training.update import find_op

# Keras 3 computes 0.96 in float32 in Nadam's momentum schedule, whatever the dtype of the weight.
NADAM_BASE = float(np.float32(0.96))
SLOTS = {"v": "velocity"}  # Adafactor's, as its variable is called


@dataclass(frozen=True, slots=True)
class Rule:
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
    name: str, optimizer: object, hypers: Mapping[str, str], ndim: int, decay: str = "weight_decay", factor: str = ""
) -> Rule:
    """The rule of Keras's class `name`. `hypers`: its configuration, as attributes of `optimizer` by Keras's keys."""
    config = {key: getattr(optimizer, attribute) for key, attribute in hypers.items()}
    found = find_rule("keras3", name, config, ndim)
    op = found.op
    keys = {a: hypers[k] for a, k in found.keys.items() if op.attrs[a].is_numeric and config[k] is not None}
    attrs = {a: value for a, value in found.attrs.items() if a not in keys}
    if "wd" in op.attrs:
        attrs["wd"] = 0.0  # all classes decay in one way, before the op
    if "schedule_base" in op.attrs:
        attrs["schedule_base"] = NADAM_BASE
    slots = {SLOTS.get(slot, slot): state for slot, state in found.slots.items()}
    return Rule(op, attrs, keys, slots, found.initial, decay, factor)


def own_rule(op: Any, attrs: Mapping[str, Any]) -> Rule:
    """The rule of somebody's class: an op's name and its attributes. Slots have the names of the states."""
    found = find_op(op)
    return Rule(found, dict(attrs), slots={state: state for state in found.states})


def slot_shape(slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that Keras gives a slot of a variable."""
    if slot == "row":
        return shape[:-1]
    return (*shape[:-2], shape[-1]) if slot == "col" else shape
