"""The gradients of one rank, checked, and cut into what each owner is sent: by the driver, or by a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import DTypeError, ShapeError, StorageError
from ..places import HOST
from ..sparse import RowSparseArray
from ..training.names import Like, Tree
from .cuts import Piece
from .owner import Kinds, sent_layout
from .pairwise import for_wire


class Parcel(NamedTuple):
    """What a rank sends in a step. `kinds`: dtypes of its gradients; `parts`: of each owner, arrays, or the answer of
    the process that has them, if they `are_answers`; `sizes`: their bytes."""

    kinds: Kinds
    parts: Sequence[Any]
    sizes: Sequence[int]
    are_answers: bool = False


class Parcels:
    """What gradients must be, and how they are cut. `said`: plain data, so that a worker may be told:
    `shapes` and `dtypes` of the trained parameters by name; `masters`, those whose gradients may be float32 too;
    `frozen`, others that a rank may name; `owners`, the fields of the pieces of each; `wire`, what gradients are
    rounded to; `is_loose`: owners are in this process, and get arrays piece by piece, not in buffers."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {n: tuple(s) for n, s in said["shapes"].items()}
        self._dtypes: dict[str, str] = said["dtypes"]
        self._masters, self._wire, self._is_loose = {*said["masters"]}, said["wire"], said["is_loose"]
        self._like = Like(list(self._shapes), said["frozen"])
        self._owners = [[Piece(*fields) for fields in pieces] for pieces in said["owners"]]
        self.n_owners = len(self._owners)

    # ---- what is given

    def checked(self, rank: int, grads: Tree) -> list[Any]:
        """The gradients of a rank as arrays, in order; raises what is wrong with them."""
        who = f"gradients of rank {rank}"
        leaves = self._like.leaves(grads, who)
        return [self._checked(leaf, name, who) for name, leaf in zip(self._shapes, leaves, strict=True)]

    def _checked(self, given: Any, name: str, who: str) -> Array | None:
        """A gradient: an array of the parameter's shape and dtype, or of float32 where the weight has such a copy."""
        what = f"{who}: the gradient of {name!r}"
        if given is None:
            return None
        if isinstance(given, RowSparseArray):
            raise StorageError(f"{what} is row_sparse; give a dense one, or keep the rows in a ShardedTable")
        array = HOST.as_array(given, what, mutable=False)
        if array.shape != self._shapes[name]:
            raise ShapeError(f"{what} has shape {array.shape}, the parameter {self._shapes[name]}")
        own, dtype = self._dtypes[name], array.dtype.name
        if dtype != own and not (name in self._masters and dtype == "float32"):
            raise DTypeError(f"{what} is {dtype}, the parameter {own}")
        return array

    # ---- what is sent

    def cut(self, leaves: Sequence[Any], is_kept: bool) -> Parcel:
        """What each owner is sent of checked gradients. `is_kept`: whoever gave them may write to them meanwhile."""
        flat = {
            name: None if g is None else g.reshape(-1) for name, g in zip(self._shapes, leaves, strict=True)
        }
        if self._is_loose:
            own = [g if is_kept else None for g in leaves]
            given = dict(zip(self._shapes, own, strict=True))
            parts = [[self._loose(p, flat[p.name], given[p.name]) for p in pieces] for pieces in self._owners]
        else:
            parts = [self._buffers(pieces, flat) for pieces in self._owners]
        sizes = [sum(0 if a is None else a.nbytes for a in part) for part in parts]
        return Parcel(kinds_of(leaves), parts, sizes)

    def _loose(self, piece: Piece, flat: Any, given: Any) -> Any:
        """A piece of a gradient; no view of what was `given`."""
        if flat is None:
            return None
        sent = for_wire(piece.of(flat), self._wire)
        return sent if given is None or not np.may_share_memory(sent, given) else sent.copy()

    def _buffers(self, pieces: Sequence[Piece], flat: Mapping[str, Any]) -> list[Any]:
        """All pieces of an owner in one buffer for each dtype."""
        found = [None if flat[p.name] is None else p.of(flat[p.name]) for p in pieces]
        where = sent_layout([p.stop - p.start for p in pieces], kinds_of(found), self._wire)
        buffers = where.buffers()
        for target, source in zip(where.views(buffers), found, strict=True):
            if source is not None:
                target[...] = source
        return buffers


def kinds_of(arrays: Sequence[Any]) -> Kinds:
    """The dtypes of arrays; None of those that are not there."""
    return tuple([None if x is None else x.dtype.name for x in arrays])
