// What any program may need. Before a step row_sparse gradients are seen to: their indices are checked, and looked up by
// row where a formula runs over all rows. A wrong index closes the gate, which stops every kernel of this step and of
// later ones. After it values that others read during the step are copied to their variables.

// indices: as given. rows: the same, ascending. slots: for each of n_rows rows its first entry in `rows`, or null.
// ascending: whether the indices were promised to be so, each once.
struct alignas(16) Listing { u64 indices; u64 rows; u64 slots; i64 n; i64 n_rows; i64 ascending; };

// gate[0]: the first fault, the number of the gradient from 1 and below it ENTRY_BITS of the entry from 0, or OPEN;
// gate[1]: steps that had none since the host opened it.
extern "C" __global__ void __launch_bounds__(THREADS)
check(const Listing* listings, int count, u64* gate) {
  const i64 first = (i64)blockIdx.x * THREADS + threadIdx.x, step = (i64)gridDim.x * THREADS;
  for (int g = 0; g < count; g++) {
    const Listing s = listings[g];
    const i64* const indices = (const i64*)s.indices;
    for (i64 i = first; i < s.n; i += step) {
      const i64 row = load_one(indices + i);
      const bool wrong = row < 0 || row >= s.n_rows || (s.ascending && i > 0 && load_one(indices + i - 1) >= row);
      if (wrong) atomicMin(gate, ((u64)(g + 1) << ENTRY_BITS) | (u64)i);
    }
    if (s.slots)
      for (i64 row = first; row < s.n_rows; row += step) store_one((int*)s.slots + row, -1);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
mark(const Listing* listings, int count, u64* gate) {
  if (*gate != OPEN) return;
  const i64 first = (i64)blockIdx.x * THREADS + threadIdx.x, step = (i64)gridDim.x * THREADS;
  for (int g = 0; g < count; g++) {
    const Listing s = listings[g];
    const i64* const rows = (const i64*)s.rows;
    if (s.slots)
      for (i64 i = first; i < s.n; i += step) {
        const i64 row = load_one(rows + i);
        if (i == 0 || load_one(rows + i - 1) != row) store_one((int*)s.slots + row, (int)i);
      }
  }
  if (first == 0) gate[1] = gate[1] + 1;
}

// Arrays of 16-bit numbers or wider ones.
struct alignas(16) Copy { u64 target; u64 source; i64 bytes; };

extern "C" __global__ void __launch_bounds__(THREADS)
copy(const Copy* copies, int count, const u64* gate) {
  if (gate && *gate != OPEN) return;
  const i64 first = (i64)blockIdx.x * THREADS + threadIdx.x, step = (i64)gridDim.x * THREADS;
  for (int c = 0; c < count; c++) {
    const Copy d = copies[c];
    const i64 vectors = (d.target | d.source) % 16 ? 0 : d.bytes / 16;
    for (i64 i = first; i < vectors; i += step) store<4>((u32*)d.target + 4 * i, load<4>((const u32*)d.source + 4 * i));
    for (i64 i = 8 * vectors + first; i < d.bytes / 2; i += step)
      store_one((u16*)d.target + i, load_one((const u16*)d.source + i));
  }
}

// The canonical sum of each column of some matrices, which lie one behind the other: a block of threads takes 32
// columns of one, and of each column a thread takes every eighth of the 64 lanes.
template <typename T> INLINE void column_sum(const T* x, T* out, i64 n_matrices, i64 n_rows, i64 n_columns, T* shared) {
  const int column = threadIdx.x & 31, part = threadIdx.x >> 5;
  const i64 tiles = (n_columns + 31) / 32;
  for (i64 tile = blockIdx.x; tile < n_matrices * tiles; tile += gridDim.x) {
    const i64 matrix = tile / tiles, c = tile % tiles * 32 + column;
    const T* const top = x + matrix * n_rows * n_columns + c;
    double total = 0;
    for (i64 start = 0; start < n_rows; start += BLOCK) {
      const i64 stop = n_rows - start < BLOCK ? n_rows : start + BLOCK;
      T lane[8] = {};  // lanes part, part + 8, ...
      for (i64 row = start + part; row < stop; row += LANES) {
#pragma unroll
        for (int k = 0; k < 8; k++)
          if (c < n_columns && row + 8 * k < stop) lane[k] = lane[k] + load_one(top + (row + 8 * k) * n_columns);
      }
#pragma unroll
      for (int s = 4; s > 0; s /= 2)
#pragma unroll
        for (int k = 0; k < s; k++) lane[k] = lane[k] + lane[k + s];
      __syncthreads();
      shared[threadIdx.x] = lane[0];
      for (int s = 4; s > 0; s /= 2) {
        __syncthreads();
        if (part < s) shared[threadIdx.x] = shared[threadIdx.x] + shared[threadIdx.x + 32 * s];
      }
      __syncthreads();
      total = total + (double)shared[column];
    }
    if (part == 0 && c < n_columns) store_one(out + matrix * n_columns + c, (T)total);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
column_sum_float32(const float* x, float* out, i64 n_matrices, i64 n_rows, i64 n_columns) {
  __shared__ float shared[THREADS];
  column_sum(x, out, n_matrices, n_rows, n_columns, shared);
}

extern "C" __global__ void __launch_bounds__(THREADS)
column_sum_float64(const double* x, double* out, i64 n_matrices, i64 n_rows, i64 n_columns) {
  __shared__ double shared[THREADS];
  column_sum(x, out, n_matrices, n_rows, n_columns, shared);
}
