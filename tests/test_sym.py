"""The module so.sym: variables, and a constructor for every op."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from symopt import sym
from symopt.errors import (
    DTypeError,
    ShapeError,
    StorageError,
    SymoptError,
)
from symopt.opdef import OPS

W, G, M, V, S = (sym.var(name) for name in ("w", "g", "m", "v", "s"))


VARIABLES = [
    ({"shape": (2, 3)}, {"__shape__": "(2, 3)"}),
    ({"shape": 4}, {"__shape__": "(4,)"}),
    ({"shape": ()}, {"__shape__": "()"}),
    ({"shape": (np.int64(2), -1)}, {"__shape__": "(2, -1)"}),
    ({"dtype": "float16"}, {"__dtype__": "2"}),
    ({"dtype": np.float64}, {"__dtype__": "1"}),
    ({"dtype": "bfloat16"}, {"__dtype__": "12"}),
    ({"stype": "row_sparse"}, {"__storage_type__": "1"}),
    ({"lr_mult": 0.5}, {"__lr_mult__": "0.5", "lr_mult": "0.5"}),
    ({"init": '["zero", {}]'}, {"__init__": '["zero", {}]'}),
    ({"__mood__": "calm"}, {"__mood__": "calm"}),
    ({"attr": {"mood": "angry"}}, {"mood": "angry"}),
]


@pytest.mark.parametrize(("given", "attrs"), VARIABLES, ids=[str(given) for given, _ in VARIABLES])
def test_variables_keep_attributes_as_mxnets_strings(given: dict[str, Any], attrs: dict[str, str]) -> None:
    assert sym.var("w", **given).list_attr() == attrs


WRONG_VARIABLES = [
    ({"name": 3}, TypeError),
    ({"name": ""}, TypeError),
    ({"name": "w", "shape": "ab"}, ShapeError),
    ({"name": "w", "shape": 2.5}, ShapeError),
    ({"name": "w", "shape": (2, -2)}, ShapeError),
    ({"name": "w", "dtype": "int8"}, DTypeError),
    ({"name": "w", "stype": "csr"}, StorageError),
    ({"name": "w", "mood": "calm"}, ValueError),
]


@pytest.mark.parametrize(("given", "kind"), WRONG_VARIABLES, ids=[str(given) for given, _ in WRONG_VARIABLES])
def test_variables_refuse(given: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        sym.var(**given)
    assert isinstance(caught.value, SymoptError)


@pytest.mark.parametrize("name", [n for n in OPS if n not in ("pow", "maximum", "minimum")])
def test_every_op_has_a_constructor_that_documents_itself(name: str) -> None:
    make = getattr(sym, name)
    op = OPS[name]
    assert make is getattr(sym, name)
    assert make.__name__ == name
    assert op.doc in make.__doc__
    assert {"name", "attr", "out", *op.attrs} <= set(inspect.signature(make).parameters)
    assert name in dir(sym)


def test_namespaces_list_their_ops() -> None:
    assert "group_adagrad_update" in dir(sym.contrib)
    assert "adam_update" in dir(sym.sparse)
    with pytest.raises(AttributeError, match="group_adagrad_update"):
        sym.contrib.group_adagrad_updat  # noqa: B018
