"""Arrays on a GPU: emulated ones everywhere, CuPy's where there is a GPU. What is elsewhere is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import nd, sym
from symopt.emulatedarrays import emulated_gpus
from symopt.errors import (
    ArrayError,
    AttributeValueError,
    DeviceError,
    DeviceMemoryError,
    DTypeError,
    MissingArgumentError,
    RowIndexError,
    ShapeError,
)
from symopt.overlap import check_overlap
from symopt.places import HOST, Place, from_host, place_of, place_of_array
from symopt.sparse import RowSparseArray, row_sparse_array

SHAPE = (6, 4)


@pytest.fixture(params=["emulated", pytest.param("cupy", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The place of so.gpu(0)."""
    if request.param == "cupy":
        yield place_of(so.gpu(0))
        return
    with emulated_gpus() as places:
        yield places[0]


@pytest.fixture
def two() -> Iterator[list[Place]]:
    with emulated_gpus() as places:
        yield places


@pytest.fixture(params=["reference", "auto"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "auto":
        request.getfixturevalue("cxx")
    return str(request.param)


def arrays(names: str = "wgmv") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {n: rng.random(SHAPE, np.float32) for n in names}


def up(place: Place, given: Any) -> Any:
    """Copies on a device: of an array, a row_sparse array or a dict of them. Numbers stay."""
    if isinstance(given, dict):
        return {name: up(place, x) for name, x in given.items()}
    if isinstance(given, RowSparseArray):
        return given.copy_to(place)
    return from_host(place, np.asarray(given)) if isinstance(given, np.ndarray) else given


def adam(**attrs: Any) -> Any:
    w, g, m, v = map(sym.var, "wgmv")
    return sym.adam_update(w, g, m, v, out=w, name="one", **{"lr": 0.1, "lazy_update": True, **attrs})


def bind(symbol: Any, given: dict[str, Any], ctx: Any = None, **options: Any) -> Any:
    states = set(symbol.list_auxiliary_states())
    args = {n: x for n, x in given.items() if n not in states}
    return symbol.bind(ctx, args, aux_states={n: given[n] for n in states}, **options)


def same(device: dict[str, Any], host: dict[str, Any]) -> bool:
    return all(np.array_equal(device[n].get(), host[n]) for n in "wmv")


# ---- a step


def test_a_step_updates_the_arrays_of_the_device(gpu: Place, engine: str) -> None:
    host = arrays()
    given = up(gpu, host)
    executor = bind(adam(), given, so.gpu(0), engine=engine)
    expected = bind(adam(), host)
    for _ in range(3):
        assert executor.forward()[0] is given["w"]
        expected.forward()
    executor.synchronize()
    assert same(given, host)
    assert executor.ctx == so.gpu(0) and "gpu(0)" in repr(executor) and "on gpu(0)" in executor.summary()


def test_buffers_and_outputs_lie_on_the_device(gpu: Place, engine: str) -> None:
    host = arrays("x")
    x = sym.var("x")
    executor = sym.Group([sym.square(x), sym.all_finite(x)]).bind(so.gpu(0), up(gpu, host), engine=engine)
    first, second = executor.forward()
    assert place_of_array(first) is gpu and place_of_array(second) is gpu
    assert np.array_equal(first.get(), host["x"] * host["x"]) and second.get() == 1


def test_rows_of_a_sparse_gradient(gpu: Place, engine: str) -> None:
    host = arrays()
    host["g"] = RowSparseArray(host["g"][:3], [4, 1, 4], SHAPE)
    given = up(gpu, host)
    executor = bind(adam(), given, so.gpu(0), engine=engine)
    expected = bind(adam(), host)
    ascending = RowSparseArray(host["g"].data[:2], [0, 5], SHAPE, canonical=True)
    for g in (host["g"], ascending):
        executor.forward(g=up(gpu, g))
        expected.forward(g=g)
    executor.synchronize()
    assert same(given, host)


def test_a_wrong_row_changes_nothing(gpu: Place, engine: str) -> None:
    host = arrays()
    given = up(gpu, host | {"g": RowSparseArray(host["g"][:2], [4, 1], SHAPE)})
    executor = bind(adam(), given, so.gpu(0), engine=engine)
    wrong = RowSparseArray(host["g"][:2], [4, 6], SHAPE)
    with pytest.raises(RowIndexError, match=r"indices\[1\] = 6 is not a row of 6"):
        bind(adam(), given | {"g": up(gpu, wrong)}, so.gpu(0), engine=engine)

    def steps() -> None:
        executor.forward(g=up(gpu, wrong))
        executor.synchronize()

    with pytest.raises(RowIndexError, match=r"indices\[1\] = 6 is not a row of 6"):
        steps()
    assert same(given, host)


def test_matrices(gpu: Place, engine: str) -> None:
    host = {n: np.random.default_rng(1).random((4, 6), np.float32) for n in "wgm"}
    w = sym.var("w")
    step = sym.keras3_muon_update(w, sym.var("g"), sym.var("m"), lr=0.1, out=w)
    given = up(gpu, host)
    bind(step, given, so.gpu(0), engine=engine).forward()
    bind(step, host).forward()
    for name in host:
        np.testing.assert_allclose(given[name].get(), host[name], rtol=1e-4, atol=1e-6)


# ---- what lies elsewhere


@pytest.mark.parametrize("name", "wg")
def test_arrays_of_the_host_are_refused_on_a_gpu(gpu: Place, name: str) -> None:
    host = arrays()
    text = rf"argument '{name}' is in the memory of cpu\(0\): expected gpu\(0\); give cupy.asarray\(x\)"
    with pytest.raises(DeviceError, match=text):
        bind(adam(), up(gpu, host) | {name: host[name]}, so.gpu(0))
    given = up(gpu, host)
    executor = bind(adam(), given, so.gpu(0), engine="reference")
    with pytest.raises(DeviceError, match=text):
        executor.forward(**{name: host[name]})
    with pytest.raises(DeviceError, match=text):
        executor.arg_dict[name] = host[name]
    assert same(given, host)


@pytest.mark.parametrize("name", "wm")
def test_arrays_of_a_gpu_are_refused_on_the_host(gpu: Place, name: str) -> None:
    host = arrays()
    text = rf"argument '{name}' is in GPU memory.*: expected the host's; give cupy.asnumpy\(x\), or bind on so.gpu"
    with pytest.raises(DeviceError, match=text):
        bind(adam(), host | {name: up(gpu, host[name])})
    executor = bind(adam(), host)
    with pytest.raises(DeviceError, match=text):
        executor.forward(**{name: up(gpu, host[name])})


def test_arrays_of_another_gpu_are_refused(two: list[Place]) -> None:
    host = arrays()
    given = up(two[1], host)
    text = r"argument 'g' is in the memory of gpu\(0\): expected gpu\(1\).*Device\(1\)"
    with pytest.raises(DeviceError, match=text):
        bind(adam(), given | {"g": up(two[0], host["g"])}, so.gpu(1))
    executor = bind(adam(), given, so.gpu(1), engine="reference")
    with pytest.raises(DeviceError, match=text):
        executor.forward(g=up(two[0], host["g"]))


def test_row_sparse_arrays_elsewhere_are_refused(gpu: Place) -> None:
    host = arrays()
    g = RowSparseArray(host["g"][:2], [4, 1], SHAPE)
    with pytest.raises(DeviceError, match=r"argument 'g' .*cpu\(0\): expected gpu\(0\)"):
        bind(adam(), up(gpu, host) | {"g": g}, so.gpu(0))
    with pytest.raises(DeviceError, match=r"argument 'g' .*expected the host's"):
        bind(adam(), host | {"g": up(gpu, g)})


def test_there_are_no_other_gpus(two: list[Place]) -> None:
    with pytest.raises(DeviceError, match=r"so.gpu\(2\) is not here: 2 GPUs"):
        adam().simple_bind(so.gpu(2), w=SHAPE)


@pytest.mark.parametrize("what", [[1.0, 2.0], None, "w"], ids=str)
def test_what_is_no_array(gpu: Place, what: Any) -> None:
    with pytest.raises(DTypeError, match="argument 'g' must be an array"):
        bind(adam(), up(gpu, arrays()) | {"g": what}, so.gpu(0))


# ---- arrays that do not fit


def test_memory_that_is_shared_is_refused(gpu: Place) -> None:
    given = up(gpu, arrays())
    text = "is updated in place and shares memory with"
    with pytest.raises(ArrayError, match=text):
        bind(adam(), given | {"m": given["w"]}, so.gpu(0))
    with pytest.raises(ArrayError, match=text):
        bind(adam(), given | {"g": given["m"][::-1]}, so.gpu(0))
    executor = bind(adam(), given, so.gpu(0), engine="reference")
    with pytest.raises(ArrayError, match=text):
        executor.forward(g=given["v"])


def test_strides_are_for_reading_only(gpu: Place, engine: str) -> None:
    host = arrays()
    wide = np.repeat(host["g"], 2, axis=1)
    given = up(gpu, host | {"g": wide})
    executor = bind(adam(), given | {"g": given["g"][:, ::2]}, so.gpu(0), engine=engine)
    executor.forward()
    bind(adam(), host).forward()
    executor.synchronize()
    assert same(given, host) and "strided" in executor.summary()
    with pytest.raises(ArrayError, match=r"argument 'w' is not C-contiguous .*cupy.ascontiguousarray"):
        bind(adam(), given | {"w": given["g"][:, ::2]}, so.gpu(0))


def test_memory_that_is_not_aligned_is_refused(gpu: Place) -> None:
    crooked = gpu.zeros((97,), np.uint8)[1:].view(np.float32).reshape(SHAPE)
    for name in "wg":
        with pytest.raises(ArrayError, match=f"argument '{name}' does not lie at a multiple"):
            bind(adam(), up(gpu, arrays()) | {name: crooked}, so.gpu(0))


def test_dtypes_are_checked(gpu: Place) -> None:
    with pytest.raises(DTypeError, match="argument 'g' has dtype int32"):
        bind(adam(), up(gpu, arrays()) | {"g": gpu.zeros(SHAPE, np.int32)}, so.gpu(0))


@pytest.mark.parametrize("broken", range(3))
def test_no_room_binds_nothing(two: list[Place], broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    host = arrays("xy")
    given = up(two[0], host)
    made, zeros = [], two[0].zeros

    def full(shape: Any, dtype: Any) -> Any:
        made.append(shape)
        if len(made) > broken:
            raise DeviceMemoryError("no room")
        return zeros(shape, dtype)

    monkeypatch.setattr(two[0], "zeros", full)
    x, y = map(sym.var, "xy")
    several = sym.Group([sym.square(x), sym.sqrt(y), sym.broadcast_add(x, y)])
    with pytest.raises(DeviceMemoryError):
        several.bind(so.gpu(0), given, engine="reference")
    assert len(made) == broken + 1 and all(np.array_equal(given[n].get(), host[n]) for n in host)


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


# ---- row_sparse arrays


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_row_sparse_arrays_on_a_device(gpu: Place, dtype: str) -> None:
    rng = np.random.default_rng(3)
    host = row_sparse_array((rng.normal(size=(40, 3)), rng.integers(0, 12, 40)), (12, 3), dtype)
    there = up(gpu, host)
    assert there.place is gpu and host.place is HOST and there.copy().place is gpu
    assert np.array_equal(there.todense().get(), host.todense())
    for one, other in ((there.coalesce(), host.coalesce()), (there.retain([3, 7]), host.retain([3, 7]))):
        assert one.place is gpu and one.canonical == other.canonical
        assert np.array_equal(one.data.get(), other.data)
        assert np.array_equal(one.indices.get(), other.indices)
    dense: Any = row_sparse_array(there.todense())
    assert dense.place is gpu and dense.indices.get().tolist() == host.coalesce().indices.tolist()


def test_parts_of_a_row_sparse_array_lie_together(gpu: Place) -> None:
    data, indices = np.ones((2, 3)), np.array([4, 1])
    with pytest.raises(DeviceError, match=r"indices of a row_sparse array .*expected gpu\(0\)"):
        RowSparseArray(up(gpu, data), indices, (5, 3))
    with pytest.raises(DeviceError, match=r"indices of a row_sparse array .*expected the host's"):
        RowSparseArray(data, up(gpu, indices), (5, 3))
    x = RowSparseArray(up(gpu, data), [4, 1], (5, 3))
    for part, value in (("data", data), ("indices", indices)):
        with pytest.raises(DeviceError, match=f"{part} of a row_sparse array"):
            setattr(x, part, value)
    with pytest.raises(DeviceError, match="rows to retain"):
        x.retain(indices)
    assert row_sparse_array((x.data, x.indices)).shape == (5, 3)
    with pytest.raises(RowIndexError, match=r"indices\[0\] = 4"):
        row_sparse_array((x.data, x.indices), shape=(3, 3))
    empty: Any = so.sparse.zeros((3, 2), ctx=so.gpu(0)).todense()
    assert empty.get().tolist() == [[0, 0]] * 3


def test_the_promise_of_ascending_indices() -> None:
    data = np.ones((2, 3))
    x = row_sparse_array((data, [1, 4]), canonical=True)
    assert x.canonical and x.retain([4]).canonical and x.copy().canonical
    assert row_sparse_array(x, dtype="float32").canonical
    x.indices = np.array([4, 1])
    assert not x.canonical and not x.retain([4]).canonical and x.coalesce().canonical
    assert row_sparse_array(np.eye(3)).canonical


# ---- the places themselves


class OnDevice:
    """What CuPy's arrays have that tells where their elements lie."""

    def __init__(self, like: np.ndarray) -> None:
        self.data = type("Pointer", (), {"ptr": like.__array_interface__["data"][0] + (1 << 45)})()
        for name in ("shape", "strides", "itemsize", "nbytes", "size", "flags"):
            setattr(self, name, getattr(like, name))


def test_overlap_is_told_from_addresses() -> None:
    memory, refused = np.zeros((8, 8), np.float32), 0
    views = [
        memory[:4],
        memory[4:],
        memory[::-1],
        memory[:, ::2],
        memory[:, 1::2],
        memory[2:3, 2:3],
        memory[3:3],
    ]
    for a in views:
        for b in views:
            entries: list[Any] = [("a", OnDevice(a), True), ("b", OnDevice(b), False)]
            if np.shares_memory(a, b):
                with pytest.raises(ArrayError, match="a is updated in place and shares memory with b"):
                    check_overlap(entries)
                refused += 1
            else:
                check_overlap(entries)
    assert refused > 10


def test_emulated_arrays_do_not_mix(two: list[Place]) -> None:
    host = np.ones(3)
    here, there = (up(place, host) for place in two)
    for other in (host, there):
        with pytest.raises(TypeError, match="mixes arrays"):
            here + other
        with pytest.raises(TypeError, match="mixes arrays"):
            here[:] = other
        with pytest.raises(TypeError, match="mixes arrays"):
            other += here
    with pytest.raises(TypeError, match="mixes arrays"):
        np.concatenate([here, host])
    for result in (here + 1, here[1:], here[0], here.sum(), np.concatenate([here, here]), here.reshape(1, 3)):
        assert place_of_array(result) is two[0]
    here += 1
    assert here.get().tolist() == [2, 2, 2] and type(here.get()) is np.ndarray


def test_a_gpu_that_is_not_there() -> None:
    try:
        place_of(so.gpu(99))
    except (DeviceError, so.errors.DependencyError) as error:
        assert "so.gpu" in str(error)
    else:
        pytest.fail("there is a GPU of this number")


# ---- other libraries' arrays on a GPU


class Interface:
    """Somebody's array that has nothing but `__cuda_array_interface__`."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_torch_tensors_are_zero_copy(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(6, dtype=getattr(torch, dtype), device="cuda").reshape(2, 3)
    place = place_of_array(x)
    seen: Any = place.as_array(x, "argument 'w'", mutable=True)
    assert place is place_of(so.gpu(0)) and seen.dtype.name == dtype and seen.data.ptr == x.data_ptr()
    w = sym.var("w")
    step = sym.sgd_update(w, sym.var("g"), lr=1.0, out=w)
    step.bind(so.gpu(0), {"w": x, "g": torch.ones_like(x)}).forward()
    torch.cuda.synchronize()
    assert x.tolist() == [[-1, 0, 1], [2, 3, 4]]
    with pytest.raises(ArrayError, match=r"x\.detach\(\)"):
        place.view(torch.nn.Parameter(x.float()), "argument 'w'")
    with pytest.raises(DeviceError, match="torch tensor on cuda:0"):
        HOST.view(x, "argument 'w'")
    with pytest.raises(DeviceError, match=r"expected gpu\(0\)"):
        place.view(x.cpu(), "argument 'w'")


@pytest.mark.gpu
def test_managed_memory_is_the_gpus() -> None:
    cupy = pytest.importorskip("cupy")
    with cupy.cuda.using_allocator(cupy.cuda.malloc_managed):
        x = cupy.ones(3)
    assert place_of_array(x) is place_of(so.gpu(0))
    w = sym.var("w")
    step = sym.sgd_update(w, sym.var("g"), lr=0.5, out=w)
    step.bind(so.gpu(0), {"w": x, "g": cupy.ones(3)}).forward()
    assert x.get().tolist() == [0.5] * 3


@pytest.mark.gpu
def test_the_cuda_array_interface_is_zero_copy() -> None:
    place = place_of(so.gpu(0))
    x: Any = from_host(place, np.arange(6.0))
    other = Interface(x)
    seen: Any = place.as_array(other, "argument 'w'", mutable=True)
    assert place_of_array(other) is place and seen.data.ptr == x.data.ptr
