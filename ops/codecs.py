"""Monolith's compressors: what is left of an array once it was encoded, and the codes, as numbers."""

from symopt.lang import (
    Integer,
    Tensor,
    absolute,
    exp,
    float16,
    fmod,
    maximum,
    minimum,
    sqrt,
    square,
    tanh,
    trunc,
    where,
)
from symopt.opdef import op

GAMMA = 0.005  # by which the square of HashNet's scale grows per step


@op
def monolith_fp16(data: Tensor) -> Tensor:
    """Monolith's Fp16: what 2 bytes per number keep, rounded to nearest even."""
    return float16(data)


@op
def monolith_stochastic_fp16(data: Tensor, p: Tensor) -> Tensor:
    """Monolith's StochasticRoundingFloat16: one of the two float16 values around each number, the upper one where p,
    drawn evenly from [0, 1), is at most the share of the way up to it. What float16 holds stays.
    """
    near = float16(data)
    finite = minimum(maximum(near, -65536), 65536)
    nudge = 0.7 * maximum(absolute(finite) / 1024, 2.0**-24)  # 0.7 to 1.4 times the way to the next value
    low = where(near > data, float16(finite - nudge), near)
    high = where(near < data, float16(finite + nudge), near)
    return where(p * (high - low) <= data - low, high, low)


@op
def monolith_fixed_r8_code(data: Tensor, *, fixed_range: float = 1.0) -> Tensor:
    """Monolith's FixedR8: the int8 code of each number, in steps of fixed_range / 128.

    Of two codes as near, the one away from zero; NaN is 0.
    """
    step = fixed_range / 128
    steps = trunc((data + where(data >= 0, step / 2, -step / 2)) / step)
    return where(data == data, minimum(maximum(steps, -128), 127) + 0, 0)  # + 0: an int8 has no -0


@op
def monolith_fixed_r8(data: Tensor, *, fixed_range: float = 1.0) -> Tensor:
    """What 1 byte per number keeps, between -fixed_range and 127/128 of it: what a lookup in training sees."""
    return monolith_fixed_r8_code(data, fixed_range=fixed_range) * (fixed_range / 128)


@op
def monolith_hash_net(data: Tensor, *, amplitude: float = 0.05, scale: float = 1.0) -> Tensor:
    """HashNet's soft sign [Cao et al. 2017, arXiv:1702.00758]: what a lookup of OneBit sees in training."""
    return amplitude * tanh(scale * data)


@op
def monolith_hash_net_backward(grad: Tensor, data: Tensor, *, amplitude: float = 0.05, scale: float = 1.0) -> Tensor:
    """The gradient at `data` from that at monolith_hash_net(data).

    1 - tanh(x)**2 is made from exp, without the cancellation that costs Monolith's float32 code its last digits.
    """
    e = exp(-2 * absolute(scale * data))
    return grad * (amplitude * scale * (4 * e / square(1 + e)))


@op
def monolith_one_bit_code(data: Tensor, *, amplitude: float = 0.05, scale: float = 1.0) -> Tensor:
    """Monolith's OneBit: 1 where the soft sign is above 0, else -1, for 0 too."""
    return where(monolith_hash_net(data, amplitude=amplitude, scale=scale) > 0, 1, -1)


@op
def monolith_one_bit(data: Tensor, *, amplitude: float = 0.05, scale: float = 1.0) -> Tensor:
    """What one bit per number keeps: amplitude or -amplitude."""
    return monolith_one_bit_code(data, amplitude=amplitude, scale=scale) * amplitude


@op
def monolith_one_bit_scale(scale: Tensor, *, global_step: Integer, step_size: float = 200.0,
                           init_scale: float = 1.0, max_scale: float = 1e4) -> Tensor:
    """OneBit's scale after a backward pass: it grows at every step that step_size divides."""
    grown = minimum(init_scale * sqrt(1 + GAMMA * global_step), max_scale)
    return where(fmod(global_step, step_size) == 0, grown, scale)
