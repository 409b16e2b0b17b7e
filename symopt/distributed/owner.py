"""The process that owns a part of dense parameters: it has their weights and states, and takes steps as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..canonical import BLOCK
from ..dtypes import to_numpy
from ..errors import ClusterError
from ..interrupts import uninterrupted
from ..places import HOST
from ..serial import load_json
from ..training.graph import variable_name
from ..training.plan import FACTOR
from ..training.runner import Runner, Runners
from .flat import Layout, layout
from .pairwise import add_up
from .parts import Parts
from .sequence import FENCED

Kinds = tuple[str | None, ...]  # the dtype of each piece's gradient; None: it has none


class Owner:
    """The service "symopt.distributed.owner:Owner".

    It knows graphs and arrays, and neither rules nor schedules: those are the driver's, which sends graphs as JSON and
    the numbers of each step. `config`: `pieces`, each with `name`, `shape`, `dtype` and `kept`, a list of (kind, shape,
    dtype, what it begins with) of the arrays kept beside the weight; `modules`, to be imported for the ops they have;
    `wire`, the dtype that gradients come in; `engine`; `epoch`; `is_loose`: the driver is in this process;
    weights are its arrays, and gradients come as an array for each piece.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        for module in config["modules"]:
            import_module(module)
        self._pieces = config["pieces"]
        self._wire, self._engine, self._is_loose = config["wire"], config["engine"], config["is_loose"]
        self._sizes = [int(np.prod(p["shape"], dtype=np.int64)) for p in self._pieces]
        self._own: Kinds = tuple(p["dtype"] for p in self._pieces)
        self._weights = [] if self._is_loose else layout(self._sizes, self._own).buffers()
        self._arrays = self._allocated()
        self._parts = Parts(config["epoch"], 0)
        self._graphs: dict[Any, Mapping[str, Any]] = {}
        self._runners = Runners()
        self._summed: list[Any] | None = None  # the gradients of the step that is due, by piece
        self._sums: dict[Kinds, tuple[Layout, list[Any]]] = {}
        self._factor: Any = None

    def _allocated(self) -> dict[str, Any]:
        """All arrays that stay, by the names of their variables."""
        found: dict[str, Any] = {}
        if not self._is_loose:
            found |= self._named(layout(self._sizes, self._own).views(self._weights))
        for piece in self._pieces:
            for kind, shape, dtype, _ in piece["kept"]:
                found[variable_name(piece["name"], kind)] = np.zeros(shape, to_numpy(dtype))
        return found

    def _named(self, weights: Sequence[Any]) -> dict[str, Any]:
        return {p["name"]: w.reshape(p["shape"]) for p, w in zip(self._pieces, weights, strict=True)}

    # ---- state

    def begin(self, step: int, weights: Sequence[Any], kept: Mapping[str, Any] | None) -> None:
        """Take over weights, and what is kept beside them, after `step` steps. None: as it begins."""
        self.write(weights)
        for piece in self._pieces:
            for kind, _, _, first in piece["kept"]:
                name = variable_name(piece["name"], kind)
                if kept is not None:
                    self._arrays[name][...] = kept[name].reshape(self._arrays[name].shape)
                else:
                    self._arrays[name][...] = self._arrays[piece["name"]] if first == "weight" else first
        self._parts, self._summed = Parts(self._parts.epoch, step), None

    def write(self, weights: Sequence[Any]) -> None:
        """Take over weights: copies of their buffers, or, `is_loose`, the very arrays, piece by piece."""
        if self._is_loose:
            self._arrays |= self._named(weights)
            self._runners.clear()
            return
        for own, given in zip(self._weights, weights, strict=True):
            own[...] = given

    def state(self) -> dict[str, Any]:
        """Copies of what `begin` takes: the step, the weights, and what is kept beside them."""
        kept = {n: a.copy() for n, a in self._arrays.items() if n not in {p["name"] for p in self._pieces}}
        return {"step": self._parts.done, "weights": [w.copy() for w in self._weights], "kept": kept}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Begin with what `state` gave."""
        self.begin(state["step"], state["weights"], state["kept"])

    def kept(self, kind: str) -> list[Any]:
        """Copies of one kind of what is kept, flat, for each piece."""
        return [self._arrays[variable_name(p["name"], kind)].reshape(-1).copy() for p in self._pieces]

    # ---- steps

    def learn(self, key: Any, graphs: Mapping[str, Any]) -> None:
        """Graphs of steps of a kind: "update" and, where something is asked of all gradients first, "measure". `key`
        begins with a number; those with another one are let go of."""
        if any(known[0] != key[0] for known in self._graphs):
            self._graphs.clear()
            self._runners.clear()
        self._graphs[key] = graphs

    def push(
        self, epoch: int, step: int, rank: int, of: int, kinds: Kinds | None, grads: Sequence[Any]
    ) -> str:
        """Take in the gradients of one of `of` ranks; see Parts. `kinds` None: each piece has one, of its
        weight's dtype."""
        return self._parts.offer(epoch, step, rank, of, (self._own if kinds is None else kinds, grads))

    def measure(self, epoch: int, step: int, key: Any, numbers: Mapping[str, float]) -> list[Any]:
        """What the graph "measure" gives of the gradients of a step, whose sums it makes."""
        names, grads = self._live(epoch, step)
        views = dict(self._measured(names, grads, key))
        runner = self._runners.get((key, "measure"), lambda: self._bind(key, "measure", {}, views, numbers))
        return [x.copy() for x in runner.run(list(views.values()), numbers)]

    def _measured(self, names: Sequence[str], grads: Sequence[Any], key: Any) -> Any:
        """The arrays that "measure" takes: gradients, and sums of former ones, as blocks where sums are made of
        pieces."""
        for variable, name, form in self._graphs[key]["views"]:
            kind = variable.split("/")[1]
            array = grads[names.index(name)] if kind == "grad" else self._arrays[variable_name(name, kind)]
            flat = array.reshape(-1)
            blocks = flat.size // BLOCK * BLOCK
            if form == "blocks":
                yield variable, flat[:blocks].reshape(-1, BLOCK)
            else:
                yield variable, flat[blocks:].reshape(1, -1) if form == "rest" else array

    def apply(
        self, epoch: int, step: int, key: Any, numbers: Mapping[str, float], factor: Any
    ) -> list[Any] | None:
        """Take a step with these numbers, and give the new weights in their buffers; None of a step that only adds up.
        A step that was taken before gives what it gave then."""
        if self._is_done(epoch, step):
            return self._weights
        names, grads = self._live(epoch, step)
        live = {variable_name(name, "grad"): grad for name, grad in zip(names, grads, strict=True)}
        if self._graphs[key]["update"] is not None:
            if factor is not None and self._factor is None:
                self._factor = np.empty(1, factor.dtype)
            if factor is not None:
                self._factor[...] = factor
            runner = self._runners.get(
                (key, "update"),
                lambda: self._bind(key, "update", self._arrays | {FACTOR: self._factor}, live, numbers),
            )
            with uninterrupted():  # a step that is done but not counted would be made again
                runner.run(grads, numbers)
                self._finish()
        else:
            self._finish()
        return self._weights if self._graphs[key]["gives"] else None

    def skip(self, epoch: int, step: int) -> None:
        """Leave a step out: what was added up for it is let go of."""
        if self._is_done(epoch, step):
            return
        names, _ = self._live(epoch, step)
        for name in names:
            total = self._arrays.get(variable_name(name, "accumulator"))
            if total is not None:
                total[...] = 0
        self._finish()

    def _is_done(self, epoch: int, step: int) -> bool:
        return epoch == self._parts.epoch and step == self._parts.done

    def _finish(self) -> None:
        self._parts.finish()
        self._summed = None

    def _bind(self, key: Any, which: str, arrays: Any, grads: Any, numbers: Mapping[str, float]) -> Runner:
        symbol = load_json(self._graphs[key][which])
        wanted = set(symbol.list_inputs())
        given = {name: a for name, a in arrays.items() if name in wanted}
        return Runner(symbol, given, grads, numbers, HOST.context, self._engine)

    # ---- sums over ranks

    def _live(self, epoch: int, step: int) -> tuple[list[str], list[Any]]:
        """The names of the pieces that have a gradient in a step, and the sums of what ranks sent."""
        due = self._parts.due() if (epoch, step) == (self._parts.epoch, self._parts.done + 1) else None
        if due is None:
            why = FENCED if epoch != self._parts.epoch else "its gradients are not all there"
            raise ClusterError(f"an owner after step {self._parts.done} can't take step {step}: {why}")
        if self._summed is None:
            self._summed = self._added(due)
        grads = self._summed
        return [p["name"] for p, g in zip(self._pieces, grads, strict=True) if g is not None], [
            g for g in grads if g is not None
        ]

    def _added(self, parts: Sequence[tuple[Kinds, Sequence[Any]]]) -> list[Any]:
        """The gradient of each piece, or None."""
        seen = [kinds for kinds, _ in parts]
        kinds = tuple(next((k[i] for k in seen if k[i] is not None), None) for i in range(len(self._pieces)))
        views = [self._views(k, grads) for k, grads in parts]
        if len(parts) == 1 and all(
            v is None or v.dtype.name == k for v, k in zip(views[0], kinds, strict=True)
        ):
            found = views[0]
        else:
            found = self._totals(kinds)
            sent = sent_layout(self._sizes, kinds, self._wire).places
            if not self._is_loose and sent == self._sums[kinds][0].places and all(k == kinds for k in seen):
                for leaves in zip(*(grads for _, grads in parts), self._sums[kinds][1], strict=True):
                    add_up(leaves[:-1], leaves[-1])
            else:
                for k, total in enumerate(found):
                    if total is not None:
                        add_up([v[k] for v in views], total)
        return [
            None if g is None else g.reshape(p["shape"]) for g, p in zip(found, self._pieces, strict=True)
        ]

    def _totals(self, kinds: Kinds) -> list[Any]:
        """Arrays for sums, the same at every step."""
        if kinds not in self._sums:
            where = layout(self._sizes, kinds)
            self._sums = {kinds: (where, where.buffers())}
        where, buffers = self._sums[kinds]
        return where.views(buffers)

    def _views(self, kinds: Kinds, grads: Sequence[Any]) -> list[Any]:
        """What a rank sent, for each piece."""
        if self._is_loose:
            return list(grads)
        return sent_layout(self._sizes, kinds, self._wire).views(grads)


def sent_layout(sizes: Sequence[int], kinds: Kinds, wire: str | None) -> Layout:
    """Where the gradients of pieces lie in what is sent of them."""
    return layout(sizes, [None if k is None else sent_dtype(k, wire) for k in kinds])


def sent_dtype(dtype: str, wire: str | None) -> str:
    """What gradients of a dtype are sent as."""
    return wire if wire and to_numpy(wire).itemsize < to_numpy(dtype).itemsize else dtype
