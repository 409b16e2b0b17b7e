"""Functions of one array, and the choice between two."""

from symopt import lang
from symopt.lang import Condition, Tensor
from symopt.opdef import op


@op(name="abs")
def absolute(data: Tensor) -> Tensor:
    """Absolute value."""
    return lang.absolute(data)


@op
def sign(data: Tensor) -> Tensor:
    """1, -1, or 0 for zeros and NaN."""
    return lang.sign(data)


@op
def square(data: Tensor) -> Tensor:
    """data * data."""
    return lang.square(data)


@op
def sqrt(data: Tensor) -> Tensor:
    """Square root."""
    return lang.sqrt(data)


@op
def rsqrt(data: Tensor) -> Tensor:
    """1 / sqrt(data), each of the two operations rounded."""
    return 1 / lang.sqrt(data)


@op
def reciprocal(data: Tensor) -> Tensor:
    """1 / data."""
    return 1 / data


@op
def exp(data: Tensor) -> Tensor:
    """e ** data; the last digit depends on the platform's library."""
    return lang.exp(data)


@op
def log(data: Tensor) -> Tensor:
    """Natural logarithm; the last digit depends on the platform's library."""
    return lang.log(data)


@op(aliases=("_np_negative",))
def negative(data: Tensor) -> Tensor:
    """-data."""
    return -data


@op
def clip(data: Tensor, *, a_min: float, a_max: float) -> Tensor:
    """data between a_min and a_max; NaN passes."""
    return lang.where(data > a_max, a_max, lang.where(data < a_min, a_min, data))


@op
def where(condition: Condition, x: Tensor, y: Tensor) -> Tensor:
    """x where the condition is not zero, y elsewhere."""
    return lang.where(condition != 0, x, y)


@op(name="Cast", aliases=("cast",))
def cast(data: Tensor, *, dtype: str) -> Tensor:
    """data in another dtype, rounded to nearest even; float64 reaches 16 bits by way of float32."""
    return data


@op(aliases=("_copy",))
def identity(data: Tensor) -> Tensor:
    """data itself."""
    return data


@op(aliases=("stop_gradient",))
def BlockGrad(data: Tensor) -> Tensor:  # noqa: N802  MXNet's name
    """data itself: there are no gradients here to block."""
    return data


@op
def zeros_like(data: Tensor) -> Tensor:
    """Zeros of the shape and dtype of data."""
    return lang.filled(data, 0)


@op
def ones_like(data: Tensor) -> Tensor:
    """Ones of the shape and dtype of data."""
    return lang.filled(data, 1)


@op
def tanh(data: Tensor) -> Tensor:
    """Hyperbolic tangent; the last digit depends on the platform's library."""
    return lang.tanh(data)


@op
def floor(data: Tensor) -> Tensor:
    """The largest whole number not above data."""
    return lang.floor(data)


@op
def ceil(data: Tensor) -> Tensor:
    """The smallest whole number not below data."""
    return lang.ceil(data)


@op(aliases=("fix",))
def trunc(data: Tensor) -> Tensor:
    """The nearest whole number toward zero."""
    return lang.trunc(data)


@op
def rint(data: Tensor) -> Tensor:
    """The nearest whole number; of two as near, the lower one, as MXNet has it (NumPy: the even one)."""
    low, high = lang.floor(data), lang.ceil(data)
    return lang.where(data - low <= high - data, low, high)


@op(name="round")
def round_(data: Tensor) -> Tensor:
    """The nearest whole number; of two as near, the one away from zero."""
    whole = lang.trunc(data)
    return lang.where(lang.absolute(data - whole) >= 0.5, whole + lang.sign(data), whole)
