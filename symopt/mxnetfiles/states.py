"""The states of an MXNet Updater as a file: what `Updater.get_states`, `Trainer.save_states` and
`Module.save_optimizer_states` write, which is a pickle. It is read as data (`pickles.py`); nothing in it runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import FormatError, UnknownArgumentError
from ..files import whole_file
from ..sparse import RowSparseArray
from .inert import ObjectRecord
from .ndarrays import on_host, version_for
from .pickles import read_pickle
from .pickling import Piece, pickled
from .source import Given, open_source

NUMBERS = (bool, int, float, np.generic)


class UpdaterStates(NamedTuple):
    """`states`: by parameter, its number or name, what the optimizer's class keeps for it: None, an array, a
    RowSparseArray, or tuples of these. `optimizer`: of which class it was and its attributes, if the file says so."""

    states: dict[int | str, Any]
    optimizer: ObjectRecord | None = None


def load_updater_states(fname: Given, classes: Collection[str] = ()) -> UpdaterStates:
    """The states in a file of MXNet 1 or 2, or in its content; arrays are on the host, in memory of their own.

    States are as the class has them: with multi_precision=True, SGD's are (momentum, float32 weight), and those of
    most others (float32 weight, state). An optimizer in the file, and its scheduler, become ObjectRecords if they are
    MXNet's, or of one of the `classes`, such as "__main__.Warmup"; nothing is imported for those either. FormatError,
    with the byte and the reason, for all else that a pickle may hold.

    >>> import numpy as np
    >>> content = write_states({0: np.ones(2, "float32"), 1: None})
    >>> load_updater_states(content)
    UpdaterStates(states={0: array([1., 1.], dtype=float32), 1: None}, optimizer=None)
    """
    with open_source(fname) as source:
        return read_states(source.bytes(source.size, "the file"), classes)


def read_states(data: bytes, classes: Collection[str] = ()) -> UpdaterStates:
    """The states in the content of a file; see `load_updater_states`."""
    value = read_pickle(bytes(data), classes)
    optimizer = None
    if type(value) is tuple and len(value) == 2 and isinstance(value[1], ObjectRecord):
        value, optimizer = value
    if type(value) is not dict:
        raise FormatError("this is a pickle, and none of an Updater's states: expected a dict of them by parameter, "
                          f"alone or with the optimizer, got {type(value).__name__}")  # fmt: skip
    for index, state in value.items():
        _check_state(f"the state of {index!r}", state, FormatError)
    return UpdaterStates(value, optimizer)


def save_updater_states(
    fname: str | os.PathLike[str],
    states: Mapping[int | str, Any],
    optimizer: ObjectRecord | None = None,
    np_shape: bool | None = None,
) -> None:
    """Write states that `Updater.set_states` of MXNet reads; see `write_states`. The file appears whole."""
    parts = _parts(states, optimizer, np_shape)
    with whole_file(fname) as file:
        for part in parts:
            file.write(part)


def write_states(
    states: Mapping[int | str, Any], optimizer: ObjectRecord | None = None, np_shape: bool | None = None
) -> bytes:
    """The content of a file of states that `Updater.set_states` of MXNet reads.

    A state is None, an array of any library, a RowSparseArray, a number, or a tuple or list of these. With `optimizer`,
    MXNet takes it over as well, so the record must be of a class that it has. `np_shape` as in `save`: MXNet 1 reads
    what it does not need True for, MXNet 2 what is written with True.
    UnknownArgumentError, DTypeError, ArrayError or StorageError name the state that does not fit.
    """
    return b"".join(_parts(states, optimizer, np_shape))


def _parts(
    states: Mapping[int | str, Any], optimizer: ObjectRecord | None, np_shape: bool | None
) -> list[Piece]:
    for index in states:
        if not isinstance(index, int | str):
            raise UnknownArgumentError(f"states are by number or name, got {index!r:.100}")
    hosted = {index: _hosted(f"the state of {index!r}", state) for index, state in states.items()}
    for index, state in hosted.items():
        _check_state(f"the state of {index!r}", state, UnknownArgumentError)
    if optimizer is not None and not isinstance(optimizer, ObjectRecord):
        raise UnknownArgumentError(f"optimizer must be an ObjectRecord, got {type(optimizer).__name__}")
    record = None if optimizer is None else _attributes("the optimizer", optimizer)
    version = version_for(dict(_arrays("the states", [hosted, record])), np_shape)
    return list(pickled(hosted if record is None else (hosted, record), version))


def _hosted(what: str, state: Any) -> Any:
    if isinstance(state, tuple | list):
        return _same_kind(state, (_hosted(f"{what}[{k}]", x) for k, x in enumerate(state)))
    return state if state is None or isinstance(state, NUMBERS) else on_host(state, what)


def _attributes(what: str, value: Any) -> Any:
    """The same with its arrays on the host; what is neither array nor plain is refused when it is written."""
    if isinstance(value, ObjectRecord):
        return ObjectRecord(value.module, value.name, _attributes(what, value.attributes))
    if isinstance(value, Mapping):
        return {key: _attributes(f"{what}'s {key}", x) for key, x in value.items()}
    if isinstance(value, tuple | list):
        return _same_kind(value, (_attributes(what, x) for x in value))
    is_array = hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, NUMBERS)
    return on_host(value, what) if is_array else value


def _same_kind(like: tuple[Any, ...] | list[Any], values: Iterable[Any]) -> Any:
    return tuple(values) if isinstance(like, tuple) else list(values)


def _arrays(what: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The arrays in a value, by what errors call them."""
    if isinstance(value, ObjectRecord):
        value = value.attributes
    if isinstance(value, np.ndarray | RowSparseArray):
        yield what, value
    elif isinstance(value, Mapping):
        for key, x in value.items():
            yield from _arrays(f"the state of {key!r}", x)
    elif isinstance(value, tuple | list):
        for k, x in enumerate(value):
            yield from _arrays(f"{what}[{k}]", x)


def _check_state(what: str, state: Any, error: type[Exception]) -> None:
    if isinstance(state, tuple | list):
        for k, x in enumerate(state):
            _check_state(f"{what}[{k}]", x, error)
    elif state is not None and not isinstance(state, (*NUMBERS, np.ndarray, RowSparseArray)):
        raise error(
            f"{what} is of type {type(state).__name__}: expected an array, a number, None or a tuple of them"
        )
