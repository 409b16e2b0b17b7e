"""MXNet's schedulers: its values, asked in any order."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import symopt as so
from symopt import lr_scheduler
from symopt.lr_scheduler import (
    CosineScheduler,
    FactorScheduler,
    LRScheduler,
    MultiFactorScheduler,
    PolyScheduler,
)

CASES = json.loads((Path(__file__).parent / "golden" / "mxnet2_schedulers.json").read_text())["cases"]


def made(case: dict[str, Any]) -> LRScheduler:
    scheduler: LRScheduler = getattr(lr_scheduler, case["cls"])(**case["kwargs"])
    return scheduler


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c['cls']}-{'-'.join(map(str, c['kwargs'].values()))}"
)
def test_rates_are_mxnets_in_any_order(case: dict[str, Any]) -> None:
    scheduler = made(case)
    before = copy.deepcopy(vars(scheduler))
    for updates in (range(25), reversed(range(25))):
        for n in updates:
            assert scheduler(n) == pytest.approx(case["rates"][n], rel=1e-14, abs=1e-16)
    assert vars(scheduler) == before


def test_base_lr_can_be_set_between_two_questions() -> None:
    for scheduler in (
        FactorScheduler(2, 0.5),
        MultiFactorScheduler([2], 0.5),
        PolyScheduler(10),
        CosineScheduler(10),
    ):
        first = scheduler(4)
        scheduler.base_lr *= 3
        assert scheduler(4) == pytest.approx(3 * first)


WRONG = [
    (
        LRScheduler,
        {"base_lr": 0.1, "warmup_begin_lr": 0.2},
        ValueError,
        "warmup_begin_lr = 0.2 must be at most",
    ),
    (LRScheduler, {"warmup_steps": -1}, ValueError, "warmup_steps = -1"),
    (LRScheduler, {"warmup_steps": 2.5}, AssertionError, "must be an int, got float"),
    (LRScheduler, {"warmup_mode": "cubic"}, ValueError, "'linear' or 'constant'"),
    (FactorScheduler, {"step": 0}, ValueError, "step = 0 must be 1 or more"),
    (FactorScheduler, {"step": 1, "factor": 1.1}, ValueError, "the rate falls"),
    (MultiFactorScheduler, {"step": [2, 2]}, ValueError, "increasing"),
    (MultiFactorScheduler, {"step": [0, 2]}, ValueError, "1 or more"),
    (MultiFactorScheduler, {"step": (2, 3)}, AssertionError, "must be a list"),
    (MultiFactorScheduler, {"step": []}, AssertionError, "one number or more"),
    (MultiFactorScheduler, {"step": [2], "factor": 2}, ValueError, "the rate falls"),
    (PolyScheduler, {"max_update": 0}, ValueError, "max_update = 0"),
    (PolyScheduler, {"max_update": 2.0}, AssertionError, "must be an int"),
    (CosineScheduler, {"max_update": 0}, ValueError, "max_update = 0"),
    (CosineScheduler, {"max_update": "9"}, AssertionError, "must be an int"),
    (CosineScheduler, {"max_update": 5, "warmup_steps": 5}, ValueError, "more than warmup_steps = 5"),
]


@pytest.mark.parametrize(
    ("klass", "kwargs", "error", "text"), WRONG, ids=lambda x: getattr(x, "__name__", str(x)[:30])
)
def test_refused(klass: Any, kwargs: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        klass(**kwargs)
    assert isinstance(caught.value, so.SymoptError)
    assert klass.__name__ in str(caught.value)


def test_what_has_no_rate_says_so() -> None:
    with pytest.raises(NotImplementedError, match="define __call__"):
        LRScheduler()(1)
    with pytest.raises(AssertionError, match="not in the warmup of 3"):
        FactorScheduler(1, warmup_steps=3).get_warmup_lr(3)
