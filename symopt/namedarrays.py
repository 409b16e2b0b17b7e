"""The arrays of an executor by name: `arg_dict` and `aux_dict`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from .binding import check_known
from .bound import Given
from .errors import DTypeError
from .step import Step


class _Executor(Protocol):
    _step: Step

    def _take(self, given: Mapping[str, Given]) -> None: ...


class NamedArrays(MutableMapping[str, Any]):
    """Bound arrays by name. Assigning binds another array, as `forward(name=array)` does."""

    def __init__(self, executor: _Executor, names: Sequence[str]) -> None:
        self._executor = weakref.ref(executor)
        self._names = dict.fromkeys(names)

    def _owner(self) -> _Executor:
        executor = self._executor()
        if executor is None:
            raise ReferenceError("the executor of these arrays is gone")
        return executor

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._owner()._step.bound[name].value

    def __setitem__(self, name: str, value: Any) -> None:
        check_known("assignment", (name,), self._names)
        self._owner()._take({name: value})

    def __delitem__(self, name: str) -> None:
        raise DTypeError(f"{name!r} stays bound: assign another array instead")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr(dict(self))
