"""Set-ups for the linter: wrong ones, each with the one code it must get, and good ones, which must get none."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import symopt as so
from symopt import sym
from symopt.lang import State, Tensor, Updated, clip, sqrt, square, updated
from symopt.symbol import Symbol

TABLE = {"stype_dict": {"g": "row_sparse"}, "w": (1_000_000, 64), "rows": {"g": 1000}}


class Setup(NamedTuple):
    """`known`: what is given to lint. `code`: what it must say, "" for nothing."""

    build: Callable[[], Symbol]
    code: str
    known: dict[str, Any]

    def __str__(self) -> str:
        return self.build.__name__


WRONG: list[Setup] = []
GOOD: list[Setup] = []


def wrong(code: str, **known: Any) -> Callable[[Callable[[], Symbol]], Callable[[], Symbol]]:
    def keep(build: Callable[[], Symbol]) -> Callable[[], Symbol]:
        WRONG.append(Setup(build, code, known))
        return build

    return keep


def good(**known: Any) -> Callable[[Callable[[], Symbol]], Callable[[], Symbol]]:
    def keep(build: Callable[[], Symbol]) -> Callable[[], Symbol]:
        GOOD.append(Setup(build, "", known))
        return build

    return keep


def v(names: str) -> Iterator[Symbol]:
    """Variables of one letter each."""
    return map(sym.var, names)


def number(name: str) -> Symbol:
    return sym.var(name, shape=())


def counted() -> Symbol:
    """The number of the step, counted by the graph."""
    t = number("t")
    return sym._plus_scalar(t, scalar=1, out=t)


def corrected(t: Symbol) -> Symbol:
    """Adam's rate with both bias corrections in it."""
    return number("lr") * sym.sqrt(1 - 0.999**t) / (1 - 0.9**t)


def global_scale(*grads: Symbol) -> Symbol:
    """What clips gradients by their common norm to 1."""
    return sym.minimum(1.0 / (sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))) + 1e-6), 1.0)


# ---- a clip before a sum


@wrong("SO101")
def clip_into_an_accumulator() -> Symbol:
    total, g = v("ag")
    return sym.elemwise_add(total, sym.clip(g, a_min=-1, a_max=1), out=total)


@wrong("SO101", a=(8, 4))
def clipped_share_into_an_accumulator() -> Symbol:
    total, g = v("ag")
    return sym.elemwise_add(0.25 * sym.clip(g, a_min=-1, a_max=1), total, out=total)


@wrong("SO101")
def sum_of_clipped_micro_batches() -> Symbol:
    w, a, b = v("wab")
    total = sym.clip(a, a_min=-1, a_max=1) + sym.clip(b, a_min=-1, a_max=1)
    return sym.sgd_update(w, total, lr=0.1, rescale_grad=0.5, out=w)


@wrong("SO101")
def minimum_and_maximum_into_an_accumulator() -> Symbol:
    total, g = v("ag")
    return sym.elemwise_add(total, sym.minimum(sym.maximum(g, -1.0), 1.0), out=total)


@good()
def sum_then_clip() -> Symbol:
    w, a, b = v("wab")
    return sym.sgd_update(w, a + b, lr=0.1, clip_gradient=1, out=w)


@good()
def clip_of_a_sum_of_two() -> Symbol:
    w, a, b = v("wab")
    return sym.sgd_update(w, 0.5 * sym.clip(a + b, a_min=-1, a_max=1), lr=0.1, out=w)


@good()
def accumulator_without_clip() -> Symbol:
    total, g = v("ag")
    return sym.elemwise_add(total, 0.25 * g, out=total)


@good()
def clipped_step_by_hand() -> Symbol:
    w, g = v("wg")
    return sym.elemwise_add(w, sym.clip(-0.1 * g, a_min=-1, a_max=1), out=w)


# ---- decay


@wrong("SO102")
def decay_in_the_gradient_and_in_the_op() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g + 0.01 * w, lr=0.1, wd=0.01, out=w)


@wrong("SO102")
def decay_coupled_and_decoupled() -> Symbol:
    w, g = v("wg")
    return sym.signum_update(w, g, lr=0.1, momentum=0.9, wd=0.01, wd_lh=0.01, out=w)


@wrong("SO102")
def decay_of_the_new_weight() -> Symbol:
    w, g = v("wg")
    new = sym.adamw_update(w, g, lr=0.1, eta=1, wd=0.01)
    return sym.elemwise_sub(new, 0.001 * w, out=w)


@wrong("SO102")
def decay_of_the_weight_before() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(0.999 * w, g, lr=0.1, wd=0.01, out=w)


@wrong("SO103")
def decay_inside_the_clip_and_outside() -> Symbol:
    (w, g), (x, h) = v("wg"), v("xh")
    old = sym.mxnet1_adam_update(w, g, lr=0.1, wd=0.01, clip_gradient=1, out=w)
    return sym.Group([old, sym.adam_update(x, h, lr=0.1, wd=0.01, clip_gradient=1, out=x)])


@good()
def decay_by_hand_alone() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g + 0.01 * w, lr=0.1, out=w)


@good()
def dialects_without_decay() -> Symbol:
    (w, g), (x, h) = v("wg"), v("xh")
    old = sym.mxnet1_adam_update(w, g, lr=0.1, clip_gradient=1, out=w)
    return sym.Group([old, sym.adam_update(x, h, lr=0.1, clip_gradient=1, out=x)])


@good()
def decay_inside_the_clip_everywhere() -> Symbol:
    (w, g), (x, h) = v("wg"), v("xh")
    ops = [sym.mxnet1_adam_update(a, b, lr=0.1, wd=0.01, clip_gradient=1, out=a) for a, b in ((w, g), (x, h))]
    return sym.Group(ops)


# ---- two clips, two corrections


@wrong("SO104", w=(8, 4))
def global_norm_and_element() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, rescale_grad=global_scale(g), clip_gradient=1.0, out=w)


@wrong("SO104", w=(8, 4))
def own_norm_by_hand_and_element() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g * (1.0 / (sym.norm(g) + 1e-6)), lr=0.1, clip_gradient=1.0, out=w)


@wrong("SO105")
def bias_corrected_in_the_rate_and_in_the_op() -> Symbol:
    w, g = v("wg")
    t = counted()
    return sym.torch_adam_update(w, g, lr=corrected(t), step=t, out=w)


@good(w=(8, 4))
def skip_if_not_finite_and_clip() -> Symbol:
    w, g = v("wg")
    return sym.adamw_update(w, g, rescale_grad=sym.all_finite(g), lr=0.1, eta=1.0, clip_gradient=1.0, out=w)


@good()
def bias_corrected_in_the_rate() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=corrected(counted()), out=w)


@good()
def bias_corrected_in_the_op() -> Symbol:
    w, g = v("wg")
    t = counted()
    return sym.torch_adam_update(w, g, lr=number("lr") / sym.sqrt(t), step=t, out=w)


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


# ---- 16-bit arrays


@wrong("SO301", type_dict={"w": "float16"})
def epsilon_below_float16() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, out=w)


@wrong("SO301", type_dict={"w": "float32"})
def epsilon_below_float32() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, epsilon=1e-40, out=w)


@wrong("SO302", type_dict={"w": "float16"})
def momentum_in_float16() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=0.9, out=w)


@wrong("SO303", type_dict={"w": "bfloat16"})
def squares_in_bfloat16() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, out=w)


@wrong("SO303", type_dict={"w": "bfloat16"})
def sum_of_squares_in_bfloat16() -> Symbol:
    w, g = v("wg")
    return sym.adagrad_update(w, g, lr=0.1, out=w)


@wrong("SO303", type_dict={"a": "bfloat16", "w": "bfloat16"})
def average_in_bfloat16() -> Symbol:
    w, g, a = v("wga")
    new = sym.sgd_update(w, g, lr=0.1, out=w)
    return sym.Group([new, sym.elemwise_add(0.9999 * a, 0.0001 * new, out=a)])


@wrong("SO304", type_dict={"w": "bfloat16"})
def steps_below_bfloat16() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=1e-5, state_dtype="float32", out=w)


@wrong("SO304", type_dict={"w": "float16"})
def signs_below_float16() -> Symbol:
    w, g = v("wg")
    return sym.signsgd_update(w, g, lr=1e-6, out=w)


@wrong("SO305", type_dict={"w": "bfloat16"})
def one_seed_for_all_steps() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g, lr=0.1, rounding="stochastic", seed=7, out=w)


@good(type_dict={"w": "float16"})
def float16_with_a_master_copy() -> Symbol:
    w, g = v("wg")
    return sym.mp_adam_update(w, g, lr=1e-5, out=w)


@good(type_dict={"w": "bfloat16"})
def bfloat16_with_random_rounding() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=1e-5, rounding="stochastic", seed=counted(), out=w)


@good(type_dict={"w": "bfloat16"})
def bfloat16_with_compensation() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=1e-5, kahan=True, state_dtype="float32", out=w)


@good(type_dict={"w": "bfloat16"})
def long_steps_in_bfloat16() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=1e-3, state_dtype="float32", out=w)


@good(type_dict={"w": "float16"})
def float16_without_states() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g, lr=0.1, out=w)


# ---- row_sparse gradients


@wrong("SO401", **TABLE)
def whole_table_by_default() -> Symbol:
    w, g = v("wg")
    return sym.adamw_update(w, g, lr=0.1, eta=1.0, out=w)


@wrong("SO401", **TABLE)
def whole_table_by_word() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, wd=0.01, lazy_update=False, out=w)


@wrong("SO402", stype_dict={"g": "row_sparse"})
def momentum_of_listed_rows() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=0.9, out=w)


@wrong("SO403", stype_dict={"g": "row_sparse"})
def decay_of_listed_rows() -> Symbol:
    w, g = v("wg")
    return sym.adagrad_update(w, g, lr=0.1, wd=0.01, out=w)


@wrong("SO404", **TABLE)
def sparse_gradient_scaled_by_hand() -> Symbol:
    w, g = v("wg")
    return sym.adagrad_update(w, g * 0.5, lr=0.1, out=w)


@wrong("SO404", **TABLE)
def sparse_gradient_of_a_rule_on_tensors() -> Symbol:
    w, g = v("wg")
    return sym.lars_update(w, g, lr=0.1, momentum=0.9, out=w)


@good(**TABLE)
def lazy_without_decay() -> Symbol:
    w, g = v("wg")
    return sym.sgd_update(w, g, lr=0.1, out=w)


@good(**TABLE)
def lazy_adagrad() -> Symbol:
    w, g = v("wg")
    return sym.adagrad_update(w, g, lr=0.1, out=w)


@good(**TABLE)
def lazy_group_adagrad() -> Symbol:
    w, g = v("wg")
    return sym.group_adagrad_update(w, g, lr=0.1, out=w)


@good(**TABLE)
def lazy_ftrl() -> Symbol:
    w, g = v("wg")
    return sym.ftrl_update(w, g, lr=0.1, out=w)


@good(**TABLE)
def lazy_by_word() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, wd=0.01, lazy_update=True, out=w)


@good(**TABLE)
def steps_counted_by_row() -> Symbol:
    w, g = v("wg")
    return sym.monolith_adam_update(w, g, lr=0.1, out=w)


@good(stype_dict={"g": "row_sparse"}, w=(1000, 64), rows={"g": 10})
def small_table_in_whole() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, lazy_update=False, out=w)


@good(stype_dict={"g": "row_sparse"}, w=(1_000_000, 64), rows={"g": 400_000})
def most_rows_listed() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, lazy_update=False, out=w)


# ---- what a step reads and writes


@wrong("SO501")
def only_the_momentum_is_read() -> Symbol:
    w, g = v("wg")
    return sym.sgd_mom_update(w, g, lr=0.1, momentum=0.9).state("mom")


@wrong("SO502")
def weight_skipped_and_states_not() -> Symbol:
    w, g = v("wg")
    new = sym.adam_update(w, g, lr=0.1)
    return sym.where(sym.all_finite(g), new, w, out=w)


@wrong("SO503")
def weight_given_as_its_gradient() -> Symbol:
    w = sym.var("w")
    return sym.sgd_update(w, w, lr=0.1, out=w)


@wrong("SO503")
def gradient_given_as_a_state() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, g, sym.var("v"), lr=0.1, out=w)


@wrong("SO504")
def average_of_old_weights() -> Symbol:
    w, g, a = v("wga")
    return sym.Group([sym.sgd_update(w, g, lr=0.1, out=w), sym.elemwise_add(0.99 * a, 0.01 * w, out=a)])


@wrong("SO505")
def always_the_first_step() -> Symbol:
    w, g = v("wg")
    return sym.torch_adam_update(w, g, step=1, out=w)


@wrong("SO506")
def steps_from_zero() -> Symbol:
    w, g = v("wg")
    return sym.ftml_update(w, g, lr=0.1, t=0, out=w)


@good()
def weight_and_states_skipped() -> Symbol:
    w, g, m, s = v("wgms")
    new, fine = sym.adam_update(w, g, m, s, lr=0.1), sym.all_finite(g)
    heads = [(new, w), (new.state("mean"), m), (new.state("var"), s)]
    return sym.Group([sym.where(fine, x, old, out=old) for x, old in heads])


@good()
def average_of_new_weights() -> Symbol:
    w, g, a = v("wga")
    new = sym.sgd_update(w, g, lr=0.1, out=w)
    return sym.Group([new, sym.elemwise_add(0.99 * a, 0.01 * new, out=a)])


@good()
def output_that_the_caller_copies() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1)


@good()
def two_updates_chained() -> Symbol:
    w, a, b, m = v("wabm")
    first = sym.sgd_mom_update(w, a, m, lr=0.1, momentum=0.9, name="first")
    return sym.sgd_mom_update(first, b, first.state("mom"), lr=0.1, momentum=0.9, out=w)


@good(w=(64, 64), h=(8,))
def transformer_block() -> Symbol:
    """As for GPT-2: clip by the global norm, AdamW with decay for matrices only, average of the weights."""
    names = [("w", 0.1), ("x", 0.1), ("h", 0.0)]
    grads = [sym.var(f"{n}_grad") for n, _ in names]
    scale, t, heads = global_scale(*grads), counted(), []
    for (name, wd), g in zip(names, grads, strict=True):
        w, average = sym.var(name), sym.var(f"{name}_avg")
        new = sym.torch_adamw_update(
            w, g * scale, lr=number("lr"), step=t, wd=wd, beta2=0.95, out=w, name=name
        )
        heads += [new, sym.elemwise_add(0.999 * average, 0.001 * new, out=average)]
    return sym.Group(heads)


@good(w=(64, 32))
def muon() -> Symbol:
    w, g = v("wg")
    return sym.keras3_muon_update(w, g, wd=0.1, out=w)


@good(w=(64, 32))
def adafactor() -> Symbol:
    w, g = v("wg")
    return sym.keras3_adafactor_update(w, g, step=counted(), out=w)


@good(type_dict={"w": "complex64"}, w=(8,))
def complex_weights() -> Symbol:
    w, g = v("wg")
    return sym.adam_update(w, g, lr=0.1, wd=0.01, out=w)


@good()
def one_variable() -> Symbol:
    return sym.var("w")


@good()
def preloaded() -> Symbol:
    w, g, m, x, h, n, lrs, wds = (sym.var(s) for s in ("w", "g", "m", "x", "h", "n", "lrs", "wds"))
    return sym.preloaded_multi_sgd_mom_update(w, g, m, x, h, n, lrs, wds, momentum=0.9, out=(w, x))


@good()
def accumulated_then_reset() -> Symbol:
    total, w = v("tw")
    return sym.Group([sym.sgd_update(w, total, lr=0.1, out=w), sym.reset_arrays(sym.var("b"))])


# ---- ops of one's own


@so.update_op
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
    return sym.lint_test_plain_decay(w, g, lr=0.1, shrink=-0.5, out=w)


@so.update_op
def lint_test_plain_decay(weight: Tensor, grad: Tensor, *, lr: float, shrink: float = 0.0) -> Updated:
    """A rule of one's own that shrinks the weight."""
    return updated((1 - shrink) * weight - lr * grad)


@wrong("SO205")
def own_rule_divides_by_zero() -> Symbol:
    w, g = v("wg")
    return sym.lint_test_clipped_sum(w, g, lr=0.1, floor=0.0, out=w)


@wrong("SO403", stype_dict={"g": "row_sparse"})
def own_rule_decays_listed_rows() -> Symbol:
    w, g = v("wg")
    return sym.lint_test_clipped_sum(w, g, lr=0.1, decay=0.1, out=w)


@good()
def own_rule() -> Symbol:
    w, g = v("wg")
    return sym.lint_test_clipped_sum(w, g, lr=0.1, out=w)
