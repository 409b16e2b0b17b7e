"""Calls of ops: inputs, attributes, errors; and composition of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symopt import sym
from symopt.errors import (
    AttributeValueError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    NotImplementedForSymbol,
    SymoptError,
    UnknownArgumentError,
    UnknownAttributeError,
    UnknownOpError,
)

W, G, M, V, S = (sym.var(name) for name in ("w", "g", "m", "v", "s"))

NO_SYMBOLS: list[Any] = [1]


def adam(**given: Any) -> sym.Symbol:
    return sym.adam_update(W, G, M, V, **{"lr": 0.1, "name": "fc1", **given})


def test_update_op_lists_states_as_auxiliary_and_has_one_output() -> None:
    step = adam()
    assert step.list_arguments() == ["w", "g"]
    assert step.list_auxiliary_states() == ["m", "v"]
    assert step.list_inputs() == ["w", "g", "m", "v"]
    assert step.list_outputs() == ["fc1_output"]
    assert len(step) == 1


CALLS = {
    "by-position": lambda: sym.adam_update(W, G, M, V, lr=1, name="a"),
    "by-name": lambda: sym.adam_update(var=V, mean=M, lr=1, grad=G, weight=W, name="a"),
    "mixed": lambda: sym.adam_update(W, G, var=V, mean=M, lr=1, name="a"),
    "alias": lambda: sym._sparse_adam_update(W, G, M, V, lr=1, name="a"),
    "namespace": lambda: sym.sparse.adam_update(W, G, M, V, lr=1, name="a"),
    "string": lambda: sym.adam_update(W, G, M, V, lr="1", name="a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ways_to_call_an_op_give_the_same_graph(call: Callable[[], Any]) -> None:
    assert call().debug_str() == CALLS["by-position"]().debug_str()


def test_missing_inputs_become_variables() -> None:
    step = sym.adam_update(None, G, lr=0.1, name="fc1")
    assert step.list_inputs() == ["fc1_weight", "g", "fc1_mean", "fc1_var"]


def test_only_given_attributes_are_kept_and_parsed() -> None:
    step = adam(lr="0.5", lazy_update="False", wd=np.float32(2))
    assert step.list_attr() == {"lr": "0.5", "lazy_update": "False", "wd": "2.0"}


def test_symbol_as_numeric_attribute_is_an_argument() -> None:
    step = adam(lr=S * 2, wd=sym.var("wd"))
    assert step.list_arguments() == ["w", "g", "s", "wd"]
    node = step._outputs[0]
    assert node.attrs["__scalars__"] == ("lr", "wd")
    assert [child.name for child in node.inputs[:4]] == ["w", "g", "m", "v"]


def test_out_is_an_argument_even_if_it_is_read_nowhere() -> None:
    target = sym.var("target")
    step = adam(out=target)
    assert step.list_arguments() == ["w", "g", "target"]
    assert step.attr("__out__") == "target"


@pytest.mark.parametrize("arrays", [(W, G, M), ([W, G, M],)], ids=["arguments", "list"])
def test_variadic_op_takes_any_number_of_symbols(arrays: tuple[Any, ...]) -> None:
    total = sym.multi_sum_sq(*arrays, name="t")
    assert total.list_arguments() == ["w", "g", "m"]
    assert total.attr("num_arrays") == "3"


def test_ordinary_op_takes_attributes_by_position_after_its_inputs() -> None:
    assert sym.clip(W, 0, 1).list_attr() == {"a_min": "0.0", "a_max": "1.0"}
    assert W.clip(S, 1).list_arguments() == ["w", "s"]


ERRORS = {
    "unknown-op": (lambda: sym.adam_updat(W), UnknownOpError, ["adam_updat", "adam_update"]),
    "unknown-attribute": (
        lambda: adam(betal=0.9),
        UnknownAttributeError,
        ["'betal'", "beta1", "clip_gradient"],
    ),
    "missing-attribute": (lambda: sym.adam_update(W, name="fc1"), MissingArgumentError, ["lr is required"]),
    "not-a-number": (lambda: adam(wd="much"), AttributeValueError, ["wd must be a number", "'much'"]),
    "nan": (lambda: adam(wd=float("nan")), AttributeValueError, ["wd must be a number", "NaN"]),
    "infinite-count": (
        lambda: sym.norm(W, ord=np.inf, name="fc1"),
        AttributeValueError,
        ["ord must be an int"],
    ),
    "not-a-bool": (lambda: adam(lazy_update=2), AttributeValueError, ["lazy_update must be True or False"]),
    "symbol-as-flag": (
        lambda: adam(lazy_update=S),
        AttributeValueError,
        ["lazy_update", "cannot be a Symbol"],
    ),
    "not-a-dtype": (lambda: W.astype("int32", name="fc1"), DTypeError, ["dtype", "int32", "float16"]),
    "array-input": (
        lambda: sym.adam_update(W, np.zeros(3), lr=1, name="fc1"),
        UnknownArgumentError,
        ["input grad", "ndarray"],
    ),
    "number-input": (lambda: sym.sqrt(2.0, name="fc1"), UnknownArgumentError, ["input data", "float"]),
    "group-input": (
        lambda: sym.sqrt(sym.Group([W, G]), name="fc1"),
        UnknownArgumentError,
        ["one output", "group of 2"],
    ),
    "too-many-inputs": (
        lambda: sym.adam_update(W, G, M, V, 0.1, name="fc1"),
        UnknownArgumentError,
        ["4 inputs", "by keyword"],
    ),
    "input-twice": (
        lambda: sym.adam_update(W, G, weight=W, lr=1, name="fc1"),
        UnknownArgumentError,
        ["input weight", "twice"],
    ),
    "attribute-twice": (
        lambda: sym.clip(W, 0, 1, a_min=0, name="fc1"),
        UnknownArgumentError,
        ["a_min", "twice"],
    ),
    "attribute-in-attr": (lambda: adam(attr={"wd": "1"}), AttributeValueError, ["wd", "keyword"]),
    "no-arrays": (lambda: sym.multi_sum_sq(name="fc1"), MissingArgumentError, ["one array or more"]),
    "wrong-count": (
        lambda: sym.multi_sum_sq(W, G, num_arrays=3, name="fc1"),
        AttributeValueError,
        ["num_arrays = 3", "2 arrays"],
    ),
    "out-is-no-variable": (lambda: adam(out=W + 1), GraphError, ["out=", "variable"]),
    "out-is-an-array": (lambda: adam(out=np.zeros(3)), GraphError, ["out=", "variable"]),
    "out-is-a-state": (lambda: adam(out=M), GraphError, ["out= is m", "mean"]),
    "no-such-state": (lambda: adam().state("men"), UnknownArgumentError, ["'men'", "mean", "var"]),
    "no-states": (lambda: sym.sqrt(W, name="fc1").state("mean"), UnknownArgumentError, ["updates none"]),
}


@pytest.mark.parametrize(("call", "kind", "texts"), ERRORS.values(), ids=ERRORS)
def test_errors_name_node_and_users_line(
    call: Callable[[], Any], kind: type[Exception], texts: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, SymoptError)
    if kind is not UnknownOpError:
        assert "'fc1'" in message
        assert "\n  built at " in message
        assert "test_compose.py:" in message
    for text in texts:
        assert text in message


BUILTINS = [
    (UnknownOpError, AttributeError),
    (UnknownAttributeError, TypeError),
    (UnknownArgumentError, TypeError),
    (AttributeValueError, ValueError),
    (MissingArgumentError, ValueError),
    (NotImplementedForSymbol, TypeError),
]


@pytest.mark.parametrize(("ours", "builtin"), BUILTINS, ids=[ours.__name__ for ours, _ in BUILTINS])
def test_errors_are_builtins_too(ours: type, builtin: type) -> None:
    assert issubclass(ours, builtin)


def test_composition_by_position_and_by_name() -> None:
    inner = sym.sqrt(sym.var("x"), name="r")
    expression = (W + G) * 2
    assert expression(inner, S).list_arguments() == ["x", "s"]
    assert expression(g=inner).list_arguments() == ["w", "x"]
    assert expression.list_arguments() == ["w", "g"]
    assert expression(name="renamed").name == "renamed"
    assert adam()(m=S).list_auxiliary_states() == ["s", "v"]
    assert adam(out=W)(w=S).attr("__out__") == "s"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: (W + G)(S, g=S), TypeError),
        (lambda: (W + G)(S, S, S), TypeError),
        (lambda: (W + G)(*NO_SYMBOLS), TypeError),
        (lambda: (W + G)(x=S), UnknownArgumentError),
        (lambda: (W + G)(g=sym.Group([W, G])), GraphError),
        (lambda: adam(out=W)(w=S + 1), GraphError),
    ],
    ids=["both", "too-many", "number", "unknown", "group", "out"],
)
def test_composition_refuses(call: Callable[[], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call()


def test_composition_shares_what_it_does_not_change() -> None:
    left, right = sym.sqrt(W), sym.sqrt(G)
    composed = (left + right)(g=S)
    assert composed._outputs[0].inputs[0] is left._outputs[0]
