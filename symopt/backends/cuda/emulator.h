// What CUDA C text finds when a C++17 compiler builds it for the emulator: CUDA's words, types and functions that the
// generated kernels use, and the table of what the runtime (emulator.cpp) does for them. No header of the standard
// library is included: they would be most of a kernel's compile time.
#pragma once
#define SYMOPT_EMULATOR 1

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

namespace symopt_emulator {

struct Dim {
  u32 x, y, z;
};

enum Access : u32 { READ, WRITE, ATOMIC };

// The runtime, as kernels see it. The functions may leave the calling thread for others and come back later.
struct Runtime {
  Dim thread, block, block_dim, grid_dim;  // of the thread that runs
  void (*barrier)(int line);
  void (*warp_barrier)(u32 mask, int line);
  u64 (*shuffle_xor)(u32 mask, u64 value, int offset, int line);
  void (*interleave)();
  void (*misaligned)(const void* address, u64 bytes, int line);
  void (*access)(const void* address, u64 bytes, Access kind);
};

struct Parameter {
  u32 kind;  // 'p' a pointer, 'i' an integer, 'f' a floating-point number, 's' a struct
  u32 bytes;
};

// What a library exports for each kernel, as symopt_kernel_<name>.
struct Kernel {
  void (*call)(void** arguments);  // once in each thread; arguments[i] points to the bytes of the i-th
  const Parameter* parameters;
  u64 n_parameters;
  char *shared, *shared_end;  // all __shared__ variables of the library
  const void* runtime;        // where it keeps the runtime's address
};

}  // namespace symopt_emulator

// Set when the library has been loaded.
extern "C" __attribute__((visibility("default"))) symopt_emulator::Runtime* symopt_runtime;

// ---- CUDA's words

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Kernels have no other variables that outlive a call, so all of a library's zeroed data is shared memory.
#define __shared__ static

#define threadIdx (symopt_runtime->thread)
#define blockIdx (symopt_runtime->block)
#define blockDim (symopt_runtime->block_dim)
#define gridDim (symopt_runtime->grid_dim)

#define __syncthreads() symopt_runtime->barrier(__LINE__)
#define __syncwarp(mask) symopt_runtime->warp_barrier(mask, __LINE__)
#define __shfl_xor_sync(mask, value, offset) symopt_emulator::shuffle_xor(mask, value, offset, __LINE__)
#define CHECK_ALIGNED(address, bytes) symopt_emulator::check_aligned(address, bytes, __LINE__)

// Of a function whose accesses to memory are not reported.
#define SYMOPT_UNSEEN __attribute__((no_sanitize("thread")))

namespace symopt_emulator {

template <class To, class From>
inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <class T>
inline T shuffle_xor(u32 mask, T value, int offset, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "4 or 8 bytes are shuffled");
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = symopt_runtime->shuffle_xor(mask, bits, offset, line);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

// Vector accesses of a GPU are of 16 bytes at most.
inline void check_aligned(const void* address, u64 bytes, int line) {
  if (reinterpret_cast<u64>(address) % (bytes < 16 ? bytes : 16)) symopt_runtime->misaligned(address, bytes, line);
}

}  // namespace symopt_emulator

// Threads run one at a time, so an operation is atomic as long as no other thread is let in between.
#define SYMOPT_ATOMIC(name, T, result) \
  SYMOPT_UNSEEN inline T name(T* address, T value) { \
    symopt_emulator::check_aligned(address, sizeof(T), 0); \
    symopt_runtime->access(address, sizeof(T), symopt_emulator::ATOMIC); \
    const T old = *address; \
    *address = result; \
    symopt_runtime->interleave(); \
    return old; \
  }
SYMOPT_ATOMIC(atomicAdd, int, old + value)
SYMOPT_ATOMIC(atomicAdd, u32, old + value)
SYMOPT_ATOMIC(atomicAdd, u64, old + value)
SYMOPT_ATOMIC(atomicMin, u64, value < old ? value : old)

// ---- Bits of numbers

inline u32 bits_of(float x) { return symopt_emulator::same_bits<u32>(x); }
inline u64 bits_of(double x) { return symopt_emulator::same_bits<u64>(x); }
inline float float_of(u32 bits) { return symopt_emulator::same_bits<float>(bits); }
inline double double_of(u64 bits) { return symopt_emulator::same_bits<double>(bits); }

// IEEE half precision in 16 bits; exact.
inline float half_to_float(u16 half) {
  const u32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) return float_of(sign | bits_of(static_cast<float>(fraction) * 0x1p-24f));
  return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

// To the nearest half, ties to even; 65520 and more to infinity; a NaN becomes quiet.
inline u16 float_to_half(float x) {
  const u32 sign = bits_of(x) >> 16 & 0x8000u, magnitude = bits_of(x) & 0x7fffffffu;
  u32 half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    // Below the normal halves: the last bit of 0.5f is worth 2**-24, as that of such a half, so the sum rounds there.
    half = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<u16>(sign | half);
}

// ---- Functions of the C library

extern "C" {
#define SYMOPT_FUNCTION(name) \
  float name##f(float) noexcept; \
  double name(double) noexcept;
SYMOPT_FUNCTION(sqrt)
SYMOPT_FUNCTION(fabs)
SYMOPT_FUNCTION(floor)
SYMOPT_FUNCTION(ceil)
SYMOPT_FUNCTION(trunc)
SYMOPT_FUNCTION(rint)
SYMOPT_FUNCTION(exp)
SYMOPT_FUNCTION(log)
SYMOPT_FUNCTION(tanh)
#undef SYMOPT_FUNCTION
float fmodf(float, float) noexcept;
double fmod(double, double) noexcept;
float powf(float, float) noexcept;
double pow(double, double) noexcept;
}

// ---- Accesses to memory: with -fsanitize=thread a compiler puts a call before each, here of these functions

#ifdef SYMOPT_REPORTS_ACCESSES
extern "C" {
#define SYMOPT_REPORT(name, bytes, kind) \
  SYMOPT_UNSEEN void __tsan_##name(void* address) { \
    symopt_runtime->access(address, bytes, symopt_emulator::kind); \
  }
#define SYMOPT_REPORTS(bytes) \
  SYMOPT_REPORT(read##bytes, bytes, READ) \
  SYMOPT_REPORT(write##bytes, bytes, WRITE) \
  SYMOPT_REPORT(unaligned_read##bytes, bytes, READ) \
  SYMOPT_REPORT(unaligned_write##bytes, bytes, WRITE)
SYMOPT_REPORTS(1)
SYMOPT_REPORTS(2)
SYMOPT_REPORTS(4)
SYMOPT_REPORTS(8)
SYMOPT_REPORTS(16)
SYMOPT_UNSEEN void __tsan_read_range(void* address, unsigned long bytes) {
  symopt_runtime->access(address, bytes, symopt_emulator::READ);
}
SYMOPT_UNSEEN void __tsan_write_range(void* address, unsigned long bytes) {
  symopt_runtime->access(address, bytes, symopt_emulator::WRITE);
}
SYMOPT_UNSEEN void* __tsan_memcpy(void* target, const void* source, unsigned long bytes) {
  symopt_runtime->access(source, bytes, symopt_emulator::READ);
  symopt_runtime->access(target, bytes, symopt_emulator::WRITE);
  return __builtin_memcpy(target, source, bytes);
}
SYMOPT_UNSEEN void* __tsan_memset(void* target, int value, unsigned long bytes) {
  symopt_runtime->access(target, bytes, symopt_emulator::WRITE);
  return __builtin_memset(target, value, bytes);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
#endif

// ---- Kernels as the runtime calls them: the file that is compiled ends with SYMOPT_LIBRARY, and
// SYMOPT_KERNEL(name) for each

extern "C" {
extern char __bss_start[] __attribute__((visibility("hidden")));  // from the linker: the zeroed data
extern char _end[] __attribute__((visibility("hidden")));
}

namespace symopt_emulator {

template <class T> struct KindOf { static constexpr u32 value = 's'; };
template <class T> struct KindOf<T*> { static constexpr u32 value = 'p'; };
template <> struct KindOf<int> { static constexpr u32 value = 'i'; };
template <> struct KindOf<u32> { static constexpr u32 value = 'i'; };
template <> struct KindOf<i64> { static constexpr u32 value = 'i'; };
template <> struct KindOf<u64> { static constexpr u32 value = 'i'; };
template <> struct KindOf<float> { static constexpr u32 value = 'f'; };
template <> struct KindOf<double> { static constexpr u32 value = 'f'; };

template <auto function> struct Entry;
template <class... A, void (*function)(A...)>
struct Entry<function> {
  struct Call {
    Call(A... arguments) { function(arguments...); }
  };
  static void call(void** at) { Call{*static_cast<A*>(*at++)...}; }  // in braces, first to last
  static constexpr u64 n_parameters = sizeof...(A);
  static constexpr Parameter parameters[n_parameters + 1] = {{KindOf<A>::value, sizeof(A)}..., {0, 0}};
};

}  // namespace symopt_emulator

#define SYMOPT_LIBRARY \
  symopt_emulator::Runtime* symopt_runtime __attribute__((section("symopt_data"))) = nullptr;  // not zeroed data

#define SYMOPT_KERNEL(name) \
  extern "C" __attribute__((visibility("default"))) symopt_emulator::Kernel symopt_kernel_##name; \
  symopt_emulator::Kernel symopt_kernel_##name = { \
      symopt_emulator::Entry<name>::call, symopt_emulator::Entry<name>::parameters, \
      symopt_emulator::Entry<name>::n_parameters, __bss_start, _end, &symopt_runtime};
