"""MovieLens-100k for the examples: your own copy, one inside an installed package, or ratings made up in its image.

GroupLens, who collected these ratings (F. Maxwell Harper and Joseph A. Konstan, The MovieLens Datasets: History and
Context, 2015), allow use in research. They may not be passed on, nor used commercially, without GroupLens's permission.
So nothing is downloaded here, and symopt has no copy. Read from a folder of theirs (`u.data`, `u.user`, `u.item`)
or of RecBole's (`ml-100k.inter`, `.user`, `.item`), or a file with ratings alone.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

USERS, ITEMS, RATINGS = 943, 1682, 100_000
TERMS = "MovieLens-100k by GroupLens: for research; no redistribution, no commercial use without permission"
Array = np.ndarray
Features = dict[int, list[str]]  # of a user or an item: such as "occupation=writer"


@dataclass
class Movies:
    """Ratings, and what is known of users and items.

    `users`, `items` (n,) int64: ids as they are in the data; `ratings` (n,) float32, 1 to 5. `source`: for people.
    `is_made_up`: whether these ratings are nobody's.
    """

    users: Array
    items: Array
    ratings: Array
    source: str
    is_made_up: bool = False
    user_features: Features = field(default_factory=dict)
    item_features: Features = field(default_factory=dict)

    def split(self) -> tuple[Array, Array]:
        """Which ratings are to learn from, and which tenth is to test on."""
        order = np.random.default_rng(0).permutation(len(self.ratings))
        n_test = len(order) // 10
        return order[n_test:], order[:n_test]


def load(given: str | None = None) -> Movies:
    """What `--data` names; else the copy in an installed RecBole; else a look-alike."""
    if given is not None:
        return _read(Path(given))
    package = importlib.util.find_spec("recbole")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent / "dataset_example" / "ml-100k"
        if folder.is_dir():
            return _read(folder)
    return look_alike()


def _read(path: Path) -> Movies:
    known = ("u.data", "ml-100k.inter")
    file = next((path / name for name in known if (path / name).is_file()), path)
    if not file.is_file():
        raise SystemExit(f"--data {path}: no file with ratings, and no folder with {' or '.join(known)}")
    rows = [line.split("\t") for line in file.read_text(encoding="latin-1").splitlines()]
    if rows and not rows[0][0].isdigit():  # RecBole's have a line of names
        rows = rows[1:]
    try:
        users, items, ratings = np.array([row[:3] for row in rows], np.float64).T
    except ValueError as error:
        raise SystemExit(f"{file}: lines must be user, item, rating, ... between tabs: {error}") from None
    found = Movies(
        users.astype(np.int64), items.astype(np.int64), ratings.astype(np.float32), f"{TERMS} ({file})"
    )
    if file.name == "u.data":
        found.user_features, found.item_features = _grouplens_features(file.parent)
    elif file.suffix == ".inter":
        found.user_features, found.item_features = _recbole_features(file)
    return found


def _lines(path: Path, between: str) -> list[list[str]]:
    return (
        [row.split(between) for row in path.read_text(encoding="latin-1").splitlines()]
        if path.is_file()
        else []
    )


def _grouplens_features(folder: Path) -> tuple[Features, Features]:
    """Of `u.user` (id|age|sex|occupation|...) and `u.item` (id|title|date|...|19 flags of genres)."""
    users = {int(r[0]): _user(*r[1:4]) for r in _lines(folder / "u.user", "|")}
    items = {}
    for row in _lines(folder / "u.item", "|"):
        genres = [str(k) for k, flag in enumerate(row[-19:]) if flag == "1"]
        items[int(row[0])] = _item(row[2][-4:], genres)
    return users, items


def _recbole_features(file: Path) -> tuple[Features, Features]:
    users = {int(r[0]): _user(*r[1:4]) for r in _lines(file.with_suffix(".user"), "\t")[1:]}
    rows = _lines(file.with_suffix(".item"), "\t")[1:]
    return users, {int(r[0]): _item(r[2], r[3].split()) for r in rows}


def _user(age: str, sex: str, occupation: str) -> list[str]:
    return [f"age={int(age) // 5 * 5}", f"sex={sex}", f"occupation={occupation}"]


def _item(year: str, genres: list[str]) -> list[str]:
    return [f"year={year}", *(f"genre={genre}" for genre in genres)]


def look_alike(seed: int = 0) -> Movies:
    """As many users, items and ratings: biases, five latent factors, noise, a few items rated most of the time."""
    rng = np.random.default_rng(seed)
    rank = 1 + np.arange(ITEMS)
    chance = (rank + 30.0) ** -1.3  # a power law, but no item is in half of all ratings
    busy = 0.2 + rng.lognormal(0, 0.9, USERS)
    pairs = rng.choice(USERS, 3 * RATINGS, p=busy / busy.sum()) * ITEMS
    pairs += rng.choice(ITEMS, 3 * RATINGS, p=chance / chance.sum())
    _, first = np.unique(pairs, return_index=True)  # nobody rates twice
    users, items = np.divmod(pairs[np.sort(first)[:RATINGS]], ITEMS)

    ages, genres = rng.integers(0, 12, USERS), rng.integers(0, 18, ITEMS)
    taste = rng.normal(0, 0.5, (12, 5))  # of an age; each user's own comes on top
    p = taste[ages] + rng.normal(0, 0.5, (USERS, 5))
    q = rng.normal(0, 0.5, (18, 5))[genres] + rng.normal(0, 0.5, (ITEMS, 5))
    quality = rng.normal(0, 0.45, ITEMS) - 0.25 * np.log(rank / 100)  # what many people see is liked better
    exact = 3.7 + rng.normal(0, 0.45, USERS)[users] + quality[items] + 0.55 * (p[users] * q[items]).sum(1)
    ratings = np.clip(np.rint(exact + rng.normal(0, 0.8, RATINGS)), 1, 5).astype(np.float32)
    return Movies(
        users + 1, items + 1, ratings, f"ratings made up by a generator, seed {seed}, in the image of MovieLens-100k",
        True, {k + 1: [f"age={a}"] for k, a in enumerate(ages)}, {k + 1: [f"genre={g}"] for k, g in enumerate(genres)},
    )  # fmt: skip
