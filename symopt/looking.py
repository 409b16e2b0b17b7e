"""What a Symbol and an Executor tell of themselves: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, cast

from .expr import Node

if TYPE_CHECKING:
    import networkx

    from .executor import Executor
    from .planned import Planned
    from .step import Step
    from .values.element import ElementExplanation
    from .view.model import Level


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


class LookAtExecutor:
    """A base class of Executor."""

    _step: Step

    def _planned(self) -> Planned:
        from .planned import Planned

        step = self._step
        listed = {name: array.nnr for name, array in step.memory.sparse.items()}
        return Planned(step.roots, step.types, step.program, listed)

    # ---- text

    def summary(self) -> str:
        """Nodes, kernels, bytes moved in a step, buffers and scratch, as text."""
        from . import report

        step = self._step
        text = report.summary(step.types.order, step.program, step.memory, len(step.strided))
        return f"{text}\non {getattr(self, 'ctx', None)!r}"

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
        nodes that its code is made from, in that kernel's own names, and the numbers that it gets. KernelIndexError,
        an IndexError, if there is no such launch."""
        from .show.doors import write_executor, write_kernel

        if kernel is not None:
            return write_kernel(self._step.program, self._step.memory, kernel, form)
        return write_executor(self._planned(), getattr(self, "_changes", {}), form)

    # ---- values

    def explain_element(
        self, name: str, index: int | tuple[int, ...], step: Literal["next", "last"] = "next"
    ) -> ElementExplanation:
        """Every value on the way to one element of what the step makes, beside the line of the formula it comes from.

        `name`: a weight, a state, or an output. `step`: "next" is what forward would make of the arrays as they are,
        and changes nothing; "last" is what the last step made, if it ran inside `recording`. The result prints; its
        `value` has the bits that are stored.

        ElementIndexError, an IndexError, for an element that is not there; GraphError for a name that is only read.
        """
        from .values.doors import explain

        return explain(cast("Executor", self), name, index, step)

    def recording(self, *names: str) -> AbstractContextManager[None]:
        """Inside it, each `forward` first copies what the step reads, so that its elements can be explained afterwards.

        The copies lie in the host's memory, those of the last step only: as many bytes as all bound arrays, or of those
        that the new values of `names` depend on. A step outside of it makes an earlier record void.
        """
        from .values.doors import recording

        return recording(cast("Executor", self), names)
