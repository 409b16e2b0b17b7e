"""The exceptions that symopt raises, and the sentence that says where the user's symbol was built.

    SymoptError
    ├── ShapeError, DTypeError, StorageError, DeviceError     an array or variable does not fit
    ├── ArrayError                                            read-only, strided, overlapping, ragged
    ├── RowIndexError, ElementIndexError, KernelIndexError    a row or element that an array does not have; a kernel
    ├── MissingArgumentError, UnknownArgumentError            names given to bind, forward or an op
    ├── UnknownOpError, UnknownAttributeError, AttributeValueError
    ├── GraphError                                            a cycle, one state written twice
    ├── FormatError                                           a file that does not hold what it should
    │   └── DamagedError                                      a checkpoint that is not as it was written
    ├── StateError                                            a state that does not fit what it is loaded into
    ├── PairsError                                            gradients and variables that are not given in pairs
    ├── UnknownSlotError, UnknownMemberError                  a slot, an attribute that an optimizer does not have
    ├── TooLateError                                          what cannot be changed any more
    ├── NoAutogradError                                       a loss where gradients are needed
    ├── AssertedTypeError, AssertedValueError                 arguments that MXNet's classes assert about
    ├── RenamedArgumentError                                  an argument by its former name
    ├── UnknownOptimizerError, RuleError, ScheduledRateError  what an optimizer does not have, or does not take
    ├── NotImplementedForSymbol                               `+=`, `bool(symbol)`, ...
    ├── NonFiniteError                                        a guarded step stored nan or inf
    ├── CompileError                                          a compiler refuses generated code
    ├── ProcessLostError, PushFailedError                     a process of a cluster that is gone, or fails at its part
    ├── ClusterError, StoreFullError                          a cluster that can't start or go on; a full store
    ├── MismatchError                                         processes that differ in what must be the same
    └── DependencyError                                       an optional package is missing

Every one is also the builtin a Python user would expect to catch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class SymoptError(Exception):
    """Anything symopt refuses."""


class ShapeError(SymoptError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(SymoptError, TypeError):
    """A dtype that an op or a bound name does not take."""


class StorageError(SymoptError, ValueError):
    """Dense where row_sparse is needed, or the other way round."""


class DeviceError(SymoptError, ValueError):
    """An array or context of another device."""


class DeviceMemoryError(SymoptError, MemoryError):
    """No room for an array in a device's memory."""


class ArrayError(SymoptError, ValueError):
    """An array that cannot be updated in place, or parts that do not make one."""


class RowIndexError(SymoptError, IndexError):
    """A row index that the array does not have."""


class ElementIndexError(SymoptError, IndexError):
    """An index of an element that an array does not have."""


class KernelIndexError(SymoptError, IndexError):
    """A number of a kernel that a step does not have."""


class MissingArgumentError(SymoptError, ValueError):
    """A name that the graph reads and the caller did not give."""


class UnknownArgumentError(SymoptError, TypeError):
    """A name that the graph does not have."""


class UnknownOpError(SymoptError, AttributeError):
    """No op of this name is registered."""


class UnknownAttributeError(SymoptError, TypeError):
    """The op has no such attribute."""


class AttributeValueError(SymoptError, ValueError):
    """An attribute whose value is not allowed."""


class GraphError(SymoptError, ValueError):
    """A graph that has no meaning: a cycle, one state written twice."""


class FormatError(SymoptError, ValueError):
    """Text that is not a symbol in MXNet's JSON format, or a file that does not hold the arrays it should."""


class DamagedError(FormatError):
    """A checkpoint of which something is missing, or not as it was written."""


class StateError(SymoptError, ValueError):
    """A state to load that is not of the same parameters, rules, shapes or dtypes; lists all differences."""


class DeltaIncompleteError(SymoptError, RuntimeError):
    """Changes of an embedding table that are not all that changed: the whole table is needed."""


class PairsError(SymoptError, TypeError, ValueError):
    """Gradients and variables that are not (gradient, variable) pairs."""


class UnknownSlotError(SymoptError, KeyError):
    """A variable or slot that an optimizer does not have."""

    __str__ = Exception.__str__  # KeyError's would quote the message


class UnknownIdError(SymoptError, KeyError):
    """Ids that have no row, where all must have one."""

    __str__ = Exception.__str__


class UnknownMemberError(SymoptError, AttributeError):
    """An attribute that an optimizer does not have."""


class TooLateError(SymoptError, RuntimeError):
    """Something that cannot be changed any more, or is not possible as things are."""


class NoAutogradError(SymoptError, NotImplementedError, ValueError):
    """A loss where gradients are needed: symopt does not differentiate."""


class AssertedTypeError(SymoptError, TypeError, AssertionError):
    """An argument of a type that MXNet's class asserts against."""


class AssertedValueError(SymoptError, ValueError, AssertionError):
    """An argument, or two together, with values that MXNet's class asserts against."""


class RenamedArgumentError(SymoptError, TypeError, DeprecationWarning):
    """An argument by its former name; MXNet raises a DeprecationWarning."""


class UnknownOptimizerError(SymoptError, ValueError):
    """No optimizer class of this name is registered."""


class RuleError(SymoptError, NotImplementedError):
    """A class that does not say what it computes, or computes it in one way only."""


class ScheduledRateError(SymoptError, UserWarning):
    """A learning rate is set by hand where a scheduler gives it; MXNet raises a UserWarning."""


class NotImplementedForSymbol(SymoptError, TypeError):
    """Something arrays can do and symbols cannot."""


class NonFiniteError(SymoptError, FloatingPointError):
    """A guarded step stored a value that is no finite number. `report` lists all that were: a values.FiniteReport."""

    report: Any = ()


class CompileError(SymoptError, RuntimeError):
    """Generated code that a compiler refuses; the message quotes the compiler and the line."""


class ProcessLostError(SymoptError, ConnectionError):
    """A process of a cluster that died, or does not answer. `process` is the name it was started with."""

    process: str = ""


class PushFailedError(SymoptError, RuntimeError):
    """A shard could not carry out a batch that others have: all must go back to a checkpoint."""


class ClusterError(SymoptError, RuntimeError):
    """A cluster that can't be started or joined, or can't go on."""


class StoreFullError(SymoptError, MemoryError):
    """No room for what is on its way between the processes of a cluster."""


class MismatchError(SymoptError, ValueError):
    """Processes of a cluster that differ in what must be the same; lists all differences."""


class DependencyError(SymoptError, ImportError):
    """An optional package is missing; the message names the extra to install."""


class Where(NamedTuple):
    """A place in somebody's source: where a symbol was built, or a line of a formula."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def built_at(where: Where | None) -> str:
    """The last line of an error: where the user built the node, quoting the source when it can be read."""
    if where is None:
        return ""
    import linecache

    source = linecache.getline(where.file, where.line).strip()
    return f"\n  built at {where}" + (f": {source}" if source else "")


def near(name: str, known: Iterable[str]) -> str:
    """'; did you mean a, b?' for the known names closest to `name`, or nothing."""
    import difflib

    hits = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {', '.join(hits)}?" if hits else ""
