"""Keras's learning rate schedules: what they give, that they are pure, and plain data."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_schedules import rate

import symopt as so
from symopt.keras import schedules

FOLDER = Path(__file__).parent / "golden"
CASES = [c for c in json.loads((FOLDER / "keras.json").read_text())["cases"] if c["kind"] == "schedule"]
VECTORS = np.load(FOLDER / "keras.npz")

RATES = st.floats(0, 10)
STEPS = st.integers(1, 1000)
FRACTIONS = st.floats(0, 1)
MADE = st.one_of(
    st.builds(schedules.ExponentialDecay, RATES, STEPS, FRACTIONS, st.booleans()),
    st.builds(schedules.InverseTimeDecay, RATES, STEPS, FRACTIONS, st.booleans(), st.none()),
    st.builds(schedules.PolynomialDecay, RATES, STEPS, RATES, st.floats(0.25, 3), st.booleans()),
    st.builds(schedules.CosineDecay, RATES, STEPS, FRACTIONS),
    st.builds(schedules.CosineDecay, RATES, STEPS, FRACTIONS, st.just("warm"), RATES, st.integers(0, 100)),
    st.builds(schedules.CosineDecayRestarts, RATES, STEPS, st.sampled_from([1.0, 1.1, 2]), st.floats(0.5, 1)),
    st.lists(STEPS, min_size=1, max_size=4, unique=True).flatmap(
        lambda bounds: st.lists(RATES, min_size=len(bounds) + 1, max_size=len(bounds) + 1).map(
            lambda values: schedules.PiecewiseConstantDecay(sorted(bounds), values)
        )
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_equals_keras(case: dict[str, Any]) -> None:
    steps, values = (VECTORS[f"{case['case']}/{name}"] for name in ("step", "value"))
    schedule = getattr(schedules, case["class"])(**case["config"])
    np.testing.assert_allclose(schedule(steps), values, **case["tolerance"])
    assert schedule.get_config().items() >= case["config"].items()


@given(MADE, st.lists(st.integers(0, 3000), min_size=1, max_size=5))
def test_equals_the_reference_at_numbers_and_arrays(schedule: Any, steps: list[int]) -> None:
    config = {k: v for k, v in schedule.get_config().items() if k != "name"}
    expected = [rate({"class_name": type(schedule).__name__, "config": config}, step) for step in steps]
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-9, atol=1e-9)
    assert [schedule(step) for step in steps] == list(schedule(np.array(steps)))
    assert type(schedule(steps[0])) is float


@given(MADE)
def test_is_plain_data(schedule: Any) -> None:
    described = schedules.serialize(schedule)
    before = json.dumps(described)
    again = schedules.deserialize(json.loads(before))
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert json.dumps(described) == before == json.dumps(schedules.serialize(again))
    assert described["module"] == "keras.optimizers.schedules" and described["registered_name"] is None


@pytest.mark.parametrize("t_mul", [1.0, 1.1, 1.3, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("first", [3, 10, 100])
def test_restarts_are_where_they_should_be(first: int, t_mul: float) -> None:
    """Keras takes logarithms in float32, and may be one period too low."""
    schedule = schedules.CosineDecayRestarts(1.0, first, t_mul=t_mul)
    start, length = 0.0, float(first)
    for _ in range(8):
        assert schedule(start) == pytest.approx(1.0, abs=1e-9)
        assert schedule(start + length / 2) == pytest.approx(0.5, abs=1e-9)
        start, length = start + length, length * t_mul


def test_periods_that_get_shorter_come_to_an_end() -> None:
    schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul=0.5, alpha=0.25)
    np.testing.assert_allclose(schedule([0, 10, 15, 20, 10**6]), [1, 1, 1, 0.25, 0.25])


def test_steps_beyond_what_16_bits_count() -> None:
    schedule = schedules.PiecewiseConstantDecay([256, 2048, 2**24], [1.0, 0.5, 0.25, 0.125])
    np.testing.assert_array_equal(
        schedule([256, 257, 2048, 2049, 2**24, 2**24 + 1]), [1, 0.5, 0.5, 0.25, 0.25, 0.125]
    )
    assert schedules.ExponentialDecay(1.0, 0.1, 0.5, staircase=True)(0.3) == 0.125  # 0.3 / 0.1 is below 3


def test_integers_and_numbers_of_numpy_are_taken() -> None:
    warm = schedules.CosineDecay(0, 10, warmup_target=1, warmup_steps=2)
    assert (warm(0), warm(1), warm(2)) == (0.0, 0.5, 1.0)
    given: list[Any] = [np.float32(0.5), np.int64(3), np.array(0.5)]
    config = schedules.ExponentialDecay(*given).get_config()
    assert {type(v) for v in config.values()} == {float, int, bool, type(None)}
    assert config["decay_steps"] == 3


class Halving(schedules.LearningRateSchedule):
    """A schedule of one's own."""

    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, step: Any) -> Any:
        return self.first * 0.5**step

    def get_config(self) -> dict[str, Any]:
        return {"first": self.first}


def test_schedules_of_ones_own() -> None:
    described = schedules.serialize(Halving(8.0))
    assert described["class_name"] == described["registered_name"] == "Halving"
    again = schedules.deserialize(described, {"Halving": Halving})
    assert again(3) == 1.0
    optimizer, w = so.keras.optimizers.SGD(Halving(8.0)), np.zeros(1)
    for _ in range(3):
        optimizer.apply_gradients([(np.ones(1), w)])
    assert w[0] == -14.0
    restored = so.keras.optimizers.deserialize(
        {"class_name": "SGD", "config": optimizer.get_config()}, custom_objects={"Halving": Halving}
    )
    assert math.isclose(restored.learning_rate(1), 4.0)
