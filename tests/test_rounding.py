"""How results are stored: states in another dtype, stochastic rounding, Kahan compensation."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from test_engines import bits

import symopt as so
from symopt import sym
from symopt.errors import AttributeValueError, DTypeError, MissingArgumentError
from symopt.prims import PRIMS

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NARROW = [np.dtype(np.float16), BFLOAT16]
STEPS, LR = 10_000, 2.0**-16  # so that float32 makes no error of its own


def descend(dtype: Any, steps: int = STEPS, engine: str = "native", **attrs: Any) -> Any:
    """Weights of 1 after so many steps of -LR: each far below what the dtype can tell from 1."""
    w, g = (sym.var(n) for n in "wg")
    given: dict[str, Any] = {n: np.ones((64, 50), dtype) for n in "wg"}
    given |= {"t": 0, "c": np.zeros((64, 50), dtype)}
    inputs = [w, g, sym.var("c")] if attrs.get("kahan") else [w, g]
    if "rounding" in attrs:
        attrs["seed"] = sym.var("t", shape=())
    step = sym.sgd_update(*inputs, lr=LR, out=w, **attrs)
    executor = step.bind(args=given, aux_states=given, engine=engine)
    for t in range(steps):
        fresh: dict[str, Any] = {"t": t} if "rounding" in attrs else {}
        executor.forward(**fresh)
    return given["w"].astype(np.float64), given["c"].astype(np.float64)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_plain_16_bit_weights_lose_small_steps(dtype: Any) -> None:
    weight, _ = descend(dtype, steps=100)
    assert (weight == 1).all()


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_stochastic_rounding_keeps_small_steps_without_bias(dtype: Any) -> None:
    weight, _ = descend(dtype, rounding="stochastic")
    expected = 1 - STEPS * LR
    assert 0 < weight.std() < 0.05
    assert abs(weight.mean() - expected) < 4 * weight.std() / np.sqrt(weight.size)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_kahan_keeps_small_steps(dtype: Any) -> None:
    """Weight and compensation are 16 bits of mantissa together: steps of 2e-5 are seen, if roughly in bfloat16."""
    weight, lost = descend(dtype, kahan=True)
    expected = 1 - STEPS * LR
    np.testing.assert_allclose(weight + lost, expected, rtol=0.1 if dtype == BFLOAT16 else 1e-3)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_kahan_with_stochastic_rounding_has_no_bias_and_little_noise(dtype: Any) -> None:
    weight, lost = descend(dtype, kahan=True, rounding="stochastic")
    total = weight + lost
    expected = 1 - STEPS * LR
    assert abs(total.mean() - expected) < 5 * total.std() / np.sqrt(total.size) + 1e-6
    plain, _ = descend(dtype, rounding="stochastic")
    assert total.std() < plain.std() / 5


def test_noise_is_uniform_and_made_from_index_seed_and_salt() -> None:
    noise = PRIMS["noise"].numpy
    index = np.arange(100_000)
    first = noise(index, np.float32(1), np.float32(5))
    assert first.min() >= 0 and first.max() < 1
    counts = np.histogram(first, 64, (0, 1))[0]
    assert abs(counts - index.size / 64).max() < 6 * np.sqrt(index.size / 64)
    others = (noise(index, np.float32(2), np.float32(5)), noise(index, np.float32(1), np.float32(6)))
    for other in (*others, np.roll(first, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.02
    assert noise(index[7:9], np.float32(1), np.float32(5)).tolist() == first[7:9].tolist()
    assert noise(np.array([2**32 + 3]), np.float32(1), np.float32(5)) != first[3]


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_neighbours(dtype: Any) -> None:
    """The next number up or down, over zero and subnormals."""
    toward = PRIMS["toward"].numpy
    x = np.array([0.0, -0.0, 1.0, -1.0, 6e-8, -6e-8, 100.0], np.float32).astype(dtype)
    for direction in (1.0, -1.0):
        found = toward(x, np.full(x.shape, direction, np.float32))
        expected = np.nextafter(x, np.full(x.shape, direction * np.inf, np.float32).astype(dtype))
        np.testing.assert_array_equal(found.astype(float), np.asarray(expected).astype(float))


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    runs = [descend(BFLOAT16, steps=50, rounding="stochastic", engine=e)[0] for e in ("native", "reference")]
    assert np.array_equal(*runs)
    w = np.ones(1000, BFLOAT16)
    g = np.ones(1000, BFLOAT16)
    one, again, other = (so.nd.sgd_update(w, g, lr=1e-3, rounding="stochastic", seed=s) for s in (1, 1, 2))
    assert np.array_equal(bits(one), bits(again))
    assert not np.array_equal(bits(one), bits(other))


def test_rows_of_a_lazy_update_are_rounded_as_in_a_dense_one() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((20, 7)).astype(BFLOAT16)
    rows = np.array([2, 5, 11])
    g = np.zeros((20, 7), BFLOAT16)
    g[rows] = rng.standard_normal((3, 7)).astype(BFLOAT16)
    sparse = so.sparse.row_sparse_array((g[rows], rows), shape=(20, 7))
    attrs: dict[str, Any] = {"lr": 1e-3, "rounding": "stochastic", "seed": 4}
    dense, lazy = so.nd.sgd_update(w, g, **attrs), so.nd.sgd_update(w, sparse, **attrs)
    assert np.array_equal(bits(dense), bits(lazy))


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("state_dtype", ["float16", "bfloat16"])
def test_states_may_have_a_narrower_dtype(state_dtype: str, engine: str) -> None:
    """The computation is float32's: with state dtype only the stored states are rounded."""
    w, g, m, v = (sym.var(n) for n in "wgmv")
    step = sym.adam_update(w, g, m, v, lr=0.1, state_dtype=state_dtype, out=w)
    executor = step.simple_bind(w=(30, 4), engine=engine)
    assert {n: a.dtype.name for n, a in executor.aux_dict.items()} == {"m": state_dtype, "v": state_dtype}
    rng = np.random.default_rng(0)
    grad = rng.standard_normal((30, 4)).astype(np.float32)
    executor.forward(g=grad)
    mean, var = np.float32(1 - 0.9) * grad, np.float32(1 - 0.999) * (grad * grad)
    dtype = executor.aux_dict["m"].dtype
    assert np.array_equal(bits(executor.aux_dict["m"]), bits(mean.astype(dtype)))
    assert np.array_equal(bits(executor.aux_dict["v"]), bits(var.astype(dtype)))
    expected = 0 - np.float32(0.1) * mean / (np.sqrt(var) + np.float32(1e-8))
    assert np.array_equal(bits(executor.arg_dict["w"]), bits(expected))


def test_what_cannot_be_stored_so_is_refused() -> None:
    w, g, m, v, c = (sym.var(n) for n in "wgmvc")
    given = {n: np.ones(3, np.float32) for n in "wgmvc"}
    with pytest.raises(DTypeError, match=r"m must be bfloat16|mean must be bfloat16"):
        sym.adam_update(w, g, m, v, lr=0.1, state_dtype="bfloat16").bind(args=given, aux_states=given)
    with pytest.raises(DTypeError, match="kahan keeps what 16-bit weights lose"):
        sym.sgd_update(w, g, c, lr=0.1, kahan=True).bind(args=given, aux_states=given)
    with pytest.raises(AttributeValueError, match="'nearest' or 'stochastic'"):
        sym.sgd_update(w, g, lr=0.1, rounding="up")
    with pytest.raises(MissingArgumentError, match="needs seed=, another number at every step"):
        sym.sgd_update(w, g, lr=0.1, rounding="stochastic")
    executor = sym.sgd_update(w, g, lr=0.1, name="u").bind(args=given)
    with pytest.raises(AttributeValueError, match="kahan decides which inputs there are"):
        executor.set_attr("u", kahan=True)
