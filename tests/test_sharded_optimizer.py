"""ShardedOptimizer has the bits of so.compile on the summed gradients: all rules, owners, ranks, dtypes, options."""

from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
from losing import Losing
from sharded_cases import MATRICES, ODD, RULES, needed, ranks, same_bits, same_state, step

from symopt.distributed import InProcess, tree_sum

SOME = ("adam", "sgd", "group_adagrad", "lamb", "torch_muon", "torch_nadam", "monolith_rowwise_adagrad")
TRANSPORTS = {"in process": InProcess, "sent": Losing}


def compared(
    transport: Any, rule: str, shapes: Any, n_owners: int, n_ranks: int, n_steps: int = 3, **options: Any
) -> None:
    dtype, wire = options.get("dtype", "float32"), options.get("wire")
    made, whole, params, single = cases.both(transport, rule, shapes, n_owners, n_ranks, **options)
    with made:
        for k in range(n_steps):
            step(made, whole, ranks(k + 1, n_ranks, shapes, dtype), wire)
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())
        same_bits(made.averages, whole.averages)
        assert made.numbers == whole.numbers


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule(rule: str, dtype: str) -> None:
    given = {**needed(rule), "multi_precision": dtype == "bfloat16"}
    compared(InProcess(), rule, MATRICES, 3, 2, 2, dtype=dtype, **given)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("n_ranks", [1, 3, 5])
@pytest.mark.parametrize("n_owners", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", SOME)
def test_any_number_of_owners_and_ranks(rule: str, n_owners: int, n_ranks: int, transport: str) -> None:
    shapes = MATRICES if rule == "torch_muon" else ODD
    compared(TRANSPORTS[transport](), rule, shapes, n_owners, n_ranks, **needed(rule))


OPTIONS: dict[str, dict[str, Any]] = {
    "value": {"clip_value": 0.5},
    "norm": {"clip_norm": 0.5},
    "global norm": {"clip_global_norm": 0.5},
    "all clips": {"clip_value": 1.5, "clip_norm": 2.0, "clip_global_norm": 0.5},
    "global norm of sums": {"clip_value": 1.5, "clip_global_norm": 0.5, "accumulate": 2},
    "sums": {"accumulate": 3},
    "an average": {"ema": lambda done: 0.5 + 0.01 * done, "accumulate": 2},
    "a scale": {"loss_scale": 8.0, "skip_nonfinite": True},
    "a schedule": {"lr": lambda done: 0.1 / (1 + done)},
    "groups": {
        "groups": {
            "tiny.*": {"rule": "lamb", "wd": 0.1, "lr_mult": 0.5},
            "huge": {"weight_decay": 0.1},
            "cube": None,
        }
    },
    "a state of another dtype": {"state_dtype": "bfloat16"},
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("n_owners", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", OPTIONS)
def test_options(options: str, dtype: str, n_owners: int, transport: str) -> None:
    given = {"lr": 0.1, **OPTIONS[options]}
    compared(TRANSPORTS[transport](), "adam", ODD, n_owners, 2, 5, dtype=dtype, **given)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"multi_precision": True}, {"kahan": True}, {"rounding": "stochastic", "seed": lambda done: done},
        {"multi_precision": True, "loss_scale": 4.0, "clip_value": 1.0, "ema": 0.5},
    ],
    ids=" ".join,
)  # fmt: skip
def test_sixteen_bits(dtype: str, options: dict[str, Any]) -> None:
    compared(InProcess(), "adam", ODD, 3, 3, 3, dtype=dtype, lr=0.01, **options)


@pytest.mark.parametrize("rule", ["adam", "sgd_mom", "lamb"])
def test_complex_weights(rule: str) -> None:
    compared(Losing(), rule, ODD, 3, 3, dtype="complex64", lr=0.1, wd=0.0)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("n_ranks", [1, 3])
@pytest.mark.parametrize("wire", ["float16", "bfloat16"])
def test_gradients_rounded_on_the_wire(wire: str, n_ranks: int, transport: str) -> None:
    compared(TRANSPORTS[transport](), "adam", ODD, 3, n_ranks, wire=wire, lr=0.1, clip_global_norm=1.0)


def test_gradients_of_weights_with_copies_may_be_wider() -> None:
    made, whole, params, single = cases.both(
        Losing(), "adam", ODD, 3, 2, "bfloat16", lr=0.1, multi_precision=True
    )
    for k in range(3):
        step(made, whole, ranks(k, 2, ODD, "float32"))
    same_bits(params, single)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "options",
    [{}, {"ema": 0.5}, {"accumulate": 2}, {"clip_global_norm": 0.5, "skip_nonfinite": True}],
    ids=str,
)
def test_gradients_that_are_absent(options: dict[str, Any], transport: str) -> None:
    made, whole, params, single = cases.both(TRANSPORTS[transport](), "adam", ODD, 4, 3, lr=0.1, **options)
    for k in range(6):
        grads = ranks(k, 3)
        grads[k % 3]["huge"] = None
        for each in grads:
            each["vector" if k % 2 else "tiny.1"] = None
            if k == 4:
                each.update(dict.fromkeys([n for n in each if n != "cube"]))
        step(made, whole, grads)
        same_bits(params, single)
    same_state(made.state_dict(), whole.state_dict())


@pytest.mark.parametrize("scale", [8.0, "dynamic"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gradient_that_is_not_finite_leaves_the_step_out_everywhere(
    accumulate: int, bad: float, scale: Any
) -> None:
    options = {"lr": 0.1, "loss_scale": scale, "accumulate": accumulate, "clip_global_norm": 1.0}
    made, whole, params, single = cases.both(Losing(), "torch_nadam", ODD, 3, 2, **options)
    for k in range(6):
        grads = ranks(k, 2)
        if k == 3:
            grads[1]["huge"][200, 3] = bad
        step(made, whole, grads)
        same_bits(params, single)
        assert made.updates == whole.updates
        assert made.loss_scale == whole.loss_scale
    same_state(made.state_dict(), whole.state_dict())


def test_a_norm_that_is_not_finite() -> None:
    made, whole, params, single = cases.both(Losing(), "sgd", ODD, 3, 1, lr=0.1, clip_global_norm=1.0)
    grads = ranks(0, 1)
    grads[0]["huge"][0, 0] = np.inf
    step(made, whole, grads)
    for name in params:
        np.testing.assert_array_equal(params[name], single[name])


def test_the_sum_is_in_pairs_by_rank() -> None:
    for n in range(1, 9):
        leaves = [np.float32(x) for x in np.random.default_rng(n).standard_normal(n) * 10.0 ** np.arange(n)]
        level = list(leaves)
        while len(level) > 1:
            level = [sum(level[k + 1 : k + 2], level[k]) for k in range(0, len(level), 2)]
        found = tree_sum([{"x": np.array([x])} for x in leaves])["x"]
        assert found.tobytes() == np.array([level[0]]).tobytes()


def test_attributes_change_as_of_one_process() -> None:
    made, whole, params, single = cases.both(Losing(), "nag_mom", ODD, 3, 2, lr=0.1, momentum=0.9)
    for k, change in enumerate(
        [{}, {"lr": 0.2}, {"clip_gradient": 0.5}, {"wd": 0.1}, {"clip_gradient": -1.0}]
    ):
        for each in (made, whole):
            each.set(**change)
        step(made, whole, ranks(k, 2))
        same_bits(params, single)
    grads = ranks(9, 2)
    assert made.step(grads, momentum=0.5) == whole(tree_sum(grads), momentum=0.5)
    same_bits(params, single)
