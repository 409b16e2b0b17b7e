"""What a kernel does to memory: beside arrays, before it is written, and where threads race."""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handwritten import HAND_ON, ROWS, SEEDS, handed_on, row_sums, run, without, zeros

from symopt.backends.cuda.emulator import EmulationError, Emulator

pytestmark = pytest.mark.usefixtures("cxx")
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("at", [-1, 5])
def test_canaries_find_what_was_written_beside_an_array(at: int) -> None:
    text = f'extern "C" __global__ void k(u16* x) {{ if (threadIdx.x == 0) x[{at}] = 1; }}'
    where = "2 bytes before" if at < 0 else "0 bytes after the end of"
    with pytest.raises(EmulationError, match=rf"{where} the uint16 array of shape \(5,\)"):
        run(text, np.zeros(5, np.uint16), watch_memory=False)
    Emulator().check_guards()


def test_check_guards_finds_what_the_host_wrote() -> None:
    device = Emulator()
    x = device.zeros(3, np.float32)
    ctypes.c_char.from_address(device.address(x) - 1).value = b"\0"
    with pytest.raises(EmulationError, match=r"1 bytes before the float32 array of shape \(3,\)"):
        device.check_guards()
    device.check_guards()


@pytest.mark.parametrize("at", [-1, 5, 1000])
@pytest.mark.parametrize("does", ["reads", "writes", "updates"])
def test_any_access_beside_an_array_is_an_error(does: str, at: int) -> None:
    body = {"reads": "*out = x[{}];", "writes": "x[{}] = 1;", "updates": "atomicAdd(x + {}, 1);"}[
        does
    ].format(at)
    where = "4 bytes before" if at < 0 else f"{4 * (at - 5)} bytes after the end of"
    text = f'extern "C" __global__ void k(int* x, int* out) {{ if (threadIdx.x == 7) {{ {body} }} }}'
    with pytest.raises(
        EmulationError, match=rf"thread 7: {does} 4 .* {where} the int32 array of shape \(5,\)"
    ):
        run(text, np.zeros(5, np.int32), np.zeros(1, np.int32))


def test_writing_far_beyond_an_array_ends_the_process() -> None:
    """Where accesses are not watched, and canaries are not reached."""
    program = """
import numpy as np
from symopt.backends.cuda.device import Source
from symopt.backends.cuda.emulator import Emulator
device = Emulator(watch_memory=False)
code, = device.load([Source('extern "C" __global__ void k(float* x) { x[threadIdx.x] = 1; }', ("k",))])
large, small = device.zeros(256, np.float32), device.zeros(200, np.float32)
device.launch(code["k"], 1, [np.uint64(device.address(large))])
print("within", flush=True)
device.launch(code["k"], 1, [np.uint64(device.address(small))])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "within\n"), done.stderr


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (5, 7), (1025,)])
@pytest.mark.parametrize("offset", [0, 2, 8])
def test_guarded_arrays_lie_where_they_should(shape: tuple[int, ...], offset: int) -> None:
    given = np.random.default_rng(0).integers(0, 9, shape).astype(np.float16)
    copy = Emulator().guarded(given, offset)
    np.testing.assert_array_equal(copy, given)
    assert (copy.shape, copy.dtype) == (given.shape, given.dtype)
    assert copy.ctypes.data % 16 == offset or not copy.size
    assert Emulator().address(Emulator().zeros(shape, np.float64)) % 16 == 0


def test_guarded_memory_goes_with_its_array() -> None:
    from symopt.backends.cuda import guarded

    before = len(guarded._guards)
    views = [guarded.zeros(10, np.float32)[3:] for _ in range(5)]
    assert len(guarded._guards) == before + 5
    del views
    assert len(guarded._guards) == before


# ---- races. In a kernel with t the thread, x and y arrays of 512 ints, s shared memory of as many

ALL = "0xffffffffu"
RACES = {
    "a thread reads what another wrote": ("s[t] = t; x[t] = s[t ^ 32];", "reads 4 bytes of shared memory"),
    "no barrier before the next round": (
        "for (int i = 0; i < 2; i++) { s[t] = i; __syncthreads(); x[t] = s[255 - t]; }",
        "shared memory",
    ),
    "all read, then one writes": (
        "s[t] = t; __syncthreads(); y[t] = s[0]; if (t == 40) s[0] = 1;",
        "writes 4",
    ),
    "a warp reads, then one lane writes": (
        "if (t < 32) { y[t] = x[3]; if (t == 0) x[3] = 1; }",
        "int32 array",
    ),
    "some lanes have not met": (
        f"if (t < 32) {{ y[t] = x[3]; if (t < 16) __syncwarp(0xffffu); if (t == 0) x[3] = 1; __syncwarp({ALL}); }}",
        "byte 12 of the int32 array",
    ),
    "a shuffle is no barrier": (
        f"s[t] = t; y[t] = __shfl_xor_sync({ALL}, 1u, 1); x[t] = s[t ^ 1];",
        "reads 4",
    ),
    "a warp's barrier is none for the block": (
        f"s[t] = t; __syncwarp({ALL}); x[t] = s[t ^ 32];",
        "shared memory",
    ),
    "all write the same": ("*x = 1;", "writes 4"),
    "two blocks write": ("x[t] = blockIdx.x;", "which another block wrote"),
    "one block reads, another writes": ("if (blockIdx.x) x[t] = 1; else y[t] = x[t];", "which another block"),
    "two blocks read, one of them writes": (
        "y[t + 256 * blockIdx.x] = x[t]; if (blockIdx.x) x[t] = 1;",
        "another block",
    ),
    "an atomic operation and a plain one": ("if (t == 50) x[0] = 3; else atomicAdd(x, 1);", "4 bytes"),
    "parts of a word": ("if (t == 0) ((u16*)x)[1] = 1; if (t == 1) y[0] = x[0];", "race"),
    "a struct over a word": (
        "struct S { int v[5]; }; if (t == 0) ((S*)y)[0] = *(S*)x; if (t == 1) y[4] = 1;",
        "race",
    ),
}

ORDERED = {
    "each its own": "x += 256 * blockIdx.x; x[t] = t; s[t] = x[t]; x[t] = 3 + s[t];",
    "neighbours in a word": "if (blockIdx.x == 0) { ((u16*)x)[t] = t; ((char*)y)[t] = t; }",
    "blocks share out": "x[t + 256 * blockIdx.x] = 1;",
    "a barrier": "s[t] = t; __syncthreads(); const int v = s[t ^ 32]; __syncthreads(); s[t] = v;",
    "a warp's barrier": f"s[t] = t; __syncwarp({ALL}); const int v = s[t ^ 1]; __syncwarp({ALL}); s[t] = v;",
    "all lanes read, meet, and one writes": f"""
        if (t == 0) s[3] = 0;
        __syncthreads();
        if (t < 32) {{ s[t + 9] = s[3]; __syncwarp({ALL}); if (t == 5) s[3] = 1; }}""",
    "atomic operations": "atomicAdd(x, 1); atomicAdd(x + t % 3, 1);",
    "all read": "s[t] = x[t ^ 7] + x[3]; __syncthreads(); y[t + 256 * blockIdx.x] = s[9] + s[t ^ 33];",
    "through a third lane": """if (t < 3) {
        if (t == 0) s[0] = 1;
        if (t < 2) __syncwarp(3); else __syncwarp(4);
        if (t > 0) __syncwarp(6); else __syncwarp(1);
        if (t == 2) s[1] = s[0]; }""",
}


def race(body: str, seed: int) -> None:
    shared = "const int t = threadIdx.x; __shared__ int s[512];"
    text = f'extern "C" __global__ void k(int* x, int* y) {{ {shared} {body} }}'
    run(text, np.zeros(512, np.int32), np.zeros(512, np.int32), grid=2, seed=seed)


@pytest.mark.parametrize("case", RACES)
def test_races_are_found_in_every_order(case: str) -> None:
    body, said = RACES[case]
    for seed in SEEDS:
        with pytest.raises(EmulationError, match=r"^kernel k, block [01], thread [0-9]+: ") as caught:
            race(body, seed)
        assert said in str(caught.value)
        assert "race: " in str(caught.value) or "no thread of the block has written" in str(caught.value)


@pytest.mark.parametrize("case", ORDERED)
def test_what_is_ordered_is_no_race(case: str) -> None:
    for seed in SEEDS:
        race(ORDERED[case], seed)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_missing_barriers_are_found_in_every_order(seed: int, which: int) -> None:
    with pytest.raises(EmulationError, match="shared memory"):
        row_sums(without(ROWS, "__syncthreads()", which), seed=seed)
    with pytest.raises(EmulationError, match="shared memory"):
        handed_on(without(HAND_ON, f"__syncwarp({ALL})", which), seed=seed)


def test_launches_do_not_race_with_each_other() -> None:
    """Nor with those of other arrays that lay at the same place."""
    for seed in range(40):
        race("x[t + 256 * blockIdx.x] = y[t + 256 * blockIdx.x];", seed)


UNWRITTEN = """
template <typename T> __device__ __forceinline__ T of_a_template(T x) {
  __shared__ T s[4];
  s[0] = x;
  return s[3];
}
extern "C" __global__ void k(float* x) {
  __shared__ float s[256];
  if (threadIdx.x == 9) s[9] = 1;  // a compiler knows the value of what is never written
  if (threadIdx.x == 0) { x[0] = s[255]; x[1] = of_a_template<float>(x[2]); }
}
"""


def test_shared_memory_begins_unwritten() -> None:
    (x,) = run(UNWRITTEN, zeros(3), watch_memory=False)
    assert np.isnan(x[:2]).all()
    with pytest.raises(EmulationError, match=r"from byte .*, that no thread of the block has written"):
        run(UNWRITTEN, zeros(3))
