"""Which rows of a table leave: asked for, chosen by a policy, or because others need their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, TooLateError
from ..idmap import unique
from .batches import Array, Ids, ids_of
from .checks import kept_as
from .eviction import Policy, matching
from .options import whole

if TYPE_CHECKING:
    from .core import Core

NONE = np.zeros(0, np.int64)


def chosen(
    table: Core,
    ids: npt.ArrayLike | None,
    n: int | None,
    policy: Policy | str | None,
    where: Callable[[Mapping[str, Array]], npt.ArrayLike] | None,
) -> Ids:
    """The ids with a row that `Table.evict` means."""
    what = f"{table.name}.evict"
    if (ids is not None) + (n is not None) + (where is not None) != 1:
        raise AttributeValueError(f"{what}: give either ids, or n, or where")
    if ids is not None:
        asked = unique(ids_of(ids, what)[0]).ids
        return asked[table._have(asked)]
    if where is not None and not callable(where):
        raise AttributeValueError(f"{what}: where is a function of a dict of columns, got {where!r}")
    rows = table._columns()
    if where is not None:
        return _ids(rows, matching(rows, where))
    by: Policy = kept_as(Policy, str, policy, what) or table.policy or Policy()
    return _ids(rows, by.victims(min(whole(f"{what}: n", n, 0), len(table)), rows))


def expired(table: Core, now: int) -> Ids:
    """The ids whose time is over."""
    if table.expiry is None or not len(table) or not table.expiry.may_expire(now):
        return NONE
    rows = table._columns()
    return _ids(rows, np.flatnonzero(table.expiry.expired(rows["id"], rows["timestamp"], now)))


def crowded(table: Core, ids: Ids) -> Ids:
    """The ids that must leave so that all new ones of a batch have a row."""
    if table.max_rows is None:
        return NONE
    missing = table._n_missing(ids)
    if len(table) + missing <= table.max_rows:
        return NONE
    if table.policy is None:
        raise TooLateError(
            f"{table.name}: {missing} new ids and {len(table)} rows are more than max_rows={table.max_rows}; nothing "
            "was written. Give a policy that says which rows leave, evict rows, or raise max_rows"
        )
    protected = np.isin(table.ids(), ids)
    n = table.policy.excess(len(table), missing, table.max_rows, int(protected.sum()))
    rows = table._columns()
    return _ids(rows, table.policy.victims(n, rows, protected))


def check_room(table: Core, ids: Ids, n_gone: int = 0, *, may_leave: bool = False) -> None:
    """TooLateError if rows of all these ids can't be there at once, when `n_gone` others have left; `may_leave`: they
    need not, if a policy chooses. Else room for the records is had, so that nothing can fail for want of it."""
    missing = table._n_missing(ids)
    n = len(table) - n_gone + missing if table.policy is None else len(ids)
    if table.max_rows is not None and n > table.max_rows and (table.policy is None or not may_leave):
        raise TooLateError(
            f"{table.name}: these would be {n} rows, and max_rows is {table.max_rows}; nothing was written"
        )
    table._make_room(missing)


def _ids(rows: Mapping[str, Any], positions: Ids) -> Ids:
    return np.asarray(rows["id"][positions])
