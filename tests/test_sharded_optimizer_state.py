"""The state of a ShardedOptimizer is that of so.compile: either loads the other's, with any number of owners."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
from losing import Losing
from sharded_cases import ODD, arrays, ranks, same_bits, same_state

import symopt as so
from symopt.distributed import InProcess, ShardedOptimizer, tree_sum
from symopt.errors import StateError

OPTIONS: list[dict[str, Any]] = [
    {"rule": "adam", "lr": 0.1},
    {"rule": "adam", "lr": 0.1, "multi_precision": True, "dtype": "bfloat16"},
    {"rule": "group_adagrad", "lr": 0.1, "groups": {"tiny*": {"rule": "lamb", "wd": 0.1}}},
    {"rule": "torch_nadam", "ema": 0.9, "accumulate": 3, "clip_global_norm": 1.0, "loss_scale": "dynamic"},
]
IDS = ["adam", "copies", "rows", "nadam"]


def made_with(n_owners: int, params: dict[str, Any], options: dict[str, Any], transport: Any = None) -> Any:
    """An optimizer of so many owners; 0: of one process."""
    if n_owners == 0:
        return so.compile(params=params, **options)
    return ShardedOptimizer(transport or Losing(), params, n_owners=n_owners, n_ranks=2, **options)


def stepped(made: Any, grads: list[dict[str, Any]]) -> Any:
    return made.step(grads) if isinstance(made, ShardedOptimizer) else made(tree_sum(grads))


@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize(("before", "after"), [(3, 2), (1, 4), (4, 0), (0, 3)])
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_it_goes_on_with_any_number_of_owners(
    options: dict[str, Any], before: int, after: int, stop: int, tmp_path: Path
) -> None:
    options = dict(options)
    dtype = options.pop("dtype", "float32")
    single, params = arrays(7, ODD, dtype), arrays(7, ODD, dtype)
    whole, first = so.compile(params=single, **options), made_with(before, params, options)
    for k in range(stop):
        grads = ranks(k, 2, ODD, dtype)
        assert stepped(first, grads) == stepped(whole, grads)
    so.save(tmp_path / "it", {"params": params, "optimizer": first})
    again = arrays(8, ODD, dtype)
    second = made_with(after, again, options)
    so.load(tmp_path / "it", into={"optimizer": second, "params": again})
    same_state(second.state_dict(), whole.state_dict())
    for k in range(stop, 8):
        grads = ranks(k, 2, ODD, dtype)
        assert stepped(second, grads) == stepped(whole, grads)
    same_bits(again, single)
    same_state(second.state_dict(), whole.state_dict())


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    made, whole, params, _ = cases.both(Losing(), "adam", ODD, 3, 1, lr=0.1)
    made.step(ranks(0, 1)[0])
    before, weights = made.state_dict(), {n: p.copy() for n, p in params.items()}
    wrong = whole.state_dict()
    wrong["parameters"]["huge"] = {**wrong["parameters"]["huge"], "states": {"mean": np.zeros(3)}}
    with pytest.raises(
        StateError, match=r"parameters/huge/states/mean[\s\S]*nothing was changed|nothing was changed"
    ):
        made.load_state_dict(wrong)
    same_state(made.state_dict(), before)
    same_bits(params, weights)


def test_what_a_state_gives_is_a_copy() -> None:
    made, _, _, _ = cases.both(InProcess(), "adam", ODD, 2, 1, lr=0.1)
    made.step(ranks(0, 1)[0])
    before = made.state_dict()
    before["parameters"]["huge"]["states"]["mean"][...] = 7
    made.states["vector"]["var"][...] = 7
    assert not (made.states["huge"]["mean"] == 7).any()
    assert not (made.states["vector"]["var"] == 7).any()


@pytest.mark.parametrize("transport", [InProcess, Losing])
def test_weights_that_are_changed_are_seen_after_refresh(transport: Any) -> None:
    made, whole, params, single = cases.both(transport(), "adam", ODD, 3, 1, lr=0.1)
    for k in range(4):
        for each in (params, single):
            each["huge"][3:] = k
        made.refresh()
        grads = ranks(k, 1)
        assert made.step(grads[0]) == whole(grads[0])
        same_bits(params, single)


def test_averages_stand_in_for_the_weights() -> None:
    made, whole, params, _ = cases.both(Losing(), "adam", ODD, 3, 2, lr=0.1, ema=0.5)
    for k in range(3):
        stepped(made, ranks(k, 2))
        stepped(whole, ranks(k, 2))
    before = {n: p.copy() for n, p in params.items()}
    with made.averaged() as shown:
        same_bits(dict(shown), whole.averages)
    same_bits(params, before)
    stepped(made, ranks(3, 2))
    stepped(whole, ranks(3, 2))
    same_bits(made.averages, whole.averages)


def test_gradients_of_an_open_step_are_let_go_of_by_a_load() -> None:
    made, whole, params, single = cases.both(Losing(), "adam", ODD, 3, 2, lr=0.1)
    state = whole.state_dict()
    made.push(1, ranks(5, 2)[1])
    made.load_state_dict(state)
    for k in range(2):
        stepped(made, ranks(k, 2))
        stepped(whole, ranks(k, 2))
    same_bits(params, single)


def test_after_a_failed_step_a_state_is_loaded() -> None:
    fate = {"on": True}
    transport = Losing(lambda name, method, _: "before" if fate["on"] and method == "apply" else None)
    made, whole, params, single = cases.both(transport, "adam", ODD, 2, 2, lr=0.1)
    with pytest.raises(so.errors.PushFailedError):
        made.step(ranks(0, 2))
    fate["on"] = False
    part = whole.state_dict()
    part["parameters"].pop("huge")
    with pytest.raises(StateError, match="are lost"):
        made.load_state_dict(part, strict=False)
    made.load_state_dict(whole.state_dict())
    for k in range(3):
        stepped(made, ranks(k, 2))
        stepped(whole, ranks(k, 2))
        same_bits(params, single)
