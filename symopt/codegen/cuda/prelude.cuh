// What every kernel is made of. One text for NVRTC and for the C++ compiler of the emulator, which brings a header of
// its own and defines SYMOPT_EMULATOR. layout.defines() comes before it. Nothing is included; 16-bit numbers are u16 and arithmetic on them is float's.

#ifndef SYMOPT_EMULATOR
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
#define CHECK_ALIGNED(p, bytes)
// Addresses read from a table have no address space: told this, the compiler need not emit generic accesses.
#define ON_DEVICE(p) __builtin_assume(__isGlobal(p))
#define INLINE __device__ __forceinline__
#define MEMBER __device__ __forceinline__
INLINE u32 bits_of(float x) { return __float_as_uint(x); }
INLINE u64 bits_of(double x) { return (u64)__double_as_longlong(x); }
INLINE float float_of(u32 x) { return __uint_as_float(x); }
INLINE double double_of(u64 x) { return __longlong_as_double((i64)x); }
INLINE float half_to_float(u16 h) { float x; asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h)); return x; }
INLINE u16 float_to_half(float x) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x)); return h; }
#else
#define ON_DEVICE(p)
#define INLINE static inline __attribute__((always_inline))
#define MEMBER inline __attribute__((always_inline))
#endif

struct complex64 { float x[2]; };
struct complex128 { double x[2]; };

// ---- 16-bit storage

INLINE float bfloat_to_float(u16 h) { return float_of((u32)h << 16); }

// To nearest even, in integers: the same instructions on every architecture.
INLINE u16 float_to_bfloat(float x) {
  const u32 bits = bits_of(x), high = bits >> 16;
  return (u16)(x != x ? high | 0x40u : (bits + (0x7fffu + (high & 1u))) >> 16);
}

// The neighbour of a 16-bit number on the side that `direction` is of zero: prims._toward.
INLINE u16 toward(u16 bits, float direction) {
  const bool up = direction > 0.0f;
  if ((bits & 0x7fffu) == 0) return up ? 0x0001u : 0x8001u;
  return (u16)(up == (bits < 0x8000u) ? bits + 1u : bits - 1u);
}

// ---- random numbers: prims._noise

INLINE u32 mix(u32 x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

INLINE float noise(i64 index, float seed, float salt) {
  u32 x = mix((u32)index ^ mix(bits_of(seed)));
  x = mix(x + (u32)((u64)index >> 32) * 0x9e3779b9u + bits_of(salt) * 0x85ebca6bu);
  return (float)(x >> 8) * float_of(0x33800000u);  // 2 ** -24
}

// ---- memory: N neighbours at once

template <typename T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) vec { T x[N]; };

template <int N, typename T> INLINE vec<T, N> load(const T* p) {
  CHECK_ALIGNED(p, sizeof(T) * N);
  ON_DEVICE(p);
  return *(const vec<T, N>*)p;
}

template <int N, typename T> INLINE void store(T* p, const vec<T, N>& v) {
  CHECK_ALIGNED(p, sizeof(T) * N);
  ON_DEVICE(p);
  *(vec<T, N>*)p = v;
}

template <typename T> INLINE T load_one(const T* p) {
  ON_DEVICE(p);
  return *p;
}

template <typename T> INLINE void store_one(T* p, const T& x) {
  ON_DEVICE(p);
  *p = x;
}

// The first n of N, one by one: the end of a run, or one that is not aligned.
template <int N, typename T> INLINE vec<T, N> load_some(const T* p, int n) {
  vec<T, N> v = {};
#pragma unroll
  for (int k = 0; k < N; k++)
    if (k < n) v.x[k] = load_one(p + k);
  return v;
}

template <int N, typename T> INLINE void store_some(T* p, const vec<T, N>& v, int n) {
#pragma unroll
  for (int k = 0; k < N; k++)
    if (k < n) store_one(p + k, v.x[k]);
}

// Number k of a tensor, as bits: from the arguments of the launch, or from a table in the device's memory.
template <typename S> INLINE u64 table_number(const S& scalars, int tensor, int k) {
  return load_one((const u64*)scalars.table + tensor * scalars.stride + k);
}

template <typename S> INLINE u64 number(const S& scalars, int tensor, int k) {
  return scalars.table ? table_number(scalars, tensor, k) : scalars.values[k];
}

// ---- folds in the canonical order

struct Add { template <typename T> static MEMBER T of(T a, T b) { return a + b; } };
struct Max { template <typename T> static MEMBER T of(T a, T b) { return a > b || a != a ? a : b; } };
struct Min { template <typename T> static MEMBER T of(T a, T b) { return a < b || a != a ? a : b; } };

// Thread t of `threads` (a power of two, part of a warp: those in `mask`) holds lanes t * V to t * V + V - 1. Folds
// lane k with lane k + s for s = half of the lanes, ..., 2, 1; every thread gets the result.
template <typename F, typename T, int V> INLINE T fold_lanes(T (&lane)[V], int t, int threads, u32 mask) {
  for (int o = threads >> 1; o > 0; o >>= 1) {
#pragma unroll
    for (int k = 0; k < V; k++) {
      const T other = __shfl_xor_sync(mask, lane[k], o);
      lane[k] = t & o ? F::of(other, lane[k]) : F::of(lane[k], other);  // a fold need not commute
    }
  }
#pragma unroll
  for (int s = V / 2; s > 0; s /= 2) {
#pragma unroll
    for (int k = 0; k < s; k++) lane[k] = F::of(lane[k], lane[k + s]);
  }
  return lane[0];
}

// The lanes of a warp that thread `t` of a team of `threads` neighbours shares a row with.
INLINE u32 team_mask(int threads) {
  return threads >= 32 ? 0xffffffffu : ((1u << threads) - 1u) << (threadIdx.x & 31u & ~(u32)(threads - 1));
}

// Between reading a row's own values and overwriting them: the threads of a team read them each at its own time.
INLINE void team_sync(bool wide, u32 mask) {
  if (wide)
    __syncthreads();
  else
    __syncwarp(mask);
}

// Partial results in order, in double precision, for the whole block; every thread gets the total.
template <typename F, typename T> INLINE double fold_in_order(const T* parts, i64 n, double total, T* shared) {
  for (i64 start = 0; start < n; start += THREADS) {
    const i64 left = n - start, i = start + threadIdx.x;
    const int count = left < THREADS ? (int)left : THREADS;
    __syncthreads();
    if (i < n) shared[threadIdx.x] = load_one(parts + i);
    __syncthreads();
    for (int k = 0; k < count; k++) total = F::of(total, (double)shared[k]);
  }
  return total;
}
