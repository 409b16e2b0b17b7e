"""What may happen to the rows of a table: all that it takes to do it again, on another copy, with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


class Update(NamedTuple):
    """A step of every segment's rule: ids (n,), each once; gradients (n, dim). `done`: steps of the table before;
    `rates`: learning rates in place of the segments' own; `now`: seconds. `repeats`: ids may come more than once, and
    their gradients are applied one after the other."""

    ids: Ids
    grads: Array
    done: int
    rates: tuple[float, ...] | None
    now: int
    repeats: bool = False


class Assign(NamedTuple):
    """Weights (n, dim) written to ids (n,), each once; or added to what they have, one after the other if an id comes
    more than once."""

    ids: Ids
    values: Array
    now: int
    adds: bool


class Renew(NamedTuple):
    """Rows as they are born, in place of what they are, for ids (n,), each once."""

    ids: Ids
    now: int


class Have(NamedTuple):
    """Rows as they are born, for those of ids (n,), each once, that have none."""

    ids: Ids
    now: int


class Put(NamedTuple):
    """Columns of rows as they are given, by name, each (n, ...), for ids (n,), each once. `anew`: the rows are born
    first, so that all else is as in a new row; without, those that are there keep it."""

    ids: Ids
    columns: Mapping[str, Array]
    now: int
    anew: bool


class Touch(NamedTuple):
    """The second, for ids (n,) that have a row."""

    ids: Ids
    now: int


class Evict(NamedTuple):
    """Rows given up: ids (n,), each once."""

    ids: Ids


class Settle(NamedTuple):
    """The decay that rows have not seen (`decay="decoupled_global"`), for ids (n,)."""

    ids: Ids


class Decayed(NamedTuple):
    """Decay of all rows that happened elsewhere: what it adds to each segment's account, logarithms."""

    logs: tuple[float, ...]


class GoOn(NamedTuple):
    """The numbers of another table, for rows that come from it: `scales` of soft codes, one for each segment; and for
    its states the `steps`, if not None, and for each segment the running products of its rule."""

    scales: tuple[float, ...]
    steps: int | None
    products: tuple[Mapping[str, float], ...]


class Resume(NamedTuple):
    """What a table was that is restored: its `steps`, its `latest` second, and of segments, some or all, the number,
    the logarithm of decay, the scale of a soft code, and the running products of the rule."""

    steps: int
    latest: int
    numbers: tuple[tuple[int, float, float, dict[str, float]], ...]


class Admit(NamedTuple):
    """Ids (n,) without a row that were asked for, and how often each if they are distinct: admission counts them."""

    ids: Ids
    counts: Ids | None


Command = Update | Assign | Have | Renew | Put | Touch | Evict | Settle | Decayed | GoOn | Resume | Admit
