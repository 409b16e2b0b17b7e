"""The emulator runs CUDA C as CUDA says, in every order of threads, and finds what CUDA leaves undefined."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handwritten import ADD, HAND_ON, ROWS, SEEDS, handed_on, row_sums, run, without, zeros

from symopt.backends.cuda import emulator, hostcompiler
from symopt.backends.cuda.device import Device
from symopt.backends.cuda.emulator import EmulationError, Emulator
from symopt.errors import ShapeError

pytestmark = pytest.mark.usefixtures("cxx")
ROOT = Path(__file__).parents[1]


def test_the_emulator_is_a_device() -> None:
    device: Device = Emulator(multiprocessors=3)
    assert device.multiprocessors == 3
    x = device.zeros((3, 4), np.float32)
    with device.current():
        device.upload(x, np.arange(12, dtype=np.float32).reshape(3, 4))
    last = device.watch(x)
    got = device.download(x)
    x[...] = 0
    device.synchronize()
    np.testing.assert_array_equal(last(), got)
    np.testing.assert_array_equal(got.ravel(), np.arange(12))
    with pytest.raises(ShapeError):
        device.upload(x, np.zeros(4, np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_share_out_elements(seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, 1000), np.float32)
    for grid in (1, 3):
        *_, c = run(ADD, a, b, zeros(1000), np.int32(1000), seed=seed, grid=grid)
        np.testing.assert_array_equal(c, a + b)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_block_reduces_alike_in_every_order(seed: int) -> None:
    assert row_sums(seed=seed).tobytes() == row_sums().tobytes()


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_barrier_shows_in_some_order(which: int) -> None:
    text = without(ROWS, "__syncthreads()", which)
    with pytest.raises(AssertionError):
        for seed in SEEDS:
            row_sums(text, seed=seed, watch_memory=False)


def test_lanes_hand_values_on() -> None:
    assert all(handed_on(seed=seed) for seed in SEEDS)


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_warp_barrier_shows_in_some_order(which: int) -> None:
    text = without(HAND_ON, "__syncwarp(0xffffffffu)", which)
    assert not all(handed_on(text, seed=seed, watch_memory=False) for seed in SEEDS)


@pytest.mark.parametrize("kind", ["float", "double", "u32", "u64"])
def test_groups_of_lanes_shuffle_apart(kind: str) -> None:
    """Groups of 8 lanes add up their values as often as their number says."""
    text = f"""
    extern "C" __global__ void k({kind}* out) {{
      const u32 group = threadIdx.x / 8, mask = 0xffu << (threadIdx.x & 24);
      {kind} value = threadIdx.x;
      for (u32 i = 0; i < group % 4; i++)
        for (int offset = 4; offset > 0; offset >>= 1) value += __shfl_xor_sync(mask, value, offset);
      out[threadIdx.x] = value;
    }}"""
    dtype = {"float": "f4", "double": "f8", "u32": "u4", "u64": "u8"}[kind]
    expected = np.arange(256, dtype=dtype).reshape(32, 8)
    for times in (1, 2, 3):
        later = np.arange(32) % 4 >= times
        expected[later] = expected[later].sum(1, keepdims=True)
    for seed in SEEDS:
        (out,) = run(text, np.zeros(256, dtype), seed=seed)
        np.testing.assert_array_equal(out, expected.ravel())


def test_atomics_count_in_any_order() -> None:
    text = """
    extern "C" __global__ void k(int* count, u64* total, u64* least, int* place) {
      const int mine = atomicAdd(count, 1);
      atomicAdd(total, (u64)1 << 32);
      atomicMin(least, (u64)(1000 - mine));
      place[mine] = blockIdx.x * 256 + threadIdx.x;
    }"""
    orders = set()
    for seed in SEEDS:
        least = np.full(1, 2**63, np.uint64)
        count, total, least, place = run(
            text,
            np.zeros(1, np.int32),
            np.zeros(1, np.uint64),
            least,
            np.zeros(512, np.int32),
            seed=seed,
            grid=2,
        )
        assert (count[0], total[0], least[0]) == (512, 512 << 32, 1000 - 511)
        assert sorted(place) == list(range(512))
        orders.add(place.tobytes())
    assert len(orders) == len(SEEDS), "every seed is an order of its own"


WRONG = {
    "one thread misses a barrier": ("if (threadIdx.x != 7) __syncthreads();", "__syncthreads of line"),
    "two barriers": ("if (threadIdx.x < 7) __syncthreads();\nelse __syncthreads();", "but thread"),
    "caller not in the mask": ("__syncwarp(0xfffffffeu);", "not in the mask 0xfffffffe"),
    "source not in the mask": ("x[0] = __shfl_xor_sync(0xffffu << (threadIdx.x & 16), 1.0f, 16);", "for lane"),
    "source beyond the warp": ("x[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 32);", "for lane"),
    "masks differ": ("__syncwarp(threadIdx.x & 1 ? 0xffffffffu : 0x7fffffffu);", "0x7fffffff"),
    "a lane has ended": ("if (threadIdx.x != 3) __syncwarp(0xffffffffu);", "thread 3"),
    "shuffle meets barrier": (
        "if (threadIdx.x & 1) __syncwarp(0xffffffffu);\nelse x[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);",
        "__shfl_xor_sync",
    ),
    "deadlock": ("if (threadIdx.x & 1) __syncthreads();\nelse __syncwarp(0xffffffffu);\n__syncthreads();", "waits in"),
    "misaligned": ("CHECK_ALIGNED(x + 2, 16);", "not aligned"),
    "misaligned atomic": ("atomicAdd((int*)((char*)x + 2), 1);", "not aligned"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_cuda_leaves_undefined_is_an_error(fault: str) -> None:
    body, said = WRONG[fault]
    for seed in SEEDS:
        with pytest.raises(EmulationError, match=r"^kernel k, block 0, thread \d+: ") as caught:
            run(f'extern "C" __global__ void k(float* x) {{ {body} }}', zeros(4), seed=seed)
        assert said in str(caught.value)


def test_a_mask_names_only_lanes_of_the_block() -> None:
    text = 'extern "C" __global__ void k() { __syncwarp(0xffffffffu); }'
    run(text, threads=64)
    with pytest.raises(EmulationError, match="a lane that the block does not have"):
        run(text, threads=48)


def test_an_error_leaves_the_emulator_usable() -> None:
    with pytest.raises(EmulationError):
        run('extern "C" __global__ void k() { if (threadIdx.x) __syncthreads(); }')
    assert handed_on()


HALVES = """
extern "C" __global__ void k(const u16* halves, float* wide, const float* x, u16* narrow, int n) {
  for (int i = blockIdx.x * 256 + threadIdx.x; i < 65536; i += gridDim.x * 256) wide[i] = half_to_float(halves[i]);
  for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) narrow[i] = float_to_half(x[i]);
}
"""


def test_halves_are_those_of_numpy() -> None:
    halves = np.arange(65536, dtype=np.uint16)
    exact = halves.view(np.float16).astype(np.float32).view(np.uint32)
    rng = np.random.default_rng(0)
    steps = np.array([-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097])  # round ties between halves
    near = (exact.astype(np.int64)[:, None] + steps).ravel().astype(np.uint32)
    x = np.concatenate([near, rng.integers(0, 2**32, 200_000, np.uint32)]).view(np.float32)
    _, wide, _, narrow = run(
        HALVES, halves, zeros(65536), x, np.zeros(x.size, np.uint16), np.int32(x.size), grid=4
    )
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    nan = np.isnan(x)
    np.testing.assert_array_equal(wide.view(np.uint32)[~np.isnan(wide)], exact[~np.isnan(wide)])
    assert (np.isnan(wide) == np.isnan(halves.view(np.float16))).all()
    np.testing.assert_array_equal(narrow[~nan], expected.view(np.uint16)[~nan])
    assert (narrow[nan] & 0x7E00 == 0x7E00).all() and (narrow[nan] & 0x7FFF > 0x7C00).all(), "quiet NaNs"


STRUCT = np.dtype([("scale", "f4"), ("n", "i4"), ("shift", "f8"), ("room", "f4", 1020)])
TAKES = """
struct Numbers { float scale; int n; double shift; float room[1020]; };
extern "C" __global__ void k(float* x, const Numbers numbers, int a, long long b, double c) {
  if (threadIdx.x == 0) x[0] = numbers.scale * numbers.n + numbers.room[1019] + a + b + c + numbers.shift;
}
"""


def test_numbers_and_structs_are_passed_by_value() -> None:
    numbers = np.zeros(1, STRUCT)
    numbers["scale"], numbers["n"], numbers["shift"], numbers["room"] = 2.5, 4, 100, 1000
    (x,) = run(TAKES, zeros(1), numbers, np.int32(-1), np.int64(2), np.float64(0.5))
    assert x[0] == 10 + 100 + 1000 - 1 + 2 + 0.5


@pytest.mark.parametrize(
    ("place", "given"),
    [
        *((0, np.float64(1)), (1, np.zeros(2, STRUCT)), (1, np.zeros(1, "i4,i4"))),
        *((2, np.int64(1)), (3, np.int32(1)), (4, np.float32(1)), (4, np.int64(1))),
    ],
)
def test_arguments_that_are_not_the_kernels_are_refused(place: int, given: Any) -> None:
    right = [np.uint64(0), np.zeros(1, STRUCT), np.int32(0), np.int64(0), np.float64(0)]
    with pytest.raises(EmulationError, match=f"argument {place} must be"):
        run(TAKES, *[given if i == place else value for i, value in enumerate(right)])
    with pytest.raises(EmulationError, match="takes 5 arguments, got 4"):
        run(TAKES, *right[:4])


def test_mathematics_is_that_of_the_c_library() -> None:
    names = ["sqrt", "fabs", "floor", "ceil", "trunc", "rint", "exp", "log", "tanh"]
    calls = "".join(f"y[{i}] = {name}f(x[0]); z[{i}] = {name}(z[15]);" for i, name in enumerate(names))
    more = "y[9] = fmodf(x[0], 2); z[9] = fmod(z[15], 2); y[10] = powf(x[0], 3); z[10] = pow(z[15], 3);"
    bits = "y[11] = float_of(bits_of(x[0]) + 1); z[11] = double_of(bits_of(z[15]) + 1);"
    body = f"if (threadIdx.x == 0) {{ {calls} {more} {bits} }}"
    z = np.full(16, 2.7)
    text = f'extern "C" __global__ void k(float* x, float* y, double* z) {{ {body} }}'
    x, y, got = run(text, np.full(1, 2.7, np.float32), zeros(12), z)
    functions = [getattr(np, name) for name in names]
    for value, of in ((x[0], y), (z[15], got)):
        expected = [f(value) for f in functions] + [np.fmod(value, 2), value**3, np.nextafter(value, 9)]
        np.testing.assert_allclose(of[:12], expected, rtol=2 * np.finfo(of.dtype).eps)


def test_a_forked_child_emulates_too() -> None:
    before = handed_on()
    child = os.fork()
    if child == 0:
        os._exit(0 if handed_on(seed=3) else 1)
    assert before and os.waitpid(child, 0)[1] == 0


def test_kernels_that_ran_are_counted() -> None:
    before = emulator.emulated_kernels()
    text = 'extern "C" __global__ void k() {} // counted'
    run(text)
    run(text, seed=1)
    assert emulator.emulated_kernels() == before + 1


@pytest.mark.slow
def test_fibers_without_assembler() -> None:
    """Other processors than x86-64 switch with ucontext: the tests of orders and errors, run that way."""
    environment = os.environ | {"CXX": " ".join((*hostcompiler.compiler(), "-DSYMOPT_UCONTEXT"))}
    command = [sys.executable, "-m", "pytest", "-q", "-k", "shows or undefined or alike", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
