"""Runs of every class that has state, to be saved in the middle and continued."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from optimizer_driver import NAMES as MXNET
from optimizer_driver import make
from placed import up
from test_keras3_steps import NAMES as KERAS3

import symopt as so
from symopt.keras3 import optimizers as keras3
from symopt.places import HOST, Place, from_host, place_of_array

SHAPES = {"dense/kernel": (4, 3), "out": (5, 2)}
KERAS = ("SGD", "Adagrad", "Adadelta", "Adam", "Adamax", "Nadam", "RMSprop", "Ftrl")


class Run:
    """Weights, and what trains them. `tree` is what is saved and loaded; `step` makes steps with seeded gradients."""

    def __init__(self, weights: dict[str, Any], owner: Any, update: Callable[[list[Any]], Any]) -> None:
        self.weights, self.owner, self.update = weights, owner, update
        self.tree: dict[str, Any] = {"params": weights, "optimizer": owner}

    def step(self, *seeds: int) -> Run:
        for seed in seeds:
            rng = np.random.default_rng(seed + 1000)
            grads = []
            for weight in self.weights.values():
                array = getattr(weight, "value", weight)
                grad = rng.standard_normal(array.shape).astype(array.dtype)
                place = place_of_array(array)
                grads.append(grad if place is HOST else from_host(place, grad))
            self.update(grads)
        return self


class Here:
    """Where the runs made now have their arrays."""

    place: Place = HOST


HERE = Here()
Begin = Callable[[], Run]


def arrays(dtype: Any = np.float64, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    made = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    return made if HERE.place is HOST else dict(up(HERE.place, made))


def compiled(rule: str, **options: Any) -> Begin:
    def begin() -> Run:
        weights = arrays(options.pop("dtype", np.float64) if "dtype" in options else np.float64)
        step = so.compile(rule, weights, **{"lr": 0.05, **copy.deepcopy(options)})
        return Run(weights, step, lambda grads: step(dict(zip(weights, grads, strict=True))))

    return begin


def updater(name: str, dtype: Any = np.float64, **options: Any) -> Begin:
    def begin() -> Run:
        weights = arrays(dtype)
        names = dict(enumerate(weights))
        made = so.optimizer.get_updater(make(name, param_idx2name=names, **options))
        values = list(weights.values())
        return Run(weights, made, lambda grads: made([0, 1], grads, values))

    return begin


def named(module: Any, name: str) -> Begin:
    return keras(lambda: getattr(module, name)(0.05))


def keras(make_optimizer: Callable[[], Any]) -> Begin:
    def begin() -> Run:
        weights = {name: so.Variable(x, name) for name, x in arrays().items()}
        made = make_optimizer()
        made.build(list(weights.values()))
        return Run(
            weights, made, lambda grads: made.apply_gradients(zip(grads, weights.values(), strict=True))
        )

    return begin


def scaled(name: str) -> Callable[[], Any]:
    return lambda: keras3.LossScaleOptimizer(
        getattr(keras3, name)(0.05), initial_scale=4.0, dynamic_growth_steps=2
    )


def several() -> Any:
    by_name = keras3.OptimizerMap(keras3.Adam(0.05, use_ema=True), {"out": keras3.SGD(0.1, momentum=0.9)})
    return keras3.MultiOptimizer(by_name)


RUNS: dict[str, Begin] = {
    "compile-adam": compiled("adam"),
    "compile-sgd": compiled("sgd"),
    "compile-nadam": compiled("torch_nadam", ema=0.9),
    "compile-accumulate": compiled("sgd_mom", momentum=0.9, accumulate=3, clip_global_norm=1.0),
    "compile-scale": compiled("keras_nadam", loss_scale="dynamic", accumulate=2),
    "compile-groups": compiled("group_adagrad", groups={"out": {"rule": "torch_adamw"}}),
    "compile-frozen": compiled("adam", groups={"out": None}),
    "compile-schedule": compiled("adam", lr=so.lr_scheduler.CosineScheduler(10, 0.1)),
    **{f"updater-{name}": updater(name) for name in MXNET},
    "updater-momentum": updater("sgd", momentum=0.9),
    "updater-centered": updater("rmsprop", centered=True),
    "updater-float16": updater("sgd", np.float16, momentum=0.9, multi_precision=True),
    "updater-bfloat16": updater("adam", ml_dtypes.bfloat16, multi_precision=True),
    **{f"keras-{name}": named(so.keras.optimizers, name) for name in KERAS},
    "keras-momentum": keras(lambda: so.keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)),
    "keras-amsgrad": keras(lambda: so.keras.optimizers.Adam(0.05, amsgrad=True)),
    **{f"keras3-{name}": named(keras3, name) for name in KERAS3},
    **{f"keras3-scaled-{name}": keras(scaled(name)) for name in ("Adam", "Nadam")},
    "keras3-ema": keras(lambda: keras3.Adam(0.05, use_ema=True, ema_momentum=0.9)),
    "keras3-accumulate": keras(lambda: keras3.Nadam(0.05, gradient_accumulation_steps=2)),
    "keras3-factor": keras(lambda: keras3.SGD(0.05, loss_scale_factor=8.0)),
    "keras3-several": keras(several),
}  # fmt: skip
