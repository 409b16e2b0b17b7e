"""What a Symbol and an Executor tell of themselves: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from .context import Context
from .expr import Node

if TYPE_CHECKING:
    import networkx

    from .cost.bandwidth import Calibration
    from .cost.model import Cost
    from .planned import Planned
    from .step import Step
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
        bytes moved, arithmetic, seconds. Shapes as simple_bind takes them; `rows`: how many a row_sparse variable lists.
        """
        from .cost.model import cost

        planned = self._planned(shapes, type_dict, stype_dict, rows)
        return cost(replace(planned, ctx=Context.as_context(ctx)), calibration)


class LookAtExecutor:
    """A base class of Executor."""

    _step: Step
    _ctx: Context
    _measured: Mapping[int, float]

    def _planned(self) -> Planned:
        from .planned import Planned

        step = self._step
        listed = {name: array.nnr for name, array in step.memory.sparse.items()}
        strided = sum(b.source.nbytes for b in step.strided if b.source is not None)
        return Planned(step.roots, step.types, step.program, listed, self._ctx, self._measured, {}, strided)

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

    # ---- cost

    def cost(self, calibration: Calibration | None = None) -> Cost:
        """What a step costs: bytes of weights, gradients and states, bytes moved, arithmetic, seconds; see cost.model."""
        from .backends.scratch import listed_in
        from .cost.model import cost

        gradients = {name: listed_in(array) for name, array in self._step.memory.sparse.items()}
        return cost(replace(self._planned(), gradients=gradients), calibration)
