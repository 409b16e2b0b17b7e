"""What rows begin with: distributions, bounds, the same bits everywhere, and numbers made from id and column only."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import bits

import symopt as so
from symopt import lang, sym
from symopt.embedding import initializers
from symopt.embedding.initializers import (
    BatchSoftmax,
    Constants,
    Custom,
    Ones,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Zeros,
    as_initializer,
    initializer_from_config,
)
from symopt.embedding.kinds import config_of
from symopt.errors import AttributeValueError, DTypeError, ShapeError
from symopt.lang import Tensor
from symopt.opdef import op
from symopt.prims import PRIMS

Array = np.ndarray[Any, np.dtype[Any]]
ALL: list[Any] = [
    Zeros(), Ones(), Constants(-2.5), RandomUniform(-1, 3), RandomNormal(2, 0.5), TruncatedNormal(2, 0.5),
    BatchSoftmax(7),
]  # fmt: skip
RANDOM = ALL[3:6]
N = (2000, 50)


def drawn(
    x: Any, shape: Any = N, dtype: Any = "float32", engine: str = "native", seed: float = 1, stream: int = 0
) -> Array:
    weight = np.full(shape, np.nan, dtype)
    graph = x.symbol(sym.var("w"), sym.var("seed", shape=()), "first", stream)
    numbers = {"seed": seed} if "seed" in graph.list_arguments() else {}
    found: Array = graph.bind(args={"w": weight, **numbers}, engine=engine).forward()[0]
    assert np.isnan(weight).all() and found.dtype == weight.dtype and found.shape == weight.shape
    return found


def cdf(z: Array) -> Array:
    return np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z])


def deviation(x: Array, probability: Callable[[Array], Array]) -> float:
    """Kolmogorov's distance of a sample from a distribution, in units of 1 / sqrt(size): above 2.2 once in 30000."""
    ordered = np.sort(x.ravel().astype(float))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    expected = probability(ordered)
    gap = max(abs(expected - steps[:-1]).max(), abs(expected - steps[1:]).max())
    return float(gap * math.sqrt(len(ordered)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("x", ALL, ids=str)
def test_engines_agree_to_the_bit(x: Any, dtype: str) -> None:
    native, reference = (bits(drawn(x, (37, 19), dtype, engine)) for engine in ("native", "reference"))
    assert np.array_equal(native, reference)


@pytest.mark.parametrize("x, value", [(ALL[0], 0), (ALL[1], 1), (ALL[2], -2.5), (ALL[6], 7)], ids=str)
def test_constants(x: Any, value: float) -> None:
    assert (drawn(x) == value).all()


def test_uniform_is_uniform() -> None:
    x = drawn(RandomUniform(-1, 3))
    assert deviation(x, lambda v: (v + 1) / 4) < 2.2
    assert x.min() >= -1 and x.max() < 3


def test_normal_is_normal() -> None:
    z = (drawn(RandomNormal(2, 0.5)).astype(float) - 2) / 0.5
    assert deviation(z, cdf) < 2.2
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = math.sqrt({1: 1, 2: 2, 3: 15, 4: 96}[power] / z.size)
        assert abs((z**power).mean() - moment) < 4.5 * spread


def test_truncated_normal_is_within_two_deviations() -> None:
    z = (drawn(TruncatedNormal(2, 0.5)).astype(float) - 2) / 0.5
    assert abs(z).max() < 2 + 1e-6
    low, high = cdf(np.array([-2.0, 2.0]))
    assert deviation(z, lambda v: (cdf(v) - low) / (high - low)) < 2.2


@pytest.mark.parametrize("dtype, tolerance", [("float32", 4e-7), ("float64", 2e-7)])
def test_quantiles(dtype: str, tolerance: float) -> None:
    """All 2**24 values are these t; in the tails the erfc of the quantile must be what is left of 1."""

    @op
    def quantile_of(data: Tensor) -> Tensor:
        return so.ops.initializers._quantile(data)  # type: ignore[no-any-return]

    last = 1 - np.arange(1, 4000, 2) * 2.0**-24
    t = np.concatenate([last, np.arange(1, 2**24, 9001) * 2.0**-24])
    t = np.concatenate([t, -t]).astype(dtype)
    z = sym.quantile_of(sym.var("t")).bind(args={"t": t}).forward()[0].astype(float)
    left = np.array([math.erfc(abs(x) / math.sqrt(2)) for x in z])
    density = np.sqrt(2 / np.pi) * np.exp(-z * z / 2)
    error = (left - (1 - abs(t.astype(float)))) / density  # of abs(z), to first order
    assert (abs(error) <= tolerance * abs(z)).all() and np.array_equal(np.sign(z), np.sign(t))
    assert 5.41 < z.max() < 5.42


@settings(deadline=None, max_examples=40)
@given(
    st.floats(-(2.0**99), 2.0**99, width=32),
    st.floats(0, 2.0**99, width=32),
    st.integers(0, 2**24),
    st.booleans(),
)
def test_uniform_stays_in_its_bounds(low: float, width: float, seed: int, narrow: bool) -> None:
    """Also where the range is a few roundings of its bounds wide."""
    bound = np.float32(low)
    for _ in range(3):
        bound = np.nextafter(bound, np.float32(np.inf))
    high = float(bound if narrow else np.float32(low) + np.float32(width))
    x = drawn(RandomUniform(low, high), (50, 40), seed=seed)
    assert (x >= np.float32(low)).all()
    assert (x < np.float32(high)).all() or low == high


@pytest.mark.parametrize("x", RANDOM, ids=str)
def test_seeds_and_streams_have_nothing_in_common(x: Any) -> None:
    first = drawn(x)
    assert np.array_equal(first, drawn(x))
    for other in (
        drawn(x, seed=2),
        drawn(x, stream=1),
        drawn(x, stream=7),
        np.roll(first, 1),
        first.T.copy(),
    ):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 5 / math.sqrt(first.size)


# ---- numbers of tables: the index is a mix of seed and id, plus the column


def mix(ids: Array, seed: int) -> Array:
    """The finalizer of splitmix64: any function that spreads 64 bits well does."""
    x = ids.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def born(ids: Array, dim: int = 8, seed: int = 0, salt: float = -1.0) -> Array:
    index = (mix(ids, seed)[:, None] + np.arange(dim, dtype=np.uint64)).view(np.int64)
    return PRIMS["noise"].numpy(index, np.float32(seed), np.float32(salt)).astype(float)  # type: ignore[no-any-return]


K = 20_000
IDS = {
    "sequential": np.arange(K),
    "negative": -np.arange(K),
    "top bits only": (np.arange(K, dtype=np.uint64) << np.uint64(64 - 15)).view(np.int64),
    "slots of 48 bits": (np.arange(K, dtype=np.int64) % 100 << 48) + np.arange(K) // 100,
    "multiples of 2**20": np.arange(K, dtype=np.int64) << 20,
}


@pytest.mark.parametrize("name", IDS)
def test_rows_of_any_ids_are_independent(name: str) -> None:
    x = born(IDS[name])
    assert deviation(x, lambda v: v) < 2.2
    z = (x - 0.5) * math.sqrt(12)
    limit = 4.5 / math.sqrt(K)
    between_columns = z.T @ z / K - np.eye(z.shape[1])
    assert abs(between_columns - np.diag(np.diag(between_columns))).max() < limit
    for step in (1, 2, 100):  # neighbouring ids, in the same and in the next column
        assert abs((z[step:] * z[:-step]).mean(0)).max() < limit * 1.1
        assert abs((z[step:, 1:] * z[:-step, :-1]).mean(0)).max() < limit * 1.1


@pytest.mark.parametrize("other", [{"seed": 1}, {"salt": -2.0}, {"salt": -3.0}], ids=str)
def test_segments_and_seeds_are_independent_in_every_row(other: dict[str, Any]) -> None:
    one, two = ((born(IDS["sequential"], **kw) - 0.5) * math.sqrt(12) for kw in ({}, other))
    assert abs((one[:, :, None] * two[:, None, :]).mean(0)).max() < 4.5 / math.sqrt(K)


def test_far_runs_of_indices_do_not_share_numbers() -> None:
    """Rows whose indices differ in the high half only, or whose halves would fold to the same 32 bits."""
    low, high = np.arange(64, dtype=np.uint64), np.uint64(1 << 32)
    golden = np.uint64(0x9E3779B9)
    folded = (low ^ golden) + high  # low ^ high * golden is that of `low` alone
    noise = [
        PRIMS["noise"].numpy(x.view(np.int64), np.float32(0), np.float32(-1))
        for x in (low, folded, low + high)
    ]
    assert (noise[0] != noise[1]).all() and (noise[0] != noise[2]).all()


# ---- data


@pytest.mark.parametrize("x", ALL, ids=str)
def test_configurations(x: Any) -> None:
    assert initializer_from_config(config_of(x)) == x and as_initializer(x) is x


class RandomUniformInitializer:
    minval, maxval = None, 0.25


class ConstantsInitializer:
    constant = 4.0


def test_what_is_taken_for_an_initializer() -> None:
    assert as_initializer(None) == Zeros() and as_initializer(3) == Constants(3.0)
    assert as_initializer(RandomUniformInitializer()) == RandomUniform(maxval=0.25)
    assert as_initializer(ConstantsInitializer()) == Constants(4.0)
    custom = as_initializer(lambda ids, dim: np.outer(ids, np.ones(dim)))
    assert isinstance(custom, Custom)
    rows = custom.rows(np.array([3, -4]), 3)
    assert rows.dtype == np.float32 and rows.tolist() == [[3, 3, 3], [-4, -4, -4]]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: BatchSoftmax(0.5), AttributeValueError, "at least 1 step"),
        (lambda: RandomUniform(2, 1), AttributeValueError, "minval = 2 must not be above"),
        (lambda: RandomNormal(0, -1), AttributeValueError, "stddev must not be negative"),
        (lambda: Constants(math.nan), AttributeValueError, "value must be a finite number"),
        (lambda: Constants("1"), AttributeValueError, "value must be a finite number"),  # type: ignore[arg-type]
        (lambda: as_initializer("zeros"), DTypeError, "a number, a function"),
        (lambda: as_initializer(RandomUniform), DTypeError, "a number, a function"),
        (lambda: initializer_from_config({"kind": "zeroes"}), AttributeValueError, "did you mean zeros"),
        (lambda: initializer_from_config({"kind": "ones", "x": 1}), AttributeValueError, "no field 'x'"),
        (lambda: Custom(lambda ids, dim: np.ones(3)).rows(np.arange(2), 4), ShapeError, r"expected \(2, 4\)"),
        (lambda: Custom(lambda ids, dim: np.full((2, 4), "x")).rows(np.arange(2), 4), DTypeError, "numbers"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_number_has_no_elements_to_draw_for() -> None:
    @op
    def drawn_for_a_number(data: Tensor, *, low: float = 1.0) -> Tensor:
        return data + lang.uniform(low, 1)  # type: ignore[arg-type]

    with pytest.raises(ShapeError, match="uniform like a number"):
        sym.drawn_for_a_number(sym.var("x")).bind(args={"x": np.ones(3)})


def test_documented() -> None:
    assert all(getattr(initializers, name).__doc__ for name in initializers.__all__)
