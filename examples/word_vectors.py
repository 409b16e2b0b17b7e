"""Word vectors from Wikipedia text: skip-gram with negative sampling, row-sparse gradients, lazy AdaGrad.

A batch touches some rows of two tables, many of them several times. The gradients name those rows, repeated ones
included; symopt sums them and updates only the rows that are there. The text and the word pairs to test on are
those that gensim ships:

    pip install "symopt[examples]"
    python examples/word_vectors.py --epochs 3
"""

from __future__ import annotations

import argparse
import bz2
import csv
import html
import importlib.util
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import symopt as so
from symopt import sym

WIDTH, WINDOW, NEGATIVES, BATCH = 64, 5, 5, 4096
MIN_COUNT, SUBSAMPLE, LR = 10, 1e-4, 0.1
TEXT = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
Array = np.ndarray


def data_folder() -> Path:
    """The texts inside the installed gensim package; it is not imported."""
    found = importlib.util.find_spec("gensim")
    if found is None or found.origin is None:
        raise SystemExit('this example reads texts that gensim ships: pip install "symopt[examples]"')
    return Path(found.origin).parent / "test" / "test_data"


def read_articles(path: Path) -> list[list[str]]:
    """The words of each article, without templates, tables, references and link targets."""
    with bz2.open(path, "rt", encoding="utf-8") as file:
        texts = re.findall(r"<text[^>]*>(.*?)</text>", file.read(), re.S)
    articles = []
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
        articles.append(re.findall(r"[a-z]+", text.lower()))
    return articles


def pairs_of_epoch(articles: list[Array], keep: Array, rng: np.random.Generator) -> Array:
    """(center, context) for every word and a window of random width around it, frequent words thinned; shuffled."""
    found = []
    for words in articles:
        words = words[rng.random(len(words)) < keep[words]]
        width = rng.integers(1, WINDOW + 1, len(words))
        for distance in range(1, WINDOW + 1):
            near = np.flatnonzero(width[:-distance] >= distance)
            found += [(words[near], words[near + distance]), (words[near + distance], words[near])]
    pairs = np.stack([np.concatenate(side) for side in zip(*found)], axis=1)
    return rng.permutation(pairs)


class Gradients:
    """The gradients of a batch: data and row numbers, in the same arrays at every step."""

    def __init__(self, n_words: int) -> None:
        shape = (n_words, WIDTH)
        self.center = so.sparse.RowSparseArray(
            np.zeros((BATCH, WIDTH), np.float32), np.zeros(BATCH, np.int64), shape
        )
        n = BATCH * (1 + NEGATIVES)
        self.context = so.sparse.RowSparseArray(
            np.zeros((n, WIDTH), np.float32), np.zeros(n, np.int64), shape
        )

    def fill(self, center: Array, context: Array, pairs: Array, negatives: Array) -> float:
        """Gradients of -log s(u v) - sum log s(-n v), by hand; the mean loss."""
        others = np.concatenate([pairs[:, 1:], negatives], axis=1)  # the true context first
        v, u = center[pairs[:, 0]], context[others]
        probability = 1 / (1 + np.exp(-np.einsum("bk,bnk->bn", v, u)))
        loss = -np.log(probability[:, 0] + 1e-7) - np.log(1 - probability[:, 1:] + 1e-7).sum(1)
        probability[:, 0] -= 1
        self.center.indices[:] = pairs[:, 0]
        np.einsum("bn,bnk->bk", probability, u, out=self.center.data)
        self.context.indices[:] = others.ravel()
        np.multiply(probability[..., None], v[:, None], out=self.context.data.reshape(BATCH, -1, WIDTH))
        return float(loss.mean())


def bind(tables: dict[str, Array], history: dict[str, Array], gradients: Gradients) -> Any:
    """One step for both tables."""
    heads = []
    for name in tables:
        weight = sym.var(name)
        grad, state = sym.var(f"{name}_grad", stype="row_sparse"), sym.var(f"{name}_history")
        heads.append(sym.adagrad_update(weight, grad, state, lr=LR, out=weight, name=name))
    args = {**tables, "center_grad": gradients.center, "context_grad": gradients.context}
    return sym.Group(heads).bind(so.cpu(), args, aux_states={f"{k}_history": v for k, v in history.items()})


def numpy_step(weight: Array, history: Array, grad: so.sparse.RowSparseArray) -> None:
    """The same update with NumPy indexing: sum repeated rows, then AdaGrad on the rows that occur."""
    rows, where = np.unique(grad.indices, return_inverse=True)
    total = np.zeros((len(rows), WIDTH), np.float32)
    np.add.at(total, where, grad.data)
    history[rows] += total * total
    weight[rows] -= LR * total / (np.sqrt(history[rows]) + 1e-7)


def spearman(tables: dict[str, Array], number: dict[str, int], path: Path) -> tuple[float, int]:
    """Rank correlation of cosine similarity with people's judgement, over the word pairs we know."""
    unit = tables["center"] / np.linalg.norm(tables["center"], axis=1, keepdims=True)
    rows = [r for r in csv.reader(path.open(), delimiter="\t") if len(r) == 3 and not r[0].startswith("#")]
    known = [r for r in rows if r[0].lower() in number and r[1].lower() in number]
    ours = [float(unit[number[a.lower()]] @ unit[number[b.lower()]]) for a, b, _ in known]
    ranks = [np.argsort(np.argsort(x)) for x in (ours, [float(score) for *_, score in known])]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]), len(known)


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args().epochs
    folder, rng = data_folder(), np.random.default_rng(0)

    texts = read_articles(folder / TEXT)
    counts = {w: c for w, c in Counter(w for text in texts for w in text).most_common() if c >= MIN_COUNT}
    number = {word: k for k, word in enumerate(counts)}
    articles = [np.array([number[w] for w in text if w in number], np.int64) for text in texts]
    frequency = np.array(list(counts.values())) / sum(counts.values())
    keep = np.minimum(1, np.sqrt(SUBSAMPLE / frequency))
    noise = np.cumsum(frequency**0.75) / np.sum(frequency**0.75)
    print(f"{len(articles)} articles, {sum(map(len, articles)):,} words, {len(number):,} different")

    tables = {
        "center": ((rng.random((len(number), WIDTH)) - 0.5) / WIDTH).astype(np.float32),
        "context": np.zeros((len(number), WIDTH), np.float32),
    }
    history = {k: np.zeros_like(v) for k, v in tables.items()}
    check = {k: (v.copy(), history[k].copy()) for k, v in tables.items()}
    gradients = Gradients(len(number))
    executor = bind(tables, history, gradients)
    seconds, compared, apart = {"symopt": 0.0, "numpy": 0.0}, 0, 0.0
    for epoch in range(epochs):
        pairs, losses, begin, spent = pairs_of_epoch(articles, keep, rng), [], time.perf_counter(), 0.0
        for start in range(0, len(pairs) - BATCH, BATCH):
            negatives = np.searchsorted(noise, rng.random((BATCH, NEGATIVES)))
            losses.append(
                gradients.fill(tables["center"], tables["context"], pairs[start : start + BATCH], negatives)
            )
            at = time.perf_counter()
            executor.forward()
            spent += time.perf_counter() - at
            if compared < 50:  # the first batches also in NumPy, on copies
                seconds["symopt"] += time.perf_counter() - at
                at = time.perf_counter()
                for name, grad in (("center", gradients.center), ("context", gradients.context)):
                    numpy_step(*check[name], grad)
                seconds["numpy"] += time.perf_counter() - at
                apart = float(np.max([apart, *(np.abs(tables[k] - check[k][0]).max() for k in tables)]))
                assert apart < 1e-6, f"batch {compared}: symopt and NumPy differ by {apart}"
                compared += 1
        score, n_pairs = spearman(tables, number, folder / "wordsim353.tsv")
        print(
            f"epoch {epoch + 1}  {len(pairs):,} pairs  loss {np.mean(losses):.4f}  Spearman {score:.3f} on {n_pairs} "
            f"pairs of WordSim-353  {time.perf_counter() - begin:.0f} s, of which updates {spent:.2f} s"
        )
    print(f"\n{executor.summary()}\n")
    print(
        f"{compared} updates: symopt {seconds['symopt']:.3f} s, NumPy {seconds['numpy']:.3f} s; "
        f"largest difference of a weight {apart:.1e}"
    )
    return score


if __name__ == "__main__":
    main()
