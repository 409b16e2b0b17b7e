"""Shapes, dtypes and storage types that follow from each other, in both directions."""

from typing import Any

import pytest
from work import calls

import symopt  # noqa: F401  registers the ops
from symopt.errors import DTypeError, ShapeError, StorageError, Where
from symopt.expr import Extent, Node, pick
from symopt.forms import get_op
from symopt.infer import Types, infer
from symopt.lang import Condition, RowState, Scalar, Tensor, Updated, norm, row_mean, square, updated, where
from symopt.opdef import op, update_op
from symopt.shapes import domain_of, fits, over_rows, parse_shape, reach, structural


def var(name: str, **attrs: str) -> Node:
    return Node("null", name=name, attrs={f"__{k}__": v for k, v in attrs.items()})


def call(op: str, *inputs: Node, name: str = "u", **attrs: Any) -> Node:
    return Node(op, inputs, attrs, name, Where("train.py", 26))


def adam(*inputs: Node, **attrs: Any) -> Node:
    return call("adam_update", *inputs, lr=0.1, **attrs)


@update_op
def infer_test_scaled_update(
    weight: Tensor, grad: Tensor, history: RowState, scale: Scalar, *, lr: float
) -> Updated:
    """Has one input of each kind."""
    return updated(weight - lr * scale * grad, history=history + row_mean(square(grad)))


@op
def infer_test_dot(x: Tensor, y: Tensor, *, keepdims: bool = False) -> Tensor:
    """A reduction of two operands."""
    return norm(x * y)


@op
def infer_test_mask(condition: Condition) -> Tensor:
    """An op without tensors."""
    return where(condition != 0, 1, 0)


W, G, M, V = var("w"), var("g"), var("m"), var("v")
WGMV = (W, G, M, V)


# ---- update ops


@pytest.mark.parametrize("given", "wgmv")
def test_update_ops_share_one_shape_whichever_is_given(given: str) -> None:
    u = adam(*WGMV)
    types = infer([u], {given: (3, 4)})
    assert [types.shape(n) for n in (*WGMV, u, pick(u, 1), pick(u, 2))] == [(3, 4)] * 7


def test_shape_flows_back_from_a_later_op_through_chained_states() -> None:
    first = call("sgd_mom_update", W, G, M, lr=1.0, name="a")
    second = call("sgd_mom_update", var("w2"), var("g2"), pick(first, 1), lr=1.0, name="b")
    types = infer([first, second], {"g2": (5, 2)}, {"w": "float16"})
    assert types.shape(G) == (5, 2)
    assert types.dtype(pick(second, 1)) == "float16"


def test_unknown_dimensions_are_put_together() -> None:
    u = adam(var("w", shape="(-1, 4)"), var("g", shape="(None, 4)"), var("m"), var("v", shape="(3, -1)"))
    types = infer([u])
    assert [types.shape(n) for n in (u, *u.inputs)] == [(3, 4)] * 5


def test_the_error_lists_the_inputs_and_points_at_one() -> None:
    with pytest.raises(ShapeError) as error:
        infer([adam(*WGMV, name="fc1")], {"w": (128, 64), "m": (64, 128)})
    assert str(error.value) == (
        "adam_update 'fc1': every input must have the shape of weight\n"
        "    weight w (128, 64)\n"
        "    grad   g unknown\n"
        "    mean   m (64, 128)   <-- expected (128, 64)\n"
        "    var    v unknown\n"
        "    output fc1 unknown\n"
        "  built at train.py:26"
    )


ROWS = [
    ((), None, ()), ((5,), None, (5,)), ((5, 3), None, (5, 1)), ((5, 3, 2), None, (5, 1, 1)), ((5, 3), (5,), (5,)),
    ((5, 3), (5, 1), (5, 1)), ((5, 3), (5, 3), None), ((5, 3), (4, 1), None), ((5, 3), (1,), None),
    ((0, 3), None, (0, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("weight", "given", "expected"), ROWS, ids=str)
def test_row_states_hold_one_value_per_row(weight: Any, given: Any, expected: Any) -> None:
    history = var("h")
    u = call("group_adagrad_update", W, G, history, lr=1.0)
    shapes = {"w": weight} | ({} if given is None else {"h": given})
    if expected is None:
        with pytest.raises(ShapeError, match="one value per row"):
            infer([u], shapes)
    else:
        types = infer([u], shapes)
        assert types.shape(history) == types.shape(pick(u, 1)) == expected


def test_scalars_take_one_element_of_any_dtype() -> None:
    scale, lr = var("scale"), var("lr")
    u = Node("infer_test_scaled_update", (W, G, var("h"), scale, lr), {"__scalars__": ("lr",)}, "u")
    types = infer([u], {"w": (2, 3)}, {"w": "float16", "scale": "float32"})
    assert types.shape(scale) == types.shape(lr) == ()
    assert types.is_host(scale) and types.is_host(lr) and not types.is_host(u)
    assert types.dtype(lr) == types.dtype(scale) == "float64"
    types = infer([u], {"w": (2, 3), "scale": (1,)}, {"w": "float16", "scale": "float32"})
    assert not types.is_host(scale) and types.dtype(scale) == "float32"
    with pytest.raises(ShapeError, match="lr must have one element"):
        infer([u], {"w": (2, 3), "lr": (2,)})
    assert infer([u], {"w": (2, 3), "lr": (1, 1)}).shape(lr) == (1, 1)


def test_out_has_the_shape_and_dtype_of_the_result() -> None:
    average = var("average")
    n = call("elemwise_add", W, G, __out__=(average,))
    types = infer([n], {"w": (2,), "g": (2,)}, {"w": "float16"})
    assert types.shape(average) == (2,) and types.dtype(average) == "float16"
    with pytest.raises(ShapeError, match="out="):
        infer([n], {"w": (2,), "g": (2,), "average": (3,)})


# ---- ordinary ops


def test_unary_ops_pass_shapes_both_ways() -> None:
    u = adam(W, call("square", call("sqrt", G)), M, V)
    assert infer([u], {"v": (2, 3)}).shape(G) == (2, 3)
    assert infer([u], {"g": (2, 3)}).shape(W) == (2, 3)


FITS = [
    ((4, 3), (4, 3), (4, 3)), ((4, 3), (1,), (4, 3)), ((), (4, 3), (4, 3)), ((4, 1), (4, 3), (4, 3)),
    ((4, 1), (1, 3), None), ((4,), (4, 3), None), ((0, 5), (1,), (0, 5)), ((0, 5), (0, 1), (0, 5)),
    ((1,), (1, 1), (1, 1)),
    ((1, 3), (4, 3), None), ((0,), (), (0,)), ((2, 3), (3, 2), None), ((4, 1, 1), (4, 2, 3), (4, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("x", "y", "expected"), FITS, ids=str)
def test_operands_broadcast_to_the_domain(x: Any, y: Any, expected: Any) -> None:
    n = call("elemwise_add", var("x"), var("y"))
    for shapes in ({"x": x, "y": y}, {"x": y, "y": x}):
        if expected is None:
            with pytest.raises(ShapeError, match="one value per row"):
                infer([n], shapes)
        else:
            assert infer([n], shapes).shape(n) == expected


def test_unknown_operands_take_the_shape_of_the_known_one_unless_partial() -> None:
    x, y = var("x"), var("y")
    n = call("elemwise_add", x, call("square", y))
    assert infer([n], {"x": (2, 3)}).shape(y) == (2, 3)
    assert infer([n], {"x": (2, 3)}, partial=True).shape(y) is None
    assert infer([n]).shape(n) is None


def test_what_follows_is_preferred_to_what_is_guessed() -> None:
    scaled = call("elemwise_mul", G, call("norm", G))  # seen first, when only the norm's shape is known
    types = infer([scaled, adam(W, G, M, V)], {"v": (2, 3)})
    assert types.shape(scaled) == (2, 3)
    minus = call("elemwise_sub", W, call("elemwise_mul", var("a", shape="()"), G))
    assert infer([minus], {"w": (4, 2)}).shape(G) == (4, 2)


REDUCTIONS = [
    ((4, 3), {}, (1,)), ((4, 3), {"axis": (1,)}, (4,)), ((4, 3), {"axis": (-1,), "keepdims": True}, (4, 1)),
    ((4, 3), {"axis": (0, 1)}, (1,)), ((4, 3), {"keepdims": True}, (1, 1)), ((4, 3), {"axis": (0,)}, None),
    ((4, 3, 2), {"axis": (1,)}, None), ((4, 3, 2), {"axis": (1, 2)}, (4,)), ((4,), {"axis": (0,)}, (1,)),
    ((4,), {"axis": (-1,), "keepdims": True}, (1,)), ((4,), {"axis": (1,)}, None), ((4, 3), {"axis": (2,)}, None),
    (None, {}, (1,)), (None, {"axis": (1,)}, Ellipsis), ((-1, 3), {"axis": (1,)}, (-1,)),
    ((0, 3), {"axis": (1,)}, (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "attrs", "expected"), REDUCTIONS, ids=str)
def test_reductions_give_one_value_or_one_per_row(shape: Any, attrs: dict[str, Any], expected: Any) -> None:
    n = call("sum", var("x"), **attrs)
    if expected is None:
        with pytest.raises(ShapeError, match="every axis but the first"):
            infer([n], {"x": shape})
    else:
        assert infer([n], {"x": shape}).shape(n) == (None if expected is ... else expected)


def test_other_reaches() -> None:
    many = call("multi_sum_sq", *(var(f"x{k}") for k in range(3)))
    types = infer([many], {"x0": (2, 3)}, {"x1": "float16"})
    assert (
        types.shape(many) == (3,)
        and types.dtype(many) == "float32"
        and types.dtype(many.inputs[0]) == "float16"
    )
    dot = call("infer_test_dot", var("x"), var("y"), keepdims=True)
    types = infer([dot], {"x": (4, 3)})
    assert types.shape(dot) == (1, 1) and types.shape(dot.inputs[1]) == (4, 3)


# ---- dtypes


def test_dtypes_are_shared_both_ways_and_not_assumed() -> None:
    u = adam(W, call("square", G), M, V)
    types = infer([u], {}, {"m": "bfloat16"})
    assert types.dtype(G) == types.dtype(u) == types.dtype(pick(u, 2)) == "bfloat16"
    assert infer([u]).dtype(u) is None
    assert infer([adam(var("w", dtype="2"), G, M, V)]).dtype(G) == "float16"


def test_conflicting_dtypes() -> None:
    with pytest.raises(DTypeError) as error:
        infer([adam(*WGMV)], {}, {"w": "float32", "v": "float64"})
    assert "    var    v float64   <-- expected float32\n" in str(error.value)
    assert str(error.value).startswith("adam_update 'u': var must have the dtype of weight\n")
    for attrs, dtypes in (({"dtype": "0"}, {"w": "float64"}), ({"dtype": "4"}, {}), ({"dtype": "x"}, {})):
        with pytest.raises(DTypeError):
            infer([adam(var("w", **attrs), G, M, V)], {}, dtypes)
    with pytest.raises(DTypeError, match="unsupported"):
        infer([adam(*WGMV)], {}, {"w": "int32"})


def test_cast_conditions_and_reductions_in_the_compute_dtype() -> None:
    n = call("where", var("c"), call("Cast", var("x"), dtype="float16"), var("y"))
    types = infer([n], {}, {"c": "float64", "x": "float64"})
    assert types.dtype(n) == types.dtype(n.inputs[2]) == "float16"
    mask = call("infer_test_mask", var("c"))
    assert infer([mask], {"c": (2,)}, {"c": "float16"}).dtype(mask) == "float16"
    assert (
        infer([call("elemwise_add", mask, var("y"))], {}, {"c": "float16", "y": "float64"}).dtype(mask)
        == "float64"
    )


# ---- numbers of the host


def test_host_scalars() -> None:
    t, beta = var("t", shape="()"), var("beta", shape="()", dtype="0")
    rate = call("elemwise_div", call("_rminus_scalar", beta, scalar=1.0), call("sqrt", t), name="rate")
    scaled = call("elemwise_mul", G, rate, name="scaled")
    u = adam(W, scaled, M, V)
    types = infer([u], {"w": (2, 3), "g": (2, 3)}, {"w": "float16"})
    assert types.is_host(rate) and types.dtype(rate) == "float64" and types.shape(rate) == ()
    assert not types.is_host(scaled) and types.dtype(scaled) == "float16" and types.dtype(beta) == "float64"


def test_arrays_of_no_dimensions_are_no_host_scalars() -> None:
    u = adam(*WGMV)
    doubled = call("square", u)
    types = infer([doubled], {"w": ()}, {"w": "float32"})
    assert not any(map(types.is_host, (*WGMV, u, doubled)))
    assert types.dtype(doubled) == "float32" and types.shape(doubled) == ()


def test_host_scalars_cannot_be_reduced_or_be_gradients() -> None:
    t = var("t", shape="()")
    for n in (
        call("sum", t),
        call("multi_sum_sq", t, G),
        adam(W, call("square", t), M, V),
        call("infer_test_dot", G, t),
    ):
        with pytest.raises(ShapeError, match="not a number of the host"):
            infer([n], {"g": (1,)} if n.op != "adam_update" else {})


# ---- storage


def test_storage() -> None:
    u = adam(W, var("g", storage_type="1"), M, V)
    types = infer([u], {}, None, {"w": "row_sparse"})
    assert [types.stype(n) for n in (u.inputs[1], W, M, u, pick(u, 1))] == [
        "row_sparse", "row_sparse", "default", "default", "default",
    ]  # fmt: skip
    phase2 = call("elemwise_add", var("a", storage_type="1"), var("b", storage_type="1"))
    assert infer([phase2]).stype(phase2) == "default"
    with pytest.raises(StorageError, match="csr"):
        infer([u], {}, None, {"w": "csr"})
    with pytest.raises(StorageError):
        infer([adam(W, var("g", storage_type="0"), M, V)], {}, None, {"g": "row_sparse"})


def test_one_gradient_at_most_is_row_sparse() -> None:
    @update_op
    def infer_test_two_grads_update(weight: Tensor, grad: Tensor, other: Tensor, *, lr: float) -> Updated:
        return updated(weight - lr * grad * other)

    with pytest.raises(StorageError, match="other  h row_sparse   <-- expected default"):
        u = call("infer_test_two_grads_update", W, G, var("h"), lr=1.0)
        infer([u], {}, None, {"g": "row_sparse", "h": "row_sparse"})


# ---- functions of shapes


def test_shape_functions() -> None:
    assert parse_shape("(2, None, -1)") == (2, -1, -1)
    assert parse_shape("()") == () and parse_shape("None") is None and parse_shape("[3]") == (3,)
    for text in (
        "(2, -2)",
        "(True,)",
        "(2.0,)",
        "f()",
        "(" * 300,
        "{[]: 1}",
        "5",
        "",
        "\0",
        "(" + "1," * 10**6 + ")",
    ):
        with pytest.raises(ShapeError):
            parse_shape(text)
    assert domain_of([(1, 1), (0, 1), (0, 3)]) == (0, 3)
    assert fits((4, 1), (4, 3)) and not fits((4,), (4, 3))
    assert not over_rows((), 3) and over_rows(-1, 2)
    for axis in ((0,), (1, 3), (-4,)):
        with pytest.raises(ValueError):
            over_rows(axis, 3)


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [("square", {}, Extent.ELEMENT), ("sum", {"axis": (1,)}, Extent.ROW), ("norm", {}, Extent.TENSOR),
     ("adam_update", {}, Extent.ELEMENT), ("group_adagrad_update", {}, Extent.ROW), ("all_finite", {}, Extent.TENSOR)],
)  # fmt: skip
def test_reach(name: str, attrs: dict[str, Any], expected: Extent) -> None:
    assert reach(get_op(name), structural(get_op(name), call(name, **attrs), 2)) == expected


# ---- size


def adam_graph(count: int) -> tuple[list[Node], dict[str, tuple[int, ...]]]:
    inputs = [tuple(var(f"{k}{i}") for k in "wgmv") for i in range(count)]
    roots = [adam(*four, __out__=four[:1]) for four in inputs]
    return roots, {v.name: (10 + i % 7, 3) for i, four in enumerate(inputs) for v in four}


def test_work_grows_with_the_number_of_nodes_and_no_faster() -> None:
    def work(count: int) -> int:
        roots, shapes = adam_graph(count)
        dtypes = dict.fromkeys(shapes, "float32")
        return calls(lambda: infer(roots, shapes, dtypes))

    work(100)  # what is made once
    one, two = work(1000), work(2000)
    assert one < 1000 * 200
    assert two < 2.1 * one


def chain(length: int) -> tuple[Node, Types]:
    node = var("w")
    for _ in range(length):
        node = call("square", node)
    return node, infer([node, call("elemwise_add", node, var("y", shape="(2,)"))])


def test_long_chains_are_inferred_backwards() -> None:
    node, types = chain(50_000)
    assert types.shape(node) == (2,)
    assert all(types.shape(n) == (2,) for n in types.order)


def test_a_wide_op_is_not_quadratic() -> None:
    inputs = [call("square", var(f"x{k}")) for k in range(20_000)]
    types = infer([call("multi_sum_sq", *inputs)], {}, {"x19999": "float16"})
    assert all(types.dtype(n.inputs[0]) == "float16" for n in inputs)
