"""so.save and so.load with optimizers of so.torch and of torch: the same bits as without a stop, all or nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_cases import CASES, TorchCase

import symopt as so
from symopt.errors import StateError

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)


class Run:
    """Parameters of torch, and an optimizer on them."""

    def __init__(self, case: TorchCase, is_torchs: bool = False) -> None:
        rng = torch.Generator().manual_seed(0)
        dtype = (
            torch.float32 if is_torchs else torch.float64
        )  # torch loads its counts in the parameters' dtype
        shapes = ((5, 3), (4, 6))
        self.parameters = [torch.nn.Parameter(torch.randn(s, dtype=dtype, generator=rng)) for s in shapes]
        if is_torchs:
            self.optimizer = getattr(torch.optim, case.cls)(self.parameters, **case.both, **case.fixed)
        else:
            self.optimizer = so.torch.optim(self.parameters, case.rule, **case.both)

    @property
    def tree(self) -> dict[str, Any]:
        return {"params": [p.detach() for p in self.parameters], "optimizer": self.optimizer}

    def step(self, *seeds: int) -> Run:
        for seed in seeds:
            rng = torch.Generator().manual_seed(seed + 100)
            for p in self.parameters:
                p.grad = torch.randn(p.shape, dtype=p.dtype, generator=rng)
            self.optimizer.step()
        return self

    def bits(self) -> Any:
        return bits({"params": self.tree["params"], **self.optimizer.state_dict()})


def bits(x: Any) -> Any:
    if isinstance(x, dict):
        return {name: bits(part) for name, part in x.items()}
    if isinstance(x, (list, tuple)):
        return list(map(bits, x))
    return (str(x.dtype), x.numpy().tobytes()) if isinstance(x, torch.Tensor) else x


@pytest.mark.parametrize("is_torchs", [False, True], ids=["symopt", "torch"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_run_goes_on_bit_for_bit(case: TorchCase, is_torchs: bool, tmp_path: Path) -> None:
    whole, first = Run(case, is_torchs).step(0, 1, 2, 3), Run(case, is_torchs).step(0, 1)
    so.save(tmp_path / "saved", first.tree)
    for again in (Run(case, is_torchs), Run(case, is_torchs).step(8)):
        assert not so.load(tmp_path / "saved", into=again.tree)
        assert bits(again.tree["params"]) == bits(first.tree["params"])
        assert again.step(2, 3).bits() == whole.bits()


JUNK: tuple[Any, ...] = (None, "x", -1, [], {}, {"a": 1}, torch.zeros(2), True)


@pytest.mark.parametrize("case", CASES[:8], ids=str)
def test_whatever_is_wrong_in_a_state_changes_nothing(case: TorchCase) -> None:
    """An error that says what, and nothing changed; or a state that works."""
    state, run = Run(case).step(0, 1).optimizer.state_dict(), Run(case).step(5)
    known, before = copy.deepcopy(run.optimizer.state_dict()), run.bits()
    ways = [("state",), ("param_groups",), ("state", 0), ("param_groups", 0), ("param_groups", 0, "params")]
    ways += [("state", 1, name) for name in state["state"][1]]
    for path in ways:
        for junk in JUNK:
            spoiled = copy.deepcopy(state)
            part: Any = spoiled
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = junk
            try:
                run.optimizer.load_state_dict(spoiled)
            except StateError:
                assert run.bits() == before, (path, junk)
            else:
                run.optimizer.load_state_dict(known)
    run.step(9)


@pytest.mark.parametrize("wrong", ["torch", "symopt", "compiled"])
def test_many_objects_in_one_tree_are_loaded_all_or_none(wrong: str, tmp_path: Path) -> None:
    def begin(seed: int) -> tuple[dict[str, Any], Any]:
        theirs, ours = Run(CASES[3], True).step(seed), Run(CASES[6]).step(seed)
        weights = {"w": np.full((3, 2), float(seed))}
        step = so.compile("adam", weights, lr=0.1)
        step({"w": np.ones((3, 2))})
        tree = {
            "ours": ours.tree,
            "theirs": theirs.tree,
            "compiled": {"params": weights, "optimizer": step},
        }
        return tree, lambda: (ours.bits(), theirs.bits(), weights["w"].tobytes(), bits_of(step))

    def bits_of(step: Any) -> bytes:
        return bytes(step.states["w"]["mean"].tobytes())

    tree, _ = begin(1)
    so.save(tmp_path / "good", tree)
    name = {"torch": "theirs", "symopt": "ours"}.get(wrong, wrong)
    others = {
        "torch": torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], 0.1),
        "symopt": Run(CASES[0]).step(1).optimizer,
        "compiled": so.compile("sgd", {"w": np.zeros((3, 2))}, lr=0.1),
    }
    tree[name]["optimizer"] = others[wrong]
    so.save(tmp_path / "bad", tree)
    target, found = begin(4)
    before = found()
    with pytest.raises(ValueError, match=r"parameter group|nothing was changed"):
        so.load(tmp_path / "bad", into=target)
    assert found() == before
    assert not so.load(tmp_path / "good", into=target)
    assert found() == begin(1)[1]()
