"""Symbols as MXNet's JSON: there and back, files of old versions, and files that are none."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symopt import sym
from symopt.errors import FormatError, SymoptError, UnknownOpError
from symopt.expr import PICK, Node, children, origin, pick, toposort
from symopt.forms import get_op
from symopt.jsonread import find_op, read_nodes
from symopt.serial import load, load_json, save, tojson
from symopt.symbol import Symbol

Json = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"


def var(name: str, **attrs: str) -> Node:
    return Node("null", name=name, attrs={f"__{k}__": v for k, v in attrs.items()})


def mom(state: Node, name: str, k: int = 0) -> Node:
    return Node("sgd_mom_update", (var(f"w{k}"), var(f"g{k}"), state), {"lr": 0.1}, name)


def same_graph(a: Sequence[Node], b: Sequence[Node]) -> bool:
    """Whether two graphs have the same nodes, connected in the same way, shared where the other shares."""

    def facts(roots: Sequence[Node]) -> list[Any]:
        order = [n for n in toposort(roots, children) if n.op != PICK]
        ids = {id(n): i for i, n in enumerate(order)}

        def ends(nodes: Sequence[Node]) -> list[tuple[int, int]]:
            return [(ids[id(node)], k) for node, k in map(origin, nodes)]

        found: list[Any] = [ends(roots)]
        for n in order:
            attrs = {k: ends(v) if k == "__out__" else v for k, v in n.attrs.items()}
            found.append((n.op, n.name, attrs, [type(v) for v in attrs.values()], ends(n.inputs)))
        return found

    return facts(a) == facts(b)


def check_round_trip(*roots: Node) -> Json:
    text = tojson(roots)
    read = read_nodes(text)
    assert same_graph(roots, read)
    assert tojson(read) == text
    graph: Json = json.loads(text)
    assert len(graph["node_row_ptr"]) == len(graph["nodes"]) + 1
    assert graph["arg_nodes"] == [i for i, n in enumerate(graph["nodes"]) if n["op"] == "null"]
    return graph


# ---- there and back


def test_the_format_is_mxnets() -> None:
    w, g, m, v = (var(name) for name in "wgmv")
    lr = var("lr", shape="()")
    attrs = {"beta1": 0.9, "lazy_update": False, "__mood__": "calm", "__scalars__": ("lr",), "__out__": (w,)}
    graph = check_round_trip(Node("adam_update", (w, g, m, v, lr), attrs, "u"))
    assert graph == {
        "nodes": [
            {"op": "null", "name": "w", "inputs": []},
            {"op": "null", "name": "g", "inputs": []},
            {"op": "null", "name": "m", "inputs": []},
            {"op": "null", "name": "v", "inputs": []},
            {"op": "null", "name": "lr", "attrs": {"__shape__": "()"}, "inputs": []},
            {
                "op": "adam_update",
                "name": "u",
                "attrs": {
                    "beta1": "0.9", "lazy_update": "False", "__mood__": "calm", "__scalars__": '["lr"]',
                    "__out__": '["w"]',
                },
                "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]],
            },
        ],
        "arg_nodes": [0, 1, 2, 3, 4],
        "node_row_ptr": [0, 1, 2, 3, 4, 5, 6],
        "heads": [[5, 0, 0]],
        "attrs": {"mxnet_version": ["int", 20000]},
    }  # fmt: skip


def test_ops_are_saved_under_mxnets_name() -> None:
    graph = check_round_trip(Node("group_adagrad_update", (var("w"), var("g"), var("h")), {"lr": 1.0}, "u"))
    assert graph["nodes"][3]["op"] == "_contrib_group_adagrad_update"


def test_chained_states_are_versions_of_the_variable() -> None:
    m = var("m")
    first = mom(m, "first")
    second = mom(pick(first, 1), "second", 1)
    third = mom(pick(second, 1), "third", 2)
    graph = check_round_trip(first, second, third)
    by_name = {n["name"]: n["inputs"][2] for n in graph["nodes"] if n["inputs"]}
    index = next(i for i, n in enumerate(graph["nodes"]) if n["name"] == "m")
    assert by_name == {"first": [index, 0, 0], "second": [index, 0, 1], "third": [index, 0, 2]}
    assert graph["node_row_ptr"][-1] == len(graph["nodes"])


def test_states_that_something_else_reads_are_outputs_of_the_node() -> None:
    m = var("m")
    first = mom(m, "first")
    graph = check_round_trip(Node("square", (pick(first, 1),), {}, "x"), m, pick(first, 1))
    assert graph["heads"][2][1:] == [1, 0] and graph["heads"][1][1:] == [0, 0]
    assert graph["node_row_ptr"][-1] == len(graph["nodes"]) + 1


def test_two_writers_of_one_state_stay_apart() -> None:
    m = var("m")
    first, second = mom(m, "first"), mom(m, "second", 1)
    check_round_trip(first, second, mom(pick(first, 1), "third", 2), mom(pick(second, 1), "fourth", 3))


def test_states_that_are_computed() -> None:
    start = mom(Node("square", (var("m"),), {}, "x"), "first")
    check_round_trip(mom(pick(start, 1), "second", 1), start)


def test_out_is_found_among_variables_of_one_name_and_anywhere_in_the_file() -> None:
    a, b = var("same"), var("same")
    check_round_trip(Node("elemwise_add", (a, b), {"__out__": (b,)}, "n"))
    graph = json.loads(tojson([Node("square", (a,), {"__out__": (var("late"),)}, "n")]))
    assert [n["name"] for n in graph["nodes"]] == ["same", "late", "n"]
    graph["nodes"] = [graph["nodes"][k] for k in (0, 2, 1)]
    graph["heads"] = [[1, 0, 0]]
    (node,) = read_nodes(json.dumps(graph))
    assert node.attrs["__out__"][0].name == "late"


NAMES = st.text(max_size=8) | st.sampled_from(
    ['a"b', "a\nb", "%x = call void @f()", "]]", "\\", "é", "\ud800", "\0", "w"]
)
NUMBERS = st.floats(allow_nan=False) | st.integers(-3, 3).map(float)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Any graph: shared and chained states, out=, attributes that are Symbols, names that occur twice."""
    strings = st.dictionaries(
        st.sampled_from(["__shape__", "__lr_mult__", "mood", "__x__"]), NAMES, max_size=2
    )
    variables = [Node("null", name=draw(NAMES), attrs=draw(strings)) for _ in range(draw(st.integers(1, 4)))]
    nodes = list(variables)
    for _ in range(draw(st.integers(0, 8))):
        op = get_op(
            draw(
                st.sampled_from(
                    ["adam_update", "sgd_mom_update", "_plus_scalar", "sum", "Cast", "multi_sum_sq"]
                )
            )
        )
        count = len(op.inputs) if not op.is_variadic else draw(st.integers(1, 3))
        inputs = [draw(st.sampled_from(nodes)) for _ in range(count)]
        attrs: Json = {}
        if "axis" in op.attrs:
            attrs |= draw(
                st.sampled_from([{}, {"axis": None}, {"axis": (1, -2)}, {"axis": (0,), "keepdims": True}])
            )
        if "dtype" in op.attrs:
            attrs["dtype"] = draw(st.sampled_from(["float16", "bfloat16", "float64"]))
        names = [
            a
            for a in op.numeric
            if draw(st.integers(0, 3)) == 0 or op.attrs[a].default not in (0.0, 0.9, -1.0)
        ]
        scalars = [a for a in names if draw(st.integers(0, 4)) == 0]
        attrs |= {a: draw(NUMBERS) for a in names if a not in scalars}
        if scalars:
            attrs["__scalars__"] = tuple(scalars)
            inputs += [draw(st.sampled_from(nodes)) for _ in scalars]
        if draw(st.booleans()):
            attrs["__out__"] = (draw(st.sampled_from(variables)),)
        made = Node(op.name, tuple(inputs), attrs, draw(NAMES))
        nodes += [pick(made, k) for k in range(len(op.outputs))]
    return draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=4))


@given(graphs())
@settings(deadline=None, max_examples=150)
def test_round_trip(roots: list[Node]) -> None:
    check_round_trip(*roots)


def test_files_and_symbols(tmp_path: Any) -> None:
    u = sym.sgd_mom_update(
        sym.var("w"), sym.var("g"), sym.var("m"), lr=sym.var("lr"), name="u", out=sym.var("w")
    )
    assert isinstance(load_json(u.tojson()), Symbol)
    save(tmp_path / "a.json", u)
    u.save(tmp_path / "b.json")
    assert same_graph(load(tmp_path / "a.json")._outputs, u._outputs)
    assert same_graph(sym.load(tmp_path / "b.json")._outputs, u._outputs)
    (tmp_path / "c.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError):
        sym.load(tmp_path / "c.json")


# ---- other versions


def file(version: int | None = 20000, op: str = "sgd_mom_update", key: str = "attrs", **attrs: str) -> Json:
    nodes: list[Json] = [{"op": "null", "name": name, "inputs": []} for name in ("w", "g", "m")]
    nodes.append(
        {"op": op, "name": "u", key: {"lr": "0.1"} | attrs, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]}
    )
    graph: Json = {"nodes": nodes, "arg_nodes": [0, 1, 2], "heads": [[3, 0, 0]]}
    return graph if version is None else graph | {"attrs": {"mxnet_version": ["int", version]}}


def read(graph: Any) -> tuple[Node, ...]:
    return read_nodes(json.dumps(graph))


def test_old_spellings() -> None:
    graph = file(None, key="attr", wd="1e-2", ctx_group="a", weight_lr_mult="2", lazy_update="1", __x__="y")
    graph["nodes"][3]["param"] = {"momentum": "0.5"}
    graph["nodes"][3]["inputs"] = [[0, 0], [1, 0], [2, 0]]
    graph["nodes"][1]["attr"] = {"wd_mult": "0.0"}
    graph["heads"] = [[3, 0]]
    (u,) = read(graph)
    assert dict(u.attrs) == {
        "lr": 0.1, "wd": 0.01, "__ctx_group__": "a", "lazy_update": True, "momentum": 0.5, "__x__": "y",
    }  # fmt: skip
    assert dict(u.inputs[0].attrs) == {"__lr_mult__": "2"}
    assert dict(u.inputs[1].attrs) == {"__wd_mult__": "0.0"}


def test_mxnets_versioned_reads_load_as_chains() -> None:
    graph = file()
    graph["nodes"].append(dict(graph["nodes"][3], name="v", inputs=[[0, 0, 0], [1, 0, 0], [2, 0, 1]]))
    graph["nodes"].append({"op": "square", "name": "x", "inputs": [[2, 0, 2]]})
    graph["heads"] = [[3, 0, 0], [4, 0, 0], [5, 0, 0], [2, 0, 1]]
    u, v, x, new = read(graph)
    assert origin(v.inputs[2]) == (u, 1) and origin(x.inputs[0]) == (v, 1) and origin(new) == (u, 1)


@pytest.mark.parametrize("version", [None, 800, 10901])
def test_mxnet_1_formulas(version: int | None) -> None:
    assert read(file(version))[0].op == "sgd_mom_update"
    assert read(file(version, "_contrib_group_adagrad_update"))[0].op == "mxnet1_group_adagrad_update"


MXNET1_OPS = {case["op"] for case in json.loads((GOLDEN / "mxnet1.json").read_text())["cases"]}


@pytest.mark.parametrize("name", sorted(MXNET1_OPS | {"_sparse_adam_update", "_sparse_sgd_mom_update"}))
def test_every_op_of_mxnet_1_has_a_formula_of_its_own_or_shares_one(name: str) -> None:
    bare = name.removeprefix("_contrib").removeprefix("_sparse").removeprefix("_")
    assert find_op(name, 10901) is get_op(f"mxnet1_{bare}")
    assert find_op(name, 20000) is get_op(bare)


def test_ops_that_mxnet_1_has_not_are_read_as_they_are() -> None:
    assert find_op("_adabelief_update", 10901) is get_op("adabelief_update")
    assert find_op("mxnet1_adam_update", 10901) is get_op("mxnet1_adam_update")


def test_ops_of_mxnet_1_are_saved_and_loaded_under_its_version() -> None:
    old = Node("mxnet1_adagrad_update", (var("w"), var("g"), var("h")), {"lr": 1.0}, "u")
    graph = check_round_trip(old)
    assert graph["attrs"]["mxnet_version"] == ["int", 10901]
    assert graph["nodes"][3]["op"] == "_sparse_adagrad_update"
    shared = Node("adamw_update", tuple(map(var, "wgmvs")), {"lr": 1.0, "eta": 1.0}, "a")
    graph = check_round_trip(old, shared)
    assert graph["attrs"]["mxnet_version"] == ["int", 10901]
    assert graph["nodes"][-1]["op"] == "_adamw_update"
    new = Node("adagrad_update", (var("w2"), var("g2"), var("h2")), {"lr": 1.0}, "u")
    graph = check_round_trip(old, new)
    assert graph["attrs"]["mxnet_version"] == ["int", 20000]
    assert [graph["nodes"][i]["op"] for i in (3, 7)] == ["mxnet1_adagrad_update", "_sparse_adagrad_update"]


# ---- what is no symbol


def test_unknown_ops_have_near_names() -> None:
    with pytest.raises(UnknownOpError, match="sgd_mom_update"):
        read(file(op="sgd_momm_update"))
    with pytest.raises(UnknownOpError):
        read(file(op="x" * 10**6))
    with pytest.raises(UnknownOpError):
        read(file(op=PICK))


def changed(path: Sequence[Any], value: Any) -> Json:
    graph = file()
    at: Any = graph
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return graph


U = ("nodes", 3)
ATTRS = (*U, "attrs")
BAD: list[tuple[tuple[Any, ...], Any]] = [
    (("nodes",), {}), (("nodes",), []), (("nodes", 0), None), (("nodes", 0, "name"), 1), (("nodes", 0, "op"), ["null"]),
    (("nodes", 0, "inputs"), [[0, 0, 0]]), (("nodes", 0, "attrs"), {"__out__": '["w"]'}), (("nodes", 0, "attrs"), []),
    (("nodes", 0, "attrs"), {"__shape__": [1]}), ((*U, "inputs"), None), ((*U, "inputs"), 5), ((*U, "inputs"), []),
    ((*U, "inputs", 0), [3, 0, 0]), ((*U, "inputs", 0), [4, 0, 0]), ((*U, "inputs", 0), [-1, 0, 0]),
    ((*U, "inputs", 0), [10**30, 0, 0]), ((*U, "inputs", 0), [True, 0, 0]), ((*U, "inputs", 0), [0.0, 0, 0]),
    ((*U, "inputs", 0), [0, 1, 0]), ((*U, "inputs", 0), [0, -1, 0]), ((*U, "inputs", 0), [0, 0, 1]),
    ((*U, "inputs", 0), [0, 0, -1]), ((*U, "inputs", 0), [0]), ((*U, "inputs", 0), "000"), ((*U, "inputs", 0), {}),
    ((*U, "inputs"), [[0, 0, 0]] * 4), ((*U, "attrs"), {}), ((*U, "attrs"), None), ((*ATTRS, "lr"), 0.1),
    ((*ATTRS, "lr"), "fast"), ((*ATTRS, "lr"), "nan"), ((*ATTRS, "momentun"), "0.9"),
    ((*ATTRS, "lazy_update"), "maybe"),
    ((*ATTRS, "__out__"), "w"), ((*ATTRS, "__out__"), "[]"), ((*ATTRS, "__out__"), '["u"]'),
    ((*ATTRS, "__out__"), "[3]"),
    ((*ATTRS, "__out__"), "[-1]"), ((*ATTRS, "__out__"), "[true]"), ((*ATTRS, "__out__"), "[{}]"),
    ((*ATTRS, "__out__"), "[" * 10**5), ((*ATTRS, "__scalars__"), '["lr"]'), ((*ATTRS, "__scalars__"), '["wd"]'),
    ((*ATTRS, "__scalars__"), '["lazy_update"]'), ((*ATTRS, "__scalars__"), "[[]]"), ((*ATTRS, "__scalars__"), '"wd"'),
    (("heads",), []), (("heads",), None), (("heads", 0), [4, 0, 0]), (("heads", 0), [3, 2, 0]),
    (("heads", 0), [3, 0, 1]),
    (("heads", 0), [[[]], 0, 0]), (("attrs",), []), (("attrs", "mxnet_version"), 20000),
    (("attrs", "mxnet_version"), ["int", "20000"]), (("attrs", "mxnet_version"), ["int", True]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), BAD, ids=lambda x: str(x)[:60])
def test_broken_files(path: Sequence[Any], value: Any) -> None:
    with pytest.raises(FormatError):
        read(changed(path, value))


def deep_entry() -> str:
    return json.dumps(changed((*U, "inputs", 0), "HERE")).replace('"HERE"', "[" * 900 + "]" * 900)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", '"nodes"', '{"nodes": NaN}', "[" * 10**6, '{"nodes":' * 10**5, "[" * 10**6 + "]" * 10**6,
     json.dumps(file()).replace("20000", "Infinity"), json.dumps(file()).replace("20000", "1" * 10**5), deep_entry(),
     json.dumps(file()) + "x", "\0", None, b"{}", 3],
    ids=lambda text: str(text)[:20],
)  # fmt: skip
def test_broken_text(text: Any) -> None:
    with pytest.raises(FormatError):
        read_nodes(text)


@pytest.mark.parametrize(
    ("attr", "text"),
    [(attr, text) for attr in ("axis", "keepdims", "ord")
     for text in ("{[]: 1}", "(" * 99, "inf", "1e999", "-" * 99 + "1", "__import__('os')", "\0", "x" * 10**6,
                  "9" * 5000)],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_attributes_are_data(attr: str, text: str) -> None:
    graph = file()
    graph["nodes"][3] = {"op": "norm", "name": "n", "attrs": {attr: text}, "inputs": [[0, 0, 0]]}
    with pytest.raises(FormatError):
        read(graph)


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["null", "sum", "u"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "name", "attrs", "lr"]), inner)
    ),
    max_leaves=6,
)


def spots(at: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    found = []
    for key in range(len(at)) if isinstance(at, list) else at:
        found.append((at, key))
        if isinstance(at[key], (list, dict)):
            found += spots(at[key])
    return found


def full_file() -> Json:
    w = var("w", shape="(2, 3)")
    first = Node("sgd_mom_update", (w, var("g"), var("m")), {"lr": 0.1, "__out__": (w,)}, "u")
    second = mom(pick(first, 1), "second")
    total = Node("sum", (second, ), {"axis": (1,), "keepdims": True}, "s")  # fmt: skip
    scaled = Node("_plus_scalar", (pick(first, 1), var("t")), {"__scalars__": ("scalar",)}, "p")
    graph: Json = json.loads(tojson([first, total, scaled]))
    return graph


FULL = full_file()


@given(st.data())
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_changed_files_load_or_are_refused(data: st.DataObject) -> None:
    graph = copy.deepcopy(FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        at, key = data.draw(st.sampled_from(spots(graph)))
        if data.draw(st.booleans()):
            at[key] = data.draw(GARBAGE)
        else:
            del at[key]
    accept_or_refuse(json.dumps(graph))


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_text_loads_or_is_refused(data: st.DataObject) -> None:
    text = json.dumps(FULL)
    a, b = (data.draw(st.integers(0, len(text))) for _ in range(2))
    accept_or_refuse(text[:a] + data.draw(st.text('{}[]",:0123456789-', max_size=3)) + text[b:])


def accept_or_refuse(text: str) -> None:
    try:
        roots = read_nodes(text)
    except SymoptError as error:
        assert isinstance(error, FormatError | UnknownOpError)
    else:
        check_round_trip(*roots)


# ---- size


@pytest.mark.slow
def test_a_chain_of_a_million_nodes() -> None:
    count = 10**6
    nodes = ['{"op": "null", "name": "x", "inputs": []}']
    nodes += [f'{{"op": "square", "name": "n{k}", "inputs": [[{k}, 0, 0]]}}' for k in range(count)]
    text = f'{{"nodes": [{", ".join(nodes)}], "heads": [[{count}, 0, 0]]}}'
    (node,) = read_nodes(text)
    assert node.name == f"n{count - 1}"


def test_a_long_chain_is_saved_without_recursion() -> None:
    node = var("x")
    for k in range(50_000):
        node = Node("square", (node,), {}, f"n{k}")
    text = tojson([node])
    assert tojson(read_nodes(text)) == text
