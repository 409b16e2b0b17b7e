"""MXNet's Updater: states that come with their parameters, and go through files and dicts bit for bit."""

import copy
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from optimizer_driver import NAMES, Setup, make

import symopt as so
from symopt.lr_scheduler import CosineScheduler, FactorScheduler, MultiFactorScheduler, PolyScheduler
from symopt.mxnetfiles import write_states
from symopt.optimizer import SGD, Adam, Updater, get_updater
from symopt.places import Place, from_host


class Run:
    """An Updater on two weights."""

    def __init__(self, name: str = "adam", dtype: Any = np.float64, **kwargs: Any) -> None:
        if name == "DCASGD":
            kwargs["momentum"] = 0.9
        self.updater = get_updater(make(name, **kwargs))
        rng = np.random.default_rng(5)
        self.weights = [rng.standard_normal(s).astype(dtype) for s in ((4, 3), (5, 2))]

    def step(self, times: int = 1, seed: int = 0) -> "Run":
        for t in range(times):
            rng = np.random.default_rng(seed + t)
            grads = [rng.standard_normal(w.shape).astype(w.dtype) for w in self.weights]
            self.updater([0, 1], grads, self.weights)
        return self

    def equals(self, other: "Run") -> None:
        np.testing.assert_equal(self.weights, other.weights)
        np.testing.assert_equal(self.updater.states, other.updater.states)
        assert self.updater.optimizer.num_update == other.updater.optimizer.num_update


def test_states_come_with_their_parameters() -> None:
    updater = Updater(SGD(1.0, momentum=0.5))
    w, v = np.zeros(2), np.zeros(3)
    updater(0, np.ones(2), w)
    updater(["v", 0], [np.ones(3), np.ones(2)], [v, w])
    updater(b"v", np.ones(3), v)
    assert list(updater.states) == [0, "v"]
    np.testing.assert_array_equal(w, [-2.5, -2.5])
    np.testing.assert_array_equal(v, [-2.5, -2.5, -2.5])


@pytest.mark.parametrize("aggregate", [1, 2, 4, np.inf])
def test_aggregate_num_changes_nothing(aggregate: float) -> None:
    run, other = Run("sgd", momentum=0.9, aggregate_num=aggregate), Run("sgd", momentum=0.9)
    run.step(3).equals(other.step(3))
    assert run.updater.aggregate_updates == (aggregate > 1)


def test_a_parameter_that_does_not_fit_leaves_no_state() -> None:
    updater = Updater(make("groupadagrad"))
    with pytest.raises(AssertionError, match="two axes"):
        updater([0, 1], [np.ones((2, 2)), np.ones(3)], [np.ones((2, 2)), np.ones(3)])
    with pytest.raises(ValueError, match="as many weights"):
        updater([0, 1], [np.ones((2, 2))], [np.ones((2, 2))])
    assert updater.states == {}


KINDS = [(np.float64, False), (np.float16, True), (ml_dtypes.bfloat16, True)]


@pytest.mark.parametrize(("dtype", "copied"), KINDS, ids=["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_state_by_name_goes_on_bit_for_bit(name: str, dtype: Any, copied: bool) -> None:
    """Into an Updater that has seen no parameter, and into one that has other states."""
    first = Run(name, dtype, multi_precision=copied).step(3)
    fresh, used = (Run(name, dtype, multi_precision=copied) for _ in range(2))
    used.step(1, seed=8)
    state = copy.deepcopy(first.updater.state_dict())
    for run in (fresh, used):
        run.weights = copy.deepcopy(first.weights)
        run.updater.load_state_dict(state)
    first.step(2, seed=3)
    for run in (fresh, used):
        run.step(2, seed=3).equals(first)


@pytest.mark.parametrize("with_optimizer", [False, True])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "SGLD"])
def test_mxnets_files_go_on_bit_for_bit(name: str, with_optimizer: bool) -> None:
    first, second = Run(name, wd=0.0, learning_rate=0.3).step(3), Run(name)
    second.weights = copy.deepcopy(first.weights)
    if not with_optimizer:
        second.updater.optimizer = copy.deepcopy(first.updater.optimizer)
    second.updater.set_states(first.updater.get_states(dump_optimizer=with_optimizer))
    assert type(second.updater.optimizer) is type(first.updater.optimizer)
    first.step(2, seed=3).equals(second.step(2, seed=3))


SCHEDULERS = [
    FactorScheduler(2, 0.5, base_lr=0.4), MultiFactorScheduler([2, 4], 0.5, base_lr=0.4, warmup_steps=2),
    PolyScheduler(9, base_lr=0.4, pwr=3, final_lr=0.1), CosineScheduler(9, base_lr=0.4, warmup_steps=1),
]  # fmt: skip


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__)
def test_schedulers_go_with_the_optimizer(scheduler: Any) -> None:
    first, second = Run("sgd", lr_scheduler=scheduler, learning_rate=None).step(3), Run()
    second.updater.set_states(first.updater.get_states(dump_optimizer=True))
    found = second.updater.optimizer.lr_scheduler
    assert type(found) is type(scheduler)
    assert [found(n) for n in range(12)] == [scheduler(n) for n in range(12)]


def test_bytes_that_are_no_states_change_nothing() -> None:
    run = Run().step()
    before = run.updater.states
    for wrong in (b"", b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04]."):
        with pytest.raises(so.errors.FormatError):
            run.updater.set_states(wrong)
    unknown = so.mxnetfiles.ObjectRecord("mxnet.optimizer.mine", "Mine", {})
    with pytest.raises(so.errors.FormatError, match="'Mine', which is not registered"):
        run.updater.set_states(write_states({0: None}, unknown))
    assert run.updater.states is before


def test_states_of_mxnet_1_with_copies_in_the_other_order() -> None:
    """SGD and NAG of MXNet 1 keep (momentum, float32 weight)."""
    first = Run("sgd", np.float16, momentum=0.9, multi_precision=True).step(3)
    turned = {k: state[::-1] for k, state in copy.deepcopy(first.updater.states).items()}
    second = Run("sgd", np.float16, momentum=0.9, multi_precision=True)
    second.weights, second.updater.optimizer = copy.deepcopy((first.weights, first.updater.optimizer))
    second.updater.set_states(write_states(turned))
    first.step(2, seed=3).equals(second.step(2, seed=3))


# ---- state by name: what it says, and what it refuses


def test_state_dict_says_what_it_is_of() -> None:
    run = Run("adam", param_idx2name={0: "fc_weight"}, wd=0.1).step(2)
    state = run.updater.state_dict()
    assert list(state["parameters"]) == ["fc_weight", "1"]
    entry = state["parameters"]["fc_weight"]
    assert (entry["index"], entry["updates"], entry["shape"], list(entry["states"])) == (
        0,
        2,
        [4, 3],
        ["mean", "var"],
    )
    assert entry["states"]["mean"] is run.updater.states[0][0]
    assert state["optimizer"] == "Adam" and state["num_update"] == 2
    assert {"wd": 0.1, "beta1": 0.9, "lr": 0.001}.items() <= state["hyper"].items()


def other_class(state: dict[str, Any]) -> None:
    state["optimizer"] = "SGD"


def other_shape(state: dict[str, Any]) -> None:
    state["parameters"]["1"]["shape"] = [2, 5]


def other_dtype(state: dict[str, Any]) -> None:
    states = state["parameters"]["0"]["states"]
    states["var"] = states["var"].astype("float32")


def no_state(state: dict[str, Any]) -> None:
    del state["parameters"]["0"]["states"]["mean"]


def no_parameter(state: dict[str, Any]) -> None:
    del state["parameters"]["0"]


def no_count(state: dict[str, Any]) -> None:
    state["parameters"]["1"]["updates"] = -1


def no_dict(state: dict[str, Any]) -> None:
    state["parameters"] = [1, 2]


WRONG = [
    (other_class, "optimizer: optimizer is 'Adam' here, the state has 'SGD'"), (other_shape, r"parameters/1/shape"),
    (other_dtype, "parameters/0/states/var: dtype"), (no_state, "parameters/0/states/mean: missing"),
    (no_parameter, "parameters/0: missing"), (no_count, "parameters/1/updates: expected a count"),
    (no_dict, "parameters: expected a dict"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "text"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_a_state_that_does_not_fit_changes_nothing(spoil: Any, text: str) -> None:
    run, other = Run().step(2), Run().step(5, seed=9)
    state = copy.deepcopy(other.updater.state_dict())
    spoil(state)
    before = copy.deepcopy(run.updater.states)
    with pytest.raises(ValueError, match=text) as caught:
        run.updater.load_state_dict(state)
    assert isinstance(caught.value, so.errors.StateError)
    np.testing.assert_equal(run.updater.states, before)
    assert run.updater.optimizer.num_update == 2


@pytest.mark.parametrize("name", ["adam", "groupadagrad", "sgld"])
def test_states_follow_their_weight_to_another_device(name: str, gpu: Place) -> None:
    on_host, on_gpu = Run(name).step(2), Run(name)
    on_gpu.weights = [from_host(gpu, w) for w in on_host.weights]
    on_gpu.updater.optimizer = copy.deepcopy(on_host.updater.optimizer)
    on_gpu.updater.optimizer.engine = "reference"
    on_gpu.updater.set_states(on_host.updater.get_states())
    for t in range(2):
        grads = [np.full_like(w, t + 1) for w in on_host.weights]
        on_gpu.updater([0, 1], [from_host(gpu, g) for g in grads], on_gpu.weights)
        on_host.updater([0, 1], grads, on_host.weights)
    for here, there in zip(on_host.weights, on_gpu.weights, strict=True):
        np.testing.assert_array_equal(here, gpu.to_host(there))
    twin = Run(name)
    twin.updater.load_state_dict(on_gpu.updater.state_dict())
    twin.weights = copy.deepcopy(on_host.weights)
    on_host.step(1, seed=4).equals(twin.step(1, seed=4))


def test_an_updater_and_an_optimizer_agree() -> None:
    setup, updater = Setup(Adam()), Updater(Adam())
    weights = copy.deepcopy(setup.weights)
    for _ in range(3):
        grads = setup.grads()
        setup.step(grads)
        updater([0, 1], grads, weights)
    np.testing.assert_equal(weights, setup.weights)


def test_states_can_be_assigned() -> None:
    run, other = Run().step(2), Run().step(2)
    run.updater.states[0] = tuple(x.copy() for x in run.updater.states[0])
    kept = run.updater.states[1]
    run.updater.states = dict(run.updater.states)
    run.step(1, seed=4).equals(other.step(1, seed=4))
    assert run.updater.states[1] is kept
