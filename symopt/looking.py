"""What a Symbol and an Executor tell of themselves: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from .expr import Node

if TYPE_CHECKING:
    import networkx

    from .context import Context
    from .lint import Finding
    from .planned import Planned
    from .step import Step
    from .view.model import Level
    from .view.text import Text


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
        from .planned import plan_graph

        return plan_graph(self._outputs, shapes, type_dict, stype_dict, rows)

    # ---- text

    def tree(self, full: bool = False) -> Text:
        """The graph as an indented tree: a node's inputs below it, each node once. Siblings alike are folded, and long
        trees cut off, unless `full`."""
        from .view.tree import tree

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
        from .view.tables import node_table

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
        from .view.explain import explain

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
        from .view.networks import to_networkx

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
        from .show.doors import write_symbol

        return write_symbol(self._outputs, "text", simplified)

    def latex(self, *, simplified: bool = True) -> str:
        """`formula` in LaTeX: states and weights have subscripts t-1 before and t after the step."""
        from .show.doors import write_symbol

        return write_symbol(self._outputs, "latex", simplified)

    def mathml(self, *, simplified: bool = True) -> str:
        """`formula` in MathML, one element for a page of HTML."""
        from .show.doors import write_symbol

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
        from .view.dot import to_dot
        from .view.levels import view_of

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
        from .view.files import write_whole
        from .view.graphml import graphml
        from .view.levels import view_of

        view = view_of(self._planned(shapes, type_dict, stype_dict, rows), level, each=True)
        write_whole(path, graphml(view).encode())

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
        from .lint import lint
        from .planned import plan_graph

        planned = plan_graph(self._outputs, shapes, type_dict, stype_dict, rows, program=False)
        return lint(planned, select=select, ignore=ignore)


class LookAtExecutor:
    """A base class of Executor."""

    _step: Step
    _ctx: Context

    def _planned(self) -> Planned:
        from .planned import Planned

        step = self._step
        listed = {name: array.nnr for name, array in step.memory.sparse.items()}
        return Planned(step.roots, step.types, step.program, listed)

    # ---- text

    def summary(self) -> Text:
        """Nodes, kernels, bytes moved in a step, buffers and scratch, as text."""
        from .view.tables import summary

        return summary(self._planned(), len(self._step.strided), f"on {self._ctx!r}")

    def table(self, full: bool = False) -> Text:
        """A row for each node: name, op, inputs, shape, dtype, storage, bytes, kernels, the line that built it. Rows
        alike are folded unless `full`."""
        from .view.tables import node_table

        return node_table(self._planned(), full)

    def explain(self, *nodes: str) -> Text:
        """The graph after each pass. Of one node, by name: what it becomes; of two: why they run in one kernel, or do
        not.

        >>> from symopt import sym
        >>> w, g = sym.var("w"), sym.var("g")
        >>> step = sym.sgd_update(w, g / sym.norm(g, name="size"), lr=0.1, name="step", out=w)
        >>> print(step.simple_bind(w=(40, 8)).explain("size", "step"))  # doctest: +ELLIPSIS
        size and step do not run as one kernel: ...
        """
        from .view.explain import explain

        return explain(self._planned(), *nodes)

    def source(self, form: Literal["text", "llvm", "asm", "cuda"] = "text") -> str:
        """The code of every kernel: readable text, LLVM IR, this processor's assembly, or CUDA C."""
        from . import report

        return report.source(self._step.program, form)

    # ---- graphs

    def to_networkx(self, level: Level = "symbol") -> networkx.MultiDiGraph[Any]:
        """The graph for networkx, with the kernels that compute each node; see view.networks."""
        from .view.networks import to_networkx

        return to_networkx(self._planned(), level)

    # ---- mathematics

    def formula(self, kernel: int | None = None, *, form: Literal["text", "latex", "mathml"] = "text") -> str:
        """What a step computes, with the attributes set since: as Symbol.formula, but on matrices and complex numbers
        as they are bound. `kernel`: instead, what launch `kernel` of the program computes, counted from 0, read off the
        nodes that its code is made from, in that kernel's own names."""
        from .show.doors import write_executor, write_kernel

        if kernel is not None:
            return write_kernel(self._planned().needed(), kernel, form)
        return write_executor(self._planned(), getattr(self, "_changes", {}), form)

    def to_dot(self, level: Level = "symbol", full: bool = False) -> str:
        """The graph in the language of Graphviz, kernels as clusters; see view.dot."""
        from .view.dot import to_dot
        from .view.levels import view_of

        return to_dot(view_of(self._planned(), level), full)

    def to_graphml(self, path: str | PathLike[str], level: Level = "symbol") -> None:
        """Write the graph of `to_networkx` as GraphML, which yEd, Gephi, igraph and networkx read; see view.graphml."""
        from .view.files import write_whole
        from .view.graphml import graphml
        from .view.levels import view_of

        write_whole(path, graphml(view_of(self._planned(), level, each=True)).encode())

    # ---- warnings

    def lint(
        self, *, select: Collection[str] | str | None = None, ignore: Collection[str] | str = ()
    ) -> list[Finding]:
        """As Symbol.lint, with the dtypes, listed rows, attributes and step counts that there are now."""
        from .lint import lint

        return lint(self._planned(), self._step.memory, select=select, ignore=ignore)
