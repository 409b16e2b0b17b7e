"""Tables of feature slots and of configurations by name: which share a table, and what their ids are."""

import numpy as np

from symopt.embedding import Tables, entry


def sgd(rate: float | None = None) -> entry.HashTableConfigInstance | entry.EmbeddingHashTableConfig:
    """The configuration of a table of two columns; with a learning rate, an instance of it."""
    parts = entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor()
    made = entry.EmbeddingHashTableConfig(entry.EntryConfig([entry.CombineAsSegment(2, *parts)]))
    return made if rate is None else entry.HashTableConfigInstance(made, [rate])


def factory() -> entry.FeatureFactory:
    made = entry.FeatureFactory()
    for slot, dim, threshold in ((1, 4, 0), (2, 4, 0), (3, 6, 1)):
        own = entry.FeatureSlotConfig(slot_id=slot, has_bias=True, occurrence_threshold=threshold)
        made.create_feature_slot(own).add_feature_slice(dim)
    return made


def test_tables_of_slots() -> None:
    """Slots with equal configurations share a table; slices are columns; thresholds belong to slots."""
    slots = factory()
    tables = Tables.from_config(slots, engine="reference", seed=3)
    assert tables.names == ("1", "2", "3") and tables["1"] is tables["2"] and tables["1"].name == "1+2"
    ids = {name: slots.slots[name].ids([10, 11]) for name in tables.names}
    grads = {name: np.ones((2, tables[name].dim)) for name in tables.names}
    applied = tables.apply_gradients({name: (ids[name], grads[name]) for name in ids})
    assert (applied["1"].born, applied["3"].blocked, len(tables)) == (4, 2, 4)
    rows = tables.lookup(ids)["1"]
    bias = slots.slots["1"].get_bias_slice()
    assert rows[:, bias.columns].shape == (2, 1) and tables["3"].dim == 7
    assert {t.engine for t in tables.members.values()} == {"reference"}


def test_tables_of_configurations_by_name() -> None:
    tables = Tables.from_config({"c": sgd(2.0), "b": sgd(1.0), "a": sgd(1.0), "d": sgd()})
    assert tables["a"] is tables["b"] and list(tables.members) == ["a", "c", "d"]
    tables.apply_gradients({n: ([1], [[1.0, 1.0]]) for n in "acd"})
    assert [float(tables.lookup({n: [1]})[n][0, 0]) for n in "bcd"] == [-1.0, -2.0, -1.0]
