"""What the examples show of a training run: a line an epoch, progress within one, and a picture of it all."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np


def count(given: str) -> int:
    """An argument of a command line that is a number from 1."""
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1, not {given!r}")
    return int(given)


def picture(given: str) -> str:
    """An argument that is the name of a picture; said before an hour's training, not after."""
    if not given.endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"a name that ends in .png, .svg or .pdf, not {given!r}")
    return given


class Curves:
    """Numbers by epoch, printed as they come. `wanted`: of which number the best epoch is told, "least" or "most"."""

    def __init__(self, best_of: str, wanted: str) -> None:
        self.best_of, self.sign = best_of, {"least": 1, "most": -1}[wanted]
        self.epochs: list[dict[str, float]] = []
        self._begun = time.perf_counter()

    def batches(self, order: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """The batches of an epoch; on a terminal, with a bar."""
        n = max(1, len(order) // size)
        for k in range(n):
            if sys.stdout.isatty() and k % max(1, n // 40) == 0:
                print(f"\repoch {len(self.epochs) + 1:3} [{'=' * (20 * k // n):20}]", end="", flush=True)
            yield order[k * size : (k + 1) * size] if k < n - 1 else order[k * size :]

    def note(self, **numbers: float) -> None:
        """The numbers of an epoch that is over."""
        self.epochs.append(numbers)
        shown = "  ".join(f"{name.replace('_', ' ')} {x:.4f}" for name, x in numbers.items())
        begin = "\r" if sys.stdout.isatty() else ""
        print(f"{begin}epoch {len(self.epochs):3}  {shown}  {time.perf_counter() - self._begun:6.1f} s")

    @property
    def best(self) -> int:
        """Which epoch was best, from 0."""
        return min(range(len(self.epochs)), key=lambda k: self.sign * self.epochs[k][self.best_of])

    def is_over(self, patience: int) -> bool:
        """Whether the best epoch is so many epochs ago."""
        return len(self.epochs) - 1 - self.best >= patience

    def draw(self, path: str, title: str, references: dict[str, float]) -> None:
        """The numbers as lines over the epochs, in a file that ends in .png, .svg or .pdf; references are dashed."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise SystemExit("--plot draws with matplotlib: pip install matplotlib") from None
        axes = (figure := Figure(figsize=(7, 4.2), layout="constrained")).subplots()
        at = range(1, len(self.epochs) + 1)
        for name in self.epochs[0]:
            axes.plot(
                at, [epoch[name] for epoch in self.epochs], marker="o", ms=3, label=name.replace("_", " ")
            )
        for k, (name, level) in enumerate(references.items()):
            axes.axhline(level, color=f"C{7 + k}", ls="--", lw=1, label=name)
        axes.axvline(self.best + 1, color="0.7", lw=1, label=f"best {self.best_of}".replace("_", " "))
        axes.set(title=title, xlabel="epoch", ylabel=self.best_of.split("_")[-1].upper())
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(path, dpi=130)
        print(f"drawn: {path}")
