"""Feature slots: slices, what they fall back to, merging, ids."""

from typing import Any

import numpy as np
import pytest

from symopt.embedding.entry import (
    AdagradOptimizer,
    ConstantsInitializer,
    FeatureFactory,
    FeatureSlot,
    FeatureSlotConfig,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    MovingAverageOptimizer,
    PolynomialDecay,
    RandomUniformInitializer,
    SgdOptimizer,
    ZerosInitializer,
    slot_of,
)
from symopt.errors import AttributeValueError, DTypeError


def parts(slot: FeatureSlot) -> list[tuple[int, Any, Any, Any, Any]]:
    """Width, initializer, optimizer, compressor and learning rate of each segment."""
    instance = slot.config_instance()
    segments = instance.table_config.entry_config.segments
    return [
        (s.dim_size, s.init_config, s.opt_config, s.comp_config, rate)
        for s, rate in zip(segments, instance.learning_rate_fns)
    ]


def test_a_slot_has_the_defaults_of_monolith() -> None:
    slot = FeatureSlot(FeatureSlotConfig(slot_id=7, has_bias=True))
    vector = slot.add_feature_slice(8)
    assert (slot.name, slot.slot, slot.dim) == ("7", 7, 9)
    assert slot.get_bias_slice().columns == slice(0, 1) and vector.columns == slice(1, 9)
    assert parts(slot) == [
        (
            1,
            ZerosInitializer(),
            FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0),
            Fp32Compressor(),
            0.01,
        ),
        (
            8,
            RandomUniformInitializer(),
            AdagradOptimizer(initial_accumulator_value=1.0),
            Fp16Compressor(),
            0.001,
        ),
    ]


def test_what_a_slice_does_not_say_is_the_slots() -> None:
    decay, other = PolynomialDecay(1.0, 10), PolynomialDecay(2.0, 10)
    defaults: dict[str, Any] = {
        "default_vec_optimizer": SgdOptimizer(0.5),
        "default_vec_learning_rate_fn": decay,
    }
    slot = FeatureSlot(FeatureSlotConfig("user", has_bias=True, bias_learning_rate_fn=other, **defaults))
    slot.add_feature_slice(2)
    slot.add_feature_slice(3, ConstantsInitializer(1.0), AdagradOptimizer(), Fp32Compressor(), 0.0)
    assert [part[0] for part in parts(slot)] == [1, 2, 3]
    assert [part[-1] for part in parts(slot)] == [other, decay, 0.0]  # 0.0 is given, and is not "none"
    assert parts(slot)[2][1:4] == (ConstantsInitializer(1.0), AdagradOptimizer(), Fp32Compressor())


def test_a_bias_without_a_learning_rate_takes_the_slots() -> None:
    """As in Monolith: its own function, else the vectors', else its optimizer's number."""
    decay = PolynomialDecay(1.0, 10)
    slot = FeatureSlot(FeatureSlotConfig("user", has_bias=True, default_vec_learning_rate_fn=decay))
    assert parts(slot)[0][-1] is decay


def test_warm_up_is_a_schedule() -> None:
    """Monolith calls warmup_steps deprecated, and its feature slots do this with it."""
    slot = FeatureSlot(FeatureSlotConfig("user"))
    slot.add_feature_slice(2, optimizer=AdagradOptimizer(0.5, warmup_steps=4))
    slot.add_feature_slice(2, optimizer=AdagradOptimizer(0.5, warmup_steps=4), learning_rate_fn=0.25)
    slot.add_feature_slice(2, optimizer=MovingAverageOptimizer())
    assert [part[-1] for part in parts(slot)] == [PolynomialDecay(0.0, 4, 0.5), 0.25, 0.0]


@pytest.mark.parametrize(
    "slices, widths",
    [
        ([(2, {}), (3, {}), (4, {})], [9]),
        ([(2, {}), (3, {"optimizer": SgdOptimizer()}), (4, {})], [2, 3, 4]),
        ([(2, {}), (3, {"compressor": Fp32Compressor()}), (4, {"compressor": Fp32Compressor()})], [2, 7]),
        ([(2, {"learning_rate_fn": 0.5}), (3, {"learning_rate_fn": 0.5}), (4, {})], [5, 4]),
        ([(2, {"learning_rate_fn": PolynomialDecay(1.0, 9)}), (3, {"learning_rate_fn": PolynomialDecay(1.0, 9)})], [5]),
        ([(2, {"learning_rate_fn": PolynomialDecay(1.0, 9)}), (3, {"learning_rate_fn": PolynomialDecay(1.0, 8)})],
         [2, 3]),
        ([(2, {}), (3, {"learning_rate_fn": 0.001})], [5]),
    ],
)  # fmt: skip
def test_neighbours_that_differ_in_width_only_are_one_segment(slices: list[Any], widths: list[int]) -> None:
    slot = FeatureSlot(FeatureSlotConfig(slot_id=1))
    ends = [slot.add_feature_slice(dim, **more).end for dim, more in slices]
    assert ends == np.cumsum([dim for dim, _ in slices]).tolist()
    assert slot.unmerged_slice_dims == [dim for dim, _ in slices]
    assert [part[0] for part in parts(slot)] == widths


def test_ids_of_slots() -> None:
    slot = FeatureSlot(FeatureSlotConfig(slot_id=32767))
    ids = slot.ids([0, 1, (1 << 48) - 1, -1, 1 << 48])
    assert ids.dtype == np.int64 and (slot_of(ids) == 32767).all() and (ids > 0).all()
    assert (ids & ((1 << 48) - 1)).tolist() == [0, 1, (1 << 48) - 1, (1 << 48) - 1, 0]
    with pytest.raises(DTypeError):
        slot.ids([0.5])


def test_slots_with_the_same_configuration_share_a_table() -> None:
    factory = FeatureFactory()
    for slot_id, dim, days in ((9, 4, 30), (2, 4, 7), (5, 8, 30)):
        config = FeatureSlotConfig(slot_id=slot_id, expire_time=days, occurrence_threshold=slot_id)
        factory.create_feature_slot(config).add_feature_slice(dim)
    assert list(factory.tables()) == ["2", "5", "9"]
    merged = factory.merged_tables()
    assert list(merged) == [("2", "9"), ("5",)]
    expiry = merged["2", "9"].table_config.slot_expire_time_config
    assert expiry.slot_expire_times == factory.slot_to_expire_time == {9: 30, 2: 7, 5: 30}
    assert factory.slot_to_occurrence_threshold == {9: 9, 2: 2, 5: 5}


def test_a_factory_refuses_what_contradicts_itself() -> None:
    factory = FeatureFactory()
    factory.create_feature_slot(FeatureSlotConfig(slot_id=1))
    factory.create_feature_slot(FeatureSlotConfig("again", slot_id=1))
    with pytest.raises(AttributeValueError, match="there already"):
        factory.create_feature_slot(FeatureSlotConfig(slot_id=1))
    with pytest.raises(AttributeValueError, match="must be the same"):
        factory.create_feature_slot(FeatureSlotConfig("rare", slot_id=1, occurrence_threshold=3))
    factory.create_feature_slot(FeatureSlotConfig("no number", occurrence_threshold=3))
