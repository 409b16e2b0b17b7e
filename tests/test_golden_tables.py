"""Tables against Monolith: a reference's vectors and the tables of Monolith's own unit tests, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monolith_tables import Sharded, rate, segment, table
from test_golden_monolith import RULES, STATES, TOLERANCE, learning_rate
from test_golden_monolith import VECTORS as RULE_VECTORS

from symopt.embedding import FixedR8, Segment, Table

FOLDER = Path(__file__).parent / "golden"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "embedding_tables.json").read_text())["cases"]
VECTORS = np.load(FOLDER / "embedding_tables.npz")
FACTS: list[dict[str, Any]] = json.loads((FOLDER / "embedding_facts.json").read_text())["facts"]
OPERATIONS = [fact for fact in FACTS if fact["kind"] == "table"]
SEGMENTS = [fact for fact in FACTS if fact["kind"] == "segments"]
BY_ROW = [case for case in RULES if "dc_lambda" not in case and not case["optimizer"].startswith("dense")]
engines = pytest.mark.parametrize("engine", ["reference", "native"])
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def made(case: dict[str, Any], dtype: str, engine: str) -> Sharded:
    """The table or tables of a case."""

    def one() -> Table:
        segments: list[Segment] = []
        for s in case["segments"]:
            dim, first, optimizer, config = (
                (s["dim"], s["init"], s["optimizer"], s["config"]) if isinstance(s, dict) else s
            )
            segments.append(segment(dim, first, optimizer, config, dtype))
        return table(case, segments, engine)

    return Sharded(one, case.get("shards", 1))


@engines
@dtypes
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_vectors_of_tables(case: dict[str, Any], dtype: str, engine: str) -> None:
    tables = made(case, dtype, engine)
    name = case["case"]
    probe = VECTORS[f"{name}/probe"]
    for n, op in enumerate(case["ops"]):
        if op["op"] == "evict":
            continue
        k = op["step"]
        ids, values = VECTORS[f"{name}/in.ids.{k}"], VECTORS[f"{name}/in.value.{k}"]
        if op["op"] == "apply_gradients":
            more = {"global_step": op["global_step"], "learning_rate": op["lr"]}
            mode = "sum" if op["dedup"] else "sequential"
            tables.write("apply_gradients", ids, values, req_time=op["time"], duplicates=mode, **more)
        else:
            tables.write(op["op"], ids, values, req_time=op["time"])
        after = case["ops"][n + 1 : n + 2]
        if after and after[0]["op"] == "evict":  # the vectors were taken after it
            tables.evict(after[0]["time"])
        assert (tables.contains(probe) == VECTORS[f"{name}/out.present.{k}"]).all(), f"step {k}"
        np.testing.assert_allclose(
            tables.lookup(probe), VECTORS[f"{name}/out.rows.{k}"], **TOLERANCE[dtype], err_msg=f"step {k}"
        )
    if f"{name}/out.saved_ids" in VECTORS.files:
        for t in tables.tables:
            t.expire()
        assert sorted(i for t in tables.tables for i in t) == sorted(
            VECTORS[f"{name}/out.saved_ids"].tolist()
        )


def run(tables: Sharded, op: list[Any], atol: float) -> None:
    """One operation of a fact."""
    kind, *rest = op
    first = tables.tables[0]
    if kind == "lookup":
        np.testing.assert_allclose(tables.lookup(rest[0]), rest[1], rtol=0, atol=atol)
    elif kind in ("assign", "assign_add"):
        tables.write(kind, rest[0], rest[1], req_time=rest[2])
    elif kind == "assign_at":
        for id_, value, time in zip(*rest, strict=True):
            tables.write("assign", [id_], [value], req_time=time)
    elif kind == "apply_gradients":
        ids, grads, rates, step, time, dedup = rest
        mode = "sum" if dedup else "sequential"
        more = {"learning_rate": [rate(r) for r in rates], "global_step": step, "duplicates": mode}
        tables.write("apply_gradients", ids, grads, req_time=time, **more)
    elif kind == "reinitialize":
        assert first.reinitialize(rest[0]).tolist() == [x == 1 for x in rest[1]]
    elif kind == "size":
        assert sum(map(len, tables.tables)) == rest[0]
    elif kind == "evict":
        tables.evict(rest[0])
    elif kind == "save_restore":
        tables.save_and_restore()
    elif kind == "timestamp":
        assert first.lookup_entry([rest[0]]).timestamps.tolist() == [rest[1]]
    elif kind == "lookup_inverse":
        np.testing.assert_allclose(1 / np.maximum(tables.lookup(rest[0]), 1), rest[1], rtol=0, atol=rest[2])
    else:
        raise AssertionError(f"no such operation: {op}")


@engines
@pytest.mark.parametrize("fact", OPERATIONS, ids=lambda fact: fact["name"])
def test_tables_of_monoliths_tests(fact: dict[str, Any], engine: str) -> None:
    tables = made(fact, "float32", engine)
    for op in fact["ops"]:
        run(tables, op, fact["atol"])


@engines
@pytest.mark.parametrize("fact", SEGMENTS, ids=lambda fact: fact["name"])
def test_segments_have_rules_and_rates_of_their_own(fact: dict[str, Any], engine: str) -> None:
    tables = made(fact, "float32", engine)
    first = tables.tables[0]
    for step in fact["steps"]:
        if "reset_weight" in step:
            first.assign([7], [step["reset_weight"]])
        first.apply_gradients([7], [step["grad"]], learning_rate=step["lr"])
        np.testing.assert_allclose(first.lookup([7])[0], step["weight"], rtol=0, atol=max(fact["atol"], 1e-7))


def test_first_values_are_the_segments_own() -> None:
    (fact,) = (fact for fact in FACTS if fact["kind"] == "init_segments")
    own = Table(
        [
            Segment(dim, "monolith_sgd", learning_rate=0.1, initializer=value)
            for dim, value in fact["segments"]
        ]
    )
    assert own.lookup([1], missing="initialize").tolist() == [fact["expect"]]


def test_lookups_in_training_see_the_steps_of_a_code() -> None:
    (fact,) = (fact for fact in FACTS if fact["kind"] == "qat")
    own = Table(
        [
            Segment(1, "monolith_sgd", initializer=fact["weight"], compressor=FixedR8(r), learning_rate=1.0)
            for r in fact["r"]
        ]
    )
    seen = own.lookup([1], missing="initialize")[0]
    for x, (value, within) in zip(seen, fact["expect_within"], strict=True):
        assert abs(x - value) <= within
    own.apply_gradients([1], [[1.0] * len(fact["r"])])
    assert own.lookup([1])[0].tolist() == fact["after_unit_gradient"]


@engines
@dtypes
@pytest.mark.parametrize("case", BY_ROW, ids=lambda case: case["case"])
def test_every_rule_in_a_table(case: dict[str, Any], dtype: str, engine: str) -> None:
    """The vectors of Monolith's rules, whose rows are those of a table."""
    optimizer, name = case["optimizer"], case["case"]
    published = {} if case["canonical"] or optimizer == "rmsprop" else {"published": True}
    config = {k: v for k, v in case["config"].items() if k != "learning_rate"}
    own = Table(segment(case["dim"], 0.0, optimizer, config, dtype, **published), engine=engine)
    ids = np.random.default_rng(0).permutation(np.arange(-7, case["rows"] - 7)) * (1 << 40)
    own.assign(ids, RULE_VECTORS[f"{name}/in.weight"])
    for k in range(case["steps"]):
        more: dict[str, Any] = {}
        if optimizer != "moving_average":
            more = {"learning_rate": learning_rate(case, k)}
        own.apply_gradients(
            ids, RULE_VECTORS[f"{name}/in.grad.{k}"], global_step=case["global_step"][k], **more
        )
        np.testing.assert_allclose(
            own.lookup(ids), RULE_VECTORS[f"{name}/out.weight.{k}"], **TOLERANCE[dtype], err_msg=f"step {k}"
        )
    states = own.lookup_entry(ids).states
    for theirs, ours in STATES.get(optimizer, {}).items():
        # FTRL's z takes in differences of roots, divided by lr: so are their roundings.
        atol = TOLERANCE[dtype]["atol"] / (min(case["lr"]) if theirs == "zero" else 1)
        found, expected = states[f"0/{ours}"], RULE_VECTORS[f"{name}/state.{case['steps'] - 1}.{theirs}"]
        rtol = TOLERANCE[dtype]["rtol"]
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=rtol, atol=atol, err_msg=ours)
