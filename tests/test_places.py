"""Steps on arrays of a GPU, and what is refused: arrays that lie elsewhere or do not fit."""

from typing import Any

import numpy as np
import pytest
from placed import SHAPE, adam, arrays, bind, same, up

import symopt as so
from symopt import sym
from symopt.errors import (
    ArrayError,
    DeviceError,
    DeviceMemoryError,
    DTypeError,
    RowIndexError,
)
from symopt.places import Place, place_of_array
from symopt.sparse import RowSparseArray

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
