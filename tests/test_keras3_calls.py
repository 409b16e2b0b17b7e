"""Calls of Keras 3's classes as Keras takes them: by position, from threads, with its lists of weights."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.keras3 import optimizers as k3

GOLDEN = Path(__file__).parent / "golden"
# The parameters of keras.optimizers' classes in 3.15, in order.
OPTIONS = (
    "weight_decay clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor "
    "gradient_accumulation_steps name"
)
BETAS = "learning_rate beta_1 beta_2 epsilon"
OWN = {
    "SGD": "learning_rate momentum nesterov",
    "RMSprop": "learning_rate rho momentum epsilon centered",
    "Adagrad": "learning_rate initial_accumulator_value epsilon",
    "Adadelta": "learning_rate rho epsilon",
    "Adafactor": "learning_rate beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step",
    "Ftrl": "learning_rate learning_rate_power initial_accumulator_value l1_regularization_strength "
    "l2_regularization_strength l2_shrinkage_regularization_strength beta",
    "Adam": f"{BETAS} amsgrad",
    "AdamW": f"learning_rate weight_decay {BETAS.partition(' ')[2]} amsgrad",
    "Adamax": BETAS,
    "Nadam": BETAS,
    "Lamb": BETAS,
    "Lion": "learning_rate beta_1 beta_2",
    "ScheduleFreeAdamW": f"{BETAS} warmup_steps",
    "Muon": f"learning_rate adam_beta_1 adam_beta_2 adam_weight_decay epsilon {OPTIONS} exclude_layers "
    "exclude_embeddings muon_a muon_b muon_c adam_lr_ratio momentum ns_steps nesterov rms_rate",
}
VALUES: dict[str, Any] = {
    "weight_decay": 0.25, "clipnorm": None, "clipvalue": None, "global_clipnorm": 2.0, "use_ema": True,
    "ema_momentum": 0.75, "ema_overwrite_frequency": 5, "loss_scale_factor": 8.0, "gradient_accumulation_steps": 3,
    "name": "mine", "nesterov": True, "centered": True, "amsgrad": True, "relative_step": False, "warmup_steps": 7,
    "exclude_layers": ["head"], "exclude_embeddings": False, "ns_steps": 4, "learning_rate_power": -0.75,
}  # fmt: skip


@pytest.mark.parametrize("cls", OWN)
def test_arguments_by_position(cls: str) -> None:
    own = OWN[cls].split()
    names = [*own, *(name for name in OPTIONS.split() if name not in own)]
    values = [VALUES.get(name, 0.125) for name in names]
    config = getattr(k3, cls)(*values).get_config()
    assert {name: config[name] for name in names} == dict(zip(names, values))
    with pytest.raises(TypeError, match=r"multiple values|positional"):
        getattr(k3, cls)(*values, clipnorm=1.0)
    with pytest.raises(ValueError, match="not recognized"):
        getattr(k3, cls)(momentums=1.0)


@pytest.mark.parametrize("cls", OWN)
@pytest.mark.parametrize("bad", ["abc", None, float("nan"), 1j, [1.0], True])
def test_numbers_must_be_numbers(cls: str, bad: Any) -> None:
    made = getattr(k3, cls)
    config = made().get_config()
    own = [name for name in OWN[cls].split() if name in made.hypers and type(config[name]) in (int, float)]
    if bad is None:
        own = [name for name in own if name not in ("adam_weight_decay", "rms_rate")]
    for name in own:
        with pytest.raises(ValueError, match=name):
            made(**{name: bad})
        with pytest.raises(ValueError, match=name):
            setattr(made(), name, bad)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDEN / name).read_text())
    return content


def arrays(values: list[Any]) -> list[np.ndarray]:
    return [np.array(value, np.float32) for value in values]


@pytest.mark.parametrize("way", ["list", "store", "steps"])
def test_lists_of_adafactor_are_those_of_keras(way: str) -> None:
    """Variables, gradients and `optimizer.variables` of Keras 3.15 on TensorFlow 2.21."""
    golden = read("keras3_adafactor.json")
    first = golden["start" if way == "steps" else "then"]
    variables = [so.Variable(x, name=name) for x, name in zip(arrays(first), "mvt", strict=True)]
    optimizer = k3.Adafactor(0.25)
    optimizer.build(variables)
    if way == "list":
        optimizer.set_weights([np.array(x) for x in golden["list"]])
    elif way == "store":
        optimizer.load_own_variables({str(k): np.array(x) for k, x in enumerate(golden["list"])})
    else:
        for grads in golden["grads"][:2]:
            optimizer.apply(arrays(grads), variables)
    for ours, theirs in zip(optimizer.get_weights(), golden["list"], strict=True):
        np.testing.assert_allclose(ours, np.array(theirs), rtol=1e-5)
    before = optimizer.get_weights()
    pure, _ = optimizer.stateless_apply(before, arrays(golden["grads"][2]), [v.numpy() for v in variables])
    optimizer.apply(arrays(golden["grads"][2]), variables)
    for weight, variable, end in zip(pure, variables, golden["end"], strict=True):
        np.testing.assert_allclose(variable.numpy(), np.array(end, np.float32), rtol=1e-5)
        np.testing.assert_array_equal(weight, variable.numpy())


def wrapped(kind: str) -> Any:
    if kind == "keras":
        return so.keras.optimizers.SGD(1.0)
    if kind == "loss_scale":
        return k3.LossScaleOptimizer(k3.SGD(1.0), initial_scale=1.0)
    by_name = k3.OptimizerMap(k3.SGD(1.0), {"v1": k3.SGD(1.0)})
    return k3.MultiOptimizer(by_name) if kind == "multi" else k3.SGD(1.0)


@pytest.mark.parametrize("kind", ["keras", "keras3", "loss_scale", "multi"])
def test_steps_from_threads_all_count(kind: str) -> None:
    optimizer, n_threads, n_steps = wrapped(kind), 4, 60
    variables = [so.Variable(np.zeros(7), name=f"v{k}") for k in range(4)]
    optimizer.build(variables)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for k in range(n_steps):
                some = variables[:2] if (number + k) % 3 == 0 else variables
                optimizer.apply_gradients(zip([np.ones(7) for _ in some], some))
                optimizer.state_dict()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(n_threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    few = sum((number + k) % 3 == 0 for number in range(n_threads) for k in range(n_steps))
    total = n_threads * n_steps
    assert not failures
    assert [int(-v.numpy()[0]) for v in variables] == [total, total, total - few, total - few]
