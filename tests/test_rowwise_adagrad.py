"""Row-wise AdaGrad of Monolith's kind against a model in NumPy, and as blocks of a row: the sketch of accumulators."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symopt as so
from symopt import sym
from symopt.embedding import Segment, Table
from symopt.embedding.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    Fp32Compressor,
    ZerosInitializer,
    blocks_of,
)
from symopt.embedding.parts import Part

Array = np.ndarray[Any, np.dtype[Any]]
engines = pytest.mark.parametrize("engine", ["reference", "native"])
TOLERANCE: dict[str, dict[str, Any]] = {
    "float64": {"rtol": 1e-12, "atol": 1e-15},
    "float32": {"rtol": 2e-6, "atol": 1e-7},
}


def model(weight: Array, grad: Array, history: Array, lr: float, wd: float, decoupled: bool) -> None:
    """One step in float64, in place, row by row."""
    for row in range(len(weight)):
        decayed = [g + (0 if decoupled else wd * w) for g, w in zip(grad[row], weight[row])]
        history[row] += sum(d * d for d in decayed) / len(decayed)
        root = history[row, 0] ** 0.5
        for k, d in enumerate(decayed):
            move = lr * d / root if root else 0.0
            weight[row, k] -= move + (lr * wd * weight[row, k] if decoupled else 0)


def step(engine: str, weight: Array, grad: Array, history: Array, **attrs: Any) -> None:
    w = sym.var("w")
    node = sym.monolith_rowwise_adagrad_update(w, sym.var("g"), sym.var("h"), out=w, **attrs)
    node.bind(args={"w": weight, "g": grad}, aux_states={"h": history}, engine=engine).forward()


@engines
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("wd", [0.0, 0.07])
@pytest.mark.parametrize("dim", [1, 7, 33, 128])
def test_equals_the_model(dim: int, wd: float, decoupled: bool, dtype: str, engine: str) -> None:
    rng = np.random.default_rng(dim)
    weight, history = rng.standard_normal((5, dim)), np.full((5, 1), 0.1)
    ours = weight.astype(dtype), history.astype(dtype)
    for k in range(4):
        grad = rng.standard_normal((5, dim)).astype(dtype)
        model(weight, grad.astype("float64"), history, 0.05 * (k + 1), wd, decoupled)
        step(engine, ours[0], grad, ours[1], lr=0.05 * (k + 1), wd=wd, decoupled_weight_decay=decoupled)
        np.testing.assert_allclose(ours[0], weight, **TOLERANCE[dtype])
        np.testing.assert_allclose(ours[1], history, **TOLERANCE[dtype])


@engines
def test_a_row_that_has_seen_nothing_stays(engine: str) -> None:
    """0 / sqrt(0) is no step, not NaN."""
    weight, history = np.ones((2, 3)), np.zeros((2, 1))
    moved = 1 - 0.5 * 3**0.5
    step(engine, weight, np.array([[0.0, 0, 0], [0, 2, 0]]), history, lr=0.5)
    np.testing.assert_allclose(weight, np.array([[1, 1, 1], [1, moved, 1]]), rtol=1e-15)
    np.testing.assert_allclose(history, np.array([[0], [4 / 3]]), rtol=1e-15)


@engines
def test_a_row_of_one_column_is_plain_adagrad(engine: str) -> None:
    """Bit for bit: the mean of one square is that square."""
    rng = np.random.default_rng(1)
    weight, grad = rng.standard_normal((2, 40, 1)).astype("float32")
    rowwise, plain = [(weight.copy(), np.full((40, 1), 0.1, "float32")) for _ in range(2)]
    step(engine, rowwise[0], grad, rowwise[1], lr=0.3, wd=0.1)
    so.nd.monolith_adagrad_update(plain[0], grad, plain[1], lr=0.3, wd=0.1, out=plain[0])
    assert np.array_equal(rowwise[0], plain[0]) and np.array_equal(rowwise[1], plain[1])


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_blocks_of_a_row_are_the_sketch(dim: int, times: int, seed: int) -> None:
    """A row of dim columns as blocks of `times`, the last one shorter: ceil(dim / times) accumulators."""
    rng = np.random.default_rng(seed)
    weight, grad = rng.standard_normal((2, dim))
    buckets = [slice(k, min(k + times, dim)) for k in range(0, dim, times)]
    expected = weight.copy()
    for bucket in buckets:
        root = (0.1 + np.mean(np.square(grad[bucket]))) ** 0.5
        expected[bucket] -= 0.2 * grad[bucket] / root
    begin, states = 0, 0
    for rows, width in blocks_of(dim, times):
        end = begin + rows * width
        history = np.full((rows, 1), 0.1)
        step(
            "native",
            weight[begin:end].reshape(rows, width),
            grad[begin:end].reshape(rows, width),
            history,
            lr=0.2,
        )
        begin, states = end, states + history.size
    assert begin == dim and states == len(buckets) == -(-dim // times)
    np.testing.assert_allclose(weight, expected, rtol=1e-12)


@engines
@pytest.mark.parametrize("dim, times", [(10, 4), (16, 16), (12, 3), (5, 8)])
def test_a_table_shares_accumulators_between_neighbouring_columns(dim: int, times: int, engine: str) -> None:
    """Every step of every row against the model; a row has ceil(dim / times) numbers of state, and no more."""
    rng = np.random.default_rng(dim)
    optimizer = AdagradOptimizer(0.3, 0.5, hessian_compression_times=times, weight_decay_factor=0.01)
    pieces = CombineAsSegment(dim, ZerosInitializer(), optimizer, Fp32Compressor()).pieces()
    segments = [Segment(**piece) for piece in pieces]
    made = Table(segments, engine=engine)
    assert sum(Part(piece, 0, 0).state_bytes for piece in segments) == 4 * -(-dim // times)
    ids, weight = np.array([7, -1, 0]), np.zeros((3, dim))
    history = {begin: np.full((3, 1), 0.5) for begin in range(0, dim, times)}
    for _ in range(3):
        grad = rng.standard_normal((3, dim)).astype("float32")
        made.apply_gradients(ids, grad)
        for begin, sums in history.items():
            block = slice(begin, begin + times)
            model(weight[:, block], grad.astype("float64")[:, block], sums, 0.3, 0.01, False)
        np.testing.assert_allclose(made.lookup(ids), weight, **TOLERANCE["float32"])
