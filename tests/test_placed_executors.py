"""Executors and `so.nd` on a GPU: numbers, copies to and from the host, monitors, recorded steps."""

from typing import Any

import numpy as np
import pytest
from placed import SHAPE, adam, arrays, bind, same, up

import symopt as so
from symopt import nd, sym
from symopt.errors import (
    AttributeValueError,
    DeviceError,
    MissingArgumentError,
    ShapeError,
)
from symopt.places import Place, place_of_array
from symopt.sparse import RowSparseArray

# ---- numbers


def scheduled() -> Any:
    w = sym.var("w")
    return sym.sgd_update(w, sym.var("g"), lr=sym.var("lr", shape=()), out=w)


@pytest.mark.parametrize("lr", [0.5, np.float32(0.5), np.array(0.5)], ids=["python", "numpy", "array"])
def test_numbers_are_the_hosts(gpu: Place, engine: str, lr: Any) -> None:
    host = arrays("wg")
    given = up(gpu, host)
    executor = scheduled().bind(so.gpu(0), given | {"lr": lr}, engine=engine)
    executor.forward()
    assert np.array_equal(given["w"].get(), host["w"] - np.float32(0.5) * host["g"])
    executor.forward(lr=np.array(0.0))
    assert np.array_equal(given["w"].get(), host["w"] - np.float32(0.5) * host["g"])


def test_numbers_in_the_memory_of_a_gpu_are_refused(gpu: Place) -> None:
    given = up(gpu, arrays("wg"))
    number = gpu.zeros((), np.float32)
    text = r"argument 'lr' is a number, .*gpu\(0\): .*give float\(x\)"
    with pytest.raises(DeviceError, match=text):
        scheduled().bind(so.gpu(0), given | {"lr": number})
    for first in (0.5, np.array(0.5)):
        executor = scheduled().bind(so.gpu(0), given | {"lr": first}, engine="reference")
        with pytest.raises(DeviceError, match=text):
            executor.forward(lr=number)


def test_tensors_of_no_axis_lie_on_the_gpu(gpu: Place, engine: str) -> None:
    w = sym.var("w")
    step = sym.sgd_update(w, sym.var("g"), lr=0.5, out=w)
    given = {"w": gpu.zeros((), np.float32), "g": up(gpu, np.array(2, np.float32))}
    executor = step.bind(so.gpu(0), given, engine=engine)
    executor.forward()
    assert given["w"].get() == -1
    text = "argument 'g' is a tensor of shape .* in the host's memory"
    with pytest.raises(DeviceError, match=text):
        executor.forward(g=np.array(2, np.float32))
    with pytest.raises(DeviceError, match=text):
        step.bind(so.gpu(0), given | {"g": np.array(2, np.float32)})


def test_numbers_that_a_step_writes_are_shown_on_the_host(gpu: Place, engine: str) -> None:
    t, count = sym.var("t", shape=()), np.array(1.0)
    step = sym.Group([sym.broadcast_add(t, t, out=t), sym.square(sym.var("x"))])
    executor = step.bind(so.gpu(0), {"t": count, "x": up(gpu, arrays("x")["x"])}, engine=engine)
    for expected in (2, 4, 8):
        assert executor.forward()[0] == expected == count


# ---- executors


def test_simple_bind_allocates_on_the_device(gpu: Place, engine: str) -> None:
    stypes = {"g": "row_sparse"}
    executor = adam().simple_bind(so.gpu(0), stype_dict=stypes, engine=engine, w=SHAPE)
    assert all(executor.arg_dict[n].device.id == 0 for n in "w")
    assert executor.arg_dict["g"].place is gpu and executor.aux_dict["m"].shape == SHAPE
    host = RowSparseArray(np.ones((1, 4), np.float32), [2], SHAPE)
    executor.forward(g=up(gpu, host))
    assert executor.arg_dict["w"].get().any(axis=1).tolist() == [False, False, True, False, False, False]


def test_reshape_shares_what_keeps_its_shape(gpu: Place) -> None:
    x, y = map(sym.var, "xy")
    both = sym.Group([sym.square(x), sym.square(y)])
    executor = both.bind(so.gpu(0), up(gpu, arrays("xy")), engine="reference")
    other = executor.reshape(x=(2, 3))
    assert other.ctx == so.gpu(0) and other.arg_dict["y"] is executor.arg_dict["y"]
    assert place_of_array(other.arg_dict["x"]) is gpu and not other.forward()[0].get().any()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_parameters_are_copied_from_host_and_device(gpu: Place, dtype: str) -> None:
    executor = adam().simple_bind(so.gpu(0), engine="reference", type_dict={"w": dtype}, w=SHAPE)
    w, host = executor.arg_dict["w"], arrays()
    executor.copy_params_from({"w": host["w"], "g": up(gpu, host["g"])}, {"m": host["m"].astype("float64")})
    assert executor.arg_dict["w"] is w and np.array_equal(w.get(), host["w"].astype(w.dtype))
    assert np.array_equal(executor.aux_dict["m"].get(), host["m"].astype(executor.aux_dict["m"].dtype))
    with pytest.raises(ShapeError):
        executor.copy_params_from({"w": host["v"], "g": gpu.zeros((3,), np.float32)})
    with pytest.raises(MissingArgumentError):
        executor.copy_params_from({"w": host["v"], "x": host["v"]})
    assert np.array_equal(w.get(), host["w"].astype(w.dtype))
    here = adam().simple_bind(so.cpu(), w=SHAPE)
    here.copy_params_from({"w": up(gpu, host["w"])})
    assert np.array_equal(here.arg_dict["w"], host["w"])


def test_there_and_back_again(gpu: Place) -> None:
    w, g, m, v = map(sym.var, "wgmv")
    symbol = sym.adam_update(w, g, m, v, lr=sym.var("lr", shape=()), out=w, name="one", lazy_update=True)
    host = arrays() | {"lr": 0.1}
    host["g"] = RowSparseArray(host["g"][:2], [1, 4], SHAPE, canonical=True)
    here = bind(symbol, host)
    here.forward(lr=0.2)
    here.set_attr("one", wd=0.01)
    there = here.as_in_context(so.gpu(0))
    assert there.ctx == so.gpu(0) and there.arg_dict["lr"] == 0.2 and there.arg_dict["g"].canonical
    back = there.as_in_context("cpu")
    again = here.as_in_context(so.cpu())
    for executor in (here, back, again):
        executor.forward()
        executor.forward(lr=0.3)
    for name in "wmv":
        found = [{**e.arg_dict, **e.aux_dict}[name] for e in (here, back, again)]
        assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
        assert not np.shares_memory(found[0], found[1]) and not np.shares_memory(found[0], found[2])
    assert not np.array_equal(there.arg_dict["w"].get(), host["w"])


def test_flags_change_on_the_same_arrays(gpu: Place, engine: str) -> None:
    host = arrays()
    given = up(gpu, host)
    executor, expected = bind(adam(), given, so.gpu(0), engine=engine), bind(adam(), host)
    for each in (executor, expected):
        each.set_attr("one", clip_gradient=0.1)
        each.forward()
    executor.synchronize()
    assert same(given, host) and executor.outputs[0] is given["w"]


def test_monitors_see_values_on_the_host(gpu: Place, engine: str) -> None:
    host = arrays()
    given = up(gpu, host)
    executor, expected = bind(adam(), given, so.gpu(0), engine=engine), bind(adam(), host)
    seen: dict[str, Any] = {}
    executor.set_monitor_callback(seen.__setitem__, monitor_all=True)
    executor.forward()
    expected.forward()
    assert {*"wgmv", "one_output"} <= seen.keys() and np.array_equal(seen["one_output"], host["w"])
    assert all(type(x) is np.ndarray for x in seen.values())
    assert same(given, host)
    executor.set_monitor_callback(None)
    executor.forward()
    expected.forward()
    executor.synchronize()
    assert same(given, host)


@pytest.mark.parametrize("engine", ["native", "emulator", "cuda"])
def test_engines_that_are_not_for_gpus(gpu: Place, engine: str) -> None:
    with pytest.raises(AttributeValueError, match=rf"engine '{engine}' on gpu\(0\) must be one of auto"):
        bind(adam(), up(gpu, arrays()), so.gpu(0), engine=engine)


def test_recorded_steps(gpu: Place) -> None:
    with pytest.raises(AttributeValueError, match="capture=True"):
        bind(adam(), arrays(), capture=True)
    with pytest.raises(AttributeValueError, match="capture=True"):
        bind(adam(), up(gpu, arrays()), so.gpu(0), engine="reference", capture=True)


@pytest.mark.usefixtures("cxx")
def test_recorded_steps_run(gpu: Place) -> None:
    host = arrays()
    given = up(gpu, host)
    executor, expected = bind(adam(), given, so.gpu(0), capture=True), bind(adam(), host)
    for k in range(4):
        for each in (executor, expected):
            each.set_attr("one", lr=0.1 / (k + 1))
            each.forward()
    executor.synchronize()
    assert same(given, host)


# ---- ops run at once


@pytest.mark.usefixtures("cxx")
def test_ops_run_where_their_inputs_are(gpu: Place) -> None:
    host = arrays()
    given = up(gpu, host)
    assert nd.adam_update(*given.values(), lr=0.1, out=given["w"]) is given["w"]
    nd.adam_update(*host.values(), lr=0.1, out=host["w"])
    assert same(given, host)
    result = nd.square(given["g"])
    assert place_of_array(result) is gpu and np.array_equal(result.get(), host["g"] * host["g"])
    assert np.array_equal(nd.square(host["g"]), host["g"] * host["g"])  # the same op on the host, again
    target = gpu.zeros(SHAPE, np.float32)
    assert nd.square(given["g"], out=target) is target and np.array_equal(target.get(), result.get())
    rows = RowSparseArray(host["g"][:2], [3, 1], SHAPE)
    nd.sgd_update(given["w"], up(gpu, rows), lr=0.1, out=given["w"])
    nd.sgd_update(host["w"], rows, lr=0.1, out=host["w"])
    assert same(given, host)


def test_ops_refuse_inputs_of_several_places(gpu: Place) -> None:
    host = arrays()
    given = up(gpu, host)
    with pytest.raises(DeviceError, match=r"input 'grad' is in the memory of cpu\(0\): expected gpu\(0\)"):
        nd.sgd_update(given["w"], host["g"], lr=0.1)
    with pytest.raises(DeviceError, match=r"input 'grad' is in GPU memory"):
        nd.sgd_update(host["w"], given["g"], lr=0.1)
    rows = RowSparseArray(host["g"][:2], [3, 1], SHAPE)
    with pytest.raises(DeviceError, match=r"input 'grad' .*expected gpu\(0\)"):
        nd.sgd_update(given["w"], rows, lr=0.1)
    with pytest.raises(DeviceError, match="sgd_update: out is in the memory"):
        nd.sgd_update(given["w"], given["g"], lr=0.1, out=host["w"])
    assert same(given, host)
