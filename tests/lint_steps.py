"""Set-ups of what a step reads and writes, and whole models."""

from lint_setups import counted, global_scale, good, number, v, wrong

from symopt import sym
from symopt.symbol import Symbol

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
