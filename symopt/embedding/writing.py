"""What changes a table: gradients, values, rows that leave. A batch is checked before it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..idmap import unique
from .bags import Bags
from .batch import Batch, apply_all
from .batches import Array, Ids, ids_of, last_of, rows_of, second
from .checks import Duplicates
from .commands import Assign, Renew, Settle, Touch
from .core import Core
from .eviction import Policy
from .leaving import NONE, chosen, expired
from .placed import taken
from .results import Applied

_AT_ONCE = 1 << 16  # rows


class Writing(Core):
    """A base class of Table: its methods that write rows."""

    # ---- writing

    def apply_gradients(
        self,
        ids: npt.ArrayLike | Bags,
        grads: npt.ArrayLike,
        global_step: int | None = None,
        req_time: float | None = None,
        *,
        duplicates: Duplicates | None = None,
        learning_rate: float | Sequence[float] | None = None,
    ) -> Applied:
        """One step: gradients (*ids.shape, dim) for ids of any shape, which may repeat.

        An id without a row gets one, if it is admitted; its gradient was computed at zeros, where `missing` is so, and
        is applied to the weights that the row begins with. `global_step`: for schedules, and rules that ask for it; the
        table's own count if not given. `req_time`: seconds, that rows note; now if not given. `learning_rate`: in place
        of all segments' own, or one for each.
        """
        what = f"{self.name}.apply_gradients"
        given = [(what, ids, grads)]
        return apply_all([Batch(self, given, global_step, req_time, duplicates, learning_rate, what=what)])[0]

    def assign(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Weights (*ids.shape, dim) for ids of any shape; states are kept. Of a repeated id the last stays.

        An id without a row gets one, if it is admitted."""
        self._put("assign", ids, values, req_time, adds=False)

    def assign_add(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Add to the weights of ids; of a repeated id, one after the other. A row that is made has its first weights
        before; it is made if its id is admitted."""
        self._put("assign_add", ids, values, req_time, adds=True)

    def _put(self, method: str, ids: Any, values: Any, req_time: float | None, adds: bool) -> None:
        what = f"{self.name}.{method}"
        flat, shape = ids_of(ids, what)
        rows = rows_of(values, shape, self.dim, self.dtype, f"{what}: values", self.place)
        now = second(req_time, what)
        with self._batch():
            admitted = self._admitted(flat, None)
            if admitted is not None:
                flat, rows = flat[admitted], taken(rows, admitted)
                self.stats.blocked += int((~admitted).sum())
            ids, its = (flat, rows) if adds else last_of(flat, rows)
            self._carry_out(self._leaving(flat), Assign(ids, its, now, adds))

    def reinitialize(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Rows as they are born, for all ids; which had one before, in the shape of `ids`."""
        what = f"{self.name}.reinitialize"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._batch():
            had = self._have(flat)
            self._carry_out(self._leaving(flat), Renew(unique(flat).ids, now))
        return had.reshape(shape)

    def touch(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Note the time, as if the rows had been written; which ids have one, in the shape of `ids`."""
        what = f"{self.name}.touch"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._batch():
            had = self._have(flat)
            self._carry_out(NONE, Touch(unique(flat[had]).ids, now))
        return had.reshape(shape)

    # ---- rows that leave

    def evict(
        self,
        ids: npt.ArrayLike | None = None,
        *,
        n: int | None = None,
        policy: Policy | str | None = None,
        where: Callable[[Mapping[str, Array]], npt.ArrayLike] | None = None,
    ) -> Ids:
        """Give up rows: of `ids`; or the `n` that a policy chooses, the table's if none is given; or those for which
        `where` says True of a dict of columns (id, timestamp, updates, weight). The ids that left, (k,)."""
        with self._batch():
            gone = chosen(self, ids, n, policy, where)
            self._carry_out(gone)
            return gone

    def expire(self, now: float | None = None) -> Ids:
        """Give up the rows whose time is over; `now`: by default the time of the latest write. The ids that left."""
        at = self.latest if now is None else second(now, f"{self.name}.expire")
        with self._batch():
            gone = expired(self, at)
            self._carry_out(gone)
            return gone

    def flush(self) -> None:
        """Let all rows have the decay of the steps that they missed (`decay="decoupled_global"`)."""
        ids = self.ids()
        for begin in range(0, len(ids), _AT_ONCE):  # no row knows of another, so each part is a batch
            with self._batch():
                self._carry_out(NONE, Settle(ids[begin : begin + _AT_ONCE]))
