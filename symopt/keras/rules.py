"""Which update op does the work of a class of Keras's, with which attributes, and what its states are called there.

Two generations: "keras", the classes up to TF 2.10, and "keras3".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..forms import get_op
from ..opdef import OpDef

MOMENTS = {"mean": ("m", "momentum"), "var": ("v", "velocity")}
MOMENTUM = {"mom": ("momentum", "momentum")}
RMS = {"var": ("rms", "velocity")}
CENTER = {"mean": ("mg", "average_gradient")}
FTRL = {"n": ("accumulator", "accumulator"), "z": ("linear", "linear")}
# rule: {state: (slot up to TF 2.10, slot in Keras 3)}, in the order in which Keras makes the slots
SLOTS: dict[str, dict[str, tuple[str, str]]] = {
    "sgd": {},
    "momentum": MOMENTUM,
    "nesterov": MOMENTUM,
    "adagrad": {"history": ("accumulator", "accumulator")},
    "adamax": {"mean": ("m", "momentum"), "u": ("v", "norm")},
    "adam": MOMENTS,
    "amsgrad": MOMENTS | {"max_var": ("vhat", "velocity_hat")},
    "adamw": MOMENTS,
    "nadam": MOMENTS,
    "lamb": MOMENTS,
    "rmsprop": RMS,
    "rmsprop_mom": RMS | MOMENTUM,
    "centered_rmsprop": RMS | CENTER,
    "centered_rmsprop_mom": RMS | MOMENTUM | CENTER,
    "adadelta": {
        "acc_g": ("accum_grad", "accumulated_grad"),
        "acc_delta": ("accum_var", "accumulated_delta_var"),
    },
    "ftrl": FTRL,
    "ftrl_power": FTRL,
    "lion": {"mean": ("", "momentum")},
    "adafactor": {"row": ("", "row"), "col": ("", "col")},
    "adafactor_vector": {"var": ("", "v")},
    "muon": MOMENTUM,
    "schedule_free_adamw": {"z": ("", "momentum"), "var": ("", "velocity")},
}
WEIGHT_DECAY = {"AdamW": 0.004, "Muon": 0.004}
SQUARE_ROOT = -0.5  # the learning_rate_power of Ftrl that has an op of its own
KINDS = {"ScheduleFreeAdamW": "schedule_free_adamw"}


class Rule(NamedTuple):
    """What is done to one variable.

    `op`: of the catalogue. `attrs`: numbers and flags for it; `keys`: hyperparameters for it, so that attribute beta1
    is beta_1 (those of find_rule are in `attrs` too, as configured). `slots`: the op's states by the names that
    get_slot has for them, in order; None: their own names. `initial`: what states begin with, if not as the op says.
    `weight_decay`: None or a number, decoupled, if the op has no attribute for it. `lr_factor`: on the learning rate.
    """

    op: OpDef | str
    attrs: Mapping[str, Any] = MappingProxyType({})
    keys: Mapping[str, str] = MappingProxyType({})
    slots: Mapping[str, str] | None = None
    initial: Mapping[str, float] = MappingProxyType({})
    weight_decay: float | None = None
    lr_factor: float = 1.0


def find_rule(
    generation: str, name: str, config: Mapping[str, Any], ndim: int = 2, variable: str = ""
) -> Rule:
    """What the class `name` with this configuration does to a variable of `ndim` axes that is called `variable`.

    The learning rate is not looked at, nor are clips; `step` and `u_product` are for the caller, if the op has them.
    """
    kind = _kind(name, config, ndim, variable)
    op = get_op(f"{generation}_{kind}_update")
    if (name, kind) == ("Muon", "adam"):  # has a configuration of its own
        lr_factor = float(config.get("adam_lr_ratio", 1.0))
        config = {key.removeprefix("adam_"): config[key] for key in config if key.startswith("adam_")}
    else:
        lr_factor = 1.0
    keys = _keys(op, config)
    attrs = {
        attr: -1.0 if config[key] is None else config[key] for attr, key in keys.items()
    }  # negative: off
    decay = config.get("weight_decay", WEIGHT_DECAY.get(name))
    if "wd" in op.attrs:
        attrs["wd"], decay = float(decay or 0.0), None
    first = config.get("initial_accumulator_value")
    slots = SLOTS[kind]
    return Rule(
        op=op,
        attrs=attrs,
        keys=keys,
        slots={names[generation == "keras3"]: state for state, names in slots.items()},
        initial={
            state: first for state, begin in op.initial.items() if first is not None and begin != "weight"
        },
        weight_decay=decay,
        lr_factor=lr_factor,
    )


def _kind(name: str, config: Mapping[str, Any], ndim: int, variable: str) -> str:
    """The name of the op, without its prefix and _update."""
    momentum = config.get("momentum", 0)
    has_momentum = not isinstance(momentum, (int, float)) or momentum > 0
    if name == "SGD":
        return "sgd" if not has_momentum else "nesterov" if config.get("nesterov") else "momentum"
    if name == "RMSprop":
        return "centered_" * bool(config.get("centered")) + "rmsprop" + "_mom" * has_momentum
    if name == "Adam" and config.get("amsgrad"):
        return "amsgrad"
    if name == "Ftrl":
        return "ftrl" if config.get("learning_rate_power", SQUARE_ROOT) == SQUARE_ROOT else "ftrl_power"
    if name == "Adafactor" and ndim < 2:
        return "adafactor_vector"
    if name == "Muon" and (ndim != 2 or "embedding" in variable):
        return "adam"
    return KINDS.get(name, name.lower())


def _keys(op: OpDef, config: Mapping[str, Any]) -> dict[str, str]:
    """By attribute of the op the key of the configuration: beta1 is Keras's beta_1, and so on."""
    given = {key.replace("_", ""): key for key in config}
    squeezed = {attr: attr.replace("_", "") for attr in op.attrs if attr != "name"}
    return {attr: given[word] for attr, word in squeezed.items() if word in given}
