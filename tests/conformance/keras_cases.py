"""Cases of Keras's optimizers: a class and its configuration there, an update op and its attributes here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from graphs import Arrays, Case, random

from symopt import sym
from symopt.forms import find_op
from symopt.opdef import OpDef
from symopt.sparse import RowSparseArray

STEPS = 4
DTYPES = ("float32", "float64")
ON_JAX = "on JAX"
INEXACT = ("nadam", "adafactor", "adafactor_vector", "muon")  # have constants in float32, whatever the weight
SHAPE = (6, 3)
ROWS = ([4, 0], [1, 4, 5], [2], [0, 1, 4])  # of a sparse gradient, at each step
REPEATED = ([4, 0, 4], [1, 1, 5], [2, 2], [0, 1, 4])
RENAMED = {"learning_rate": "lr", "weight_decay": "wd"}
BASE = 0.96  # of Nadam's schedule

RATES = {"learning_rate": 0.125}
BETAS = {**RATES, "beta_1": 0.75, "beta_2": 0.875}
MOMENTS = {**BETAS, "epsilon": 2**-10}
RMS = {**RATES, "rho": 0.75, "epsilon": 2**-10}
MEANS = {"mean": "m momentum", "var": "v velocity"}
SHRINKAGE = {
    "l1_regularization_strength": 0.0625, "l2_regularization_strength": 0.125,
    "l2_shrinkage_regularization_strength": 0.25, "beta": 0.5,
}  # fmt: skip
FTRL = {"z": "linear linear", "n": "accumulator accumulator"}


class Rule(NamedTuple):
    """`flags` make the class be this op; `numbers` are our own instead of its defaults. `slots`: by state, the names
    that tf_keras and Keras 3 have for it. `initial`: first values of states; `accumulator` may be configured."""

    op: str
    cls: str
    flags: dict[str, Any]
    numbers: dict[str, Any]
    slots: dict[str, str]
    accumulator: str = ""
    shape: tuple[int, ...] = SHAPE
    apis: tuple[str, ...] = ("keras", "keras3")


NEW = ("keras3",)
RULES = (
    Rule("sgd", "SGD", {}, RATES, {}),
    Rule("momentum", "SGD", {"momentum": 0.75}, RATES, {"mom": "momentum momentum"}),
    Rule("nesterov", "SGD", {"momentum": 0.75, "nesterov": True}, RATES, {"mom": "momentum momentum"}),
    Rule("adagrad", "Adagrad", {}, {**RATES, "epsilon": 2**-10}, {"history": "accumulator accumulator"}, "history"),
    Rule("adadelta", "Adadelta", {}, {"learning_rate": 1.0, "rho": 0.75, "epsilon": 2**-10},
         {"acc_g": "accum_grad accumulated_grad", "acc_delta": "accum_var accumulated_delta_var"}),
    Rule("adam", "Adam", {}, MOMENTS, MEANS),
    Rule("amsgrad", "Adam", {"amsgrad": True}, MOMENTS, {**MEANS, "max_var": "vhat velocity_hat"}),
    Rule("adamax", "Adamax", {}, MOMENTS, {"mean": "m momentum", "u": "v norm"}),
    Rule("nadam", "Nadam", {}, MOMENTS, MEANS),
    Rule("rmsprop", "RMSprop", {}, RMS, {"var": "rms velocity"}),
    Rule("rmsprop_mom", "RMSprop", {"momentum": 0.75}, RMS, {"var": "rms velocity", "mom": "momentum momentum"}),
    Rule("centered_rmsprop", "RMSprop", {"centered": True}, RMS,
         {"var": "rms velocity", "mean": "mg average_gradient"}),
    Rule("centered_rmsprop_mom", "RMSprop", {"centered": True, "momentum": 0.75}, RMS,
         {"var": "rms velocity", "mean": "mg average_gradient", "mom": "momentum momentum"}),
    Rule("ftrl", "Ftrl", {}, {**RATES, **SHRINKAGE}, FTRL, "n"),
    Rule("ftrl_power", "Ftrl", {"learning_rate_power": -0.75}, {**RATES, **SHRINKAGE}, FTRL, "n"),
    Rule("adamw", "AdamW", {}, {**MOMENTS, "weight_decay": 0.0625}, MEANS, apis=NEW),
    Rule("lion", "Lion", {}, BETAS, {"mean": "- momentum"}, apis=NEW),
    Rule("lamb", "Lamb", {}, MOMENTS, MEANS, apis=NEW),
    Rule("schedule_free_adamw", "ScheduleFreeAdamW", {"weight_decay": 0.0}, MOMENTS,
         {"z": "- momentum", "var": "- velocity"}, apis=NEW),
    Rule("adafactor", "Adafactor", {}, {**RATES, "clip_threshold": 0.75}, {}, apis=NEW),
    Rule("adafactor_vector", "Adafactor", {}, {**RATES, "clip_threshold": 0.75}, {"var": "- velocity"}, shape=(7,),
         apis=NEW),
    Rule("muon", "Muon", {"weight_decay": 0.0625}, RATES, {"mom": "- momentum"}, apis=NEW),
)  # fmt: skip


class KerasCase(NamedTuple):
    """A case of symopt's, what Keras is to do, and by state its name of the slot."""

    case: Case
    record: dict[str, Any]
    slots: Mapping[str, str]
    backend: str = "tensorflow"


def keras_cases() -> Iterator[KerasCase | str]:
    """Every rule with the defaults and with numbers of our own, dense and sparse; names of ops that are not there."""
    for api in ("keras", "keras3"):
        for rule in RULES:
            if api not in rule.apis:
                continue
            name = f"{api}_{rule.op}_update"
            if find_op(name) is None:
                yield name
                continue
            sparse = () if rule.op == "muon" or len(rule.shape) < 2 else ("rows", "repeated rows")
            for dtype in DTYPES[: 1 if rule.op == "muon" else 2]:  # Keras's Muon fails on float64
                yield from (keras_case(api, rule, setting, dtype) for setting in ("required", "all", *sparse))
                if api == "keras3":
                    yield keras_case(api, rule, ON_JAX, dtype)._replace(backend="jax")


def keras_case(api: str, rule: Rule, setting: str, dtype: str) -> KerasCase:
    op = find_op(f"{api}_{rule.op}_update")
    assert op is not None
    config = dict(rule.flags) if setting == "required" else {**rule.flags, **rule.numbers}
    first_history = 0.1 if setting == "required" else 0.5
    if rule.accumulator and setting != "required":
        config["initial_accumulator_value"] = first_history
    variables = {i.name: sym.var(i.name) for i in op.inputs}
    graphs = [
        getattr(sym, op.name)(
            *variables.values(), name="u", out=variables["weight"], **_attrs(op, config, api, t)
        )
        for t in range(1, STEPS + 1)
    ]
    key = f"{rule.op} {setting}"
    first: Arrays = {"weight": random(key, rule.shape, dtype)}
    states = graphs[0].infer_shape(weight=rule.shape)[2]
    for name, shape in zip(graphs[0].list_auxiliary_states(), states):
        first[name] = np.full(shape, first_history if name == rule.accumulator else 0.0, dtype)
    if "z" in op.states and "ftrl" not in rule.op:
        first["z"] = first[
            "weight"
        ].copy()  # schedule-free: the sequence that is averaged starts at the weight
    fresh: list[Arrays] = [{"grad": _gradient(rule, setting, key, s, dtype)} for s in range(STEPS)]
    case = Case(f"{api}_{rule.op}_update", setting, dtype, graphs, first | fresh[0], fresh, {0: "weight"}, mode="",
                exact=setting != "required" and rule.op not in INEXACT)  # fmt: skip
    slots = {state: names.split()[api == "keras3"] for state, names in rule.slots.items()}
    return KerasCase(case, {"api": api, "class": rule.cls, "config": config, "steps": STEPS}, slots)


def _attrs(op: OpDef, config: Mapping[str, Any], api: str, step: int) -> dict[str, Any]:
    """Keras's beta_1 is beta1, and so on; counts of steps are numbers here."""
    names = {name.replace("_", ""): name for name in op.attrs}
    given = {names.get(RENAMED.get(k, k).replace("_", "")): v for k, v in config.items()}
    attrs = {k: v for k, v in given.items() if k is not None}
    if "step" in op.attrs:
        attrs["step"] = step
    if "u_product" in op.attrs:
        decay = 0.004 if api == "keras" else 1.0
        beta1 = config.get("beta_1", 0.9)
        factors = [beta1 * (1 - 0.5 * BASE ** (decay * t)) for t in range(1, step + 1)]
        attrs["u_product"] = float(np.prod(factors))
    return attrs


def _gradient(rule: Rule, setting: str, key: str, step: int, dtype: str) -> Any:
    grad = random(f"{key} {step}", rule.shape, dtype)
    if "rows" not in setting:
        return grad
    rows = np.array((REPEATED if "repeated" in setting else ROWS)[step])
    return RowSparseArray(random(f"{key} {step}", (len(rows), *rule.shape[1:]), dtype), rows, rule.shape)


def write(made: KerasCase, folder: Path) -> None:
    """The files of a case."""
    stored: Arrays = {"w": made.case.first["weight"]}
    for step, arrays in enumerate(made.case.fresh):
        grad = arrays["grad"]
        if isinstance(grad, RowSparseArray):
            stored |= {f"g@{step}.data": grad.data, f"g@{step}.indices": grad.indices}
        else:
            stored[f"g@{step}"] = grad
    np.savez(folder / f"{made.case.name}.npz", **stored)
    (folder / f"{made.case.name}.json").write_text(json.dumps(made.record))


def as_ours(made: KerasCase, results: Mapping[str, Any]) -> Arrays:
    """Keras's results under symopt's names."""
    found = {name: x for name, x in results.items() if name.startswith("out")}
    return found | {f"var.{state}": results[f"slot.{slot}"] for state, slot in made.slots.items()}
