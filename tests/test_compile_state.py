"""so.compile: structures, errors, and state that is taken over whole or not at all."""

from typing import Any

import numpy as np
import pytest
from placed import up
from test_compile import SHAPES, arrays, same, steps

import symopt as so
from symopt.errors import (
    ArrayError,
    AttributeValueError,
    MissingArgumentError,
    ShapeError,
    StateError,
    SymoptError,
    UnknownArgumentError,
    UnknownAttributeError,
    UnknownOpError,
)

OPTIONS: list[dict[str, Any]] = [
    {"rule": "torch_adamw", "lr": 0.1},
    {"rule": "torch_nadam", "lr": lambda done: 0.1 / (1 + done), "ema": 0.9},
    {"rule": "sgd_mom", "lr": 0.1, "momentum": 0.9, "accumulate": 3, "clip_global_norm": 1.0},
    {"rule": "keras_nadam", "lr": 0.1, "loss_scale": "dynamic", "accumulate": 2},
    {"rule": "group_adagrad", "lr": 0.1, "groups": {"a.bias": {"rule": "sgd"}}},
]
IDS = [str(o["rule"]) for o in OPTIONS]


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_resuming_gives_the_same_bits(options: dict[str, Any], stop: int) -> None:
    params = arrays(0)
    step = so.compile(params=params, **options)
    all_grads = steps(1, 9)
    for grads in all_grads[:stop]:
        step(grads)
    copies = {n: w.copy() for n, w in params.items()}
    resumed = so.compile(params=copies, **options)
    assert not resumed.load_state_dict(step.state_dict())
    for grads in all_grads[stop:]:
        assert step(grads) == resumed(grads)
    assert same(params, copies)
    assert all(same(step.states[n], resumed.states[n]) for n in params)
    assert step.numbers == resumed.numbers


def snapshot(step: Any, params: dict[str, Any]) -> Any:
    states = {n: {k: x.copy() for k, x in kept.items()} for n, kept in step.states.items()}
    return {n: w.copy() for n, w in params.items()}, states, step.updates, step.numbers


SPOILED = {
    "another shape": lambda s: s["parameters"]["out"]["states"].update(mean=np.zeros(3)),
    "another dtype": lambda s: s["parameters"]["out"]["states"].update(mean=np.zeros((2, 5), np.float32)),
    "no array": lambda s: s["parameters"]["out"]["states"].update(mean=[1.0]),
    "a missing state": lambda s: s["parameters"]["out"]["states"].pop("var"),
    "a missing parameter": lambda s: s["parameters"].pop("a.bias"),
    "an unknown parameter": lambda s: s["parameters"].update(other=s["parameters"]["out"]),
    "another rule": lambda s: s["parameters"]["out"].update(rule="sgd_update"),
    "another format": lambda s: s.update(format=99),
    "a negative count": lambda s: s.update(updates=-1),
    "no parameters": lambda s: s.update(parameters=3),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_state_that_does_not_fit_changes_nothing(spoil: str) -> None:
    params = arrays(0)
    step = so.compile("adam", params, lr=0.1)
    other = so.compile("adam", arrays(5), lr=0.1)
    for grads in steps(1):
        step(grads)
        other(grads)
    state = other.state_dict()
    state = {
        **state,
        "parameters": {n: {**p, "states": dict(p["states"])} for n, p in state["parameters"].items()},
    }
    SPOILED[spoil](state)
    before = snapshot(step, params)
    with pytest.raises(StateError, match="nothing was changed"):
        step.load_state_dict(state)
    after = snapshot(step, params)
    assert same(before[0], after[0])
    assert all(same(before[1][n], after[1][n]) for n in before[1])
    assert before[2:] == after[2:]


def test_a_part_can_be_loaded_and_the_rest_is_listed() -> None:
    source = so.compile("adam", {"a": np.ones(3), "b": np.ones(2)}, lr=0.1)
    source({"a": np.ones(3), "b": np.ones(2)})
    target = so.compile("adam", {"a": np.ones(3), "c": np.ones(4)}, lr=0.1)
    found = target.load_state_dict(source.state_dict(), strict=False)
    assert found.missing == ["parameters/c"]
    assert found.unexpected == ["parameters/b"]
    assert same(target.states["a"], source.states["a"])
    assert target.updates == 1


STRUCTURES: dict[str, Any] = {
    "one array": lambda x: x["out"],
    "a list": lambda x: list(x.values()),
    "a tuple in a dict": lambda x: {"first": (x["a.weight"], x["a.bias"]), "second": x["out"]},
    "nested dicts": lambda x: {"a": {"weight": x["a.weight"], "bias": x["a.bias"]}, "out": {"w": [x["out"]]}},
    "numbered": lambda x: dict(enumerate(x.values())),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradients_come_in_the_structure_of_the_parameters(structure: str) -> None:
    make = STRUCTURES[structure]
    flat, expected = arrays(0), arrays(0)
    step = so.compile("sgd", make(flat), lr=0.5)
    for grads in steps(1):
        step(make(grads))
        expected = {n: w - 0.5 * grads[n] for n, w in expected.items()}
    names = ["out"] if structure == "one array" else list(SHAPES)
    assert same({n: flat[n] for n in names}, {n: expected[n] for n in names})


@pytest.mark.parametrize("order", ["as given", "reversed"])
def test_the_order_of_names_does_not_matter(order: str) -> None:
    params, expected = arrays(0), arrays(0)
    step = so.compile("sgd", params, lr=0.5)
    grads = arrays(1)
    step(dict(reversed(grads.items())) if order == "reversed" else grads)
    assert same(params, {n: w - 0.5 * grads[n] for n, w in expected.items()})


W = np.ones((2, 3))
HALF: Any = 0.5
WRONG: list[tuple[str, type[Exception], str, Any]] = [
    ("no such rule", UnknownOpError, "did you mean", lambda: so.compile("adagrd", W, lr=0.1)),
    ("a rule that is no update", UnknownOpError, "no rule", lambda: so.compile("square", W)),
    (
        "no such attribute",
        UnknownAttributeError,
        "momentum",
        lambda: so.compile("adam", W, lr=0.1, momentum=0.9),
    ),
    ("no rate", MissingArgumentError, "needs lr", lambda: so.compile("adam", W)),
    ("a rate that is no number", AttributeValueError, "lr must be", lambda: so.compile("adam", W, lr="x")),
    ("no parameters", MissingArgumentError, "no parameters", lambda: so.compile("adam", {}, lr=0.1)),
    ("a parameter that is no array", ArrayError, "'w'", lambda: so.compile("adam", {"w": "x"}, lr=0.1)),
    (
        "a read-only parameter",
        ArrayError,
        "read-only",
        lambda: so.compile("sgd", np.broadcast_to(1.0, 3), lr=0.1),
    ),
    ("one array twice", ArrayError, "share", lambda: so.compile("sgd", {"a": W, "b": W}, lr=0.1)),
    (
        "a pattern of nothing",
        UnknownArgumentError,
        "'bias'",
        lambda: so.compile("sgd", W, lr=1, groups={"bias": {}}),
    ),
    (
        "a pattern that comes too late",
        UnknownArgumentError,
        "'w\\*' comes first",
        lambda: so.compile("sgd", W, lr=1, groups={"w*": {}, "weight": {}}),
    ),
    ("all frozen", MissingArgumentError, "to train", lambda: so.compile("sgd", W, lr=1, groups={"*": None})),
    ("a name of numbers", UnknownArgumentError, "'@lr'", lambda: so.compile("sgd", {"@lr": W}, lr=1)),
    (
        "half a gradient",
        AttributeValueError,
        "accumulate",
        lambda: so.compile("sgd", W, lr=1, accumulate=HALF),
    ),
    ("a momentum above 1", AttributeValueError, "ema", lambda: so.compile("sgd", W, lr=1, ema=1.5)),
    ("a bound of 0", AttributeValueError, "clip_norm", lambda: so.compile("sgd", W, lr=1, clip_norm=0)),
    ("a scale of 0", AttributeValueError, "loss_scale", lambda: so.compile("sgd", W, lr=1, loss_scale=0)),
    (
        "a decay without rate",
        MissingArgumentError,
        "lr",
        lambda: so.compile("torch_rprop", W, weight_decay=0.1),
    ),
    ("no such state", UnknownArgumentError, "'x'", lambda: so.compile("adam", W, lr=1, initial={"x": 1.0})),
]


@pytest.mark.parametrize(("error", "match", "make"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_said_before_anything_is_written(
    error: type[Exception], match: str, make: Any
) -> None:
    with pytest.raises(error, match=match) as caught:
        make()
    assert isinstance(caught.value, SymoptError)
    assert (W == 1).all()


BAD: dict[str, tuple[type[Exception], Any]] = {
    "a missing gradient": (MissingArgumentError, lambda g: {"out": g["out"]}),
    "an unknown name": (UnknownArgumentError, lambda g: {**g, "a.bais": g["out"]}),
    "a wrong shape": (ShapeError, lambda g: {**g, "out": np.ones(3)}),
    "a wrong dtype": (TypeError, lambda g: {**g, "out": g["out"].astype("float32")}),
    "none at all": (MissingArgumentError, lambda g: dict.fromkeys(g)),
    "a list of the wrong length": (UnknownArgumentError, lambda g: list(g.values())),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_gradients_change_nothing(bad: str) -> None:
    error, spoil = BAD[bad]
    params = arrays(0)
    step = so.compile("adam", params, lr=0.1)
    grads = arrays(1)
    step(grads)
    before = snapshot(step, params)
    with pytest.raises(error):
        step(spoil(grads))
    after = snapshot(step, params)
    assert same(before[0], after[0])
    assert before[2:] == after[2:]
    assert step(grads)


def test_a_schedule_that_gives_nan_is_refused() -> None:
    params = arrays(0)
    step = so.compile("sgd", params, lr=lambda done: float("nan"))
    with pytest.raises(AttributeValueError, match="schedule of lr"):
        step(arrays(1))
    assert same(params, arrays(0))


def test_on_a_gpu_the_result_is_the_same(gpu: Any) -> None:
    options: dict[str, Any] = {"lr": 0.1, "ema": 0.9, "clip_global_norm": 1.0, "loss_scale": 8.0}
    host, device = arrays(0), up(gpu, arrays(0))
    on_host = so.compile("torch_adamw", host, **options)
    on_device = so.compile("torch_adamw", device, **options)
    for k, grads in enumerate(steps(1)):
        if k == 2:
            grads["out"][0, 0] = np.inf
        assert on_host(grads) == on_device(up(gpu, grads))
        if k == 1:
            on_device.load_state_dict(on_host.state_dict())
    assert same(host, {n: gpu.to_host(w) for n, w in device.items()})
    on_host.load_state_dict(on_device.state_dict())
    with on_device.averaged() as shown:
        assert same(on_host.averages, {n: gpu.to_host(w) for n, w in shown.items()})
