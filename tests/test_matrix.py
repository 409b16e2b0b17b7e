"""Adafactor and Muon against plain NumPy, and in graphs with other ops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_engines import bits

import symopt as so
from symopt import sym
from symopt.forms import get_op

Arrays = dict[str, Any]
SHAPES = [
    (5, 3), (3, 5), (1, 1), (1, 4), (4, 1), (2, 3, 4), (2, 4, 3), (2, 3, 5, 4), (0, 3), (3, 0), (2, 0, 3), (70, 130),
]  # fmt: skip
ENGINES = ("reference", "native")


# ---- the rules in plain NumPy


def adafactor(w: Any, g: Any, row: Any, col: Any, step: int, lr: float, wd: float) -> tuple[Any, ...]:
    w = w - lr * wd * w
    beta2, squares = 1 - step**-0.8, g * g + 1e-30
    row = beta2 * row + (1 - beta2) * squares.mean(-1)
    col = beta2 * col + (1 - beta2) * squares.mean(-2)
    u = g / np.sqrt((row / row.mean(-1, keepdims=True))[..., None] * col[..., None, :])
    return w - _adafactor_step(w, u, step, lr), row, col


def adafactor_vector(w: Any, g: Any, var: Any, step: int, lr: float, wd: float) -> tuple[Any, ...]:
    w = w - lr * wd * w
    var = (1 - step**-0.8) * var + step**-0.8 * (g * g + 1e-30)
    return w - _adafactor_step(w, g / np.sqrt(var), step, lr), var


def _adafactor_step(w: Any, u: Any, step: int, lr: float) -> Any:
    rate = max(1e-3, np.sqrt((w * w).mean())) * min(lr, step**-0.5)
    return rate * u / max(1, np.sqrt((u * u).mean()))


def muon(
    w: Any, g: Any, mom: Any, lr: float, wd: float, nesterov: bool = True, rms_rate: float = 0.2
) -> tuple[Any, ...]:
    w, mom = w - lr * wd * w, 0.95 * mom + g
    x = g + 0.95 * mom if nesterov else mom
    x = x / (np.sqrt((x * x).sum((-1, -2), keepdims=True)) + 1e-7)
    is_tall = w.shape[-2] > w.shape[-1]
    x = x.swapaxes(-1, -2) if is_tall else x
    for _ in range(3):
        gram = x @ x.swapaxes(-1, -2)
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    x = x.swapaxes(-1, -2) if is_tall else x
    return w - lr * x * (np.sqrt(max(w.shape[-2:])) * rms_rate if rms_rate >= 0 else 1), mom


def arrays(op: str, shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> tuple[Arrays, Arrays]:
    """Arguments and states of an update op: positive numbers for the states."""
    rng = np.random.default_rng(seed)
    names = get_op(op).input_names()
    inferred = getattr(sym, op)(*map(sym.var, names), **needed(op)).infer_shape(weight=shape)
    args = {n: rng.standard_normal(shape).astype(dtype) for n in names[:2]}
    states = {n: rng.random(s).astype(dtype) + 0.1 for n, s in zip(names[2:], inferred[2], strict=True)}
    return args, states


def needed(op: str, k: int = 0) -> dict[str, Any]:
    return {"step": 3 + k} if "step" in get_op(op).attrs else {"ns_steps": 3} if "muon" in op else {}


def node(op: str, suffix: str = "", **attrs: Any) -> so.Symbol:
    """The op on variables named after its inputs, in place."""
    variables = {n: sym.var(n + suffix) for n in get_op(op).input_names()}
    made: so.Symbol = getattr(sym, op)(*variables.values(), out=variables["weight"], **needed(op), **attrs)
    return made


def run(symbol: so.Symbol, args: Arrays, states: Arrays, engine: str = "native") -> Arrays:
    """All arrays after one step on copies of these."""
    everything = {n: x.copy() if isinstance(x, np.ndarray) else x for n, x in {**args, **states}.items()}
    symbol.bind(args=everything, aux_states=everything, engine=engine).forward()
    return everything


RULES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "keras3_adafactor_update": (adafactor, {"step": 3}),
    "keras3_muon_update": (muon, {}),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", RULES)
def test_equals_numpy(op: str, shape: tuple[int, ...], engine: str) -> None:
    args, states = arrays(op, shape)
    rule, attrs = RULES[op]
    with np.errstate(all="ignore"):
        expected = rule(args["weight"], args["grad"], *states.values(), lr=0.1, wd=0.01, **attrs)
    found = run(node(op, lr=0.1, wd=0.01), args, states, engine)
    for name, value in zip(("weight", *states), expected, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(7,), (5, 3), (1,)], ids=str)
def test_adafactor_of_vectors(shape: tuple[int, ...]) -> None:
    op = "keras3_adafactor_vector_update"
    args, states = arrays(op, shape)
    expected = adafactor_vector(args["weight"], args["grad"], states["var"], 3, 0.1, 0.01)
    found = run(node(op, lr=0.1, wd=0.01), args, states)
    for name, value in zip(("weight", "var"), expected, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=1e-12)


@pytest.mark.parametrize("attrs", [{"nesterov": False}, {"rms_rate": -1}], ids=str)
def test_flags_of_muon(attrs: dict[str, Any]) -> None:
    args, states = arrays("keras3_muon_update", (5, 3))
    weight, mom = muon(args["weight"], args["grad"], states["mom"], lr=0.1, wd=0.0, **attrs)
    found = run(node("keras3_muon_update", lr=0.1, **attrs), args, states)
    np.testing.assert_allclose(found["weight"], weight, rtol=1e-12)
    np.testing.assert_allclose(found["mom"], mom, rtol=1e-12)


def test_muon_makes_singular_values_alike() -> None:
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.standard_normal((8, 8)))[0] for _ in range(2))
    grad = u * np.geomspace(1, 0.05, 8) @ v
    weight = np.zeros((8, 8))
    so.nd.keras3_muon_update(weight, grad, np.zeros((8, 8)), lr=1.0, rms_rate=-1, out=weight)
    assert np.ptp(np.linalg.svd(weight)[1]) < 0.6


# ---- in a graph


@pytest.mark.parametrize("op", [*RULES, "torch_adafactor_update", "torch_muon_update"])
def test_inside_a_graph_of_many_ops(op: str) -> None:
    """Tensors tall and wide; what an op is given and gives is used around it; a lazily updated table is beside."""
    symbols: list[so.Symbol] = []
    args: Arrays = {}
    states: Arrays = {}
    lr, t = sym.var("lr", shape=()), sym.var("t")
    for k, shape in enumerate([(5, 3), (5, 3), (3, 5), (2, 3, 4)]):
        some, more = arrays(op, shape, "float32", seed=k)
        args |= {f"{n}{k}": x for n, x in some.items()}
        states |= {f"{n}{k}": x for n, x in more.items()}
        variables = {n: sym.var(f"{n}{k}") for n in get_op(op).input_names()}
        grad = variables["grad"] * 0.5 + variables["weight"] * 0.1
        inputs = {**variables, "grad": grad}
        made = getattr(sym, op)(*inputs.values(), **needed(op, k), lr=lr)
        first = next(iter(more))
        symbols += [sym.identity(made * 2, out=variables["weight"]), made.state(first) + 1]
    table = np.ones((6, 2), np.float32)
    args |= {"t": table, "s": so.sparse.row_sparse_array((table[:2], [4, 1]), shape=(6, 2)), "lr": 0.1}
    symbols.append(sym.sgd_update(t, sym.var("s"), lr=0.5, out=t))
    one, other = (run(sym.Group(symbols), args, states, engine) for engine in ENGINES)
    for name in one:
        if isinstance(one[name], np.ndarray):
            assert np.array_equal(bits(one[name]), bits(other[name])), name
    alone = {n: args[f"{n}0"] for n in ("weight", "grad")}
    alone["grad"] = alone["grad"] * np.float32(0.5) + alone["weight"] * np.float32(0.1)
    found = run(node(op, lr=0.1), alone, {n: states[f"{n}0"] for n in get_op(op).states})
    np.testing.assert_allclose(one["weight0"], 2 * found["weight"], rtol=1e-6)


def test_two_steps_in_one_graph() -> None:
    """The second update is made of the first one's weight and states."""
    op = "keras3_adafactor_update"
    args, states = arrays(op, (5, 3))
    w, g, row, col = (sym.var(n) for n in ("weight", "grad", "row", "col"))
    first = sym.keras3_adafactor_update(w, g, row, col, step=3)
    second = sym.keras3_adafactor_update(first, g, first.state("row"), first.state("col"), step=3, out=w)
    twice = run(node(op), run(node(op), args, states), {})
    for engine in ENGINES:
        found = run(second, args, states, engine)
        for name in ("weight", *states):
            assert np.array_equal(bits(found[name]), bits(twice[name]))


def test_a_sparse_gradient_is_read_as_dense() -> None:
    args, states = arrays("keras3_muon_update", (5, 3))
    args["grad"][[0, 2, 4]] = 0
    sparse = so.sparse.row_sparse_array((args["grad"][[3, 1]], [3, 1]), shape=(5, 3))
    dense = run(node("keras3_muon_update"), args, states)
    found = run(node("keras3_muon_update"), args | {"grad": sparse}, states)
    assert np.array_equal(bits(found["weight"]), bits(dense["weight"]))


def test_states_of_factors() -> None:
    """Inferred without the summed axis, taken with it too; a float16 state and a stack of matrices."""
    symbol = node("keras3_adafactor_update")
    executor = symbol.simple_bind(so.cpu(), weight=(2, 3, 4))
    assert {n: x.shape for n, x in executor.aux_dict.items()} == {"row": (2, 3), "col": (2, 4)}
    args, states = arrays("keras3_adafactor_update", (2, 3, 4))
    flat = run(symbol, args, states)
    wide = run(symbol, args, {"row": states["row"][..., None], "col": states["col"][:, None]})
    assert np.array_equal(wide["row"].ravel(), flat["row"].ravel())
    assert np.array_equal(wide["weight"], flat["weight"])
    bound = symbol.simple_bind(so.cpu(), weight=(4, 3)).reshape(weight=(6, 2), grad=(6, 2))
    assert bound.aux_dict["col"].shape == (2,)


def test_attributes_change_and_files_keep_the_op() -> None:
    args, states = arrays("keras3_muon_update", (5, 3))
    symbol = node("keras3_muon_update", name="u")
    again = sym.load_json(symbol.tojson())
    executor = again.bind(
        args={n: x.copy() for n, x in args.items()}, aux_states={"mom": states["mom"].copy()}
    )
    executor.set_attr("u", ns_steps=4, nesterov=False)
    variables = [sym.var(n) for n in ("weight", "grad", "mom")]
    expected = sym.keras3_muon_update(*variables, ns_steps=4, nesterov=False, out=variables[0])
    wanted = run(expected, args, states)["weight"]
    assert np.array_equal(executor.forward()[0], wanted)


def test_calls_of_libraries_are_shown() -> None:
    executor = node("keras3_muon_update").simple_bind(so.cpu(), weight=(3, 5))
    assert "matmul(x, transpose(x))" in executor.source()
    assert "; kernel keras3_muon_update_matmul: for whole matrices, a call of a library" in executor.source(
        "llvm"
    )
    assert "[library]" in executor.debug_str()
    assert "keras3_muon_update_matmul      whole matrices, a call of a library" in executor.summary()
    shown: list[str] = []
    executor.set_monitor_callback(lambda name, array: shown.append(name))
    executor.forward()
    assert len(shown) > 10
