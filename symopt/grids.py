"""Grids: what the values of a formula on matrices are arrays of, in two letters, for their rows and their columns.

r and c are the numbers of rows and columns of the weight's matrices, 1 is one. The weight is on "rc", its transpose on
"cr", its row sums on "r1", its column sums on "1c". A weight of more than two axes is a stack of matrices, and so is
everything made of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .errors import GraphError, Where

WHOLE = "rc"
NAMES = {"r": "rows", "c": "columns", "1": "1"}


def text(grid: str) -> str:
    """A grid as errors call it: 'rows x columns'."""
    return " x ".join(NAMES[letter] for letter in grid)


def join(grids: Iterable[str], what: str, where: Where | None = None) -> str:
    """The grid that values of these grids are spread to when they meet: 1 gives way to the other size.

    >>> join(["r1", "1c"], "add")
    'rc'
    """
    found = list(dict.fromkeys(grids))
    axes = [{grid[axis] for grid in found} for axis in (0, 1)]
    letters = [sorted(axis - {"1"}) or ["1"] for axis in axes]
    if any(len(found) > 1 for found in letters):
        raise mismatch(what, found, where)
    return letters[0][0] + letters[1][0]


def product(x: str, y: str) -> str:
    """The grid of the matrix product of two; "" if there is none."""
    return x[0] + y[1] if x[1] == y[0] else ""


def mismatch(what: str, grids: Iterable[str], where: Where | None) -> GraphError:
    """The error that values of these grids do not fit together."""
    shapes = " and ".join(f"({text(grid)})" for grid in grids)
    return GraphError(f"{what}: matrices of {shapes} do not fit{f', in {where}' if where else ''}")


def sizes(grid: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How many matrices, rows and columns a value on `grid` has, for a weight of `shape`.

    >>> sizes("1c", (5, 2, 3, 4))
    (10, 1, 4)
    """
    n_matrices = 1
    for n in shape[:-2]:
        n_matrices *= n
    n_rows, n_columns = ({"r": shape[-2], "c": shape[-1], "1": 1}[letter] for letter in grid)
    return n_matrices, n_rows, n_columns


def shape_on(grid: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a value on `grid`, for a weight of `shape`."""
    return (*shape[:-2], *sizes(grid, shape)[1:])
