"""What an Updater keeps: loaded before weights come, on any device, copied, and shared by threads."""

import copy
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from optimizer_driver import make
from test_updater import Run

import symopt as so
from symopt.optimizer import Updater
from symopt.optimizer.plan import leaves
from symopt.places import from_host, place_of


def test_a_weight_that_a_loaded_state_is_not_of_is_refused() -> None:
    state = Run().step(2).updater.state_dict()
    run = Run()
    run.updater.load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"parameters/0/shape: shape is \[3, 4\] here, the state has \[4, 3\]"
    ):
        run.updater([1, 0], [np.ones((5, 2)), np.ones((3, 4))], [np.ones((5, 2)), np.ones((3, 4))])
    assert dict(run.updater.optimizer._index_update_count) == {0: 2, 1: 2}
    run.step()
    assert dict(run.updater.optimizer._index_update_count) == {0: 3, 1: 3}


def test_a_loaded_state_is_compared_with_the_class_before_weights_come() -> None:
    state = Run("sgd", momentum=0.9).step(2).updater.state_dict()
    run = Run("sgd")
    with pytest.raises(ValueError, match="parameters/0/states/mom: only in the state"):
        run.updater.load_state_dict(state)
    assert run.updater.states == {} and run.updater.optimizer.num_update == 0


def test_what_was_loaded_is_saved_again_before_any_step() -> None:
    """A run that is stopped between loading and its first step; one of MXNet's files too, which has no names."""
    first, by_name, by_file, last = (Run("adam") for _ in range(4))
    first.step(2)
    by_name.updater.load_state_dict(first.updater.state_dict())
    by_file.updater.set_states(by_name.updater.get_states(dump_optimizer=True))
    assert by_file.updater.state_dict()["parameters"]["0"]["shape"] is None
    last.updater.load_state_dict(copy.deepcopy(by_file.updater.state_dict()))
    for run in (by_name, by_file, last):
        run.weights = copy.deepcopy(first.weights)
    first.step(2, seed=7)
    for run in (by_name, by_file, last):
        run.step(2, seed=7).equals(first)


def test_loaded_counts_are_of_every_device(emulated: None) -> None:
    first, second = Run("adam").step(2), Run("adam")
    second.updater.load_state_dict(first.updater.state_dict())
    place = place_of(so.gpu(1))
    second.weights = [from_host(place, w) for w in first.weights]
    second.updater.optimizer.engine = "reference"
    grads = [np.ones_like(w) for w in first.weights]
    first.updater([0, 1], grads, first.weights)
    second.updater([0, 1], [from_host(place, g) for g in grads], second.weights)
    for here, there in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(here, place.to_host(there), rtol=1e-14)


@pytest.mark.parametrize("first", [0, 1])
def test_each_device_counts_its_own_updates(first: int, emulated: None) -> None:
    optimizer = make("adam", engine="reference")
    updaters, alone = [Updater(optimizer), Updater(optimizer)], Run("adam")
    places = [place_of(so.gpu(k)) for k in (0, 1)]
    weights = [[from_host(place, w) for w in alone.weights] for place in places]
    for k in (first, 1 - first, 0, 1):
        grads = [from_host(places[k], np.ones_like(w)) for w in alone.weights]
        updaters[k]([0, 1], grads, weights[k])
    for _ in range(2):
        alone.updater([0, 1], [np.ones_like(w) for w in alone.weights], alone.weights)
    for place, found in zip(places, weights, strict=True):
        np.testing.assert_allclose(place.to_host(found[0]), alone.weights[0], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
def test_copies_have_states_of_their_own_and_no_weights(copied: Any, dtype: Any) -> None:
    first, twin = (Run("adam", dtype, multi_precision=True) for _ in range(2))
    large = np.ones(100_000, dtype)
    first.step(2).updater("large", np.ones_like(large), large)
    states = sum(x.nbytes for x in leaves(first.updater.states["large"]))
    assert len(pickle.dumps(first.updater)) < states + large.nbytes // 2
    twin.updater, twin.weights = copied(first.updater), copy.deepcopy(first.weights)
    assert list(twin.updater.state_dict()["parameters"]["1"]["states"])[:2] == ["mean", "var"]
    with pytest.raises(so.errors.StateError, match="parameters/1/shape"):
        twin.updater(1, np.ones(3, dtype), np.ones(3, dtype))
    twin.step(1, seed=4)
    first.step(1, seed=4).equals(twin)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads give way at every opportunity."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("is_shared", [False, True], ids=["one updater", "an updater each"])
def test_threads_make_whole_updates(is_shared: bool, eager_threads: None) -> None:
    optimizer = make("sgd", learning_rate=1.0, momentum=0.5)
    updaters = [Updater(optimizer) for _ in range(4)] if is_shared else [Updater(optimizer)] * 4
    weights = [np.zeros(5) for _ in range(4)]

    def work(k: int) -> None:
        for _ in range(50):
            updaters[k]([k, 9 + k] if is_shared else [k], [np.ones(5)] * (1 + is_shared), pairs[k])

    pairs = [[w, np.zeros(5)] if is_shared else [w] for w in weights]
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone, w = Updater(make("sgd", learning_rate=1.0, momentum=0.5)), np.zeros(5)
    for _ in range(50):
        alone(0, np.ones(5), w)
    for weight in (x for pair in pairs for x in pair):
        np.testing.assert_array_equal(weight, w)
    assert set(optimizer._index_update_count.values()) == {50}
