"""The optimizers of torch and the rules that are theirs: what each calls its options and states.

Nothing here needs torch: it is also what `so.convert` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

# Attributes of `torch_` rules and where torch keeps them: an option, or one of the numbers in an option.
OPTIONS: Mapping[str, tuple[str, int | None]] = {
    "beta1": ("betas", 0), "beta2": ("betas", 1), "epsilon": ("eps", None), "wd": ("weight_decay", None),
    "etaminus": ("etas", 0), "etaplus": ("etas", 1),
    "step_size_min": ("step_sizes", 0), "step_size_max": ("step_sizes", 1),
    "epsilon1": ("eps", 0), "epsilon2": ("eps", 1),
    "a": ("ns_coefficients", 0), "b": ("ns_coefficients", 1), "c": ("ns_coefficients", 2),
}  # fmt: skip

# Options of torch's classes that choose how torch computes, not what; and what its schedulers leave in groups.
IGNORED = frozenset({
    "foreach", "fused", "capturable", "differentiable", "initial_lr", "max_lr", "min_lr", "base_momentum",
    "max_momentum", "swa_lr", "param_names", "name", "params", "initial_accumulator_value",
})  # fmt: skip
_NONE: Mapping[str, Any] = MappingProxyType({})


class TorchClass(NamedTuple):
    """A class of torch.optim as it computes with some options.

    `options`: those that make it this rule. `states`: what it calls the rule's states. `first`: states that begin as
    one of the options. `axes`: states that have one axis more in torch, and which. `made`: further entries of a
    parameter's state, which torch needs and the rule does not. `defaults`: options whose default is torch's, as the
    rule has none or another.
    """

    name: str
    options: Mapping[str, Any] = _NONE
    states: Mapping[str, str] = _NONE
    first: Mapping[str, str] = _NONE
    axes: Mapping[str, int] = _NONE
    made: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = _NONE


_ADAM = {"mean": "exp_avg", "var": "exp_avg_sq"}
_AMSGRAD = {**_ADAM, "max_var": "max_exp_avg_sq"}
_PLAIN = {"momentum": 0, "dampening": 0, "nesterov": False}
_RMS = {"var": "square_avg"}
_CENTERED = {**_RMS, "mean": "grad_avg"}
_MOM = {"mom": "momentum_buffer"}

CLASSES: Mapping[str, TorchClass] = {
    "torch_sgd": TorchClass("SGD", _PLAIN),
    "torch_sgd_mom": TorchClass("SGD", {}, _MOM),
    "torch_asgd": TorchClass("ASGD", {}, {"average": "ax"}, made=("eta", "mu")),
    "torch_adam": TorchClass("Adam", {"amsgrad": False}, _ADAM),
    "torch_amsgrad": TorchClass("Adam", {"amsgrad": True}, _AMSGRAD),
    "torch_adamw": TorchClass("AdamW", {"amsgrad": False, "decoupled_weight_decay": True}, _ADAM),
    "torch_adamw_amsgrad": TorchClass("AdamW", {"amsgrad": True, "decoupled_weight_decay": True}, _AMSGRAD),
    "torch_sparse_adam": TorchClass("SparseAdam", {}, _ADAM),
    "torch_nadam": TorchClass("NAdam", {}, _ADAM),
    "torch_radam": TorchClass("RAdam", {}, _ADAM),
    "torch_adamax": TorchClass("Adamax", {}, {"mean": "exp_avg", "u": "exp_inf"}),
    "torch_adagrad": TorchClass("Adagrad", {}, {"history": "sum"}, {"history": "initial_accumulator_value"},
                                defaults={"initial_accumulator_value": 0}),
    "torch_adadelta": TorchClass("Adadelta", {}, {"acc_g": "square_avg", "acc_delta": "acc_delta"}),
    "torch_rmsprop": TorchClass("RMSprop", {"centered": False, "momentum": 0}, _RMS),
    "torch_rmsprop_mom": TorchClass("RMSprop", {"centered": False}, {**_RMS, **_MOM}),
    "torch_rmsprop_centered": TorchClass("RMSprop", {"centered": True, "momentum": 0}, _CENTERED),
    "torch_rmsprop_centered_mom": TorchClass("RMSprop", {"centered": True}, {**_CENTERED, **_MOM}),
    "torch_rprop": TorchClass("Rprop", {}, {"prev": "prev", "step_size": "step_size"}, {"step_size": "lr"},
                              defaults={"lr": 1e-2}),
    "torch_adafactor": TorchClass("Adafactor", {}, {"row_var": "row_var", "col_var": "col_var"},
                                  axes={"row_var": -1, "col_var": -2}, defaults={"eps": (None, 1e-3)}),
    "torch_adafactor_vector": TorchClass("Adafactor", {}, {"variance": "variance"},
                                         defaults={"eps": (None, 1e-3)}),
    "torch_muon": TorchClass("Muon", {}, {"momentum_buffer": "momentum_buffer"}),
}  # fmt: skip

# What torch computes from the dtype of the parameter where its option is None.
SMALLEST = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def class_of(op_name: str) -> TorchClass | None:
    """The class of torch.optim that a rule, or its form with a float32 copy, is of; None for other systems' rules."""
    return CLASSES.get(op_name.removeprefix("mp_").removesuffix("_update"))


def option_of(op_name: str, attr: str) -> tuple[str, int | None]:
    """Where a group keeps an attribute of a rule: an option, and its place if the option is a tuple."""
    return OPTIONS.get(attr, (attr, None)) if class_of(op_name) else (attr, None)
