"""A recommender on MovieLens-100k: matrix factorisation with biases, on two embedding tables.

A rating is predicted as mean + bias(user) + bias(item) + vector(user) . vector(item). A row of a table is one bias and
one vector, side by side: two segments, each with its own rule and decay, updated together in one pass. The gradients
are five lines of NumPy below. Ids are what the data say; a row is born when its id is first seen.

    python examples/recommender.py                             # a copy in an installed package, or made-up ratings
    python examples/recommender.py --data ml-100k --plot rmse.png
    python examples/recommender.py --threshold 5               # rows for those only who were seen five times before

Terms of use of the data are in `movielens.py`. See also `clicks.py`, which has one table for features of all kinds.
"""

from __future__ import annotations

import argparse

import movielens
import numpy as np
from curves import Curves, count, picture

from symopt.embedding import RandomNormal, Segment, Table

WIDTH, BATCH, EPOCHS, PATIENCE, VALIDATION = 32, 512, 30, 5, 5000
Array = np.ndarray


def make_table(name: str, seed: int, threshold: int) -> Table:
    """Rows of a bias and a vector. Numbers were chosen by the error on the validation part."""
    bias = Segment(1, "adagrad", learning_rate=0.1, weight_decay=0.02)
    vector = Segment(
        WIDTH,
        "group_adagrad",  # one accumulator for the row, in place of one for each column
        learning_rate=lambda done: 0.1 / (1 + done / 2000),
        weight_decay=0.15,  # of rows in the batch only
        initializer=RandomNormal(0, 0.05),
    )
    return Table([bias, vector], admission=threshold, seed=seed, name=name)


class Model:
    """Two tables and a mean."""

    def __init__(self, mean: float, threshold: int = 0) -> None:
        self.mean = mean
        self.users = make_table("users", seed=0, threshold=threshold)
        self.items = make_table("items", seed=1, threshold=threshold)
        self.missing = "initialize" if threshold == 0 else "zeros"

    def predict(self, users: Array, items: Array) -> Array:
        """Ratings (n,). An id without a row counts as zeros: no bias, no taste."""
        u, i = self.users.lookup(users), self.items.lookup(items)
        return np.clip(self._rating(u, i), 1, 5)

    def _rating(self, u: Array, i: Array) -> Array:
        return self.mean + u[:, 0] + i[:, 0] + np.einsum("nk,nk->n", u[:, 1:], i[:, 1:])

    def learn(self, users: Array, items: Array, ratings: Array) -> None:
        """One step. Users and items occur several times in a batch: the tables add up their gradients."""
        u = self.users.lookup(users, missing=self.missing)
        i = self.items.lookup(items, missing=self.missing)
        error = (self._rating(u, i) - ratings)[:, None]
        self.users.apply_gradients(users, np.hstack([error, error * i[:, 1:]]))
        self.items.apply_gradients(items, np.hstack([error, error * u[:, 1:]]))


def rmse(predicted: Array, ratings: Array) -> float:
    return float(np.sqrt(np.mean((predicted - ratings) ** 2)))


def by_biases(data: movielens.Movies, learn: Array, test: Array, strength: float = 5.0) -> Array:
    """What averages can do: the mean, and how far users and items are from it; a few ratings count less."""
    mean = data.ratings[learn].mean()
    of_user, of_item = np.zeros(data.users.max() + 1), np.zeros(data.items.max() + 1)
    for _ in range(10):
        for own, other, ids, others in (
            (of_item, of_user, data.items, data.users),
            (of_user, of_item, data.users, data.items),
        ):
            rest = data.ratings[learn] - mean - other[others[learn]]
            n = np.bincount(ids[learn], minlength=len(own))
            own[:] = np.bincount(ids[learn], rest, minlength=len(own)) / (n + strength)
    return np.clip(mean + of_user[data.users[test]] + of_item[data.items[test]], 1, 5)


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="a folder or file with MovieLens-100k, GroupLens's or RecBole's")
    parser.add_argument("--epochs", type=count, default=EPOCHS, help="at most")
    parser.add_argument(
        "--threshold", type=int, default=0, help="how often an id is seen before it gets a row"
    )
    parser.add_argument(
        "--plot", type=picture, metavar="FILE", help="draw the errors by epoch: .png, .svg or .pdf"
    )
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    data = movielens.load(options.data)
    learn, test = data.split()
    validation, learn = learn[:VALIDATION], learn[VALIDATION:]
    of = lambda part: (data.users[part], data.items[part])  # noqa: E731
    print(
        f"{data.source}\n{len(learn):,} ratings to learn from, {len(validation):,} to stop by, {len(test):,} to test\n"
    )
    mean = float(data.ratings[learn].mean())
    found = {
        "the mean": rmse(np.full(len(test), mean), data.ratings[test]),
        "biases": rmse(by_biases(data, learn, test), data.ratings[test]),
    }

    model, rng = Model(mean, options.threshold), np.random.default_rng(0)
    curves = Curves(best_of="validation_rmse", wanted="least")
    for _ in range(options.epochs):
        for part in curves.batches(rng.permutation(learn), BATCH):
            model.learn(*of(part), data.ratings[part])
        parts = {"validation_rmse": validation, "test_rmse": test}
        curves.note(
            **{name: rmse(model.predict(*of(part)), data.ratings[part]) for name, part in parts.items()}
        )
        if curves.is_over(PATIENCE):
            break
    found["factorisation"] = curves.epochs[curves.best]["test_rmse"]

    print(f"\ntest RMSE, at epoch {curves.best + 1}, which was best on the validation part")
    for name, error in found.items():
        print(f"  {name:15} {error:.4f}")
    for table in (model.users, model.items):
        n, blocked = len(table), table.stats.blocked
        print(
            f"{table.name}: {n:,} rows born of {table.row_bytes} bytes, {table.memory_bytes():,} bytes in all; "
            f"{blocked:,} gradients of rare ids dropped"
        )
    if options.plot:
        title = (
            "Matrix factorisation: made-up ratings"
            if data.is_made_up
            else "Matrix factorisation: MovieLens-100k"
        )
        curves.draw(options.plot, title, {"biases, test": found["biases"]})
    return found


if __name__ == "__main__":
    main()
