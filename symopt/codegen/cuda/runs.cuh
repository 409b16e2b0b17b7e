// Sums of rows in the order in which they are given.

// Sum k, of `width` numbers, is of the rows order[starts[k]], ..., order[starts[k + 1] - 1]; of none it is zero. Two to
// `shift` threads share a sum, each with columns of its own.
template <typename T>
INLINE void sum_runs(const i64* starts, const i64* order, const T* rows, T* sums, i64 n, i64 width, int shift) {
  const int threads = 1 << shift, at_once = THREADS >> shift;
  for (i64 k = (i64)blockIdx.x * at_once + (threadIdx.x >> shift); k < n; k += (i64)gridDim.x * at_once) {
    const i64 begin = load_one(starts + k), end = load_one(starts + k + 1);
    for (i64 j = threadIdx.x & (threads - 1); j < width; j += threads) {
      T total = 0;
      if (begin < end) total = load_one(rows + load_one(order + begin) * width + j);  // zero would take the sign of -0
#pragma unroll 4
      for (i64 i = begin + 1; i < end; i++) total = total + load_one(rows + load_one(order + i) * width + j);
      store_one(sums + k * width + j, total);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
sum_runs_float32(const i64* starts, const i64* order, const float* rows, float* sums, i64 n, i64 width, int shift) {
  sum_runs(starts, order, rows, sums, n, width, shift);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
sum_runs_float64(const i64* starts, const i64* order, const double* rows, double* sums, i64 n, i64 width, int shift) {
  sum_runs(starts, order, rows, sums, n, width, shift);
}
