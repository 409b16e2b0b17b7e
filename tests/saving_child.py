"""Saves in a process of its own, which may be killed or find its disk full.

loop ROOT series|overwrite FIRST   saves generation after generation; prints each when it is saved
limited ROOT BYTES...              for each: saves where no file may have more bytes; prints "saved" or "refused"
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

import numpy as np

import symopt as so
from symopt.checkpoint import Series

SIZE = 300_000


def generation(k: int) -> dict[str, Any]:
    return {
        "w": np.random.default_rng(k).random(SIZE, np.float32),
        "v": np.full(SIZE, k, np.float32),
        "step": k,
    }


def which(tree: Any) -> int:
    """The generation that a tree is, all of it."""
    expected = generation(tree["step"])
    assert all(np.array_equal(tree[name], expected[name]) for name in expected), "a mixture was loaded"
    return int(tree["step"])


def save(root: str, mode: str, k: int) -> None:
    if mode == "series":
        Series(root).save(k, generation(k))
    else:
        so.save(f"{root}/saved", generation(k), overwrite=True)


def load(root: str, mode: str) -> Any:
    return Series(root).load() if mode == "series" else so.load(f"{root}/saved")


def _loop(root: str, mode: str, first: int) -> None:
    for k in range(first, first + 1000):
        save(root, mode, k)
        print(k, flush=True)


def _limited(root: str, limit: int) -> str:
    """In a fork: limits stay with a process."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save(root, "overwrite", 2)
        except OSError:
            os._exit(3)
        os._exit(0)
    return {0: "saved", 3: "refused"}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


if __name__ == "__main__":
    if sys.argv[1] == "loop":
        _loop(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    for argument in sys.argv[3:] if sys.argv[1] == "limited" else ():
        outcome = _limited(sys.argv[2], int(argument))
        left = [name for name in os.listdir(sys.argv[2]) if name.startswith(".")]
        print(outcome, which(load(sys.argv[2], "overwrite")), len(left), flush=True)
        save(sys.argv[2], "overwrite", 1)
