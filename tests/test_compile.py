"""so.compile: what a step for named parameters does, compared with the ops themselves and with NumPy."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import errors, nd, sym
from symopt.attrs import REQUIRED
from symopt.opdef import OPS, OpDef
from symopt.training.update import Update, count_of, find_op, new_states

ENGINES = ("reference", "native")
SHAPES = {"a.weight": (4, 3), "a.bias": (3,), "out": (2, 5)}


def arrays(
    seed: int, shapes: dict[str, tuple[int, ...]] = SHAPES, dtype: str = "float64"
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def steps(seed: int, count: int = 4) -> list[dict[str, np.ndarray]]:
    return [arrays(seed + k + 1) for k in range(count)]


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return all(np.array_equal(left[n], right[n], equal_nan=True) for n in left)


RULES = [
    op.name
    for op in dict.fromkeys(OPS.values())
    if op.is_update and not op.is_variadic and op.gives == "weight" and len(op.inputs) >= 2
    and all(i.kind in ("state", "row_state", "column_state", "scalar") for i in op.inputs[2:])
]  # fmt: skip


def required(op: OpDef) -> dict[str, Any]:
    """Values for what has no default and is not counted by the step."""
    automatic = {count_of(op), *op.running}
    return {
        n: 0.25 for n, a in op.attrs.items() if a.default is REQUIRED and n not in automatic and a.is_numeric
    }


@pytest.mark.parametrize("name", RULES)
def test_a_step_is_the_op_on_every_parameter(name: str) -> None:
    op = find_op(name)
    given = required(op)
    shapes: dict[str, tuple[int, ...]] = {"a": (4, 3), "b": (2, 5)}
    params, grads = arrays(0, shapes), arrays(1, shapes)
    expected = {n: w.copy() for n, w in params.items()}
    step = so.compile(name, params, **given)
    states = {n: new_states(Update(op, given), w) for n, w in expected.items()}
    for _ in range(2):
        numbers = {n[1:]: v for n, v in step._numbers().items()}
        scalars = {i.name: np.ones(1) for i in op.inputs if i.kind == "scalar"}
        attrs = {n: v for n, v in numbers.items() if n in op.attrs}
        for n, weight in expected.items():
            inputs = {op.inputs[0].name: weight, op.inputs[1].name: grads[n], **states[n], **scalars}
            getattr(nd, name)(**inputs, **attrs, out=weight)
        assert step(grads)
        assert same(params, expected)
        assert all(same(step.states[n], states[n]) for n in params)


@pytest.mark.parametrize("engine", ENGINES)
def test_groups_have_attributes_rules_and_decay_of_their_own(engine: str) -> None:
    params = arrays(0)
    expected = {n: w.copy() for n, w in params.items()}
    groups: dict[str, Any] = {
        "*.bias": {"wd": 0.0, "lr_mult": 0.5},
        "out": {"rule": "sgd", "lr": 0.3, "weight_decay": 0.1},
    }
    step = so.compile("torch_adamw", params, lr=0.2, wd=0.1, groups=groups, engine=engine)
    means = {n: (np.zeros_like(w), np.zeros_like(w)) for n, w in params.items()}
    for t, grads in enumerate(steps(1), start=1):
        step(grads)
        for n, lr, wd in (("a.weight", 0.2, 0.1), ("a.bias", 0.1, 0.0)):
            nd.torch_adamw_update(expected[n], grads[n], *means[n], lr=lr, wd=wd, step=t, out=expected[n])
        decayed = expected["out"] - expected["out"] * (0.3 * 0.1)
        nd.sgd_update(decayed, grads["out"], lr=0.3, out=expected["out"])
    assert same(params, expected)


def test_the_first_pattern_decides_and_none_freezes() -> None:
    params = arrays(0)
    before = {n: w.copy() for n, w in params.items()}
    step = so.compile("sgd", params, lr=1.0, groups={"a.bias": None, "a.*": {"lr": 2.0}})
    grads = arrays(1)
    step({n: grads[n] for n in ("out", "a.weight")})
    step(grads)  # the gradient of what is frozen may be there
    assert np.array_equal(params["a.bias"], before["a.bias"])
    assert np.array_equal(params["out"], before["out"] - grads["out"] - grads["out"])
    assert np.array_equal(
        params["a.weight"], before["a.weight"] - 2 * grads["a.weight"] - 2 * grads["a.weight"]
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [2, 3])
def test_accumulating_is_one_big_batch(count: int, engine: str) -> None:
    params, single = arrays(0), arrays(0)
    parts = so.compile("torch_adamw", params, lr=0.1, accumulate=count, clip_global_norm=1.0, engine=engine)
    whole = so.compile("torch_adamw", single, lr=0.1, clip_global_norm=1.0, engine=engine)
    for update in range(3):
        micro = steps(10 * update, count)
        total = {n: np.zeros(shape) for n, shape in SHAPES.items()}
        done = []
        for grads in micro:
            done.append(parts(grads))
            total = {n: total[n] + grads[n] for n in total}
        assert done == [False] * (count - 1) + [True]
        whole({n: total[n] / count for n in total})
        assert same(params, single)


@pytest.mark.parametrize(
    "clip",
    [
        {"clip_value": 0.5},
        {"clip_norm": 0.5},
        {"clip_global_norm": 0.5},
        {"clip_value": 0.4, "clip_global_norm": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_clipped_in_the_order_value_norm_global(clip: dict[str, Any], engine: str) -> None:
    params, grads = arrays(0), arrays(1)
    kept = {n: g.copy() for n, g in grads.items()}
    expected = dict(grads)
    if bound := clip.get("clip_value"):
        expected = {n: np.clip(g, -bound, bound) for n, g in expected.items()}
    if bound := clip.get("clip_norm"):
        expected = {n: g * (bound / max(np.linalg.norm(g), bound)) for n, g in expected.items()}
    if bound := clip.get("clip_global_norm"):
        norm = np.sqrt(sum(np.sum(g**2) for g in expected.values()))
        expected = {n: g * (bound / max(norm, bound)) for n, g in expected.items()}
    expected = {n: params[n] - g for n, g in expected.items()}
    so.compile("sgd", params, lr=1.0, engine=engine, **clip)(grads)
    for n in params:
        np.testing.assert_allclose(params[n], expected[n], rtol=1e-12)
    assert same(grads, kept)


@pytest.mark.parametrize("engine", ENGINES)
def test_averages_follow_and_stand_in_for_the_weights(engine: str) -> None:
    params = arrays(0)
    step = so.compile("sgd", params, lr=0.1, ema=0.9, engine=engine)
    average = {n: w.copy() for n, w in params.items()}
    for grads in steps(1):
        step(grads)
        average = {n: 0.9 * average[n] + (1 - 0.9) * params[n] for n in params}
    assert same(step.averages, average)
    weights = {n: w.copy() for n, w in params.items()}
    with pytest.raises(KeyError), step.averaged() as shown:
        assert same(dict(shown), average)
        raise KeyError
    assert same(params, weights)
    assert same(step.averages, average)


def test_swa_is_the_mean_of_the_weights_since_its_start() -> None:
    params = arrays(0)
    step = so.compile("sgd", params, lr=0.1, ema=so.training.swa(start=2, every=2))
    seen = []
    for k, grads in enumerate(steps(1, 8)):
        step(grads)
        if k >= 2 and (k - 2) % 2 == 0:
            seen.append(params["out"].copy())
        if k < 2:
            assert np.array_equal(step.averages["out"], params["out"])
    np.testing.assert_allclose(step.averages["out"], np.mean(seen, axis=0), rtol=1e-12)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_gradient_that_is_not_finite_changes_nothing_but_the_scale(engine: str, accumulate: int) -> None:
    params, plain = arrays(0), arrays(0)
    scale = so.training.LossScale(scale=8.0, growth_steps=2)
    options: dict[str, Any] = {"lr": 0.1, "ema": 0.5, "accumulate": accumulate, "engine": engine}
    step = so.compile("torch_nadam", params, loss_scale=scale, **options)
    other = so.compile("torch_nadam", plain, **options)
    scales = []
    for k, grads in enumerate(steps(1, 6 * accumulate)):
        given = {n: g * step.loss_scale.scale for n, g in grads.items()}  # type: ignore[union-attr]
        if k // accumulate == 2:
            given["out"][0, 0] = np.nan if k % 2 else np.inf
            step(given)
        else:
            assert step(given) == other(grads)
        scales.append(scale.scale)
        assert step.updates == other.updates
    assert same(params, plain)
    assert same(step.averages, other.averages)
    assert scales[accumulate - 1 :: accumulate] == [8.0, 16.0, 8.0, 8.0, 16.0, 16.0]


def test_any_attribute_may_follow_a_schedule() -> None:
    params, expected = arrays(0), arrays(0)
    rates = so.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=0.4)
    step = so.compile("sgd_mom", params, lr=rates, momentum=lambda done: 0.5 + 0.1 * done)
    mom = {n: np.zeros_like(w) for n, w in expected.items()}
    for done, grads in enumerate(steps(1)):
        step(grads)
        for n, w in expected.items():
            nd.sgd_mom_update(w, grads[n], mom[n], lr=rates(done + 1), momentum=0.5 + 0.1 * done, out=w)
    assert same(params, expected)
    assert len(list(step._runners)) == 1


def test_values_change_without_a_new_graph_and_flags_with_one() -> None:
    params, expected = arrays(0), arrays(0)
    step = so.compile("nag_mom", params, lr=0.1, momentum=0.9, groups={"out": {"lr": 0.5}})
    grads = arrays(1)
    step(grads)
    executor = step.executor
    step.set(lr=0.2)
    step(grads, momentum=0.8)
    step.set("out", lr=0.05)
    assert step.executor is executor
    assert step.numbers["lr"] == 0.2
    assert step.numbers["lr:1"] == 0.05
    step.set(clip_gradient=0.5)
    step(grads)
    assert step.executor is not executor
    mom = {n: np.zeros_like(w) for n, w in expected.items()}
    for lr, own, momentum, clip in ((0.1, 0.5, 0.9, -1.0), (0.2, 0.5, 0.8, -1.0), (0.2, 0.05, 0.8, 0.5)):
        for n, w in expected.items():
            rate = own if n == "out" else lr
            nd.nag_mom_update(w, grads[n], mom[n], lr=rate, momentum=momentum, clip_gradient=clip, out=w)
    assert same(params, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_may_be_sparse_dense_or_absent_from_step_to_step(engine: str) -> None:
    params, expected = arrays(0), arrays(0)
    step = so.compile("adam", params, lr=0.1, lazy_update=True, engine=engine)
    states = {n: (np.zeros_like(w), np.zeros_like(w)) for n, w in expected.items()}
    sparse = so.sparse.row_sparse_array((np.ones((3, 3)), [2, 0, 2]), shape=(4, 3))
    dense = arrays(1)
    for grads in (
        dense,
        {**dense, "a.weight": sparse},
        {**dense, "a.bias": None},
        {**dense, "a.weight": sparse},
    ):
        assert step(grads)
        for n, w in expected.items():
            if grads[n] is not None:
                nd.adam_update(w, grads[n], *states[n], lr=0.1, lazy_update=True, out=w)
    assert same(params, expected)
    assert len(list(step._runners)) == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_weights_have_copies_in_float32(dtype: str) -> None:
    name = np.dtype(dtype) if dtype == "float16" else __import__("ml_dtypes").bfloat16
    params = {n: w.astype(name) for n, w in arrays(0).items()} | {"wide": np.ones(3, np.float32)}
    grads = {n: w.astype(name) for n, w in arrays(1).items()} | {"wide": np.ones(3, np.float32)}
    step = so.compile("torch_adamw", params, lr=1e-4, multi_precision=True)
    for _ in range(5):
        step(grads)
    assert step.states["out"]["weight32"].dtype == np.float32
    assert "weight32" not in step.states["wide"]
    assert same({"out": params["out"]}, {"out": step.states["out"]["weight32"].astype(name)})


def test_after_a_step_that_raised_nothing_of_it_is_taken_for_given() -> None:
    """The guard raises when the step is done: the executor has its gradients, and must get the former ones again."""
    params, expected = arrays(0), arrays(0)
    step = so.compile("sgd", params, lr=lambda done: 0.5, nan_guard="raise")
    grads = arrays(1)
    step(grads)
    bad = {n: np.full_like(g, np.inf) for n, g in grads.items()}
    with pytest.raises(so.errors.NonFiniteError):
        step(bad)
    for n, w in params.items():
        w[...] = expected[n] - 0.5 * grads[n]
    step(grads)
    assert same(params, {n: w - 0.5 * grads[n] - 0.5 * grads[n] for n, w in expected.items()})


def test_two_decays_are_refused() -> None:
    """AdamW's rule decays by default: weight_decay beside it would decay twice, unseen."""
    with pytest.raises(errors.AttributeValueError, match="would both decay"):
        so.compile("torch_adamw", {"w": np.ones(3)}, weight_decay=0.1)
    so.compile("torch_adamw", {"w": np.ones(3)}, weight_decay=0.1, wd=0.0)
    so.compile("adam", {"w": np.ones(3)}, lr=0.1, weight_decay=0.1)


def test_random_rounding_has_the_seed_of_each_step() -> None:
    params, expected = (
        {n: w.astype("float16") for n, w in arrays(0, {"out": (40, 5)}).items()} for _ in range(2)
    )
    grads = {n: np.ones_like(w) for n, w in params.items()}
    step = so.compile("sgd", params, lr=1e-5, rounding="stochastic", seed=lambda done: 3.0 * done)
    for done in range(3):
        step(grads)
        w = expected["out"]
        out = sym.sgd_update(sym.var("out"), sym.var("g"), lr=1e-5, rounding="stochastic", seed=3.0 * done)
        w[...] = out.bind(args={"out": w.copy(), "g": grads["out"]}).forward()[0]
    assert same(params, expected)
