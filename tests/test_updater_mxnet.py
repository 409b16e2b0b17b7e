"""Updater states that MXNet 2.0.0b1 wrote with their optimizer: training goes on as it did there.

`golden/mxnet2_updater.npz` has for each class the bytes of `get_states(dump_optimizer=True)` after three updates (wd
0.01 but for GroupAdaGrad, momentum 0.9 where there is one, FactorScheduler(2, 0.5, base_lr=0.05)), the weights then,
and after the gradients g4 and g5. Nadam is left out: MXNet's steps depend on the number of parameters.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.mxnetfiles import ObjectRecord, read_states, write_states
from symopt.optimizer.records import record_of

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


@pytest.mark.parametrize("name", ["AdamW", "AdaBelief"])
def test_a_rescale_grad_that_mxnet_keeps_in_an_array_is_taken_over(name: str) -> None:
    """These two classes make one of it when they step."""
    record = record_of(so.optimizer.create(name))
    record.attributes["rescale_grad"] = np.array([0.25], "float32")
    updater = so.optimizer.get_updater(so.optimizer.create("test"))
    updater.set_states(write_states({}, record))
    assert updater.optimizer.rescale_grad == 0.25


def stepped(name: str, dtype: str, **given: Any) -> so.optimizer.Updater:
    """An Updater after two steps of one weight."""
    updater = so.optimizer.get_updater(so.optimizer.create(name, **given))
    weight = np.linspace(-1, 1, 6, dtype=dtype)
    for _ in range(2):
        updater(0, np.cos(weight), weight)
    return updater


def shown(state: Any) -> Any:
    return (
        tuple(map(shown, state)) if isinstance(state, tuple) else state if state is None else state.tolist()
    )


SOME = [
    ("sgd", {"momentum": 0.9}, "float16"),
    ("sgd", {"momentum": 0.9}, "float32"),
    ("nag", {"momentum": 0.0}, "float16"),
    ("lars", {"momentum": 0.9}, "float16"),
    ("rmsprop", {}, "float32"),
    ("rmsprop", {}, "float16"),
    ("rmsprop", {"centered": True}, "float32"),
    ("rmsprop", {"centered": True}, "float16"),
    ("adam", {}, "float16"),
]


@pytest.mark.parametrize(("name", "given", "dtype"), SOME)
def test_states_of_mxnet_1_are_converted_there_and_back(name: str, given: Any, dtype: str) -> None:
    """`make conformance` steps MXNet 1.9.1 from these."""
    updater = stepped(name, dtype, multi_precision=True, **given)
    old = read_states(updater.get_states(np_shape=False)).states
    there = record_of(updater.optimizer)
    record = ObjectRecord("mxnet.optimizer.optimizer", there.name, there.attributes)
    again = so.optimizer.get_updater(so.optimizer.create("test"))
    again.set_states(write_states(old, record, np_shape=False))
    assert shown(again.states[0]) == shown(updater.states[0])


def test_states_of_mxnet_1_are_in_its_order() -> None:
    sgd = stepped("sgd", "float16", multi_precision=True, momentum=0.9)
    copy, momentum = sgd.states[0]
    assert shown(read_states(sgd.get_states(np_shape=False)).states[0]) == shown((momentum, copy))
    plain = stepped("rmsprop", "float32")
    assert shown(read_states(plain.get_states(np_shape=False)).states[0]) == shown((plain.states[0],))
    centered = stepped("rmsprop", "float32", centered=True)
    mean, var, momentum = centered.states[0]
    assert shown(read_states(centered.get_states(np_shape=False)).states[0]) == shown((var, mean, momentum))


@pytest.mark.parametrize("np_shape", [False, True])
def test_states_with_their_optimizer_are_in_our_order_in_either_format(np_shape: bool) -> None:
    updater = stepped("rmsprop", "float32", centered=True)
    again = so.optimizer.get_updater(so.optimizer.create("test"))
    again.set_states(updater.get_states(dump_optimizer=True, np_shape=np_shape))
    assert shown(again.states[0]) == shown(updater.states[0])


def test_attributes_of_mxnet_1_are_taken_over() -> None:
    def read(name: str, attributes: dict[str, Any]) -> Any:
        updater = so.optimizer.get_updater(so.optimizer.create("test"))
        record = ObjectRecord("mxnet.optimizer.optimizer", name, attributes)
        updater.set_states(write_states({}, record, np_shape=False))
        return updater.optimizer

    rmsprop = read("RMSProp", {"gamma1": 0.75, "gamma2": 0.5, "lr": 0.25})
    assert (rmsprop.rho, rmsprop.momentum, rmsprop.lr) == (0.75, 0.5, 0.25)
    assert read("AdaGrad", {"float_stable_eps": 0.5}).epsilon == 0.5
    assert read("LARS", {"eps": 0.5}).epsilon == 0.5
    assert read("AdaDelta", {"lr": 0.01}).lr == 1.0  # MXNet 1's has no rate
