"""Random formulas and random graphs: native equals reference, simplified equals unsimplified, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engines import bits, random_array

import symopt as so
from symopt import lang, sym
from symopt.backends import launch
from symopt.lang import RowState, State, Tensor, Updated
from symopt.passes import calls, merge, simplify

QUICK = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LEAVES = ["weight", "grad", "mom", "acc", "lr", "beta", 0.0, 1.0, -1.0, 0.5, -0.0]
UNARY = [
    lang.square,
    lang.sqrt,
    lang.absolute,
    lang.sign,
    lambda x: -x,
    lang.row_mean,
    lang.row_max,
    lang.norm,
]
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lang.maximum, lang.minimum,
    lambda a, b: lang.clip(a, b), lambda a, b: lang.where(a > b, a, b * 0.5), lang.fmod,
]  # fmt: skip

leaf = st.sampled_from(LEAVES)
tree = st.recursive(
    leaf,
    lambda t: st.one_of(
        st.tuples(st.sampled_from(range(len(UNARY))), t), st.tuples(st.sampled_from(range(len(BINARY))), t, t)
    ),
    max_leaves=12,
)


def build(t: Any, names: dict[str, Tensor]) -> Any:
    """The value of a tree of operations inside a formula."""
    if not isinstance(t, tuple):
        return names[t] if isinstance(t, str) else t
    parts = [build(x, names) for x in t[1:]]
    if not any(isinstance(x, Tensor) for x in parts):
        parts[0] = names["grad"] * 0 + parts[0]
    return (UNARY if len(parts) == 1 else BINARY)[t[0]](*parts)


def define(trees: tuple[Any, Any, Any]) -> None:
    """Register an update op whose three results are these trees."""

    @so.update_op
    def random_update(
        weight: Tensor, grad: Tensor, mom: State, acc: RowState, *, lr: float = 0.1, beta: float = 0.9
    ) -> Updated:
        names: dict[str, Any] = {
            "weight": weight,
            "grad": grad,
            "mom": mom,
            "acc": acc,
            "lr": lr,
            "beta": beta,
        }
        whole = [build(t, names) + grad * 0 for t in trees[:2]]
        return lang.updated(whole[0], mom=whole[1], acc=lang.row_sum(build(trees[2], names) + grad * 0))


def step(engine: str, dtype: str, lazy: bool | None) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (7, 70)
    w, m, g = (random_array(rng, shape, dtype, True) for _ in range(3))
    acc = random_array(rng, (7, 1), dtype)
    grad: Any = g if lazy is None else so.sparse.row_sparse_array((g[:4].copy(), [5, 1, 5, 2]), shape=shape)
    weight = sym.var("w")
    node = sym.random_update(
        weight, sym.var("g"), sym.var("m"), sym.var("a"), out=weight, lazy_update=lazy is not False
    )
    executor = node.bind(args={"w": w, "g": grad}, aux_states={"m": m, "a": acc}, engine=engine)
    for _ in range(2):
        executor.forward()
    return [w, m, acc]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for k, (a, b) in enumerate(zip(one, other)):
        assert np.array_equal(bits(a), bits(b)), f"array {k} differs"


@QUICK
@given(
    st.tuples(tree, tree, tree),
    st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    st.sampled_from([None, True, False]),
)
def test_random_formulas(trees: tuple[Any, Any, Any], dtype: str, lazy: bool | None) -> None:
    define(trees)
    assert_same(step("reference", dtype, lazy), step("native", dtype, lazy))


@QUICK
@given(st.tuples(tree, tree, tree), st.sampled_from([None, True, False]))
def test_simplified_formulas_keep_every_bit(trees: tuple[Any, Any, Any], lazy: bool | None) -> None:
    define(trees)
    with_rules = step("native", "float32", lazy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simplify, "RULES", ())
        for cache in (calls._STAGES, calls._HOST, merge._KERNELS):
            patch.setattr(cache_owner(cache), cache_name(cache), {})
        patch.setattr(launch, "_MODULES", {})
        without = step("native", "float32", lazy)
    assert_same(with_rules, without)


def cache_owner(cache: Any) -> Any:
    return merge if cache is merge._KERNELS else calls


def cache_name(cache: Any) -> str:
    return "_KERNELS" if cache is merge._KERNELS else "_STAGES" if cache is calls._STAGES else "_HOST"


# ---- random graphs

OPS = ("elemwise_add", "elemwise_sub", "elemwise_mul", "_maximum", "_plus_scalar", "_mul_scalar", "square", "abs",
       "sum", "mean_rows", "sgd", "adam", "where", "norm_scale")  # fmt: skip
choice = st.tuples(st.sampled_from(OPS), st.integers(0, 99), st.integers(0, 99), st.booleans())


def random_graph(recipe: list[tuple[str, int, int, bool]]) -> tuple[Any, set[str]]:
    """A graph of ordinary and update ops on five shared variables; each is written by out= at most once."""
    names = ["a", "b", "c", "d"]
    variables = {n: sym.var(n) for n in names}
    rows, number = sym.var("r"), sym.var("s", shape=())
    pool: list[Any] = list(variables.values())
    small: list[Any] = [rows]
    written: set[str] = set()
    heads: list[Any] = []
    states: set[str] = set()
    for k, (op, i, j, write) in enumerate(recipe):
        x, y = pool[i % len(pool)], pool[j % len(pool)]
        target = names[(i + j) % 4]
        out = variables[target] if write and target not in written | states else None
        if op in ("sgd", "adam"):
            lr = number * 0.01 if i % 2 else 0.01
            if op == "sgd":
                node = sym.sgd_update(x, y, lr=lr, wd=0.1, out=out, name=f"n{k}")
            else:
                m, v = sym.var(f"m{k}"), sym.var(f"v{k}")
                node = sym.adam_update(x, y, m, v, lr=lr, out=out, name=f"n{k}")
                pool.append(node.state("mean"))
        elif op == "sum":
            node = sym.broadcast_mul(x, sym.sum(y), out=out, name=f"n{k}")
        elif op == "norm_scale":
            node = sym.sgd_update(x, y, lr=0.01, rescale_grad=1 / (sym.norm(y) + 1), out=out, name=f"n{k}")
        elif op == "mean_rows":
            small.append(sym.mean(x, axis=1, keepdims=True) * 0.5 + small[j % len(small)])
            node = sym.broadcast_add(x, small[-1], out=out, name=f"n{k}")
        elif op == "where":
            node = sym.where(x > y, x, y * number, out=out, name=f"n{k}")
        elif op.endswith("scalar"):
            node = getattr(sym, op)(x, scalar=0.5, out=out, name=f"n{k}")
        elif op in ("square", "abs"):
            node = getattr(sym, op)(x, out=out, name=f"n{k}")
        else:
            node = getattr(sym, op)(x, y, out=out, name=f"n{k}")
        if out is not None:
            written.add(target)
        pool.append(node)
        if write or out is not None:
            heads.append(node)
    return sym.Group([*heads, pool[-1]]), written


def run_graph(symbol: Any, engine: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (6, 70)
    bound: dict[str, Any] = {}
    for name in (*symbol.list_arguments(), *symbol.list_auxiliary_states()):
        bound[name] = 0.5 if name == "s" else random_array(rng, (6, 1) if name == "r" else shape, "float32")
    executor = symbol.bind(args=bound, aux_states=bound, engine=engine)
    outputs = [np.array(x) for _ in range(2) for x in executor.forward()]
    return [*outputs, *(np.asarray(x) for x in bound.values())]


@QUICK
@given(st.lists(choice, min_size=1, max_size=14))
def test_random_graphs(recipe: list[tuple[str, int, int, bool]]) -> None:
    symbol, _ = random_graph(recipe)
    assert_same(run_graph(symbol, "reference"), run_graph(symbol, "native"))
