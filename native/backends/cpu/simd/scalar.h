// Four floats in GCC's vector extension: the instruction set every processor has (SSE2 on x86, NEON on ARM).
//
// All Simd structs share one interface; kernels are templates on it. kRows x kVecs accumulators, kVecs operands and
// a broadcast must fit the register file. kTileKeys: keys per score tile, so that [kTileKeys][kVecs * kLanes]
// floats leave room in 32 KB of L1. A struct with kBf16Pairs can multiply words that hold two bf16 each (mac_pairs).
#pragma once

struct Simd {
  static constexpr int kLanes = 4;
  static constexpr int kRows = 4;
  static constexpr int kVecs = 2;
  static constexpr int kTileKeys = 256;
  static constexpr bool kBf16Pairs = false;

  typedef float F __attribute__((vector_size(16)));
  typedef int32_t I __attribute__((vector_size(16)));
  typedef I Mask;

  static F zero() { return F{0.0f, 0.0f, 0.0f, 0.0f}; }
  static F set1(float x) { return F{x, x, x, x}; }
  static F load(const float* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  static void store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }
  static F load_partial(const float* p, int n) {
    F x = zero();
    __builtin_memcpy(&x, p, static_cast<size_t>(n) * sizeof(float));
    return x;
  }
  static void store_partial(float* p, F x, int n) { __builtin_memcpy(p, &x, static_cast<size_t>(n) * sizeof(float)); }
  static F load_partial(const Bf16* p, int n) {
    I bits = {0, 0, 0, 0};
    for (int i = 0; i < n; i++) bits[i] = static_cast<int32_t>(static_cast<uint32_t>(p[i].bits) << 16);
    return reinterpret_cast<F>(bits);
  }
  static void store_partial(Bf16* p, F x, int n) {
    for (int i = 0; i < n; i++) p[i] = to_bf16(x[i]);
  }

  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F max(F a, F b) { return select(a > b, a, b); }
  static F abs(F a) { return reinterpret_cast<F>(reinterpret_cast<I>(a) & 0x7fffffff); }
  static F mul_add(F a, F b, F c) { return a * b + c; }      // a·b + c
  static F neg_mul_add(F a, F b, F c) { return c - a * b; }  // c − a·b
  static F select(Mask m, F a, F b) {
    return reinterpret_cast<F>((m & reinterpret_cast<I>(a)) | (~m & reinterpret_cast<I>(b)));
  }
  static Mask mask_below(int n) { return I{0, 1, 2, 3} < I{n, n, n, n}; }
  static Mask mask_bit(const int32_t* x, int32_t bit) {
    I bits;
    __builtin_memcpy(&bits, x, sizeof bits);
    return (bits & bit) != I{0, 0, 0, 0};
  }

  // 2^t for t ≤ 0. Below −126.5 the exponent field becomes 0 and the result exactly 0, so no subnormal enters the
  // products. select keeps a NaN.
  static F exp2(F t) {
    t = select(t < set1(-127.0f), set1(-127.0f), t);
    const F magic = set1(12582912.0f);  // 1.5 · 2^23: the sum's low bits are the rounded integer
    const F r = t + magic;
    const F f = t - (r - magic);
    const I n = reinterpret_cast<I>(r) - reinterpret_cast<I>(magic);
    F p = set1(kExp2[5]);
    for (int i = 4; i >= 0; i--) p = p * f + set1(kExp2[i]);
    return p * reinterpret_cast<F>((n + 127) << 23);
  }

  static void transpose(F (&r)[kLanes]) {
    const F a = r[0], b = r[1], c = r[2], d = r[3];
    for (int i = 0; i < kLanes; i++) r[i] = F{a[i], b[i], c[i], d[i]};
  }
};
