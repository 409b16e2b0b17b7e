"""What an Executor tells of itself: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, cast

from ..context import Context

if TYPE_CHECKING:
    import networkx

    from ..cost.bandwidth import Calibration
    from ..cost.model import Cost
    from ..cost.profile import Profile
    from ..executor import Executor
    from ..lint import Finding
    from ..nonfinite import FiniteReport
    from ..planned import Planned
    from ..step import Step
    from ..values.element import ElementExplanation
    from ..values.statistics import StepStatistics
    from ..view.model import Level
    from ..view.text import Text


class LookAtExecutor:
    """A base class of Executor."""

    _step: Step
    _ctx: Context
    _lock: Any  # a lock that its thread may take again
    _measured: Mapping[int, float]

    def _planned(self) -> Planned:
        from ..backends.scratch import Listings
        from ..planned import Planned

        step, arrays = self._step, dict(self._step.memory.sparse)
        listed = {name: array.nnr for name, array in arrays.items()}
        strided = sum(b.source.nbytes for b in step.strided if b.source is not None)
        facts = (self._ctx, self._measured, (), Listings(arrays), strided)
        return Planned(step.roots, step.types, step.program, listed, *facts)

    # ---- text

    def summary(self) -> Text:
        """Nodes, kernels, bytes moved in a step, buffers and scratch, as text."""
        from ..view.tables import summary

        return summary(self._planned(), len(self._step.strided), f"on {self._ctx!r}")

    def table(self, full: bool = False) -> Text:
        """A row for each node: name, op, inputs, shape, dtype, storage, bytes, kernels, the line that built it. Rows
        alike are folded unless `full`."""
        from ..view.tables import node_table

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
        from ..view.explain import explain

        return explain(self._planned(), *nodes)

    def source(self, form: Literal["text", "llvm", "asm", "cuda"] = "text") -> str:
        """The code of every kernel: readable text, LLVM IR, this processor's assembly, or CUDA C."""
        from .. import report

        return report.source(self._step.program, form)

    # ---- graphs

    def to_networkx(self, level: Level = "symbol") -> networkx.MultiDiGraph[Any]:
        """The graph for networkx, with the kernels that compute each node; see view.networks."""
        from ..view.networks import to_networkx

        return to_networkx(self._planned(), level)

    # ---- mathematics

    def formula(self, kernel: int | None = None, *, form: Literal["text", "latex", "mathml"] = "text") -> str:
        """What a step computes, with the attributes set since: as Symbol.formula, but on matrices and complex numbers
        as they are bound. `kernel`: instead, what launch `kernel` of the program computes, counted from 0, read off the
        nodes that its code is made from, in that kernel's own names, and the numbers that it gets. KernelIndexError,
        an IndexError, if there is no such launch."""
        from ..show.doors import write_executor, write_kernel

        if kernel is not None:
            return write_kernel(self._step.program, self._step.memory, kernel, form)
        return write_executor(self._planned(), getattr(self, "_changes", {}), form)

    def to_dot(self, level: Level = "symbol", full: bool = False) -> str:
        """The graph in the language of Graphviz, kernels as clusters; see view.dot."""
        from ..view.dot import to_dot
        from ..view.levels import view_of

        return to_dot(view_of(self._planned(), level), full)

    def to_graphml(self, path: str | PathLike[str], level: Level = "symbol") -> None:
        """Write the graph of `to_networkx` as GraphML, which yEd, Gephi, igraph and networkx read; see view.graphml."""
        from ..files import write_whole
        from ..view.graphml import graphml
        from ..view.levels import view_of

        write_whole(path, graphml(view_of(self._planned(), level, each=True)).encode())

    # ---- drawings

    def draw(self, path: str | PathLike[str], level: Level = "symbol") -> None:
        """Draw the graph to a file, by the ending of its name: .html, a page to explore, with every kernel's code;
        .svg, .png, .pdf, by Graphviz; .dot, .gv, its text; see view.draw."""
        from ..cost.model import predicted
        from ..view.draw import draw

        draw(predicted(self._planned()), path, level)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ..cost.model import predicted
        from ..view.draw import in_notebook

        return in_notebook(predicted(self._planned()))

    # ---- warnings

    def lint(
        self, *, select: Collection[str] | str | None = None, ignore: Collection[str] | str = ()
    ) -> list[Finding]:
        """As Symbol.lint, with the dtypes, listed rows, attributes and step counts that there are now."""
        from ..lint import lint

        return lint(self._planned(), self._step.memory, select=select, ignore=ignore)

    # ---- cost

    def cost(self, calibration: Calibration | None = None) -> Cost:
        """What a step costs: bytes of weights, gradients and states, bytes moved, arithmetic, seconds."""
        from ..cost.model import cost

        return cost(self._planned(), calibration)

    def profile(self) -> Profile:
        """Clocks around every launch of the steps inside `with exe.profile() as p:`; then `print(p)`, `p.trace(path)`,
        `p.roofline(path)`. GraphError if this executor is profiled already."""
        from ..cost.profile import Profile

        return Profile(self)  # type: ignore[arg-type]  # an Executor, whose base this is

    # ---- values

    def check_finite(self) -> FiniteReport:
        """What of all bound arrays, numbers and outputs is nan or inf; see values.finite. True if nothing is."""
        from ..values.finite import check_finite

        with self._lock:
            return check_finite(self._step)

    @property
    def skipped(self) -> int:
        """How many steps `nan_guard="skip"` left out, as far as is known by now; `synchronize` knows all."""
        return self._step.skipped

    @property
    def last_skip(self) -> FiniteReport | None:
        """What the last step left out would have stored; None if there was none."""
        return self._step.last_skip

    def statistics(self) -> StepStatistics:
        """What `forward` would do now to each weight: norms, ratio, what is clipped, which rows stay as they are.
        Nothing is changed. Prints as a table; see values.statistics."""
        from ..values.statistics import statistics

        with self._lock:
            return statistics(self._step)

    def explain_element(
        self, name: str, index: int | tuple[int, ...], step: Literal["next", "last"] = "next"
    ) -> ElementExplanation:
        """Every value on the way to one element of what the step makes, beside the line of the formula it comes from.

        `name`: a weight, a state, or an output. `step`: "next" is what forward would make of the arrays as they are,
        and changes nothing; "last" is what the last step made, if it ran inside `recording`. The result prints; its
        `value` has the bits that are stored.

        ElementIndexError, an IndexError, for an element that is not there; GraphError for a name that is only read.
        """
        from ..values.doors import explain

        return explain(cast("Executor", self), name, index, step)

    def recording(self, *names: str) -> AbstractContextManager[None]:
        """Inside it, each `forward` first copies what the step reads, so that its elements can be explained afterwards.

        The copies lie in the host's memory, those of the last step only: as many bytes as all bound arrays, or of those
        that the new values of `names` depend on. A step outside of it makes an earlier record void.
        """
        from ..values.doors import recording

        return recording(cast("Executor", self), names)
