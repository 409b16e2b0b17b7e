"""The canonical sum, and the other folds in its order: the definition, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .prims import COMBINE

LANES, BLOCK = 64, 8192


def canonical_fold(x: npt.NDArray[Any], how: str, identity: float) -> npt.NDArray[Any]:
    """Fold the middle axis of x: (m, n, k) -> (m, k).

    Blocks of 8192; in a block 64 lanes take every 64th element in order; lanes fold pairwise; blocks fold in float64.
    A lane without an element in the last group stays as it is.
    """
    combine = COMBINE[how]
    m, n, k = x.shape
    total = np.full((m, k), identity, np.float64)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        lanes = np.full((m, LANES, k), identity, x.dtype)
        for first in range(start, stop, LANES):
            group = x[:, first : min(first + LANES, stop)]
            lanes[:, : group.shape[1]] = combine(lanes[:, : group.shape[1]], group)
        width = LANES
        while width > 1:
            width //= 2
            lanes = combine(lanes[:, :width], lanes[:, width : 2 * width])
        total = combine(total, lanes[:, 0].astype(np.float64))
    return total.astype(x.dtype)
