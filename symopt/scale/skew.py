"""How evenly ids that are drawn unevenly fall on shards: simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..distributed.partition import Partition
from ..embedding.options import whole
from ..errors import AttributeValueError
from ..idmap import unique

Ids = npt.NDArray[np.int64]
_AT_ONCE = 1 << 20
ROWS = 10**12


class Skew(NamedTuple):
    """Of ids drawn from a Zipf distribution with this exponent: how many, how many different ones, and how many times
    the average the fullest of so many shards gets. by_range: each shard has one stretch of ids; by_remainder: id modulo
    shards; by_bucket: as `Partition`. raw: of all ids; the others of those that are left when workers have added up
    what repeats in their batches."""

    exponent: float
    shards: int
    ids: int
    distinct: int
    raw_by_range: float
    raw_by_remainder: float
    raw_by_bucket: float
    by_range: float
    by_remainder: float
    by_bucket: float


def draw(rng: np.random.Generator, n: int, exponent: float, rows: int = ROWS) -> Ids:
    """`n` ids of 0 to rows - 1: the k-th has a probability in proportion to (k + 1) ** -exponent, as a continuous
    distribution has it that is cut into whole numbers. exponent: above 0, and any but 1 exactly.

    >>> draw(np.random.default_rng(0), 4, 1.05)
    array([425960,     90,      0,      0])
    """
    # The integral of x ** -exponent from 1 to rows + 1, inverted.
    power = 1 - exponent
    whole_area = math.expm1(power * math.log(rows + 1))
    at = np.exp(np.log1p(rng.random(n) * whole_area) / power)
    found: Ids = np.minimum(at.astype(np.int64) - 1, rows - 1)
    return found


def distinct(batch: int, exponent: float, rows: int = ROWS, *, seed: int = 0) -> int:
    """How many different ids a batch of Zipf draws has: `unique` of a Job, where `batch` is given.

    >>> 1 < distinct(1000, 1.2) < 1000
    True
    """
    rng = np.random.default_rng(seed)
    return len(np.unique(draw(rng, whole("distinct: batch", batch, 1), _exponent(exponent), rows)))


def simulate_skew(
    exponent: float,
    shards: Sequence[int] = (64, 1024),
    *,
    ids: int = 20_000_000,
    rows: int = ROWS,
    batch: int | None = None,
    stride: int = 1,
    seed: int = 0,
) -> list[Skew]:
    """The load of shards by ids from a Zipf distribution over `rows` ids, for each number of shards.

    batch: ids of one worker, which adds up what repeats in it; all are one batch if not given. stride: ids are
    multiples of it, as where lower bits say of what kind an id is.

    >>> found = simulate_skew(1.05, [64], ids=100_000, stride=64)[0]
    >>> round(found.by_remainder), found.by_bucket < 1.2
    (64, True)
    """
    _exponent(exponent)
    n = whole("simulate_skew: ids", ids, 1)
    rng = np.random.default_rng(seed)
    found = np.concatenate([draw(rng, min(_AT_ONCE, n - k), exponent, rows) for k in range(0, n, _AT_ONCE)])
    found *= whole("simulate_skew: stride", stride, 1, (2**63 - 1) // rows)
    size = whole("simulate_skew: batch", n if batch is None else batch, 1)
    kept = np.concatenate([unique(found[k : k + size]).ids for k in range(0, n, size)])
    return [_measured(exponent, each, found, kept, rows * stride) for each in shards]


def _measured(exponent: float, shards: int, raw: Ids, kept: Ids, rows: int) -> Skew:
    partition = Partition(shards)
    owners: tuple[Callable[[Ids], Ids], ...] = (
        lambda ids: np.minimum(ids // -(-rows // shards), shards - 1),
        lambda ids: ids % shards,
        partition.owner,
    )
    loads = [_uneven(owner(ids), shards) for ids in (raw, kept) for owner in owners]
    return Skew(exponent, shards, len(raw), len(kept), *loads)


def _uneven(owners: Ids, shards: int) -> float:
    """The largest load by the average one."""
    return float(np.bincount(owners, minlength=shards).max() * shards / len(owners))


def _exponent(value: float) -> float:
    if not (isinstance(value, int | float) and 0 < value < 10 and value != 1):
        raise AttributeValueError(
            f"the exponent of a Zipf distribution is above 0, below 10, and not 1; got {value!r}"
        )
    return float(value)


def skew_text(found: Sequence[Skew]) -> str:
    """What `simulate_skew` gave, as a table: the fullest shard's load by the average."""
    names = ("range", "id % n", "buckets")
    lines = [
        f"{'':>16}{'all ids':>30}{'each once':>30}",
        f"{'exponent':>8}{'shards':>8}" + "".join(f"{name:>10}" for name in names * 2),
    ]
    for each in found:
        lines.append(f"{each.exponent:>8g}{each.shards:>8}" + "".join(f"{load:>10.2f}" for load in each[4:]))
    return "\n".join(lines)
