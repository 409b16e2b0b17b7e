"""MXNet 2's optimizer classes against trajectories that MXNet made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimizer_driver import MXNetNadam, make

import symopt as so

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "mxnet2_classes.json").read_text())["cases"]
ARRAYS = np.load(GOLDEN / "mxnet2_classes.npz")
engines = pytest.mark.parametrize("engine", ["reference", "native"])


def trajectory(optimizer: so.optimizer.Optimizer, case: dict[str, Any], updater: bool) -> None:
    """Run the case; after each step weights must be MXNet's, and gradients what they were."""
    name = case["case"]
    weights = [ARRAYS[f"{name}/w0{k}"].copy() for k in "ab"]
    states = [optimizer.create_state(i, w) for i, w in enumerate(weights)]
    call = so.optimizer.Updater(optimizer)
    for step in range(1, case["steps"] + 1):
        grads = [ARRAYS[f"{name}/g{step}{k}"] for k in "ab"]
        before = [g.copy() for g in grads]
        if updater:
            call([0, 1], grads, weights)
        else:
            optimizer.update([0, 1], weights, grads, states)
        for k, weight, grad, old in zip("ab", weights, grads, before, strict=True):
            np.testing.assert_allclose(weight, ARRAYS[f"{name}/w{step}{k}"], **case["tolerance"])
            np.testing.assert_array_equal(grad, old)
    assert optimizer.num_update == case["steps"]
    assert dict(optimizer._index_update_count) == {0: case["steps"], 1: case["steps"]}


@engines
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_steps_are_mxnets(case: dict[str, Any], engine: str) -> None:
    """Nadam: with MXNet's product of all parameters, which the class does not have; see the next test."""
    klass = MXNetNadam if case["cls"] == "Nadam" else getattr(so.optimizer, case["cls"])
    optimizer = klass(**case["kwargs"])
    optimizer.engine = engine
    trajectory(optimizer, case, updater=engine == "native")


@engines
def test_nadams_schedule_does_not_depend_on_other_parameters(engine: str) -> None:
    """MXNet's does. One parameter alone moves here as it does beside others, and as in MXNet when it is alone."""
    (case,) = [c for c in CASES if c["case"] == "Nadam_16_plain_step"]
    start, grads = ARRAYS[f"{case['case']}/w0a"], [ARRAYS[f"{case['case']}/g{k}a"] for k in range(1, 5)]
    alone, beside, mxnet = start.copy(), start.copy(), start.copy()
    other, optimizers = np.ones((5, 2)), [make("nadam", engine) for _ in range(2)]
    last = MXNetNadam()
    last.parameters = 1
    states = [o.create_state(0, start) for o in (*optimizers, last)]
    state = optimizers[1].create_state(1, other)
    for grad in grads:
        optimizers[0].update([0], [alone], [grad], states[:1])
        optimizers[1].update([0, 1], [beside, other], [grad, np.ones((5, 2))], [states[1], state])
        last.update([0], [mxnet], [grad], states[2:])
    np.testing.assert_array_equal(alone, beside)
    np.testing.assert_allclose(alone, mxnet, rtol=1e-6)


@pytest.mark.parametrize("name", ["Adam", "LAMB", "AdaGrad", "AdaDelta"])
def test_both_kinds_of_step_are_one(name: str) -> None:
    optimizers = [make(name, use_fused_step=fused) for fused in (True, False)]
    weights = [np.linspace(-1, 1, 6).reshape(2, 3) for _ in optimizers]
    for optimizer, weight in zip(optimizers, weights, strict=True):
        state = optimizer.create_state(0, weight)
        for k in range(3):
            optimizer.update([0], [weight], [np.cos(weight + k)], [state])
    np.testing.assert_array_equal(weights[0], weights[1])
