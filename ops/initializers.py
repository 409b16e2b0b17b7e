"""What arrays begin with: constants, and random numbers made from a seed and the index of each element.

Only primitives that are exact everywhere are used, so that what is drawn has the same bits in every engine.
"""

import math

from symopt.lang import Integer, Tensor, absolute, filled, sqrt, uniform, where
from symopt.opdef import op

STEP = 2.0**-24  # between neighbours of `uniform`
LOG2, SQRT2 = math.log(2), math.sqrt(2)
TWO_DEVIATIONS = math.erf(SQRT2)  # the share of a normal distribution within two standard deviations

# M. Giles, Approximating the erfinv function, GPU Computing Gems (2010), for float32: highest power first.
CENTRAL = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


@op
def full_like(data: Tensor, *, fill_value: float) -> Tensor:
    """The number fill_value for each element of data."""
    return filled(data, fill_value)


@op
def uniform_like(data: Tensor, *, seed: float, stream: Integer = 0.0, low: float = 0.0, high: float = 1.0) -> Tensor:
    """For each element of data a number drawn evenly from [low, high): low <= x < high as both are in the dtype of the
    computation. In 16-bit arrays x is rounded once more, and may be high.

    One of 2**24 values, made from the seed, the stream and the index of the element.
    """
    x = low + (high - low) * uniform(data, seed, stream)
    return where(x < high, x, low)  # a range that is narrow beside its bounds: what is rounded up to high


@op
def normal_like(data: Tensor, *, seed: float, stream: Integer = 0.0, mean: float = 0.0,
                stddev: float = 1.0) -> Tensor:
    """For each element of data a number drawn from the normal distribution: mean + stddev * z.

    z is the quantile of one of 2**24 even probabilities: none is beyond 5.42, where one of 33 million would be.
    """
    return mean + stddev * _quantile(_symmetric(data, seed, stream))


@op
def truncated_normal_like(data: Tensor, *, seed: float, stream: Integer = 0.0, mean: float = 0.0,
                          stddev: float = 1.0) -> Tensor:
    """normal_like of what lies within two standard deviations of the mean, as TensorFlow and Keras have it."""
    return mean + stddev * _quantile(TWO_DEVIATIONS * _symmetric(data, seed, stream))


def _symmetric(data: Tensor, seed: float, stream: float) -> Tensor:
    """One of the 2**24 odd multiples of 2**-24 in (-1, 1), exactly."""
    return 2 * uniform(data, seed, stream) - (1 - STEP)


def _quantile(t: Tensor) -> Tensor:
    """The z for which a normal number is in (-z, z) with probability t: sqrt(2) * erfinv(t), within 4e-7 of itself."""
    rest = 1 - absolute(t)
    w = -_log(rest * (2 - rest))
    central = _polynomial(w - 2.5, CENTRAL)
    tail = _polynomial(sqrt(w) - 3, TAIL)
    return SQRT2 * (where(w < 5, central, tail) * t)


def _log(x: Tensor) -> Tensor:
    """The logarithm of 2**-31 <= x <= 1, from exact primitives: that of a library differs from place to place."""
    halvings = filled(x, 0)
    for k in (16, 8, 4, 2, 1):
        small = x < 2.0**-k
        x, halvings = where(small, x * 2.0**k, x), halvings + where(small, k, 0)
    below = x < SQRT2 / 2
    x, halvings = where(below, 2 * x, x), halvings + where(below, 1, 0)
    s = (x - 1) / (x + 1)  # log(x) = 2 artanh(s), and abs(s) < 0.172
    return 2 * s * _polynomial(s * s, (1 / 9, 1 / 7, 1 / 5, 1 / 3, 1)) - LOG2 * halvings


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """By Horner's rule, highest power first."""
    first, second, *others = coefficients
    value = first * x + second
    for coefficient in others:
        value = value * x + coefficient
    return value
