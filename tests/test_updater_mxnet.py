"""Updater states that MXNet 2.0.0b1 wrote with their optimizer: training goes on as it did there.

`golden/mxnet2_updater.npz` has for each class the bytes of `get_states(dump_optimizer=True)` after three updates (wd
0.01 but for GroupAdaGrad, momentum 0.9 where there is one, FactorScheduler(2, 0.5, base_lr=0.05)), the weights then,
and after the gradients g4 and g5. Nadam is left out: MXNet's steps depend on the number of parameters.
"""

from pathlib import Path

import numpy as np
import pytest

import symopt as so

FILE = np.load(Path(__file__).parent / "golden" / "mxnet2_updater.npz")
NAMES = sorted({key.split("/")[0] for key in FILE.files if "/" in key})


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_from_mxnets_states(name: str) -> None:
    updater = so.optimizer.get_updater(so.optimizer.create("test"))
    updater.set_states(FILE[f"{name}/states"].tobytes())
    assert type(updater.optimizer) is getattr(so.optimizer, name)
    assert updater.optimizer.num_update == 3
    weights = [FILE[f"{name}/w3{k}"].copy() for k in "ab"]
    for t in (4, 5):
        updater([0, 1], [FILE[f"g{t}{k}"] for k in "ab"], weights)
    assert updater.optimizer.learning_rate == 0.0125
    for weight, k in zip(weights, "ab", strict=True):
        np.testing.assert_allclose(weight, FILE[f"{name}/w5{k}"], rtol=1e-5, atol=1e-6)


def test_there_is_one_of_every_class() -> None:
    assert {*NAMES} == {*so.optimizer.__all__} & {
        k.__name__ for k in so.optimizer.Optimizer.opt_registry.values()
    } - {
        "Nadam",
        "SGLD",
    }
