"""Copies and pickles of Keras's optimizers and variables: their state comes along, and is their own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.context import Context
from symopt.emulatedarrays import emulated_gpus
from symopt.places import from_host, place_of

NO_CLASSES = ("Optimizer", "OptimizerMap", "MultiOptimizer", "LossScaleOptimizer", "Rule")


def classes() -> list[Any]:
    found = []
    for module in (so.keras.optimizers, so.keras3.optimizers):
        named = {name: getattr(module, name) for name in module.__all__ if name not in NO_CLASSES}
        label = module.__name__.split(".")[1]
        found += [pytest.param(c, id=f"{label}-{n}") for n, c in named.items() if isinstance(c, type)]
    return found


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def steps(optimizer: Any, variables: list[Any], count: int) -> list[Any]:
    for k in range(count):
        grads = [np.full(v.shape, 0.5 * (k + 1), np.float32) for v in variables]
        optimizer.apply_gradients(zip(grads, variables))
    return [np.array(v) for v in variables]


def assert_same(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def new_variables() -> list[Any]:
    return [so.Variable(np.ones((2, 3), np.float32), name="w"), np.ones(3, np.float32)]


@pytest.mark.parametrize("cls", classes())
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_on_alone(cls: Any, copied: Callable[[Any], Any]) -> None:
    optimizer, variables = cls(0.1, clipvalue=0.7), new_variables()
    steps(optimizer, variables, 2)
    again, own = copied((optimizer, variables))
    alone = steps(again, own, 2)
    assert np.array_equal(np.array(variables[1]), np.array(copied(variables[1])))
    assert int(optimizer.iterations) == 2 and int(again.iterations) == 4
    assert_same(alone, steps(optimizer, variables, 2))
    weights = [np.asarray(x) for x in again.get_weights()]
    assert all(map(np.array_equal, weights, optimizer.get_weights()))


@pytest.mark.parametrize("cls", classes())
def test_a_copy_alone_is_a_snapshot_for_the_same_variables(cls: Any) -> None:
    optimizer, variables = cls(0.1), new_variables()
    weights = steps(optimizer, variables, 2)
    snapshot = copy.deepcopy(optimizer)
    wanted = steps(optimizer, variables, 2)
    for variable, weight in zip(variables, weights):
        variable[...] = weight
    assert_same(steps(snapshot, variables, 2), wanted)
    assert len(snapshot.state_dict().get("variables") or snapshot.state_dict()["parameters"]) == 2


def test_options_of_keras3_come_along() -> None:
    options: Any = {"use_ema": True, "gradient_accumulation_steps": 3, "weight_decay": 0.1}
    optimizer = so.keras3.optimizers.Adafactor(0.1, **options)
    variables = new_variables()
    optimizer.exclude_from_weight_decay(var_list=variables[1:])
    steps(optimizer, variables, 5)
    again, own = copy.deepcopy((optimizer, variables))
    assert_same(steps(again, own, 4), steps(optimizer, variables, 4))
    assert again.swap() and not again.swap()
    np.testing.assert_array_equal(again.get_weights()[0], optimizer.get_weights()[0])


@pytest.mark.parametrize("wrapped", ["loss_scale", "multi"])
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_optimizers_of_optimizers(wrapped: str, copied: Callable[[Any], Any]) -> None:
    k3 = so.keras3.optimizers
    inner = k3.Adam(0.1)
    by_name = k3.OptimizerMap(inner, {"w": k3.SGD(0.1, momentum=0.5)})
    optimizer: Any = k3.LossScaleOptimizer(inner) if wrapped == "loss_scale" else k3.MultiOptimizer(by_name)
    variables = [so.Variable(np.ones(3, np.float32), name=name) for name in "wv"]
    steps(optimizer, variables, 2)
    again, own = copied((optimizer, variables))
    assert_same(steps(again, own, 2), steps(optimizer, variables, 2))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copied_variable_is_its_array(copied: Callable[[Any], Any]) -> None:
    table = np.ones((4, 2), np.float32)
    again = copied(so.Variable(table[1:3], name="part", constraint=np.abs))
    again.assign_sub(np.ones((2, 2), np.float32))
    assert again.name == "part" and again.constraint is np.abs
    assert not again.value.any() and not again.numpy().any() and table.all()


def test_copies_on_a_gpu_stay_there() -> None:
    with emulated_gpus():
        place = place_of(Context("gpu", 0))
        variable = so.Variable(place.zeros((3,), np.float32), name="w")
        optimizer = so.keras.optimizers.Adam(0.5)
        grad = place.zeros((3,), np.float32)
        grad[...] = 1
        optimizer.apply_gradients([(grad, variable)])
        again, own = copy.deepcopy((optimizer, variable))
        again.apply_gradients([(grad, own)])
        optimizer.apply_gradients([(grad, variable)])
        assert type(own.value) is type(variable.value)
        np.testing.assert_array_equal(own.numpy(), variable.numpy())


@pytest.mark.parametrize("cls", classes())
def test_state_moves_between_host_and_gpus(cls: Any) -> None:
    with emulated_gpus() as places:

        def variables(values: list[Any], place: Any = None) -> list[Any]:
            made = [v if place is None else from_host(place, v) for v in values]
            return [so.Variable(v, name=f"v{k}") for k, v in enumerate(made)]

        values = [np.full((4, 3), 0.5, np.float32), np.ones(3, np.float32)]
        grads = [np.linspace(-1, 1, v.size, dtype=np.float32).reshape(v.shape) for v in values]
        there, here = variables(values, places[0]), variables([v.copy() for v in values])
        one, other = cls(0.1), cls(0.1)
        for optimizer, own in ((one, there), (other, here)):
            for _ in range(2):
                given = [g if own is here else from_host(places[0], g) for g in grads]
                optimizer.apply_gradients(zip(given, own))
        ends = []
        for source, place in ((one, None), (other, places[0]), (one, places[1])):
            own = variables([v.numpy() for v in there], place)
            again = cls(0.1)
            again.build(own)
            again.load_state_dict(source.state_dict())
            given = [g if place is None else from_host(place, g) for g in grads]
            again.apply_gradients(zip(given, own))
            ends.append(np.concatenate([v.numpy().ravel() for v in own]))
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)
        np.testing.assert_allclose(ends[1], ends[2], rtol=1e-5)
