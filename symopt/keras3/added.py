"""Variables that an optimizer makes for itself, and how a subclass in Python writes variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import AttributeValueError
from ..keras.variables import Variable
from ..places import place_of_array
from ..slices import is_slices, to_row_sparse
from ..sparse import RowSparseArray
from .kept import Initializer
from .steps import Steps


class MakesVariables:
    """The methods of `Optimizer` for subclasses that keep variables of their own."""

    _steps: Steps

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Initializer = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A variable of the optimizer's own, saved with its state. `initializer`: "zeros", "ones", a number, or a
        function of (shape, dtype). `aggregation` and `layout` have no effect."""
        self._check_started()
        return self._steps.add(shape, initializer, dtype, name or "variable")

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Initializer = "zeros"
    ) -> Variable:
        """A variable of the shape, dtype and device of another one, called `<its name>_<name>`."""
        self._check_started()
        return self._steps.add_like(reference_variable, name or "var", initializer)

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Any], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """A variable like each of those given: a list, or for several names a tuple of lists. None for a variable that
        is overwritten with its gradient."""
        names = [name] if isinstance(name, str) else list(name)
        is_one = isinstance(initializer, (str, int, float)) or callable(initializer)
        first = [initializer] * len(names) if is_one else list(initializer)
        if len(first) != len(names):
            raise AttributeValueError(
                f"The number of provided names must match the number of provided initializers. Received {name=}, "
                f"{initializer=}"
            )
        made: tuple[list[Any], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            skipped = getattr(variable, "overwrite_with_gradient", False)
            for k, one in enumerate(names):
                new = None if skipped else self.add_variable_from_reference(variable, one, first[k])
                made[k].append(new)
        return made[0] if isinstance(name, str) else made

    def assign(self, variable: Any, value: Any) -> None:
        """Give a variable values; of IndexedSlices, the rows that they list."""
        _assign(variable, value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable; IndexedSlices to the rows that they list."""
        _add(variable, value, 1)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable; IndexedSlices from the rows that they list."""
        _add(variable, value, -1)

    def _check_started(self) -> None:
        raise NotImplementedError


def _array(variable: Any) -> Any:
    return variable.value if isinstance(variable, Variable) else variable


def _assign(variable: Any, value: Any) -> None:
    rows = _rows(variable, value)
    place = place_of_array(_array(variable))
    with place.current():
        if rows is None:
            _array(variable)[...] = _array(value)
        else:
            _array(variable)[rows.indices] = rows.data


def _add(variable: Any, value: Any, sign: int) -> None:
    rows = _rows(variable, value)
    place = place_of_array(_array(variable))
    with place.current():
        if rows is None:
            _array(variable)[...] += sign * _array(value)
        else:
            _array(variable)[rows.indices] += sign * rows.data


def _rows(variable: Any, value: Any) -> RowSparseArray | None:
    """Rows of a sparse value, each once; None for what is dense."""
    if is_slices(value):
        value = to_row_sparse(value, variable.shape)
    return value.coalesce() if isinstance(value, RowSparseArray) else None
