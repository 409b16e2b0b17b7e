"""Derived forms: an op of several tensors is that op on each, a master copy is the op in float32."""

import zlib
from typing import Any

import numpy as np
import pytest
from test_engines import UPDATES, bits, is_inexact, random_array, sparse_array, state_shape

import symopt as so
from symopt import sym
from symopt.attrs import REQUIRED
from symopt.dtypes import to_numpy
from symopt.errors import AttributeValueError, DTypeError, MissingArgumentError, ShapeError, UnknownOpError
from symopt.forms import find_op, get_op, of_count, with_compensation
from symopt.opdef import STATE_KINDS, OpDef

SHAPES = [(5, 3), (4,), (130, 70)]
MATRICES = [(5, 3), (2, 3, 4), (130, 70)]
EXAMPLE = {"lr": 0.1, "rescale_grad": 0.5, "clip_gradient": 0.7}
PLAIN = [op for op in UPDATES if op.gives == "weight" and not is_inexact(op)]


def shapes(op: OpDef) -> list[tuple[int, ...]]:
    return MATRICES if op.is_matrix else SHAPES


def number(op: OpDef, name: str, k: int = 0) -> Any:
    """A value for an attribute: of tensor k where tensors may differ."""
    attr = op.attrs[name]
    if attr.kind == "integer":
        return 3 + k if name in op.plurals else 3
    return EXAMPLE.get(name, 0.9) if attr.default is REQUIRED or name in EXAMPLE else attr.default


def numbers(op: OpDef, k: int = 0) -> dict[str, Any]:
    """Attributes for one tensor: all that are required, and a clip."""
    used = [n for n, a in op.attrs.items() if n in EXAMPLE or a.default is REQUIRED]
    return {n: number(op, n, k) + (0.01 * k if n == "lr" else 0) for n in used}


def arrays(op: OpDef, shape: tuple[int, ...], dtype: str, state_dtype: str, seed: int) -> dict[str, Any]:
    """Random inputs of one tensor, by the op's names of them."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for spec in op.inputs:
        name, kind = spec
        own = state_dtype if kind in (*STATE_KINDS, "master") else dtype
        if name == "compensation":
            own = dtype
        if kind == "scalar":
            found[name] = np.array([0.5], np.float32)
        else:
            found[name] = random_array(rng, state_shape(op, spec, shape), own)
        if kind in STATE_KINDS:
            found[name] = np.abs(found[name]) * found[name].dtype.type(0.01 if name == "compensation" else 1)
    if "weight32" in found:
        found["weight"] = found["weight32"].astype(to_numpy(dtype))
    return found


def run(op: OpDef, given: dict[str, Any], engine: str, **attrs: Any) -> dict[str, np.ndarray]:
    """One step of an op of one tensor, in place: its weight and states afterwards. Attributes may be arrays."""
    given = {k: x.copy() if isinstance(x, np.ndarray) else x for k, x in given.items()}
    given |= {f"{k}_": x for k, x in attrs.items() if isinstance(x, np.ndarray)}
    attrs = {k: sym.var(f"{k}_") if isinstance(x, np.ndarray) else x for k, x in attrs.items()}
    variables = {name: sym.var(name) for name in op.input_names()}
    out = {"out": variables["weight"]} if op.gives == "weight" else {}
    node = getattr(sym, op.name)(*variables.values(), **attrs, **out)
    result = node.bind(args=given, aux_states=given, engine=engine).forward()[0]
    return {"weight": result, **{s: given[s] for s in op.states}}


def run_multi(name: str, tensors: list[dict[str, Any]], engine: str, attrs: dict[str, Any]) -> list[Any]:
    """One step of an op of several tensors: weights, then states, in the order of the tensors."""
    family = get_op(name)
    assert family.base is not None
    op = of_count(family, len(tensors))
    given: dict[str, Any] = {}
    for k, tensor in enumerate(tensors):
        given.update({f"{n}_{k}": x.copy() for n, x in tensor.items() if f"{n}_{k}" in op.input_names()})
    given.update({n: x for n, x in tensors[0].items() if n in op.input_names()})
    attrs = dict(attrs)
    for n, kind in op.inputs:
        if kind == "vector":
            given[n] = np.array(attrs.pop(n), np.float64)
    variables = [sym.var(n) for n in op.input_names()]
    weights = [v for v, n in zip(variables, op.input_names()) if n.startswith("weight_")]
    node = getattr(sym, name)(*variables, **attrs, out=weights)
    executor = node.bind(args=given, aux_states=given, engine=engine)
    return [*executor.forward(), *(given[s] for s in op.states)]


def same(a: Any, b: Any) -> None:
    assert np.array_equal(bits(a), bits(b))


def seed_of(text: str) -> int:
    return zlib.crc32(text.encode())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("op", PLAIN, ids=[op.name for op in PLAIN])
def test_a_master_copy_is_the_op_in_float32(op: OpDef, dtype: str) -> None:
    mp = get_op(f"mp_{op.name}")
    for shape in shapes(op):
        given = arrays(mp, shape, dtype, "float32", seed_of(op.name))
        tensors = [i.name for i in op.inputs if i.kind == "tensor"]
        plain = {n: x.astype(np.float32) if n in tensors else x for n, x in given.items()}
        plain["weight"] = plain.pop("weight32")
        expected = run(op, plain, "reference", **numbers(op))
        for engine in ("native", "reference"):
            found = run(mp, given, engine, **numbers(op))
            same(found["weight"], expected["weight"].astype(to_numpy(dtype)))
            same(found["weight32"], expected["weight"])
            for s in op.states:
                same(found[s], expected[s])


@pytest.mark.parametrize("form", ["multi_", "multi_mp_", "preloaded_multi_", "preloaded_multi_mp_"])
@pytest.mark.parametrize("op", PLAIN, ids=[op.name for op in PLAIN])
def test_several_tensors_are_the_op_on_each(op: OpDef, form: str) -> None:
    name = form + op.name
    dtype = "bfloat16" if "mp_" in form else "float32"
    base = get_op(f"mp_{op.name}") if "mp_" in form else op
    tensors = [arrays(base, shape, dtype, "float32", seed_of(f"{name}{shape}")) for shape in shapes(op)]
    each = [numbers(op, k) for k in range(len(tensors))]
    family = get_op(name)
    attrs: dict[str, Any] = {n: v for n, v in each[0].items() if n not in op.plurals}
    for n, plural in op.plurals.items():
        if n in each[0] or n in family.preloaded:
            attrs[plural] = tuple(numbers(op, k).get(n, 0.01) for k in range(len(tensors)))
    if any(a not in each[0] and a in family.preloaded for a in op.plurals):
        each = [{**e, "wd": 0.01} for e in each]
    for n, plural in op.plurals.items():
        attrs.setdefault(plural, tuple(e.get(n, op.attrs[n].default) for e in each))
    attrs = {
        n: v for n, v in attrs.items() if n in family.attrs or n in [op.plurals[a] for a in family.preloaded]
    }
    # A number is combined with others in float64, an element of an array in the dtype of the arrays it meets.
    each = [{n: np.array([v]) if n in family.preloaded else v for n, v in e.items()} for e in each]
    expected = [run(base, t, "reference", **e) for t, e in zip(tensors, each)]
    for engine in ("native", "reference"):
        found = run_multi(name, tensors, engine, attrs)
        for got, want in zip(found, (e["weight"] for e in expected)):
            same(got, want)
        states = [e[s] for e in expected for s in base.states]
        for got, want in zip(found[len(tensors) :], states, strict=True):
            same(got, want)


@pytest.mark.parametrize("storage", ["dense", "standard", "duplicates"])
@pytest.mark.parametrize("how", ["mp_", "kahan", "state_dtype"])
@pytest.mark.parametrize("op", PLAIN, ids=[op.name for op in PLAIN])
def test_engines_agree_on_forms(op: OpDef, how: str, storage: str, shared_early: None) -> None:
    attrs: dict[str, Any] = {**numbers(op), "lazy_update": storage != "standard"}
    dtype, state_dtype = "bfloat16", "bfloat16"
    if how == "mp_":
        op, state_dtype = get_op(f"mp_{op.name}"), "float32"
    elif how == "state_dtype":
        dtype, attrs["state_dtype"], state_dtype = "float32", "float16", "float16"
    else:
        attrs.update(kahan=True, rounding="stochastic", seed=7)
    concrete = with_compensation(op) if how == "kahan" else op
    for shape in [(37, 5), (100, 300)]:
        given = arrays(concrete, shape, dtype, state_dtype, seed_of(f"{op.name}{how}{storage}"))
        if storage != "dense":
            rng = np.random.default_rng(1)
            given["grad"] = sparse_array(rng, shape, dtype, storage == "duplicates")
        expected = run(concrete, given, "reference", **attrs)
        for threads in (1, 2):
            so.set_num_threads(threads)
            found = run(concrete, given, "native", **attrs)
            for name in expected:
                same(found[name], expected[name])


def test_names_of_forms() -> None:
    assert find_op("multi_mp_sgd_update") is get_op("_multi_mp_sgd_update")
    assert get_op("mp_adam_update").input_names() == ("weight", "grad", "mean", "var", "weight32")
    assert find_op("mp_nothing_update") is None
    with pytest.raises(UnknownOpError, match="mp_adm_update"):
        get_op("mp_adm_update")
    concrete = of_count(get_op("preloaded_multi_sgd_mom_update"), 2)
    assert concrete.input_names() == (
        "weight_0", "grad_0", "mom_0", "weight_1", "grad_1", "mom_1", "lrs", "wds",
    )  # fmt: skip
    assert concrete.outputs == ("output0", "output1", "mom_0", "mom_1")


def multi(count: int = 2, **attrs: Any) -> so.Symbol:
    variables = [sym.var(f"{n}{k}") for k in range(count) for n in "wgm"]
    return sym.multi_sgd_mom_update(
        *variables, **{"lrs": (0.1,) * count, "wds": (0.0,) * count, **attrs}, name="u"
    )


def test_json_keeps_forms() -> None:
    kahan = sym.sgd_update(
        sym.var("w"), sym.var("g"), sym.var("c"), lr=0.1, kahan=True, rounding="stochastic", seed=3
    )
    for symbol in (multi(), sym.mp_adam_update(lr=0.1), kahan):
        again = sym.load_json(symbol.tojson())
        assert again.tojson() == symbol.tojson()
        assert again.list_outputs() == symbol.list_outputs()
        assert again.list_auxiliary_states() == symbol.list_auxiliary_states()


def test_a_multi_symbol_is_its_weights_and_its_states_can_be_read() -> None:
    symbol = multi()
    assert symbol.list_outputs() == ["u_output0", "u_output1"]
    assert symbol.list_auxiliary_states() == ["m0", "m1"]
    assert symbol.state("mom_1").list_outputs() == ["u_mom_1"]
    given = {f"{n}{k}": np.ones(k + 2, np.float32) for k in range(2) for n in "wgm"}
    total = sym.Group([symbol[0] + 1, symbol.state("mom_1") * 2])
    first, second = total.bind(args=given, aux_states=given).forward()
    assert first.shape == (2,)
    np.testing.assert_allclose(second, 2 * given["m1"])


def test_what_does_not_fit_several_tensors_is_refused() -> None:
    with pytest.raises(AttributeValueError, match=r"lrs must be a tuple of 2 numbers"):
        multi(lrs=(0.1,))
    with pytest.raises(AttributeValueError, match=r"num_weights = 3, but 2 weights are given"):
        multi(num_weights=3)
    with pytest.raises(MissingArgumentError, match="takes weight, grad, mom for each tensor"):
        sym.multi_sgd_mom_update(sym.var("w"), sym.var("g"), lrs=(0.1,), wds=(0.0,))
    loaded = sym.preloaded_multi_sgd_update(*(sym.var(n) for n in ("w", "g", "lrs", "wds")))
    given = {"w": np.ones(3), "g": np.ones(3), "lrs": np.ones(2), "wds": np.ones(1)}
    with pytest.raises(ShapeError, match="lrs must have one number for each of 1 tensors"):
        loaded.bind(args=given)


def test_what_rounding_loses_has_the_dtype_of_each_weight() -> None:
    """Also of several weights, and when other states have one of their own."""
    names = [f"{n}{k}" for k in range(2) for n in "wgmc"]
    variables = [sym.var(n) for n in names]
    attrs: dict[str, Any] = {"lrs": (0.1, 0.1), "kahan": True, "state_dtype": "float32"}
    symbol = sym.multi_sgd_mom_update(*variables, **attrs)
    executor = symbol.simple_bind(w0=(3,), w1=(4,), type_dict={"w0": "float16", "w1": "bfloat16"})
    found = {n: a.dtype.name for n, a in executor.aux_dict.items()}
    assert found == {"m0": "float32", "c0": "float16", "m1": "float32", "c1": "bfloat16"}
    with pytest.raises(DTypeError, match="kahan keeps what 16-bit weights lose"):
        symbol.simple_bind(w0=(3,), w1=(4,), type_dict={"w0": "float32", "w1": "bfloat16"})


def test_rates_from_another_op_in_the_same_step() -> None:
    """multi_lars feeds preloaded_multi_sgd: the rates are made in the step that reads them."""
    names = [f"{n}{k}" for k in range(3) for n in "wg"]
    given = {n: np.full(3 + i, 1.0 + i, np.float32) for i, n in enumerate(sorted(names))}
    for k in range(3):
        given[f"g{k}"] = np.full_like(given[f"w{k}"], 0.5)
    rates = sym.var("base") * 0.5
    variables = [sym.var(n) for n in names]
    symbol = sym.preloaded_multi_sgd_update(*variables, rates, sym.var("wds"), out=variables[::2])
    given |= {"base": np.array([0.2, 0.4, 0.6], np.float32), "wds": np.zeros(3, np.float32)}
    expected = [given[f"w{k}"] - np.float32(0.1 * (k + 1)) * given[f"g{k}"] for k in range(3)]
    for engine in ("reference", "native"):
        args = {n: x.copy() for n, x in given.items()}
        symbol.bind(args=args, engine=engine).forward()
        for k in range(3):
            np.testing.assert_allclose(args[f"w{k}"], expected[k], rtol=1e-6)


def test_eager_calls_of_forms() -> None:
    w = [np.ones((2, 3), np.float32), np.ones(4, np.float32)]
    g = [np.full_like(x, 0.5) for x in w]
    fresh = so.nd.multi_sgd_update(w[0], g[0], w[1], g[1], lrs=(0.1, 0.2), wds=(0, 0))
    assert w[0][0, 0] == 1 and len(fresh) == 2
    result = so.nd.multi_sgd_update([w[0], g[0], w[1], g[1]], lrs=(0.1, 0.2), wds=(0, 0), out=w)
    assert result[0] is w[0]
    np.testing.assert_array_equal(w[1], fresh[1])
    half = np.ones(3, np.float16)
    master, m, v = (np.full(3, x, np.float32) for x in (1, 0, 0))
    so.nd.mp_adam_update(half, np.ones(3, np.float16), m, v, master, lr=1e-4, out=half)
    assert master[0] != 1 and m[0] != 0
    assert so.nd.reset_arrays(m, v) is None
    assert not m.any() and not v.any()
    assert so.nd.multi_all_finite(m, np.array([np.inf], np.float32)) == 0
