"""Values of a KVStore whose rule looks at whole tensors: weights here, states at the owners of a ShardedOptimizer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import NARROW
from ..errors import TooLateError
from ..expr import Extent
from ..sparse import RowSparseArray
from ..training.update import find_op
from .cluster import Cluster
from .cuts import span
from .dense import ShardedOptimizer
from .kvsteps import Asked, Steps
from .kvvalues import Held
from .wire import Wire


def looks_at_whole(steps: Steps) -> bool:
    """Whether a rule looks at whole tensors, and takes nothing but a gradient and states."""
    more = [i.name for i in steps.op.inputs[2:] if i.name not in steps.op.states and i.kind != "scalar"]
    return not more and (steps.op.is_matrix or span(steps.update) == Extent.TENSOR)


class Whole:
    """A value that is updated by its rule as a whole."""

    is_sharded = True

    def __init__(self, held: Held, steps: Steps) -> None:
        self.shape, self.dtype, self.is_sparse = held.shape, held.dtype, held.is_sparse
        self.key, self.steps = held.key, steps
        self.value = held.read()
        self.group: ShardedOptimizer | None = None
        self._members: Sequence[str] = ()
        self._pushes = 0

    @property
    def name(self) -> str:
        """What the group calls it."""
        return str(self.key)

    def likeness(self) -> Hashable:
        """What those have in common that are one group."""
        return self.steps.op.name, tuple(sorted(self.steps.flags.items())), self.dtype.name

    @property
    def done(self) -> int:
        """Updates by this optimizer."""
        return self._pushes

    def read(self) -> Array:
        """All of it: a copy."""
        return self.value.copy()

    def rows(self, ids: Array) -> Array:
        """The rows `ids` (n,), in order, as (n, *shape[1:])."""
        return np.array(self.value[ids])

    def stored(self) -> Array:
        """Which rows there are, in order: all."""
        return np.arange(self.shape[0], dtype=np.int64)

    def check(self, grad: Any) -> None:
        """Rows that a gradient does not list are zeros for such a rule."""

    def update(self, grad: Any, asked: Asked) -> None:
        """One step of the optimizer."""
        if self.steps.op_of(asked) is not self.steps.op:
            raise TooLateError(
                f"key {self.key!r}: another rule than {self.steps.op.name} needs another optimizer"
            )
        assert self.group is not None
        whole = grad.todense() if isinstance(grad, RowSparseArray) else grad
        grads = {**dict.fromkeys(self._members), self.name: whole}
        self.group.updates = self.steps.begin(asked)
        self.group.step(grads, **_attrs(self.steps, asked, self.dtype.name))
        self.steps.end(asked)
        self._pushes += 1

    def release(self) -> None:
        """Let the owners of all of the group go."""
        if self.group is not None:
            self.group.close()

    def states(self) -> dict[str, Array]:
        """The states by name."""
        assert self.group is not None
        return dict(self.group.states[self.name])

    def load_states(self, states: Mapping[str, Array]) -> None:
        """Have other states."""
        assert self.group is not None
        state = self.group.state_dict()
        state["parameters"][self.name]["states"] = dict(states)
        self.group.load_state_dict(state)
        self._pushes = max(self._pushes, 1)

    def take(self, states: Mapping[str, Array], done: int) -> None:
        """Have other states, after so many updates."""
        self.load_states(states)
        self._pushes = done

    def write(self, value: Any) -> None:
        """Have another value; `take` or `load_states` comes after it."""
        self.value[...] = value

    def join(self, group: ShardedOptimizer, members: Sequence[str]) -> None:
        """Belong to a group."""
        self.group, self._members = group, members


def _attrs(steps: Steps, asked: Asked, dtype: str) -> dict[str, Any]:
    """The attributes of an update, as the form of the op for this dtype has them."""
    op = find_op(asked.rule, "mp_" if dtype in NARROW else "")
    known = {*op.attrs, *(i.name for i in op.inputs if i.kind == "scalar")} - {steps.count}
    return {n: v for n, v in asked.attrs.items() if n in known and v is not None}


def gather(cluster: Cluster, values: Sequence[Whole], name: str, wire: Wire, engine: str) -> None:
    """Have owners for values, a group of all that are alike."""
    alike: dict[Hashable, list[Whole]] = {}
    for value in values:
        alike.setdefault(value.likeness(), []).append(value)
    for k, group in enumerate(alike.values()):
        first = group[0].steps
        dtype = group[0].dtype.name
        options: dict[str, Any] = {"wire": wire, "engine": engine, **_attrs(first, first.ask(), dtype)}
        if dtype in NARROW:
            options["multi_precision"] = True
        params = {value.name: value.value for value in group}
        options["n_owners"] = cluster.n_shards
        made = ShardedOptimizer(cluster.transport, params, first.op.name, name=f"{name}-{k}", **options)
        for value in group:
            value.join(made, list(params))
