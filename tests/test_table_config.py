"""From the configurations of `entry` to tables: rules, rates, expiry, thresholds, sketches, rounding; refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_golden_monolith import RULES, TOLERANCE, learning_rate
from test_golden_monolith import VECTORS as RULE_VECTORS

import symopt as so
from symopt.embedding import Segment, Table, entry

ENGINES = ("native", "reference")
engines = pytest.mark.parametrize("engine", ENGINES)
BY_ROW = [case for case in RULES if "dc_lambda" not in case and not case["optimizer"].startswith("dense")]


def segment(dim: int, optimizer: Any, initializer: Any = None, compressor: Any = None) -> entry.SegmentConfig:
    return entry.CombineAsSegment(
        dim, initializer or entry.ZerosInitializer(), optimizer, compressor or entry.Fp32Compressor()
    )


def config(*segments: entry.SegmentConfig, **more: Any) -> entry.EmbeddingHashTableConfig:
    return entry.EmbeddingHashTableConfig(entry.EntryConfig(list(segments)), **more)


def instance(*segments: entry.SegmentConfig, rates: list[Any], **more: Any) -> entry.HashTableConfigInstance:
    return entry.HashTableConfigInstance(config(*segments, **more), rates)


@engines
@pytest.mark.parametrize("case", BY_ROW, ids=lambda case: case["case"])
def test_every_optimizer_makes_a_table(case: dict[str, Any], engine: str) -> None:
    """Monolith's vectors, by way of a dict of its proto file."""
    name, optimizer = case["case"], entry.Optimizer.from_dict({case["optimizer"]: case["config"]})
    if not case["canonical"]:
        optimizer = replace(optimizer, published=True)
    made = Table.from_config(config(segment(case["dim"], optimizer)), engine=engine)
    ids = np.arange(case["rows"])
    made.assign(ids, RULE_VECTORS[f"{name}/in.weight"])
    for k in range(case["steps"]):
        has_rate = case["optimizer"] != "moving_average" and (
            case["canonical"] or case["optimizer"] != "rmsprop"
        )
        rate: dict[str, Any] = {"learning_rate": learning_rate(case, k)} if has_rate else {}
        made.apply_gradients(ids, RULE_VECTORS[f"{name}/in.grad.{k}"], case["global_step"][k], **rate)
        found, wanted = made.lookup(ids), RULE_VECTORS[f"{name}/out.weight.{k}"]
        np.testing.assert_allclose(found, wanted, **TOLERANCE["float32"], err_msg=f"step {k}")


def test_rates_of_an_instance_are_its_segments() -> None:
    rates = [0.5, entry.PolynomialDecay(1.0, 10, 0.0)]
    made = Table.from_config(
        instance(segment(1, entry.SgdOptimizer()), segment(2, entry.SgdOptimizer()), rates=rates)
    )
    for step in range(3):
        made.apply_gradients([7], [[1.0, 1.0, 1.0]], step)
    np.testing.assert_allclose(made.lookup([7]), [[-1.5, -2.7, -2.7]], rtol=1e-6)


def test_warmup_steps_are_a_schedule() -> None:
    """D5: learning_rate * step / warmup_steps, then learning_rate."""
    made = Table.from_config(config(segment(1, entry.FtrlOptimizer(0.8, warmup_steps=4))))
    plain = Table(
        Segment(
            1,
            "monolith_ftrl",
            learning_rate=lambda step: 0.8 * min(step, 4) / 4,
            initial={"n": 0.1},
            initializer=0.0,
        )
    )
    for step in range(1, 7):
        for each in (made, plain):
            each.apply_gradients([1], [[0.3]], step)
        np.testing.assert_allclose(made.lookup([1]), plain.lookup([1]), rtol=1e-6)


def test_initial_values_compressors_and_capacity() -> None:
    made = Table.from_config(
        config(
            segment(
                2, entry.AdagradOptimizer(), entry.ConstantsInitializer(0.4), entry.FixedR8Compressor(1.0)
            ),
            segment(1, entry.AdamOptimizer(), entry.RandomUniformInitializer(1.0, 2.0)),
            initial_capacity=1000,
        )
    )
    found = made.lookup([3], missing="initialize")[0]
    assert found[:2].tolist() == [51 / 128] * 2 and 1.0 <= found[2] < 2.0
    states = made.lookup_entry([3]).states
    assert states["0/history"].tolist() == [[np.float32(0.1)] * 2]
    np.testing.assert_allclose(
        [states["1/beta1_power"], states["1/beta2_power"]], [[[0.9]], [[0.99]]], rtol=1e-6
    )
    assert made.memory_bytes() >= 1000 * made.row_bytes


def test_expiry_and_thresholds_are_by_slot() -> None:
    one, two = 5, (2 << 48) + 5
    expiry = entry.SlotExpireTimeConfig(default_expire_time=3, slot_expire_times={2: 1})
    occurrence = entry.SlotOccurrenceThresholdConfig(slot_occurrence_thresholds={2: 1})
    made = Table.from_config(
        config(segment(1, entry.SgdOptimizer()), slot_expire_time_config=expiry), occurrence=occurrence
    )
    assert made.apply_gradients([one, two], [[1.0], [1.0]], req_time=0).blocked == 1
    made.apply_gradients([two], [[1.0]], req_time=0)
    assert made.expire(86400).tolist() == [two] and list(made) == [one]


def test_segments_of_entry_are_segments_of_tables() -> None:
    made = Table([segment(2, entry.SgdOptimizer(1.0)), Segment(1, "sgd", learning_rate=2.0)])
    made.apply_gradients([1], [[1.0, 1.0, 1.0]])
    assert made.lookup([1]).tolist() == [[-1.0, -1.0, -2.0]]
    assert len(Table(segment(10, entry.AdagradOptimizer(hessian_compression_times=4))).segments) == 2


# ---- the sketch


@engines
@pytest.mark.parametrize("times", [1, 2, 3, 4, 10, 16])
def test_shared_accumulators(times: int, engine: str) -> None:
    """Each block of `times` columns has one accumulator, of the means of its squares; the last may be shorter."""
    dim, rng = 10, np.random.default_rng(times)
    optimizer = entry.AdagradOptimizer(0.1, 0.2, hessian_compression_times=times, weight_decay_factor=0.01)
    made = Table.from_config(config(segment(dim, optimizer)), engine=engine)
    ids, weight = np.array([4, -9]), rng.normal(size=(2, dim))
    made.assign(ids, weight)
    blocks = np.arange(dim) // times
    history = np.full((2, blocks[-1] + 1), 0.2)
    for _ in range(3):
        grad = rng.normal(size=(2, dim))
        made.apply_gradients(ids, grad)
        decayed = grad + 0.01 * weight
        for b in range(blocks[-1] + 1):
            history[:, b] += (decayed[:, blocks == b] ** 2).mean(1)
        weight = weight - 0.1 * decayed / np.sqrt(history[:, blocks])
    np.testing.assert_allclose(made.lookup(ids), weight, rtol=1e-5, atol=1e-6)
    found = np.concatenate(list(made.lookup_entry(ids).states.values()), axis=1)
    np.testing.assert_allclose(found, history, rtol=1e-5)
    assert found.shape[1] == optimizer.state_floats(dim) == -(-dim // times)


def test_the_sketch_saves_memory() -> None:
    """A row of 64 columns: 16 bytes of header, 256 of weights, and 256, 32 or 4 (16 by alignment) of states."""
    found = {}
    for times in (1, 8, 64):
        optimizer = entry.AdagradOptimizer(hessian_compression_times=times)
        made = Table.from_config(config(segment(64, optimizer)), reserve=1000)
        found[times] = made.row_bytes, made.memory_bytes()
    assert [row for row, _ in found.values()] == [528, 304, 288]
    assert found[1][1] - found[64][1] == 1000 * (528 - 288)


# ---- rounding


def rounding(dim: int = 8, engine: str = "auto", seed: int = 0) -> Table:
    inner = entry.SgdOptimizer(1.0)
    parts = [segment(dim, entry.StochasticRoundingFloat16OptimizerWrapper(inner)), segment(2, inner)]
    return Table.from_config(config(*parts), engine=engine, seed=seed)


STEP = np.float32(1 / 3)  # between two values of float16
BELOW, ABOVE = (float(x) for x in (np.float16(0.33325), np.float16(0.3335)))


def one_step(made: Table, ids: Any) -> Any:
    made.apply_gradients(ids, np.full((len(ids), made.dim), -STEP))
    return made.lookup(ids)


@engines
def test_weights_become_values_of_float16(engine: str) -> None:
    found = one_step(rounding(engine=engine), np.arange(500))
    own, other = found[:, :8], found[:, 8:]
    assert set(np.unique(own)) == {np.float32(BELOW), np.float32(ABOVE)}
    assert (other == STEP).all(), "rounding is of the segment's own columns (D11)"
    share = (own == np.float32(ABOVE)).mean()
    wanted = (STEP - BELOW) / (ABOVE - BELOW)
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / own.size), "on average they stay"


def test_rounding_depends_on_seed_id_and_update_only() -> None:
    ids = np.arange(300)
    whole = one_step(rounding(), ids)
    parts = rounding()
    shuffled = np.random.default_rng(1).permutation(ids)
    for some in np.array_split(shuffled, 7):
        one_step(parts, some)
    assert (
        whole.tobytes()
        == parts.lookup(ids).tobytes()
        == one_step(rounding(engine="reference"), ids).tobytes()
    )
    other = one_step(rounding(seed=1), ids)
    again = rounding()
    one_step(again, ids)
    again.assign(ids, np.zeros((300, 10)))
    second = one_step(again, ids)
    for a, b in ((whole, other), (whole, second)):  # another seed, another update
        assert 0.3 < (a[:, :8] == b[:, :8]).mean() < 0.8
    assert 0.3 < (whole[1:, :8] == whole[:-1, :8]).mean() < 0.8  # another id


def test_rounding_goes_around_any_rule() -> None:
    optimizer = entry.StochasticRoundingFloat16OptimizerWrapper(entry.AdamOptimizer(0.1))
    made, plain = (Table.from_config(config(segment(4, o))) for o in (optimizer, optimizer.optimizer))
    rng = np.random.default_rng(2)
    for _ in range(5):
        grads = rng.normal(size=(20, 4))
        for each in (made, plain):
            each.apply_gradients(np.arange(20), grads)
    found = made.lookup(np.arange(20))
    assert (found.astype(np.float16) == found).all()
    np.testing.assert_allclose(found, plain.lookup(np.arange(20)), atol=5 * 2.0**-10)


# ---- what is refused


def serving() -> entry.EmbeddingHashTableConfig:
    made = config(segment(1, entry.SgdOptimizer()))
    made.entry_config.entry_type = entry.EntryConfig.SERVING
    return made


REFUSED: dict[str, tuple[Any, ...]] = {
    "a table that only serves": (lambda: Table.from_config(serving()), so.errors.RuleError, "load_serving"),
    "delay compensation": (
        lambda: Table.from_config(config(segment(1, entry.DcOptimizer(entry.SgdOptimizer(), 0.1)))),
        so.errors.RuleError, "monolith_delay_compensation",
    ),
    "a configuration as segments": (
        lambda: Table(config(segment(1, entry.SgdOptimizer()))),  # type: ignore[arg-type]
        so.errors.AttributeValueError, "Table.from_config",
    ),
    "segments as a configuration": (
        lambda: Table.from_config(segment(1, entry.SgdOptimizer())),  # type: ignore[arg-type]
        so.errors.AttributeValueError, "expected a HashTableConfigInstance",
    ),
    "no segments": (lambda: Table([]), so.errors.AttributeValueError, "got none"),
    "a configuration that contradicts itself": (
        lambda: Table.from_config(config(segment(1, entry.SgdOptimizer()), skip_zero_embedding=True)),
        so.errors.AttributeValueError, "skip_zero_embedding",
    ),
    "a threshold below 0": (
        lambda: Table.from_config(
            config(segment(1, entry.SgdOptimizer())), occurrence=entry.SlotOccurrenceThresholdConfig(-1)
        ),
        so.errors.AttributeValueError, "occurrence_threshold",
    ),
    "rounding that is no flag": (
        lambda: Segment(1, "sgd", learning_rate=1.0, rounds_to_float16=2),  # type: ignore[arg-type]
        so.errors.AttributeValueError, "True or False",
    ),
    "no blocks": (
        lambda: Segment(1, "sgd", learning_rate=1.0, n_blocks=0), so.errors.AttributeValueError, "0 blocks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, error, said = REFUSED[case]
    with pytest.raises(error, match=said):
        make()


def test_compensation_of_0_is_none() -> None:
    made = Table.from_config(config(segment(1, entry.DcOptimizer(entry.SgdOptimizer(1.0), 0.0))))
    made.apply_gradients([1], [[1.0]])
    assert made.lookup([1]).tolist() == [[-1.0]]
