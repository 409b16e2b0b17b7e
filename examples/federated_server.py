"""A federated server without a framework: FedAvg, FedAdam, FedYogi and FedAdagrad on lists of NumPy arrays.

Twenty clients hold scikit-learn's digits, each mostly a few of the ten. In a round five of them train the server's
network on what they have, and the server takes one step along the mean of what they changed. Halfway through, the
server is saved, thrown away and resumed; that changes no bit.

    python examples/federated_server.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import symopt as so

CLIENTS, CHOSEN, ROUNDS, HIDDEN = 20, 5, 60, 32
Arrays = list[np.ndarray]
# FedAvg takes the clients' mean: plain descent by all of the pseudo-gradient. tau**2 is where the others' var starts.
RULES: dict[str, dict[str, Any]] = {
    "FedAvg": {"rule": "torch_sgd", "lr": 1.0},
    "FedAdam": {"rule": "fedadam", "lr": 0.03},
    "FedYogi": {"rule": "fedyogi", "lr": 0.03},
    "FedAdagrad": {"rule": "fedadagrad", "lr": 0.1},
}


class FedOpt:
    """The server's side of a federated run: weights, and one optimizer step per round.

    `rule` and its attributes are those of `so.compile`. Clients' results are pairs (weights, number of examples), as
    Flower has them; a strategy of Flower's is this class with `aggregate` called in its `aggregate_fit`.
    """

    def __init__(self, weights: Sequence[np.ndarray], rule: str, **attrs: Any) -> None:
        self.weights = [np.array(w) for w in weights]
        self._step = so.compile(rule, self.weights, **attrs)
        self._pseudo = [np.empty_like(w) for w in self.weights]

    def aggregate(self, results: Sequence[tuple[Sequence[np.ndarray], int]]) -> Arrays:
        """Take a round's results in; the new weights. What clients added on average is the negative of a gradient."""
        shares = np.array([n for _, n in results], np.float64)
        shares /= shares.sum()
        for k, weight in enumerate(self.weights):
            mean = sum(share * client[k] for share, (client, _) in zip(shares, results))
            self._pseudo[k][...] = weight - mean
        self._step(self._pseudo)
        return self.weights

    def save(self, path: str | os.PathLike[str]) -> None:
        """Weights and state as a checkpoint at `path`; one that was there is replaced as a whole, or not at all."""
        so.save(path, {"weights": self.weights, "step": self._step}, overwrite=True)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on where `save` was called: with the same rule the next rounds have the same bits."""
        so.load(path, into={"weights": self.weights, "step": self._step})


def gradients(p: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> Arrays:
    """Of the mean cross entropy of a network with one hidden layer."""
    hidden = np.tanh(x @ p[0] + p[1])
    logits = hidden @ p[2] + p[3]
    delta = np.exp(logits - logits.max(axis=1, keepdims=True))
    delta /= delta.sum(axis=1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    back = (delta @ p[2].T) * (1 - hidden * hidden)
    return [x.T @ back, back.sum(axis=0), hidden.T @ delta, delta.sum(axis=0)]


def train_client(
    weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[Arrays, int]:
    """What one client sends back: two epochs of gradient descent on its own digits, and how many it has."""
    own = [w.copy() for w in weights]
    for _ in range(2):
        for batch in np.array_split(rng.permutation(len(y)), max(len(y) // 16, 1)):
            for w, g in zip(own, gradients(own, x[batch], y[batch])):
                w -= np.float32(0.05) * g
    return own, len(y)


def split(y: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each client: every digit is shared out unevenly, so that most clients see a few digits only."""
    rows: list[list[int]] = [[] for _ in range(CLIENTS)]
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(y == digit))
        cuts = np.cumsum(rng.dirichlet(np.full(CLIENTS, 0.15)))[:-1] * len(own)
        for client, part in zip(rows, np.split(own, cuts.astype(int))):
            client.extend(part)
    return [np.array(client) for client in rows if client]


def accuracy(p: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    return float(((np.tanh(x @ p[0] + p[1]) @ p[2] + p[3]).argmax(axis=1) == y).mean())


def run(name: str, data: Any, clients: Sequence[np.ndarray], weights: Arrays, restart: bool = True) -> FedOpt:
    """All rounds of one rule, with the same clients in the same order as the others."""
    x, x_test, y, y_test = data
    rng = np.random.default_rng(1)
    server = FedOpt(weights, **RULES[name])
    for number in range(1, ROUNDS + 1):
        chosen = rng.choice(len(clients), CHOSEN, replace=False)
        server.aggregate([train_client(server.weights, x[clients[c]], y[clients[c]], rng) for c in chosen])
        if restart and number == ROUNDS // 2:
            with tempfile.TemporaryDirectory() as folder:
                server.save(f"{folder}/server")
                server = FedOpt(weights, **RULES[name])
                server.resume(f"{folder}/server")
        if number % 5 == 0:
            done = "#" * (20 * number // ROUNDS)
            end = "\n" if number == ROUNDS else ""
            score = accuracy(server.weights, x_test, y_test)
            print(f"\r{name:10} [{done:20}] round {number:3}  test accuracy {score:.3f}", end=end)
            sys.stdout.flush()
    return server


def main() -> dict[str, float]:
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    data = train_test_split(x, digits.target, stratify=digits.target, random_state=0)
    rng = np.random.default_rng(0)
    clients = split(data[2], rng)
    weights = [(rng.standard_normal((64, HIDDEN)) / 8).astype(np.float32), np.zeros(HIDDEN, np.float32),
               (rng.standard_normal((HIDDEN, 10)) / 6).astype(np.float32), np.zeros(10, np.float32)]  # fmt: skip
    print(f"{len(clients)} clients with {len(data[2])} digits, {CHOSEN} of them in each of {ROUNDS} rounds")
    servers = {name: run(name, data, clients, weights) for name in RULES}
    through = run("FedYogi", data, clients, weights, restart=False)
    same = all(np.array_equal(a, b) for a, b in zip(servers["FedYogi"].weights, through.weights))
    assert same, "a server that was saved and resumed differs from one that ran through"
    print("saved and resumed halfway, or run through: the same bits")
    return {name: accuracy(server.weights, data[1], data[3]) for name, server in servers.items()}


if __name__ == "__main__":
    main()
