"""Attributes changed after bind: numbers for the next step, flags and clips as a new plan."""

import numpy as np
import pytest
from test_executor import SHAPE, adam, arrays, close, numpy_adam

import symopt as so
from symopt import sym
from symopt.backends import jit
from symopt.lang import Tensor, clip


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_set_attr(engine: str) -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given, engine=engine)
    executor.forward()
    compiled = jit.compiled_count()
    executor.set_attr("fc1", wd=0.5, lr=0.01)
    expected = numpy_adam(given, lr=0.01, wd=0.5)
    executor.forward()
    close(given, expected)
    assert jit.compiled_count() == compiled
    executor.set_attr(
        "fc1", clip_gradient=0.25
    )  # switches the clip on: a new plan, the numbers set before stay
    expected = numpy_adam({**given, "g": np.clip(given["g"], -0.25, 0.25)}, lr=0.01, wd=0.5)
    executor.forward()
    close(given, expected)


def test_set_attr_is_kept(engine: str) -> None:
    given = arrays()
    node = sym.adam_update(*(sym.var(n) for n in "wgmv"), lr=0.1, name="fc1")
    executor = node.bind(args=given, aux_states=given, engine=engine)
    (out,) = executor.forward()
    executor.set_attr("fc1", lr=0.75)
    executor.set_attr("fc1", clip_gradient=0.25)
    expected = numpy_adam({**given, "g": np.clip(given["g"], -0.25, 0.25)}, lr=0.75)
    assert executor.forward()[0] is out  # the new plan writes where the old one did
    np.testing.assert_allclose(out, expected["w"], rtol=2e-5)
    assert "lr=0.75" in executor.debug_str()
    assert executor.get_optimized_symbol().attr_dict()["fc1"]["clip_gradient"] == "0.25"
    larger = executor.reshape(w=(9, 4))
    larger.arg_dict["g"][:] = 3
    ones = {"w": 0.0, "g": 0.25, "m": 0.0, "v": 0.0}
    np.testing.assert_allclose(larger.forward()[0], numpy_adam(ones, lr=0.75)["w"], rtol=2e-5)


def test_a_new_plan_never_writes_into_a_variable(engine: str) -> None:
    @so.op
    def bounded(data: Tensor, *, clip_gradient: float = -1.0) -> Tensor:
        """data, clipped."""
        return clip(data, clip_gradient)

    x = np.arange(4, dtype=np.float32)
    executor = sym.bounded(sym.var("x"), name="b").bind(args={"x": x}, engine=engine)
    executor.forward()
    executor.set_attr("b", clip_gradient=2)
    assert executor.forward()[0].tolist() == [0, 1, 2, 2]
    assert x.tolist() == [0, 1, 2, 3]


def test_switching_lazy_off(engine: str) -> None:
    given = arrays()
    given["g"] = so.sparse.row_sparse_array((np.ones((1, 4), np.float32), [2]), shape=SHAPE)
    executor = adam(wd=0.1).bind(args=given, aux_states=given, engine=engine)
    before = given["w"].copy()
    executor.forward()
    assert (given["w"] != before).any(axis=1).tolist() == [False, False, True, False, False, False]
    executor.set_attr("fc1", lazy_update=False)
    executor.forward()
    assert (given["w"] != before).any(axis=1).all()
