"""A typed graph and its program, bound to arrays or not: what can be looked at, counted and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .binding import as_shape, check_known
from .context import Context, cpu
from .dtypes import canonical
from .errors import MissingArgumentError
from .expr import Node
from .infer import Types, infer
from .listing import list_variables
from .passes import compile_graph
from .passes.ir import LISTED, Instance, Kernel, Program, Shape
from .passes.traffic import NOTHING, Listed

NAMED = 8  # variables in an error


@dataclass(frozen=True, eq=False)
class Planned:
    """`program` is None where some shape is not known, or where it was not asked for. `listed`: how many rows each
    row_sparse variable holds.

    `ctx`: where it runs. `seconds`: of launches, by number, as the last profile of an executor has them; `predicted`:
    of every launch, where it was asked for. `gradients`: which rows row_sparse variables list, and `strided`: bytes of
    views copied before a step, where that was looked up.
    """

    roots: Sequence[Node]
    types: Types
    program: Program | None
    listed: Mapping[str, int]
    ctx: Context = field(default_factory=cpu)
    seconds: Mapping[int, float] = field(default_factory=dict)
    predicted: Sequence[float | None] = ()
    gradients: Mapping[str, Listed] = field(default_factory=dict)
    strided: int = 0

    def rows_of(self, kernel: Kernel, instance: Instance) -> Listed:
        """What the sparse gradient of an instance lists; where that is not known, each row once and in order."""
        name = instance.values[kernel.sparse].variable if kernel.sparse >= 0 else None
        if name is None:
            return NOTHING
        count = self.listed.get(name, 0)
        return self.gradients.get(name) or Listed(count, count)

    def domain(self, kernel: Kernel, instance: Instance) -> Shape:
        """The shape that an instance runs over: of a LISTED kernel, the rows there are."""
        if kernel.mode != LISTED:
            return instance.domain
        return (self.rows_of(kernel, instance).distinct, *instance.domain[1:])

    def needed(self) -> Program:
        """The program; MissingArgumentError that names the variables whose shapes do not follow, if there is none."""
        if self.program is not None:
            return self.program
        names = unknown(self.types)
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        raise MissingArgumentError(
            f"the shapes of {', '.join(names[:NAMED])}{more} do not follow from those given: give more"
        )


def plan_graph(
    roots: Sequence[Node],
    shapes: Mapping[str, Any],
    type_dict: Mapping[str, Any] | None = None,
    stype_dict: Mapping[str, str] | None = None,
    rows: Mapping[str, int] | None = None,
    *,
    program: bool = True,
) -> Planned:
    """Plan a graph for variables of these shapes, without arrays. `rows`: how many rows a row_sparse variable lists, in
    place of all it has. `program=False`: only what must be so, and nothing is assumed of the rest."""
    variables = list_variables(roots)
    known = [node.name for node in variables.inputs]
    check_known("shapes", (*shapes, *(type_dict or {}), *(stype_dict or {}), *(rows or {})), known)
    dtypes = {name: canonical(dtype) for name, dtype in (type_dict or {}).items()}
    sizes = {name: as_shape(name, shape) for name, shape in shapes.items()}
    types = infer(roots, sizes, dtypes, stype_dict, partial=not program, order=variables.order)
    if program and unknown(types):
        return Planned(roots, types, None, {})
    open_ = [n.name for n in variables.inputs if types.dtype(n) is None and not types.is_host(n)]
    if program and open_:  # float32, as simple_bind allocates them
        types = infer(
            roots, sizes, dtypes | dict.fromkeys(open_, "float32"), stype_dict, order=variables.order
        )
    listed = {
        node.name: (rows or {}).get(node.name, (types.shape(node) or (0,))[0])
        for node in variables.inputs
        if types.stype(node) == "row_sparse"
    }
    return Planned(roots, types, compile_graph(roots, types) if program else None, listed)


def unknown(types: Types) -> list[str]:
    """The variables whose shapes are not known."""
    names = []
    for node in types.order:
        shape = types.shape(node)
        if node.is_variable and (shape is None or -1 in shape):
            names.append(node.name)
    return names
