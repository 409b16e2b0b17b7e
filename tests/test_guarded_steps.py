"""What a guarded step tells, what it leaves alone, and how guards stay through changes of an executor. On any place."""

from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS, Graph, adam_list, lamb, table
from injected import Fault, Trial, raw
from where import Emulated, put_all

import symopt as so
from symopt import sym
from symopt.codegen.guard import Guard
from symopt.codegen.llvm import module_text
from symopt.dtypes import to_numpy
from symopt.emulatedarrays import emulated_gpus
from symopt.errors import AttributeValueError, NonFiniteError

ENGINES = ("reference", "native", "emulator")


def sgd(dtype: str = "float32", **attrs: Any) -> tuple[Any, dict[str, np.ndarray]]:
    w, g = sym.var("w"), sym.var("g")
    update = sym.sgd_update(w, g, **({"lr": 1.0} | attrs), out=w, name="fc1")
    return update, {n: np.ones((4, 6), dtype) for n in "wg"}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "emulator":
        request.getfixturevalue("cxx")
    return str(request.param)


def stepped(exe: Any) -> None:
    exe.forward()
    exe.synchronize()


def test_an_error_names_node_variable_index_cause_and_line(engine: str) -> None:
    update, args = sgd()
    args["g"][2, 5] = args["g"][3, 0] = np.nan
    exe = update.bind(so.cpu(), args=args, engine=engine, nan_guard="raise")
    with pytest.raises(
        NonFiniteError, match=r"'fc1' stored nan in 'w' \(weight\) at \[2, 5\], 2 times"
    ) as caught:
        stepped(exe)
    text = str(caught.value)
    assert "that step was done to its end" in text and "built at" in text and "test_guarded_steps.py" in text
    assert np.isnan(args["w"]).sum() == 2 and args["w"][0, 0] == 0
    assert isinstance(caught.value, FloatingPointError)
    if engine != "emulator":  # where other arrays may be bound by the time that the error comes
        assert "before the step: 'g' (grad of 'fc1'): nan at [2, 5], 2 times" in text
    args["g"][...], args["w"][...] = 1, 1
    stepped(exe)
    assert not args["w"].any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_overflow_inside_the_formula_is_found(dtype: str, engine: str) -> None:
    update, args = sgd(dtype, lr=2.0, rescale_grad=1.0)
    largest = np.finfo(dtype).max
    args["g"][1, 3] = -largest if dtype != "float16" else -40000
    before = args["w"].copy()
    exe = update.bind(so.cpu(), args=args, engine=engine, nan_guard="skip")
    stepped(exe)
    stepped(exe)
    assert exe.skipped == 2 and (args["w"] == before).all()
    (finding,) = exe.last_skip
    assert (finding.what, finding.first, finding.name) == ("inf", (1, 3), "w")
    assert not exe.last_skip.causes
    args["g"][1, 3] = 1
    stepped(exe)
    assert exe.skipped == 2 and (args["w"] == -1).all()


@pytest.mark.parametrize(
    ("dtype", "largest", "step"), [("float16", 65504.0, 16.0), ("bfloat16", 3.3895313892515355e38, 2.0**119)]
)
def test_the_least_number_that_rounds_to_infinity(
    dtype: str, largest: float, step: float, engine: str
) -> None:
    """Halfway between the largest number and what would be the next one."""
    update, args = sgd(lr=-1.0)
    args = {n: a.astype(to_numpy(dtype)) for n, a in args.items()}
    args["w"][1, 2] = largest
    for below, skipped in ((0.99, 0), (1.0, 1)):
        args["w"][1, 2], args["g"][1, 2] = largest, below * step
        exe = update.bind(so.cpu(), args=args, engine=engine, nan_guard="skip")
        stepped(exe)
        assert exe.skipped == skipped and float(args["w"][1, 2]) == largest


def test_rows_that_are_not_listed_do_not_count(engine: str) -> None:
    graph = table(50, 33, [3, 49, 8], True)
    trial = Trial(graph, engine, "raise")
    assert trial.run(Fault("w", 10 * 33, np.nan)) == {}
    assert trial.run(Fault("m", 8 * 33 + 4, np.nan)) == {"w": (8, 4), "m": (8, 4)}


def test_numbers_of_the_host_are_looked_at(engine: str) -> None:
    t, lr = sym.var("t", shape=()), sym.var("lr", shape=())
    count = sym._plus_scalar(t, scalar=1, out=t, name="count")
    args, w = sgd()[1], sym.var("w")
    update = sym.sgd_update(w, sym.var("g"), lr=lr, out=w, name="fc1")
    symbol = sym.Group([count, update])
    for guard in ("raise", "skip"):
        arrays = {n: a.copy() for n, a in args.items()}
        exe = symbol.bind(so.cpu(), args={**arrays, "t": 3.0, "lr": 0.5}, engine=engine, nan_guard=guard)
        if guard == "raise":
            with pytest.raises(NonFiniteError, match="'count' stored inf in 't'"):
                exe.forward(t=np.inf)
            exe.forward(t=1.0)
            with pytest.raises(NonFiniteError, match="'fc1' stored nan in 'w'"):
                exe.forward(lr=np.nan)
                exe.synchronize()
            assert exe.arg_dict["t"] == 3
        else:
            exe.forward(lr=np.nan)
            exe.forward(lr=0.5, t=np.inf)
            exe.forward(t=3.0)
            exe.synchronize()
            assert exe.skipped == 2 and exe.arg_dict["t"] == 4 and (arrays["w"] == 0.5).all()


def test_a_guard_stays_when_an_executor_changes(engine: str) -> None:
    update, args = sgd(clip_gradient=-1.0)
    exe = update.bind(so.cpu(), args=args, engine=engine, nan_guard="skip")
    args["g"][0, 0] = np.nan
    stepped(exe)
    exe.set_attr("fc1", clip_gradient=0.5)  # planned anew
    stepped(exe)
    assert exe.skipped == 2 and (args["w"] == 1).all()
    for other in (exe.reshape(w=(4, 6), g=(4, 6)), exe.as_in_context(so.cpu())):
        stepped(other)
        assert other.skipped == 1
    seen: list[str] = []
    exe.set_monitor_callback(lambda name, array: seen.append(name))
    stepped(exe)
    assert exe.skipped == 3 and seen == ["fc1_output"] and (args["w"] == 1).all()


def test_arrays_may_be_replaced(engine: str) -> None:
    """LAMB stores its states before it reads them: in a rehearsal others stand in for them."""
    graph = lamb()
    plain, guarded = Trial(graph, engine, None), Trial(graph, engine, "skip")
    for trial in (plain, guarded):
        trial.start(None)
        fresh = {n: np.full_like(graph.args[n], 0.25) for n in ("g0", "w2")} | {
            "m0": np.ones_like(graph.states["m0"])
        }
        trial.executor.forward(**fresh)
        trial.executor.forward()
        trial.arrays |= fresh
        trial.executor.synchronize()
    assert guarded.executor.skipped == 0 and raw(plain.held()) == raw(guarded.held())
    guarded.arrays["g0"][7, 7] = np.inf
    before = raw(guarded.held())
    stepped(guarded.executor)
    assert guarded.executor.skipped == 1 and raw(guarded.held()) == before


def test_the_lowest_index_does_not_depend_on_threads() -> None:
    w, g = sym.var("w"), sym.var("g")
    arrays = {n: np.ones(3_000_000, np.float32) for n in "wg"}
    arrays["g"][[2_999_999, 1_234_567, 40_000]] = np.nan
    so.set_num_threads(4)
    try:
        for guard in ("skip", "raise"):
            exe = sym.sgd_update(w, g, lr=0.1, out=w).bind(so.cpu(), args=arrays, nan_guard=guard)
            report = None
            try:
                exe.forward()
                report = exe.last_skip
            except NonFiniteError as error:
                report = error.report
            assert report is not None and [f.first for f in report] == [(40_000,)] and report[0].count == 3
    finally:
        so.set_num_threads(None)


def test_nan_guard_is_one_of_three() -> None:
    update, args = sgd()
    with pytest.raises(AttributeValueError, match="nan_guard 'stop' must be 'raise', 'skip' or None"):
        update.bind(so.cpu(), args=args, nan_guard="stop")
    exe = update.simple_bind(so.cpu(), nan_guard="skip", w=(3,), g=(3,))
    exe.arg_dict["g"][...] = np.inf
    exe.forward()
    assert exe.skipped == 1


def test_a_kernel_without_guard_has_no_trace_of_one() -> None:
    exe = adam_list([7]).symbol.simple_bind(so.cpu(), w0=(7,))
    (launch,) = exe._step.program.launches
    plain, guarded = module_text(launch.kernel), module_text(launch.kernel, Guard((0,)))
    assert "flag" not in plain and "umax" not in plain and "flag" in guarded


# ---- on devices


@pytest.fixture
def gpu(cxx: None) -> Any:
    with emulated_gpus(1):
        yield Emulated()


def on_device(where: Any, graph: Graph, **options: Any) -> tuple[Any, dict[str, Any]]:
    args, states = put_all(where, graph.args), put_all(where, graph.states)
    return where.bind(graph.symbol, args, states, **options), args | states


@pytest.mark.parametrize("capture", [False, True])
def test_the_error_comes_late_and_no_later_step_writes(gpu: Any, capture: bool) -> None:
    graph = GRAPHS["clip, count and average"]()
    exe, arrays = on_device(gpu, graph, nan_guard="raise", capture=capture)
    exe.forward()
    arrays["w0"][3, 4] = np.inf
    exe.forward()
    after = {n: gpu.get(a).tobytes() for n, a in arrays.items() if hasattr(a, "nbytes")}
    with pytest.raises(NonFiniteError, match="no step after it has written anything") as caught:
        exe.forward()
    assert {n: gpu.get(a).tobytes() for n, a in arrays.items() if hasattr(a, "nbytes")} == after
    assert caught.value.report[0].first == (3, 4)
    assert exe.arg_dict["t"] == 2
    for name in ("w0", "m0", "v0", "e0"):
        arrays[name][3, 4] = 0
    exe.forward()
    exe.synchronize()
    assert exe.arg_dict["t"] == 3


@pytest.mark.parametrize("capture", [False, True])
def test_a_device_leaves_a_step_out_without_the_host(gpu: Any, capture: bool) -> None:
    graph = adam_list([(5, 3), 7, 9001], clip_gradient=-1.0)
    exe, arrays = on_device(gpu, graph, nan_guard="skip", capture=capture)
    plain, others = on_device(gpu, graph)
    for number in (1.0, np.nan, 2.0, -np.inf):
        arrays["g1"][5] = others["g1"][5] = number
        exe.forward()
        if np.isfinite(number):
            plain.forward()
    exe.synchronize()
    assert exe.skipped == 2
    for name in arrays:
        if name != "g1":
            assert gpu.get(arrays[name]).tobytes() == gpu.get(others[name]).tobytes(), name
    assert {(f.name, f.what, f.first) for f in exe.last_skip} == {
        ("w1", "nan", (5,)),
        ("m1", "-inf", (5,)),
        ("v1", "inf", (5,)),
    }


def test_what_waits_cannot_be_recorded(gpu: Any) -> None:
    graph = GRAPHS["clip, count and average"]()
    with pytest.raises(AttributeValueError, match="the host waits for each step"):
        on_device(gpu, graph, nan_guard="skip", capture=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["lamb", "float16 list", "lazy table, repeated rows", "complex"])
def test_guards_race_with_nothing(cxx: None, name: str, seed: int) -> None:
    """Threads in bad orders, every access to memory watched."""
    where = Emulated(seed)
    graph = GRAPHS[name]()
    with emulated_gpus(1):
        for guard in ("raise", "skip"):
            exe, arrays = on_device(where, graph, nan_guard=guard)
            exe.forward()
            exe.synchronize()
            weight = next(a for n, a in arrays.items() if n.startswith("w"))
            weight[...] = np.nan
            exe.forward()
            if guard == "skip":
                exe.synchronize()
                assert exe.skipped == 1 and exe.last_skip[0].what == "nan"
            else:
                with pytest.raises(NonFiniteError):
                    exe.synchronize()
            where.check()
