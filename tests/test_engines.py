"""Reference against native, bit for bit: every update op, storage, dtype, thread count and odd shape."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from where import Host, Where, put_all

import symopt as so
from symopt import sym
from symopt.attrs import REQUIRED
from symopt.dtypes import COMPLEX, FLOATS, component, to_numpy
from symopt.forms import get_op
from symopt.opdef import STATE_KINDS, OpDef, all_ops
from symopt.shapes import factor_shape, row_shape
from symopt.signatures import Input
from symopt.sparse import RowSparseArray

UPDATES = [
    op
    for op in all_ops()
    if op.is_update and not op.is_variadic and op.where.file.replace("\\", "/").rsplit("/", 2)[-2] == "ops"
]
ORDINARY = [op for op in all_ops() if not op.is_update and not op.is_variadic]
SHAPES = [(37, 51), (5,), (1, 1), (0, 4), (4, 0), (300, 170), (9, 3, 5), (3, 9001), ()]
STORAGES = ("dense", "lazy", "standard", "duplicates")
INEXACT = {"exp", "log", "pow", "power", "tanh", "hash_net"}
EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 6e-8, 60000.0, 1e30]


def bits(x: Any) -> np.ndarray:
    """The bits of an array, of complex numbers those of both parts; every NaN is the same."""
    array = np.atleast_1d(np.asarray(x))
    if array.dtype.kind == "c":
        return bits(np.stack([array.real, array.imag]))
    raw = array.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[array.itemsize]).copy()
    raw[np.isnan(array.astype(np.float64))] = 0
    return raw


def random_array(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, edges: bool = False
) -> np.ndarray:
    if dtype in COMPLEX:
        array = np.zeros(shape, dtype)
        array.real, array.imag = (random_array(rng, shape, component(dtype), edges) for _ in range(2))
        return array
    with np.errstate(over="ignore"):
        array = np.asarray(rng.standard_normal(shape), to_numpy(dtype))
        if edges and array.size:
            flat = array.reshape(-1)
            places = rng.integers(0, array.size, min(array.size, 2 * len(EDGES)))
            flat[places] = np.resize(np.array(EDGES), len(places)).astype(array.dtype)
    return array


def is_inexact(op: OpDef) -> bool:
    """Whether the op's name says that its last digit is the platform's."""
    return any(word in op.name.lower() for word in INEXACT)


def sparse_array(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, repeated: bool, edges: bool = True
) -> RowSparseArray:
    count = max(1, shape[0] // 3) if shape[0] else 0
    if repeated:
        indices = rng.integers(0, shape[0], 2 * count) if shape[0] else np.zeros(0, np.int64)
    else:
        indices = np.sort(rng.choice(shape[0], count, replace=False))
    return RowSparseArray(random_array(rng, (len(indices), *shape[1:]), dtype, edges), indices, shape)


def required(op: OpDef) -> dict[str, Any]:
    """Values of the attributes that have no default."""
    return {a.name: 3 if a.kind == "integer" else 0.1 for a in op.attrs.values() if a.default is REQUIRED}


def state_shape(op: OpDef, spec: Input, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a state of a weight of `shape`."""
    if spec.kind not in ("row_state", "column_state"):
        return shape
    return factor_shape(op.grid(spec.name), shape, None) if op.is_matrix else row_shape(shape)


def other_input(rng: np.random.Generator, spec: Input, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """What an op takes beside weight, gradient and states: a further tensor, or one element."""
    return random_array(rng, shape, dtype) if spec.kind == "tensor" else np.array([0.5], np.float32)


def run(
    op: OpDef, storage: str, dtype: str, shape: tuple[int, ...], where: Where, seed: str, edges: bool
) -> list[np.ndarray]:
    """Two steps of an op somewhere, with edge values or without; the weight and states after them."""
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    weight, grad = random_array(rng, shape, dtype, edges), random_array(rng, shape, dtype, edges)
    clip = 0.7 if rng.random() < 0.5 and dtype in FLOATS else -1.0
    attrs = {"rescale_grad": 0.5, "clip_gradient": clip}
    attrs = {k: v for k, v in attrs.items() if k in op.attrs} | required(op)
    flags = [k for k, a in op.attrs.items() if a.kind == "bool" and k not in ("lazy_update", "kahan")]
    attrs |= {k: bool(rng.random() < 0.5) for k in flags}
    variables = [sym.var(name) for name in ("new", "given", *(i.name for i in op.inputs[2:]))]
    node = getattr(sym, op.name)(*variables, out=variables[0], lazy_update=storage != "standard", **attrs)
    kept = dict(zip(node.list_auxiliary_states(), node.infer_type_partial(new=dtype)[2], strict=True))
    states, others = {}, {}
    for spec in op.inputs[2:]:
        if spec.kind in STATE_KINDS:
            like = state_shape(op, spec, shape)
            states[spec.name] = random_array(rng, like, to_numpy(kept[spec.name]).name)
            if states[spec.name].dtype.kind != "c":
                np.abs(states[spec.name], out=states[spec.name])
        else:
            others[spec.name] = other_input(rng, spec, shape, dtype)
    given: Any = (
        grad if storage == "dense" else sparse_array(rng, shape, dtype, storage == "duplicates", edges)
    )
    args = put_all(where, {"new": weight, "given": given, **others})
    states = put_all(where, states)
    executor = where.bind(node, args, states)
    executor.forward()
    executor.forward()
    where.check()
    return [where.get(x) for x in (args["new"], *states.values())]


def disagreement(
    op: OpDef, storage: str, dtype: str, wheres: Sequence[Where], shapes: Sequence[tuple[int, ...]]
) -> str:
    """How an op first differs somewhere from the interpreter, on one of `shapes`; nothing if it does not."""
    rough = is_inexact(op) or (op.is_matrix and any(where.is_gpu for where in wheres))
    for shape in shapes:
        if (shape == () and storage != "dense") or (op.is_matrix and len(shape) < 2):
            continue
        seed = f"{op.name}{storage}{dtype}{shape}"
        expected = run(op, storage, dtype, shape, Host(), seed, not rough)
        for where in wheres:
            found = run(op, storage, dtype, shape, where, seed, not rough)
            for k, (a, b) in enumerate(zip(expected, found, strict=True)):
                if not (close(dtype, a, b) if rough else np.array_equal(bits(a), bits(b))):
                    return f"{storage}, shape {shape}, {where}: array {k} differs"
    return ""


def close(dtype: str, expected: np.ndarray, found: np.ndarray) -> bool:
    """Whether arrays are equal but for the last digits: those are the platform's, or of another library's products."""
    tolerance = {"float64": 1e-9, "complex128": 1e-9, "float32": 1e-4, "complex64": 1e-4}.get(dtype, 2e-2)
    a, b = (x if x.dtype.kind == "c" else x.astype(float) for x in (found, expected))
    return np.allclose(a, b, tolerance, tolerance, equal_nan=True)


def cases() -> Iterator[Any]:
    for op in UPDATES:
        for storage in STORAGES:
            for dtype in FLOATS:
                yield pytest.param(op, storage, dtype, id=f"{op.name}-{storage}-{dtype}")


@pytest.mark.parametrize(("op", "storage", "dtype"), list(cases()))
def test_native_equals_reference(op: OpDef, storage: str, dtype: str, shared_early: None) -> None:
    assert not disagreement(op, storage, dtype, [Host("native", 1), Host("native", 2)], SHAPES)


def arguments(
    op: OpDef, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> tuple[list[Any], dict[str, Any]]:
    arrays = [random_array(rng, shape, dtype, True) for _ in op.inputs]
    attrs: dict[str, Any] = {"scalar": 0.75, "a_min": -0.5, "a_max": 0.5, "dtype": "float32"}
    return arrays, required(op) | {k: v for k, v in attrs.items() if k in op.attrs}


def ordinary_disagreement(op: OpDef, dtype: str, where: Where) -> str:
    """How an ordinary op somewhere first differs from the interpreter; nothing if it does not."""
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    over: list[dict[str, Any]] = [{"axis": None}, {"axis": (1,)}, {"axis": (1,), "keepdims": True}]
    variants = over if "axis" in op.attrs else [{}]
    for shape in [(37, 51), (1, 1), (4, 0), (3, 9001)]:
        arrays, attrs = arguments(op, rng, shape, dtype)
        given = {f"x{k}": x for k, x in enumerate(arrays)}
        for variant in variants:
            node = getattr(sym, op.name)(*map(sym.var, given), **attrs, **variant)
            one, other = (
                place.get(place.bind(node, put_all(place, given), {}).forward()[0])
                for place in (Host(), where)
            )
            rough = 1e-2 if one.itemsize < 4 else 1e-5
            if is_inexact(op):
                same = np.allclose(one.astype(float), other.astype(float), rough, equal_nan=True)
            else:
                same = np.array_equal(bits(one), bits(other))
            if not same:
                return f"shape {shape} {variant}, {where}"
    return ""


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ORDINARY, ids=[op.name for op in ORDINARY])
def test_ordinary_ops_equal_reference(op: OpDef, dtype: str) -> None:
    assert not ordinary_disagreement(op, dtype, Host("native"))


NUMPY: dict[str, Any] = {
    "elemwise_add": np.add, "elemwise_sub": np.subtract, "elemwise_mul": np.multiply, "elemwise_div": np.divide,
    "_mod": np.mod, "_maximum": np.maximum, "_minimum": np.minimum, "_power": np.power, "abs": np.abs,
    "square": np.square, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "negative": np.negative,
    "_greater": np.greater, "_lesser_equal": np.less_equal, "_equal": np.equal, "reciprocal": np.reciprocal,
    "zeros_like": np.zeros_like, "ones_like": np.ones_like, "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "fix": np.fix,
    "sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "norm": np.linalg.norm,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPY)
def test_ordinary_ops_mean_what_numpy_means(name: str) -> None:
    rng = np.random.default_rng(1)
    arrays = [abs(rng.standard_normal((13, 17))) for _ in get_op(name).inputs]
    result = getattr(so.nd, name)(*arrays)
    np.testing.assert_allclose(np.squeeze(result), NUMPY[name](*arrays), rtol=1e-12)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_halves_are_rounded_as_mxnet_has_it(dtype: str, engine: str) -> None:
    """rint([1.5]) is 1 in MXNet and 2 in NumPy; round takes the one away from zero."""
    real = to_numpy(dtype)
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.125, -2.125, 0, 1000]).astype(real)
    x[8] = np.nextafter(real.type(0.5), real.type(0))
    expected = {
        "rint": [-3, -2, -1, 0, 1, 2, 2, -2, 0, 1000],
        "round": [-3, -2, -1, 1, 2, 3, 2, -2, 0, 1000],
        "floor": [-3, -2, -1, 0, 1, 2, 2, -3, 0, 1000],
    }
    for name, numbers in expected.items():
        result = getattr(sym, name)(sym.var("x")).bind(args={"x": x}, engine=engine).forward()[0]
        assert result.astype(float).tolist() == numbers, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 8191, 8192, 8193, 20000])
def test_canonical_sum(size: int, dtype: str) -> None:
    """Blocks of 8192, 64 lanes, pairwise folds, blocks in float64: written out in plain Python."""
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    real = x.dtype.type
    total = 0.0
    for start in range(0, size, 8192):
        lanes = [real(0)] * 64
        for k, value in enumerate(x[start : start + 8192]):
            lanes[k % 64] = lanes[k % 64] + value
        for s in (32, 16, 8, 4, 2, 1):
            lanes = [lanes[k] + lanes[k + s] for k in range(s)]
        total += float(lanes[0])
    for engine in ("reference", "native"):
        result = sym.sum(sym.var("x")).bind(args={"x": x}, engine=engine).forward()[0]
        assert bits(result)[0] == bits(real(total))[0], engine
