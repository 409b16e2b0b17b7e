"""Python's operators and the fluent methods of Symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symopt import sym
from symopt.errors import (
    NotImplementedForSymbol,
)
from symopt.opdef import all_ops
from symopt.operators import is_fluent

W, G, M, V, S = (sym.var(name) for name in ("w", "g", "m", "v", "s"))


OPERATORS = [
    (lambda a, b: a + b, "elemwise_add", "_plus_scalar", "_plus_scalar"),
    (lambda a, b: a - b, "elemwise_sub", "_minus_scalar", "_rminus_scalar"),
    (lambda a, b: a * b, "elemwise_mul", "_mul_scalar", "_mul_scalar"),
    (lambda a, b: a / b, "elemwise_div", "_div_scalar", "_rdiv_scalar"),
    (lambda a, b: a % b, "_mod", "_mod_scalar", "_rmod_scalar"),
    (lambda a, b: a**b, "_power", "_power_scalar", "_rpower_scalar"),
    (lambda a, b: a == b, "_equal", "_equal_scalar", "_equal_scalar"),
    (lambda a, b: a != b, "_not_equal", "_not_equal_scalar", "_not_equal_scalar"),
    (lambda a, b: a > b, "_greater", "_greater_scalar", "_lesser_scalar"),
    (lambda a, b: a >= b, "_greater_equal", "_greater_equal_scalar", "_lesser_equal_scalar"),
    (lambda a, b: a < b, "_lesser", "_lesser_scalar", "_greater_scalar"),
    (lambda a, b: a <= b, "_lesser_equal", "_lesser_equal_scalar", "_greater_equal_scalar"),
    (sym.pow, "_power", "_power_scalar", "_rpower_scalar"),
    (sym.maximum, "_maximum", "_maximum_scalar", "_maximum_scalar"),
    (sym.minimum, "_minimum", "_minimum_scalar", "_minimum_scalar"),
]
OPERATOR_IDS = [f"{k}-{case[1]}" for k, case in enumerate(OPERATORS)]


@pytest.mark.parametrize(("apply", "two", "right", "left"), OPERATORS, ids=OPERATOR_IDS)
def test_operators_make_mxnets_ops(apply: Callable[[Any, Any], Any], two: str, right: str, left: str) -> None:
    for symbol, op in ((apply(W, G), two), (apply(W, 2), right), (apply(2, W), left)):
        assert symbol._outputs[0].op == op
    assert apply(W, np.float32(2)).attr("scalar") == "2.0"
    assert apply(np.float64(2), W)._outputs[0].op == left


@pytest.mark.parametrize("other", ["2", None, np.ones(2), [1], True, 1j], ids=repr)
@pytest.mark.parametrize(("apply", "two", "right", "left"), OPERATORS, ids=OPERATOR_IDS)
def test_operators_refuse_what_is_neither_symbol_nor_number(
    apply: Callable[[Any, Any], Any], two: str, right: str, left: str, other: object
) -> None:
    with pytest.raises(TypeError):
        apply(W, other)


def test_negation_is_multiplication_by_minus_one_and_numbers_stay_numbers() -> None:
    assert (-W).list_attr() == {"scalar": "-1.0"}
    assert (sym.maximum(1, 2), sym.minimum(1, 2), sym.pow(2, 3)) == (2, 1, 8)


def test_symbols_are_hashed_and_told_apart_by_identity() -> None:
    a, b = sym.var("a"), sym.var("a")
    assert len({a, b, a}) == 2
    assert isinstance(a == b, sym.Symbol)


def _augmented(symbol: sym.Symbol) -> None:
    symbol += 1


REFUSED = {
    "iadd": _augmented,
    "bool": bool,
    "asnumpy": lambda s: s.asnumpy(),
    "asscalar": lambda s: s.asscalar(),
    "numpy": np.asarray,
    "copy": lambda s: s.copy(),
    "detach": lambda s: s.detach(),
    "backward": lambda s: s.backward(),
    "gradient": lambda s: s.gradient(["w"]),
    "args_grad": lambda s: s.bind(args={}, args_grad={"w": 1}),
    "grad_req": lambda s: s.simple_bind(grad_req="add"),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_what_only_arrays_can_do_is_refused(act: Callable[[Any], object]) -> None:
    with pytest.raises(NotImplementedForSymbol):
        act(sym.var("w"))


FLUENT = sorted({op.name for op in all_ops() if is_fluent(op) and not op.name.startswith("_")})
REQUIRED: dict[str, dict[str, Any]] = {
    "clip": {"a_min": 0, "a_max": 1}, "Cast": {"dtype": "float16"}, "monolith_one_bit_scale": {"global_step": 1},
    "full_like": {"fill_value": 2.0}, "uniform_like": {"seed": 1.0}, "normal_like": {"seed": 1.0},
    "truncated_normal_like": {"seed": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("name", FLUENT)
def test_every_op_of_one_array_is_a_method(name: str) -> None:
    symbol = getattr(W, name)(name="f", **REQUIRED.get(name, {}))
    assert symbol.debug_str() == getattr(sym, name)(W, name="f", **REQUIRED.get(name, {})).debug_str()
    assert name in dir(W)


def test_unknown_method_is_an_attribute_error_with_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="sqrt"):
        W.sqtr()
    assert not hasattr(W, "adam_update")
    assert not hasattr(W, "__array_interface__")
