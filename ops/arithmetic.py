"""Arithmetic and comparison of two arrays, or of an array and a number, under MXNet's names.

Either array may also hold one element, or one value per row of the other. Comparisons give 1 and 0.
"""

from collections.abc import Callable

from symopt.lang import Tensor, either, fmod, maximum, minimum, power, where
from symopt.opdef import op

Formula = Callable[..., Tensor]


def _mod(x: Tensor, y: Tensor) -> Tensor:
    """Remainder with the sign of the divisor, as Python and MXNet have it."""
    r = fmod(x, y)
    return where(either(where(y < 0, r, 0) > 0, where(y > 0, r, 0) < 0), r + y, r)


FORMULAS: dict[str, Formula] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "mod": _mod,
    "power": power,
    "maximum": maximum,
    "minimum": minimum,
    "equal": lambda x, y: where(x == y, 1, 0),
    "not_equal": lambda x, y: where(x != y, 1, 0),
    "greater": lambda x, y: where(x > y, 1, 0),
    "greater_equal": lambda x, y: where(x >= y, 1, 0),
    "lesser": lambda x, y: where(x < y, 1, 0),
    "lesser_equal": lambda x, y: where(x <= y, 1, 0),
}

# name of the formula: (of two arrays and its aliases, with a number on the right, with a number on the left)
NAMES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "add": (("elemwise_add", "_plus", "_add", "broadcast_add", "broadcast_plus"), "_plus_scalar", ""),
    "sub": (
        ("elemwise_sub", "_minus", "_sub", "broadcast_sub", "broadcast_minus"),
        "_minus_scalar",
        "_rminus_scalar",
    ),
    "mul": (("elemwise_mul", "_mul", "broadcast_mul"), "_mul_scalar", ""),
    "div": (("elemwise_div", "_div", "broadcast_div"), "_div_scalar", "_rdiv_scalar"),
    "mod": (("_mod", "broadcast_mod"), "_mod_scalar", "_rmod_scalar"),
    "power": (("_power", "broadcast_power", "pow"), "_power_scalar", "_rpower_scalar"),
    "maximum": (("_maximum", "broadcast_maximum", "maximum"), "_maximum_scalar", ""),
    "minimum": (("_minimum", "broadcast_minimum", "minimum"), "_minimum_scalar", ""),
    "equal": (("_equal", "broadcast_equal"), "_equal_scalar", ""),
    "not_equal": (("_not_equal", "broadcast_not_equal"), "_not_equal_scalar", ""),
    "greater": (("_greater", "broadcast_greater"), "_greater_scalar", ""),
    "greater_equal": (("_greater_equal", "broadcast_greater_equal"), "_greater_equal_scalar", ""),
    "lesser": (("_lesser", "broadcast_lesser"), "_lesser_scalar", ""),
    "lesser_equal": (("_lesser_equal", "broadcast_lesser_equal"), "_lesser_equal_scalar", ""),
}


def _define(key: str, formula: Formula) -> None:
    names, right, left = NAMES[key]
    broadcast = tuple(name for name in names if name.startswith("broadcast_"))
    plain = tuple(name for name in names if name not in broadcast)

    @op(name=plain[0], aliases=plain[1:])
    def two(lhs: Tensor, rhs: Tensor) -> Tensor:
        return formula(lhs, rhs)

    # The same here; MXNet, which may read our files, refuses arrays of two shapes in the ones above.
    @op(name=broadcast[0], aliases=broadcast[1:])
    def two_shapes(lhs: Tensor, rhs: Tensor) -> Tensor:
        return formula(lhs, rhs)

    @op(name=right)
    def with_scalar(data: Tensor, *, scalar: float) -> Tensor:
        return formula(data, scalar)

    if left:

        @op(name=left)
        def scalar_with(data: Tensor, *, scalar: float) -> Tensor:
            return formula(scalar, data)


for _key, _formula in FORMULAS.items():
    _define(_key, _formula)
