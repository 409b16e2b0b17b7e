"""A loaded tree into one that is there: all of it compared first, then arrays copied and state swapped in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..sparse import RowSparseArray
from ..state import Commit, Differences, Stateful, plan_arrays, said

Put = Callable[[Any], object]  # gives a container another value where this one is


def load_into(target: Any, tree: Any, strict: bool, what: str) -> Differences:
    """Load a tree into `target`, whole or not at all. See `load`."""
    plan = _Plan()
    plan.visit(target, tree, "", None)
    plan.found.check(what, strict)
    _load_others(plan.others)
    for commit in plan.commits:
        commit()
    return plan.found


class _Plan:
    """What is to be done, in order, and what does not fit.

    `others` have state_dict() and load_state_dict() only, so nobody can ask them before they change.
    """

    def __init__(self) -> None:
        self.found = Differences()
        self.commits: list[Commit] = []
        self.others: list[tuple[Any, Any]] = []

    def visit(self, own: Any, given: Any, path: str, put: Put | None) -> None:
        if isinstance(own, RowSparseArray):
            self._rows(own, given, path)
        elif hasattr(own, "dtype") and hasattr(own, "shape") and not isinstance(own, np.generic):
            self._array(own, given, path)
        elif isinstance(own, Mapping):
            if self._is_kind(dict, own, given, path):
                put_at = own.__setitem__ if hasattr(own, "__setitem__") else None
                self._named(own, given, path, put_at)
        elif isinstance(own, (list, tuple)):
            if self._is_kind(list if isinstance(own, list) else tuple, own, given, path):
                put_at = own.__setitem__ if isinstance(own, list) else None
                self._named(dict(enumerate(own)), dict(enumerate(given)), path, put_at)
        elif isinstance(own, Stateful):
            if self._is_kind(dict, own, given, path):
                self.commits.append(own.plan_load(given, self.found, path))
        elif hasattr(own, "load_state_dict"):
            self.others.append((own, _copies(given, _converter(own))))
        else:
            self._number(own, given, path, put)

    def _named(self, own: Mapping[Any, Any], given: Mapping[Any, Any], path: str, put_at: Any) -> None:
        for name in self.found.names(path, own, given):
            put = None if put_at is None else _put(put_at, name)
            self.visit(own[name], given[name], f"{path}/{name}" if path else str(name), put)

    def _is_kind(self, kind: type, own: Any, given: Any, path: str) -> bool:
        if isinstance(given, kind):
            return True
        self._differ(
            path, f"expected a {kind.__name__} for a {type(own).__name__}, the state has {said(given)}"
        )
        return False

    def _array(self, own: Any, given: Any, path: str) -> None:
        if isinstance(given, RowSparseArray):
            self._differ(path, "expected an array, the state has a row_sparse one")
            return
        parent, _, name = path.rpartition("/")
        self.commits.append(plan_arrays({name: own}, {name: given}, self.found, parent))

    def _rows(self, own: RowSparseArray, given: Any, path: str) -> None:
        if not isinstance(given, RowSparseArray):
            self._differ(path, f"expected a row_sparse array, the state has {said(given)}")
            return
        fits = self.found.compare(path, "shape", own.shape, given.shape)
        if self.found.compare(path, "dtype", own.dtype.name, given.dtype.name) and fits:
            self.commits.append(lambda: _replace_rows(own, given))

    def _number(self, own: Any, given: Any, path: str, put: Put | None) -> None:
        if type(own) is not type(given) and not (_is_number(own) and _is_number(given)) and own is not None:
            self._differ(path, f"expected a {type(own).__name__}, the state has {said(given)}")
        elif put is not None:
            self.commits.append(lambda: _call(put, given))
        elif own != given:
            self._differ(path, f"is {own!r} where it can't be replaced, the state has {given!r}")

    def _differ(self, path: str, line: str) -> None:
        self.found.different.append(f"{path or 'the tree'}: {line}")


def _load_others(pairs: list[tuple[Any, Any]]) -> None:
    """load_state_dict of each; if one refuses, those before it get back the state they had."""
    before = [(own, copy.deepcopy(own.state_dict())) for own, _ in pairs]
    for k, (own, state) in enumerate(pairs):
        try:
            own.load_state_dict(state)
        except BaseException:
            for changed, old in before[: k + 1]:
                changed.load_state_dict(old)
            raise


def _copies(given: Any, convert: Callable[[Any], Any]) -> Any:
    """A state with a copy of every array, since whoever takes it may keep and change them."""
    if isinstance(given, Mapping):
        return {name: _copies(value, convert) for name, value in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(_copies(value, convert) for value in given)
    return convert(given) if isinstance(given, np.ndarray) else given


def _converter(own: Any) -> Callable[[Any], Any]:
    """How arrays are copied for an object: as tensors where its class, or a base of it, is torch's."""
    if any(base.__module__.partition(".")[0] == "torch" for base in type(own).__mro__):
        return _as_tensor
    return np.array


def _as_tensor(array: Any) -> Any:
    import torch

    if array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # not NumPy's own: the bits go over
        bits = np.array(array).view(f"i{array.dtype.itemsize}")
        return torch.from_numpy(bits).view(getattr(torch, array.dtype.name))
    return torch.from_numpy(np.array(array))


def _call(put: Put, value: Any) -> None:
    put(value)


def _put(put_at: Callable[[Any, Any], object], name: Any) -> Put:
    return lambda value: put_at(name, value)


def _replace_rows(own: RowSparseArray, given: RowSparseArray) -> None:
    fresh = given.copy_to(own.place)
    own.data, own.indices = fresh.data, fresh.indices
    own.canonical = fresh.canonical


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, complex, np.generic)) and not isinstance(x, bool)
