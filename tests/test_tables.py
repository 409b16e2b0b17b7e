"""Several tables at once: the same as one by one, whole or not at all; Monolith's layout in one vector; shards."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_golden import FACTS

import symopt as so
from symopt.embedding import (
    Admission,
    Policy,
    RandomUniform,
    Segment,
    Table,
    Tables,
    split_by_shard,
    sum_by,
    unique,
)  # fmt: skip
from symopt.embedding.entry import PolynomialDecay

ENGINES = ("native", "reference")


def facts(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "fact", [f for f in FACTS.values() if f["kind"] in kinds], ids=lambda f: f["name"]
    )


def adagrad(dim: int = 3, **more: Any) -> Table:
    segment = Segment(dim, "adagrad", learning_rate=0.1, initializer=RandomUniform(-0.5, 0.5))
    return Table(segment, **more)


def random_batch(rng: np.random.Generator, n: int, dim: int) -> tuple[Any, Any]:
    return rng.integers(-20, 20, n), rng.normal(size=(n, dim)).astype(np.float32)


def everything(table: Table) -> list[Any]:
    """All that a table holds, for comparison by bytes."""
    ids = np.sort(table.ids())
    found = table.lookup_entry(ids)
    arrays = [ids, found.weights, found.timestamps, found.updates, *found.states.values()]
    return [table.steps, *(x.tobytes() for x in arrays)]


# ---- in one vector, as Monolith


def made(fact: dict[str, Any], engine: str) -> Tables:
    """Tables of a fact; names ascend as its tables do."""
    tables = {}
    for k, (dim, rows) in enumerate(zip(fact["dims"], fact["tables"], strict=True)):
        tables[f"table{k}"] = table = Table(Segment(dim, "monolith_sgd", learning_rate=1.0), engine=engine)
        if rows:
            table.assign([int(i) for i in rows], np.array(list(rows.values()), np.float32))
    return Tables(tables)


@pytest.mark.parametrize("engine", ENGINES)
@facts("fused", "fused_opt")
def test_facts_of_fused_tables(fact: dict[str, Any], engine: str) -> None:
    tables, given = made(fact, engine), (fact["ids"], fact["sizes"])
    if "grads" in fact:
        rates = dict(zip(tables.names, fact["lr"], strict=True))
        tables.fused_apply_gradients(*given, fact["grads"], fact["shards"], learning_rate=rates)
    found = tables.fused_lookup(*given, fact["shards"])
    np.testing.assert_allclose(found.embeddings, fact["embeddings"], atol=1e-6)
    assert found.recv_splits.tolist() == fact["recv"]
    if "id_offsets" in fact:
        assert found.id_offsets.tolist() == fact["id_offsets"]
        assert found.emb_offsets.tolist() == fact["emb_offsets"]


@facts("unique")
def test_facts_of_unique_ids(fact: dict[str, Any]) -> None:
    assert [unique(keys).ids.tolist() for keys in fact["keys"]] == fact["expect"]


@facts("split")
def test_facts_of_shards(fact: dict[str, Any]) -> None:
    split = split_by_shard(fact["ids"], fact["n"])
    assert [split.ids[split.shard(k)].tolist() for k in range(fact["n"])] == fact["expect"]


@facts("reorder")
def test_facts_of_shards_of_unique_ids(fact: dict[str, Any]) -> None:
    split = split_by_shard(unique(fact["ids"]).ids, fact["n"])
    assert split.sizes.tolist() == fact["sizes"]
    wanted = np.split(np.array(fact["expect"]), np.cumsum(fact["sizes"])[:-1])
    assert [set(split.ids[split.shard(k)].tolist()) for k in range(fact["n"])] == [
        set(w.tolist()) for w in wanted
    ]


@facts("dedup_sum")
def test_facts_of_summed_gradients(fact: dict[str, Any]) -> None:
    at, found = 0, []
    for group in fact["groups"]:
        n, once = len(group["ids"]) * group["dim"], unique(group["ids"])
        grads = np.array(fact["grad"][at : at + n], np.float32).reshape(-1, group["dim"])
        found += sum_by(once.inverse, len(once.ids), grads).ravel().tolist()
        at += n
    assert found == fact["expect"]


@facts("gather_grad")
def test_facts_of_gradients_through_a_gather(fact: dict[str, Any]) -> None:
    assert sum_by(fact["index"], fact["rows"], np.array(fact["grad"], np.float32)).tolist() == fact["expect"]


@pytest.mark.parametrize("name", [n for n in FACTS if n.startswith("mtype.")])
def test_facts_of_tables_of_several_types(name: str) -> None:
    """One table under two names, as merged slots have it: ids are shared out over the names."""
    fact = FACTS[name]
    table = Table(Segment(fact["segments"][0][0], "monolith_sgd", learning_rate=1.0))
    tables = Tables({"a": table, "b": table})
    for op, ids, *more in fact["ops"]:
        if op == "assign_add":
            table.assign_add(ids, more[0])
        elif op == "apply_gradients":
            rate = more[1][0]
            if isinstance(rate, dict):
                first, steps, end = rate["polynomial"]
                rate = PolynomialDecay(first, steps, end)(rate["at"])
            pairs = {n: (ids[k::2], np.array(more[0][k::2]).reshape(-1, 2)) for k, n in enumerate("ab")}
            tables.apply_gradients(pairs, more[2], more[3], learning_rate={"a": rate})
        else:
            assert op == "lookup"
            np.testing.assert_allclose(tables.lookup({"b": ids})["b"], more[0], atol=fact["atol"])


# ---- by name


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_as_one_by_one(engine: str) -> None:
    rng = np.random.default_rng(1)
    alone = {
        "a": adagrad(engine=engine),
        "b": adagrad(2, engine=engine, duplicates="sequential"),
        "c": adagrad(1),
    }
    tables = Tables(
        {
            "a": adagrad(engine=engine),
            "b": adagrad(2, engine=engine, duplicates="sequential"),
            "c": adagrad(1),
        }
    )
    for step in range(6):
        batch = {name: random_batch(rng, 17, alone[name].dim) for name in "cab"[step % 3 :]}
        applied = tables.apply_gradients(batch, step, 100 + step)
        for name, (ids, grads) in batch.items():
            own = alone[name].apply_gradients(ids, grads, step, 100 + step)
            assert own[:3] == applied[name][:3]
            np.testing.assert_array_equal(tables.lookup({name: ids})[name], alone[name].lookup(ids))
    assert all(everything(alone[n]) == everything(tables[n]) for n in "abc")
    assert len(tables) == sum(map(len, alone.values())) and tables.memory_bytes() > 0
    assert tables.stats["a"] == alone["a"].stats


def test_gradients_of_two_names_are_summed_once() -> None:
    one, two = adagrad(), adagrad()
    tables = Tables({"clicked": one, "bought": one})
    ids, grads = random_batch(np.random.default_rng(2), 30, 3)
    tables.apply_gradients({"bought": (ids[10:], grads[10:]), "clicked": (ids[:10], grads[:10])}, req_time=1)
    order = np.r_[10:30, 0:10]  # names are taken in their order, whatever that of the dict
    two.apply_gradients(ids[order], grads[order], req_time=1)
    assert everything(one) == everything(two)
    assert one.steps == 1 and tables.members == {"bought": one}


def test_lookups_have_the_shapes_of_their_ids() -> None:
    one = adagrad()
    one.apply_gradients([1, 2], np.ones((2, 3)))
    found = Tables({"x": one, "y": one}).lookup({"y": [[1, 9], [2, 1]], "x": 2}, with_hits=True)
    assert list(found) == ["y", "x"]
    assert found["y"][0].shape == (2, 2, 3) and found["y"][1].tolist() == [[True, False], [True, True]]
    np.testing.assert_array_equal(found["x"][0], found["y"][0][1, 0])


def full(name: str) -> Table:
    return adagrad(max_rows=4, name=name)


BAD: dict[str, tuple[Any, ...]] = {
    "a wrong width": ({"b": ([1], np.ones((1, 2)))}, {}, so.errors.ShapeError, "b: gradients"),
    "ids of a wrong type": ({"b": ([1.5], np.ones((1, 3)))}, {}, so.errors.DTypeError, "b"),
    "an unknown name": ({"bb": ([1], np.ones((1, 3)))}, {}, so.errors.UnknownArgumentError, "bb"),
    "no pair": ({"b": [1]}, {}, so.errors.AttributeValueError, "pair"),
    "a full table": ({"b": (np.arange(5), np.ones((5, 3)))}, {}, so.errors.TooLateError, "max_rows=4"),
    "a bad step": ({"b": ([1], np.ones((1, 3)))}, {"global_step": -1}, so.errors.AttributeValueError, "global_step"),
    "a bad time": ({"b": ([1], np.ones((1, 3)))}, {"req_time": -1}, so.errors.AttributeValueError, "seconds"),
    "a bad mode": ({"b": ([1], np.ones((1, 3)))}, {"duplicates": "max"}, so.errors.AttributeValueError, "duplicates"),
    "rates of no table": ({}, {"learning_rate": {"c": 1}}, so.errors.UnknownArgumentError, "'c'"),
    "too many rates": ({}, {"learning_rate": {"a": [1, 2]}}, so.errors.AttributeValueError, "1 segments"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_all_or_nothing(case: str) -> None:
    """Whatever is wrong with the second table, the first has no row of the step."""
    more, options, error, said = BAD[case]
    tables = Tables({"a": adagrad(name="a"), "b": full("b")})
    tables.apply_gradients({"a": ([1], np.ones((1, 3)))}, req_time=5)
    before = [everything(tables[name]) for name in "ab"]
    with pytest.raises(error, match=said):
        tables.apply_gradients({"a": ([1, 2], np.ones((2, 3)))} | more, **options)
    assert [everything(tables[name]) for name in "ab"] == before


def test_nothing_if_weights_of_a_new_row_cannot_be_made() -> None:
    def refuse(ids: Any, dim: int) -> Any:
        raise RuntimeError("no weights")

    second = Table(Segment(3, "sgd", learning_rate=1.0, initializer=refuse), name="b")
    tables = Tables({"a": adagrad(), "b": second})
    one = ([1], np.ones((1, 3)))
    with pytest.raises(RuntimeError, match="no weights"):
        tables.apply_gradients({"a": one, "b": one})
    assert len(tables) == 0


def test_names_of_one_table_have_one_learning_rate() -> None:
    one = adagrad()
    tables = Tables({"x": one, "y": one})
    batch = {"x": ([1], np.ones((1, 3)))}
    with pytest.raises(so.errors.AttributeValueError, match="'x' and 'y' are one table"):
        tables.apply_gradients(batch, learning_rate={"x": 1.0, "y": 2.0})
    tables.apply_gradients(batch, learning_rate={"x": 1.0, "y": 1.0})


def test_filters_and_policies_hold_in_each_table() -> None:
    tables = Tables(
        {"a": adagrad(admission=Admission(1)), "b": adagrad(max_rows=2, policy=Policy("least_recent"))}
    )
    batch = {"a": ([1, 2], np.ones((2, 3))), "b": ([1, 2], np.ones((2, 3)))}
    first = tables.apply_gradients(batch, req_time=1)
    assert (first["a"].blocked, first["b"].born) == (2, 2)
    second = tables.apply_gradients({"a": ([1], np.ones((1, 3))), "b": ([3], np.ones((1, 3)))}, req_time=2)
    assert second["a"].born == 1 and len(second["b"].evicted) == 1 and len(tables["b"]) == 2


def test_tables_are_tables() -> None:
    with pytest.raises(so.errors.AttributeValueError, match="Tables by their names"):
        Tables({})
    with pytest.raises(so.errors.UnknownArgumentError, match="did you mean user"):
        Tables({"user": adagrad()})["usr"]


def test_threads_do_not_wait_for_each_other_for_ever() -> None:
    """The same tables under names that sort the other way round; every gradient counts once."""
    one, two = (Table(Segment(1, "sgd", learning_rate=-1.0)) for _ in range(2))
    both = Tables({"a": one, "b": two}), Tables({"a": two, "b": one})

    def work(k: int) -> None:
        for _ in range(50):
            both[k % 2].apply_gradients({n: ([k, 99], np.ones((2, 1))) for n in "ab"})
            both[k % 2].lookup({n: [99] for n in "ab"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4), timeout=120))
    for table in (one, two):
        assert table.lookup([0, 1, 2, 3, 99]).ravel().tolist() == [50.0] * 4 + [200.0]
        assert table.steps == 200


def test_state_of_several_tables(tmp_path: Path) -> None:
    """One table under two names is saved once; a state of other tables changes nothing."""

    def made() -> Tables:
        one = adagrad()
        return Tables({"a": one, "b": one, "c": adagrad(2)})

    tables, again = made(), made()
    tables.apply_gradients({"a": ([1, 2], np.ones((2, 3))), "c": ([3], np.ones((1, 2)))}, req_time=4)
    assert list(tables.state_dict()) == ["a", "c"]
    so.save(tmp_path / "tables.npz", {"tables": tables})
    so.load(tmp_path / "tables.npz", {"tables": again})
    assert all(everything(again[n]) == everything(tables[n]) for n in "abc")
    other = Tables({"a": adagrad(), "c": adagrad(5)})
    with pytest.raises(so.errors.StateError, match="c/"):
        other.load_state_dict(tables.state_dict())
    assert len(other) == 0
