"""The state of a ShardedOptimizer, whole: gathered from its owners, compared, and cut up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import to_numpy
from ..state import Commit, Differences
from ..training.assigned import Assigned
from ..training.compiled import FORMAT
from ..training.graph import variable_name
from ..training.plan import Options
from ..training.restore import plan_step
from .densepieces import Pieces


class Full:
    """What `restore.plan_step` takes: the state as a step of `so.compile` has it, in arrays of this process.

    `updates`, `micro`: as they are, or, after a load, as they are to be. `given`: what each owner's `state` gave; None
    for arrays of zeros.
    """

    def __init__(
        self, of: Any, pieces: Pieces, assigned: Assigned, options: Options, given: Sequence[Any] | None
    ) -> None:
        self.updates, self.micro = of.updates, of._micro
        self.loss_scale = of.loss_scale
        self._options, self._assigned, self._pieces = options, assigned, pieces
        self._weights = of._views
        self._arrays: dict[str, dict[str, Array]] = {
            name: {kind: np.zeros(shape, to_numpy(dtype)) for kind, shape, dtype, _ in pieces.kept(name)}
            for name in assigned.groups
        }
        for owned, state in zip(pieces.of_owners, given or [], strict=given is not None):
            for piece in owned:
                for kind, array in self._arrays[piece.name].items():
                    piece.of(array)[...] = state["kept"][variable_name(piece.name, kind)].reshape(-1)

    def state_dict(self) -> dict[str, Any]:
        """In the format of `CompiledStep`."""
        parameters = {
            name: {
                "rule": group.hyper.op.name,
                "shape": list(self._weights[name].shape),
                "dtype": self._weights[name].dtype.name,
                "hyper": group.hyper.described(),
                "products": dict(group.hyper.products),
                "states": dict(self._arrays[name]),
            }
            for name, group in self._assigned.groups.items()
        }
        state = {
            "format": FORMAT,
            "updates": self.updates,
            "micro_steps": self.micro,
            "parameters": parameters,
        }
        return state | ({} if self.loss_scale is None else {"loss_scale": self.loss_scale.state()})

    def _restore(self, updates: int, micro: int, products: Mapping[str, Mapping[str, float]]) -> None:
        self.updates, self.micro = updates, micro
        for name, values in products.items():
            self._assigned.groups[name].hyper.products.update(values)

    def parts(self, pieces: Pieces) -> list[dict[str, Array]]:
        """What each owner keeps, by the names of its variables. `pieces`: how it is cut then."""
        found = []
        for owned in pieces.of_owners:
            kept = {}
            for piece in owned:
                for kind, array in self._arrays[piece.name].items():
                    kept[variable_name(piece.name, kind)] = piece.of(array)
            found.append(kept)
        return found


def plan(
    full: Full, state: Mapping[str, Any], found: Differences, path: str, loaded: Callable[[Full], None]
) -> Commit:
    """Compare a state with what is here, and give the function that takes it over."""
    write: Any = plan_step(full, state, found, path)  # type: ignore[arg-type]  # all that it asks for is there

    def commit() -> None:
        write()
        loaded(full)

    return commit
