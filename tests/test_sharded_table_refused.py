"""What sharded tables refuse: before anything is written, and saying what differs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded_tables import assert_same, cluster, kill, own_weights

from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.spec import segment_spec
from symopt.embedding import Segment, Table, entry
from symopt.errors import (
    AttributeValueError,
    ClusterError,
    MismatchError,
    StateError,
    SymoptError,
    TooLateError,
    UnknownIdError,
)

SGD = Segment(2, "sgd", learning_rate=1.0)


def main_function(ids: Any, dim: int) -> Any:
    return np.zeros((len(ids), dim))


main_function.__module__ = "__main__"
WRONG: dict[str, tuple[dict[str, Any], type[SymoptError], str]] = {
    "lambda": (
        {"segments": Segment(2, "sgd", learning_rate=1.0, initializer=lambda ids, dim: 0)},
        AttributeValueError,
        "can't import",
    ),
    "main": (
        {"segments": Segment(2, "sgd", learning_rate=1.0, initializer=main_function)},
        AttributeValueError,
        "can't import",
    ),
    "name": ({"name": "a/b"}, AttributeValueError, "name of a table"),
    "hidden name": ({"name": ".a"}, AttributeValueError, "name of a table"),
    "no name": ({"name": ""}, AttributeValueError, "name of a table"),
    "wire": ({"wire": "int8"}, AttributeValueError, "wire is one of .float16"),
    "seed": ({"seed": True}, AttributeValueError, "seed is a whole number"),
    "reserve": ({"reserve": -1}, AttributeValueError, "reserve"),
    "policy": ({"policy": "least_recent"}, AttributeValueError, "give max_rows too"),
    "missing": ({"missing": "zero"}, AttributeValueError, "missing is one of"),
    "readonly": ({"readonly": True, "missing": "initialize"}, AttributeValueError, "can't make rows"),
    "nothing to read": ({"readonly": True}, StateError, "no checkpoint"),
    "cluster": ({"cluster": "here"}, AttributeValueError, "is in a so.distributed.Cluster"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options(case: str) -> None:
    given, error, said = WRONG[case]
    made = Cluster(2)
    with pytest.raises(error, match=said):
        ShardedTable(**{"cluster": made, "segments": SGD, **given})
    assert not made.streams
    assert len(ShardedTable(made, SGD)) == 0  # the name is free


OTHERS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "rule": (
        lambda: {"segments": Segment(2, "adam", learning_rate=1.0)},
        ["segment 0: the rule is adam_update, and sgd_update there"],
    ),
    "attribute": (
        lambda: {"segments": Segment(2, "sgd", learning_rate=1.0, rescale_grad=2.0)},
        ["segment 0: rescale_grad is 2.0"],
    ),
    "dim": (lambda: {"segments": Segment(3, "sgd", learning_rate=1.0)}, ["segment 0: dim is 3, and 2 there"]),
    "segments": (lambda: {"segments": [SGD, SGD]}, ["2 segments, and 1 there"]),
    "both": (
        lambda: {"seed": 4, "duplicates": "sequential"},
        ["seed is 4, and 0 there", "'sequential', and 'sum' there"],
    ),
    "initializer": (
        lambda: {"segments": Segment(2, "sgd", learning_rate=1.0, initializer=own_weights)},
        ["initializer is"],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_table_than_the_checkpoint_has(case: str, tmp_path: Path) -> None:
    with Cluster(2, path=tmp_path) as made:
        ShardedTable(made, SGD).apply_gradients([1], [[1.0, 2.0]])
        made.checkpoint()
    given, said = OTHERS[case]
    with Cluster(3, path=tmp_path) as made:
        with pytest.raises(MismatchError) as found:
            ShardedTable(made, **{"segments": SGD, **given()})
        assert all(line in str(found.value) for line in said), found.value
        again = ShardedTable(made, Segment(2, "sgd", learning_rate=lambda done: 0.5))  # rates may be others
        assert again.lookup([1]).tolist() == [[-1.0, -2.0]]
        again.apply_gradients([1], [[1.0, 2.0]])
        assert again.lookup([1]).tolist() == [[-1.5, -3.0]]


RULE = '''
from symopt.lang import Tensor, Updated, updated
from symopt.opdef import update_op

@update_op
def {name}_update(weight: Tensor, grad: Tensor, *, lr: float, slope: float = {slope}) -> Updated:
    """Down."""
    return updated(weight - {factor} * lr * grad)

def first(ids, dim):
    return ids[:, None] * {factor}.0 + [0.0] * dim
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered_ops: None) -> Callable[..., Any]:
    """A module with a rule and a function, as it is in this process."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(factor: int = 1, slope: float = 1.0) -> Any:
        sys.modules.pop("rules_of_mine", None)
        (tmp_path / "rules_of_mine.py").write_text(RULE.format(name="mine", factor=factor, slope=slope))
        import importlib

        importlib.invalidate_caches()
        return importlib.import_module("rules_of_mine")

    return write


def test_rules_and_functions_of_ones_own_are_imported(modules: Any) -> None:
    mine = modules()
    segment = Segment(2, mine.mine_update, learning_rate=0.5, initializer=mine.first)
    table, sharded = Table(segment), ShardedTable(cluster(2), segment)
    for each in (table, sharded):
        each.apply_gradients([5, 6], [[1.0, 2.0], [3.0, 4.0]], req_time=1)
    assert_same(table, sharded)


CHANGED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "formula": (lambda spec: spec["formula"].__setitem__(-1, "weight = %3"), "the formula of the rule has"),
    "attributes": (
        lambda spec: spec["formula"].__setitem__(3, "attribute lr = 5"),
        "the formula of the rule has",
    ),
    "function": (lambda spec: spec.__setitem__("code", "0123"), "code is"),
    "schedule": (lambda spec: spec["schedules"].__setitem__("learning_rate", "x"), "schedules is"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_process_that_understands_something_else(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, said = CHANGED[case]

    def other_spec(segment: Segment, what: str) -> dict[str, Any]:
        spec = original(segment, what)
        spec["formula"] = list(spec["formula"])
        change(spec)
        return spec

    original = segment_spec
    monkeypatch.setattr("symopt.distributed.shard.segment_spec", other_spec)
    made = Cluster(2)
    segment = Segment(2, "sgd", learning_rate=own_rate, initializer=own_weights)
    with pytest.raises(MismatchError, match="shard 0 understands table as something else") as found:
        ShardedTable(made, segment)
    assert said in str(found.value)
    monkeypatch.undo()
    assert len(ShardedTable(made, segment)) == 0


def own_rate(done: int) -> float:
    return 0.1


def test_formulas_tell_versions_apart() -> None:
    from symopt.distributed.meaning import code_digest, formula_lines
    from symopt.opdef import all_ops

    texts: dict[tuple[str, ...], str] = {}
    for op in all_ops():
        if op.is_update and not op.is_variadic and not op.is_matrix:
            lines = formula_lines(op, {})
            assert lines == formula_lines(op, {})
            texts.setdefault(tuple(lines), op.name)
    assert len(texts) > 60
    assert code_digest(own_rate) != code_digest(own_weights)
    assert code_digest(own_rate) == code_digest(eval("lambda done: 0.1").__class__(own_rate.__code__, {}))
    assert code_digest(len) is None


READS: dict[str, Callable[[Any], Any]] = {
    "lookup": lambda t: t.lookup([1, 2]),
    "lookup_entry": lambda t: t.lookup_entry([1]),
    "len": len,
    "ids": lambda t: t.ids(),
    "contains": lambda t: t.contains([1]),
    "save": lambda t: t.state_dict(),
    "prefetch": lambda t: t.prefetch([1]),
}
WRITES: dict[str, Callable[[Any], Any]] = {
    "apply": lambda t: t.apply_gradients([1], [[1.0, 1.0]]),
    "push": lambda t: t.push([1], [[1.0, 1.0]]),
    "assign": lambda t: t.assign([1], [[1.0, 1.0]]),
    "evict": lambda t: t.evict([1]),
    "expire": lambda t: t.expire(),
    "touch": lambda t: t.touch([1]),
    "reinitialize": lambda t: t.reinitialize([1]),
    "make rows": lambda t: t.lookup([9], missing="initialize"),
    "load": lambda t: t.load_state_dict(t.state_dict()),
    "flush": lambda t: t.flush(),
    "delta": lambda t: t.apply_delta(Table(SGD, track=5).take_delta()),
}


@pytest.mark.parametrize("do", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
def test_what_is_closed_says_so(do: Any) -> None:
    made = Cluster(2)
    tables = [ShardedTable(made, SGD, name=name, admission=1) for name in "ab"]
    tables[0].apply_gradients([1], [[1.0, 1.0]])
    tables[0].close()
    tables[0].close()
    with pytest.raises(ClusterError, match="a was closed: make a ShardedTable of this name"):
        do(tables[0])
    counts = tables[1].admission.state_dict()  # type: ignore[union-attr]
    made.close()
    with pytest.raises(ClusterError, match="can't go on: it is closed"):
        do(tables[1])
    assert str(tables[1].admission.state_dict()) == str(counts)  # type: ignore[union-attr]


def test_a_table_that_is_only_read(tmp_path: Path) -> None:
    with Cluster(2, path=tmp_path) as made:
        ShardedTable(made, SGD).apply_gradients([1, 2], np.ones((2, 2)))
        made.checkpoint()
    with Cluster(path=tmp_path) as made:
        table = ShardedTable(made, SGD, readonly=True, missing="raise")
        assert table.lookup([1, 2]).tolist() == [[-1.0, -1.0]] * 2
        with pytest.raises(UnknownIdError, match="id 9 has no row, nor have 1 more"):
            table.lookup([9, 1, 8])
        with pytest.raises(UnknownIdError, match=r"id 9 has no row$"):
            table.lookup([9, 1])
        for name, do in WRITES.items():
            with pytest.raises(TooLateError, match="readonly=True"):
                print(name, do(table))
        assert (len(table), table._stream.step) == (2, 1)


def test_one_object_at_a_time() -> None:
    made = cluster(2)
    table = ShardedTable(made, SGD, admission=1, track=9)
    table.apply_gradients([1, 1, 2], np.ones((3, 2)), req_time=5)
    with pytest.raises(AttributeValueError, match=r"cluster.members\['table'\]"):
        ShardedTable(made, SGD)
    assert made.members["table"] is table
    table.close()
    with pytest.raises(MismatchError, match="closed in this cluster"):
        ShardedTable(made, Segment(2, "adam", learning_rate=1.0))
    again = ShardedTable(made, SGD, admission=1, track=9)
    other = Table(SGD, admission=1, track=9)
    other.apply_gradients([1, 1, 2], np.ones((3, 2)), req_time=5)
    for each in (other, again):
        each.apply_gradients([2, 1], np.ones((2, 2)), req_time=6)
    kill(made, 0)
    assert_same(other, again)


def test_configurations() -> None:
    segment = entry.CombineAsSegment(
        4, entry.ZerosInitializer(), entry.AdagradOptimizer(learning_rate=0.1), entry.Fp32Compressor()
    )
    config = entry.EmbeddingHashTableConfig(entry_config=entry.EntryConfig(segments=[segment]))
    made = ShardedTable.from_config(Cluster(2), config, name="users", missing="raise")
    assert (made.dim, made.name, made.missing) == (4, "users", "raise")
    assert made.segments[0].op is Table.from_config(config).segments[0].op
