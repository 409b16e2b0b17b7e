"""What a Symbol and an Executor tell of themselves: methods that hand over to the modules which know.

Those modules lie above, and are imported when called.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from .expr import Node

if TYPE_CHECKING:
    import networkx

    from .nonfinite import FiniteReport
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


class LookAtExecutor:
    """A base class of Executor."""

    _step: Step
    _lock: RLock

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

    # ---- values

    def check_finite(self) -> FiniteReport:
        """What of all bound arrays, numbers and outputs is nan or inf; see values.finite. True if nothing is."""
        from .values.finite import check_finite

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

    # ---- graphs

    def to_networkx(self, level: Level = "symbol") -> networkx.MultiDiGraph[Any]:
        """The graph for networkx, with the kernels that compute each node; see view.networks."""
        from .view.networks import to_networkx

        return to_networkx(self._planned(), level)
