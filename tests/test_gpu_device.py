"""The device on CuPy: refusals anywhere, the rest on a GPU, with kernels written by hand."""

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symopt.backends.cuda import cupydevice
from symopt.backends.cuda.cupydevice import _Copies, cupy_device
from symopt.backends.cuda.device import Device, Source
from symopt.codegen.cuda.layout import THREADS
from symopt.errors import CompileError, DependencyError, DeviceError, DeviceMemoryError

KERNELS = Source(
    """
    struct Job { unsigned long long out; float by[7]; double half; short last; };
    extern "C" __global__ void fill(Job job, const float* in, int n, long long shift) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        float* out = (float*)job.out;
        if (i < n) out[i] = in[i] * job.by[6] + (float)(job.half + job.last + (double)(shift >> 40));
    }
    extern "C" __global__ void spin(float* p, long long cycles) {
        long long start = clock64();
        while (clock64() - start < cycles) {}
        if (threadIdx.x == 0) p[0] = p[0] + 1.0f;
    }
    """,
    ("fill", "spin"),
)
JOB = np.dtype([("out", "u8"), ("by", "f4", 7), ("half", "f8"), ("last", "i2")], align=True)
LONG = np.int64(200_000_000)  # cycles: a tenth of a second


# Anywhere.


@pytest.fixture
def none_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device has been found before."""
    monkeypatch.setattr(cupydevice, "_devices", {})


def test_without_cupy(none_known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DependencyError, match=r"need CuPy: pip install symopt\[cuda12\] or symopt\[cuda13\]"):
        cupy_device(0)


def test_with_a_cupy_that_is_broken(
    none_known: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cupy.py").write_text("import absent_library")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match=r"need CuPy, which cannot be imported .*absent_library"):
        cupy_device(0)


class Cupy:
    """As much of CuPy as tells how many GPUs there are."""

    def __init__(self, count: int) -> None:
        class Error(RuntimeError):
            pass

        self.cuda = self.runtime = self
        self.CUDARuntimeError = Error
        self.getDeviceCount = lambda: count


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", Cupy(2))
    with pytest.raises(
        DeviceError, match=r"so\.gpu\(2\) is not here: this machine has 2 GPU\(s\), numbered from 0"
    ):
        cupy_device(2)


def test_without_nvrtc(none_known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc = pytest.importorskip("cupy.cuda").nvrtc

    def missing() -> None:
        raise RuntimeError("Failure finding libnvrtc.so")

    monkeypatch.setattr(cupydevice, "check_present", lambda cupy, device_id: None)
    monkeypatch.setattr(nvrtc, "getVersion", missing)
    with pytest.raises(DependencyError, match=r"no NVRTC library.*symopt\[cuda12\] or symopt\[cuda13\]"):
        cupy_device(0)


def test_without_a_driver() -> None:
    if pytest.importorskip("cupy").cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(
        DeviceError, match=r"so\.gpu\(1\) needs an NVIDIA GPU and its driver, and none answers"
    ):
        cupy_device(1)


class Event:
    done = False


def test_copies_arrive_in_order() -> None:
    events = [Event(), Event(), Event()]
    copies = _Copies(np.zeros(1))
    for k, event in enumerate(events):
        copies.add(event, np.full(1, k + 1.0))
    assert copies.latest() == [0.0]
    events[0].done = events[1].done = True
    assert copies.latest() == [2.0]
    assert copies.latest() == [2.0]
    events[2].done = True
    copies.add(Event(), np.full(1, 4.0))
    assert copies.latest() == [3.0]


# On a GPU.


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path))
    return cupy_device(0)


def job(address: int) -> Any:
    """What `fill` takes by value; with shift 3 << 40 it computes in * 2 + 10.5."""
    one = np.zeros(1, JOB)
    one["out"], one["by"], one["half"], one["last"] = address, np.arange(7) / 3, 2.5, 5
    return one


def on_device(device: Device, values: Any) -> Any:
    array = device.zeros(values.shape, values.dtype)
    device.upload(array, values)
    return array


@pytest.mark.gpu
def test_one_object_for_one_device(device: Device) -> None:
    assert cupy_device(0) is device
    assert device.multiprocessors > 0
    with pytest.raises(DeviceError, match="numbered from 0"):
        cupy_device(99)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (70_001,)])
def test_there_and_back(device: Device, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    array = device.zeros(shape, dtype)
    assert not device.download(array).any()
    device.upload(array, values)
    expected = values.copy()
    values[...] = 1
    back = device.download(array)
    assert back.dtype == expected.dtype
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(
        device.download(array[:2] if shape else array), expected[:2] if shape else expected
    )


@pytest.mark.gpu
def test_uploads_are_in_order_and_keep_what_they_copy(device: Device) -> None:
    (code,) = device.load([KERNELS])
    array, busy = device.zeros(1_000_000, "float32"), device.zeros(1, "float32")
    device.launch(code["spin"], 1, [np.uint64(device.address(busy)), LONG])
    values = np.empty(1_000_000, np.float32)
    for k in range(20):
        values[...] = k
        device.upload(array, values)
    assert (device.download(array) == 19).all()


@pytest.mark.gpu
def test_arguments_by_value(device: Device) -> None:
    (code,) = device.load([KERNELS])
    n = 3 * THREADS + 7
    values = np.random.default_rng(1).standard_normal(n).astype(np.float32)
    source, target = on_device(device, values), device.zeros(n + 1, "float32")
    arguments = [
        job(device.address(target)),
        np.uint64(device.address(source)),
        np.int32(n),
        np.int64(3 << 40),
    ]
    device.launch(code["fill"], 4, arguments)
    np.testing.assert_array_equal(
        device.download(target), np.append(values * np.float32(2) + np.float32(10.5), 0)
    )


@pytest.mark.gpu
def test_what_is_loaded_is_kept(device: Device) -> None:
    first, second = device.load([KERNELS, KERNELS])
    assert first is second
    assert device.load([KERNELS])[0] is first
    assert set(first) == {"fill", "spin"}
    with pytest.raises(CompileError, match="identifier"):
        device.load([Source('extern "C" __global__ void k() { x; }', ("k",))])


@pytest.mark.gpu
def test_work_is_done_on_the_current_stream(device: Device) -> None:
    import cupy

    (code,) = device.load([KERNELS])
    slow, quick = device.zeros(1, "float32"), device.zeros(1, "float32")
    device.synchronize()
    with device.current(), cupy.cuda.Stream(non_blocking=True) as one:
        device.launch(code["spin"], 1, [np.uint64(device.address(slow)), LONG])
    with device.current(), cupy.cuda.Stream(non_blocking=True):
        device.launch(code["spin"], 1, [np.uint64(device.address(quick)), np.int64(0)])
        device.synchronize()
        assert not one.done
        assert device.download(quick) == [1.0]
    with device.current(), one:
        assert device.download(slow) == [1.0]


@pytest.mark.gpu
def test_watching_does_not_wait(device: Device) -> None:
    (code,) = device.load([KERNELS])
    array = device.zeros(1, "float32")
    for _ in range(4):  # fills CuPy's pool of pinned memory: taking more from the driver does wait
        before = device.watch(array)
    device.synchronize()
    assert before() == [0.0]
    for _ in range(2):
        device.launch(code["spin"], 1, [np.uint64(device.address(array)), LONG])
        latest = device.watch(array)
    assert latest() == [0.0]
    device.synchronize()
    assert latest() == [2.0]
    assert before() == [2.0]


@pytest.mark.gpu
def test_an_array_that_is_gone_is_watched_no_more(device: Device) -> None:
    array = on_device(device, np.full(3, 7, np.int32))
    latest, key = device.watch(array), id(array)
    device.synchronize()
    np.testing.assert_array_equal(latest(), [7, 7, 7])
    watched = cupydevice._devices[0]._watched
    assert key in watched
    del array
    gc.collect()
    assert key not in watched


@pytest.mark.gpu
def test_captured_launches_run_again(device: Device) -> None:
    import cupy

    (code,) = device.load([KERNELS])
    array = device.zeros(1, "float32")
    arguments = [np.uint64(device.address(array)), np.int64(0)]

    def run() -> None:
        for _ in range(3):
            device.launch(code["spin"], 1, arguments)

    run()
    device.synchronize()
    again = device.capture(run)
    assert device.download(array) == [3.0]
    again()
    again()
    assert device.download(array) == [9.0]
    with device.current(), cupy.cuda.Stream(non_blocking=True):
        again()
        assert device.download(array) == [12.0]


@pytest.mark.gpu
def test_a_capture_that_fails_leaves_the_device_usable(device: Device) -> None:
    array = device.zeros(2, "float32")
    with pytest.raises(RuntimeError, match="capturing"):
        device.capture(lambda: device.upload(array, np.ones(2, np.float32)))
    device.upload(array, np.ones(2, np.float32))
    assert device.download(array).sum() == 2


@pytest.mark.gpu
def test_no_room(device: Device) -> None:
    with pytest.raises(
        DeviceMemoryError, match=r"gpu\(0\).*\(1099511627776, 8\).*35,184,372,088,832 bytes, where"
    ):
        device.zeros((1 << 40, 8), "float32")
    assert not device.download(device.zeros(4, "float32")).any()
