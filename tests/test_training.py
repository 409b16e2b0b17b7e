"""Whole training steps as one graph: schedules, counters, skipping, clipping, averages."""

import numpy as np
import pytest
from test_executor import SHAPE, adam, arrays, close, numpy_adam

import symopt as so
from symopt import sym


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_counter_schedule_and_bias_correction(engine: str) -> None:
    given = arrays("w", "g")
    given |= {n: np.zeros(SHAPE, np.float32) for n in "mv"}
    t = sym._plus_scalar(sym.var("t", shape=()), scalar=1, out=sym.var("t", shape=()))
    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    lr = 0.1 * sym.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    executor = sym.Group([adam(lr=lr), t]).bind(args={**given, "t": 0}, aux_states=given, engine=engine)
    for step in range(1, 4):
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        expected = numpy_adam(given, lr=rate)
        outputs = executor.forward()
        close(given, expected)
        assert executor.arg_dict["t"] == step == float(outputs[1])


def test_a_number_held_in_an_array_is_read_each_step_and_written(engine: str) -> None:
    held = np.array(5.0)
    count = sym.var("t", shape=())
    executor = sym._plus_scalar(count, scalar=1, out=count).bind(args={"t": held}, engine=engine)
    executor.forward()
    assert held == 6
    held[...] = 10
    executor.forward()
    assert held == 11


def test_skip_when_not_finite(engine: str) -> None:
    given = arrays()
    w, g, m, v = (sym.var(n) for n in "wgmv")
    new = sym.adam_update(w, g, m, v, lr=0.1, name="u")
    fine = sym.all_finite(g)
    heads = [sym.where(fine, new, w, out=w)]
    heads += [sym.where(fine, new.state(s), x, out=x) for s, x in (("mean", m), ("var", v))]
    executor = sym.Group(heads).bind(args=given, aux_states=given, engine=engine)
    bad = given["g"].copy()
    bad[3, 2] = np.inf
    before = {n: given[n].copy() for n in "wmv"}
    executor.forward(g=bad)
    assert all(np.array_equal(before[n], given[n]) for n in before)
    expected = numpy_adam(given)
    executor.forward(g=given["g"])
    close(given, expected)


def test_clip_and_average_fuse() -> None:
    names = "abc"
    given = {p + n: x for n in names for p, x in arrays(*"wgmve").items()}
    grads = [sym.var("g" + n) for n in names]
    scale = sym.minimum(1.0 / (sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))) + 1e-6), 1.0)
    heads = []
    for n, g in zip(names, grads):
        w, e = sym.var("w" + n), sym.var("e" + n)
        u = sym.adam_update(w, g, sym.var("m" + n), sym.var("v" + n), lr=0.1, rescale_grad=scale, out=w)
        heads += [u, sym.elemwise_add(0.9 * e, 0.1 * u, out=e)]
    executor = sym.Group(heads).bind(args=given, aux_states=given)
    norm = np.sqrt(sum((given["g" + n].astype(float) ** 2).sum() for n in names))
    before = {k: x.copy() for k, x in given.items()}
    executor.forward()
    for n in names:
        one = {p: before[p + n] for p in "wgmv"}
        expected = numpy_adam({**one, "g": one["g"] * min(1 / (norm + 1e-6), 1)})
        np.testing.assert_allclose(given["w" + n], expected["w"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            given["e" + n], 0.9 * before["e" + n] + 0.1 * expected["w"], rtol=1e-4, atol=1e-5
        )
    assert (
        "4 launches" in executor.summary().splitlines()[0]
    )  # squares, their sum, the scale, and everything else


def test_a_scalar_attribute_held_in_an_array(engine: str) -> None:
    given, lr = arrays(), np.array([0.5], np.float32)
    executor = adam(lr=sym.var("lr")).bind(args={**given, "lr": lr}, aux_states=given, engine=engine)
    for rate in (0.5, 0.125):
        lr[0] = rate
        expected = numpy_adam(given, lr=rate)
        executor.forward()
        close(given, expected)


def test_many_launches_in_order(engine: str) -> None:
    x = np.arange(1, 50, dtype=np.float32)
    heads = [sym.var("x")]
    for _ in range(5):
        heads.append(heads[-1] * (1 / (sym.norm(heads[-1]) + 1)))
    executor = sym.Group(heads[1:]).bind(args={"x": x}, engine=engine)
    assert len(executor._step.program.launches) >= 10
    value = x.astype(float)
    for out in executor.forward():
        value = value / (np.linalg.norm(value) + 1)
        np.testing.assert_allclose(out, value, rtol=1e-5)


def test_a_refused_step_does_not_count(engine: str) -> None:
    count, indices = sym.var("t", shape=()), np.array([1, 3])
    given = arrays()
    given["g"] = so.sparse.row_sparse_array((np.ones((2, 4), np.float32), indices), shape=SHAPE)
    t = sym._plus_scalar(count, scalar=1, out=count)
    executor = sym.Group([adam(), t]).bind(args={**given, "t": 0}, aux_states=given, engine=engine)
    indices[0] = 99
    before = given["w"].copy()
    with pytest.raises(IndexError, match="99"):
        executor.forward()
    assert executor.arg_dict["t"] == 0 and np.array_equal(given["w"], before)
    indices[0] = 1
    executor.forward()
    assert executor.arg_dict["t"] == 1
