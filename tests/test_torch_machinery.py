"""torch's machinery around a step of so.torch.optim: schedulers, clipping, closures, hooks, scalers, autograd."""

from collections.abc import Callable
from typing import Any

import pytest

import symopt as so

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)


def parameter(*shape: int, seed: int = 0) -> Any:
    return torch.nn.Parameter(
        torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )


def with_grad(p: Any, seed: int = 1) -> Any:
    p.grad = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(seed))
    return p


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)


def mlp() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.LayerNorm(32), torch.nn.Linear(32, 1)
    ).double()


def train(
    net: Any, optimizer: Any, schedule: Any = None, steps: int = 30, each: Callable[..., None] | None = None
) -> float:
    rng = torch.Generator().manual_seed(1)
    loss = torch.zeros(())
    for _ in range(steps):
        x = torch.randn(16, 6, generator=rng, dtype=torch.float64)
        optimizer.zero_grad()
        loss = ((net(x)[:, 0] - x.sum(dim=1)) ** 2).mean()
        loss.backward()
        if each:
            each(net)
        optimizer.step()
        if schedule:
            schedule.step()
    return float(loss.detach())


def same(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    for p, q in zip(a.parameters(), b.parameters()):
        close(p, q, tolerance)


@pytest.mark.parametrize(
    "name", ["OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau"]
)
def test_schedulers_of_torch_that_cycle_betas(name: str) -> None:
    nets = mlp(), mlp()
    optimizers = (
        so.torch.optim(nets[0].parameters(), "torch_adam", lr=0.01),
        torch.optim.Adam(nets[1].parameters(), lr=0.01),
    )
    arguments: Any = {
        "OneCycleLR": {"max_lr": 0.05, "total_steps": 40},
        "CyclicLR": {"base_lr": 1e-3, "max_lr": 0.05, "step_size_up": 7},
        "CosineAnnealingWarmRestarts": {"T_0": 5},
        "ReduceLROnPlateau": {},
    }
    for net, optimizer in zip(nets, optimizers):
        schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments[name])
        train(net, optimizer, None if name == "ReduceLROnPlateau" else schedule)
        if name == "ReduceLROnPlateau":
            schedule.step(1.0)
    same(*nets)


def test_clipping_between_backward_and_step() -> None:
    nets = mlp(), mlp()
    clip: Any = lambda net: torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)  # noqa: E731
    train(nets[0], so.torch.optim(nets[0].parameters(), "torch_adamw", lr=0.01), each=clip)
    train(nets[1], torch.optim.AdamW(nets[1].parameters(), lr=0.01), each=clip)
    same(*nets)


def test_closures_hooks_and_the_loss() -> None:
    p = parameter(3)
    optimizer = so.torch.optim([p], "torch_sgd", lr=0.1)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    first = float(optimizer.step(closure).detach())
    assert float(optimizer.step(closure).detach()) < first
    assert seen == ["before", "after"] * 2


def test_grad_scaler_leaves_bad_steps_out() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = so.torch.optim([p], "torch_adam", lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for factor, moved in ((1.0, True), (float("inf"), False), (1.0, True)):
        before = p.detach().clone()
        optimizer.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert (not torch.equal(before, p.detach())) is moved
    assert optimizer.state[p]["step"] == 2


def test_torch_notices_that_weights_were_changed() -> None:
    p = with_grad(parameter(3))
    loss = (p * p).sum()
    so.torch.optim([p], "torch_sgd", lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_same_parameters_with_gradient_in_turns() -> None:
    """Plans that come back find everything as it is now."""
    a, b = [parameter(3, seed=k) for k in range(4)], [parameter(3, seed=k) for k in range(4)]
    ours, theirs = so.torch.optim(a, "torch_nadam", lr=0.1), torch.optim.NAdam(b, lr=0.1)
    for turn in range(24):
        for k, (p, q) in enumerate(zip(a, b)):
            has = (turn >> (k % 3)) & 1 or k == 3
            p.grad = q.grad = None
            if has:
                with_grad(p, turn), with_grad(q, turn)
        ours.step()
        theirs.step()
    for p, q in zip(a, b):
        close(p, q, 1e-6)  # torch keeps mu_product in float32
        assert ours.state[p]["step"] == theirs.state[q]["step"]
