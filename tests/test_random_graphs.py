"""Random graphs: both engines agree bit for bit, and with a NumPy evaluation that knows nothing of plans."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import SHAPES, Drawing
from test_engines import bits

from symopt import Symbol
from symopt.dtypes import FLOATS

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def draw_graph(data: st.DataObject, dtype: str, most: int = 12) -> tuple[Drawing, Symbol]:
    shape = data.draw(st.sampled_from(SHAPES))
    drawing = Drawing(lambda found: data.draw(st.sampled_from(found)), shape, dtype, np.random.default_rng(0))
    for _ in range(data.draw(st.integers(1, most))):
        drawing.step()
    return drawing, drawing.symbol()


def run(
    drawing: Drawing, symbol: Symbol, engine: str, rebind: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """Outputs and variables after two steps. `rebind`: the second step is given copies, and leaves the first arrays
    alone."""
    bound = copy.deepcopy(drawing.bound)
    executor = symbol.bind(args=bound, aux_states=bound, engine=engine)
    executor.forward()
    between = copy.deepcopy(bound)
    held = {**executor.arg_dict, **executor.aux_dict}
    executor.forward(**(copy.deepcopy(held) if rebind else {}))
    for name in held if rebind else ():
        assert np.array_equal(bits(plain(bound[name])), bits(plain(between[name]))), f"variable {name}"
    return [np.array(x) for x in executor.outputs], {**executor.arg_dict, **executor.aux_dict}


def plain(x: Any) -> Any:
    return x.data if hasattr(x, "stype") else np.asarray(x)


def assert_same(one: tuple[list[Any], dict[str, Any]], other: tuple[list[Any], dict[str, Any]]) -> None:
    for k, (a, b) in enumerate(zip(one[0], other[0], strict=True)):
        assert np.array_equal(bits(a), bits(b)), f"output {k}"
    for name in one[1]:
        assert np.array_equal(bits(plain(one[1][name])), bits(plain(other[1][name]))), f"variable {name}"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@QUICK
@given(data=st.data())
def test_native_equals_reference(dtype: str, data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, dtype)
    assert_same(run(drawing, symbol, "reference"), run(drawing, symbol, "native", rebind=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@settings(QUICK, max_examples=200)
@given(data=st.data())
def test_variables_mean_their_values_at_the_start_of_the_step(data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, "float64", 20)
    outputs, held = run(drawing, symbol, "reference")
    values: dict[Any, Any] = copy.deepcopy(drawing.bound)
    with np.errstate(all="ignore"):
        for _ in range(2):
            expected, values = drawing.expected(dict(values))
    for k, (a, b) in enumerate(zip(outputs, expected, strict=True)):
        np.testing.assert_allclose(
            a, np.broadcast_to(b, a.shape), rtol=1e-6, atol=1e-6, err_msg=f"output {k}"
        )
    for name, array in held.items():
        expect = np.broadcast_to(plain(values[name]), plain(array).shape)
        np.testing.assert_allclose(plain(array), expect, rtol=1e-6, atol=1e-6, err_msg=name)
