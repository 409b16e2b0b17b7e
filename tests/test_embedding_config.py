"""Segments, configurations of tables, learning rates and feature slots: what they say, and what they refuse."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

from symopt.embedding import entry
from symopt.embedding.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    EmbeddingHashTableConfig,
    EntryConfig,
    FeatureSlot,
    FeatureSlotConfig,
    Fp16Compressor,
    Fp32Compressor,
    HashTableConfigInstance,
    PolynomialDecay,
    SegmentConfig,
    SgdOptimizer,
    SlotExpireTimeConfig,
    SlotOccurrenceThresholdConfig,
    ZerosInitializer,
)
from symopt.errors import (
    AttributeValueError,
    FormatError,
    MissingArgumentError,
    RuleError,
    UnknownArgumentError,
)


def segment(dim: int = 4, optimizer: Any = None) -> SegmentConfig:
    return CombineAsSegment(dim, ZerosInitializer(), optimizer or SgdOptimizer(), Fp32Compressor())


def table(*segments: SegmentConfig, **fields: Any) -> EmbeddingHashTableConfig:
    return EmbeddingHashTableConfig(EntryConfig(list(segments or [segment()])), **fields)


# ---- segments


def test_a_segment_is_objects_or_dicts() -> None:
    made = CombineAsSegment(
        16, {"random_uniform": {"maxval": 0.5}}, {"adagrad": {}}, {"fixed_r8": {"r": 2.0, "dim_size": 9}}
    )
    assert made == CombineAsSegment(
        16, entry.RandomUniformInitializer(maxval=0.5), AdagradOptimizer(), entry.FixedR8Compressor(2.0)
    )
    for same in (SegmentConfig.from_dict(json.loads(json.dumps(made.as_dict()))), copy.deepcopy(made),
                 pickle.loads(pickle.dumps(made)), eval(repr(made), vars(entry).copy())):  # fmt: skip
        assert same == made and hash(same) == hash(made)


def test_a_segment_says_what_a_table_needs() -> None:
    found = CombineAsSegment(
        10, ZerosInitializer(), AdagradOptimizer(0.5, 0.25, 4, weight_decay_factor=0.125), Fp16Compressor()
    ).arguments()
    assert found == {
        "dim": 10, "rule": "monolith_rowwise_adagrad", "attrs": {"wd": 0.125}, "initial": {"history": 0.25},
        "clock": "row", "learning_rate": 0.5, "blocks": [(2, 4), (1, 2)], "rounds_to_float16": False,
        "delay_compensation": 0.0, "initializer": ZerosInitializer(), "compressor": Fp16Compressor(),
    }  # fmt: skip


@pytest.mark.parametrize("dim, times", [(16, 1), (16, 4), (10, 4), (3, 4), (5, 5), (1, 7)])
def test_pieces_are_segments_of_tables(dim: int, times: int) -> None:
    """What they keep is what the optimizer says: ceil(dim / times) numbers of state."""
    from symopt.embedding.parts import Part
    from symopt.embedding.segment import Segment

    config = segment(dim, AdagradOptimizer(hessian_compression_times=times))
    made = [Segment(**piece) for piece in config.pieces()]
    assert sum(piece.dim for piece in made) == dim
    assert sum(Part(piece, 0, 0).state_bytes for piece in made) == 4 * -(-dim // times)


@pytest.mark.parametrize(
    "name", [n for n in entry.__all__ if n.endswith("Optimizer") and n not in ("Optimizer", "DcOptimizer")]
)
def test_every_optimizer_updates_a_table(name: str) -> None:
    """With the states that it says it has, and not for nothing."""
    from symopt.embedding.parts import Part
    from symopt.embedding.segment import Segment
    from symopt.embedding.table import Table

    optimizer = getattr(entry, name)()
    dim = 1 if name.startswith("BatchSoftmax") else 6
    pieces = [Segment(**piece) for piece in segment(dim, optimizer).pieces()]
    assert sum(Part(piece, 0, 0).state_bytes for piece in pieces) == 4 * optimizer.state_floats(dim)
    made = Table(pieces, engine="reference")
    for step in (3, 4):
        made.apply_gradients([5, -1], np.full((2, dim), 0.5, "float32"), global_step=step)
    assert (made.lookup([5, -1]) != 0).all() and not made.lookup([6]).any()


def test_what_is_done_around_a_rule_is_said() -> None:
    inner = entry.StochasticRoundingFloat16OptimizerWrapper(entry.BatchSoftmaxOptimizer(0.5))
    found = segment(1, entry.DcOptimizer(inner, 0.25)).arguments()
    assert (found["rounds_to_float16"], found["delay_compensation"], found["clock"]) == (True, 0.25, "table")
    assert found["rule"] == "monolith_batch_softmax" and found["learning_rate"] == 0.5
    (piece,) = segment(1, entry.DcOptimizer(inner, 0.25)).pieces()
    assert piece["rounds_to_float16"] is True and piece["delay_compensation"] == 0.25


# ---- tables


def test_a_table_configuration_through_dicts() -> None:
    config = table(segment(), segment(8, AdagradOptimizer(0.1)), skip_zero_embedding=True)
    config.entry_config.entry_type = EntryConfig.SERVING
    config.slot_expire_time_config = SlotExpireTimeConfig(10, {3: 5, 1: 0})
    entry.CuckooHashTableConfig(8, 24).mutate_table(config)
    config.check()
    told = json.loads(json.dumps(config.as_dict()))
    assert (
        told["cuckoo"] == {}
        and told["enable_feature_eviction"]
        and told["entry_config"]["entry_type"] == "SERVING"
    )
    assert told["slot_expire_time_config"]["slot_expire_times"][0] == {"slot": 1, "expire_time": 0}
    assert EmbeddingHashTableConfig.from_dict(told) == config == copy.deepcopy(config)
    assert EmbeddingHashTableConfig.from_dict({"initial_capacity": "7"}).initial_capacity == 7


def test_eviction_is_asked_for_by_hours() -> None:
    config = table()
    entry.CuckooHashTableConfig().mutate_table(config)
    assert (config.initial_capacity, config.type, config.enable_feature_eviction) == (1, "cuckoo", False)
    assert config.feature_evict_every_n_hours == 240


def serving(**fields: Any) -> EmbeddingHashTableConfig:
    return EmbeddingHashTableConfig(EntryConfig([segment()], EntryConfig.SERVING), **fields)


WRONG: list[tuple[type[Exception], str, Any]] = [
    (AttributeValueError, "1 or above|in \\[1", lambda: segment(0)),
    (AttributeValueError, "whole number", lambda: segment(4.5)),  # type: ignore[arg-type]
    (AttributeValueError, "needs dim_size = 1", lambda: segment(2, entry.BatchSoftmaxOptimizer())),
    (AttributeValueError, "needs dim_size = 1", lambda: segment(
        2, entry.StochasticRoundingFloat16OptimizerWrapper(entry.BatchSoftmaxOptimizer()))),
    (AttributeValueError, "opt_config must be", lambda: CombineAsSegment(
        4, ZerosInitializer(), Fp16Compressor(), Fp32Compressor())),  # type: ignore[arg-type]
    (FormatError, "expected a dict with", lambda: SegmentConfig.from_dict({"dim_size": 4})),
    (UnknownArgumentError, "did you mean", lambda: SegmentConfig.from_dict({**segment().as_dict(), "dim_sizes": 4})),
    (AttributeValueError, "there is no segment", lambda: EmbeddingHashTableConfig().check()),
    (AttributeValueError, r"segments\[0\]", lambda: table(SgdOptimizer()).check()),  # type: ignore[arg-type]
    (AttributeValueError, "tables that only serve", lambda: table(skip_zero_embedding=True).check()),
    (AttributeValueError, "entry_type = 'TESTING'", lambda: EntryConfig([segment()], "TESTING").check()),
    (AttributeValueError, "'PACKED', 'RAW'", lambda: table(entry_type="SERVING").check()),
    (AttributeValueError, "type = 'robin_hood'", lambda: table(type="robin_hood").check()),
    (AttributeValueError, "initial_capacity", lambda: table(initial_capacity=0).check()),
    (AttributeValueError, "feature_evict", lambda: table(feature_evict_every_n_hours=0).check()),
    (AttributeValueError, "True or False", lambda: serving(skip_zero_embedding=1).check()),
    (AttributeValueError, "initial_capacity", lambda: entry.CuckooHashTableConfig(0)),
    (AttributeValueError, "2 given, and the table has 1", lambda: HashTableConfigInstance(table(), [0.1, 0.2])),
    (AttributeValueError, "0 given, and the table has 1", lambda: HashTableConfigInstance(table(), [])),
    (AttributeValueError, "one argument, the global step", lambda: HashTableConfigInstance(
        table(), [lambda: 0.1])),  # type: ignore[list-item, misc]
    (AttributeValueError, "got None", lambda: HashTableConfigInstance(table(), [None])),  # type: ignore[list-item]
    (AttributeValueError, "0 or above", lambda: HashTableConfigInstance(table(), [-0.1])),
    (AttributeValueError, "decay_steps = 0 must be above 0", lambda: PolynomialDecay(1.0, 0)),
    (AttributeValueError, "a step must be", lambda: PolynomialDecay(1.0, 5)(-1)),
    (AttributeValueError, "slot", lambda: SlotExpireTimeConfig(5, {1 << 15: 5}).check()),
    (AttributeValueError, "expire_time", lambda: SlotExpireTimeConfig(-1).check()),
    (AttributeValueError, "16 is above 15", lambda: SlotOccurrenceThresholdConfig(3, {5: 16}).check(limit=15)),
    (FormatError, "there twice", lambda: SlotExpireTimeConfig.from_dict(
        {"slot_expire_times": [{"slot": 1, "expire_time": 2}] * 2})),
    (FormatError, "expected dicts of slot", lambda: SlotExpireTimeConfig.from_dict({"slot_expire_times": [3]})),
    (RuleError, "mutate_table", lambda: entry.HashTableConfig().mutate_table(table())),
    (MissingArgumentError, "a name or a slot_id", lambda: FeatureSlotConfig()),
    (AttributeValueError, "slot_id", lambda: FeatureSlotConfig(slot_id=1 << 15)),
    (AttributeValueError, "occurrence_threshold", lambda: FeatureSlotConfig(slot_id=1, occurrence_threshold=-1)),
    (MissingArgumentError, "has no slice", lambda: FeatureSlot(FeatureSlotConfig(slot_id=1)).config_instance()),
    (MissingArgumentError, "has no bias", lambda: FeatureSlot(FeatureSlotConfig(slot_id=1)).get_bias_slice()),
    (MissingArgumentError, "has no number", lambda: FeatureSlot(FeatureSlotConfig("user")).ids([1])),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[1])
def test_what_contradicts_itself_is_refused(case: tuple[type[Exception], str, Any]) -> None:
    with pytest.raises(case[0], match=case[1]):
        case[2]()


def test_thresholds_within_the_counters_pass() -> None:
    made = SlotOccurrenceThresholdConfig(15, {2: 0})
    made.check(limit=15)
    SlotOccurrenceThresholdConfig(16).check()
    assert SlotOccurrenceThresholdConfig.from_dict(json.loads(json.dumps(made.as_dict()))) == made


# ---- instances


def test_instances_with_equal_texts_may_share_a_table() -> None:
    rate = PolynomialDecay(1.0, 10, 0.0)
    one = HashTableConfigInstance(table(segment(), segment(8)), [0.5, rate], ["old"])
    assert str(one) == str(
        HashTableConfigInstance(table(segment(), segment(8)), [0.5, PolynomialDecay(1.0, 10, 0.0)])
    )
    others = [
        HashTableConfigInstance(table(segment(), segment(9)), [0.5, rate]),
        HashTableConfigInstance(table(segment(), segment(8)), [0.5, 0.5]),
        HashTableConfigInstance(table(segment(), segment(8), initial_capacity=2), [0.5, rate]),
    ]
    assert len({str(x) for x in [one, *others]}) == 4
    assert one.extra_restore_names == ["old"] and one.learning_rate_fns == [0.5, rate]
    rates = one.call_learning_rate_fns(5)
    assert rates.dtype == np.float32 and rates.tolist() == [0.5, 0.5] and one.learning_rate_tensor is None
    one.set_learning_rate_tensor(rates)
    assert one.learning_rate_tensor is rates
    with pytest.raises(AttributeValueError, match=r"expected shape \(2,\)"):
        one.set_learning_rate_tensor(rates[:1])
    assert [x["learning_rate"] for x in one.segment_arguments()] == [0.5, rate]
    assert [x["dim"] for x in one.pieces()] == [4, 8]


def test_an_instance_through_a_dict() -> None:
    rate = PolynomialDecay(1.0, 10, 0.0, cycle=True)
    made = HashTableConfigInstance(table(segment(), segment(8)), [0.5, rate], ["old"])
    same = HashTableConfigInstance.from_dict(json.loads(json.dumps(made.as_dict())))
    assert str(same) == str(made) and same.extra_restore_names == ["old"] and repr(same) == repr(made)
    with pytest.raises(FormatError, match="cannot be written down"):
        HashTableConfigInstance(table(), [lambda step: 0.5]).as_dict()
    with pytest.raises(FormatError, match="expected a number or"):
        HashTableConfigInstance.from_dict({**made.as_dict(), "learning_rate_fns": [0.5, {"Cosine": {}}]})
    with pytest.raises(UnknownArgumentError, match="did you mean decay_steps"):
        PolynomialDecay.from_dict({"PolynomialDecay": {"initial_learning_rate": 1, "decay_step": 2}})


def test_an_instance_sees_what_became_of_its_configuration() -> None:
    config = table()
    instance = HashTableConfigInstance(config, [0.5])
    config.entry_config.segments.append(segment())
    with pytest.raises(AttributeValueError, match="1 given, and the table has 2"):
        instance.segment_arguments()
