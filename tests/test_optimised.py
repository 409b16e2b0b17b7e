"""What optimised graphs look like, as golden text: `pytest --update-golden` writes it anew, for review as code."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.report import program_text

FOLDER = Path(__file__).parent / "golden"
SHAPE = (40, 8)


def arrays(names: str) -> dict[str, Any]:
    return {n: np.zeros(SHAPE, np.float32) for n in names}


def adam(name: str = "", grad: Any = None, **attrs: Any) -> Any:
    w, m, v = (sym.var(p + name) for p in "wmv")
    g = sym.var("g" + name) if grad is None else grad
    return sym.adam_update(w, g, m, v, out=w, name="u" + name, **{"lr": 0.1, **attrs})


def plain() -> Any:
    given = arrays("wgmv")
    return adam().bind(args=given, aux_states=given)


def clipped() -> Any:
    given = arrays("wgmv")
    return adam(clip_gradient=1.0, wd=0.1).bind(args=given, aux_states=given)


def sparse(lazy: bool) -> Any:
    given = arrays("wgmv")
    given["g"] = so.sparse.row_sparse_array((np.ones((2, 8), np.float32), [3, 1]), shape=SHAPE)
    return adam(lazy_update=lazy).bind(args=given, aux_states=given)


def by_rows() -> Any:
    given = {**arrays("wg"), "h": np.zeros((40, 1), np.float32)}
    w = sym.var("w")
    return sym.group_adagrad_update(w, sym.var("g"), sym.var("h"), lr=0.1, out=w).bind(
        args=given, aux_states=given
    )


def whole_step() -> Any:
    names = "ab"
    given = {p + n: x for n in names for p, x in arrays("wgmve").items()}
    grads = {n: sym.var("g" + n) for n in names}
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads.values())))
    scale = sym.minimum(1.0 / (norm + 1e-6), 1.0)
    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    heads = [t]
    for n in names:
        u, e = adam(n, grads[n], rescale_grad=scale, lr=0.1 / (1 - 0.9**t)), sym.var("e" + n)
        heads += [u, sym.elemwise_add(0.9 * e, 0.1 * u, out=e)]
    return sym.Group(heads).bind(args={**given, "t": 0}, aux_states=given)


def half() -> Any:
    given = {n: np.zeros(SHAPE, np.float16) for n in "wg"}
    w = sym.var("w")
    return (sym.sgd_update(w, sym.var("g"), lr=0.1, out=w) * 2).bind(args=given)


CASES: dict[str, Callable[[], Any]] = {
    "adam": plain,
    "adam_clip": clipped,
    "adam_lazy": lambda: sparse(True),
    "adam_standard": lambda: sparse(False),
    "group_adagrad": by_rows,
    "clip_adam_average": whole_step,
    "float16_chain": half,
}


@pytest.mark.parametrize("name", CASES)
def test_optimised_text(name: str, request: pytest.FixtureRequest) -> None:
    with so.NameManager():  # automatic names count from 0
        executor = CASES[name]()
    text = f"{program_text(executor._step.program)}\n\n{executor.source()}\n"
    text = re.sub(r"(\.py):\d+", r"\1", text)  # lines move; formulas should not
    path = FOLDER / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_llvm_text_is_a_pure_function_of_the_graph() -> None:
    one, other = (whole_step().source("llvm") for _ in range(2))
    assert one == other and "fmuladd" not in one and " fast " not in one and " contract " not in one


def test_names_from_users_do_not_reach_generated_code() -> None:
    nasty = 'w"\n}; define void @evil() { ret void } ;'
    w = sym.var(nasty)
    node = sym.sgd_update(w, sym.var("g"), lr=0.1, out=w, name=nasty)
    given = {nasty: np.zeros(3, np.float32), "g": np.ones(3, np.float32)}
    executor = node.bind(args=given)
    executor.forward()
    assert "evil" not in executor.source("llvm") and given[nasty].tolist() == pytest.approx([-0.1] * 3)
