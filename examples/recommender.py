"""A recommender on MovieLens-100k: matrix factorisation with biases, on two embedding tables.

A rating is predicted as mean + bias(user) + bias(item) + vector(user) . vector(item). A row of a table is one bias and
one vector, side by side: two segments, each with its own rule and decay, updated together in one pass. The gradients
are five lines of NumPy below. Ids are what the data say; a row is born when its id is first seen.

    python examples/recommender.py                             # a copy in an installed package, or made-up ratings
    python examples/recommender.py --data ml-100k --plot rmse.png
    python examples/recommender.py --threshold 5               # rows for those only who were seen five times before
    python examples/recommender.py --shards 4 --check          # tables at four processes of Ray, and the same bits
    python examples/recommender.py --shards 4 --check --kill-shard-at 1000

Terms of use of the data are in `movielens.py`. See also `clicks.py`, which has one table for features of all kinds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import movielens
import numpy as np
import sharded
from curves import Curves, count, picture

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import RandomNormal, Segment, Table

WIDTH, BATCH, EPOCHS, PATIENCE, VALIDATION = 32, 512, 30, 5, 5000
Array = np.ndarray


def make_table(name: str, seed: int, threshold: int, cluster: Cluster | None) -> Table | ShardedTable:
    """Rows of a bias and a vector; at the shards of a cluster, if there is one. Numbers were chosen by the error on the
    validation part."""
    bias = Segment(1, "adagrad", learning_rate=0.1, weight_decay=0.02)
    vector = Segment(
        WIDTH,
        "group_adagrad",  # one accumulator for the row, in place of one for each column
        learning_rate=lambda done: 0.1 / (1 + done / 2000),
        weight_decay=0.15,  # of rows in the batch only
        initializer=RandomNormal(0, 0.05),
    )
    if cluster is None:
        return Table([bias, vector], admission=threshold, seed=seed, name=name)
    return ShardedTable(cluster, [bias, vector], admission=threshold, seed=seed, name=name)


class Model:
    """Two tables and a mean."""

    def __init__(self, mean: float, threshold: int = 0, cluster: Cluster | None = None) -> None:
        self.mean = mean
        self.users = make_table("users", 0, threshold, cluster)
        self.items = make_table("items", 1, threshold, cluster)
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


def train(
    model: Model,
    data: movielens.Movies,
    parts: dict[str, Array],
    epochs: int,
    after_step: Callable[[int], None] = lambda step: None,
    after_epoch: Callable[[int], object] = lambda epoch: None,
) -> Curves:
    """Until the error on the validation part no longer falls."""
    of = lambda part: (data.users[part], data.items[part])  # noqa: E731
    rng, step = np.random.default_rng(0), 0
    curves = Curves(best_of="validation_rmse", wanted="least")
    for epoch in range(epochs):
        for part in curves.batches(rng.permutation(parts["learn"]), BATCH):
            model.learn(*of(part), data.ratings[part])
            step += 1
            after_step(step)
        after_epoch(epoch)
        tried = {name: parts[name] for name in ("validation", "test")}
        curves.note(
            **{f"{k}_rmse": rmse(model.predict(*of(part)), data.ratings[part]) for k, part in tried.items()}
        )
        if curves.is_over(PATIENCE):
            break
    return curves


def train_at_shards(
    cluster: Cluster,
    model: Model,
    data: movielens.Movies,
    parts: dict[str, Array],
    options: argparse.Namespace,
) -> Curves:
    """The same, with a checkpoint after each epoch; what a lost shard had is that, and the steps since."""

    def after_step(step: int) -> None:
        if step == options.kill_shard_at:
            sharded.kill_a_shard(cluster)

    def after_epoch(epoch: int) -> None:
        cluster.checkpoint(meta={"epoch": epoch})

    curves = train(model, data, parts, options.epochs, after_step, after_epoch)
    print(f"\n{cluster.status()}")
    if options.kill_shard_at and not cluster.recoveries:
        print(f"\nno shard was killed: training was over before step {options.kill_shard_at}")
    if options.check:
        print("\nthe same without shards")
        alone = Model(model.mean, options.threshold)
        train(alone, data, parts, options.epochs)
        sharded.check_bits(model.users, alone.users)
        sharded.check_bits(model.items, alone.items)
    return curves


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
    sharded.add_arguments(parser)
    options = parser.parse_args(given)
    if wrong := sharded.wrong_arguments(options):
        parser.error(wrong)
    return options


def tell(model: Model, found: dict[str, float], curves: Curves) -> None:
    """Errors, and what tables have become."""
    print(f"\ntest RMSE, at epoch {curves.best + 1}, which was best on the validation part")
    for name, error in found.items():
        print(f"  {name:15} {error:.4f}")
    for table in (model.users, model.items):
        n, blocked = len(table), table.stats.blocked
        print(
            f"{table.name}: {n:,} rows born of {table.row_bytes} bytes, {table.memory_bytes():,} bytes in all; "
            f"{blocked:,} gradients of rare ids dropped"
        )


def main(given: list[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    data = movielens.load(options.data)
    learn, test = data.split()
    validation, learn = learn[:VALIDATION], learn[VALIDATION:]
    parts = {"learn": learn, "validation": validation, "test": test}
    print(
        f"{data.source}\n{len(learn):,} ratings to learn from, {len(validation):,} to stop by, {len(test):,} to test\n"
    )
    mean = float(data.ratings[learn].mean())
    found = {
        "the mean": rmse(np.full(len(test), mean), data.ratings[test]),
        "biases": rmse(by_biases(data, learn, test), data.ratings[test]),
    }
    with sharded.cluster_of(options) as cluster:
        model = Model(mean, options.threshold, cluster)
        if cluster is None:
            curves = train(model, data, parts, options.epochs)
        else:
            curves = train_at_shards(cluster, model, data, parts, options)
        found["factorisation"] = curves.epochs[curves.best]["test_rmse"]
        tell(model, found, curves)
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
