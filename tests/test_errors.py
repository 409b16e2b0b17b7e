"""Bad input: a clear error of the fitting kind, and nothing written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_engines import bits

import symopt as so
from symopt import sym
from symopt.emulatedarrays import emulated_gpus
from symopt.errors import (
    ArrayError,
    DeviceError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    RowIndexError,
    ShapeError,
    StorageError,
    SymoptError,
    UnknownArgumentError,
)
from symopt.sparse import RowSparseArray

SHAPE = (6, 4)


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {n: rng.random(SHAPE, np.float32) for n in "wgmv"}


def sparse(indices: list[int], shape: tuple[int, ...] = SHAPE) -> RowSparseArray:
    return RowSparseArray(np.ones((len(indices), *shape[1:]), np.float32), np.array(indices), shape)


def adam(**attrs: Any) -> Any:
    w = sym.var("w")
    return sym.adam_update(w, sym.var("g"), sym.var("m"), sym.var("v"), lr=0.1, out=w, name="fc1", **attrs)


def bind(given: dict[str, Any], symbol: Any = None, **options: Any) -> Any:
    return (adam() if symbol is None else symbol).bind(args=given, aux_states=given, **options)


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


BASE = np.zeros((12, 4), np.float32)
# what is wrong -> (argument, value, error, builtin, words that the message must have)
BAD: dict[str, tuple[str, Any, type[SymoptError], type[Exception], list[str]]] = {
    "shape": ("m", np.zeros((4, 6), np.float32), ShapeError, ValueError, ["'fc1'", "m (4, 6)", "expected (6, 4)"]),
    "fewer dimensions": ("g", np.zeros(24, np.float32), ShapeError, ValueError, ["fc1", "(24,)", "(6, 4)"]),
    "dtype": ("g", np.zeros(SHAPE, np.float64), DTypeError, TypeError, ["fc1", "float64", "float32", "built at"]),
    "integers": ("g", np.zeros(SHAPE, np.int32), DTypeError, TypeError, ["'g'", "int32", "float32"]),
    "booleans": ("g", np.zeros(SHAPE, bool), DTypeError, TypeError, ["'g'", "bool"]),
    "a list": ("g", [[1.0] * 4] * 6, DTypeError, TypeError, ["'g'", "list"]),
    "nothing": ("g", None, DTypeError, TypeError, ["'g'", "NoneType"]),
    "a number": ("g", 3.0, SymoptError, Exception, ["g ()"]),
    "read-only": ("w", read_only(np.zeros(SHAPE, np.float32)), ArrayError, ValueError, ["'w'", "read-only"]),
    "strided": ("w", np.zeros((6, 8), np.float32)[:, ::2], ArrayError, ValueError, ["'w'", "contiguous"]),
    "sparse state": ("m", sparse([0, 2]), StorageError, ValueError, ["'m'", "all 6 rows"]),
    "row too large": ("g", sparse([0, 6]), RowIndexError, IndexError, ["'g'", "indices[1] = 6", "6"]),
    "row negative": ("g", sparse([-1, 2]), RowIndexError, IndexError, ["'g'", "indices[0] = -1"]),
    "sparse of another shape": ("g", sparse([0], (7, 4)), ShapeError, ValueError, ["fc1", "(7, 4)", "(6, 4)"]),
}  # fmt: skip


def snapshot(given: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, x in given.items():
        x = x.data if isinstance(x, RowSparseArray) else x
        found[name] = bits(x).tobytes() if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
    return found


def refused(run: Callable[[], Any], given: dict[str, Any], error: type[Exception]) -> str:
    """Run what must be refused; the message. No array may change by a bit."""
    before = snapshot(given)
    with pytest.raises(error) as caught:
        run()
    assert isinstance(caught.value, SymoptError)
    after = snapshot(given)
    assert all(before[n] is after[n] or before[n] == after[n] for n in before)
    return str(caught.value)


@pytest.mark.parametrize("case", BAD)
def test_bind_refuses(case: str) -> None:
    name, value, error, builtin, words = BAD[case]
    given = {**arrays(), name: value}
    assert issubclass(error, builtin)
    message = refused(lambda: bind(given), given, error)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("case", BAD)
def test_forward_refuses_and_goes_on(case: str, engine: str) -> None:
    name, value = BAD[case][:2]
    given = arrays()
    if isinstance(value, RowSparseArray) and name == "g":
        given["g"] = sparse([1, 3])
    executor = bind(given, engine=engine)
    everything = {**given, "bad": value}
    refused(lambda: executor.forward(**{name: value}), everything, SymoptError)
    before = given["w"].copy()
    executor.forward()
    assert not np.array_equal(before, given["w"])


def test_shape_error_shows_every_input() -> None:
    given = {**arrays(), "m": np.zeros((4, 6), np.float32)}
    message = refused(lambda: bind(given), given, ShapeError)
    lines = message.splitlines()
    assert lines[0] == "adam_update 'fc1': every input must have the shape of weight"
    assert any(line.split()[:1] == ["weight"] and line.endswith("w (6, 4)") for line in lines)
    assert any("<-- expected (6, 4)" in line and "mean" in line for line in lines)
    assert lines[-1].strip().startswith("built at") and "test_errors.py" in lines[-1]


def test_indices_changed_after_bind() -> None:
    given = {**arrays(), "g": sparse([1, 3])}
    executor = bind(given)
    executor.forward()
    given["g"].indices[1] = 99
    message = refused(executor.forward, given, RowIndexError)
    assert "indices[1] = 99" in message
    given["g"].indices[1] = 2
    executor.forward()


def overlapping() -> dict[str, Any]:
    whole = np.zeros((9, 4), np.float32)
    return {**arrays(), "w": whole[:6], "g": whole[3:]}


def one_array_twice() -> dict[str, Any]:
    given = arrays()
    return {**given, "m": given["v"]}


@pytest.mark.parametrize("make", [overlapping, one_array_twice])
def test_shared_memory(make: Callable[[], dict[str, Any]]) -> None:
    given = make()
    assert "shares memory" in refused(lambda: bind(given), given, ArrayError)


def test_reading_one_array_twice_is_fine() -> None:
    x = np.ones(3, np.float32)
    assert (sym.var("a") + sym.var("b")).bind(args={"a": x, "b": x}).forward()[0].tolist() == [2, 2, 2]


def two_writers() -> Any:
    w, g, m = (sym.var(n) for n in "wgm")
    one = sym.sgd_mom_update(w, g, m, lr=0.1, name="one")
    return sym.Group([one, sym.sgd_mom_update(w, g, m, lr=0.2, name="two")])


def state_from_nowhere() -> Any:
    return sym.sgd_mom_update(sym.var("w"), sym.var("g"), sym.var("m") * 2, lr=0.1, name="one")


@pytest.mark.parametrize(
    ("make", "words"),
    [(two_writers, ["'m'", "'one'", "'two'", "chain"]), (state_from_nowhere, ["'one'", "mom"])],
)
def test_states_without_a_place(make: Callable[[], Any], words: list[str]) -> None:
    given = arrays()
    message = refused(lambda: bind(given, make()), given, GraphError)
    assert all(word in message for word in words), message


def test_other_refusals_of_bind() -> None:
    given = arrays()
    with emulated_gpus():
        refused(lambda: bind(given, ctx=so.gpu(0)), given, DeviceError)
    missing = {n: given[n] for n in "wg"}
    message = refused(lambda: bind(missing), missing, MissingArgumentError)
    assert "`m`" in message
    refused(lambda: adam().bind(args=[given["w"]], aux_states=given), given, MissingArgumentError)
    message = refused(lambda: bind(given).forward(gg=given["g"]), given, UnknownArgumentError)
    assert "'gg'" in message and "did you mean g" in message
    out = sym.var("o")
    wrong = {**given, "o": np.zeros(3, np.float32)}
    refused(lambda: bind(wrong, sym.square(sym.var("w"), out=out)), wrong, ShapeError)
    half = {**given, "o": np.zeros(SHAPE, np.float16)}
    refused(lambda: bind(half, sym.square(sym.var("w"), out=out)), half, DTypeError)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_one_bad_argument_refuses_all(engine: str) -> None:
    given = arrays()
    executor = bind(given, engine=engine)
    good = {n: np.ones(SHAPE, np.float32) for n in "wg"}
    refused(
        lambda: executor.forward(**good, m=np.zeros(3, np.float32)), {**given, "a": good["w"]}, ShapeError
    )
    assert all(executor.arg_dict[n] is given[n] for n in "wg")


NUMBERS: list[Any] = [
    None,
    "0.1",
    True,
    1 + 2j,
    np.complex64(1),
    10**400,
    [0.1],
    np.ones(1),
    np.ones(2),
    np.array(1),
]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda x: repr(x)[:24])
def test_numbers_refused(value: Any) -> None:
    w = sym.var("w")
    symbol = sym.sgd_update(w, sym.var("g"), lr=sym.var("lr", shape=()), out=w)
    given = arrays()
    refused(lambda: bind({**given, "lr": value}, symbol), given, SymoptError)
    executor = bind({**given, "lr": 0.5}, symbol)
    message = refused(lambda: executor.forward(lr=value), given, SymoptError)
    assert "'lr'" in message and executor.arg_dict["lr"] == 0.5
    executor.forward(lr=0.25)


COPIES: dict[str, tuple[str, Any, type[SymoptError]]] = {
    "read-only": ("g", np.zeros(SHAPE), ArrayError),
    "shape": ("m", np.zeros(3), ShapeError),
    "text": ("m", np.full(SHAPE, "x"), DTypeError),
    "complex": ("m", np.zeros(SHAPE, complex), DTypeError),
    "ragged": ("m", [[1.0], [1.0, 2.0]], ArrayError),
    "sparse": ("m", sparse([1]), StorageError),
    "unknown": ("mm", np.zeros(SHAPE), MissingArgumentError),
}


@pytest.mark.parametrize("case", COPIES)
def test_copying_is_all_or_nothing(case: str) -> None:
    name, value, error = COPIES[case]
    given = {**arrays(), "g": read_only(np.ones((6, 8), np.float32))[:, ::2]}
    executor = bind(given)
    message = refused(lambda: executor.copy_params_from({"w": np.zeros(SHAPE), name: value}), given, error)
    assert repr(name) in message


def test_nd_refuses_and_leaves_everything() -> None:
    given = arrays()
    refused(lambda: so.nd.adam_update(*given.values(), lr=0.1, out=given["g"][:3]), given, SymoptError)
    refused(
        lambda: so.nd.adam_update(given["w"], sparse([9]), given["m"], given["v"], lr=0.1, out=given["w"]),
        given,
        RowIndexError,
    )
    refused(
        lambda: so.nd.adam_update(given["w"], given["g"], given["m"], given["m"], lr=0.1), given, ArrayError
    )
