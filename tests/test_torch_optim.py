"""so.torch.optim is torch's own optimizers where the rule is theirs: steps, groups, schedulers, states both ways."""

import copy
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch_cases import CASES, TorchCase

import symopt as so
from symopt.errors import StateError

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)

SHAPES = [(5, 3), (7,), (4, 6)]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """torch keeps what it counts in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Pair:
    """The same parameters twice, stepped by torch's class and by ours with the same gradients."""

    def __init__(self, case: TorchCase, dtype: Any = None, engine: str = "auto", groups: Any = None) -> None:
        self.case = case
        self.rng = torch.Generator().manual_seed(zlib.crc32(str(case).encode()))
        dtype = dtype or torch.float64
        shapes = SHAPES if case.rule != "torch_adafactor" else SHAPES[:2]
        self.theirs = [torch.nn.Parameter(torch.randn(s, dtype=dtype, generator=self.rng)) for s in shapes]
        self.ours = [torch.nn.Parameter(p.detach().clone()) for p in self.theirs]
        self.torch = self.their_optimizer(groups)
        self.symopt = self.our_optimizer(engine, groups)

    def their_optimizer(self, groups: Any = None) -> Any:
        made = getattr(torch.optim, self.case.cls)
        return made(self.split(self.theirs, groups), **self.case.both, **self.case.fixed)

    def our_optimizer(self, engine: str = "auto", groups: Any = None) -> Any:
        return so.torch.optim(self.split(self.ours, groups), self.case.rule, engine=engine, **self.case.both)

    def split(self, parameters: list[Any], groups: Any) -> list[Any]:
        if groups is None:
            return parameters
        return [{"params": parameters[:1], **groups}, {"params": parameters[1:]}]

    def step(self, n: int = 1, missing: bool = False) -> None:
        for k in range(n):
            for i, (a, b) in enumerate(zip(self.theirs, self.ours)):
                if missing and (k + i) % 3 == 0:
                    a.grad = b.grad = None
                else:
                    a.grad = torch.randn(a.shape, dtype=a.dtype, generator=self.rng)
                    b.grad = a.grad.clone()
            self.torch.step()
            self.symopt.step()

    def check(self, tolerance: float = 1e-12) -> None:
        for a, b in zip(self.theirs, self.ours):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_follows_torch(case: TorchCase, engine: str) -> None:
    pair = Pair(case, engine=engine)
    pair.step(7)
    pair.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32(case: TorchCase) -> None:
    pair = Pair(case, dtype=torch.float32)
    pair.step(5)
    pair.check(1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters_without_gradient_keep_their_count(case: TorchCase) -> None:
    pair = Pair(case)
    pair.step(9, missing=True)
    pair.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_groups_and_schedulers(case: TorchCase) -> None:
    pair = Pair(case, groups={"lr": 0.3})
    made = [torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in (pair.torch, pair.symopt)]
    for _ in range(6):
        pair.step()
        for schedule in made:
            schedule.step()
    if case.rule != "torch_asgd":  # torch steps with the rate of the step before
        pair.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_our_state_goes_on_in_torch(case: TorchCase) -> None:
    pair = Pair(case)
    pair.step(4)
    pair.torch = pair.their_optimizer()
    pair.torch.load_state_dict(so.convert.to_torch(pair.symopt.state_dict()))
    pair.step(4)
    pair.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torchs_state_goes_on_here(case: TorchCase) -> None:
    pair = Pair(case)
    pair.step(4)
    pair.symopt = pair.our_optimizer()
    pair.symopt.load_state_dict(pair.torch.state_dict())
    pair.step(4)
    pair.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_round_trip_keeps_every_bit(case: TorchCase) -> None:
    pair = Pair(case)
    pair.step(4, missing=True)
    file = io.BytesIO()
    torch.save(pair.symopt.state_dict(), file)
    file.seek(0)
    expected, twin = pair.ours, [torch.nn.Parameter(p.detach().clone()) for p in pair.ours]
    other = so.torch.optim(twin, case.rule, **case.both)
    other.load_state_dict(torch.load(file))
    for a, b in zip(expected, twin):
        a.grad = torch.randn(a.shape, generator=pair.rng)
        b.grad = a.grad.clone()
    pair.symopt.step()
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(expected, twin))


def adam(n: int = 2) -> tuple[list[Any], Any]:
    torch.manual_seed(n)
    parameters = [torch.nn.Parameter(torch.randn(3, 4)) for _ in range(n)]
    for p in parameters:
        p.grad = torch.ones_like(p)
    return parameters, so.torch.optim(parameters, "torch_adam", lr=0.1)


def test_two_optimizers_share_nothing_after_loading() -> None:
    (a, first), (b, second) = adam(), adam()
    first.step()
    second.load_state_dict(first.state_dict())
    kept = second.state[b[0]]["exp_avg"].clone()
    first.step()
    assert torch.equal(second.state[b[0]]["exp_avg"], kept)
    assert second.state[b[0]]["step"] == 1 and first.state[a[0]]["step"] == 2


def test_saved_by_symopt_too(tmp_path: Path) -> None:
    """so.save and so.load take whatever has a state_dict."""
    (a, first), (b, second) = adam(), adam()
    first.step()
    so.save(tmp_path / "run", {"parameters": [p.detach() for p in a], "optimizer": first})
    so.load(tmp_path / "run", into={"parameters": [p.detach() for p in b], "optimizer": second})
    for optimizer in (first, second):
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(a, b)) and second.state[b[0]]["step"] == 2


def test_what_does_not_fit_is_listed_and_nothing_changes() -> None:
    parameters, ours = adam()
    ours.step()
    before = copy.deepcopy(ours.state_dict())
    other = torch.optim.Adam([torch.nn.Parameter(torch.ones(3, 5)) for _ in parameters], amsgrad=True)
    for p in other.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    other.step()
    with pytest.raises(StateError, match="amsgrad is False here, the state has True"):
        ours.load_state_dict(other.state_dict())
    other.param_groups[0]["amsgrad"] = False
    with pytest.raises(ValueError, match=r"state/parameter1/exp_avg: shape is \(3, 4\) here"):
        ours.load_state_dict({**other.state_dict()})
    with pytest.raises(StateError, match="param_groups/0/momentum"):
        ours.load_state_dict(torch.optim.SGD(parameters, momentum=0.9).state_dict())
    for key, kept in ours.state_dict()["state"].items():
        assert all(torch.equal(kept[n], before["state"][key][n]) for n in kept)


def test_deepcopy_and_pickle() -> None:
    import pickle

    parameters, ours = adam()
    ours.step()
    both = copy.deepcopy((parameters, ours))
    again = pickle.loads(pickle.dumps((parameters, ours)))
    for twins, other in (both, again):
        for p, q in zip(parameters, twins):
            q.grad = torch.ones_like(p)
        other.step()
    ours.step()
    assert all(torch.equal(p, q) for twins, _ in (both, again) for p, q in zip(parameters, twins))
    assert both[1].state[both[0][0]]["step"] == 2


def test_weights_states_and_gradients_may_be_other_tensors() -> None:
    """All that torch's users do between two steps: swapped data, new gradients, states cleared or replaced."""
    (a, first), (b, second) = adam(), adam()
    theirs = torch.optim.Adam(b, lr=0.1)
    del second

    def both(change: Any) -> None:
        for parameters, optimizer in ((a, first), (b, theirs)):
            change(parameters, optimizer)
            optimizer.step()
        for p, q in zip(a, b):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)

    def state(optimizer: Any, p: Any) -> Any:
        return optimizer.state[p]

    both(lambda p, o: None)
    both(lambda p, o: p[0].__setattr__("data", torch.full((3, 4), 2.0)))
    both(lambda p, o: p[1].__setattr__("grad", torch.full((4, 3), 0.5).t()))
    both(lambda p, o: state(o, p[0]).update(exp_avg=torch.ones(3, 4)))
    both(lambda p, o: o.state.pop(p[1]))
    both(lambda p, o: o.state.clear())
    both(lambda p, o: o.param_groups[0].update(betas=(0.5, 0.9), maximize=True))
    both(one_gradient)
    both(lambda p, o: o.zero_grad())
    both(new_gradients)
    new = torch.randn(3, 4)
    both(lambda p, o: o.add_param_group({"params": [_with_grad(new)], "lr": 1.0}))
    assert torch.equal(first.param_groups[1]["params"][0], theirs.param_groups[1]["params"][0])


def one_gradient(parameters: list[Any], optimizer: Any) -> None:
    optimizer.zero_grad()
    parameters[0].grad = torch.ones(3, 4)


def new_gradients(parameters: list[Any], optimizer: Any) -> None:
    for k, p in enumerate(parameters):
        p.grad = torch.rand(3, 4, generator=torch.Generator().manual_seed(k))


def _with_grad(values: Any) -> Any:
    made = torch.nn.Parameter(values.clone())
    made.grad = torch.ones_like(made)
    return made
