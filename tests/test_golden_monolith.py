"""Monolith's rules and codecs: a reference's vectors and the tables of Monolith's own unit tests, on both engines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.forms import get_op
from symopt.sparse import RowSparseArray

Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = Path(__file__).parent / "golden"
FILE: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "monolith.json").read_text())
VECTORS = np.load(FOLDER / "monolith.npz")
RULES = [case for case in FILE["cases"] if case["kind"] == "rule"]
BY_ROWS = [case for case in RULES if "dc_lambda" not in case]  # an ordinary op reads its gradient as dense
CODECS = {case["case"]: case for case in FILE["cases"] if case["kind"] == "codec"}
TABLES = [fact for fact in FILE["facts"] if fact["kind"] == "optimizer"]
CODES = [fact for fact in FILE["facts"] if fact["kind"] == "codec" and fact["codec"] != "fp32"]
SOFT_SIGNS = [fact for fact in FILE["facts"] if fact["kind"] == "one_bit"]
TOLERANCE: dict[str, dict[str, Any]] = {
    "float64": {"rtol": 1e-11, "atol": 1e-14},
    "float32": {"rtol": 2e-5, "atol": 1e-6},
}
engines = pytest.mark.parametrize("engine", ["reference", "native"])

# Monolith's names of a rule's states, and ours.
POWERS = {"beta1_power": "beta1_power", "beta2_power": "beta2_power"}
STATES: dict[str, dict[str, str]] = {
    "adagrad": {"norm": "history"},
    "dense_adagrad": {"norm": "history"},
    "dynamic_wd_adagrad": {"norm": "history"},
    "group_adagrad": {"grad_square_sum": "history"},
    "adadelta": {"accum": "acc_g", "accum_update": "acc_delta"},
    "adam": {"m": "mean", "v": "var", **POWERS},
    "amsgrad": {"m": "mean", "v": "var", "vhat": "max_var", **POWERS},
    "dense_adamom": {"m": "mean", "v": "var", "c": "count"},
    "momentum": {"n": "mom"},
    "rmsprop": {"n": "n"},
    "rmspropv2": {"n": "n"},
    "dense_rmsprop": {"m": "mom", "v": "n"},
    "ftrl": {"zero": "z", "norm": "n"},
    "group_ftrl": {"zero": "z", "norm": "n"},
    "batch_softmax": {"global_step": "last_step"},
}
ATTRIBUTES = {
    "weight_decay_factor": "wd", "weight_decay": "wd", "averaging_ratio": "rho", "use_nesterov": "nesterov",
    "l1_regularization_strength": "l1", "l2_regularization_strength": "l2", "ada_decay": "beta2",
    "mom_decay": "beta1", "use_v2": "v2", "decouple_weight_decay": "decoupled_weight_decay",
}  # fmt: skip


def attributes(optimizer: str, config: dict[str, Any]) -> dict[str, Any]:
    names = {**ATTRIBUTES, "momentum": "rho"} if "rmsprop" in optimizer else ATTRIBUTES
    own = {k: v for k, v in config.items() if k not in ("learning_rate", "initial_accumulator_value")}
    return {names.get(k, k): v for k, v in own.items()}


class Rule:
    """A rule of Monolith bound to arrays of the weight's dtype; `step` runs it once."""

    def __init__(
        self,
        case: dict[str, Any],
        weight: Array,
        states: dict[str, Array],
        engine: str,
        grad_rows: Any = None,
    ) -> None:
        optimizer = case["optimizer"]
        # TensorFlow's AdaGrad, of Monolith's dense variables, is the same rule.
        op = get_op(
            "monolith_adagrad_update" if optimizer == "dense_adagrad" else f"monolith_{optimizer}_update"
        )
        self.weight = weight
        self.names = STATES.get(optimizer, {})
        self.states = {self.names[k]: x for k, x in states.items()}
        attrs = attributes(optimizer, case["config"])
        if "published" in op.attrs:
            attrs["published"] = not case.get("canonical", True)
        self.numbers = [k for k in ("lr", "global_step") if k in op.attrs]
        attrs.update({k: sym.var(k, shape=()) for k in self.numbers})
        w, grad = sym.var("weight"), sym.var("grad")
        args: dict[str, Any] = {
            "weight": weight,
            "grad": np.zeros_like(weight),
            **dict.fromkeys(self.numbers, 1),
        }
        if grad_rows is not None:
            args["grad"] = grad_rows
        if "dc_lambda" in case:
            args["latest"] = np.zeros_like(weight)
            lambda_ = case["dc_lambda"]
            grad = sym.monolith_delay_compensation(grad, w, sym.var("latest"), lambda_=lambda_)
        node = getattr(sym, op.name)(w, grad, **{k: sym.var(k) for k in self.states}, **attrs, out=w)
        self.executor = node.bind(so.cpu(), args=args, aux_states=self.states, engine=engine)

    def step(self, lr: float, global_step: int, **arrays: Any) -> None:
        numbers = {"lr": lr, "global_step": global_step}
        self.executor.forward(**arrays, **{k: numbers[k] for k in self.numbers})

    def state(self, name: str) -> Array:
        return self.states[self.names[name]]


def vectors(case: dict[str, Any], prefix: str, dtype: str) -> dict[str, Array]:
    """The arrays of a case whose names start with the prefix, by the rest of their names."""
    start = f"{case['case']}/{prefix}"
    return {k[len(start) :]: VECTORS[k].astype(dtype) for k in VECTORS.files if k.startswith(start)}


def learning_rate(case: dict[str, Any], step: int) -> float:
    """Monolith's published RMSProp takes the configured constant, whatever the schedule says."""
    constant = case["optimizer"] == "rmsprop" and not case["canonical"]
    return float(case["config"]["learning_rate"] if constant else case["lr"][step])


@engines
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", RULES, ids=[case["case"] for case in RULES])
def test_rules_equal_the_reference(case: dict[str, Any], dtype: str, engine: str) -> None:
    inputs, expected = vectors(case, "in.", dtype), vectors(case, "out.weight.", "float64")
    rule = Rule(case, inputs["weight"], vectors(case, "init.", dtype), engine)
    tolerance = TOLERANCE[dtype]
    for k in range(case["steps"]):
        names = ("grad", "latest") if "dc_lambda" in case else ("grad",)
        rule.step(
            learning_rate(case, k), case["global_step"][k], **{name: inputs[f"{name}.{k}"] for name in names}
        )
        np.testing.assert_allclose(rule.weight, expected[str(k)], **tolerance)
    for name, state in vectors(case, f"state.{case['steps'] - 1}.", "float64").items():
        # FTRL's z takes in differences of roots, divided by lr: so are their roundings.
        atol = tolerance["atol"] / (min(case["lr"]) if name == "zero" else 1)
        np.testing.assert_allclose(rule.state(name), state, rtol=tolerance["rtol"], atol=atol, err_msg=name)


@engines
@pytest.mark.parametrize("case", BY_ROWS, ids=[case["case"] for case in BY_ROWS])
def test_rules_touch_only_the_rows_listed(case: dict[str, Any], engine: str) -> None:
    inputs = vectors(case, "in.", "float64")
    weight, grad = inputs["weight"], inputs["grad.0"]
    rows = np.arange(len(grad))[::-2]
    listed = RowSparseArray(np.concatenate([grad[rows] / 4, grad[rows] * 0.75]), [*rows, *rows], grad.shape)
    rule = Rule(case, weight, vectors(case, "init.", "float64"), engine, listed)
    before = {name: array.copy() for name, array in {"weight": weight, **rule.states}.items()}
    rule.step(learning_rate(case, 0), case["global_step"][0])
    expected = vectors(case, "out.weight.", "float64")["0"]
    np.testing.assert_allclose(weight[rows], expected[rows], **TOLERANCE["float64"])
    others = np.setdiff1d(np.arange(len(grad)), rows)
    for name, array in {"weight": weight, **rule.states}.items():
        np.testing.assert_array_equal(array[others], before[name][others], err_msg=name)


def default_state(case: dict[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    """A new row's state: the accumulators start at 0.1 (dense AdaGrad's too), the powers at beta1 and beta2."""
    rows = name in ("beta1_power", "beta2_power", "grad_square_sum", "global_step")
    start = {"norm": 0.1, "grad_square_sum": 0.1, "beta1_power": 0.9, "beta2_power": 0.99}.get(name, 0.0)
    if name in ("norm", "grad_square_sum"):
        start = case["config"].get("initial_accumulator_value", start)
    return np.full((shape[0], 1) if rows else shape, start)


@engines
@pytest.mark.parametrize("fact", TABLES, ids=[fact["name"] for fact in TABLES])
def test_rules_equal_the_unit_tests_of_monolith(fact: dict[str, Any], engine: str) -> None:
    weight = np.array([fact["initial_weight"]])
    names = STATES.get(fact["optimizer"], {})
    rule = Rule(fact, weight, {k: default_state(fact, k, weight.shape) for k in names}, engine)
    for step in fact["steps"]:
        arrays = {k: np.array([step[k]]) for k in ("grad", "latest") if k in step}
        rule.step(step["lr"], step.get("global_step", 0), **arrays)
        if "weight" in step:
            np.testing.assert_allclose(weight[0], step["weight"], rtol=0, atol=fact["atol"])
        for name, value in step.get("state", {}).items():
            np.testing.assert_allclose(rule.state(name)[0], value, rtol=0, atol=step["state_atol"])


def evaluate(op: str, engine: str, *arrays: Any, **attrs: Any) -> Array:
    names = [f"x{k}" for k in range(len(arrays))]
    node = getattr(sym, op)(*map(sym.var, names), **attrs)
    result: Array = node.bind(args=dict(zip(names, arrays)), engine=engine).forward()[0]
    return result


@engines
@pytest.mark.parametrize("case", ["codec_fixed_r8_default", "codec_fixed_r8_r"])
def test_fixed_r8_equals_the_reference(case: str, engine: str) -> None:
    x, attrs = VECTORS[f"{case}/in.x"], {"fixed_range": CODECS[case]["config"]["r"]}
    assert np.array_equal(evaluate("monolith_fixed_r8_code", engine, x, **attrs), VECTORS[f"{case}/out.code"])
    assert np.array_equal(evaluate("monolith_fixed_r8", engine, x, **attrs), VECTORS[f"{case}/out.decoded"])


@engines
def test_fp16_equals_the_reference(engine: str) -> None:
    x, expected = VECTORS["codec_fp16/in.x"], VECTORS["codec_fp16/out.decoded"]
    assert np.array_equal(evaluate("monolith_fp16", engine, x), expected, equal_nan=True)


@engines
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stochastic_rounding_equals_the_reference(dtype: str, engine: str) -> None:
    case = "stochastic_round_f16"
    x, p, expected = (VECTORS[f"{case}/{name}"].astype(dtype) for name in ("in.x", "in.p", "out.x"))
    assert np.array_equal(evaluate("monolith_stochastic_fp16", engine, x, p), expected, equal_nan=True)


@engines
def test_random_numbers_equal_the_reference(engine: str) -> None:
    """Monolith's generator, two 32-bit multiply-with-carry halves, as a graph on numbers of the host."""
    seed = CODECS["stochastic_round_rng"]["config"]["seed"]
    a, b = (sym.var(name, shape=()) for name in "ab")
    halves = [
        sym._mod_scalar(factor * (x % 65536) + sym.floor(x / 65536), scalar=2.0**32, out=x)
        for x, factor in ((a, 36969), (b, 18000))
    ]
    p = ((halves[0] % 65536) * 65536 + halves[1]) % 2**32 / 2**32
    executor = sym.Group([p, *halves]).bind(args={"a": seed[0], "b": seed[1]}, engine=engine)
    found = np.array([float(executor.forward()[0]) for _ in range(64)])
    assert np.array_equal(found.astype(np.float32), VECTORS["stochastic_round_rng/out.p"].astype(np.float32))


@engines
def test_stochastic_rounding_at_its_edges(engine: str) -> None:
    """Up at exactly the share of the way; between 65504 and infinity stays finite but for p = 0; NaN stays."""
    x = np.array([1 + 2**-11, 1 + 2**-11, -(2**-25), 65510.0, 1e5, -1e5, np.inf, np.nan, -0.0], np.float32)
    p = np.array([0.5, 0.5 + 2**-20, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], np.float32)
    expected = [1 + 2**-10, 1, 0, 65504, 65504, -65504, np.inf, np.nan, 0]
    np.testing.assert_array_equal(evaluate("monolith_stochastic_fp16", engine, x, p), expected)


class OneBit:
    """Monolith's quantizer out of four ops: the scale is the caller's to keep."""

    def __init__(self, engine: str, step_size: int, amplitude: float = 0.1, **limits: float) -> None:
        self.engine, self.amplitude, self.scale = engine, amplitude, 1.0
        self.growth = {"step_size": step_size, **limits}

    def forward(self, x: Array) -> Array:
        return evaluate("monolith_hash_net", self.engine, x, amplitude=self.amplitude, scale=self.scale)

    def backward(self, x: Array, grad: Array, global_step: int) -> Array:
        scale = np.array([self.scale])
        grown = evaluate("monolith_one_bit_scale", self.engine, scale, global_step=global_step, **self.growth)
        attrs = {"amplitude": self.amplitude, "scale": grown.item()}
        self.scale = grown.item()
        return evaluate("monolith_hash_net_backward", self.engine, grad, x, **attrs)


@engines
def test_one_bit_equals_the_reference(engine: str) -> None:
    arrays = vectors(CODECS["codec_one_bit"], "", "float64")
    config = {k: v for k, v in CODECS["codec_one_bit"]["config"].items() if k != "codec"}
    x, amplitude, scale = arrays["in.x"], config["amplitude"], config["init_scale"]
    attrs = {"amplitude": amplitude, "scale": scale}
    assert np.array_equal(evaluate("monolith_one_bit_code", engine, x, **attrs), arrays["out.code"])
    assert np.array_equal(evaluate("monolith_one_bit", engine, x, **attrs), arrays["out.decoded"])
    quantizer = OneBit(engine, **config)
    for k, global_step in enumerate(CODECS["codec_one_bit"]["global_step"]):
        grad = quantizer.backward(x, arrays["in.grad"], global_step)
        # The reference's 1 - y * y has lost what is below one rounding of 1.
        atol = 1e-15 * amplitude * quantizer.scale * np.abs(arrays["in.grad"]).max()
        np.testing.assert_allclose(grad, arrays[f"out.grad.{k}"], rtol=1e-11, atol=atol)
        np.testing.assert_allclose(quantizer.forward(x), arrays[f"out.forward.{k}"], rtol=1e-11)
        np.testing.assert_allclose(quantizer.scale, arrays[f"state.{k}.scale"], rtol=1e-15)


@engines
@pytest.mark.parametrize("fact", SOFT_SIGNS, ids=[fact["name"] for fact in SOFT_SIGNS])
def test_one_bit_equals_the_unit_tests_of_monolith(fact: dict[str, Any], engine: str) -> None:
    quantizer = OneBit(engine, **fact["args"])
    # One of the tables is what is left in float32 after a cancellation: off by 1.9e-4, which the ops are not.
    rtol = 2e-4 if "evaluate_in" in fact else fact["rtol"]
    for name, *numbers in fact["ops"]:
        *given, expected = numbers
        if name == "backward":
            found: Any = quantizer.backward(np.array([given[0]]), np.array([given[1]]), given[2])
        else:
            found = quantizer.forward(np.array(given)) if given else quantizer.scale
        np.testing.assert_allclose(found, expected, rtol=rtol)


@engines
@pytest.mark.parametrize("fact", CODES, ids=[fact["name"] for fact in CODES])
def test_codecs_equal_the_unit_tests_of_monolith(fact: dict[str, Any], engine: str) -> None:
    names = {"r": "fixed_range", "amplitude": "amplitude"}
    attrs = {names[k]: v for k, v in fact["args"].items() if k in names}
    x = np.array(fact["x"], np.float32)
    found = evaluate(f"monolith_{fact['codec']}", engine, x, **attrs)
    np.testing.assert_allclose(
        found, fact["decoded"], rtol=1e-3 if fact["codec"] == "fp16" else 0, atol=fact["atol"]
    )


@engines
def test_published_adagrad_moves_whole_blocks_of_eight_without_decay(engine: str) -> None:
    weight, grad, history = np.random.default_rng(3).uniform(0.1, 1, (3, 5, 19))
    decayed = grad + 0.5 * weight
    new_history = history + decayed**2
    move = np.where(np.arange(19) < 16, grad, decayed)
    expected = weight - 0.1 / np.sqrt(new_history) * move
    attrs = {"lr": 0.1, "wd": 0.5, "published": True}
    node = sym.monolith_adagrad_update(sym.var("w"), sym.var("g"), sym.var("h"), **attrs)
    found = node.bind(args={"w": weight, "g": grad}, aux_states={"h": history}, engine=engine).forward()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_no_gradient_yet_is_no_step() -> None:
    weight, zeros, rows = np.full((2, 3), 0.5), np.zeros((2, 3)), np.zeros((2, 1))
    new = so.nd.monolith_adagrad_update(weight, zeros, zeros.copy(), lr=0.1)
    assert np.array_equal(new, weight)
    new = so.nd.monolith_group_adagrad_update(weight, zeros, rows.copy(), lr=0.1)
    assert np.array_equal(new, weight)
    new = so.nd.monolith_group_adagrad_update(zeros, zeros, rows + 0.1, lr=0.1)
    assert np.array_equal(new, zeros)
    new = so.nd.monolith_group_ftrl_update(weight, zeros, zeros.copy(), zeros.copy(), lr=0.1)
    assert np.array_equal(new, zeros)  # FTRL makes the weight from z alone
    assert np.isnan(so.nd.monolith_adagrad_update(weight, zeros, zeros.copy(), lr=0.1, published=True)).all()
