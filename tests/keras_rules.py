"""Which update op does the work of a class of Keras's, with which attributes, and what its states are called there."""

from typing import Any, NamedTuple

import numpy as np

from symopt.forms import get_op
from symopt.opdef import OpDef

MOMENTS = {"mean": ("m", "momentum"), "var": ("v", "velocity")}
MOMENTUM = {"mom": ("momentum", "momentum")}
RMS = {"var": ("rms", "velocity")}
CENTER = {"mean": ("mg", "average_gradient")}
FTRL = {"z": ("linear", "linear"), "n": ("accumulator", "accumulator")}
# rule: {state: (slot in tf.keras up to TF 2.10, slot in Keras 3)}
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
    "centered_rmsprop_mom": RMS | CENTER | MOMENTUM,
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
}
INITIAL = {"adagrad": {"history": 0.1}, "ftrl": {"n": 0.1}, "ftrl_power": {"n": 0.1}}
# Numbers that tf.keras keeps in float32 variables, whatever the dtype of the weights.
ROUNDED = ("beta1", "beta2", "rho", "momentum", "learning_rate_power", "beta",
           "l1_regularization_strength", "l2_regularization_strength")  # fmt: skip
WEIGHT_DECAY = {"AdamW": 0.004, "Muon": 0.004}
BASE = float(np.float32(0.96))  # of Nadam's schedule: in float32 too


class Rule(NamedTuple):
    """An op for one variable. `attrs`: what the configuration says; `lr_factor`: on the optimizer's learning rate."""

    op: OpDef
    slots: dict[str, str]
    initial: dict[str, float]
    attrs: dict[str, Any]
    weight_decay: float | None
    lr_factor: float = 1.0


def rule(api: str, name: str, config: dict[str, Any], ndim: int, label: str) -> Rule:
    """What the class `name` does to a variable of `ndim` axes that is called `label`."""
    kind = _kind(name, config, ndim, label)
    lr_factor = config.get("adam_lr_ratio", 1.0) if (name, kind) == ("Muon", "adam") else 1.0
    if (name, kind) == ("Muon", "adam"):  # has a configuration of its own
        config = {key.removeprefix("adam_"): config[key] for key in config if key.startswith("adam_")}
    op = get_op(f"{'keras' if api == 'legacy' else 'keras3'}_{kind}_update")
    first = config.get("initial_accumulator_value")
    return Rule(
        op=op,
        slots={slots[api == "v3"]: state for state, slots in SLOTS[kind].items()},
        initial={n: value if first is None else first for n, value in INITIAL.get(kind, {}).items()},
        attrs=_attributes(op, config, api),
        weight_decay=config.get("weight_decay", WEIGHT_DECAY.get(name)),
        lr_factor=lr_factor,
    )


def _kind(name: str, config: dict[str, Any], ndim: int, label: str) -> str:
    """The name of the op, without its prefix and _update."""
    has_momentum = bool(config.get("momentum", 0) > 0)
    if name == "SGD":
        return "sgd" if not has_momentum else "nesterov" if config.get("nesterov") else "momentum"
    if name == "RMSprop":
        return "centered_" * bool(config.get("centered")) + "rmsprop" + "_mom" * has_momentum
    if name == "Adam" and config.get("amsgrad"):
        return "amsgrad"
    if name == "Ftrl" and "learning_rate_power" in config:
        return "ftrl_power"
    if name == "Adafactor" and ndim < 2:
        return "adafactor_vector"
    if name == "Muon" and (ndim != 2 or "embedding" in label):
        return "adam"
    return name.lower()


def _attributes(op: OpDef, config: dict[str, Any], api: str) -> dict[str, Any]:
    """Attributes that the configuration gives, or that tf.keras rounds: beta1 is Keras's beta_1, and so on."""
    given = {key.replace("_", ""): value for key, value in config.items()}
    attrs = {name: given[name.replace("_", "")] for name in op.attrs if name.replace("_", "") in given}
    attrs = {name: -1.0 if value is None else value for name, value in attrs.items()}  # off
    if api == "legacy":
        rounded = [name for name in ROUNDED if name in op.attrs]
        attrs |= {name: float(np.float32(attrs.get(name, op.attrs[name].default))) for name in rounded}
    return attrs | ({"schedule_base": BASE} if "schedule_base" in op.attrs else {})


def momentum_product(api: str, beta1: float, decay: float, step: int) -> float:
    """Nadam's u_1 * ... * u_step; Keras 3 has 0.96 in float32 everywhere but here."""
    base, decay = (BASE, decay) if api == "legacy" else (0.96, 1.0)
    return float(np.prod([beta1 * (1 - 0.5 * base ** (decay * t)) for t in range(1, step + 1)]))
