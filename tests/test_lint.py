"""What the linter says of set-ups that are wrong, and that it says nothing of good ones."""

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from lint_corpus import GOOD, WRONG, Setup
from random_graphs import Drawing

import symopt as so
from symopt import sym
from symopt.attrs import REQUIRED
from symopt.dtypes import FLOATS
from symopt.errors import UnknownArgumentError
from symopt.forms import get_op
from symopt.lint import RULES, Finding
from symopt.lint.probe import Probe
from symopt.lint.rows import traffic
from symopt.opdef import OpDef, all_ops
from symopt.planned import plan_graph
from symopt.symbol import Symbol


@pytest.mark.parametrize("setup", WRONG, ids=str)
def test_a_wrong_setup_gets_its_one_code(setup: Setup) -> None:
    found = setup.build().lint(**setup.known)
    assert [f.code for f in found] == [setup.code], "\n".join(map(str, found))


@pytest.mark.parametrize("setup", GOOD, ids=str)
def test_a_good_setup_gets_none(setup: Setup) -> None:
    assert not setup.build().lint(**setup.known)


def test_every_rule_has_a_wrong_setup() -> None:
    assert {setup.code for setup in WRONG} == {rule.code for rule in RULES}
    assert len(WRONG) >= 25 and len(GOOD) >= 25


# ---- every op


UPDATES = [op for op in all_ops() if op.is_update and op.inputs[0].kind != "states"]


def at_defaults(op: OpDef) -> Symbol:
    """The op with what must be given at ordinary numbers, in place."""
    count = sym.var("t", shape=())
    ordinary = {"float": 0.01, "bool": False, "integer": sym._plus_scalar(count, scalar=1, out=count)}
    needed = {n: ordinary[a.kind] for n, a in op.attrs.items() if a.default is REQUIRED}
    weight = sym.var("weight")
    into = {"out": weight} if op.gives == "weight" else {}
    update: Symbol = getattr(sym, op.name)(weight, name="u", **into, **needed)
    return update


@pytest.mark.parametrize("op", UPDATES, ids=lambda op: op.name)
def test_an_op_at_its_defaults_is_good(op: OpDef) -> None:
    update = at_defaults(op)
    assert not update.lint()
    assert not update.lint(weight=(6, 4), type_dict={"weight": "float32"})
    assert not update.lint(weight=(6, 4), type_dict={"weight": "float64"})
    if op.gives == "weight":
        master = at_defaults(get_op(f"mp_{op.name}"))
        assert not master.lint(weight=(6, 4), type_dict={"weight": "float16"})


# ---- what an executor knows


def codes(found: list[Finding]) -> list[str]:
    return [one.code for one in found]


def test_an_executor_knows_attributes_that_were_set() -> None:
    w, g = sym.var("w"), sym.var("g")
    exe = sym.adam_update(w, g, lr=0.1, out=w, name="fc1").simple_bind(w=(3,))
    assert not exe.lint()
    exe.set_attr("fc1", lr=0.0)
    assert codes(exe.lint()) == ["SO201"]
    exe.set_attr("fc1", lr=0.1, clip_gradient=0)  # plans the step anew
    assert codes(exe.lint()) == ["SO201"] and "clip_gradient = 0" in exe.lint()[0].message
    exe.set_attr("fc1", clip_gradient=1)
    assert not exe.lint()


def test_a_step_number_that_is_set_is_no_constant() -> None:
    w = sym.var("w")
    exe = sym.torch_adam_update(w, sym.var("g"), step=1, out=w, name="fc1").simple_bind(w=(3,))
    assert codes(exe.lint()) == ["SO505"]
    exe.set_attr("fc1", step=2)
    assert not exe.lint()
    exe.set_attr("fc1", step=0)
    assert codes(exe.lint()) == ["SO506"]


def test_a_counter_is_looked_at_in_an_executor() -> None:
    w, count = sym.var("w"), sym.var("t", shape=())
    late = sym.Group([sym.torch_adam_update(w, sym.var("g"), step=count, out=w, name="fc1"),
                      sym._plus_scalar(count, scalar=1, out=count)])  # fmt: skip
    exe = late.simple_bind(w=(3,))
    assert not late.lint()
    assert codes(exe.lint()) == ["SO506"]
    exe.forward()
    assert not exe.lint()


def test_a_number_that_the_caller_gives_is_not_known() -> None:
    w = sym.var("w")
    step = sym.torch_adam_update(
        w, sym.var("g"), step=sym.var("t", shape=()), lr=sym.var("lr", shape=()), out=w
    )
    assert not step.simple_bind(w=(3,)).lint()  # both are 0 until forward gives them


def test_states_that_have_started_divide_by_no_zero() -> None:
    w = sym.var("w")
    step = sym.adagrad_update(w, sym.var("g"), sym.var("h"), lr=0.1, epsilon=0, out=w)
    exe = step.simple_bind(w=(3,))
    assert codes(exe.lint()) == ["SO205"]
    exe.aux_dict["h"][:] = 0.1
    assert not exe.lint()


@pytest.mark.parametrize("name", ["adam_update", "group_adagrad_update", "mp_adam_update"])
def test_the_ratio_is_that_of_the_bytes_moved(name: str) -> None:
    """What two graphs move, planned whole: one that reads every row and one that does not."""
    w, g = sym.var("w"), sym.var("g", stype="row_sparse")
    steps = [getattr(sym, name)(w, g, lr=0.1, lazy_update=lazy, out=w, name="u") for lazy in (False, True)]
    rows = {"g": 700}
    whole, some = (traffic(plan_graph(s._outputs, {"w": (100_000, 64)}, rows=rows)) for s in steps)
    (found,) = steps[0].lint(w=(100_000, 64), rows=rows)
    assert found.facts["ratio"] == whole / some
    assert f"{whole / some:,.0f} times" in found.message
    assert not steps[1].lint(w=(100_000, 64), rows=rows)


def test_an_executor_knows_how_many_rows_are_listed() -> None:
    w, g = sym.var("w"), sym.var("g", stype="row_sparse")
    step = sym.adam_update(w, g, sym.var("m"), sym.var("v"), lr=0.1, lazy_update=False, out=w)
    table = np.zeros((50_000, 64), np.float32)

    def rows(n: int) -> so.sparse.RowSparseArray:
        return so.sparse.row_sparse_array((np.ones((n, 64), np.float32), np.arange(n)), shape=table.shape)

    exe = step.bind(args={"w": table, "g": rows(9)}, aux_states={"m": table + 0, "v": table + 0})
    assert codes(exe.lint()) == ["SO401"]
    exe.forward(g=rows(20_000))
    assert not exe.lint()


# ---- what is said, and how


def test_findings_that_are_alike_are_told_once() -> None:
    weights = [sym.var(f"w{k}") for k in range(5000)]
    step = sym.Group([sym.sgd_update(w, sym.var(f"g{k}"), lr=-0.1, out=w, name=f"fc{k}")
                      for k, w in enumerate(weights)])  # fmt: skip
    (found,) = step.lint()
    assert found.count == 5000 and found.facts["nodes"] == ("fc0", "fc1", "fc2")
    first, built = str(found).splitlines()
    assert first == (
        "SO202 warning: 'fc0': lr = -0.1 is negative: the step goes up the gradient "
        "(so do 'fc1', 'fc2' and 4,997 more)"
    )
    assert built.startswith(f"  built at {__file__}:")


def test_one_tensor_of_several_is_named() -> None:
    w, g, x, h = (sym.var(n) for n in "wgxh")
    (found,) = sym.multi_sgd_update(w, g, x, h, lrs=(0.1, -0.1), wds=(0, 0), out=(w, x), name="all").lint()
    assert found.node == "all[1]" and found.count == 1


def test_names_are_quoted() -> None:
    w = sym.var("w")
    (found,) = sym.sgd_update(w, sym.var("g"), lr=-1, out=w, name="a\nSO999 error: b\x1b[31m").lint()
    assert len(str(found).splitlines()) == 2 and "\x1b" not in str(found)


def test_rules_are_selected_and_ignored() -> None:
    w = sym.var("w")
    step = sym.sgd_mom_update(w, w, lr=-0.1, momentum=2, out=w)
    assert codes(step.lint()) == ["SO202", "SO203", "SO503"]
    assert codes(step.lint(select="SO2")) == ["SO202", "SO203"]
    assert codes(step.lint(select=["SO203", "SO5"], ignore=["SO503"])) == ["SO203"]
    assert codes(step.simple_bind(w=(3,)).lint(ignore="SO2")) == ["SO503"]
    unknown: list[dict[str, Any]] = [{"select": "SO9"}, {"ignore": ["SO20x"]}, {"select": ""}]
    for wrong in unknown:
        with pytest.raises(UnknownArgumentError, match="no rule has the code"):
            step.lint(**wrong)


def test_a_cause_hides_its_effects_also_when_it_is_not_asked_for() -> None:
    w = sym.var("w")
    step = sym.adam_update(w, sym.var("g"), lr=0.1, out=w)
    known: dict[str, Any] = {"w": (3,), "type_dict": {"w": "float16"}}
    assert codes(step.lint(**known)) == ["SO301"]
    assert not step.lint(select="SO302", **known)


def test_shapes_may_be_known_in_part() -> None:
    w, x = sym.var("w"), sym.var("x")
    step = sym.Group([sym.lars_update(w, sym.var("g"), lr=-0.1, out=w), sym.norm(x, axis=(1,))])
    assert codes(step.lint()) == codes(step.lint(w=(3, 2))) == codes(step.lint(x=(3, 2))) == ["SO202"]


@pytest.mark.parametrize("version", [10901, 20000])
def test_graphs_that_mxnet_wrote_are_good(version: int) -> None:
    attrs = {"lr": "0.1", "wd": "0.0001", "momentum": "0.9", "rescale_grad": "0.0078125"}
    nodes: list[dict[str, object]] = [{"op": "null", "name": n, "inputs": []} for n in ("w", "g", "m")]
    nodes.append(
        {"op": "sgd_mom_update", "name": "u", "attrs": attrs, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]}
    )
    nodes.append(
        {"op": "sgd_mom_update", "name": "v", "attrs": attrs, "inputs": [[3, 0, 0], [1, 0, 0], [2, 0, 1]]}
    )
    graph = {
        "nodes": nodes,
        "arg_nodes": [0, 1, 2],
        "heads": [[4, 0, 0]],
        "attrs": {"mxnet_version": ["int", version]},
    }
    step = sym.load_json(json.dumps(graph))
    assert not step.lint() and not step.simple_bind(w=(4, 3)).lint()


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_read(seed: int) -> None:
    """What is known of a graph bound holds of all of it, so rules find there what they find without."""
    chosen = random.Random(seed)
    dtype = chosen.choice(FLOATS)
    drawing = Drawing(lambda found: chosen.choice(list(found)), (5, 3), dtype, np.random.default_rng(0))
    for _ in range(12):
        drawing.step()
    step = drawing.symbol()
    known = step.bind(args=drawing.bound, aux_states=drawing.bound, engine="reference").lint()
    assert set(codes(step.lint())) <= set(codes(known))


def test_a_formula_is_asked_once_for_nodes_that_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; and hardly more often where each has a rate of its own."""
    asked: list[Probe] = []
    ask = Probe.__call__

    def counting(self: Probe, at: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(self)
        return ask(self, at)

    monkeypatch.setattr(Probe, "__call__", counting)

    def count(n: int, rates: bool) -> int:
        weights = [sym.var(f"w{k}") for k in range(n)]
        step = sym.Group([sym.adam_update(w, sym.var(f"g{k}"), lr=0.1 + 1e-4 * k * rates, out=w)
                          for k, w in enumerate(weights)])  # fmt: skip
        asked.clear()
        assert not step.lint()
        return len(asked)

    once = count(1, False)
    assert 0 < once == count(300, False)
    assert count(300, True) == once
