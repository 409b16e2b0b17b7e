"""Who owns which piece of dense parameters, and the way of arrays there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import COMPLEX, ITEMSIZE, to_numpy
from ..training.assigned import Assigned
from ..training.plan import Options
from ..training.update import first_value, state_types
from .cuts import Cuttable, Piece, cut, grain, span
from .flat import layout
from .parcels import Parcels

Kept = list[tuple[str, tuple[int, ...], str, float | str]]  # kind, shape, dtype, what it begins with


class Pieces:
    """`of_owners`: the pieces of each owner that has any. `is_loose`: owners are in this process, and get views of
    weights and gradients, piece by piece. `said`: how gradients are cut, as `Parcels` takes it; workers are told, and
    cut anew if it is another object. `parcels`: what cuts here."""

    def __init__(
        self,
        views: Mapping[str, Array],
        assigned: Assigned,
        options: Options,
        n_owners: int,
        wire: str | None,
        is_loose: bool,
    ) -> None:
        self._dtypes = {name: view.dtype.name for name, view in views.items()}
        self._shapes = {name: view.shape for name, view in views.items()}
        self._wire, self._is_loose = wire, is_loose
        self._assigned, self._options = assigned, options
        self._facts = self._facts_of(assigned, options)
        cuttable = [self._cuttable(name) for name in views]
        self.of_owners: list[list[Piece]] = [pieces for pieces in cut(cuttable, n_owners) if pieces]
        self._places = [
            layout([p.stop - p.start for p in pieces], [self._dtypes[p.name] for p in pieces])
            for pieces in self.of_owners
        ]
        self.said = self._told_of_gradients()
        self.parcels = Parcels(self.said)

    def _told_of_gradients(self) -> dict[str, Any]:
        groups = self._assigned.groups
        return {
            "shapes": self._shapes,
            "dtypes": self._dtypes,
            "masters": [name for name, group in groups.items() if group.hyper.op.master >= 0],
            "frozen": self._assigned.frozen,
            "owners": [[astuple(piece) for piece in pieces] for pieces in self.of_owners],
            "wire": self._wire,
            "is_loose": self._is_loose,
        }

    def _facts_of(self, assigned: Assigned, options: Options) -> dict[str, tuple[int, Kept]]:
        """Of each parameter: between how many elements it may be cut, and what is kept of it whole."""
        found, spans = {}, {}
        for name, group in assigned.groups.items():
            dtype, shape = self._dtypes[name], self._shapes[name]
            if id(group) not in spans:
                update = group.update()
                spans[id(group)] = update, span(update)
            update, reach = spans[id(group)]
            is_cut_free = options.clip_norm is None and not (
                options.clip_global_norm is not None and dtype in COMPLEX
            )
            size = max(int(np.prod(shape, dtype=np.int64)), 1)
            has_sums = options.clip_global_norm is not None
            step = grain(reach, shape, ITEMSIZE[dtype], has_sums) if is_cut_free else size
            found[name] = step, self._kept(name, shape)
        return found

    def _kept(self, name: str, shape: tuple[int, ...]) -> Kept:
        """The arrays beside a weight of this shape, and what they begin with."""
        update, dtype = self._assigned.groups[name].update(), self._dtypes[name]
        types = state_types(update, shape, dtype)
        found: Kept = [(k, s, d, first_value(update, k)) for k, (s, d) in types.items()]
        if self._options.accumulate > 1:
            found.append(("accumulator", shape, dtype, 0.0))
        if self._options.ema is not None:
            found.append(("average", shape, dtype, "weight"))
        return found

    def _cuttable(self, name: str) -> Cuttable:
        step, kept = self._facts[name]
        size = max(int(np.prod(self._shapes[name], dtype=np.int64)), 1)
        bytes_of = 2 * ITEMSIZE[self._dtypes[name]] + sum(
            int(np.prod(s, dtype=np.int64)) * ITEMSIZE[d] / size for _, s, d, _ in kept
        )
        return Cuttable(name, self._shapes[name], step, bytes_of)

    def fit(self, assigned: Assigned, options: Options) -> bool:
        """Whether other flags of rules leave states and cuts as they are."""
        after = self._facts_of(assigned, options)
        return all(
            after[n][0] == step and [k[:3] for k in after[n][1]] == [k[:3] for k in kept]
            for n, (step, kept) in self._facts.items()
        )

    def kept(self, name: str) -> Kept:
        """What is kept of a whole parameter."""
        return self._facts[name][1]

    def configs(self, modules: Sequence[str], engine: str) -> list[dict[str, Any]]:
        """What each owner is started with."""
        common = {"modules": list(modules), "engine": engine, "wire": self._wire, "is_loose": self._is_loose}
        return [{**common, "pieces": [self._described(p) for p in pieces]} for pieces in self.of_owners]

    def _described(self, piece: Piece) -> dict[str, Any]:
        kept = [[k, list(s), d, first] for k, s, d, first in self._kept(piece.name, piece.shape)]
        return {
            "name": piece.name,
            "shape": list(piece.shape),
            "dtype": self._dtypes[piece.name],
            "kept": kept,
        }

    # ---- there and back

    def weights(self, views: Mapping[str, Array]) -> list[list[Array]]:
        """The weights of each owner: copies in their buffers, or, where owners are in this process, views."""
        if self._is_loose:
            return [[p.of(views[p.name]) for p in pieces] for pieces in self.of_owners]
        found = []
        for pieces, where in zip(self.of_owners, self._places, strict=True):
            buffers = where.buffers()
            for piece, target in zip(pieces, where.views(buffers), strict=True):
                target[...] = piece.of(views[piece.name])
            found.append(buffers)
        return found

    def gather(self, buffers: Sequence[Sequence[Array]], views: Mapping[str, Array]) -> None:
        """Write what owners have into the parameters, if it is not there."""
        if self._is_loose:
            return
        for pieces, where, given in zip(self.of_owners, self._places, buffers, strict=True):
            for piece, source in zip(pieces, where.views(given), strict=True):
                piece.of(views[piece.name])[...] = source

    def whole(self, kind: str, given: Sequence[Sequence[Array]]) -> dict[str, Array]:
        """One kind of what is kept, by parameter, of its pieces: flat arrays of each owner."""
        found: dict[str, Array] = {}
        for name in self._shapes:
            for k, shape, dtype, _ in self.kept(name):
                if k == kind:
                    found[name] = np.zeros(shape, to_numpy(dtype))
        for pieces, arrays in zip(self.of_owners, given, strict=True):
            for piece, array in zip(pieces, arrays, strict=True):
                if piece.name in found:
                    piece.of(found[piece.name])[...] = array
        return found
