"""Will it be clicked? A factorisation machine over features of all kinds, on one embedding table.

An example is a set of features: user, item, age, occupation, genres, ... Each feature, whatever it is, has the 64 bits
of a hash of its name as id, and one row: a weight that FTRL keeps at zero unless it is worth something, and a vector
that group AdaGrad updates. Two segments of one row, looked up and updated together. The chance of a click is

    s(sum of weights + sum over pairs of v . v')    with s(x) = 1 / (1 + exp(-x))

Nobody publishes click logs that may be passed on, so a "click" is a rating of 4 or 5 in MovieLens-100k, or in
ratings made up in its image; `movielens.py` has the terms, and says where data are looked for.

    python examples/clicks.py --plot auc.png
"""

from __future__ import annotations

import argparse
import hashlib

import movielens
import numpy as np
from curves import Curves, count, picture

from symopt.embedding import RandomNormal, Segment, Table

WIDTH, BATCH, EPOCHS, PATIENCE, VALIDATION = 8, 256, 30, 3, 5000
Array = np.ndarray


def id_of(feature: str) -> int:
    """64 bits of a feature's name, the same on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little", signed=True)


class Examples:
    """What a factorisation machine reads: `ids` (n, most) int64, `mask` (n, most) where there is one, `clicks` (n,)."""

    def __init__(self, data: movielens.Movies) -> None:
        users = {
            u: self._ids(f"user={u}", data.user_features.get(u, [])) for u in np.unique(data.users).tolist()
        }
        items = {
            i: self._ids(f"item={i}", data.item_features.get(i, [])) for i in np.unique(data.items).tolist()
        }
        rows = [users[u] + items[i] for u, i in zip(data.users.tolist(), data.items.tolist())]
        most = max(map(len, rows))
        self.ids = np.array([row + [0] * (most - len(row)) for row in rows], np.int64)
        self.mask = np.arange(most) < np.array([len(row) for row in rows])[:, None]
        self.clicks = (data.ratings >= 4).astype(np.float32)

    @staticmethod
    def _ids(name: str, features: list[str]) -> list[int]:
        return [id_of(feature) for feature in (name, *features)]


class Machine:
    """A factorisation machine [Rendle 2010] and its gradients."""

    def __init__(self, threshold: int, l1: float) -> None:
        weight = Segment(1, "ftrl", learning_rate=0.1, lamda1=l1)
        vector = Segment(WIDTH, "group_adagrad", learning_rate=0.05, initializer=RandomNormal(0, 0.02))
        self.table = Table([weight, vector], admission=threshold, name="features")
        self.bias = np.float32(0)
        self.missing = "initialize" if threshold == 0 else "zeros"

    def forward(self, ids: Array, mask: Array, missing: str = "zeros") -> tuple[Array, Array, Array]:
        """The chance of a click (n,), and what the gradients need: rows of the table, and the sums of their vectors."""
        rows = self.table.lookup(ids, missing=missing) * mask[..., None]
        vectors = rows[..., 1:]
        total = vectors.sum(1)
        pairs = ((total**2).sum(1) - (vectors**2).sum((1, 2))) / 2
        return 1 / (1 + np.exp(-(self.bias + rows[..., 0].sum(1) + pairs))), rows, total

    def learn(self, ids: Array, mask: Array, clicks: Array) -> None:
        """One step."""
        ids = np.where(
            mask, ids, ids[:, :1]
        )  # where nothing is: any id that has a row; its gradient is left out
        chance, rows, total = self.forward(ids, mask, self.missing)
        error = (chance - clicks)[:, None, None]
        grads = np.concatenate(
            [np.broadcast_to(error, rows[..., :1].shape), error * (total[:, None] - rows[..., 1:])], 2
        )
        self.table.apply_gradients(ids[mask], grads[mask])
        self.bias -= np.float32(0.002) * error.sum()


def auc(chance: Array, clicks: Array) -> float:
    """How likely a click is given a higher chance than what was not clicked; equal chances count half."""
    _, place, counts = np.unique(chance, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n = int(clicks.sum())
    return float((rank[clicks > 0].sum() - n * (n + 1) / 2) / (n * (len(clicks) - n)))


def log_loss(chance: Array, clicks: Array) -> float:
    chance = np.clip(chance, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(clicks > 0, np.log(chance), np.log(1 - chance))))


def by_items(data: movielens.Movies, clicks: Array, learn: Array, test: Array) -> Array:
    """The share of clicks that each item got, as if it had got ten average ones more."""
    n = np.bincount(data.items[learn], minlength=data.items.max() + 1)
    clicked = np.bincount(data.items[learn], clicks[learn], minlength=len(n))
    return ((clicked + 10 * clicks[learn].mean()) / (n + 10))[data.items[test]]


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="a folder or file with MovieLens-100k, GroupLens's or RecBole's")
    parser.add_argument("--epochs", type=count, default=EPOCHS, help="at most")
    parser.add_argument(
        "--threshold", type=int, default=0, help="how often a feature is seen before it gets a row"
    )
    parser.add_argument("--l1", type=float, default=3.0, help="FTRL's pull of weights to zero")
    parser.add_argument("--plot", type=picture, metavar="FILE", help="draw AUC by epoch: .png, .svg or .pdf")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    data = movielens.load(options.data)
    examples, (learn, test) = Examples(data), data.split()
    validation, learn = learn[:VALIDATION], learn[VALIDATION:]
    clicks = examples.clicks
    print(
        f"{data.source}\n{len(clicks):,} examples of up to {examples.ids.shape[1]} features, "
        f"{clicks.mean():.1%} clicked\n"
    )

    machine, rng = Machine(options.threshold, options.l1), np.random.default_rng(0)
    curves = Curves(best_of="validation_auc", wanted="most")
    for _ in range(options.epochs):
        for part in curves.batches(rng.permutation(learn), BATCH):
            machine.learn(examples.ids[part], examples.mask[part], clicks[part])
        chances = {
            name: machine.forward(examples.ids[part], examples.mask[part])[0]
            for name, part in (("validation", validation), ("test", test))
        }
        curves.note(
            validation_auc=auc(chances["validation"], clicks[validation]),
            test_auc=auc(chances["test"], clicks[test]),
            test_log_loss=log_loss(chances["test"], clicks[test]),
        )
        if curves.is_over(PATIENCE):
            break

    found = {"items": auc(by_items(data, clicks, learn, test), clicks[test])}
    found["machine"] = curves.epochs[curves.best]["test_auc"]
    print(f"\ntest AUC, at epoch {curves.best + 1}, which was best on the validation part")
    for name, score in found.items():
        print(f"  {name:10} {score:.4f}")
    table = machine.table
    is_zero = table.lookup(table.ids())[:, 0] == 0
    print(
        f"{len(table):,} features have rows of {table.row_bytes} bytes, {table.memory_bytes():,} bytes in all; "
        f"{is_zero.mean():.0%} of their weights are exactly 0; {table.stats.blocked:,} gradients of rare ones dropped"
    )
    if options.plot:
        for epoch in curves.epochs:
            epoch.pop("test_log_loss")
        title = (
            "Factorisation machine: made-up ratings"
            if data.is_made_up
            else "Factorisation machine: MovieLens-100k, rated 4 or 5"
        )
        curves.draw(options.plot, title, {"by items, test": found["items"]})
    return found


if __name__ == "__main__":
    main()
