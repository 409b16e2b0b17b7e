"""The rules, a line each. A code is never used again for another rule; each has a page in docs/lint/."""

from __future__ import annotations

from . import bias, narrow, numbers, order, rows, steps
from .rule import Rule

RULES = (
    # what comes before what, and what is done twice
    Rule("SO101", "gradients are clipped before they are added up", "warning", order.clip_before_sum),
    Rule("SO102", "the weight decays twice", "warning", order.decay_twice),
    Rule(
        "SO103",
        "decay is inside the clip in one op and outside in another",
        "warning",
        order.decay_in_and_out_of_the_clip,
    ),
    Rule("SO104", "a gradient is clipped by its norm and by element", "warning", order.two_clips),
    Rule("SO105", "the bias is corrected twice", "warning", bias.bias_corrected_twice),
    # numbers
    Rule("SO201", "a number takes the gradient's effect away", "warning", numbers.no_effect),
    Rule("SO202", "the learning rate is negative", "warning", numbers.negative_rate),
    Rule("SO203", "a state keeps more than all of itself", "warning", numbers.forgets_wrongly, ("SO201",)),
    Rule("SO204", "squares are forgotten faster than the mean", "warning", numbers.squares_forget_faster),
    Rule("SO205", "a gradient of zero gives 0 / 0", "warning", numbers.zero_by_zero),
    Rule(
        "SO206",
        "decay makes the weight grow or turns its sign",
        "warning",
        numbers.decays_wrongly,
        ("SO202",),
    ),
    # 16-bit arrays
    Rule("SO301", "epsilon is less than the state's dtype holds", "warning", narrow.epsilon_underflows),
    Rule("SO302", "a state is kept in float16", "warning", narrow.float16_state, ("SO301",)),
    Rule(
        "SO303",
        "what a state should forget is rounded away",
        "warning",
        narrow.decay_rounds_away,
        ("SO301", "SO302"),
    ),
    Rule(
        "SO304",
        "steps are too short for a 16-bit weight",
        "warning",
        narrow.step_rounds_away,
        ("SO301", "SO302", "SO303"),
    ),
    Rule("SO305", "stochastic rounding has a constant seed", "warning", narrow.constant_seed),
    # row_sparse gradients
    Rule("SO401", "few rows have a gradient, and all are updated", "warning", rows.reads_every_row),
    Rule("SO402", "states do not decay in rows without gradient", "note", rows.old_states_in_other_rows),
    Rule("SO403", "weights do not decay in rows without gradient", "note", rows.no_decay_in_other_rows),
    Rule("SO404", "a sparse gradient is made dense", "warning", rows.made_dense),
    # what a step reads and writes
    Rule("SO501", "a new weight is lost", "warning", steps.result_lost),
    Rule("SO502", "a skipped step advances the states", "warning", steps.states_not_skipped),
    Rule("SO503", "one array is given for two inputs", "warning", steps.one_array_twice),
    Rule("SO504", "an average takes in the old value", "note", steps.average_of_the_old),
    Rule("SO505", "the number of the step is a constant", "warning", steps.constant_step, ("SO506",)),
    Rule("SO506", "the number of the step is 0", "warning", steps.step_zero),
)
BY_CODE = {rule.code: rule for rule in RULES}
