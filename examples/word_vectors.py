"""Word vectors from a stream of Wikipedia text, on embedding tables: skip-gram with negative sampling.

Nobody counts the words first. Each word has the 64 bits of a hash of its letters as id. A table of counts, whose
rule is addition, lets a word in when it has been seen often enough; its rows are the vocabulary, and what negatives
are drawn from, as of now. A word's vectors are born when it is first used. Repeated words of a batch are added up by
the tables, and AdaGrad runs on the rows that are there. The text and the word pairs to test on are those that gensim
ships:

    pip install "symopt[examples]"
    python examples/word_vectors.py --epochs 3
"""

from __future__ import annotations

import argparse
import bz2
import csv
import hashlib
import html
import importlib.util
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

import symopt as so
from symopt.embedding import RandomUniform, Segment, Table
from symopt.lang import Tensor, Updated, updated

WIDTH, WINDOW, NEGATIVES, BATCH = 64, 5, 5, 4096
MIN_COUNT, SUBSAMPLE, LR, EPSILON = 10, 1e-4, 0.1, 1e-7
MIXED, CHECKED = 2_000_000, 20  # pairs that wait to be mixed; batches that are computed in NumPy too
TEXT = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
Array = np.ndarray


@so.update_op
def count_update(weight: Tensor, grad: Tensor) -> Updated:
    """How often an id occurred: its gradients are occurrences."""
    return updated(weight + grad)


def data_folder() -> Path:
    """The texts inside the installed gensim package; it is not imported."""
    found = importlib.util.find_spec("gensim")
    if found is None or found.origin is None:
        raise SystemExit('this example reads texts that gensim ships: pip install "symopt[examples]"')
    return Path(found.origin).parent / "test" / "test_data"


def articles(path: Path) -> Iterator[list[str]]:
    """The words of each article, without templates, tables, references and link targets."""
    with bz2.open(path, "rt", encoding="utf-8") as file:
        texts = re.findall(r"<text[^>]*>(.*?)</text>", file.read(), re.S)
    for text in map(html.unescape, texts):
        if text.lower().startswith("#redirect"):
            continue
        text = re.sub(r"<!--.*?-->|<ref[^>]*/>|<ref.*?</ref>|<math.*?</math>", " ", text, flags=re.S)
        before = ""
        while before != text:  # innermost first
            before, text = text, re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", " ", text)
        text = re.sub(r"\[\[(?:File|Image|Category|[a-z-]+):[^\[\]]*\]\]", " ", text)
        text = re.sub(r"\[\[(?:[^|\]]*\|)?([^\]]*)\]\]", r"\1", text)
        text = re.sub(r"<[^>]*>|https?:\S+", " ", text)
        yield re.findall(r"[a-z]+", text.lower())


@lru_cache(1 << 16)
def id_of(word: str) -> int:
    """64 bits of a word, the same on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little", signed=True)


class Vocabulary:
    """The words that occurred often enough, and how often: a table of one column."""

    def __init__(self) -> None:
        self.table = Table(Segment(1, count_update), admission=MIN_COUNT - 1, name="counts")
        self.seen = 0
        self._ids, self._noise = np.zeros(0, np.int64), np.zeros(0)

    def read(self, ids: Array) -> None:
        """Count some text."""
        self.seen += len(ids)
        self.table.apply_gradients(ids, np.ones((len(ids), 1), np.float32), duplicates="sequential")
        self._ids = self.table.ids()
        self._noise = np.cumsum(self.table.lookup(self._ids)[:, 0].astype(np.float64) ** 0.75)

    def thinned(self, ids: Array, rng: np.random.Generator) -> Array:
        """The words of a text that are known, of frequent ones but some."""
        counts, known = self.table.lookup(ids, with_hits=True)
        keep = np.sqrt(SUBSAMPLE * self.seen / np.maximum(counts[:, 0], 1))
        return ids[known & (rng.random(len(ids)) < keep)]

    def negatives(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Words at random, by the power 3/4 of what has been counted so far."""
        return self._ids[np.searchsorted(self._noise, rng.random(shape) * self._noise[-1])]


def pairs_of(words: Array, rng: np.random.Generator) -> Array:
    """(center, context) for every word and a window of random width around it."""
    found = [np.zeros((0, 2), np.int64)]
    width = rng.integers(1, WINDOW + 1, len(words))
    for distance in range(1, WINDOW + 1):
        near = np.flatnonzero(width[:-distance] >= distance)
        both = words[near], words[near + distance]
        found += [np.stack(both, axis=1), np.stack(both[::-1], axis=1)]
    return np.concatenate(found)


def pairs_of_stream(
    path: Path, vocabulary: Vocabulary, is_new: bool, rng: np.random.Generator
) -> Iterator[Array]:
    """The text's pairs in batches, mixed with those of other articles; the words of a new text are counted."""
    waiting: list[Array] = []
    for words in articles(path):
        ids = np.array([id_of(word) for word in words], np.int64)
        if is_new:
            vocabulary.read(ids)
        waiting.append(pairs_of(vocabulary.thinned(ids, rng), rng))
        if sum(map(len, waiting)) >= MIXED:
            yield from _batches(waiting, rng)
            waiting = []
    yield from _batches(waiting, rng)


def _batches(waiting: list[Array], rng: np.random.Generator) -> Iterator[Array]:
    mixed = rng.permutation(np.concatenate(waiting))
    yield from np.array_split(mixed, max(1, round(len(mixed) / BATCH)))


class Vectors:
    """Two vectors for each word: as the center of a window, and as what is near one."""

    def __init__(self) -> None:
        near_zero = RandomUniform(-0.5 / WIDTH, 0.5 / WIDTH)
        rule = {"learning_rate": LR, "epsilon": EPSILON}
        self.center = Table(
            Segment(WIDTH, "adagrad", initializer=near_zero, **rule), missing="initialize", name="center"
        )
        self.context = Table(Segment(WIDTH, "adagrad", **rule), missing="initialize", name="context")
        self.seconds, self.apart, self.checked = 0.0, 0.0, 0

    def learn(self, pairs: Array, negatives: Array) -> float:
        """Gradients of -log s(u v) - sum log s(-n v), by hand, and a step; the mean loss before it."""
        others = np.concatenate([pairs[:, 1:], negatives], axis=1)  # the true context first
        v, u = self.center.lookup(pairs[:, 0]), self.context.lookup(others)
        probability = 1 / (1 + np.exp(-np.einsum("bk,bnk->bn", v, u)))
        loss = -np.log(probability[:, 0] + 1e-7) - np.log(1 - probability[:, 1:] + 1e-7).sum(1)
        probability[:, 0] -= 1
        self._step(self.center, pairs[:, 0], np.einsum("bn,bnk->bk", probability, u))
        self._step(self.context, others, probability[..., None] * v[:, None])
        return float(loss.mean())

    def _step(self, table: Table, ids: Array, grads: Array) -> None:
        expected = None
        if table.steps < CHECKED:
            expected = by_numpy(table, ids.ravel(), grads.reshape(-1, WIDTH))
        begin = time.perf_counter()
        table.apply_gradients(ids, grads)
        self.seconds += time.perf_counter() - begin
        if expected is not None:
            self.apart = max(self.apart, float(np.abs(table.lookup(expected[0]) - expected[1]).max()))
            assert self.apart < 1e-6, (
                f"{table.name}, step {table.steps}: symopt and NumPy differ by {self.apart}"
            )


def by_numpy(table: Table, ids: Array, grads: Array) -> tuple[Array, Array]:
    """The same update in NumPy: repeated words added up, then AdaGrad. Ids, and the weights that they must get."""
    distinct, where = np.unique(ids, return_inverse=True)
    total = np.zeros((len(distinct), WIDTH), np.float32)
    np.add.at(total, where, grads)
    rows = table.lookup_entry(distinct)
    history = rows.states["0/history"] + total * total
    return distinct, rows.weights - LR * total / (np.sqrt(history) + EPSILON)


def spearman(center: Table, path: Path) -> tuple[float, int]:
    """Rank correlation of cosine similarity with people's judgement, over the word pairs we know."""
    rows = [r for r in csv.reader(path.open(), delimiter="\t") if len(r) == 3 and not r[0].startswith("#")]
    ids = np.array([[id_of(a.lower()), id_of(b.lower())] for a, b, _ in rows])
    known = center.contains(ids).all(1)
    a, b = np.moveaxis(center.lookup(ids[known]), 1, 0)
    ours = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    scores = np.array([float(score) for *_, score in rows])[known]
    ranks = [np.argsort(np.argsort(x)) for x in (ours, scores)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]), int(known.sum())


def main(given: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args(given).epochs
    folder, rng = data_folder(), np.random.default_rng(0)

    vocabulary, vectors, score = Vocabulary(), Vectors(), 0.0
    for epoch in range(epochs):
        begin, n_pairs, losses = time.perf_counter(), 0, []
        for pairs in pairs_of_stream(folder / TEXT, vocabulary, epoch == 0, rng):
            losses.append(vectors.learn(pairs, vocabulary.negatives((len(pairs), NEGATIVES), rng)))
            n_pairs += len(pairs)
        score, n_known = spearman(vectors.center, folder / "wordsim353.tsv")
        print(
            f"epoch {epoch + 1}  {n_pairs:,} pairs, {len(vocabulary.table):,} words  loss {np.mean(losses):.4f}  "
            f"Spearman {score:.3f} on {n_known} pairs of WordSim-353  {time.perf_counter() - begin:.0f} s"
        )
    counts = vocabulary.table
    print(f"\n{vocabulary.seen:,} words read, {counts.stats.blocked:,} of them before their word was let in")
    for table in (counts, vectors.center, vectors.context):
        print(
            f"{table.name:8} {len(table):,} rows of {table.row_bytes} bytes, {table.stats.updated:,} updates of rows"
        )
    print(
        f"updates took {vectors.seconds:.2f} s; largest difference of a weight from NumPy's {vectors.apart:.1e}"
    )
    return score


if __name__ == "__main__":
    main()
