"""Loading into what is there: all of it fits, or nothing is changed and every difference is listed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from state_trees import arrays, same

import symopt as so
from symopt.errors import ArrayError, AttributeValueError, StateError
from symopt.places import Place, from_host
from symopt.sparse import RowSparseArray
from symopt.state import Commit, Differences, plan_arrays


class Own:
    """Has state, as symopt's classes do."""

    def __init__(self, k: float) -> None:
        self.arrays = {"mean": np.full(3, float(k)), "var": np.full((2, 2), float(k))}
        self.count = int(k)

    def state_dict(self) -> dict[str, Any]:
        return {"arrays": self.arrays, "count": self.count}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        found.names(path, self.state_dict(), state)
        copy = plan_arrays(self.arrays, state["arrays"], found, f"{path}/arrays")

        def commit() -> None:
            copy()
            self.count = state["count"]

        return commit


class Other:
    """Has state as torch's classes do: nobody can ask it before it loads."""

    def __init__(self, k: float, refuses: bool = False) -> None:
        self.w = np.full(3, k)
        self.refuses = refuses

    def state_dict(self) -> dict[str, Any]:
        return {"w": self.w}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.w = state["w"]
        if self.refuses and self.w[0] == 1:
            raise ValueError("no")


def tree(k: float) -> dict[Any, Any]:
    rows = RowSparseArray(np.full((int(k) + 1, 2), k, np.float32), np.arange(int(k) + 1), (9, 2))
    plain: dict[Any, Any] = {"lr": 0.1 * k, "steps": [int(k), {"name": f"n{k}"}], "fixed": (True, "a")}
    return {
        "w": np.full((3, 4), k, np.float32),
        "own": Own(k),
        "other": Other(k),
        "rows": rows,
        **plain,
        7: np.array(k),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    so.save(tmp_path / "saved", tree(1))
    return tmp_path / "saved"


def test_everything_is_taken_over_in_place(saved: Path) -> None:
    target = tree(2)
    w, own, rows, steps = target["w"], target["own"], target["rows"], target["steps"]
    assert not so.load(saved, into=target)
    assert target["w"] is w and target["own"] is own and target["rows"] is rows and target["steps"] is steps
    so.save(saved.parent / "again", target)
    same(so.load(saved), so.load(saved.parent / "again"))
    own.arrays["mean"][:] = target["other"].w[:] = rows.data[:] = 3.0  # it is not the file's memory


@pytest.mark.parametrize("strict", [True, False])
def test_every_difference_is_listed_and_nothing_is_changed(strict: bool, saved: Path) -> None:
    target = tree(2)
    target["w"] = np.zeros((3, 5), np.float32)
    target["own"].arrays["mean"] = np.zeros(3, np.float32)
    target["rows"] = RowSparseArray(np.zeros((1, 3), np.float32), np.array([0]), (9, 3))
    target["lr"] = "high"
    target["fixed"] = (False, "a")
    target["steps"] = {"a": 1}
    with pytest.raises(StateError, match="nothing was changed") as caught:
        so.load(saved, into=target, strict=strict)
    for line in (
        "w: shape is (3, 5) here, the state has (3, 4)",
        "own/arrays/mean: dtype is 'float32' here, the state has 'float64'",
        "rows: shape is (9, 3) here, the state has (9, 2)",
        "lr: expected a str, the state has a float",
        "fixed/0: is False where it can't be replaced, the state has True",
        "steps: expected a dict for a dict, the state has a list",
    ):
        assert line in str(caught.value)
    assert target["own"].count == 2 and target["own"].arrays["var"][0, 0] == 2 and target["other"].w[0] == 2
    assert target[7] == 2 and str(saved) in str(caught.value)


def test_what_both_have_is_loaded_when_not_strict(saved: Path) -> None:
    target: dict[str, Any] = {"w": np.zeros((3, 4), np.float32), "own": Own(2), "more": np.zeros(3)}
    with pytest.raises(StateError, match=r"more: missing in the state(.|\n)*rows: only in the state"):
        so.load(saved, into=target)
    assert target["own"].count == 2
    found = so.load(saved, into=target, strict=False)
    assert found.missing == ["more"] and "rows" in found.unexpected
    assert target["own"].count == 1 and target["w"][0, 0] == 1


def test_a_target_that_cannot_be_written_to(saved: Path) -> None:
    target = tree(2)
    target[7] = np.broadcast_to(2.0, ())
    with pytest.raises(StateError, match="7: it can't be written to"):
        so.load(saved, into=target)
    assert target["w"][0, 0] == 2


def test_another_that_refuses_leaves_all_as_it_was(saved: Path) -> None:
    target = tree(2)
    target["other"].refuses = True
    with pytest.raises(ValueError, match="no"):
        so.load(saved, into=target)
    assert target["w"][0, 0] == 2 and target["own"].count == 2 and target["other"].w[0] == 2


def test_ctx_and_mutable_are_of_arrays_that_load_makes(saved: Path) -> None:
    with pytest.raises(AttributeValueError):
        so.load(saved, into=tree(2), mutable=True)
    with pytest.raises(AttributeValueError, match="'full' or 'sizes'"):
        so.load(saved, verify="no")


def test_arrays_move_between_processor_and_gpu(gpu: Place, tmp_path: Path) -> None:
    names = ("float64", "float16", "complex64", "bfloat16", "int8", "empty", "number", "turned")
    tree = {name: array for name, array in arrays().items() if name in names}
    rows = arrays()["rows"]
    there: dict[str, Any] = {
        name: from_host(gpu, np.ascontiguousarray(a).reshape(a.shape)) for name, a in tree.items()
    }
    there["rows"] = rows.copy_to(gpu)
    there["alias"] = there["float64"]
    so.save(tmp_path / "there", there)
    here = so.load(tmp_path / "there")
    assert here["alias"] is here["float64"]
    same({**tree, "rows": rows}, {name: here[name] for name in (*tree, "rows")})
    back = so.load(tmp_path / "there", ctx=so.gpu(0))
    assert type(back["float64"]) is gpu.xp.ndarray and back["rows"].place is gpu
    same(tree["float64"], gpu.to_host(back["float64"]))
    with gpu.current():
        there["float64"][...] = 0
        there["rows"].data[...] = 0
    assert not so.load(tmp_path / "there", into=there)
    same(tree["float64"], gpu.to_host(there["float64"]))
    same(rows.data, gpu.to_host(there["rows"].data))


def test_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(4, 3).to(torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    model(torch.ones(2, 4, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    so.save(tmp_path / "saved", {"model": model, "optimizer": optimizer, "x": torch.arange(5)})
    other = torch.nn.Linear(4, 3).to(torch.bfloat16)
    fresh = torch.optim.Adam(other.parameters(), lr=0.1)
    x = torch.zeros(5, dtype=torch.int64)
    so.load(tmp_path / "saved", into={"model": other, "optimizer": fresh, "x": x})
    assert torch.equal(other.weight, model.weight) and torch.equal(x, torch.arange(5))
    assert fresh.param_groups[0]["lr"] == 0.5
    state, expected = (o.state_dict()["state"][0] for o in (fresh, optimizer))
    assert torch.equal(state["exp_avg"], expected["exp_avg"]) and state["step"] == expected["step"]
    with pytest.raises(ArrayError, match=r"x\.detach\(\)"):
        so.save(tmp_path / "again", {"w": model.weight})


def test_importing_loads_no_engine() -> None:
    assert so.save is so.checkpoint.save and so.load is so.checkpoint.load
    assert "symopt.checkpoint" in sys.modules


@pytest.mark.parametrize("rule", ["adam", "sgd_mom"])
def test_training_goes_on_as_if_it_had_not_stopped(rule: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grads = [{"w": rng.random((4, 3), np.float32), "b": rng.random(3, np.float32)} for _ in range(4)]

    def begin() -> tuple[Any, Any]:
        params = {"w": np.ones((4, 3), np.float32), "b": np.zeros(3, np.float32)}
        return params, so.compile(rule, params, lr=0.1)

    params, step = begin()
    for grad in grads[:2]:
        step(grad)
    so.save(tmp_path / "saved", {"params": params, "step": step})
    for grad in grads[2:]:
        step(grad)
    others, other = begin()
    so.load(tmp_path / "saved", into={"params": others, "step": other})
    for grad in grads[2:]:
        other(grad)
    same(params, others)
