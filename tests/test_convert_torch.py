"""A run begun in torch goes on in a step of so.compile, and the other way round."""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from torch_cases import CASES, TorchCase

import symopt as so
from symopt.errors import StateError

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)

AFTER = 100


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Run:
    """The same parameters in a torch optimizer and as NumPy arrays for so.compile."""

    def __init__(self, case: TorchCase) -> None:
        self.case = case
        self.rng = np.random.default_rng(zlib.crc32(str(case).encode()))
        start = {"fc.weight": self.rng.standard_normal((6, 4)), "fc.bias": self.rng.standard_normal(6)}
        self.parameters = {n: torch.nn.Parameter(torch.from_numpy(x.copy())) for n, x in start.items()}
        self.arrays = {n: x.copy() for n, x in start.items()}
        self.torch = self.optimizer()

    def optimizer(self) -> Any:
        return getattr(torch.optim, self.case.cls)(
            self.parameters.values(), **self.case.both, **self.case.fixed
        )

    def compiled(self) -> Any:
        """The step with the attributes that torch's groups have."""
        found = so.convert.from_torch(self.torch.state_dict(), self.arrays)["parameters"]
        weight, bias = (found[name] for name in ("fc.weight", "fc.bias"))
        groups = {"*.bias": {"rule": bias["rule"], **bias["hyper"]}}
        return so.compile(weight["rule"], self.arrays, groups=groups, **weight["hyper"])

    def grads(self) -> dict[str, np.ndarray]:
        return {n: self.rng.standard_normal(x.shape) for n, x in self.arrays.items()}

    def step(self, step: Any, n: int) -> None:
        """Both by the same gradients; torch alone if there is no step of ours yet, and the other way round."""
        for _ in range(n):
            grads = self.grads()
            if self.torch is not None:
                for name, p in self.parameters.items():
                    p.grad = torch.from_numpy(grads[name].copy())
                self.torch.step()
            if step is not None:
                step(grads)

    def check(self, tolerance: float = 1e-10) -> None:
        for name, x in self.arrays.items():
            np.testing.assert_allclose(
                x, self.parameters[name].detach().numpy(), rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_then_here(case: TorchCase) -> None:
    run = Run(case)
    run.step(None, 5)
    for name, p in run.parameters.items():
        run.arrays[name][...] = p.detach().numpy()
    step = run.compiled()
    step.load_state_dict(so.convert.from_torch(run.torch.state_dict(), run.arrays))
    run.step(step, AFTER)
    run.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_here_then_torch(case: TorchCase) -> None:
    run = Run(case)
    step, run.torch = run.compiled(), None
    run.step(step, 5)
    run.torch = run.optimizer()
    for name, p in run.parameters.items():
        p.data.copy_(torch.from_numpy(run.arrays[name]))
    run.torch.load_state_dict(so.convert.to_torch(step.state_dict()))
    run.step(step, AFTER)
    run.check()


def test_states_of_numpy_arrays_and_no_tensors() -> None:
    run = Run(CASES[3])
    run.step(None, 2)
    plain = run.torch.state_dict()
    plain["state"] = {k: {n: x.numpy() for n, x in kept.items()} for k, kept in plain["state"].items()}
    found = so.convert.from_torch(plain, list(run.arrays))
    assert found["updates"] == 2 and found["parameters"]["fc.weight"]["shape"] == [6, 4]
    back = so.convert.to_torch(found, tensors=False)
    np.testing.assert_array_equal(back["state"][0]["exp_avg"], plain["state"][0]["exp_avg"])


def test_groups_of_torch() -> None:
    run = Run(CASES[0])
    weight, bias = run.parameters.values()
    run.torch = torch.optim.SGD(
        [{"params": [weight]}, {"params": [bias], "lr": 0.5, "momentum": 0.9}], lr=0.1
    )
    run.step(None, 3)
    found = so.convert.from_torch(run.torch.state_dict(), run.arrays)
    assert [p["rule"] for p in found["parameters"].values()] == ["torch_sgd_update", "torch_sgd_mom_update"]
    back = so.convert.to_torch(found, groups=[["fc.weight"], ["fc.bias"]])
    assert [g["lr"] for g in back["param_groups"]] == [0.1, 0.5]
    assert torch.equal(back["state"][1]["momentum_buffer"], run.torch.state[bias]["momentum_buffer"])
    with pytest.raises(StateError, match="give groups="):
        so.convert.to_torch(found)


def test_adam_before_it_said_whether_decay_is_decoupled() -> None:
    run = Run(CASES[6])
    run.step(None, 2)
    old = run.torch.state_dict()
    del old["param_groups"][0]["decoupled_weight_decay"]
    with pytest.raises(StateError, match="give rule="):
        so.convert.from_torch(old, run.arrays)
    found = so.convert.from_torch(old, run.arrays, rule="torch_adamw")
    assert found["parameters"]["fc.bias"]["rule"] == "torch_adamw_update"


def test_what_cannot_be_taken_over_is_said() -> None:
    run = Run(CASES[3])
    run.step(None, 2)
    state = run.torch.state_dict()
    with pytest.raises(StateError, match="rule is 'torch_adamw' here, the state has 'torch_adam'"):
        so.convert.from_torch(state, run.arrays, rule="torch_adamw")
    with pytest.raises(StateError, match="2 parameters, and 1 are named"):
        so.convert.from_torch(state, ["fc.weight"])
    state["param_groups"][0]["novel"] = 3
    del state["state"][1]["exp_avg"]
    with pytest.raises(
        StateError, match=r"(?s)state/fc.bias/exp_avg: missing.*param_groups/0/novel: only in the state"
    ):
        so.convert.from_torch(state, run.arrays)
    with pytest.raises(StateError, match="that has a rule here"):
        so.convert.from_torch(torch.optim.LBFGS(run.parameters.values()).state_dict(), run.arrays)
    first = next(iter(run.parameters.values()))
    run.torch.state[first]["step"] += 1
    with pytest.raises(StateError, match="was stepped 2 times"):
        so.convert.from_torch(run.torch.state_dict(), run.arrays)
    step = so.compile("adam", run.arrays, lr=0.1)
    step(run.grads())
    with pytest.raises(StateError, match="no class for the rule 'adam'"):
        so.convert.to_torch(step.state_dict())


def test_a_schedule_is_no_number_of_torch() -> None:
    run = Run(CASES[3])
    step = so.compile("torch_adam", run.arrays, lr=lambda done: 0.1)
    step(run.grads())
    with pytest.raises(StateError, match="lr is a schedule here"):
        so.convert.to_torch(step.state_dict())
    assert so.convert.to_torch(step.state_dict(), lr=0.1)["param_groups"][0]["lr"] == 0.1


def test_muon_and_sparse_adam() -> None:
    """Muon's iteration is torch's in bfloat16 only; what it keeps is the same."""
    weight = torch.nn.Parameter(torch.randn(4, 6))
    for cls, rule in (("Muon", "torch_muon"), ("SparseAdam", "torch_sparse_adam")):
        made = getattr(torch.optim, cls)([weight], lr=0.01)
        for _ in range(2):
            weight.grad = torch.randn(4, 6).to_sparse(1) if cls == "SparseAdam" else torch.randn(4, 6)
            made.step()
        found = so.convert.from_torch(made.state_dict(), ["w"])
        assert found["parameters"]["w"]["rule"] == f"{rule}_update"
        step = so.compile(rule, {"w": weight.detach()})
        step.load_state_dict(found)
        again = getattr(torch.optim, cls)([weight], lr=0.01)
        again.load_state_dict(so.convert.to_torch(step.state_dict(), lr=0.01))
        for name, value in made.state[weight].items():
            assert (
                float((torch.as_tensor(value) - torch.as_tensor(again.state[weight][name])).abs().max()) == 0
            )
        groups = [dict(o.param_groups[0], params=[], adjust_lr_fn=None) for o in (made, again)]
        assert {**groups[0], **groups[1]} == {**groups[1], **groups[0]}
