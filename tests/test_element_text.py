"""explain_element: what it says, what it costs, what it refuses, and which step it means."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.errors import (
    AttributeValueError,
    ElementIndexError,
    GraphError,
    NonFiniteError,
    SymoptError,
    UnknownArgumentError,
)
from symopt.names import NameManager
from symopt.values.state import State

FOLDER = Path(__file__).parent / "golden"


def arrays(shape: tuple[int, ...] = (6, 4)) -> dict[str, Any]:
    size = int(np.prod(shape))
    return {n: np.linspace(0.1 * k, 1, size, dtype=np.float32).reshape(shape) for k, n in enumerate("wgmv")}


def adam(**attrs: Any) -> Any:
    w, g, m, v = map(sym.var, "wgmv")
    return sym.adam_update(w, g, m, v, name="fc1", **{"lr": 0.1, **attrs})


def scheduled() -> tuple[Any, str, Any]:
    w, g, m, v = map(sym.var, "wgmv")
    rate = sym.var("base") * 0.5
    scaled = g * sym.minimum(1 / sym.norm(g), 1)
    step = sym.adam_update(w, scaled, m, v, lr=rate, wd=0.01, out=w, name="fc1")
    given = arrays()
    return step.bind(args={**given, "base": 0.25}, aux_states=given, engine="reference"), "w", (5, -1)


def listed_twice() -> tuple[Any, str, Any]:
    w, g, h = map(sym.var, "wgh")
    step = sym.group_adagrad_update(w, g, h, lr=0.1, out=w, name="table")
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    grad = so.sparse.row_sparse_array((data, [5, 0, 5]), shape=(6, 4))
    args = {"w": arrays()["w"], "g": grad}
    return (
        step.bind(args=args, aux_states={"h": np.ones((6, 1), np.float32)}, engine="reference"),
        "w",
        (5, 2),
    )


def not_listed() -> tuple[Any, str, Any]:
    executor, name, _ = listed_twice()
    return executor, name, (1, 2)


def narrow() -> tuple[Any, str, Any]:
    w, g, m = map(sym.var, "wgm")
    step = sym.mp_sgd_update(w, g, m, lr=0.1, out=w, name="fc1")
    given = arrays()
    args = {n: given[n].astype(np.float16) for n in "wg"}
    return step.bind(args=args, aux_states={"m": given["w"]}, engine="reference"), "w", (3, 1)


GOLDEN = {"scheduled": scheduled, "listed_twice": listed_twice, "not_listed": not_listed, "narrow": narrow}


@pytest.mark.parametrize("name", GOLDEN)
def test_text(name: str, request: pytest.FixtureRequest) -> None:
    with NameManager():
        executor, variable, index = GOLDEN[name]()
    text = str(executor.explain_element(variable, index))
    text = re.sub(r"(built at |ops/)\S*?(\w+\.py):\d+", r"\1\2", text) + "\n"
    path = FOLDER / f"element_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_lines_say_what_they_are_made_of() -> None:
    told = scheduled()[0].explain_element("w", (5, 3))
    lines = {line.name: line for line in told.lines if line.node == "fc1"}
    assert lines["mean_1"].value == lines["t3"].value + lines["t5"].value
    assert lines["mean_1"].expression == "t3 + t5"
    assert lines["grad"].value.dtype == np.float32
    assert lines["lr"].value == np.float32(0.125)
    assert told.exact
    assert told.nodes["fc1"][0] == "adam_update"
    assert told.lines[-1].value == told.value
    where = lines["mean_1"].where
    assert where is not None and where.file.endswith("adam.py")
    sources = {line["name"]: line["source"] for line in told.as_dict()["lines"]}
    assert sources["mean_1"].startswith("mean = beta1 * mean")


def test_explaining_changes_nothing() -> None:
    executor, name, index = scheduled()
    before = {n: np.array(x) for n, x in {**executor.arg_dict, **executor.aux_dict}.items()}
    one, other = (executor.explain_element(name, index) for _ in range(2))
    assert one == other
    for n, x in {**executor.arg_dict, **executor.aux_dict}.items():
        assert np.array_equal(before[n], x)


def test_strided_arrays_and_numbers_held_in_arrays_are_read_as_the_step_reads_them() -> None:
    w, g, t = sym.var("w"), sym.var("g"), sym.var("t", shape=())
    given = arrays()
    wide, rate = np.zeros((6, 8), np.float32), np.array(0.5)
    executor = sym.sgd_update(w, g, lr=t, out=w).bind(args={"w": given["w"], "g": wide[:, ::2], "t": rate})
    executor.forward()
    wide[:] = np.arange(48, dtype=np.float32).reshape(6, 8)
    rate[...] = 0.25
    told = executor.explain_element("w", (4, 3)).value
    executor.forward()
    assert told == given["w"][4, 3]


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_attributes_set_since_count(engine: str) -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given, engine=engine)
    executor.set_attr("fc1", lr=0.3)
    one = executor.explain_element("w", (2, 2)).value
    executor.set_attr("fc1", clip_gradient=0.01)
    other = executor.explain_element("w", (2, 2)).value
    assert one != other
    assert executor.forward()[0][2, 2] == other


def test_cost_does_not_grow_with_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = State.read

    def counting(self: State, name: str, start: int, stop: int) -> Any:
        read.append(stop - start)
        return plain(self, name, start, stop)

    monkeypatch.setattr(State, "read", counting)
    given = arrays((3000, 40))
    adam(clip_gradient=1, wd=0.1).bind(args=given, aux_states=given, engine="reference").explain_element(
        "w", (7, 7)
    )
    assert sum(read) == 4
    read.clear()
    states = {"h": np.ones((3000, 1), np.float32)}
    step = sym.group_adagrad_update(*map(sym.var, "wgh"), lr=0.1)
    step.bind(args={n: given[n] for n in "wg"}, aux_states=states, engine="reference").explain_element(
        "w", (7, 7)
    )
    assert max(read) == 40


def test_only_the_last_step_and_only_if_recorded() -> None:
    given = arrays()
    executor = adam().bind(args=given, aux_states=given, engine="reference")
    with pytest.raises(GraphError, match=r"last step was not recorded.*\n?.*recording\(\)"):
        executor.explain_element("w", (0, 0), step="last")
    with executor.recording():
        first = np.array(executor.forward()[0])
        second = np.array(executor.forward()[0])
    given["g"][:] = np.nan
    told = executor.explain_element("w", (1, 1), step="last")
    assert told.value == second[1, 1] != first[1, 1]
    assert "after the last step" in str(told)
    executor.forward()
    with pytest.raises(GraphError, match="last step was not recorded"):
        executor.explain_element("w", (1, 1), step="last")


def test_a_step_that_a_guard_complains_of_can_be_explained() -> None:
    given = arrays()
    given["g"][2, 3] = np.inf
    w, g, m, v = map(sym.var, "wgmv")
    step = sym.adam_update(w, g, m, v, lr=0.1, out=w)
    executor = step.bind(args=given, aux_states=given, engine="reference", nan_guard="raise")
    with executor.recording(), pytest.raises(NonFiniteError):
        executor.forward()
    told = executor.explain_element("w", (2, 3), step="last")
    assert np.isnan(told.value)
    assert np.isnan(given["w"][2, 3])
    first = next(line for line in told.lines if not np.isfinite(line.value))
    assert (first.name, first.expression) == ("grad", "g[2, 3]")


def test_recording_of_some_names_copies_what_they_need_only() -> None:
    given = {n + k: x for k in "ab" for n, x in arrays().items()}
    heads = [sym.sgd_mom_update(*(sym.var(n + k) for n in "wgm"), lr=0.1, name=k) for k in "ab"]
    executor = sym.Group(heads).bind(args=given, aux_states=given, engine="reference")
    with executor.recording("wa"):
        executor.forward()
    assert set(executor._recorded.state.arrays) == {"wa", "ga", "ma"}
    assert executor.explain_element("wa", (1, 1), step="last").value == executor.outputs[0][1, 1]
    with pytest.raises(GraphError, match="only wa was recorded"):
        executor.explain_element("wb", (1, 1), step="last")
    with pytest.raises(UnknownArgumentError, match="no variable or output 'wc'"), executor.recording("wc"):
        pass


REFUSED: dict[str, tuple[Callable[[Any], Any], type[SymoptError], str]] = {
    "only read": (lambda e: e.explain_element("g", (0, 0)), GraphError, "only reads 'g'; it makes new values of"),
    "unknown": (lambda e: e.explain_element("mm", (0, 0)), UnknownArgumentError, "did you mean m?"),
    "too few": (lambda e: e.explain_element("w", 3), ElementIndexError, r"shape \(6, 4\): expected a tuple of 2"),
    "outside": (lambda e: e.explain_element("w", (0, 4)), ElementIndexError, r"index 4 of axis 1 is not in \[-4, 3\]"),
    "below": (lambda e: e.explain_element("w", (-7, 0)), ElementIndexError, "index -7 of axis 0"),
    "no number": (lambda e: e.explain_element("w", ("a", 0)), ElementIndexError, "got \\('a', 0\\)"),
    "bool": (lambda e: e.explain_element("w", (True, 0)), ElementIndexError, "expected a tuple of 2 integers"),
    "step": (lambda e: e.explain_element("w", (0, 0), step="first"), AttributeValueError, "'next' or 'last'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, said = REFUSED[name]
    given = arrays()
    with pytest.raises(kind, match=said):
        call(adam().bind(args=given, aux_states=given, engine="reference"))


def test_two_new_values_of_one_weight_need_the_name_of_an_output() -> None:
    w, g = sym.var("w"), sym.var("g")
    both = sym.Group([sym.sgd_update(w, g, lr=rate, name=n) for n, rate in (("a", 0.1), ("b", 0.2))])
    given = arrays()
    executor = both.bind(args={n: given[n] for n in "wg"}, engine="reference")
    with pytest.raises(GraphError, match=r"2 nodes make a new value of 'w'.*a_output, b_output"):
        executor.explain_element("w", (0, 0))
    told = executor.explain_element("b_output", (3, 3)).value
    assert told == executor.forward()[1][3, 3]


def test_numbers_of_the_host_are_explained() -> None:
    t = sym.var("t", shape=())
    count = sym._plus_scalar(t, scalar=1, out=t, name="count")
    executor = sym.Group([count, sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1 / count)]).bind(
        args={**{n: arrays()[n] for n in "wg"}, "t": 3.0}, engine="reference"
    )
    told = executor.explain_element("t", ())
    assert told.value == 4.0
    assert [line.name for line in told.lines] == ["data", "scalar", "count"]
