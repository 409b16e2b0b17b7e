// Tests of values as they are stored, of kernels with a guard: whether each is finite, by the bits of its exponent. What
// is not finite goes to gate[2], which is OPEN while all is, and to a slot of the tensor and buffer: the lowest index,
// and in the last two bits what is there, 0 for nan, 1 for inf, 2 for -inf.

struct Half {
  static MEMBER bool bad(u16 x) { return (x & 0x7c00u) == 0x7c00u; }
  static MEMBER int what(u16 x) { return x & 0x3ffu ? 0 : x >> 15 ? 2 : 1; }
};
struct Bfloat {
  static MEMBER bool bad(u16 x) { return (x & 0x7f80u) == 0x7f80u; }
  static MEMBER int what(u16 x) { return x & 0x7fu ? 0 : x >> 15 ? 2 : 1; }
};
struct Single {
  static MEMBER bool bad(float x) { return (bits_of(x) & 0x7f800000u) == 0x7f800000u; }
  static MEMBER int what(float x) { return x != x ? 0 : x < 0.0f ? 2 : 1; }
  static MEMBER bool bad(const complex64& x) { return bad(x.x[0]) || bad(x.x[1]); }
  static MEMBER int what(const complex64& x) { return x.x[0] != x.x[0] || x.x[1] != x.x[1] ? 0 : 1; }
};
struct Double {
  static MEMBER bool bad(double x) { return (bits_of(x) & 0x7ff0000000000000ull) == 0x7ff0000000000000ull; }
  static MEMBER int what(double x) { return x != x ? 0 : x < 0.0 ? 2 : 1; }
  static MEMBER bool bad(const complex128& x) { return bad(x.x[0]) || bad(x.x[1]); }
  static MEMBER int what(const complex128& x) { return x.x[0] != x.x[0] || x.x[1] != x.x[1] ? 0 : 1; }
};

INLINE void note(i64 index, int what, const u64* gate, u64* slot) {
  atomicMin(slot, (u64)index << 2 | (u64)what);
  atomicMin((u64*)gate + 2, 0ull);
}

template <typename F, typename T> INLINE void watch_one(const T& x, i64 index, const u64* gate, u64* slot) {
  if (F::bad(x)) note(index, F::what(x), gate, slot);
}

// The first n of N neighbours, of which the first is element `first` of the tensor.
template <typename F, int N, typename T>
INLINE void watch(const vec<T, N>& v, int n, i64 first, const u64* gate, u64* slot) {
  bool bad = false;
#pragma unroll
  for (int k = 0; k < N; k++) bad = bad || (k < n && F::bad(v.x[k]));
  if (!bad) return;
  int at = 0, what = 0;
#pragma unroll
  for (int k = N - 1; k >= 0; k--)
    if (k < n && F::bad(v.x[k])) {
      at = k;
      what = F::what(v.x[k]);
    }
  note(first + at, what, gate, slot);
}
