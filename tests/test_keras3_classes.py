"""Every class of Keras 3 with every option, beside a NumPy reference that is written from the formulas."""

from typing import Any

import numpy as np
import pytest
from keras3_reference import RULES, Reference

import symopt as so
from symopt.keras3 import optimizers
from symopt.sparse import IndexedSlices

SHAPES: dict[str, tuple[int, ...]] = {"kernel": (5, 3), "bias": (4,), "scale": (), "stack": (2, 4, 3)}
LR = 0.0625
Case = tuple[str, str, dict[str, Any], dict[str, Any]]  # class, id, its own arguments, options
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({"momentum": 0.75}, {"momentum": 0.75, "nesterov": True}),
    "RMSprop": ({"momentum": 0.5}, {"centered": True}, {"centered": True, "momentum": 0.5}),
    "Adam": ({"amsgrad": True, "beta_1": 0.75, "beta_2": 0.875, "epsilon": 0.001},),
    "AdamW": ({"amsgrad": True}, {"weight_decay": 0.125}),
    "Ftrl": (
        {"learning_rate_power": -0.75, "l1_regularization_strength": 0.1, "beta": 0.5},
        {"l2_regularization_strength": 0.25, "l2_shrinkage_regularization_strength": 0.125},
    ),
    "Adagrad": ({"initial_accumulator_value": 0.5, "epsilon": 0.01},),
    "Muon": (
        {
            "momentum": 0.5,
            "nesterov": False,
            "rms_rate": None,
            "ns_steps": 3,
            "adam_lr_ratio": 0.5,
            "epsilon": 0.01,
        },
        {"muon_a": 3.0, "muon_b": -4.0, "muon_c": 2.0, "weight_decay": None, "adam_weight_decay": 0.25},
    ),
    "ScheduleFreeAdamW": ({"warmup_steps": 3},),
    "Adafactor": ({"clip_threshold": 0.5, "relative_step": False},),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.25},
    "clipvalue": {"clipvalue": 0.25},
    "clipnorm": {"clipnorm": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "ema": {"use_ema": True, "ema_momentum": 0.75},
    "overwrite": {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2},
    "loss_scale": {"loss_scale_factor": 16.0},
    "accumulate": {"gradient_accumulation_steps": 2},
    "all": {"weight_decay": 0.25, "global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.5,
            "ema_overwrite_frequency": 2, "loss_scale_factor": 4.0, "gradient_accumulation_steps": 3},
}  # fmt: skip
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (name, f"{name}-{option}", {}, options) for name in RULES for option, options in OPTIONS.items()
]
CASES += [
    (name, f"{name}-variant{k}", own, {}) for name, all_ in VARIANTS.items() for k, own in enumerate(all_)
]


def random(seed: int, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def grads_of(step: int, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Gradients of a step; now and then one is missing."""
    made: list[Any] = [random(100 * step + k, shape) for k, shape in enumerate(shapes)]
    if step % 3 == 2:
        made[step % len(made)] = None
    return made


def run(name: str, config: dict[str, Any], engine: str, steps: int = 7) -> None:
    weights = [np.asarray(random(k, shape)) for k, shape in enumerate(SHAPES.values())]
    variables = [so.Variable(w.copy(), name=n) for n, w in zip(SHAPES, weights, strict=True)]
    optimizer = getattr(optimizers, name)(LR, **config)
    optimizer._steps.engine = engine
    reference = Reference(name, optimizer.get_config(), weights)
    for step in range(steps):
        grads = grads_of(step, list(SHAPES.values()))
        optimizer.apply(grads, variables)
        reference.apply(grads, LR)
        for k, variable in enumerate(variables):
            told = f"step {step}, {variable.name}"
            np.testing.assert_allclose(variable.numpy(), reference.w[k], rtol=1e-9, atol=1e-12, err_msg=told)
            for slot, kept in optimizer._steps.kept[k].slots.items():
                if slot in reference.slots[k]:
                    expected = reference.slots[k][slot]
                    np.testing.assert_allclose(
                        kept.numpy(), expected, rtol=1e-9, atol=1e-12, err_msg=f"{told} {slot}"
                    )
            if config.get("use_ema"):
                average = optimizer._steps.kept[k].slots["average"].numpy()
                np.testing.assert_allclose(average, reference.average[k], rtol=1e-9, atol=1e-12, err_msg=told)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize(
    ("name", "own", "options"), [(c[0], *c[2:]) for c in CASES], ids=[c[1] for c in CASES]
)
def test_class_with_option(name: str, own: dict[str, Any], options: dict[str, Any]) -> None:
    run(name, own | options, "native")


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", RULES)
def test_class_with_all_options_on_the_reference_engine(name: str) -> None:
    run(name, OPTIONS["all"], "reference")


@pytest.mark.parametrize("option", ["plain", "decay", "global_clipnorm", "ema", "loss_scale", "accumulate"])
@pytest.mark.parametrize("name", RULES)
def test_sparse_gradients_are_dense_ones_with_zero_rows(name: str, option: str) -> None:
    """Rows that come twice count as their sum, for every class, whatever happens to the gradient."""
    results = []
    for is_sparse in (True, False):
        table = so.Variable(random(1, (6, 3)), name="table")
        bias = so.Variable(random(2, (3,)), name="bias")
        optimizer = getattr(optimizers, name)(LR, **OPTIONS[option])
        for step in range(4):
            rows, values = np.array([4, 1, 4]), random(step, (3, 3))
            slices = IndexedSlices(values, rows, (6, 3))
            grad = slices if is_sparse else slices.to_row_sparse().todense()
            optimizer.apply([grad, random(9 + step, (3,))], [table, bias])
        results.append([table.numpy(), bias.numpy(), *(v.numpy() for v in optimizer.variables)])
    for sparse, dense in zip(*results, strict=True):
        np.testing.assert_allclose(sparse, dense, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "Muon"])
def test_loss_scaling_of_sparse_gradients(name: str) -> None:
    results = []
    for is_sparse in (True, False):
        table = so.Variable(random(1, (6, 3)), name="table")
        optimizer = optimizers.LossScaleOptimizer(getattr(optimizers, name)(LR), 8.0)
        for step in range(4):
            values = random(step, (3, 3))
            values[1, 1] = np.inf if step == 1 else 1.0
            slices = IndexedSlices(values, [4, 1, 4], (6, 3))
            optimizer.apply([slices if is_sparse else slices.to_row_sparse().todense()], [table])
        results.append(table.numpy())
        assert optimizer.scale_loss(1.0) == 4.0 and int(optimizer.iterations) == 3
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


def test_a_global_norm_that_is_not_finite_spoils_all() -> None:
    """As in Keras: what was not finite is seen, whatever variable it was in."""
    trained = [so.Variable(np.zeros(2), name=n) for n in "ab"]
    optimizers.SGD(1.0, global_clipnorm=1.0).apply([np.array([np.inf, 1.0]), np.ones(2)], trained)
    assert np.isnan([v.numpy() for v in trained]).all()
