"""What sharded tables do beside training. What is saved is a Table's, and either reads what the other wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoint.streamed import Streamed
from ..dtypes import to_numpy
from ..embedding.batches import Array, Ids
from ..embedding.blocks import SLOT, Block, cut, shapes_of
from ..embedding.commands import Evict, Put, Resume
from ..embedding.delta import LatestRows
from ..embedding.keeping import Keeping
from ..errors import ClusterError
from ..idmap import IdMap
from ..records.layout import ID

if TYPE_CHECKING:
    from .table import ShardedTable

_AT_ONCE = 1 << 15  # rows


class ShardedKeeping(Keeping):
    """A base class of ShardedTable: saving and restoring, changes, exports.

    `save` and `export` write what all shards have to one place, through the driver, some rows at a time; a checkpoint
    of the cluster is written by all of them at once. `restore` is a number of steps like all others: a shard that is
    lost does them again, and reads no file.
    """

    def checkpoint(self: Any) -> None:
        """A checkpoint of the cluster, with all its tables; nothing if it has no folder. `Cluster.checkpoint` also
        notes how far the training is."""
        self._check_open()
        if self.cluster.has_folder:
            self.cluster.checkpoint()

    def close(self: Any, checkpoint: bool = True) -> None:
        """Make a checkpoint, unless told not to or without a folder, and let the table go: this object can't be used
        any more. The shards keep the rows; a ShardedTable of the same name goes on with them."""
        if self._is_closed:
            return
        if checkpoint and not self.cluster.trouble:
            self.checkpoint()
        self._is_closed = True

    def __reduce__(self) -> tuple[Any, ...]:
        raise ClusterError(
            f"{self!r} can't be copied or pickled: its rows are in other processes. What state_dict() and save() give, "
            "a Table or another ShardedTable loads"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.__reduce__()

    # ---- within

    def _latest_rows(self: Any, ids: Ids, states: bool) -> LatestRows:
        split, answers = self._ask_of("latest_rows", ids, states)

        def gathered(columns: Sequence[Array]) -> Array:
            found: Array = split.gather(np.concatenate(columns))
            return found

        weights, timestamps = (gathered([each[k] for each in answers]) for k in range(2))
        if not states:
            return weights, timestamps, None, {}
        kept = {name: gathered([each[3][name] for each in answers]) for name in answers[0][3]}
        return weights, timestamps, gathered([each[2] for each in answers]), kept

    def _blocks(self: Any, gone: Ids, files: int, streamed: bool) -> tuple[Ids, list[Block]]:
        """Places are those of the first shard, then those of the second, and so on."""
        free, blocks, begin = [], [], 0
        for k, (ids, slots, holes, n_slots) in enumerate(self._ask("places")):
            left = np.isin(ids, gone)
            free += [holes + begin, slots[left] + begin]
            runs = cut(slots[~left], self.row_bytes, files)
            blocks += [_block(self, k, run, begin, streamed) for run in runs]
            begin += n_slots
        return np.concatenate(free), blocks

    def _column_at(self: Any, shard: int, name: str, slots: Ids) -> Array:
        each = [(name, slots) if k == shard else None for k in range(self.cluster.n_shards)]
        found: Array = self._ask("column", each=each)[shard]
        return found

    def _empty_map(self: Any) -> IdMap:
        return IdMap(seed=self.seed, engine=self.engine)

    def _take_over(self: Any, fresh: IdMap | None, blocks: list[Block], resumed: Resume) -> None:
        """By commands, which are steps like all others. What is loaded was neither born nor touched."""
        self.cluster.settle()
        before = vars(copy(self.stats))
        if fresh is not None:
            own, ids = self.ids(), fresh.ids()
            self._tell(Evict(own[~np.isin(own, ids)]))
            for block in blocks:
                for put in _puts(block):
                    self._tell(put)
        self._tell(resumed)
        self.cluster.settle()
        vars(self.stats).update(before)


def _block(table: ShardedTable, shard: int, slots: Ids, begin: int, streamed: bool) -> Block:
    """The rows in these slots of a shard, which are saved as slots from `begin` on."""
    block: dict[str, Any] = {SLOT: slots + begin}
    for name, (dtype, tail) in shapes_of(table._rows.layout).items():
        if name == SLOT:
            continue
        ask = partial(table._column_at, shard, name)
        shape = (len(slots), *tail)
        block[name] = (
            Streamed(shape, to_numpy(dtype), partial(_pieces, ask, slots)) if streamed else ask(slots)
        )
    return block


def _pieces(ask: Callable[[Ids], Array], slots: Ids) -> Iterator[Array]:
    for begin in range(0, len(slots), _AT_ONCE):
        yield ask(slots[begin : begin + _AT_ONCE])


def _puts(block: Block) -> Iterator[Put]:
    for begin in range(0, len(block[ID]), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        columns = {name: x[some] for name, x in block.items() if name not in (SLOT, ID)}
        yield Put(np.ascontiguousarray(block[ID][some]), columns, 0, anew=True)
