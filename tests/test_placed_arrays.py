"""Row-sparse arrays on a GPU, the places themselves, and arrays of other libraries."""

from typing import Any

import numpy as np
import pytest
from placed import up

import symopt as so
from symopt import sym
from symopt.errors import (
    ArrayError,
    DeviceError,
    RowIndexError,
)
from symopt.overlap import check_overlap
from symopt.places import HOST, Place, from_host, place_of, place_of_array
from symopt.sparse import RowSparseArray, row_sparse_array

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
