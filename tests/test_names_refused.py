"""Attributes, names and options that are refused: when the symbol is built, at bind, or later."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_errors import SHAPE, adam, arrays, bind

import symopt as so
from symopt import sym
from symopt.errors import (
    ArrayError,
    AttributeValueError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    ShapeError,
    SymoptError,
    UnknownArgumentError,
    UnknownAttributeError,
    UnknownOpError,
)
from symopt.sparse import RowSparseArray


def twins() -> Any:
    first = sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1, name="u")
    return bind(arrays(), sym.sgd_update(first, sym.var("m"), lr=0.1, name="u"))


def scheduled() -> Any:
    lr = sym.var("lr", shape=())
    return bind({**arrays(), "lr": 1}, sym.sgd_update(sym.var("w"), sym.var("g"), lr=lr, name="u"))


def unbind() -> None:
    executor = bind(arrays())
    del executor.arg_dict["g"]


ATTRIBUTES: dict[str, tuple[Callable[[], Any], type[SymoptError], type[Exception], list[str]]] = {
    "NaN": (lambda: adam(wd=float("nan")), AttributeValueError, ValueError, ["'fc1'", "wd", "NaN", "built at"]),
    "text": (lambda: adam(wd="much"), AttributeValueError, ValueError, ["wd", "'much'"]),
    "unknown": (lambda: adam(beta3=1), UnknownAttributeError, TypeError, ["beta3", "beta1", "built at"]),
    "flag": (lambda: adam(lazy_update="perhaps"), AttributeValueError, ValueError, ["lazy_update"]),
    "missing": (lambda: sym.adam_update(sym.var("w"), name="u"), MissingArgumentError, ValueError, ["lr", "'u'"]),
    "op": (lambda: sym.adem_update(sym.var("w")), UnknownOpError, AttributeError, ["adem_update", "adam_update"]),
    "set NaN": (lambda: bind(arrays()).set_attr("fc1", wd=float("nan")), AttributeValueError, ValueError, ["wd"]),
    "set unknown": (lambda: bind(arrays()).set_attr("fc1", wdd=0), UnknownAttributeError, TypeError, ["wd"]),
    "set elsewhere": (lambda: bind(arrays()).set_attr("fc", wd=0), UnknownArgumentError, TypeError, ["fc1"]),
    "set, two of a name": (lambda: twins().set_attr("u", lr=1), GraphError, ValueError, ["2 nodes", "'u'"]),
    "set a symbol's": (lambda: scheduled().set_attr("u", lr=1), AttributeValueError, ValueError, ["lr", "forward"]),
    "engine": (lambda: bind(arrays(), engine="cuda"), AttributeValueError, ValueError, ["'cuda'", "native"]),
    "source": (lambda: bind(arrays()).source("c"), AttributeValueError, ValueError, ["'c'", "llvm"]),
    "monitor": (lambda: bind(arrays()).set_monitor_callback(3), DTypeError, TypeError, ["3"]),
    "assigned": (lambda: bind(arrays()).arg_dict.update(gg=1), UnknownArgumentError, TypeError, ["'gg'"]),
    "deleted": (unbind, DTypeError, TypeError, ["'g'"]),
    "reshape": (lambda: bind(arrays()).reshape(w=(-3, 4)), ShapeError, ValueError, ["'w'", "-3"]),
    "reshape unknown": (lambda: bind(arrays()).reshape(ww=(3, 4)), UnknownArgumentError, TypeError, ["'ww'", "w"]),
    "simple_bind": (lambda: adam().simple_bind(w="ab"), ShapeError, ValueError, ["'w'", "'ab'"]),
    "simple_bind unknown": (lambda: adam().simple_bind(ww=(3, 4)), UnknownArgumentError, TypeError, ["'ww'"]),
    "simple_bind open": (lambda: adam().simple_bind(), MissingArgumentError, ValueError, ["'w'"]),
    "ragged": (lambda: RowSparseArray(np.ones((2, 4)), [1], SHAPE), ArrayError, ValueError, ["2", "1"]),
    "ragged columns": (lambda: RowSparseArray(np.ones((1, 3)), [1], SHAPE), ShapeError, ValueError, ["(n, 4)"]),
    "nd without lr": (lambda: so.nd.sgd_update(np.ones(2), np.ones(2)), MissingArgumentError, ValueError, ["lr"]),
    "nd unknown": (lambda: so.nd.sgd_update(np.ones(2), np.ones(2), x=2), UnknownArgumentError, TypeError, ["'x'"]),
    "axis": (lambda: so.nd.sum(np.ones((2, 3, 4)), axis=1), SymoptError, ValueError, ["axis"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_attributes_and_names(case: str) -> None:
    make, error, builtin, words = ATTRIBUTES[case]
    with pytest.raises(error) as caught:
        make()
    assert isinstance(caught.value, builtin)
    assert all(word in str(caught.value) for word in words), str(caught.value)
