"""Steps kept from call to call: which variables have gradients, of what kind, and the executors for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_, itemgetter
from typing import Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, MissingArgumentError, ShapeError
from ..keras.known import KnownVariable, KnownVariables
from ..keras.variables import Variable
from ..places import HOST, place_of_array
from ..slices import is_slices, to_row_sparse
from ..sparse import RowSparseArray
from ..training.graph import stype_of, variable_name
from ..training.runner import Runner
from .kept import Kept

Convert = Callable[[Any], Any]


class Call:
    """One list of variables with gradients of certain types.

    `live`: the positions that have gradients. `stypes`: how those are stored, by the variable's key.
    """

    def __init__(self, kept: Sequence[Kept], given: Sequence[Any], grads: Sequence[Any]) -> None:
        self.given = list(given)
        self.types = list(map(type, grads))
        positions = [k for k, g in enumerate(grads) if g is not None]
        self.missing = [kept[k].known.name for k, g in enumerate(grads) if g is None]
        self.kept = [kept[k] for k in positions]
        self.constrained = [one for one in self.kept if one.known.constraint is not None]
        self._pick = None if len(positions) == len(grads) else _picker(positions)
        live = [grads[k] for k in positions]
        self.converts: list[tuple[int, Convert]] = []
        for k, (one, grad) in enumerate(zip(self.kept, live, strict=True)):
            convert = _conversion(one, grad)
            if convert is not None:
                self.converts.append((k, convert))
        self.names = [variable_name(one.name, "grad") for one in self.kept]
        self.stypes = {one.key: stype_of(g) for one, g in zip(self.kept, self.gradients(grads), strict=True)}
        self.runners: dict[Any, Runner] = {}
        self.order: list[str] = []  # keys of the variables that an update_step in Python gets
        self._check_different()

    def fits(self, given: Sequence[Any], grads: Sequence[Any]) -> bool:
        """Whether these are the same variables, with gradients of the same types."""
        return (
            len(given) == len(self.given) == len(grads)
            and all(map(is_, given, self.given))
            and list(map(type, grads)) == self.types
        )

    def gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        """The gradients that there are, as the graph takes them."""
        live = grads if self._pick is None else self._pick(grads)
        if not self.converts:
            return live
        made = list(live)
        for k, convert in self.converts:
            made[k] = convert(made[k])
        return made

    def _check_different(self) -> None:
        keys = [one.key for one in self.kept]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise AttributeValueError(
                f"variable {twice!r} was given twice: add its gradients, and give it once"
            )


def _picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if len(positions) == 1:
        only = positions[0]
        return lambda grads: (grads[only],)
    return itemgetter(*positions)


def _conversion(one: Kept, grad: Any) -> Convert | None:
    """What makes a gradient of this kind one that the graph takes; None if it is."""
    shape, dtype = one.known.view.shape, one.known.view.dtype
    if isinstance(grad, RowSparseArray):
        return None if grad.dtype == dtype else lambda g: _cast_rows(g, dtype)
    if is_slices(grad):
        what = f"the gradient of {one.known.name!r}"
        return lambda g: _cast_rows(to_row_sparse(g, shape, what), dtype)
    if isinstance(grad, Variable):
        return lambda g: _as_dense(g.value, one.known)
    is_plain = getattr(grad, "dtype", None) == dtype and getattr(grad, "shape", None) == shape != ()
    has_memory = is_plain or (hasattr(grad, "__dlpack__") and not isinstance(grad, np.ndarray))
    return None if has_memory and not one.is_scalar else lambda g: _as_dense(g, one.known)


def _cast_rows(grad: RowSparseArray, dtype: Any) -> RowSparseArray:
    if grad.dtype == dtype:
        return grad
    with grad.place.current():
        return RowSparseArray(grad.data.astype(dtype), grad.indices, grad.shape, grad.canonical)


def _as_dense(grad: Any, known: KnownVariable) -> Any:
    """A number, list or array of another dtype as the variable's; one element for a variable of shape ()."""
    what = f"the gradient of {known.name!r}"
    place = place_of_array(grad)
    array = np.asarray(grad) if place is HOST else place.view(grad, what)
    if array.shape != known.shape:
        raise ShapeError(f"{what}: expected shape {known.shape}, got {array.shape}")
    if array.dtype.kind not in "biufcV":
        raise DTypeError(f"{what}: expected {known.dtype.name}, got {array.dtype.name}")
    with place.current():
        array = array.astype(known.dtype, copy=False)
        return array.reshape((1,)) if known.shape == () else array


def check_gradient(grad: Any, known: KnownVariable) -> None:
    """ShapeError, DTypeError, DeviceError or RowIndexError for what can't be the gradient of a variable."""
    what = f"the gradient of {known.name!r}"
    if isinstance(grad, Variable):
        grad = grad.value
    if is_slices(grad):
        grad = to_row_sparse(grad, known.shape, what)
    if place_of_array(grad) is not (place := place_of_array(known.view)):
        stored = grad.data if isinstance(grad, RowSparseArray) else grad
        place.view(stored if hasattr(stored, "dtype") else np.asarray(stored), what)
    if not isinstance(grad, RowSparseArray):
        _as_dense(grad, known)
        return
    grad.check_indices(what)
    if grad.shape != known.shape:
        raise ShapeError(f"{what}: expected shape {known.shape}, got {grad.shape}")


def check_present(grads: Sequence[Any], variables: Sequence[Any]) -> None:
    """MissingArgumentError, a ValueError, unless there are as many gradients as variables, and one is not None."""
    if len(grads) != len(variables):
        raise MissingArgumentError(
            f"expected a gradient for each variable: got {len(grads)} for {len(variables)}"
        )
    if all(grad is None for grad in grads):
        raise MissingArgumentError("No gradients provided for any variable.")


def check_first(grads: Sequence[Any], variables: Sequence[Any]) -> None:
    """The errors of gradients of variables that are not known yet."""
    check_present(grads, variables)
    known = KnownVariables()
    for grad, variable in zip(grads, variables, strict=True):
        if grad is not None:
            check_gradient(grad, known.meet(variable))
