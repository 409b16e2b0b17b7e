"""Federated server rules against the published algorithm, and the server of the example."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so

ROOT = Path(__file__).parents[1]
RULES = ("fedadam", "fedyogi", "fedadagrad")
Arrays = list[np.ndarray]


def algorithm_2(
    name: str, x: Arrays, rounds: list[Arrays], eta: float, beta1: float, beta2: float, tau: float
) -> Arrays:
    """[Reddi et al. 2021, arXiv:2003.00295, Algorithm 2] in its own words, in float64. `rounds`: Delta_t of each."""
    x = [np.array(w, np.float64) for w in x]
    m = [np.zeros_like(w) for w in x]
    v = [np.full_like(w, tau**2) for w in x]
    for deltas in rounds:
        for k, delta in enumerate(deltas):
            m[k] = beta1 * m[k] + (1 - beta1) * delta
            if name == "fedadagrad":
                v[k] = v[k] + delta**2
            elif name == "fedyogi":
                v[k] = v[k] - (1 - beta2) * delta**2 * np.sign(v[k] - delta**2)
            else:
                v[k] = beta2 * v[k] + (1 - beta2) * delta**2
            x[k] = x[k] + eta * m[k] / (np.sqrt(v[k]) + tau)
    return x


def drawn(seed: int, n_rounds: int) -> tuple[Arrays, list[Arrays]]:
    rng = np.random.default_rng(seed)
    shapes = [(4, 3), (3,), (2, 3, 2)]
    weights = [rng.standard_normal(s) for s in shapes]
    return weights, [[0.1 * rng.standard_normal(s) for s in shapes] for _ in range(n_rounds)]


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("tau", [1e-3, 0.1])
@pytest.mark.parametrize("name", RULES)
def test_published_algorithm(name: str, tau: float, beta1: float, engine: str) -> None:
    weights, deltas = drawn(3, 12)
    expected = algorithm_2(name, weights, deltas, 0.05, beta1, 0.99, tau)
    attrs: dict[str, Any] = {"beta1": beta1, "tau": tau} | ({} if name == "fedadagrad" else {"beta2": 0.99})
    step = so.compile(name, weights, lr=0.05, initial={"var": tau**2}, engine=engine, **attrs)
    for delta in deltas:
        step([-d for d in delta])
    for w, x in zip(weights, expected):
        np.testing.assert_allclose(w, x, rtol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_var_starts_at_the_square_of_tau(name: str) -> None:
    step = so.compile(name, [np.zeros(3)], lr=0.1)
    np.testing.assert_array_equal(step.states["0"]["var"], np.full(3, 1e-3**2))


def server_of_the_example() -> Callable[..., Any]:
    pytest.importorskip("sklearn")
    return runpy.run_path(str(ROOT / "examples" / "federated_server.py"))["FedOpt"]  # type: ignore[no-any-return]


def results(weights: Arrays, seed: int) -> list[tuple[Arrays, int]]:
    """What three clients of different sizes send."""
    rng = np.random.default_rng(seed)
    return [([w + 0.1 * rng.standard_normal(w.shape) for w in weights], n) for n in (10, 1, 500)]


@pytest.mark.parametrize("name", RULES)
def test_the_server_moves_towards_its_clients(name: str) -> None:
    weights, _ = drawn(5, 0)
    server = server_of_the_example()(weights, name, lr=0.05)
    deltas, given = [], [w.copy() for w in weights]
    for number in range(5):
        sent = results(server.weights, number)
        mean = [sum(n * client[k] for client, n in sent) / 511 for k in range(len(weights))]
        deltas.append([m - w for m, w in zip(mean, server.weights)])
        server.aggregate(sent)
    expected = algorithm_2(name, given, deltas, 0.05, 0.0 if name == "fedadagrad" else 0.9, 0.99, 1e-3)
    for w, x in zip(server.weights, expected):
        np.testing.assert_allclose(w, x, rtol=1e-10)
    assert all(np.array_equal(a, b) for a, b in zip(weights, given))  # the caller's arrays are the caller's


def test_plain_descent_by_the_pseudo_gradient_is_fedavg() -> None:
    weights, _ = drawn(6, 0)
    server = server_of_the_example()(weights, "torch_sgd", lr=1.0)
    sent = results(weights, 1)
    server.aggregate(sent)
    for k, w in enumerate(server.weights):
        np.testing.assert_allclose(w, sum(n * client[k] for client, n in sent) / 511, rtol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_saved_and_resumed_bit_for_bit(name: str, tmp_path: Path) -> None:
    weights, _ = drawn(7, 0)
    make = server_of_the_example()
    through, first = make(weights, name, lr=0.05), make(weights, name, lr=0.05)
    for number in range(3):
        sent = results(through.weights, number)
        through.aggregate(sent)
        first.aggregate(sent)
    first.save(tmp_path / "server")
    resumed = make([np.zeros_like(w) for w in weights], name, lr=0.05)
    resumed.resume(tmp_path / "server")
    for number in range(3, 6):
        sent = results(through.weights, number)
        through.aggregate(sent)
        resumed.aggregate(sent)
    assert all(np.array_equal(a, b) for a, b in zip(through.weights, resumed.weights))
