"""Set-ups of 16-bit arrays and row_sparse gradients."""

from lint_setups import counted, good, v, wrong

from symopt import sym
from symopt.symbol import Symbol

TABLE = {"stype_dict": {"g": "row_sparse"}, "w": (1_000_000, 64), "rows": {"g": 1000}}


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
