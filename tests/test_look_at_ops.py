"""Every update op, dense and with a row_sparse gradient, as text, drawing and file: none stops it."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from symopt import sym
from symopt.attrs import REQUIRED
from symopt.errors import StorageError
from symopt.expr import PICK
from symopt.opdef import OpDef, all_ops
from symopt.planned import Planned, plan_graph
from symopt.view.dot import to_dot
from symopt.view.explain import explain
from symopt.view.graphml import graphml
from symopt.view.levels import view_of
from symopt.view.model import LEVELS
from symopt.view.tables import node_table, summary

OPS = [op for op in all_ops() if op.is_update and not op.is_variadic]
PLAIN = {"float": 0.1, "integer": 1, "int": 1, "bool": False, "str": "", "dtype": "float32"}


def planned(op: OpDef, stype: str) -> Planned:
    """The op on a weight of (12, 20), its required attributes at some value or other."""
    attrs: dict[str, Any] = {a.name: PLAIN[a.kind] for a in op.attrs.values() if a.default is REQUIRED}
    node = getattr(sym, op.name)(name="node", **attrs)
    first, *others = node.list_inputs()
    return plan_graph(node._outputs, {first: (12, 20)}, None, {n: stype for n in others if n == "node_grad"})


@pytest.mark.parametrize("stype", ["default", "row_sparse"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_update_op_can_be_looked_at(op: OpDef, stype: str) -> None:
    try:
        found = planned(op, stype)
    except StorageError:
        assert stype == "row_sparse"
        return
    n_calls = len(found.needed().lowered.calls)
    text = explain(found)
    assert text.startswith(f"lower: 1 node becomes {n_calls:,} call")
    assert "run in one kernel" not in explain(found, "node") and "launch" in explain(found, "node")
    assert str(summary(found)).splitlines()[0].startswith("1 node on ")
    rows = node_table(found, full=True).split("\n\n")[0].splitlines()
    assert len(rows) == 2 + sum(node.op != PICK for node in found.types.order)
    for level in LEVELS:
        each = view_of(found, level, each=True)
        assert to_dot(each, full=True).count(" [label=") >= len(each.items)
        assert len(list(ElementTree.fromstring(graphml(each).encode()).iter())) > 2 * len(each.items)
