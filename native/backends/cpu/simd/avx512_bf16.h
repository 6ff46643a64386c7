// AVX-512 with vdpbf16ps: words of two bf16. Everything else is avx512.h.
#pragma once

#include "avx512.h"

struct Simd : Avx512 {
  static constexpr bool kBf16Pairs = true;
  static constexpr int kTileKeys = 96;

  // c + a.lo·b.lo + a.hi·b.hi per 32-bit lane. vdpbf16ps flushes subnormals.
  static F mac_pairs(F a, F b, F c) {
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
  }
  // 2^t for t ≤ 0, good enough for a result that is rounded to bf16.
  static F exp2_short(F t) {
    const F n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const F f = _mm512_sub_ps(t, n);
    F p = set1(kExp2Short[4]);
    p = _mm512_fmadd_ps(p, f, set1(kExp2Short[3]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2Short[2]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2Short[1]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2Short[0]));
    return _mm512_scalef_ps(p, n);
  }
  // Words of (lo, hi), rounded to nearest even.
  static F to_pairs(F lo, F hi) {
    const __m512i packed = (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, packed));
  }
};
