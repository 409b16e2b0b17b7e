"""What torch's parameters can be: sparse gradients, 16 bits, complex, scalars; rules of any kind; what is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import (
    ArrayError,
    AttributeValueError,
    MissingArgumentError,
    StateError,
    StorageError,
    UnknownAttributeError,
    UnknownOpError,
)
from symopt.lang import State, Tensor, Updated, sign, updated
from symopt.opdef import OPS

torch = pytest.importorskip(
    "torch", reason="torch is not installed here: `make torch` installs and runs this"
)


def parameter(*shape: int, dtype: Any = None, seed: int = 0) -> Any:
    values = torch.randn(*shape, dtype=dtype or torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.Parameter(values)


def with_grad(p: Any, seed: int = 1) -> Any:
    p.grad = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(seed))
    return p


def twins(*shape: int, **kwargs: Any) -> tuple[Any, Any]:
    return parameter(*shape, **kwargs), parameter(*shape, **kwargs)


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)


# ---- kinds of tensors


@pytest.mark.parametrize("coalesced", [False, True])
@pytest.mark.parametrize(("rule", "cls"), [("torch_sparse_adam", "SparseAdam"), ("torch_adagrad", "Adagrad")])
def test_sparse_gradients_move_the_rows_they_list(rule: str, cls: str, coalesced: bool) -> None:
    (a, dense_a), (b, dense_b) = twins(11, 3), twins(4, seed=5)
    ours = so.torch.optim([a, dense_b], rule, lr=0.1)
    theirs = getattr(torch.optim, cls)([dense_a] if cls == "SparseAdam" else [dense_a, b], lr=0.1)
    rng = np.random.default_rng(0)
    for count in (5, 0, 20, 5):
        rows = torch.from_numpy(rng.integers(0, 11, count))
        grad = torch.sparse_coo_tensor(
            rows[None], torch.from_numpy(rng.standard_normal((count, 3))), (11, 3), check_invariants=True
        )
        a.grad = grad.coalesce() if coalesced else grad
        dense_a.grad = grad.clone()
        with_grad(dense_b), with_grad(b)
        ours.step()
        theirs.step()
        close(a, dense_a)
    if cls == "Adagrad":
        close(dense_b, b)


def test_an_embedding_trains_with_sparse_gradients() -> None:
    net = torch.nn.Embedding(50, 4, sparse=True)
    before = net.weight.detach().clone()
    optimizer = so.torch.optim(net.parameters(), "group_adagrad", lr=0.5)
    net(torch.tensor([3, 7, 3])).sum().backward()
    optimizer.step()
    moved = (net.weight.detach() != before).any(dim=1).nonzero().ravel().tolist()
    assert moved == [3, 7]


def test_gradients_may_turn_sparse_and_dense_again() -> None:
    p, q = twins(5, 2)
    ours, theirs = so.torch.optim([p], "torch_sgd", lr=0.1), torch.optim.SGD([q], lr=0.1)
    for kind in ("dense", "sparse", "sparse", "dense"):
        for x in (p, q):
            with_grad(x)
            if kind == "sparse":
                x.grad = x.grad.to_sparse(1)
        ours.step()
        theirs.step()
        close(p, q)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_parameters_have_a_float32_copy_if_asked(dtype: str) -> None:
    kind = getattr(torch, dtype)
    p, exact = parameter(64, dtype=kind), parameter(64, dtype=kind)
    exact = torch.nn.Parameter(exact.detach().float())
    ours = so.torch.optim([p], "torch_adam", lr=1e-4, multi_precision=True)
    theirs = torch.optim.Adam([exact], lr=1e-4)
    for seed in range(20):
        with_grad(p, seed)
        exact.grad = p.grad.float()
        ours.step()
        theirs.step()
    assert (
        ours.state[p]["weight32"].dtype == torch.float32 and ours.state[p]["exp_avg"].dtype == torch.float32
    )
    close(ours.state[p]["weight32"], exact, 1e-6)
    assert torch.equal(p, ours.state[p]["weight32"].to(kind))
    again = so.torch.optim([p], "torch_adam", lr=1e-4, multi_precision=True)
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again.state[p]["weight32"], ours.state[p]["weight32"])  # not rounded to 16 bits


def test_16_bit_parameters_by_themselves() -> None:
    p = with_grad(parameter(64, dtype=torch.bfloat16))
    before = p.detach().float().numpy()
    so.torch.optim([p], "torch_sgd", lr=0.5).step()
    expected = before - 0.5 * p.grad.float().numpy()
    np.testing.assert_allclose(p.detach().float().numpy(), expected, rtol=2**-8)


@pytest.mark.parametrize("rule", ["torch_adam", "torch_adagrad", "torch_rmsprop"])
def test_complex_parameters_are_pairs_as_in_torch(rule: str) -> None:
    p, q = twins(4, 3, dtype=torch.complex128)
    ours = so.torch.optim([p], rule, lr=0.1)
    theirs = {
        "torch_adam": torch.optim.Adam,
        "torch_adagrad": torch.optim.Adagrad,
        "torch_rmsprop": torch.optim.RMSprop,
    }
    other = theirs[rule]([q], lr=0.1)
    for seed in range(4):
        with_grad(p, seed), with_grad(q, seed)
        if seed == 2:
            p.grad = p.grad.conj().resolve_conj().conj()
            q.grad = q.grad.clone()
        ours.step()
        other.step()
        close(p, q)
    again = so.torch.optim([q], rule, lr=0.1)
    again.load_state_dict(other.state_dict())
    with_grad(p, 9), with_grad(q, 9)
    ours.step()
    again.step()
    close(p, q)


def test_scalars_and_empty_tensors() -> None:
    p, q, empty = (
        torch.nn.Parameter(torch.tensor(2.0)),
        torch.nn.Parameter(torch.tensor(2.0)),
        torch.nn.Parameter(torch.ones(0, 3)),
    )
    for x in (p, q, empty):
        x.grad = torch.ones_like(x)
    so.torch.optim([p, empty], "torch_adam", lr=0.1).step()
    torch.optim.Adam([q], lr=0.1).step()
    close(p, q, 1e-6)


# ---- rules of one's own, groups, and what is refused


@pytest.fixture
def signum() -> Iterator[str]:
    def own_signum_update(
        weight: Tensor, grad: Tensor, mom: State, *, lr: float, decay: float = 0.9
    ) -> Updated:
        """The sign of a running mean."""
        mom = decay * mom + (1 - decay) * grad
        return updated(weight - lr * sign(mom), mom=mom)

    so.update_op(own_signum_update)
    yield "own_signum"
    del OPS["own_signum_update"]


def test_a_rule_of_ones_own(signum: str) -> None:
    p = with_grad(parameter(5))
    expected = p.detach() - 0.1 * torch.sign(p.grad)
    optimizer = so.torch.optim([p], signum, lr=0.1)
    optimizer.step()
    close(p, expected)
    assert optimizer.param_groups[0]["decay"] == 0.9 and set(optimizer.state[p]) == {"step", "mom"}


def test_groups_with_rules_of_their_own() -> None:
    a, b = with_grad(parameter(4, 3)), with_grad(parameter(4))
    c, d = with_grad(parameter(4, 3)), with_grad(parameter(4))
    groups = [{"params": [a]}, {"params": [b], "rule": "torch_sgd_mom", "momentum": 0.9, "lr": 0.3}]
    ours = so.torch.optim(groups, "torch_adamw", lr=0.1, weight_decay=0.5)
    assert ours.param_groups[1]["weight_decay"] == 0.5  # a word of both rules
    assert "betas" not in ours.param_groups[1]
    theirs = [
        torch.optim.AdamW([c], lr=0.1, weight_decay=0.5),
        torch.optim.SGD([d], lr=0.3, momentum=0.9, weight_decay=0.5),
    ]
    for _ in range(3):
        ours.step()
        for optimizer in theirs:
            optimizer.step()
    close(a, c)
    close(b, d)


def test_a_group_may_change_its_rule() -> None:
    p, q = (with_grad(x) for x in twins(3))
    optimizer = so.torch.optim([p], "torch_adam", lr=0.1)
    optimizer.step()
    optimizer.param_groups[0].update(rule="torch_sgd_mom", momentum=0.9, dampening=0.0, nesterov=False)
    before = p.detach().clone()
    with pytest.raises(StateError, match="no 'momentum_buffer', which torch_sgd_mom needs"):
        optimizer.step()
    assert torch.equal(before, p.detach())
    optimizer.state.clear()
    optimizer.step()
    close(p, before - 0.1 * q.grad)


def test_rates_may_be_tensors() -> None:
    p, q = (with_grad(x) for x in twins(3))
    rates = torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    ours, theirs = so.torch.optim([p], "torch_adam", lr=0.1), torch.optim.Adam([q], lr=rates[1])
    ours.param_groups[0]["lr"] = rates[0]
    for _ in range(3):
        ours.step()
        theirs.step()
        for rate in rates:
            rate.mul_(0.5)
    close(p, q, 1e-9)


def test_rules_with_numbers_among_their_inputs() -> None:
    p = with_grad(parameter(3))
    optimizer = so.torch.optim([p], "adamw", lr=0.1, eta=1.0, rescale_grad=0.5)
    before = p.detach().clone()
    optimizer.step()
    assert not torch.equal(before, p.detach())
    assert optimizer.param_groups[0]["rescale_grad"] == 0.5


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: so.torch.optim([parameter(2)], "torch_adma"), UnknownOpError, "did you mean torch_adam"),
    (lambda: so.torch.optim([parameter(2)], "torch_adam", beta3=1), UnknownAttributeError, "did you mean"),
    (lambda: so.torch.optim([parameter(2)], "torch_sgd", momentum=0.9), AttributeValueError, "give another rule"),
    (lambda: so.torch.optim([parameter(2)], "torch_adam", lr="fast"), AttributeValueError, "lr = 'fast'"),
    (lambda: so.torch.optim([parameter(2)], "torch_sgd_mom"), MissingArgumentError, "needs momentum"),
    (lambda: so.torch.optim([parameter(2, 3).t()], "torch_sgd"), Exception, "non-leaf|strides"),
    (lambda: so.torch.optim([torch.nn.Parameter(torch.ones(2, 3).t())], "torch_sgd"), ArrayError, "contiguous"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED)
def test_refused(make: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize("rate", ["fast", torch.ones(2)], ids=str)
def test_a_rate_that_is_no_number_is_named(rate: Any) -> None:
    p = with_grad(parameter(4, 2))
    before = p.detach().clone()
    optimizer = so.torch.optim([p], "torch_adam", lr=0.1)
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(AttributeValueError, match=r"lr = .* in a group of torch_adam must be a number"):
        optimizer.step()
    assert torch.equal(p, before)
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    assert not torch.equal(p, before)


def test_a_refused_step_changes_nothing() -> None:
    p = parameter(4, 2)
    optimizer = so.torch.optim([p], "torch_adagrad", lr=0.1)
    with_grad(p)
    optimizer.step()
    before, kept = p.detach().clone(), optimizer.state[p]["sum"].clone()
    p.grad = torch.sparse_coo_tensor(
        torch.tensor([[1], [1]]), torch.ones(1).double(), (4, 2), check_invariants=True
    )
    with pytest.raises(StorageError, match="sparse"):
        optimizer.step()
    assert torch.equal(p, before) and torch.equal(optimizer.state[p]["sum"], kept)
    assert optimizer.state[p]["step"] == 1
