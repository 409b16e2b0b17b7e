"""Monolith's optimizers, initializers and compressors as data: arguments, defaults, dicts, and the rules they name."""

import copy
import dataclasses
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symopt import sym
from symopt.embedding import entry
from symopt.errors import AttributeValueError, FormatError, RuleError, UnknownArgumentError
from symopt.forms import get_op

FOLDER = Path(__file__).parent / "golden"
VECTORS = np.load(FOLDER / "monolith.npz")
CASES = json.loads((FOLDER / "monolith.json").read_text())["cases"]
RULES = [c for c in CASES if c["kind"] == "rule" and not c["optimizer"].startswith("dense")]
STATES = {  # Monolith's names of states that are not ours
    "adagrad": {"norm": "history"}, "dynamic_wd_adagrad": {"norm": "history"},
    "group_adagrad": {"grad_square_sum": "history"}, "adadelta": {"accum": "acc_g", "accum_update": "acc_delta"},
    "adam": {"m": "mean", "v": "var"}, "amsgrad": {"m": "mean", "v": "var", "vhat": "max_var"},
    "momentum": {"n": "mom"}, "ftrl": {"zero": "z", "norm": "n"}, "group_ftrl": {"zero": "z", "norm": "n"},
    "batch_softmax": {"global_step": "last_step"},
}  # fmt: skip

# Class, field of the proto, arguments in order with entry.py's defaults, what None is, rule, numbers of state at 16.
TABLE: list[tuple[str, str, dict[str, Any], dict[str, Any], str, int]] = [
    ("SgdOptimizer", "sgd", {"learning_rate": None}, {"learning_rate": 0.01}, "monolith_sgd", 0),
    ("AdagradOptimizer", "adagrad", {"learning_rate": None, "initial_accumulator_value": None,
     "hessian_compression_times": 1, "warmup_steps": 0, "weight_decay_factor": 0.0},
     {"learning_rate": 0.001, "initial_accumulator_value": 0.1}, "monolith_adagrad", 16),
    ("AdadeltaOptimizer", "adadelta", {"learning_rate": None, "weight_decay_factor": 0.0, "averaging_ratio": 0.9,
     "epsilon": 0.01, "warmup_steps": 0}, {"learning_rate": 0.01}, "monolith_adadelta", 32),
    ("AdamOptimizer", "adam", {"learning_rate": None, "beta1": 0.9, "beta2": 0.99, "use_beta1_warmup": False,
     "weight_decay_factor": 0.0, "use_nesterov": False, "epsilon": 0.01, "warmup_steps": 0},
     {"learning_rate": 0.01}, "monolith_adam", 34),
    ("AmsgradOptimizer", "amsgrad", {"learning_rate": None, "beta1": 0.9, "beta2": 0.99, "weight_decay_factor": 0.0,
     "use_nesterov": False, "epsilon": 0.01, "warmup_steps": 0}, {"learning_rate": 0.01}, "monolith_amsgrad", 50),
    ("BatchSoftmaxOptimizer", "batch_softmax", {"learning_rate": None}, {"learning_rate": 0.1},
     "monolith_batch_softmax", 1),
    ("MomentumOptimizer", "momentum", {"learning_rate": None, "weight_decay_factor": 0.0, "use_nesterov": False,
     "momentum": 0.9, "warmup_steps": 0}, {"learning_rate": 0.01}, "monolith_momentum", 16),
    ("MovingAverageOptimizer", "moving_average", {"momentum": 0.9}, {}, "monolith_moving_average", 0),
    ("RmspropOptimizer", "rmsprop", {"learning_rate": None, "weight_decay_factor": 0.0, "momentum": 0.9},
     {"learning_rate": 0.01}, "monolith_rmsprop", 16),
    ("RmspropV2Optimizer", "rmspropv2", {"learning_rate": None, "weight_decay_factor": 0.0, "momentum": 0.9},
     {"learning_rate": 0.01}, "monolith_rmspropv2", 16),
    ("FTRLWithGroupSparsityOptimizer", "group_ftrl", {"learning_rate": None, "initial_accumulator_value": None,
     "beta": None, "warmup_steps": 0, "l1_regularization": None, "l2_regularization": None},
     {"learning_rate": 0.01, "initial_accumulator_value": 0.0, "beta": 1.0, "l1_regularization": 0.0,
      "l2_regularization": 0.0}, "monolith_group_ftrl", 32),
    ("AdaGradWithGroupLassoOptimizer", "group_adagrad", {"learning_rate": None, "beta": None,
     "initial_accumulator_value": None, "l2_regularization": None, "weight_decay_factor": 0.0, "warmup_steps": 0},
     {"learning_rate": 0.01, "beta": 0.0, "initial_accumulator_value": 0.1, "l2_regularization": 0.0},
     "monolith_group_adagrad", 1),
    ("DynamicWdAdagradOptimizer", "dynamic_wd_adagrad", {"learning_rate": None, "initial_accumulator_value": None,
     "hessian_compression_times": 1, "warmup_steps": 0, "weight_decay_factor": 0.0, "decouple_weight_decay": True,
     "enable_dynamic_wd": False, "flip_direction": True, "dynamic_wd_temperature": 1.0},
     {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "decouple_weight_decay": False,
      "flip_direction": False}, "monolith_dynamic_wd_adagrad", 16),
    ("FtrlOptimizer", "ftrl", {"learning_rate": None, "initial_accumulator_value": None, "beta": None,
     "warmup_steps": 0, "l1_regularization": None, "l2_regularization": None},
     {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "beta": 0.0, "l1_regularization": 0.0,
      "l2_regularization": 0.0}, "monolith_ftrl", 32),
    ("ZerosInitializer", "zeros", {}, {}, "", 0),
    ("OnesInitializer", "ones", {}, {}, "", 0),
    ("ConstantsInitializer", "constants", {"constant": inspect.Parameter.empty}, {"constant": 0.0}, "", 0),
    ("RandomUniformInitializer", "random_uniform", {"minval": None, "maxval": None},
     {"minval": -0.05, "maxval": 0.05}, "", 0),
    ("Fp32Compressor", "fp32", {}, {}, "", 0),
    ("Fp16Compressor", "fp16", {}, {}, "", 0),
    ("FixedR8Compressor", "fixed_r8", {"fixed_range": 1.0}, {}, "", 0),
    ("OneBitCompressor", "one_bit", {"step_size": 200, "amplitude": 0.05, "init_scale": 1.0, "max_scale": 1e4},
     {"amplitude": 0.1}, "", 0),
]  # fmt: skip
PROTO = {"l1_regularization": "l1_regularization_strength", "l2_regularization": "l2_regularization_strength",
         "fixed_range": "r"}  # fmt: skip
PARTS: list[Any] = [getattr(entry, row[0])(*[0.5] * (row[0] == "ConstantsInitializer")) for row in TABLE] + [
    entry.BatchSoftmaxInitializer(3),
    entry.RandomNormalInitializer(stddev=0.25),
    entry.AdagradOptimizer(0.05, hessian_compression_times=4, weight_decay_factor=0.25),
    entry.FtrlOptimizer(l1_regularization=0.5, published=True),
    entry.StochasticRoundingFloat16OptimizerWrapper(entry.SgdOptimizer(0.5)),
    entry.DcOptimizer(entry.StochasticRoundingFloat16OptimizerWrapper(entry.AdamOptimizer()), 0.125),
]
OPTIMIZERS = [row for row in TABLE if row[4]]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_arguments_and_defaults_are_those_of_monolith(row: tuple[Any, ...]) -> None:
    name, kind, arguments, unset, _, _ = row
    cls = getattr(entry, name)
    found = {
        k: p.default
        for k, p in inspect.signature(cls).parameters.items()
        if p.kind is not p.KEYWORD_ONLY  # published, which only symopt has
    }
    assert list(found.items()) == list(arguments.items())
    resolved = {k: unset.get(k, v) if v is None else v for k, v in arguments.items()}
    required = [0.5 for v in arguments.values() if v is inspect.Parameter.empty]
    made = cls(*required).as_dict()
    expected = {PROTO.get(k, k): 0.5 if v is inspect.Parameter.empty else v for k, v in resolved.items()}
    assert made == {kind: expected}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_none_is_the_default_of_the_proto_file(row: tuple[Any, ...]) -> None:
    """As in Monolith, where None leaves a field unset; and as a dict without the field."""
    name, kind, arguments, unset, _, _ = row
    nothing = getattr(entry, name)(*[None] * len(arguments))
    expected = {k: unset.get(k, v) for k, v in arguments.items()}
    assert nothing.as_dict() == {kind: {PROTO.get(k, k): v for k, v in expected.items()}}
    assert type(nothing).from_dict({kind: {}}) == nothing


@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row[0])
def test_optimizers_name_rules_that_exist(row: tuple[Any, ...]) -> None:
    """An op of that name, with those attributes, and states of that size."""
    optimizer = getattr(entry, row[0])()
    op = get_op(f"{row[4]}_update")
    assert optimizer.rule == row[4] and set(optimizer.attrs) <= set(op.attrs)
    assert set(optimizer.initial) <= set(op.states)
    kinds = [op.inputs[k].kind for k in op.state_positions]
    assert optimizer.state_floats(16) == sum(1 if kind == "row_state" else 16 for kind in kinds) == row[5]


def test_states_are_counted_as_the_rule_keeps_them() -> None:
    shared = entry.AdagradOptimizer(hessian_compression_times=4)
    assert [shared.state_floats(dim) for dim in (1, 4, 5, 16)] == [1, 1, 2, 4]
    assert entry.DynamicWdAdagradOptimizer(hessian_compression_times=16).state_floats(16) == 1


@pytest.mark.parametrize("case", RULES, ids=lambda case: case["case"])
def test_optimizers_give_the_numbers_of_monolith(case: dict[str, Any]) -> None:
    """Rule, attributes and learning rate of an optimizer made of Monolith's own configuration."""
    told = {case["optimizer"]: case["config"]}
    published = not case["canonical"]
    if published:
        told = {case["optimizer"]: {**case["config"], "published": True}}
    if "dc_lambda" in case:
        told["dc"] = {"lambda_": case["dc_lambda"]}
    optimizer = entry.Optimizer.from_dict(told)
    op = get_op(f"{optimizer.rule}_update")
    read = {k: VECTORS[f"{case['case']}/{k}"] for k in _names(case)}
    names = {**{s: s for s in op.states}, **STATES.get(case["optimizer"], {})}
    states = {
        ours: read[f"init.{theirs}"].copy() for theirs, ours in names.items() if f"init.{theirs}" in read
    }
    for state, value in optimizer.initial.items():
        np.testing.assert_allclose(states[state], value, rtol=1e-6)
    weight = read["in.weight"].copy()
    for k, lr in enumerate(case["lr"]):
        attrs = dict(optimizer.attrs)
        if "lr" in op.attrs:
            attrs["lr"] = optimizer.rate(lr)
        if optimizer.clock == "table":
            attrs["global_step"] = case["global_step"][k]
        _step(optimizer, op.name, weight, read[f"in.grad.{k}"], states, attrs, read.get(f"in.latest.{k}"))
        np.testing.assert_allclose(weight, read[f"out.weight.{k}"], rtol=1e-11, atol=1e-14)


def _names(case: dict[str, Any]) -> list[str]:
    start = f"{case['case']}/"
    return [name[len(start) :] for name in VECTORS.files if name.startswith(start)]


def _step(
    optimizer: Any,
    op: str,
    weight: Any,
    grad: Any,
    states: dict[str, Any],
    attrs: dict[str, Any],
    latest: Any,
) -> None:
    w, g = sym.var("w"), sym.var("g")
    args = {"w": weight, "g": grad}
    if optimizer.delay_compensation:
        args["latest"] = latest
        lambda_ = optimizer.delay_compensation
        g = sym.monolith_delay_compensation(g, w, sym.var("latest"), lambda_=lambda_)
    node = getattr(sym, op)(w, g, **{name: sym.var(name) for name in states}, **attrs, out=w)
    node.bind(args=args, aux_states=states, engine="reference").forward()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parts_are_plain_data(part: Any) -> None:
    """Whole through dicts, JSON, copies, pickles and their own repr; never changed."""
    family = next(
        cls for cls in (entry.Optimizer, entry.Initializer, entry.Compressor) if isinstance(part, cls)
    )
    for same in (
        family.from_dict(json.loads(json.dumps(part.as_dict()))),
        copy.copy(part),
        copy.deepcopy(part),
        pickle.loads(pickle.dumps(part)),
        eval(repr(part), vars(entry).copy()),
    ):
        assert same == part and hash(same) == hash(part) and same.as_dict() == part.as_dict()
    for field in dataclasses.fields(part):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field.name, getattr(part, field.name))


def test_only_equal_parts_are_equal() -> None:
    assert len(set(PARTS)) == len(PARTS)
    assert entry.BatchSoftmaxInitializer(3) == entry.ConstantsInitializer(3.0)
    assert entry.AdagradOptimizer() == entry.AdagradOptimizer(0.001, 0.1)
    assert entry.AdagradOptimizer() != "adagrad"


@given(
    st.floats(0, 1e30),
    st.floats(0, 1e30),
    st.integers(1, 1000),
    st.integers(0, 2**40),
    st.floats(0, 10),
    st.booleans(),
)
def test_dicts_keep_every_bit(
    lr: float, acc: float, times: int, steps: int, wd: float, published: bool
) -> None:
    made = entry.AdagradOptimizer(lr, acc, times, steps, wd, published=published and times == 1)
    assert entry.Optimizer.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_dicts_of_protobuf_are_read() -> None:
    """64-bit integers are strings there, and the width may stand in every part."""
    told: dict[str, Any] = {"adam": {"dim_size": 8, "beta1": 0.5, "warmup_steps": "3"}}
    assert entry.Optimizer.from_dict(told) == entry.AdamOptimizer(beta1=0.5, warmup_steps=3)
    assert entry.Compressor.from_dict({"one_bit": {"step_size": "7"}}) == entry.OneBitCompressor(7, 0.1)
    told = {"sgd": {}, "stochastic_rounding_float16": True}
    assert entry.Optimizer.from_dict(told).rounds_to_float16


WRONG: list[tuple[type[Exception], str, Any]] = [
    (RuleError, "use_beta1_warmup", lambda: entry.AdamOptimizer(use_beta1_warmup=True)),
    (RuleError, "enable_dynamic_wd", lambda: entry.DynamicWdAdagradOptimizer(enable_dynamic_wd=True)),
    (RuleError, "temperature = 2.0", lambda: entry.DynamicWdAdagradOptimizer(dynamic_wd_temperature=2)),
    (AttributeValueError, "0 or above", lambda: entry.AdagradOptimizer(initial_accumulator_value=-0.1)),
    (AttributeValueError, "1 or above", lambda: entry.AdagradOptimizer(hessian_compression_times=0)),
    (AttributeValueError, "whole number", lambda: entry.AdagradOptimizer(hessian_compression_times=1.5)),  # type: ignore[arg-type]
    (AttributeValueError, "compresses", lambda: entry.AdagradOptimizer(hessian_compression_times=2, published=True)),
    (AttributeValueError, r"beta1 = 1.0 must be in \[0, 1\)", lambda: entry.AdamOptimizer(beta1=1.0)),
    (AttributeValueError, r"\[0, 1\]", lambda: entry.MomentumOptimizer(momentum=-1)),
    (AttributeValueError, "finite", lambda: entry.SgdOptimizer(float("nan"))),
    (AttributeValueError, "finite", lambda: entry.SgdOptimizer(10**400)),
    (AttributeValueError, "finite", lambda: entry.SgdOptimizer("0.1")),  # type: ignore[arg-type]
    (AttributeValueError, "finite", lambda: entry.SgdOptimizer(True)),
    (AttributeValueError, "True or False", lambda: entry.AdamOptimizer(use_nesterov=1)),  # type: ignore[arg-type]
    (AttributeValueError, "warmup_steps", lambda: entry.FtrlOptimizer(warmup_steps=-1)),
    (AttributeValueError, "1 or above", lambda: entry.BatchSoftmaxInitializer(0.5)),
    (AttributeValueError, "above maxval", lambda: entry.RandomUniformInitializer(1.0)),
    (AttributeValueError, "above 0", lambda: entry.FixedR8Compressor(0)),
    (AttributeValueError, "1 or above", lambda: entry.OneBitCompressor(step_size=0)),
    (AttributeValueError, "max_scale", lambda: entry.OneBitCompressor(init_scale=2, max_scale=1)),
    (AttributeValueError, "must be one of", lambda: entry.DcOptimizer({"sgd": {}})),  # type: ignore[arg-type]
    (AttributeValueError, "already", lambda: entry.DcOptimizer(entry.DcOptimizer(entry.SgdOptimizer(), 1), 1)),
    (RuleError, "says nothing by itself", lambda: entry.Optimizer()),
    (RuleError, "says nothing by itself: take one of zeros", lambda: entry.Initializer()),
    (FormatError, "one kind of", lambda: entry.Optimizer.from_dict({})),
    (FormatError, "one kind of", lambda: entry.Optimizer.from_dict({"sgd": {}, "adam": {}})),
    (FormatError, "one kind of", lambda: entry.Optimizer.from_dict({"zeros": {}})),
    (FormatError, "expected a dict", lambda: entry.Optimizer.from_dict("sgd")),  # type: ignore[arg-type]
    (FormatError, "no rule of its own", lambda: entry.Optimizer.from_dict({"dc": {}})),
    (FormatError, "true or false", lambda: entry.Optimizer.from_dict({"sgd": {}, "stochastic_rounding_float16": 1})),
    (UnknownArgumentError, "did you mean beta1", lambda: entry.Optimizer.from_dict({"adam": {"beta_1": 0.5}})),
    (RuleError, "enable_dynamic_wd", lambda: entry.Optimizer.from_dict(
        {"dynamic_wd_adagrad": {"enable_dynamic_wd": True}})),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[1])
def test_what_contradicts_itself_is_refused(case: tuple[type[Exception], str, Any]) -> None:
    error, message, make = case
    with pytest.raises(error, match=message):
        make()
    assert issubclass(error, (ValueError, NotImplementedError, TypeError))


def test_numbers_of_numpy_are_numbers() -> None:
    made = entry.AdagradOptimizer(np.float64(0.5), hessian_compression_times=np.int64(2))  # type: ignore[arg-type]
    assert made == entry.AdagradOptimizer(0.5, hessian_compression_times=2)
    assert type(made.learning_rate) is float and type(made.hessian_compression_times) is int
