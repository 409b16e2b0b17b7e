"""How values become what is stored: rounded to nearest, or up and down at random, or with what was lost kept."""

from __future__ import annotations

from ..build import Builder
from ..dtypes import NARROW
from ..expr import Extent, Node, Type

SALT = "salt"  # a number of the host that differs from weight to weight, made from its name
SALT_LIMIT = 1 << 20  # so that float32 holds the sum with the number of the output exactly


def stored(builder: Builder, x: Node, dtype: str, seed: Node | None, output: int) -> Node:
    """x as an array of `dtype` holds it; with a seed, 16-bit numbers are rounded at random.

    Each of the two neighbours of x is chosen with the probability that makes the mean exact. The random number is
    made from the seed, the weight's name, the output and the index of the element: the same in every engine and order.
    """
    nearest = builder.cast(x, dtype)
    assert x.type is not None
    if seed is None or dtype not in NARROW or x.type.extent == Extent.HOST:
        return nearest
    wide = builder.cast(x, "float32")
    error = builder.make("sub", wide, builder.cast(nearest, "float32"))
    other = builder.apply("toward", (nearest, error), x.type._replace(dtype=dtype))
    gap = builder.make(
        "abs", builder.make("sub", builder.cast(other, "float32"), builder.cast(nearest, "float32"))
    )
    threshold = builder.make("mul", _noise(builder, x.type, seed, output), gap)
    return builder.select(builder.make("lt", threshold, builder.make("abs", error)), other, nearest)


def _noise(builder: Builder, of: Type, seed: Node, output: int) -> Node:
    salt = builder.leaf("scalar", "float64", Extent.HOST, name=SALT)
    return builder.noise(of, seed, builder.make("add", salt, builder.const(output * SALT_LIMIT)))


def lost(builder: Builder, x: Node, kept: Node) -> Node:
    """What storing x as `kept` lost of it, in the dtype of the computation."""
    assert x.type is not None
    return builder.make("sub", x, builder.cast(kept, x.type.dtype))
