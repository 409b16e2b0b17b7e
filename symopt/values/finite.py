"""Whether all that an executor holds is finite."""

from __future__ import annotations

from ..finite import scan
from ..listing import output_name
from ..nonfinite import Finding, FiniteReport, findings, node_of, of_number, scan_bound, uses
from ..step import Step


def check_finite(step: Step) -> FiniteReport:
    """Look at every bound array (of a sparse one, the rows it has), number and output of a step.

    Arrays are read block by block; nothing is copied but blocks. On a device, waits for the steps before.
    """
    step.synchronize()
    known = uses(step.types)
    found: list[Finding] = []
    for name, b in step.bound.items():
        role, node = known.get(name, ("output", None))
        if step.is_number(name):
            found += of_number(name, "number", b.read_number(), node)
        else:
            found += findings(name, role, scan_bound(b), node)
    variables = {id(array) for name, array in step.memory.arrays.items() if isinstance(name, str)}
    for root, value, array in zip(step.roots, step.program.lowered.heads, step.outputs, strict=True):
        key = step.program.storage.get(id(value))
        if value.host:
            found += of_number(output_name(root), "output", float(array), node_of(root))
        elif isinstance(key, int) and id(array) not in variables:
            found += findings(output_name(root), "output", scan(array, step.place), node_of(root))
    return FiniteReport(tuple(found))
