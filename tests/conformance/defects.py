"""What is known to be wrong or other in the systems, and where it shows: differences that need no more explanation."""

from __future__ import annotations

import re
from math import inf
from typing import NamedTuple


class Defect(NamedTuple):
    """`where`: a pattern of "system row, setting, dtype, array"; `limit`: the largest error that it explains.
    `is_random`: the results are whatever the memory held, and may even be right."""

    key: str
    where: str
    text: str
    limit: float = inf
    is_random: bool = False


RESULTS = r"(out|var)\b"
LATER = r"(var\b|out\.\d@[12])"

DEFECTS = (
    Defect(
        "in place",
        rf"mxnet1 (nag_mom_update, in place|mp_nag_mom_update, (?!required)[^,]*), \w+, {LATER}",
        "`nag_mom_update` of 1.9.1 on one array (`out=weight`), and `mp_nag_mom_update` always, make the momentum "
        "from the weight that they have just overwritten; it shows when `wd` is not 0. Right in 2.0.",
    ),
    Defect(
        "master",
        rf"mxnet\d mp_lamb_update_phase2, .*, {LATER}",
        "`mp_lamb_update_phase2` never writes `weight32`, which it declares as mutable: every step starts from the "
        "first weight.",
    ),
    Defect(
        "gradient",
        r"mxnet\d _(adamw|adabelief)_update, .*, var\.grad",
        "`_adamw_update` and `_adabelief_update` overwrite the gradient with the rescaled and clipped one, and do "
        "not declare it.",
    ),
    Defect(
        "skipped",
        r"mxnet\d _(mp_)?(adamw|adabelief)_update, skipped, \w+, (out|var\.weight$)",
        "With a `rescale_grad` of 0, infinity or NaN these ops leave their output unwritten, so that a bound graph "
        "gives what the memory held before. symopt gives the old weight.",
        is_random=True,
    ),
    Defect(
        "bytes",
        rf"mxnet\d _multi_(adamw|adabelief)_update, .*, float(16|64), {RESULTS}",
        "`_multi_adamw_update` and `_multi_adabelief_update` copy the bytes of float32 rates into arrays of the "
        "weight's type: nonsense unless that is float32.",
        is_random=True,
    ),
    Defect(
        "norms",
        rf"mxnet\d (_multi_(lamb|lans)_update|multi_sum_sq), .*, float64, {RESULTS}",
        "Norms and sums of squares are taken in float32, whatever the arrays: float64 agrees to that.",
        limit=1e-6,
    ),
    Defect(
        "halves",
        rf"mxnet\d (_multi_mp_(lamb|lans)_update|multi_sum_sq), .*, float16, {RESULTS}"
        r"|updater (LARS|LANS)\b[^,]*, in 16 bits, state",
        "Parts of the computation on float32 copies are rounded to float16 (squares in 1.9.1, gradients); symopt "
        "computes in float32.",
        limit=1e-3,
    ),
    Defect(
        "type",
        r"mxnet\d (multi_)?all_finite, .*, out.* type",
        "The result is float32 in MXNet; here it has the type of the arrays.",
    ),
    Defect(
        "repeated",
        rf"keras3_\w+, repeated rows, \w+, {RESULTS}",
        "Keras 3 squares the parts of a row that occurs more than once in a sparse gradient before it sums them. "
        "symopt, like tf_keras, sums first, which is what the dense gradient would give.",
    ),
    Defect(
        "alias",
        rf"keras3_schedule_free_adamw_update, (?!on)[^,]*, \w+, {RESULTS}",
        "`ScheduleFreeAdamW` on TensorFlow reads, as the old value of a sequence, the variable that it has just "
        "updated; Keras on other backends follows the paper, and so does symopt.",
    ),
)

NOTES = {
    "mxnet1": (
        "`_sparse_adagrad_update` and `_contrib_group_adagrad_update` have kernels for row_sparse gradients only, "
        "in place. A graph of the first cannot be bound, and one of the second with a dense gradient ends the "
        "process. They are executed op by op, on row_sparse gradients. The first refuses any `wd` but 0.",
        "`multi_`, `preloaded_multi_` and `_multi_` ops lose the shapes of their outputs and cannot be bound; they "
        "are executed op by op.",
        "A file saved as of MXNet 2 loads in 1.9.1 with a warning, and is executed with the formulas of 1.9.1: save "
        "graphs of `mxnet1_` ops for it. Ops that are the same in both are saved as of MXNet 2, and load.",
    ),
    "mxnet2": (
        "`rmspropalex_update` of 2.0 reads its states swapped: the one called `n` is the mean of gradients, `g` that "
        "of their squares, against the paper and 1.9.1. symopt's `rmspropalex_update` has 2.0's order, "
        "`mxnet1_rmspropalex_update` that of 1.9.1; files are loaded accordingly.",
        "What cannot be bound in 1.9.1 cannot be bound in 2.0 either.",
    ),
}


def explain(place: str, error: float, allowed: float) -> str | None:
    """The key of the defect that a difference is due to; None if it is due to none, or there is no difference."""
    for defect in DEFECTS:
        if (allowed < error <= defect.limit or defect.is_random) and re.match(defect.where, place):
            return defect.key
    return None
