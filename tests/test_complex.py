"""Complex weights: every rule that has a meaning for them, on both engines and in plain NumPy; the others refuse."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_engines import (
    ORDINARY,
    STORAGES,
    UPDATES,
    arguments,
    bits,
    disagreement,
    random_array,
    required,
)
from where import Host

import symopt as so
from symopt import lang, matrices, pairs, sym, tensor
from symopt.dtypes import COMPLEX, to_numpy
from symopt.errors import DTypeError
from symopt.expr import Extent, Type
from symopt.lang import Condition, RowState, State, Tensor, updated
from symopt.opdef import STATE_KINDS, OpDef, update_op
from symopt.opdef import op as ordinary_op
from symopt.prims import PRIMS
from symopt.sparse import RowSparseArray

SHAPES = [(37, 51), (5,), (0, 4), (9, 3, 5), (3, 9001), ()]
engines = pytest.mark.parametrize("engine", ["reference", "native"])
Arrays = dict[str, np.ndarray]


def refusal(op: OpDef) -> str:
    """Why an update op takes no complex weights; "" if it does."""
    values = required(op)
    try:
        variables = [sym.var(i.name) for i in op.inputs]
        getattr(sym, op.name)(*variables, **values, name="u").infer_type_partial(
            **{op.inputs[0].name: "complex64"}
        )
    except DTypeError as error:
        return str(error)
    return ""


REFUSED = {op.name: text for op in UPDATES if (text := refusal(op))}
TAKEN = [op for op in UPDATES if op.name not in REFUSED]


def test_rules_that_need_an_order_refuse_and_say_so() -> None:
    assert {"ftrl_update", "signsgd_update"} <= REFUSED.keys()
    assert {"adam_update", "sgd_mom_update", "adagrad_update", "group_adagrad_update"} <= {
        op.name for op in TAKEN
    }
    for name, text in REFUSED.items():
        assert text.startswith(f"{name} 'u': ") and "complex values" in text and "built at" in text


# ---- the engines agree


def cases() -> Iterator[Any]:
    for op in TAKEN:
        for storage in STORAGES:
            for dtype in COMPLEX if storage in ("dense", "duplicates") else COMPLEX[:1]:
                yield pytest.param(op, storage, dtype, id=f"{op.name}-{storage}-{dtype}")


@pytest.mark.parametrize(("op", "storage", "dtype"), list(cases()))
def test_native_equals_reference(op: OpDef, storage: str, dtype: str) -> None:
    assert not disagreement(op, storage, dtype, [Host("native")], SHAPES)


# ---- they mean what NumPy's complex numbers mean

N_ROWS, N_COLUMNS = 6, 5
COUNTS = {
    "count:row": N_COLUMNS, "count:column": N_ROWS, "count:matrices": 1, "count:tensor": N_ROWS * N_COLUMNS,
}  # fmt: skip


def leaf(op: str, *_: Any, name: str) -> float:
    return COUNTS[name]


BUILDER: Any = SimpleNamespace(make=None, leaf=leaf, const=float, matrices=True, tall=True)


class InNumPy(np.ndarray):
    """An array in the place of a node: its type has the grid that its shape is."""

    @property
    def type(self) -> Type:
        letters = zip("rc", self.shape, strict=False)
        return Type("", Extent.ELEMENT, "".join(letter if n > 1 else "1" for letter, n in letters))


def as_tensor(x: Any) -> Tensor:
    """An array as a value of a formula, with no engine behind it: `imag` only says that it is complex."""
    array: Any = np.asarray(x).view(InNumPy)
    return Tensor(BUILDER, array, array.imag if array.dtype.kind == "c" else None)


def as_array(x: Any) -> Any:
    return np.asarray(x.node if isinstance(x, Tensor) else x)


BY_NUMPY: dict[str, Callable[..., Any]] = {
    **{name: prim.numpy for name, prim in PRIMS.items()},
    "conj": np.conjugate, "matmul": np.matmul, "transpose": np.transpose, "sum": np.sum, "max": np.max, "min": np.min,
    "row_sum": lambda x: np.sum(x, 1, keepdims=True), "row_max": lambda x: np.max(x, 1, keepdims=True),
    "column_sum": lambda x: np.sum(x, 0, keepdims=True),
}  # fmt: skip


def at_once(name: str, *operands: Any) -> Tensor:
    """A primitive by NumPy's own complex arithmetic."""
    return as_tensor(BY_NUMPY[name](*map(as_array, operands)))


@contextmanager
def numpy_formulas() -> Iterator[None]:
    """Inside, formulas compute on NumPy's complex arrays when they are called."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        for module in (tensor, lang):
            patch.setattr(module, "apply", at_once)
        patch.setattr(matrices, "_call", at_once)
        patch.setattr(lang, "partial", lambda function, **_: function)
        patch.setattr(pairs, "abs2", lambda _, x: np.abs(x[0]) ** 2)
        yield


def states_of(op: OpDef, node: Any, weight: str, dtype: str, rng: np.random.Generator) -> Arrays:
    """States of the dtypes that are inferred from the weight's; real ones are positive."""
    kept = dict(zip(node.list_auxiliary_states(), node.infer_type_partial(**{weight: dtype})[2], strict=True))
    found = {}
    for i in op.inputs:
        if i.kind in STATE_KINDS:
            shape = {"row_state": (N_ROWS, 1), "column_state": (1, N_COLUMNS)}.get(
                i.kind, (N_ROWS, N_COLUMNS)
            )
            state = random_array(rng, shape, to_numpy(kept[i.name]).name)
            found[i.name] = state if state.dtype.kind == "c" else 9 + abs(state)
    return found


@pytest.mark.parametrize("op", TAKEN, ids=[op.name for op in TAKEN])
def test_formulas_mean_what_numpy_means(op: OpDef) -> None:
    """Every formula again, on NumPy's complex arrays instead of pairs of real primitives."""
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    node = getattr(sym, op.name)(*(sym.var(i.name) for i in op.inputs), **required(op))
    arrays: Arrays = {}
    for i in op.inputs:
        if i.kind in ("tensor", "matrix"):
            arrays[i.name] = random_array(rng, (N_ROWS, N_COLUMNS), "complex128")
        elif i.kind == "scalar":
            arrays[i.name] = np.array([0.5])
    arrays |= states_of(op, node, op.inputs[0].name, "complex128", rng)
    arrays = {i.name: arrays[i.name] for i in op.inputs}
    before = {name: as_tensor(x.copy()) for name, x in arrays.items()}
    weight = getattr(so.nd, op.name)(*arrays.values(), **required(op))

    given = {a.name: a.default for a in op.attrs.values() if a.name in op.keywords} | required(op)
    numbers = {name: np.float64(x) if op.attrs[name].is_numeric else x for name, x in given.items()}
    with numpy_formulas():
        result = op.formula(*(before[i.name] for i in op.inputs), **numbers)
    np.testing.assert_allclose(weight, np.broadcast_to(as_array(result.weight), weight.shape), rtol=1e-10)
    for name, value in result.states.items():
        np.testing.assert_allclose(arrays[name], as_array(value), rtol=1e-10)


def numpy_adam(w: Any, g: Any, m: Any, v: Any) -> Any:
    g = g + 0.01 * w
    m[...] = 0.9 * m + (1 - 0.9) * g
    v[...] = 0.999 * v + (1 - 0.999) * np.abs(g) ** 2
    return w - 0.1 * m / (np.sqrt(v) + 1e-8)


def numpy_momentum(w: Any, g: Any, mom: Any) -> Any:
    mom[...] = 0.9 * mom - 0.1 * (g + 0.01 * w)
    return w + mom


def numpy_adagrad(w: Any, g: Any, h: Any) -> Any:
    g = g + 0.01 * w
    h[...] = h + np.abs(g) ** 2
    return w - 0.1 * g / (np.sqrt(h) + 1e-7)


def numpy_group_adagrad(w: Any, g: Any, h: Any) -> Any:
    h[...] = h + np.mean(np.abs(g) ** 2, 1, keepdims=True)
    return w - 0.1 * g / (np.sqrt(h) + 1e-5)


LINES: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "sgd_update": (lambda w, g: w - 0.1 * (g + 0.01 * w), {"wd": 0.01}),
    "sgd_mom_update": (numpy_momentum, {"wd": 0.01, "momentum": 0.9}),
    "adam_update": (numpy_adam, {"wd": 0.01}),
    "adagrad_update": (numpy_adagrad, {"wd": 0.01}),
    "group_adagrad_update": (numpy_group_adagrad, {}),
}


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", LINES)
def test_rules_in_plain_numpy(name: str, storage: str, dtype: str) -> None:
    lines, attrs = LINES[name]
    rng = np.random.default_rng(zlib.crc32(f"{name}{storage}{dtype}".encode()))
    op = next(op for op in UPDATES if op.name == name)
    node = getattr(sym, name)(*(sym.var(i.name) for i in op.inputs), lr=0.1)
    states = states_of(op, node, "weight", dtype, rng)
    weight = random_array(rng, (N_ROWS, N_COLUMNS), dtype)
    indices = {"dense": range(N_ROWS), "duplicates": [4, 1, 4, 4]}.get(storage, [1, 4])
    data = random_array(rng, (len(indices), N_COLUMNS), dtype)
    grad: Any = data if storage == "dense" else RowSparseArray(data, list(indices), weight.shape)

    dense = np.zeros_like(weight)
    np.add.at(dense, list(indices), data)
    rows = slice(None) if storage in ("dense", "standard") else sorted(set(indices))
    expected, new_states = weight.copy(), {k: x.copy() for k, x in states.items()}
    views = {k: x[rows] for k, x in new_states.items()}
    expected[rows] = lines(weight[rows], dense[rows], *views.values())
    for k, x in views.items():
        new_states[k][rows] = x

    getattr(so.nd, name)(
        weight, grad, **states, lr=0.1, lazy_update=storage != "standard", out=weight, **attrs
    )
    rtol = 1e-5 if dtype == "complex64" else 1e-13
    np.testing.assert_allclose(weight, expected, rtol=rtol)
    for k, x in states.items():
        np.testing.assert_allclose(x, new_states[k], rtol=rtol)


# ---- ordinary ops

NUMPY: dict[str, Callable[..., Any]] = {
    "elemwise_add": np.add, "elemwise_sub": np.subtract, "elemwise_mul": np.multiply, "elemwise_div": np.divide,
    "_plus_scalar": lambda x: x + 0.75, "_rminus_scalar": lambda x: 0.75 - x, "_div_scalar": lambda x: x / 0.75,
    "_rdiv_scalar": lambda x: 0.75 / x, "_equal": np.equal, "_not_equal": np.not_equal,
    "_equal_scalar": lambda x: x == 0.75, "abs": np.abs, "square": np.square, "negative": np.negative,
    "reciprocal": np.reciprocal, "identity": np.positive, "zeros_like": np.zeros_like, "ones_like": np.ones_like,
    "sum": np.sum, "mean": np.mean, "norm": np.linalg.norm, "all_finite": lambda x: np.isfinite(x).all(),
    "where": lambda c, x, y: np.where(c != 0, x, y),
}  # fmt: skip
ORDERED = [
    "max", "min", "sign", "clip", "_maximum", "_minimum_scalar", "_greater", "_lesser_equal_scalar", "_mod",
    "sqrt", "rsqrt", "exp", "log", "_power", "_rpower_scalar",
]  # fmt: skip


@engines
@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("name", NUMPY)
def test_ordinary_ops_mean_what_numpy_means(name: str, dtype: str, engine: str) -> None:
    op = next(op for op in ORDINARY if op.name == name)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    arrays = [random_array(rng, (13, 17), dtype) for _ in op.inputs]
    arrays[-1][3, 4] = 0 if "div" not in name and name != "reciprocal" else 1
    arrays[0][5, 6] = 0.75
    _, attrs = arguments(op, rng, (1, 1), "float32")
    bound = {f"x{k}": x for k, x in enumerate(arrays)}
    result = getattr(sym, name)(*map(sym.var, bound), **attrs).bind(args=bound, engine=engine).forward()[0]
    expected = np.asarray(NUMPY[name](*arrays))
    assert result.dtype == (dtype if expected.dtype.kind == "c" else np.zeros(0, dtype).real.dtype)
    np.testing.assert_allclose(np.squeeze(result), expected, rtol=1e-4 if dtype == "complex64" else 1e-12)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("name", NUMPY)
def test_ordinary_ops_equal_reference(name: str, dtype: str) -> None:
    op = next(op for op in ORDINARY if op.name == name)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    over: list[dict[str, Any]] = [{"axis": None}, {"axis": (1,)}, {"axis": (1,), "keepdims": True}]
    for shape in [(37, 51), (1, 1), (4, 0), (3, 9001)]:
        arrays, attrs = arguments(op, rng, shape, dtype)
        for variant in over if "axis" in op.attrs else [{}]:
            bound = {f"x{k}": x for k, x in enumerate(arrays)}
            node = getattr(sym, name)(*map(sym.var, bound), **attrs, **variant)
            one, other = (node.bind(args=bound, engine=e).forward()[0] for e in ("reference", "native"))
            assert np.array_equal(bits(one), bits(other)), f"shape {shape} {variant}"


@pytest.mark.parametrize("name", ORDERED)
def test_what_has_no_meaning_is_refused(name: str) -> None:
    op = next(op for op in ORDINARY if op.name == name)
    arrays, attrs = arguments(op, np.random.default_rng(0), (3, 2), "complex64")
    with pytest.raises(DTypeError, match=rf"(?s)^{name} '.*complex values.*built at"):
        getattr(so.nd, name)(*arrays, **attrs)


@engines
@pytest.mark.parametrize("op", ["+", "-", "*", "/", "r-", "r/"])
def test_real_and_complex_arrays_go_together(op: str, engine: str) -> None:
    rng = np.random.default_rng(5)
    z, r = random_array(rng, (4, 3), "complex64"), random_array(rng, (4, 1), "float32")
    left, right = (r, z) if op.startswith("r") else (z, r)
    symbols = {id(z): sym.var("z"), id(r): sym.var("r")}
    apply = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[op[-1]]
    node = {"+": "elemwise_add", "-": "elemwise_sub", "*": "elemwise_mul", "/": "elemwise_div"}[op[-1]]
    symbol = getattr(sym, node)(symbols[id(left)], symbols[id(right)])
    result = symbol.bind(args={"z": z, "r": r}, engine=engine).forward()[0]
    assert result.dtype == np.complex64
    np.testing.assert_allclose(result, apply(left, right), rtol=1e-5)


def test_parts_of_two_precisions_do_not_go_together() -> None:
    with pytest.raises(
        DTypeError, match=r"(?s)lhs must fit the other.*float64   <-- expected float32 or complex64"
    ):
        so.nd.elemwise_mul(np.zeros(3), np.zeros(3, "complex64"))


def test_casts() -> None:
    x = np.array([1.5, -2.0])
    assert so.nd.Cast(x, dtype="complex64").tolist() == [1.5 + 0j, -2 + 0j]
    assert so.nd.Cast(x + 2j, dtype="complex64").dtype == np.complex64
    with pytest.raises(DTypeError, match=r"Cast .*complex values cannot become float32; abs makes them real"):
        so.nd.Cast(x + 2j, dtype="float32")


@pytest.mark.parametrize("dtype", COMPLEX)
def test_a_sum_is_the_sum_of_each_part(dtype: str) -> None:
    x = random_array(np.random.default_rng(9), (20000,), dtype)
    parts = [so.nd.sum(np.ascontiguousarray(part))[0] for part in (x.real, x.imag)]
    assert so.nd.sum(x)[0] == complex(*parts)


# ---- formulas of one's own


@update_op
def drawn_complex_update(
    weight: Tensor, grad: Tensor, mean: State, size: State, rows: RowState, *, lr: float
) -> Any:
    """One state of each kind: `rows` becomes complex because `mean` is."""
    mean = 0.5 * mean + grad * grad / (weight + 2)
    size = lang.maximum(size, lang.absolute(grad))
    rows = rows + lang.row_mean(mean)
    step = lang.where(size > 1, mean, rows / lang.norm(grad))
    return updated(weight - lr * step, mean=mean, size=size, rows=rows)


@ordinary_op
def drawn_choice(condition: Condition, x: Tensor) -> Tensor:
    """x where the condition is not zero in either part, and is finite."""
    return lang.where(lang.both(condition != 0, lang.is_finite(x)), x, -1)


@engines
def test_a_state_is_complex_if_something_complex_comes_into_it(engine: str) -> None:
    w = sym.var("w")
    node = sym.drawn_complex_update(w, *map(sym.var, ("g", "mean", "size", "rows")), lr=0.1, out=w)
    exe = node.simple_bind(w=(3, 4), type_dict={"w": "complex64"}, engine=engine)
    found = {name: x.dtype.name for name, x in (*exe.arg_dict.items(), *exe.aux_dict.items())}
    assert found == {
        "w": "complex64",
        "g": "complex64",
        "mean": "complex64",
        "size": "float32",
        "rows": "complex64",
    }
    rng = np.random.default_rng(3)
    weight, grad = random_array(rng, (3, 4), "complex64"), random_array(rng, (3, 4), "complex64")
    exe.copy_params_from({"w": weight, "g": grad})
    exe.forward()
    mean, size = grad * grad / (weight + 2), abs(grad)
    rows = mean.mean(1, keepdims=True)
    step = np.where(size > 1, mean, rows / np.linalg.norm(grad))
    np.testing.assert_allclose(exe.aux_dict["rows"], rows, rtol=1e-5)
    np.testing.assert_allclose(exe.arg_dict["w"], weight - 0.1 * step, rtol=1e-5)


@ordinary_op
def drawn_conjugate(x: Tensor) -> Tensor:
    """x times its conjugate, which is real but not known to be."""
    return x * lang.conjugate(x)


@ordinary_op
def drawn_rounded(x: Tensor) -> Tensor:
    """x in what float16 can hold."""
    return lang.float16(x)


def test_what_formulas_may_say_of_parts() -> None:
    z = np.array([3 + 4j, -2j])
    assert so.nd.drawn_conjugate(z).tolist() == [25, 4]
    assert so.nd.drawn_conjugate(z.real.copy()).tolist() == [9, 0]
    with pytest.raises(DTypeError, match=r"drawn_rounded '.*float16 does not take complex values"):
        so.nd.drawn_rounded(z)


@engines
def test_conditions_may_be_complex(engine: str) -> None:
    condition = np.array([0, 1j, 2, 0, 1 + 1j])
    x = np.array([1j, 2, 3j, 4, complex(0, np.inf)])
    node = sym.drawn_choice(sym.var("c"), sym.var("x"))
    assert node.bind(args={"c": condition, "x": x}, engine=engine).forward()[0].tolist() == [
        -1,
        2,
        3j,
        -1,
        -1,
    ]
    real = node.bind(args={"c": condition, "x": x.real.copy()}, engine=engine).forward()[0]
    assert real.tolist() == [-1, 2, 0, -1, 0]


# ---- graphs


@engines
def test_clipping_by_the_global_norm(engine: str) -> None:
    """A real number made of complex arrays scales complex arrays; everything follows from the weights' dtype."""
    names = [("w", "g", "m"), ("x", "h", "n")]
    grads = [sym.var(g) for _, g, _ in names]
    total = sym.multi_sum_sq(*grads, num_arrays=2).sum().sqrt()
    scale = 1 / sym.maximum(total, 1.0)
    weights = [sym.var(w) for w, _, _ in names]
    steps = [
        sym.sgd_mom_update(w, g * scale, sym.var(m), lr=0.5, momentum=0.9, out=w)
        for (_, _, m), w, g in zip(names, weights, grads)
    ]
    group = sym.Group([*steps, total])
    exe = group.simple_bind(
        w=(3, 4), x=(70, 200), type_dict={"w": "complex128", "x": "complex128"}, engine=engine
    )
    rng = np.random.default_rng(0)
    for name in ("w", "g", "x", "h"):
        exe.arg_dict[name][...] = random_array(rng, exe.arg_dict[name].shape, "complex128")
    before = {k: v.copy() for k, v in exe.arg_dict.items()}
    exe.forward()
    size = np.sqrt(sum(np.sum(np.abs(before[g]) ** 2) for g in "gh"))
    assert exe.outputs[-1].dtype == np.float64
    np.testing.assert_allclose(exe.outputs[-1], [size])
    for w, g, _ in names:
        np.testing.assert_allclose(exe.arg_dict[w], before[w] - 0.5 * before[g] / size, rtol=1e-12)


@engines
def test_a_sparse_gradient_read_as_dense(engine: str) -> None:
    grad = RowSparseArray(np.array([[1j, 2], [3, 4j], [1j, 1j]]), [2, 0, 2], (4, 2))
    node = sym.norm(sym.var("g", stype="row_sparse"))
    exe = node.bind(args={"g": grad}, engine=engine)
    np.testing.assert_allclose(exe.forward()[0], np.linalg.norm(grad.todense()))
    assert grad.todense()[2].tolist() == [2j, 2 + 1j]


@engines
def test_several_tensors_in_one_node(engine: str) -> None:
    rng = np.random.default_rng(2)
    arrays = {f"{n}{k}": random_array(rng, (5, 3), "complex64") for k in range(2) for n in "wgm"}
    order = [sym.var(f"{n}{k}") for k in range(2) for n in "wgm"]
    node = sym.multi_sgd_mom_update(*order, lrs=(0.1, 0.2), wds=(0.0, 0.5), momentum=0.9, num_weights=2)
    args = {k: v.copy() for k, v in arrays.items()}
    results = node.bind(args=args, aux_states=args, engine=engine).forward()
    for k, (lr, wd) in enumerate(((0.1, 0.0), (0.2, 0.5))):
        w, g, m = (arrays[f"{n}{k}"] for n in "wgm")
        one = so.nd.sgd_mom_update(w, g, m, lr=lr, wd=wd, momentum=0.9)
        assert np.array_equal(bits(results[k]), bits(one)) and np.array_equal(bits(m), bits(args[f"m{k}"]))


def test_chains_copies_and_outputs() -> None:
    """A variable among the outputs, a swap, and a state updated twice."""
    rng = np.random.default_rng(8)
    given = {n: random_array(rng, (4, 3), "complex64") for n in ("x", "y", "g", "m")}
    x, y, g, m = map(sym.var, given)
    first = sym.sgd_mom_update(x, g, m, lr=0.5, momentum=0.5)
    second = sym.sgd_mom_update(first, g, first.state("mom"), lr=0.5, momentum=0.5)
    graph = sym.Group([sym.identity(y, out=x), second + x, sym.identity(x, out=y), m])
    found = []
    for engine in ("reference", "native"):
        arrays = {k: v.copy() for k, v in given.items()}
        outputs = graph.bind(args=arrays, aux_states=arrays, engine=engine).forward()
        found.append([*outputs, *arrays.values()])
        mom = 0.5 * given["m"] - 0.5 * given["g"]
        np.testing.assert_allclose(arrays["m"], 0.5 * mom - 0.5 * given["g"], rtol=1e-5)
        assert np.array_equal(arrays["x"], given["y"]) and np.array_equal(arrays["y"], given["x"])
        assert np.array_equal(outputs[3], given["m"])
    for a, b in zip(*found):
        assert np.array_equal(bits(a), bits(b))


def test_states_in_another_precision() -> None:
    node = sym.adam_update(*map(sym.var, "wgmv"), lr=0.1, state_dtype="float64")
    assert node.infer_type(w="complex64")[2] == [np.complex128, np.float64]
    with pytest.raises(DTypeError, match="state_dtype is of the parts of mean, so not float16"):
        sym.adam_update(*map(sym.var, "wgmv"), lr=0.1, state_dtype="float16").infer_type(w="complex64")
    assert sym.adagrad_update(*map(sym.var, "wgh"), lr=0.1, state_dtype="float16").infer_type(w="complex64")[
        2
    ] == [np.float16]


def test_variables_declared_complex_survive_a_file() -> None:
    text = sym.abs(sym.var("z", dtype="complex128")).tojson()
    assert sym.load_json(text).infer_type() == ([np.complex128], [np.float64], [])


def test_source_shows_both_parts() -> None:
    text = sym.square(sym.var("z")).bind(args={"z": np.zeros(3, "complex64")}).source()
    assert "new out.real = data.real * data.real - data.imag * data.imag" in text
    assert "new out.imag = data.real * data.imag + data.imag * data.real" in text


# ---- errors: raised before anything is written


def bound_adam(**dtypes: str) -> Any:
    names = {"w": "complex64", "g": "complex64", "m": "complex64", "v": "float32"} | dtypes
    arrays = {name: np.ones((2, 2), dtype) for name, dtype in names.items()}
    w = sym.var("w")
    node = sym.adam_update(w, *map(sym.var, "gmv"), lr=0.1, out=w, name="u")
    return node.bind(args=arrays, aux_states=arrays), arrays


WRONG: list[tuple[dict[str, str], str]] = [
    ({"g": "float32"}, r"grad must have the dtype of weight.*float32   <-- expected complex64"),
    ({"w": "float32"}, r"grad must have the dtype of weight.*complex64   <-- expected float32"),
    ({"v": "complex64"}, r"var must be float32.*complex64   <-- expected float32"),
    ({"m": "float32"}, r"mean must be complex64.*float32   <-- expected complex64"),
    ({"m": "complex128"}, r"mean must be complex64"),
]


@pytest.mark.parametrize(("dtypes", "text"), WRONG)
def test_dtypes_that_do_not_fit(dtypes: dict[str, str], text: str) -> None:
    with pytest.raises(DTypeError, match=f"(?s)adam_update 'u': {text}.*built at"):
        bound_adam(**dtypes)


def test_a_clip_has_no_meaning_and_nothing_is_written() -> None:
    with pytest.raises(
        DTypeError, match=r"(?s)adam_update 'c': clip_gradient has no meaning for complex.*built at"
    ):
        sym.adam_update(*map(sym.var, "wgmv"), lr=0.1, clip_gradient=1.0, name="c").infer_type(w="complex64")
    exe, arrays = bound_adam()
    with pytest.raises(DTypeError, match=r"adam_update 'u': clip_gradient has no meaning for complex values"):
        exe.set_attr("u", clip_gradient=1.0)
    assert all((x == 1).all() for x in arrays.values())
    exe.forward()
    assert (arrays["w"] != 1).all()


def test_attributes_are_real() -> None:
    node = sym.sgd_update(sym.var("w"), sym.var("g"), lr=sym.var("lr", shape=(1,)), name="u")
    arrays = {"w": np.ones(3, "complex64"), "g": np.ones(3, "complex64")}
    with pytest.raises(DTypeError, match=r"(?s)sgd_update 'u': lr must be real.*built at"):
        node.bind(args=arrays | {"lr": np.ones(1, "complex64")})
    number = sym.sgd_update(sym.var("w"), sym.var("g"), lr=sym.var("lr", shape=()))
    with pytest.raises(DTypeError, match=r"'lr' is a number of the host, which is real"):
        number.bind(args=arrays | {"lr": np.ones((), "complex64")})
    exe = number.bind(args=arrays | {"lr": 0.5})
    with pytest.raises(DTypeError, match="'lr' is bound to a number"):
        exe.forward(lr=np.ones((), "complex64"))


def test_there_is_no_master_copy_of_complex_weights() -> None:
    with pytest.raises(DTypeError, match="mp_sgd_update 'u': complex weights have no float32 copy"):
        sym.mp_sgd_update(*map(sym.var, ("w", "g", "copy")), lr=0.1, name="u").infer_type(w="complex64")


def test_complex_values_are_not_copied_into_real_arrays() -> None:
    exe = sym.square(sym.var("x")).bind(args={"x": np.zeros(2)})
    with pytest.raises(DTypeError, match="'x' is float64, got complex128"):
        exe.copy_params_from({"x": np.zeros(2, "complex128")})
