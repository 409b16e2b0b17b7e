"""What formulas may say, on both engines: conditions known beforehand, folds of folds, sums of duplicates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_engines import bits

from symopt import lang, sym
from symopt.dtypes import to_numpy
from symopt.errors import GraphError
from symopt.lang import Condition, Scalar, Tensor
from symopt.opdef import op
from symopt.sparse import RowSparseArray

X = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
N = X.size
engines = pytest.mark.parametrize("engine", ["reference", "native"])

FORMULAS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "columns": (lambda x: lang.where(lang.column(x) < 2, x, 0), X * [1, 1, 0]),
    "row fold of columns": (lambda x: lang.row_sum(lang.column(x)), np.array([3.0, 3.0])),
    "whole fold of columns": (lambda x: lang.sum_of(x * lang.column(x)), np.array([-3.0])),
    "half to even": (lambda x: lang.rint(x / 2), np.array([[0.0, -1.0, 2.0], [2.0, 2.0, -3.0]])),
    "where true": (lambda x: lang.where(True, x, 7), X),
    "where false": (lambda x: lang.where(False, x, 7), np.full_like(X, 7)),
    "either true": (lambda x: lang.where(lang.either(x > 0, True), x, 7), X),
    "both false": (lambda x: lang.where(lang.both(x > 0, False), x, 7), np.full_like(X, 7)),
    "lerp near its start": (lambda x: lang.lerp(x, x + 8, 0.25), X + 2),
    "lerp near its end": (lambda x: lang.lerp(x - 8, x, 0.75), X - 2),
    "lerp to its end": (lambda x: lang.lerp(x + 1e20, x, 1.0), X),
    "counts": (lambda x: x + lang.count(x) - lang.row_count(x), X + 3),
    "sum of a number": (lambda x: x * 0 + lang.sum_of(lang.norm(x)), np.full_like(X, np.linalg.norm(X) * N)),
    "row fold of a row fold": (lambda x: lang.row_sum(lang.row_mean(x)), X.sum(1)),
    "whole fold of a row fold": (lambda x: lang.max_of(lang.row_sum(x)), np.array([3.0])),
    "whole fold by rows": (lambda x: lang.sum_of(x - lang.row_mean(x)), np.array([0.0])),
    "sum of a row fold": (lambda x: lang.sum_of(lang.row_max(x)), np.array([24.0])),
    "at least": (lambda x: lang.at_least(x, 2), np.maximum(X, 2)),
    "at most": (lambda x: lang.at_most(x, 2), np.minimum(X, 2)),
    "no bounds": (lambda x: lang.at_most(lang.at_least(x, -1), -1), X),
    "a computed bound": (lambda x: lang.at_most(x, lang.max_of(x) - 3), np.minimum(X, 2)),
    "a computed bound that is off": (lambda x: lang.at_least(x, lang.min_of(x) + 1), X),
    "row fold by the whole": (lambda x: lang.row_min(x / lang.norm(x)), X.min(1) / np.linalg.norm(X)),
}


@engines
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_mean_what_numpy_means(name: str, engine: str) -> None:
    formula, expected = FORMULAS[name]

    @op
    def drawn_formula(data: Tensor) -> Tensor:
        return formula(data)  # type: ignore[no-any-return]

    result = sym.drawn_formula(sym.var("x")).bind(args={"x": X}, engine=engine).forward()[0]
    np.testing.assert_allclose(result, expected, atol=1e-15)


@engines
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_columns_are_numbered_in_each_row_however_long(dtype: str, engine: str) -> None:
    @op
    def drawn_formula(data: Tensor) -> Tensor:
        return lang.row_sum(lang.where(lang.column(data) < 70, data, 0)) + 0 * lang.column(data)

    data = np.ones((3, 5, 1700), to_numpy(dtype))
    result = sym.drawn_formula(sym.var("x")).bind(args={"x": data}, engine=engine).forward()[0]
    np.testing.assert_array_equal(result, np.full(data.shape, 70))


@engines
@pytest.mark.parametrize("call", [lang.tanh, lang.floor, lang.ceil, lang.trunc, lang.rint])
def test_functions_of_numbers_are_those_of_arrays(call: Callable[[Any], Any], engine: str) -> None:
    """What attributes alone decide is computed on the host, for one tensor or for a column of them."""

    @op
    def drawn_formula(data: Tensor, *, scalar: float) -> Tensor:
        return data + call(scalar)  # type: ignore[no-any-return]

    for numbers in ([-2.5], [1.5, -0.75, 3.0, np.inf, -0.0]):
        names = [f"x{k}" for k in range(len(numbers))]
        nodes = sym.Group([sym.drawn_formula(sym.var(n), scalar=x) for n, x in zip(names, numbers)])
        found = nodes.bind(args={n: np.zeros(2) for n in names}, engine=engine).forward()
        expected = getattr(np, call.__name__)(numbers)
        np.testing.assert_allclose([x[0] for x in found], expected, rtol=1e-15)


def test_numbers_of_the_host_are_not_rounded_to_float16() -> None:
    with pytest.raises(GraphError, match="keeps its numbers in float64"):
        sym.monolith_fp16(sym.var("t", shape=())).bind(args={"t": 1.0})


@engines
@pytest.mark.parametrize("scalar", [2.0, np.array([2.0], np.float16)], ids=["number", "array"])
def test_scalars_and_conditions_have_dtypes_of_their_own(scalar: Any, engine: str) -> None:
    @op
    def drawn_formula(data: Tensor, factor: Scalar, chosen: Condition) -> Tensor:
        return lang.where(chosen != 0, data * factor, lang.norm(data))

    node = sym.drawn_formula(sym.var("x"), sym.var("s"), sym.var("c"))
    bound = {"x": X, "s": scalar, "c": (X > 2).astype(np.float32)}
    result = node.bind(args=bound, engine=engine).forward()[0]
    np.testing.assert_allclose(result, np.where(X > 2, X * 2, np.linalg.norm(X)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dense_reading_of_duplicates_is_rounded_and_an_update_takes_the_sum_itself(dtype: str) -> None:
    """Fused with its reader or not: the array that `identity` would store is in 16 bits; a gradient is not stored."""
    real = to_numpy(dtype)
    data = np.array([[1.0], [2.0**-12]]).astype(real)
    grad = RowSparseArray(data, [1, 1], (3, 1))
    a, w, g = sym.var("a"), sym.var("w"), sym.var("g", stype="row_sparse")
    step = sym.Group([g - a, sym.sgd_update(w, g, lr=1.0, out=w)])
    found = []
    for engine in ("reference", "native"):
        weight = np.full((3, 1), -1.0, real)
        bound = {"a": np.ones((3, 1), real), "w": weight, "g": grad}
        difference, _ = step.bind(args=bound, engine=engine).forward()
        assert difference.astype(float).ravel().tolist() == [-1.0, 0.0, -1.0]
        found.append(bits(weight))
    assert np.array_equal(found[0], found[1])
