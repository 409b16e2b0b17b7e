"""Kernels written by hand, and how to run one on the emulator."""

from typing import Any

import numpy as np

from symopt.backends.cuda.device import Source
from symopt.backends.cuda.emulator import Emulator

SEEDS = range(12)

ADD = """
extern "C" __global__ void __launch_bounds__(256) k(const float* a, const float* __restrict__ b, float* c, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) c[i] = a[i] + b[i];
}
"""

# The sum of each row, by a whole block.
ROWS = """
extern "C" __global__ void k(const float* x, float* sums, int rows, int columns) {
  __shared__ float partial[8];
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    float sum = 0;
    for (int i = threadIdx.x; i < columns; i += 256) sum += x[row * columns + i];
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < 8; i++) sum += partial[i];
    if (threadIdx.x == 255) sums[row] = sum;
    __syncthreads();
  }
}
"""

# Lanes of a warp hand values on through shared memory.
HAND_ON = """
extern "C" __global__ void k(int* out, int rounds) {
  __shared__ int at[256];
  int value = threadIdx.x;
  for (int i = 0; i < rounds; i++) {
    at[threadIdx.x] = value;
    __syncwarp(0xffffffffu);
    value = at[threadIdx.x / 32 * 32 + (threadIdx.x + 1) % 32];
    __syncwarp(0xffffffffu);
  }
  out[threadIdx.x] = value;
}
"""


def run(text: str, *arguments: Any, grid: int = 1, threads: int = 256, **options: Any) -> list[np.ndarray]:
    """Kernel k, on an emulator with these options, on guarded copies of the arrays given, which are returned."""
    device = Emulator(**options)
    arrays = [
        device.guarded(x) if isinstance(x, np.ndarray) and x.dtype.kind != "V" else x for x in arguments
    ]
    values = [np.uint64(device.address(x)) if x is not y else x for x, y in zip(arrays, arguments)]
    (code,) = device.load([Source(text, ("k",))])
    device.launch(code["k"], grid, values, threads)
    return [x for x, y in zip(arrays, arguments) if x is not y]


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def row_sums(text: str = ROWS, **options: Any) -> np.ndarray:
    """The sums of rows of random numbers, which are checked."""
    x = np.random.default_rng(0).random((7, 515), np.float32)
    _, sums = run(text, x, zeros(7), np.int32(7), np.int32(515), grid=2, **options)
    np.testing.assert_allclose(sums, x.sum(1), rtol=1e-5)
    return sums


def handed_on(text: str = HAND_ON, **options: Any) -> bool:
    """Whether values arrive where they should."""
    (out,) = run(text, np.zeros(256, np.int32), np.int32(5), **options)
    thread = np.arange(256)
    return bool((out == thread // 32 * 32 + (thread + 5) % 32).all())


def without(text: str, call: str, which: int) -> str:
    """The text less one of the statements that make this call."""
    parts = text.split(f"{call};")
    parts[which : which + 2] = ["".join(parts[which : which + 2])]
    return f"{call};".join(parts)
