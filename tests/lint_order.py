"""Set-ups of clips, sums, decay and bias correction."""

from lint_setups import corrected, counted, global_scale, good, number, v, wrong

from symopt import sym
from symopt.symbol import Symbol

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


@good()
def warm_up_that_looks_like_a_correction() -> Symbol:
    w, g = v("wg")
    t = counted()
    return sym.torch_adam_update(w, g, lr=number("lr") * (1 - 0.999**t), step=t, out=w)


@good()
def pulled_to_another_weight() -> Symbol:
    w, g, x = v("wgx")
    return sym.sgd_update(w, g + 0.1 * (w - x), lr=0.1, wd=0.01, out=w)


@good()
def halfway_to_the_slow_weights() -> Symbol:
    w, g, x = v("wgx")
    return sym.elemwise_add(0.9 * sym.sgd_update(w, g, lr=0.1, wd=0.01), 0.1 * x, out=w)
