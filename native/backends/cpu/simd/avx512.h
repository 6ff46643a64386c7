// Sixteen floats in AVX-512 (F, BW, DQ, VL). The interface is explained in scalar.h.
#pragma once

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kRows = 8;  // 8 x 3 accumulators + 3 operands + broadcasts in 32 registers
  static constexpr int kVecs = 3;
  static constexpr int kTileKeys = 96;  // 64 … 256 measured the same within noise; 96 keeps 18 KB of scores in L1
  static constexpr bool kBf16Pairs = false;

  typedef __m512 F;
  typedef __mmask16 Mask;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static Mask mask_below(int n) { return static_cast<Mask>((1u << n) - 1u); }
  static F load_partial(const float* p, int n) { return _mm512_maskz_loadu_ps(mask_below(n), p); }
  static void store_partial(float* p, F x, int n) { _mm512_mask_storeu_ps(p, mask_below(n), x); }
  static F load_partial(const Bf16* p, int n) {
    const __m256i bits = _mm256_maskz_loadu_epi16(mask_below(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // Round to nearest even; a NaN stays a (quiet) NaN.
  static void store_partial(Bf16* p, F x, int n) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
    const Mask nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_mask_storeu_epi16(p, mask_below(n), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F mul_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F neg_mul_add(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  static F select(Mask m, F a, F b) { return _mm512_mask_blend_ps(m, b, a); }
  static Mask mask_bit(const int32_t* x, int32_t bit) {
    return _mm512_test_epi32_mask(_mm512_loadu_si512(x), _mm512_set1_epi32(bit));
  }

  // 2^t for t ≤ 0, |t| < 2^31. vscalefps underflows to 0 by itself.
  static F exp2(F t) {
    const F n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const F f = _mm512_sub_ps(t, n);
    F p = set1(kExp2[5]);
    p = _mm512_fmadd_ps(p, f, set1(kExp2[4]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2[3]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2[2]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2[1]));
    p = _mm512_fmadd_ps(p, f, set1(kExp2[0]));
    return _mm512_scalef_ps(p, n);
  }

  static void transpose(F (&r)[kLanes]) {
    F t[kLanes];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
      r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
      r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
      t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
      t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
      t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
      r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
  }
};
