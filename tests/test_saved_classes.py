"""so.save and so.load with everything that has state: the same bits as without a stop, all of it or nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_runs import HERE, RUNS, SHAPES, Run

import symopt as so
from symopt.errors import StateError
from symopt.places import HOST, place_of, place_of_array

JUNK: tuple[Any, ...] = (None, "x", -1, 2.5, float("nan"), [], {}, {"a": 1}, np.zeros(2), [np.zeros(2)], True)
SHOWN = ("hyper", "config")  # to be read, and not taken over


def bits(x: Any) -> Any:
    """A tree with bytes in place of arrays."""
    if hasattr(x, "state_dict"):
        return bits(x.state_dict())
    if isinstance(x, Mapping):
        return {name: bits(part) for name, part in x.items()}
    if isinstance(x, (list, tuple)):
        return list(map(bits, x))
    x = getattr(x, "value", x)
    return (x.dtype.name, place_of_array(x).to_host(x).tobytes()) if hasattr(x, "dtype") else x


def apart(state: Any) -> Any:
    """A state with arrays and dicts of its own."""
    return {n: apart(x) for n, x in state.items()} if isinstance(state, Mapping) else copy.deepcopy(state)


def paths(state: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, part in state.items():
        if name not in SHOWN:
            yield (*above, name)
            if isinstance(part, Mapping):
                yield from paths(part, (*above, name))


def spoiled(state: Mapping[str, Any], path: tuple[str, ...], junk: Any) -> Any:
    made = apart(state)
    part = made
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = junk
    return made


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Saved after the first, second, ... step, so in the middle of sums of gradients too; into objects that are new,
    and into ones that have a state of their own; and once more before the next step."""
    whole, first = RUNS[name](), RUNS[name]().step(0)
    whole.step(0)
    for k in range(1, 4):
        so.save(tmp_path / f"{k}", first.tree)
        again, used = RUNS[name](), RUNS[name]().step(77)
        assert not so.load(tmp_path / f"{k}", into=again.tree)
        so.save(tmp_path / f"{k}.", again.tree)
        assert not so.load(tmp_path / f"{k}.", into=used.tree)
        assert bits(used.tree) == bits(first.tree)
        whole.step(k)
        again.step(k)
        first = used.step(k)
        assert bits(again.tree) == bits(first.tree) == bits(whole.tree)


@pytest.mark.parametrize("name", RUNS)
def test_whatever_is_wrong_in_a_state_changes_nothing(name: str) -> None:
    """Every entry replaced by every kind of junk: StateError and nothing changed, or a state that works."""
    state = apart(RUNS[name]().step(0, 1).owner.state_dict())
    run = RUNS[name]().step(5)
    before = bits(run.owner.state_dict())
    known = apart(run.owner.state_dict())
    for path in paths(state):
        for junk in JUNK:
            try:
                run.owner.load_state_dict(spoiled(state, path, junk))
            except StateError as error:
                assert "nothing was changed" in str(error)
                assert bits(run.owner.state_dict()) == before, (path, junk)
            else:
                run.owner.load_state_dict(known)
    run.step(9)


@pytest.mark.parametrize("name", RUNS)
def test_what_is_missing_is_listed(name: str) -> None:
    state = apart(RUNS[name]().step(0).owner.state_dict())
    run = RUNS[name]().step(5)
    before = bits(run.owner.state_dict())
    for path in list(paths(state)):
        part = state
        for key in path[:-1]:
            part = part[key]
        if path[0] == "generator" or not isinstance(part[path[-1]], (dict, np.ndarray)):
            continue
        kept = part.pop(path[-1])
        if not isinstance(kept, dict) or kept:
            with pytest.raises(StateError, match="/".join(path) + ": missing in the state"):
                run.owner.load_state_dict(state)
            assert bits(run.owner.state_dict()) == before
        part[path[-1]] = kept


def with_names(state: Any) -> Mapping[str, Any]:
    """Parameters by name, wherever in a state they are."""
    if "parameters" in state:
        return dict(state["parameters"])
    inner = state["optimizers"].values() if "optimizers" in state else [state["inner"]]
    return {name: entry for one in inner for name, entry in with_names(one).items()}


def settings(state: Any) -> list[Mapping[str, Any]]:
    found = [x for name, x in state.items() if name in SHOWN]
    return found + [s for x in state.values() if isinstance(x, Mapping) for s in settings(x)]


@pytest.mark.parametrize("name", RUNS)
def test_states_say_what_they_are_of(name: str, tmp_path: Path) -> None:
    """By name, with shape, dtype and hyper-parameters."""
    run = RUNS[name]().step(0)
    so.save(tmp_path / "saved", run.tree)
    state = so.load(tmp_path / "saved")["optimizer"]
    frozen = ["out"] if name == "compile-frozen" else []
    found = with_names(state)
    assert set(found) == set(SHAPES) - set(frozen)
    for parameter, entry in found.items():
        weight = run.weights[parameter]
        assert entry["shape"] == list(SHAPES[parameter]) and entry["dtype"] == weight.dtype.name
    assert any({"lr", "learning_rate"} & set(s) for s in settings(state))


ALL = {name: begin for name, begin in RUNS.items() if name not in ("updater-SGLD",)}


def several(skip: int = -1) -> dict[str, Any]:
    """Runs of all kinds in one tree, after steps that differ with `skip`."""
    return {name: begin().step(*range(skip + 2)).tree for name, begin in ALL.items()}


@pytest.mark.parametrize("spoil", ["params", "last", "first"])
def test_many_objects_in_one_tree_are_loaded_all_or_none(spoil: str, tmp_path: Path) -> None:
    tree, target = several(1), several(0)
    so.save(tmp_path / "good", tree)
    names = list(tree)
    if spoil == "params":
        tree[names[-1]]["params"] = {"dense/kernel": np.zeros((4, 3))}
    else:
        where = names[0 if spoil == "first" else -1]
        tree[where]["optimizer"] = RUNS["keras3-Lion"]().step(1).owner
    so.save(tmp_path / "bad", tree)
    before = bits(target)
    with pytest.raises(StateError, match="nothing was changed"):
        so.load(tmp_path / "bad", into=target)
    assert bits(target) == before
    assert not so.load(tmp_path / "good", into=target)
    assert bits(target) == bits(so.load(tmp_path / "good"))


@pytest.mark.parametrize("name", RUNS)
def test_a_damaged_checkpoint_changes_nothing(name: str, tmp_path: Path) -> None:
    so.save(tmp_path / "saved", RUNS[name]().step(0, 1).tree)
    run = RUNS[name]().step(3)
    before = bits(run.tree)
    for file in sorted(path for path in (tmp_path / "saved").rglob("*") if path.stat().st_size):
        content = file.read_bytes()
        spot = len(content) // 2
        file.write_bytes(content[:spot] + bytes([content[spot] ^ 8]) + content[spot + 1 :])
        with pytest.raises(so.errors.DamagedError):
            so.load(tmp_path / "saved", into=run.tree)
        file.write_bytes(content)
    assert bits(run.tree) == before
    so.load(tmp_path / "saved", into=run.tree)
    assert bits(run.tree) != before


@pytest.fixture
def moving(emulated: None) -> Iterator[Any]:
    """A function that has the next runs made on a GPU, or on the host again."""

    def move(context: Any) -> None:
        HERE.place = HOST if context is None else place_of(context)

    yield move
    HERE.place = HOST


MOVED = ("compile-adam", "compile-nadam", "updater-Adam", "updater-float16", "updater-SGLD", "keras-Adam", "keras3-ema",
         "keras3-several", "keras3-scaled-Nadam", "compile-accumulate")  # fmt: skip


@pytest.mark.parametrize("name", MOVED)
def test_from_the_processor_to_a_gpu_and_back(name: str, moving: Any, tmp_path: Path) -> None:
    here = RUNS[name]().step(0)
    so.save(tmp_path / "here", here.tree)
    for k in (0, 1):
        moving(so.gpu(k))
        there = RUNS[name]()
        assert not so.load(tmp_path / "here", into=there.tree)
        there.step(1)
        so.save(tmp_path / f"there{k}", there.tree)
        moving(None)
        back = RUNS[name]()
        assert not so.load(tmp_path / f"there{k}", into=back.tree)
        check_close(back, RUNS[name]().step(0, 1))


def check_close(run: Run, expected: Run) -> None:
    for name, weight in expected.weights.items():
        got, want = (np.asarray(getattr(x, "value", x)) for x in (run.weights[name], weight))
        np.testing.assert_allclose(got, want, rtol=1e-3 if got.dtype.itemsize == 2 else 1e-12)


def test_a_series_keeps_runs_and_tells_how_far_it_is(tmp_path: Path) -> None:
    run, whole, told = RUNS["keras3-several"](), RUNS["keras3-several"](), []
    series = so.checkpoint.Series(tmp_path / "runs", keep=2)
    for k in range(4):
        run.step(k)
        whole.step(k)
        series.save(k, run.tree, progress=lambda done, size: told.append((done, size)))
    assert series.steps() == [2, 3] and told and told[-1][0] == told[-1][1]
    again = RUNS["keras3-several"]()
    found = series.load(into=again.tree, progress=lambda done, size: told.append((done, size)))
    assert not found and bits(again.tree) == bits(whole.tree)
