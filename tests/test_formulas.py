"""Formulas of graphs: as golden text in three notations, for any graph, with hostile names, quickly."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest
from test_engines import UPDATES
from test_formula_values import update, variants
from work import calls

import symopt as so
from symopt import sym
from symopt.errors import AttributeValueError, KernelIndexError
from symopt.names import NameManager
from symopt.opdef import OpDef, all_ops
from symopt.show.kernels import kernel_lines
from symopt.show.nodes import node_lines
from symopt.symbol import Symbol

FOLDER = Path(__file__).parent / "golden"
HOSTILE = [
    "a b",
    "\\",
    "{",
    "}",
    "$",
    "%",
    "&",
    "_",
    "^",
    "~",
    "#",
    "<b>",
    '"',
    "'",
    "two\nlines",
    "\0",
    "x'",
    "]]>",
    "π",
    "0",
]


def variables(names: str) -> list[Any]:
    return [sym.var(name) for name in names.split()]


def composed() -> Symbol:
    w, g, h, m, v, base = variables("fc1_weight fc1_grad more m v base")
    clipped = sym.clip((g + h) / 2, a_min=-1, a_max=1)
    return sym.adam_update(w, clipped, m, v, lr=base * 0.5, wd=0.01, name="fc1")


def chained() -> Symbol:
    w, g, h, m = variables("w g h mom")
    first = sym.sgd_mom_update(w, g, m, lr=0.1, momentum=0.9, name="a")
    return sym.sgd_mom_update(first, h, first.state("mom"), lr=0.2, momentum=0.9, name="b")


def in_branches() -> Symbol:
    w, g = variables("w g")
    return sym.Group([sym.sgd_update(w, g, lr=rate, name=name) for name, rate in (("a", 0.1), ("b", 0.2))])


def many() -> Symbol:
    grads = variables(" ".join(f"g{k}" for k in range(30)))
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads, name="squares"), name="total"), name="norm")
    scale = sym.minimum(1 / norm, 1)
    heads = []
    for k, g in enumerate(grads):
        w, m, v = variables(f"w{k} m{k} v{k}")
        heads.append(sym.adam_update(w, g * scale, m, v, lr=0.1 * (k + 1), wd=0.1 * (k % 2), out=w))
    return sym.Group(heads)


def several() -> Symbol:
    names = variables(" ".join(f"{p}{k}" for k in range(3) for p in ("w", "g", "copy")))
    lrs, wds = (0.1, 0.1, 0.1), (0.0, 0.0, 0.5)
    loaded = sym.preloaded_multi_sgd_update(*variables("x y rates decays"), name="loaded")
    return sym.Group([sym.multi_mp_sgd_update(*names, lrs=lrs, wds=wds, name="all"), loaded])


def kept() -> Symbol:
    return sym.sgd_update(*variables("w g lost"), lr=0.1, kahan=True, name="fc1")


GRAPHS: dict[str, Callable[[], Symbol]] = {
    "composed": composed, "chained": chained, "in_branches": in_branches, "many": many, "several": several,
    "kept": kept, "muon": lambda: sym.keras3_muon_update(*variables("w g m"), lr=0.1, ns_steps=1, name="fc1"),
    "finite": lambda: sym.multi_all_finite(*variables("a b"), name="finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    with NameManager():
        symbol = GRAPHS[name]()
    text = (
        "\n\n".join([symbol.formula(), symbol.formula(simplified=False), symbol.latex(), symbol.mathml()])
        + "\n"
    )
    path = FOLDER / f"formula_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_an_executor_knows_shapes_dtypes_and_attributes_set_since() -> None:
    tall = sym.keras3_muon_update(*variables("w g m"), lr=0.1, name="fc1").simple_bind(w=(5, 2))
    assert "wide" in tall.formula()
    assert "rows than columns" not in tall.formula()
    executor = sym.sgd_update(*variables("w g"), lr=0.1, wd=0.5, name="fc1").simple_bind(w=(5, 2))
    executor.set_attr("fc1", lr=0.25, wd=0)
    assert executor.formula() == "w' = w - 0.25 · g"
    executor.set_attr("fc1", clip_gradient=1)
    assert executor.formula().splitlines() == ["g_1 = clip(g, 1)", "w'  = w - 0.25 · g_1"]
    both = sym.adam_update(*variables("w g m v"), lr=0.1).simple_bind(
        w=(2,), type_dict=dict.fromkeys("wg", "complex64")
    )
    assert "im(w') = im(w) - " in both.formula()


def test_a_kernel_says_its_numbers() -> None:
    heads = [sym.sgd_update(*variables(f"w{k} g{k}"), lr=0.1 * (k + 1), wd=0.5) for k in range(3)]
    executor = sym.Group(heads).simple_bind(w0=(4,), w1=(4,), w2=(4,))
    assert executor.formula(0).splitlines() == [
        "g   = rescale_grad · grad + wd · weight",
        "out = weight - lr · g",
        "for 3 tensors, lr from 0.1 to 0.3:",
        "  rescale_grad = 1",
        "  wd           = 0.5",
    ]
    wrongs: list[Any] = [1, -1, "0"]
    for wrong in wrongs:
        with pytest.raises(KernelIndexError, match="kernels 0 to 0, got"):
            executor.formula(wrong)
    with pytest.raises(AttributeValueError, match="one of text, latex, mathml, got 'html'"):
        executor.formula(form="html")  # type: ignore[arg-type]


@pytest.mark.parametrize("op", UPDATES, ids=[op.name for op in UPDATES])
def test_every_notation_is_well_formed(op: OpDef) -> None:
    for attrs in variants(op):
        executor = update(op, attrs, (5, 7))
        texts = [executor.formula(form=form) for form in ("latex", "mathml")]
        for k in range(len(executor._step.program.launches)):
            texts += [executor.formula(k, form=form) for form in ("latex", "mathml")]
        for latex, mathml in zip(texts[::2], texts[1::2], strict=True):
            check_latex(latex)
            minidom.parseString(mathml)


def check_latex(text: str) -> None:
    """Braces and pairs of commands match, and no power is raised to a power without brackets."""
    depth = 0
    for mark in re.findall(r"\\.|[{}]", text, re.S):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"\\left\b", text)) == len(re.findall(r"\\right\b", text))
    assert sorted(re.findall(r"\\begin(\{\w+\})", text)) == sorted(re.findall(r"\\end(\{\w+\})", text))
    assert not re.search(r"\^(\w|\{[^{}]*\})\s*\^", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    symbol = sym.sgd_update(sym.var(name), sym.var(f"{name}{name}"), lr=0.1, wd=0.1, name=f"{name} node")
    group = sym.Group([symbol, sym.sgd_update(*variables("w g"), lr=0.1)])
    assert len(symbol.formula().splitlines()) == 2
    check_latex(group.latex())
    page = minidom.parseString(group.mathml()) if "\0" not in group.mathml() else None
    assert page is not None
    assert {e.tagName for e in page.getElementsByTagName("*")} <= {
        "math", "mtable", "mtr", "mtd", "mrow", "mi", "mo", "mn", "mtext", "msub", "msup", "mfrac",
    }  # fmt: skip


def test_names_of_values_in_between_give_way() -> None:
    symbol = sym.adam_update(*variables("weight g mean var"), lr=0.1, wd=0.5)
    assert symbol.formula().splitlines()[0] == "g_1     = g + 0.5 · weight"
    assert node_lines(symbol._outputs[0]) == tuple(symbol.formula().splitlines())


def test_nodes_say_their_inputs_by_what_feeds_them() -> None:
    symbol = composed()
    clipped = symbol._outputs[0].inputs[1].name
    assert node_lines(symbol._outputs[0])[0].split(" = ")[1] == f"{clipped} + 0.01 · fc1_weight"
    assert node_lines(sym.var("x")._outputs[0]) == ()
    assert node_lines((sym.var("x") + sym.var("x"))._outputs[0])[0].endswith("= x + x")


def test_ten_thousand_nodes_alike_are_written_once_and_quickly() -> None:
    def graph(count: int) -> list[Any]:
        return [sym.adam_update(*variables(f"w{k} g{k} m{k} v{k}"), lr=0.1) for k in range(count)]

    few, more = graph(100), graph(200)
    for symbols in (few, more):
        sym.Group(symbols).formula()
    work = [
        calls(lambda: [node_lines(x._outputs[0]) for x in few]),
        calls(lambda: [node_lines(x._outputs[0]) for x in more]),
    ]
    assert work[1] < 2.2 * work[0]
    assert work[1] < 200 * 120
    assert "for 200 tensors w0, w1, w2, ..., w199" in sym.Group(more).formula()


@pytest.mark.parametrize("storage", ["default", "row_sparse"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_kernels_of_every_op(storage: str, dtype: str) -> None:
    for op in all_ops():
        if op.is_variadic or not op.is_update or op.is_matrix:
            continue
        executor = update(op, variants(op)[0], (3, 4))
        for launch in executor._step.program.launches:
            assert all(kernel_lines(launch.kernel))


def test_narrow_storage_is_said() -> None:
    w, g, c = variables("w g c")
    step = sym.sgd_update(w, g, c, lr=0.1, kahan=True, rounding="stochastic", seed=1)
    executor = step.simple_bind(w=(4,), type_dict=dict.fromkeys("wg", "bfloat16"))
    assert "random_bfloat16(" in executor.formula(0)
    plain = sym.sgd_update(w, g, lr=0.1).simple_bind(w=(4,), type_dict=dict.fromkeys("wg", "float16"))
    assert "out = float16(weight - lr · g)" in plain.formula(0)


def test_rows_without_gradient_are_said_apart() -> None:
    w, g, m = variables("w g m")
    step = sym.sgd_mom_update(w, g, m, lr=0.1, momentum=0.9, wd=0.1, out=w, lazy_update=False)
    text = step.simple_bind(w=(4, 2), stype_dict={"g": "row_sparse"}).formula(0)
    listed, others = text.split("in all other rows:\n")
    assert listed.startswith("in rows that grad lists:\n")
    assert "grad" in listed
    assert "rescale_grad" not in others.split("where:")[0]


def test_a_file_of_mxnet_has_formulas() -> None:
    nodes: list[Any] = [{"op": "null", "name": n, "inputs": []} for n in "wg"]
    nodes.append({"op": "sgd_update", "name": "u", "attrs": {"lr": "0.1"}, "inputs": [[0, 0, 0], [1, 0, 0]]})
    text = json.dumps({"nodes": nodes, "arg_nodes": [0, 1], "heads": [[2, 0, 0]]})
    assert so.sym.load_json(text).formula() == "w' = w - 0.1 · g"


def test_import_costs_nothing_more() -> None:
    code = "import sys, symopt; assert not [m for m in sys.modules if m.startswith('symopt.show')], 'loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)
