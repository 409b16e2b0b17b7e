"""What executors are asked of one element: of the step to come, or of the last one if it was recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AttributeValueError, GraphError
from ..expr import Node
from ..passes.ir import Program, Value
from ..step import Step
from .element import ElementExplanation, Index, explain_element, target_of
from .state import State, copied, now

if TYPE_CHECKING:
    from ..executor import Executor


@dataclass(frozen=True, eq=False)
class Record:
    """A step that was about to run: its program, and copies of what it reads. `names`: what alone was asked for."""

    program: Program
    roots: Sequence[Node]
    nodes: Sequence[Node]
    state: State
    names: tuple[str, ...]


def explain(executor: Executor, name: str, index: Index, step: str) -> ElementExplanation:
    """See LookAtExecutor.explain_element."""
    if step not in ("next", "last"):
        raise AttributeValueError(f"explain_element: step must be 'next' or 'last', got {step!r}")
    with executor._lock:
        if step == "next":
            s = executor._step
            return explain_element(s.program, s.roots, s.types.order, now(s), name, index, step)
        record: Record | None = executor._recorded
    if record is None:
        raise GraphError(
            "explain_element: the last step was not recorded, and its arrays have changed since: run it in "
            "`with executor.recording(): executor.forward(...)`"
        )
    if record.names and name not in record.names:
        raise GraphError(
            f"explain_element: of the last step only {', '.join(record.names)} was recorded: "
            f"add {name!r} to recording()"
        )
    return explain_element(record.program, record.roots, record.nodes, record.state, name, index, step)


@contextmanager
def recording(executor: Executor, names: tuple[str, ...]) -> Iterator[None]:
    """See LookAtExecutor.recording."""
    with executor._lock:
        _needed(executor._step, names)  # an unknown name is an error at once
        before, executor._record = executor._record, lambda step: _record(step, names)
    try:
        yield
    finally:
        with executor._lock:
            executor._record = before


def _record(step: Step, names: tuple[str, ...]) -> Record:
    state = copied(step, _needed(step, names))
    return Record(step.program, step.roots, step.types.order, state, names)


def _needed(step: Step, names: tuple[str, ...]) -> Collection[str] | None:
    """The variables that new values of `names` depend on; None: all."""
    if not names:
        return None
    program = step.program
    makers = {id(v): call.inputs for call in program.lowered.calls for v in call.outputs}
    waiting: list[Value] = [target_of(program, step.roots, step.types.order, name) for name in names]
    seen: set[int] = set()
    found: set[str] = set()
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen.add(id(value))
            below: Sequence[Any] = makers.get(id(value), ())
            waiting += [*below, *(value.base[:1] if value.base else ()), *value.parts]
            if not below and value.variable is not None:
                found.add(value.variable)
    return found
