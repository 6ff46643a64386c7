// Eight floats in AVX2 with FMA. The interface is explained in scalar.h.
#pragma once

struct Simd {
  static constexpr int kLanes = 8;
  static constexpr int kRows = 4;  // 4 x 3 accumulators + 3 operands + 1 broadcast = all 16 registers
  static constexpr int kVecs = 3;
  static constexpr int kTileKeys = 128;
  static constexpr bool kBf16Pairs = false;

  typedef __m256 F;
  typedef __m256 Mask;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static __m256i lanes_below(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F load_partial(const float* p, int n) { return n == kLanes ? load(p) : _mm256_maskload_ps(p, lanes_below(n)); }
  static void store_partial(float* p, F x, int n) {
    if (n == kLanes) {
      store(p, x);
    } else {
      _mm256_maskstore_ps(p, lanes_below(n), x);
    }
  }
  static F load_partial(const Bf16* p, int n) {
    __m128i bits = _mm_setzero_si128();
    if (n == kLanes) {
      bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    } else {
      alignas(16) Bf16 part[kLanes] = {};
      for (int i = 0; i < n; i++) part[i] = p[i];
      bits = _mm_load_si128(reinterpret_cast<const __m128i*>(part));
    }
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  // Round to nearest even; a NaN stays a (quiet) NaN.
  static void store_partial(Bf16* p, F x, int n) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
    rounded = _mm256_srli_epi32(rounded, 16);
    const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    if (n == kLanes) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half);
    } else {
      __builtin_memcpy(p, &half, static_cast<size_t>(n) * sizeof(Bf16));
    }
  }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F abs(F a) { return _mm256_andnot_ps(set1(-0.0f), a); }
  static F mul_add(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F neg_mul_add(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  static F select(Mask m, F a, F b) { return _mm256_blendv_ps(b, a, m); }
  static Mask mask_below(int n) { return _mm256_castsi256_ps(lanes_below(n)); }
  static Mask mask_bit(const int32_t* x, int32_t bit) {
    const __m256i b = _mm256_set1_epi32(bit);
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, b), b));
  }

  // 2^t for t ≤ 0. Below −126.5 the exponent field becomes 0 and the result exactly 0, so no subnormal enters the
  // products. vmaxps returns its second operand when one is NaN: the order keeps a NaN.
  static F exp2(F t) {
    t = _mm256_max_ps(set1(-127.0f), t);
    const F n = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const F f = _mm256_sub_ps(t, n);
    F p = set1(kExp2[5]);
    p = _mm256_fmadd_ps(p, f, set1(kExp2[4]));
    p = _mm256_fmadd_ps(p, f, set1(kExp2[3]));
    p = _mm256_fmadd_ps(p, f, set1(kExp2[2]));
    p = _mm256_fmadd_ps(p, f, set1(kExp2[1]));
    p = _mm256_fmadd_ps(p, f, set1(kExp2[0]));
    const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
  }

  static void transpose(F (&r)[kLanes]) {
    F t[kLanes];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
      t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
      t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
  }
};
