"""Learning rates of segments: constants, functions of the step, warm-up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symopt.embedding import Segment, Table, entry
from symopt.embedding.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    EmbeddingHashTableConfig,
    EntryConfig,
    Fp32Compressor,
    HashTableConfigInstance,
    PolynomialDecay,
    SegmentConfig,
    SgdOptimizer,
    ZerosInitializer,
)
from symopt.errors import RuleError
from symopt.keras import schedules
from symopt.lr_scheduler import FactorScheduler


def segment(dim: int = 4, optimizer: Any = None) -> SegmentConfig:
    return CombineAsSegment(dim, ZerosInitializer(), optimizer or SgdOptimizer(), Fp32Compressor())


def table(*segments: SegmentConfig) -> EmbeddingHashTableConfig:
    return EmbeddingHashTableConfig(EntryConfig(list(segments or [segment()])))


def test_learning_rates_of_segments() -> None:
    """A function given is in place of the constant, but for published RMSProp; a warm-up is a schedule."""
    decay = PolynomialDecay(1.0, 10)
    assert segment(4, SgdOptimizer(0.5)).arguments(decay)["learning_rate"] is decay
    published = entry.RmspropOptimizer(0.25, published=True)
    assert segment(4, published).arguments(decay)["learning_rate"] == 0.25
    assert segment(4, entry.RmspropOptimizer(0.25)).arguments(decay)["learning_rate"] is decay
    assert segment(4, entry.MovingAverageOptimizer()).arguments(decay)["learning_rate"] is None
    warm = segment(4, AdagradOptimizer(0.5, warmup_steps=10)).arguments()["learning_rate"]
    assert warm == PolynomialDecay(0.0, 10, 0.5) and [warm(t) for t in (0, 5, 10, 99)] == [0, 0.25, 0.5, 0.5]


@given(
    st.floats(0, 2),
    st.floats(0, 2),
    st.floats(0.25, 3),
    st.integers(1, 50),
    st.booleans(),
    st.integers(0, 200),
)
def test_polynomial_decay(first: float, end: float, power: float, steps: int, cycle: bool, step: int) -> None:
    """TensorFlow's formula, and the very numbers of Keras's schedule."""
    made = PolynomialDecay(first, steps, end, power, cycle)
    length = steps * max(1, -(-step // steps)) if cycle else steps
    expected = (first - end) * (1 - min(step, length) / length) ** power + end
    assert made(step) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert made(step) == schedules.PolynomialDecay(first, steps, end, power, cycle)(step)


def test_functions_name_themselves() -> None:
    class Halving(entry.LearningRateFunction):
        def __init__(self, every: int) -> None:
            self.every = every

        def __call__(self, global_step: int = 0) -> float:
            return 0.5 ** (global_step // self.every)

    assert str(Halving(3)) == 'LearningRateFunction("Halving",Params:every=3)' != str(Halving(4))
    assert str(PolynomialDecay(1.0, 10)) == (
        'LearningRateFunction("PolynomialDecay",Params:cycle=False,decay_steps=10.0,end_learning_rate=0.0001,'
        "initial_learning_rate=1.0,name=None,power=1.0)"
    )
    instance = HashTableConfigInstance(table(), [Halving(3)])
    assert instance.call_learning_rate_fns_fewer_ops(7) == [0.25]
    with pytest.raises(RuleError, match="must define __call__"):
        entry.LearningRateFunction()(0)


def test_tables_warm_up() -> None:
    """Gradients of 1 move a row by the learning rate of each step, counted from 0."""
    pieces = segment(1).pieces(segment(1, AdagradOptimizer(1.0, warmup_steps=4)).opt_config.rate())
    made = Table([Segment(**piece) for piece in pieces], engine="reference")
    moved = []
    for _ in range(6):
        before = made.lookup([1]).item()
        made.apply_gradients([1], np.ones((1, 1), "float32"))
        moved.append(before - made.lookup([1]).item())
    assert moved == [0, 0.25, 0.5, 0.75, 1, 1]


def test_schedulers_of_mxnet_count_from_1() -> None:
    rate = FactorScheduler(step=2, factor=0.5, base_lr=1.0)
    instance = HashTableConfigInstance(table(), [rate])
    assert (
        [instance.call_learning_rate_fns(t).item() for t in range(4)]
        == [rate(t + 1) for t in range(4)]
        == [1, 1, 0.5, 0.5]
    )
