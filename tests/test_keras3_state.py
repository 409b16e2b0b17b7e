"""State of Keras 3's classes: by name, in Keras's lists, without side effects; and configuration as plain data."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from test_keras3_steps import NAMES, SHAPES, assert_same, some, values, variables

import symopt as so
from symopt.errors import StateError
from symopt.keras3 import optimizers as o
from symopt.keras3 import schedules

OPTIONS: dict[str, Any] = {
    "use_ema": True,
    "ema_momentum": 0.5,
    "gradient_accumulation_steps": 2,
    "weight_decay": 0.1,
}


def wrapped(name: str, is_scaled: bool) -> Any:
    made = getattr(o, name)(0.05, **OPTIONS)
    return o.LossScaleOptimizer(made, initial_scale=16.0, dynamic_growth_steps=2) if is_scaled else made


CONTINUED = [(name, k % 2 == 0, "state_dict") for k, name in enumerate(NAMES)]
CONTINUED += [
    (name, k, how) for name in ("Nadam", "Adafactor") for k in (False, True) for how in ("weights", "own")
]


@pytest.mark.parametrize(("name", "is_scaled", "how"), CONTINUED)
def test_a_run_that_is_continued_is_the_same_to_the_bit(name: str, is_scaled: bool, how: str) -> None:
    """Interrupted in the middle of a window of accumulation, and with a learning rate that was set by hand."""
    whole, first = variables(), variables()
    straight, before = wrapped(name, is_scaled), wrapped(name, is_scaled)
    for step in range(5):
        for optimizer, trained in ((straight, whole), (before, first)):
            optimizer.learning_rate = 0.1 / (step + 1)
            optimizer.apply(some(step + 1), trained)
    after = type(before).from_config(before.get_config())
    second = [so.Variable(v.numpy(), name=v.name) for v in first]
    after.build(second)
    if how == "state_dict":
        after.load_state_dict(copy.deepcopy(before.state_dict()))
    elif how == "weights":
        after.set_weights(before.get_weights())
    else:
        store: dict[str, Any] = {}
        before.save_own_variables(store)
        after.load_own_variables(store)
    for step in range(5, 9):
        straight.apply(some(step + 1), whole)
        after.apply(some(step + 1), second)
    assert_same(values(straight, whole), values(after, second), rtol=0)


def test_state_has_names() -> None:
    optimizer = o.Adam(0.1, use_ema=True)
    optimizer.apply(some(1), variables())
    state = optimizer.state_dict()
    assert state["iterations"] == 1 and list(state["parameters"]) == ["kernel", "bias"]
    assert set(state["parameters"]["bias"]["states"]) == {"average", "momentum", "velocity"}


def changed(state: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a state with another value somewhere; None takes it away."""
    state = copy.deepcopy(state)
    *way, last = path.split("/")
    part = state
    for name in way:
        part = part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return state


@pytest.mark.parametrize(("path", "value"), [
    ("iterations", "three"), ("iterations", -1), ("iterations", None), ("class", "SGD"), ("format", 7),
    ("parameters/kernel", None), ("parameters/other", {}), ("parameters/bias/states/momentum", np.zeros(4)),
    ("parameters/bias/states/velocity", np.zeros(3, "float32")), ("parameters/bias/rule", "sgd_update"),
    ("parameters/bias/states", 3), ("parameters", []), ("u_product", "x"), ("parameters/bias/states/momentum", None),
])  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(path: str, value: Any) -> None:
    trained = variables()
    optimizer = o.Nadam(0.1)
    optimizer.apply(some(1), trained)
    before = values(optimizer, trained)
    state = optimizer.state_dict()
    for name in ("kernel", "bias"):
        for slot in state["parameters"][name]["states"]:
            state = changed(
                state, f"parameters/{name}/states/{slot}", state["parameters"][name]["states"][slot] + 1
            )
    with pytest.raises(StateError, match=path.split("/")[-1]):
        optimizer.load_state_dict(changed(state, path, value))
    assert_same(values(optimizer, trained), before, rtol=0)


def test_what_both_have_is_loaded_if_asked_for() -> None:
    optimizer, other = o.Adam(0.1), o.Adam(0.1)
    optimizer.apply(some(1), variables())
    other.build([*variables(), so.Variable(np.zeros(1), name="new")])
    found = other.load_state_dict(optimizer.state_dict(), strict=False)
    assert found.missing == ["parameters/new"] and int(other.iterations) == 1


@pytest.mark.parametrize("name", [*NAMES, "LossScaleOptimizer"])
def test_stateless_apply_is_pure_and_the_same(name: str) -> None:
    trained, copies = variables(), variables()
    scaled = name == "LossScaleOptimizer"
    optimizer, reference = (wrapped("Adam" if scaled else name, scaled) for _ in range(2))
    for made, its in ((optimizer, trained), (reference, copies)):
        made.build(its)
        made.exclude_from_weight_decay(var_names=["bias"])
    before = values(optimizer, trained)
    weights, own = [v.numpy() for v in trained], [v.numpy() for v in optimizer.variables]
    for step in range(4):
        given = [x.copy() for x in (*weights, *own)]
        new_weights, new_own = optimizer.stateless_apply(own, grads := some(step + 1), weights)
        assert_same([*weights, *own], given, rtol=0)
        assert_same(grads, some(step + 1), rtol=0)
        assert_same(values(optimizer, trained), before, rtol=0)
        weights, own = new_weights, new_own
        reference.apply(some(step + 1), copies)
        assert_same([*weights, *own], values(reference, copies), rtol=0)


def test_stateless_apply_has_the_settings_of_now() -> None:
    optimizer = o.SGD(schedules.ExponentialDecay(1.0, 1, 0.5), momentum=0.5)
    optimizer.build([so.Variable(np.zeros(1))])
    for rate, momentum in ((0.5, 0.25), (0.25, 0.75)):
        optimizer.learning_rate = schedules.PiecewiseConstantDecay([], [rate])
        optimizer.momentum = momentum
        (weight,), _ = optimizer.stateless_apply([0, np.array([-1.0])], [np.array([1.0])], [np.array([2.0])])
        assert weight[0] == 2.0 - momentum - rate


@pytest.mark.parametrize("name", NAMES)
def test_configuration_is_plain_data(name: str) -> None:
    optimizer = getattr(o, name)(schedules.CosineDecay(0.1, 10), use_ema=True, clipnorm=1)
    optimizer.apply(some(1), variables())
    described = json.loads(json.dumps(o.serialize(optimizer)))
    kept = copy.deepcopy(described)
    again = o.deserialize(described)
    assert described == kept and again.get_config() == optimizer.get_config()
    assert type(o.get(name.lower())) is type(o.get(o.get(described))) is type(optimizer)
    assert described["module"] == "keras.optimizers" and described["registered_name"] is None
    assert getattr(o, name)(0.001).get_config()["learning_rate"] == 0.001


def test_names_are_numbered() -> None:
    first, second = o.RMSprop(), o.RMSprop()
    stem, _, count = second.name.rpartition("_")
    assert (
        stem == "rm_sprop"
        and first.name in (f"rm_sprop_{int(count) - 1}", "rm_sprop")
        and o.SGD(name="x").name == "x"
    )


def test_lists_are_in_keras_order() -> None:
    optimizer = o.Adam(0.1, amsgrad=True, use_ema=True, gradient_accumulation_steps=2)
    optimizer.build(variables())
    assert [v.name for v in optimizer.variables] == [
        "iteration", "learning_rate", "kernel_average", "bias_average", "kernel_gradient_accumulator",
        "bias_gradient_accumulator", "kernel_momentum", "kernel_velocity", "bias_momentum", "bias_velocity",
        "kernel_velocity_hat", "bias_velocity_hat",
    ]  # fmt: skip


def test_variables_of_a_subclass_are_state() -> None:
    class Counting(o.Optimizer):
        def build(self, variables: Any) -> None:
            super().build(variables)
            self.total = self.add_variable((), dtype="float64", name="total")
            self.likes = self.add_optimizer_variables(
                variables, ["a", "b"], ["ones", lambda s, d: np.full(s, 2.0)]
            )

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_add(self.total, gradient.sum())
            self.assign_sub(variable, so.sparse.IndexedSlices(np.ones((2, *variable.shape[1:])), [0, 0]))

    one, other = Counting(0.1), Counting(0.1)
    trained = variables()
    one.apply([np.ones(shape) for shape in SHAPES], trained)
    other.build(variables())
    other.load_state_dict(one.state_dict())
    assert other.total.numpy() == 15.0 and other.likes[1][1].numpy().tolist() == [2.0] * 3
    np.testing.assert_allclose(trained[1].numpy(), some(0)[1] - [2, 0, 0])


def test_numbers_behave_like_numbers() -> None:
    optimizer = o.SGD(0.5)
    assert optimizer.iterations + 1 == 1 and float(optimizer.learning_rate) == 0.5
    optimizer.learning_rate.assign(0.25)
    assert optimizer.get_config()["learning_rate"] == 0.25
    assert pickle.loads(pickle.dumps(optimizer.get_config())) == optimizer.get_config()


def test_adafactors_list_is_kerass() -> None:
    """Keras lists the second moment of a matrix, which follows from row and col, and two zeros for a vector."""
    optimizer = o.Adafactor(0.05)
    trained = [so.Variable(np.ones((4, 3)), name="kernel"), so.Variable(np.ones(3), name="bias")]
    optimizer.build(trained)
    shapes = [(), (), (4,), (3,), (4, 3), (), (), (3,)]
    assert [v.shape for v in optimizer.variables] == [w.shape for w in optimizer.get_weights()] == shapes
    assert not any(np.any(w) for w in optimizer.get_weights()[2:])
    optimizer.apply([np.arange(12.0).reshape(4, 3), np.arange(3.0)], trained)
    row, col, moment = optimizer.get_weights()[2:5]
    np.testing.assert_allclose(moment, np.outer(row, col) / row.mean())
    with pytest.raises(ValueError, match=r"kernel_velocity' has shape \(4, 3\)"):
        optimizer.variables[4].assign(np.zeros(3))
    assert sorted(optimizer.state_dict()["parameters"]["kernel"]["states"]) == ["col", "row"]
