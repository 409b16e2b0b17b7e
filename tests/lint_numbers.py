"""Set-ups with numbers that make a formula do what nobody wants."""

from collections.abc import Callable

from lint_setups import counted, good, v, wrong

import symopt as so
from symopt import sym
from symopt.lang import State, Tensor, Updated, clip, sqrt, square, updated
from symopt.symbol import Symbol

# ---- numbers


@wrong("SO201")
def rate_of_zero() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0, out=w)


@wrong("SO201")
def clip_at_zero() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=0.9, clip_gradient=0.0, out=w)


@wrong("SO201")
def weights_clipped_at_zero() -> Symbol:
    w, g = v("wg")
    return sym.rmsprop_update(w, g, lr=0.1, clip_weights=0.0, out=w)


@wrong("SO201")
def one_rate_of_zero_among_several() -> Symbol:
    w, g, x, h = v("wgxh")
    return sym.multi_sgd_update(w, g, x, h, lrs=(0.1, 0.0), wds=(0.0, 0.0), out=(w, x))


@wrong("SO202")
def negative_rate() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g, lr=-0.1, wd=1e-4, out=w)


@wrong("SO203")
def momentum_of_one() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=1.0, out=w)


@wrong("SO203")
def beta_in_percent() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, beta2=99.9, out=w)


@wrong("SO204")
def betas_swapped() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, beta1=0.999, beta2=0.9, out=w)


@wrong("SO205")
def epsilon_of_zero() -> Symbol:
    w, g = v("wg")
    return sym.adagrad_update(w, g, lr=0.1, epsilon=0, out=w)


@wrong("SO206")
def negative_decay() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g, lr=0.1, wd=-0.01, out=w)


@wrong("SO206")
def decay_in_percent() -> Symbol:
    w, g = v("wg")
    return sym.torch_adamw_update(w, g, step=counted(), lr=0.1, wd=25.0, out=w)


@good()
def usual_numbers_written_out() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8, wd=0, clip_gradient=-1, out=w)


@good()
def ascent_by_rescaling() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=0.0, rescale_grad=-1.0, out=w)


@good()
def no_momentum_of_squares_but_of_steps() -> Symbol:
    w, g = v("wg")
    return sym.keras_rmsprop_mom_update(w, g, rho=0.9, momentum=0.95, out=w)


# ---- ops of one's own


def own(formula: Callable[..., Updated]) -> Callable[..., Symbol]:
    """A rule of one's own, registered for the test that asks for it."""
    made: Callable[..., Symbol] = getattr(sym, so.update_op(formula).__name__)
    return made


def lint_test_clipped_sum(
    weight: Tensor,
    grad: Tensor,
    total: State,
    *,
    lr: float,
    decay: float = 0.0,
    bound: float = 1.0,
    floor: float = 1e-8,
) -> Updated:
    """A rule of one's own, with words of its own."""
    g = clip(grad, 1.0) + decay * weight
    total = bound * total + square(g)
    return updated(weight - lr * g / (sqrt(total) + floor), total=total)  # fmt: skip


@wrong("SO206")
def own_rule_grows() -> Symbol:
    w, g = v("wg")
    return own(lint_test_plain_decay)(w, g, lr=0.1, shrink=-0.5, out=w)


def lint_test_plain_decay(weight: Tensor, grad: Tensor, *, lr: float, shrink: float = 0.0) -> Updated:
    """A rule of one's own that shrinks the weight."""
    return updated((1 - shrink) * weight - lr * grad)


@wrong("SO205")
def own_rule_divides_by_zero() -> Symbol:
    w, g = v("wg")
    return own(lint_test_clipped_sum)(w, g, lr=0.1, floor=0.0, out=w)


@wrong("SO403", stype_dict={"g": "row_sparse"})
def own_rule_decays_listed_rows() -> Symbol:
    w, g = v("wg")
    return own(lint_test_clipped_sum)(w, g, lr=0.1, decay=0.1, out=w)


@good()
def own_rule() -> Symbol:
    w, g = v("wg")
    return own(lint_test_clipped_sum)(w, g, lr=0.1, out=w)
