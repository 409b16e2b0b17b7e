"""What is given to a ShardedOptimizer, looked at before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from ..arrays import Array
from ..errors import (
    AttributeValueError,
    DeviceError,
    DTypeError,
    MissingArgumentError,
)
from ..infer import infer
from ..opdef import OPS
from ..places import HOST, Place
from ..training.graph import variable_name
from ..training.groups import Group
from ..training.plan import Options, assemble
from .owner import Kinds

WIRES = (None, "float16", "bfloat16")


def check_options(options: Options, place: Place, wire: str | None) -> None:
    """Refuse what only one process can do."""
    if place is not HOST:
        raise DeviceError(
            f"ShardedOptimizer: the parameters are on {place.context!r}; give arrays in the host's memory"
        )
    if options.nan_guard is not None:
        raise AttributeValueError(
            "ShardedOptimizer: nan_guard looks at what one process stores, and others would go on: give "
            "skip_nonfinite=True, which leaves a step out everywhere"
        )
    if wire not in WIRES:
        raise AttributeValueError(f"ShardedOptimizer: wire is one of {WIRES}, got {wire!r}")


def check_graph(groups: Mapping[str, Group], options: Options, views: Mapping[str, Array]) -> None:
    """Raise what `so.compile` would raise of this step on these parameters."""
    whole = assemble(dict.fromkeys(groups, "default"), groups, options, True)
    shapes = {n: views[n].shape for n in groups} | {variable_name(n, "grad"): views[n].shape for n in groups}
    dtypes = {n: views[n].dtype.name for n in groups}
    gradients = {variable_name(n, "grad"): d for n, d in dtypes.items()}
    infer(whole._outputs, shapes, dtypes | gradients)


def modules_of(groups: Mapping[str, Group], may_be_here: bool) -> list[str]:
    """The modules that owners import for rules of the user's own. `may_be_here`: owners are in this process."""
    found = set()
    for group in groups.values():
        name = group.hyper.op.name
        op = OPS.get(name) or OPS[name.removeprefix("mp_")]
        module = op.formula.__module__
        if module.startswith("symopt."):
            continue
        spec = getattr(sys.modules.get(module), "__spec__", None)
        if not may_be_here and (module == "__main__" or spec is None):
            raise AttributeValueError(
                f"ShardedOptimizer: the formula of {op.name} is in {module}, which other processes can't import: put "
                "it in a module of its own"
            )
        if not may_be_here:
            found.add(module)
    return sorted(found)


class Ranks:
    """The gradients that `n_ranks` ranks have of parameters, by name of the dtypes `own`."""

    def __init__(self, own: Mapping[str, str], n_ranks: int) -> None:
        self._names, self._own, self._n_ranks = [*own], tuple(own.values()), n_ranks

    def together(self, ranks: Sequence[Kinds]) -> Kinds:
        """The dtypes of the sums over ranks. MissingArgumentError if all ranks are there, and none has any gradient."""
        if all(kinds == self._own for kinds in ranks):
            return self._own
        found = tuple([_one(kinds, name) for name, *kinds in zip(self._names, *ranks, strict=True)])
        if len(ranks) == self._n_ranks and not any(found):
            raise MissingArgumentError("gradients: every one is None; there is nothing to update")
        return found


def _one(kinds: Sequence[str | None], name: str) -> str | None:
    found = {k for k in kinds if k is not None}
    if len(found) > 1:
        raise DTypeError(
            f"the gradients of {name!r} are of {' and '.join(sorted(found))}: all ranks need one dtype"
        )
    return found.pop() if found else None
