"""What the next step would do to each weight, against plain NumPy on what it then does."""

import inspect
import json
from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS, Graph
from injected import op_graph
from test_engines import UPDATES, required
from where import Emulated, Host, put_all

import symopt as so
from symopt import sym
from symopt.emulatedarrays import emulated_gpus
from symopt.forms import get_op
from symopt.sparse import RowSparseArray
from symopt.values import statistics as module
from symopt.values.statistics import UpdateStatistics


def check(graph: Graph, where: Any = Host()) -> list[UpdateStatistics]:  # noqa: B008
    """Statistics leave everything as it is, and say of weights written in place what the step then does."""
    args, states = put_all(where, graph.args), put_all(where, graph.states)
    exe = where.bind(graph.symbol, args, states)
    before = {n: where.get(a).copy() for n, a in (args | states).items() if isinstance(a, np.ndarray)}
    found = list(exe.statistics())
    assert all(where.get((args | states)[n]).tobytes() == a.tobytes() for n, a in before.items())
    exe.forward()
    exe.synchronize()
    written = exe._step.program.lowered.writes
    for u in found:
        if u.weight in written and [x.weight for x in found].count(u.weight) == 1 and u.weight in args:
            same(u, before[u.weight], where.get(args[u.weight]))
    return found


def same(u: UpdateStatistics, old: np.ndarray, new: np.ndarray) -> None:
    wide = np.complex128 if old.dtype.kind == "c" else np.float64
    old, new = old.astype(wide), new.astype(wide)
    with np.errstate(invalid="ignore"):
        update = np.abs(new - old)
    np.testing.assert_allclose(u.update_norm, np.sqrt(np.square(update).sum()), rtol=1e-9)
    np.testing.assert_allclose(u.weight_norm, np.sqrt(np.square(np.abs(old)).sum()), rtol=1e-9)
    assert u.shape == old.shape
    if not old.size:
        assert u.largest_at is None
        return
    assert u.zero_share == np.mean(update == 0)
    assert u.nonfinite_share == np.mean(~np.isfinite(new))
    largest = update.max()  # nan if there is one
    assert u.largest == largest or np.isnan(largest)
    assert u.largest_at == tuple(np.argwhere((update == largest) | ~np.isfinite(update))[0])
    if old.ndim > 1:
        assert (u.rows, u.dead_rows) == (len(old), int((update == 0).reshape(len(old), -1).all(1).sum()))


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("block", [64, 1 << 16])
def test_graphs(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    found = check(GRAPHS[name]())
    assert found or name in ("exchange", "fresh outputs")


@pytest.mark.parametrize("storage", ["dense", "lazy", "standard", "duplicates"])
def test_every_op(storage: str) -> None:
    for op in UPDATES:
        if op.gives == "weight" and not (op.is_matrix and storage != "dense"):
            assert len(check(op_graph(op, storage, "float32", (17, 33)))) == 1, op.name


@pytest.mark.parametrize("name", ["lamb", "mp, bfloat16", "lazy table, repeated rows", "complex"])
def test_arrays_of_a_device(name: str, cxx: None) -> None:
    with emulated_gpus(1):
        check(GRAPHS[name](), Emulated())


CLIPPING = [
    op.name for op in UPDATES if not op.is_matrix and "clip_gradient)" in inspect.getsource(op.formula)
]


@pytest.mark.parametrize("op", CLIPPING)
def test_clips_are_found_in_any_formula(op: str) -> None:
    """With no weight decay what is clipped is the gradient, scaled in some ops by more."""
    graph = op_graph(get_op(op), "dense", "float32", (17, 33))
    w, *rest = (sym.var(i.name) for i in get_op(op).inputs)
    attrs = {"clip_gradient": 1e-6} | {a: 0.1 for a in ("lr", "eta", "alpha") if a in get_op(op).attrs}
    attrs = required(get_op(op)) | attrs | ({"wd": 0.0} if "wd" in get_op(op).attrs else {})
    symbol = getattr(sym, op)(w, *rest, out=w, **attrs)
    (found,) = symbol.bind(so.cpu(), args=graph.args, aux_states=graph.states).statistics()
    assert found.clipped["clip_gradient"] > 0.99
    symbol = getattr(sym, op)(w, *rest, out=w, **attrs | {"clip_gradient": -1.0})
    (found,) = symbol.bind(so.cpu(), args=graph.args, aux_states=graph.states).statistics()
    assert "clip_gradient" not in found.clipped


def test_shares_of_what_is_clipped() -> None:
    rng = np.random.default_rng(0)
    g = rng.standard_normal((40, 50)).astype(np.float32)
    w, new = sym.var("w"), np.zeros_like(g)
    update = sym.sgd_update(w, sym.var("g"), lr=0.1, rescale_grad=2.0, clip_gradient=0.8, out=w, name="fc1")
    found = update.bind(so.cpu(), args={"w": new, "g": g}).statistics()
    assert found.of("fc1") is found.of("w") is found[0]
    assert found[0].clipped == {"clip_gradient": np.mean(np.abs(2 * g) > 0.8)}
    listed = RowSparseArray(g[:3], np.array([4, 9, 7]), (40, 50))
    for lazy in (True, False):
        update = sym.sgd_update(w, sym.var("g"), lr=0.1, clip_gradient=0.8, out=w, lazy_update=lazy)
        (one,) = update.bind(so.cpu(), args={"w": new, "g": listed}).statistics()
        assert one.clipped == {"clip_gradient": np.mean(np.abs(g[:3]) > 0.8)}
        assert (one.listed_rows, one.dead_rows) == (3, 37)


def test_what_is_not_finite_is_counted() -> None:
    w = sym.var("w")
    arrays = {n: np.ones((4, 6), np.float32) for n in "wg"}
    arrays["g"][2, 1], arrays["g"][3, 3] = np.nan, np.inf
    (u,) = sym.sgd_update(w, sym.var("g"), lr=0.1, out=w).bind(so.cpu(), args=arrays).statistics()
    assert u.nonfinite_share == 2 / 24 and u.largest_at == (2, 1) and np.isnan(u.largest)


def test_they_print_as_a_table_and_as_json() -> None:
    graph = GRAPHS["clip, count and average"]()
    exe = graph.symbol.bind(so.cpu(), args=graph.args, aux_states=graph.states)
    found = exe.statistics()
    lines = str(found).splitlines()
    assert len(lines) == 1 + len(found) == 5
    assert lines[0].split()[:4] == ["weight", "op", "|update|", "|weight|"]
    assert found.table(2).splitlines()[-1] == "... and 2 more"
    assert json.loads(json.dumps(found.as_dict()))["w0"]["rows"] == 300
    with pytest.raises(KeyError):
        found.of("nothing")


def test_of_an_op_that_gives_an_update_that_is_it() -> None:
    graph = op_graph(get_op("lamb_update_phase1"), "dense", "float32", (17, 33))
    exe = graph.symbol.bind(so.cpu(), args=graph.args, aux_states=graph.states)
    (u,) = exe.statistics()
    (made,) = exe.forward()
    np.testing.assert_allclose(u.update_norm, np.linalg.norm(made.astype(np.float64)))
