"""What a Symbol tells of itself: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..context import Context
from ..expr import Node

if TYPE_CHECKING:
    import networkx

    from ..cost.bandwidth import Calibration
    from ..cost.model import Cost
    from ..lint import Finding
    from ..planned import Planned
    from ..view.model import Level
    from ..view.text import Text


class LookAtSymbol:
    """A base class of Symbol."""

    __slots__ = ()

    _outputs: tuple[Node, ...]

    def _planned(
        self,
        shapes: Mapping[str, Any],
        type_dict: Mapping[str, Any] | None,
        stype_dict: Mapping[str, str] | None,
        rows: Mapping[str, int] | None,
    ) -> Planned:
        from ..planned import plan_graph

        return plan_graph(self._outputs, shapes, type_dict, stype_dict, rows)

    # ---- text

    def tree(self, full: bool = False) -> Text:
        """The graph as an indented tree: a node's inputs below it, each node once. Siblings alike are folded, and long
        trees cut off, unless `full`."""
        from ..view.tree import tree

        return tree(self._outputs, full)

    def table(
        self,
        full: bool = False,
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> Text:
        """A row for each node: name, op, inputs, shape, dtype, storage, bytes, kernels, the line that built it. What
        does not follow from the shapes given is ?. Rows alike are folded unless `full`."""
        from ..view.tables import node_table

        return node_table(self._planned(shapes, type_dict, stype_dict, rows), full)

    def explain(
        self,
        *nodes: str,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> Text:
        """The graph after each pass, for variables of these shapes. Of one node, by name: what it becomes; of two: why
        they run in one kernel, or do not."""
        from ..view.explain import explain

        return explain(self._planned(shapes, type_dict, stype_dict, rows), *nodes)

    # ---- graphs

    def to_networkx(
        self,
        level: Level = "symbol",
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> networkx.MultiDiGraph[Any]:
        """The graph for networkx; see view.networks. Levels below "symbol" need shapes, as simple_bind does."""
        from ..view.networks import to_networkx

        return to_networkx(self._planned(shapes, type_dict, stype_dict, rows), level)

    # ---- mathematics

    def formula(self, *, simplified: bool = True) -> str:
        """What the graph computes, as lines of mathematics; x' is the new value of x, x its value before the step.

        Attributes are put in, and what they make neutral is left out; with simplified=False they are called by name.
        Nodes alike are written once, short formulas where they are read.

        >>> from symopt import sym
        >>> print(sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1).formula())
        w' = w - 0.1 · g
        """
        from ..show.doors import write_symbol

        return write_symbol(self._outputs, "text", simplified)

    def latex(self, *, simplified: bool = True) -> str:
        """`formula` in LaTeX: states and weights have subscripts t-1 before and t after the step."""
        from ..show.doors import write_symbol

        return write_symbol(self._outputs, "latex", simplified)

    def mathml(self, *, simplified: bool = True) -> str:
        """`formula` in MathML, one element for a page of HTML."""
        from ..show.doors import write_symbol

        return write_symbol(self._outputs, "mathml", simplified)

    def to_dot(
        self,
        level: Level = "symbol",
        full: bool = False,
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> str:
        """The graph in the language of Graphviz; see view.dot. Levels below "symbol" need shapes."""
        from ..view.dot import to_dot
        from ..view.levels import view_of

        return to_dot(view_of(self._planned(shapes, type_dict, stype_dict, rows), level), full)

    def to_graphml(
        self,
        path: str | PathLike[str],
        level: Level = "symbol",
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> None:
        """Write the graph of `to_networkx` as GraphML, which yEd, Gephi, igraph and networkx read; see view.graphml."""
        from ..files import write_whole
        from ..view.graphml import graphml
        from ..view.levels import view_of

        view = view_of(self._planned(shapes, type_dict, stype_dict, rows), level, each=True)
        write_whole(path, graphml(view).encode())

    # ---- drawings

    def draw(
        self,
        path: str | PathLike[str],
        level: Level = "symbol",
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        **shapes: Any,
    ) -> None:
        """Draw the graph to a file, by the ending of its name: .html, a page to explore; .svg, .png, .pdf, by
        Graphviz; .dot, .gv, its text. Levels below "symbol" need shapes, as simple_bind does; see view.draw."""
        from ..cost.model import predicted
        from ..view.draw import draw

        draw(predicted(self._planned(shapes, type_dict, stype_dict, rows)), path, level)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ..errors import SymoptError
        from ..view.draw import in_notebook, refused_in_notebook

        try:
            return in_notebook(self._planned({}, None, None, None))
        except SymoptError as error:
            return refused_in_notebook(error)

    # ---- warnings

    def lint(
        self,
        *,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        select: Collection[str] | str | None = None,
        ignore: Collection[str] | str = (),
        **shapes: Any,
    ) -> list[Finding]:
        """What is legal in this graph and usually wrong; see docs/lint. Shapes, dtypes, storage and how many rows a
        gradient lists let more rules decide; none is needed. `select`, `ignore`: codes, or what they begin with."""
        from ..lint.run import lint_symbol

        return lint_symbol(self._outputs, shapes, type_dict, stype_dict, rows, select, ignore)

    # ---- cost

    def cost(
        self,
        *,
        ctx: Context | str | None = None,
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Mapping[str, str] | None = None,
        rows: Mapping[str, int] | None = None,
        calibration: Calibration | None = None,
        **shapes: Any,
    ) -> Cost:
        """What a step would cost on device `ctx`, before anything is allocated: bytes of weights, gradients and states,
        bytes moved, arithmetic, seconds. Shapes as simple_bind takes them; `rows`: how many each row_sparse variable
        lists."""
        from dataclasses import replace

        from ..cost.model import cost

        planned = self._planned(shapes, type_dict, stype_dict, rows)
        return cost(replace(planned, ctx=Context.as_context(ctx)), calibration)
