// The three steps of one score tile: scores, probabilities, values.
//
//   s[j][q] = scale · Σ_w keys[j][w]·queries[w][q] + rel_h[ky(j)][q] + rel_w[kx(j)][q] − slope·distance
//   p[j][q] = 2^(s[j][q] − m[q])
//   o[d][q] = o[d][q] · 2^(m_old[q] − m[q]) + Σ_j values[j][d]·p[j][q]
//
// Everything is transposed: queries lie in the vector lanes, keys and head dimensions in the rows. So keys and
// values are broadcast from memory, the softmax needs no reduction across lanes, and each bias is one vector load.
// Registers: kRows x kVecs accumulators in both products, no spills (AVX-512: 24 + 3 + 1). One broadcast serves
// kVecs products, so that loads never limit: 11 per 24. Scores, queries and output of a strip stay in L1 and L2.
// Hazards: the first tile must not read the running maximum or output; exp2 sees t ≤ 0 only.
#pragma once

#include "kernel_pack.h"

namespace ba_sam::cpu {
namespace {

typedef Simd::F F;

enum class Bias { none, separable, by_distance };

// Biases of one strip, all in units of log2.
struct StripBias {
  const float* rel_h;  // [key_h][kStripLanes]
  const float* rel_w;  // [key_w][kStripLanes]
  int64_t key_h, key_w;
  bool column_order;  // of the keys: see Tiling

  // distances[|dy|·stride + dx + distance_zero]. The lanes of vector v lie in grid row y[v] from x[v] on, and from
  // lane split[v] on in row next_y[v] from x = 0 on. crowded: a vector may touch more than two rows.
  const float* distances;
  int64_t distance_stride;
  int64_t distance_zero;
  float slope_log2;
  bool crowded;
  int32_t y[kMaxVecs], x[kMaxVecs], split[kMaxVecs], next_y[kMaxVecs];
  alignas(64) int32_t lane_y[kMaxStripLanes];
  alignas(64) int32_t lane_x[kMaxStripLanes];
};

inline int64_t absolute(int64_t x) {
  return x < 0 ? -x : x;
}

inline F distance_of(const StripBias& bias, int v, int64_t ky, int64_t kx) {
  const float* base = bias.distances + bias.distance_zero - kx;
  if (bias.crowded) {
    alignas(64) float lanes[kLanes];
    for (int i = 0; i < kLanes; i++) {
      const int lane = v * kLanes + i;
      lanes[i] = base[absolute(bias.lane_y[lane] - ky) * bias.distance_stride + bias.lane_x[lane]];
    }
    return Simd::load(lanes);
  }
  const F first = Simd::load(base + absolute(bias.y[v] - ky) * bias.distance_stride + bias.x[v]);
  if (bias.split[v] >= kLanes) return first;
  const F second = Simd::load(base + absolute(bias.next_y[v] - ky) * bias.distance_stride - bias.split[v]);
  return Simd::select(Simd::mask_below(bias.split[v]), first, second);
}

template <class T>
__attribute__((always_inline)) inline F mac(F a, F b, F c) {
  if constexpr (T::kBf16Pairs) {
    return T::S::mac_pairs(a, b, c);
  } else {
    return Simd::mul_add(a, b, c);
  }
}

// Scaled and biased scores of one block of keys, all in grid row ky from column kx on: row terms are loaded once, and the
// distances of the next key lie one element before those of the last. Half of what biases cost key by key.
template <Bias kBias, int kVecs>
__attribute__((always_inline)) inline void store_biased_row(float* s, const F (&acc)[kRows][kVecs], F (&max_v)[kVecs],
                                                            F scale, const StripBias& bias, int64_t ky, int64_t kx) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; v++) {
    const F row_term = Simd::load(bias.rel_h + ky * kStripLanes + v * kLanes);
    const float* column_terms = bias.rel_w + kx * kStripLanes + v * kLanes;
    F x[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++)
      x[r] = Simd::mul_add(acc[r][v], scale, Simd::add(row_term, Simd::load(column_terms + r * kStripLanes)));
    if constexpr (kBias == Bias::by_distance) {
      const F slope = Simd::set1(bias.slope_log2);
      if (!bias.crowded && bias.split[v] >= kLanes) {
        const float* at =
            bias.distances + bias.distance_zero - kx + bias.x[v] + absolute(bias.y[v] - ky) * bias.distance_stride;
#pragma GCC unroll 8
        for (int r = 0; r < kRows; r++) x[r] = Simd::neg_mul_add(slope, Simd::load(at - r), x[r]);
      } else {
#pragma GCC unroll 8
        for (int r = 0; r < kRows; r++) x[r] = Simd::neg_mul_add(slope, distance_of(bias, v, ky, kx + r), x[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++) {
      Simd::store(s + r * kStripLanes + v * kLanes, x[r]);
      max_v[v] = Simd::max(max_v[v], x[r]);
    }
  }
}

// s [count][kStripLanes], tile_max [kStripLanes]; keys: panels from the key at `first` on, count ≥ 1.
template <class T, Bias kBias, int kVecs>
void score_tile(float* s, float* tile_max, const float* keys, const float* queries, int words, int count,
                KeyPosition first, float scale, const StripBias* bias) {
  const F scale_v = Simd::set1(scale);
  F max_v[kVecs];
  for (int v = 0; v < kVecs; v++) max_v[v] = Simd::set1(-__builtin_inff());
  int64_t ky = first.y, kx = first.x;
  for (int j = 0; j < count; j += kRows) {
    F acc[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) acc[r][v] = Simd::zero();
    const float* q = queries;
    for (int left = words; left > 0; left -= kChunkWords, keys += kRows * kChunkWords) {
      const int n = left < kChunkWords ? left : kChunkWords;
      for (int w = 0; w < n; w++, q += kStripLanes) {
        F qv[kVecs];
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; v++) qv[v] = Simd::load(q + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; r++) {
          const F k = Simd::set1(keys[r * kChunkWords + w]);
#pragma GCC unroll 4
          for (int v = 0; v < kVecs; v++) acc[r][v] = mac<T>(k, qv[v], acc[r][v]);
        }
      }
    }
    if constexpr (kBias != Bias::none) {
      if (j + kRows <= count && kx + kRows <= bias->key_w) {
        store_biased_row<kBias, kVecs>(s + j * kStripLanes, acc, max_v, scale_v, *bias, ky, kx);
        if (bias->column_order) {
          if (++ky == bias->key_h) {
            ky = 0;
            kx += kRows;
          }
        } else {
          kx += kRows;
          if (kx == bias->key_w) {
            kx = 0;
            ky++;
          }
        }
        continue;
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++) {
      if (j + r >= count) break;
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) {
        F x;
        if constexpr (kBias == Bias::none) {
          x = Simd::mul(acc[r][v], scale_v);
        } else {
          const F b = Simd::add(Simd::load(bias->rel_h + ky * kStripLanes + v * kLanes),
                                Simd::load(bias->rel_w + kx * kStripLanes + v * kLanes));
          x = Simd::mul_add(acc[r][v], scale_v, b);
          if constexpr (kBias == Bias::by_distance)
            x = Simd::neg_mul_add(Simd::set1(bias->slope_log2), distance_of(*bias, v, ky, kx), x);
        }
        Simd::store(s + (j + r) * kStripLanes + v * kLanes, x);
        max_v[v] = Simd::max(max_v[v], x);
      }
      if constexpr (kBias != Bias::none) {
        if (++kx == bias->key_w) {
          kx = 0;
          ky++;
        }
      }
    }
  }
  for (int v = 0; v < kVecs; v++) Simd::store(tile_max + v * kLanes, max_v[v]);
}

// Scores to probabilities in place; with pairs, rows 2j and 2j + 1 become the words of row j. On entry rescale
// holds the tile's maximum, on return the factor of the older sums.
template <class T, int kVecs>
void softmax_tile(float* s, float* row_max, float* row_sum, float* rescale, int count, bool first) {
  F max_v[kVecs], sum_v[kVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; v++) {
    max_v[v] = Simd::load(rescale + v * kLanes);
    F factor = Simd::zero();
    if (!first) {
      const F old = Simd::load(row_max + v * kLanes);
      max_v[v] = Simd::max(old, max_v[v]);
      factor = Simd::exp2(Simd::sub(old, max_v[v]));
    }
    Simd::store(row_max + v * kLanes, max_v[v]);
    Simd::store(rescale + v * kLanes, factor);
    sum_v[v] = Simd::zero();
  }
  if constexpr (T::kBf16Pairs) {
    int j = 0;
    for (; j + 2 <= count; j += 2) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) {
        float* at = s + j * kStripLanes + v * kLanes;
        const F lo = T::S::exp2_short(Simd::sub(Simd::load(at), max_v[v]));
        const F hi = T::S::exp2_short(Simd::sub(Simd::load(at + kStripLanes), max_v[v]));
        sum_v[v] = Simd::add(sum_v[v], Simd::add(lo, hi));
        Simd::store(s + j / 2 * kStripLanes + v * kLanes, T::S::to_pairs(lo, hi));
      }
    }
    if (j < count) {
      for (int v = 0; v < kVecs; v++) {
        const F lo = T::S::exp2_short(Simd::sub(Simd::load(s + j * kStripLanes + v * kLanes), max_v[v]));
        sum_v[v] = Simd::add(sum_v[v], lo);
        Simd::store(s + j / 2 * kStripLanes + v * kLanes, T::S::to_pairs(lo, Simd::zero()));
      }
    }
  } else {
    for (int j = 0; j < count; j++) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) {
        float* at = s + j * kStripLanes + v * kLanes;
        const F p = Simd::exp2(Simd::sub(Simd::load(at), max_v[v]));
        sum_v[v] = Simd::add(sum_v[v], p);
        Simd::store(at, p);
      }
    }
  }
  for (int v = 0; v < kVecs; v++) {
    F sum = sum_v[v];
    if (!first) sum = Simd::mul_add(Simd::load(row_sum + v * kLanes), Simd::load(rescale + v * kLanes), sum);
    Simd::store(row_sum + v * kLanes, sum);
  }
}

// o [d_blocks · kRows][kStripLanes], p [steps][kStripLanes], values [d_blocks][steps][kRows].
template <class T, int kVecs>
void value_tile(float* o, const float* rescale, const float* values, const float* p, int steps, int d_blocks,
                bool first) {
  for (int b = 0; b < d_blocks; b++, o += kRows * kStripLanes) {
    F acc[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) acc[r][v] = Simd::zero();
    if (!first) {
      F factor[kVecs];
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) factor[v] = Simd::load(rescale + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; v++) acc[r][v] = Simd::mul(factor[v], Simd::load(o + r * kStripLanes + v * kLanes));
    }
    const float* pj = p;
    for (int s = 0; s < steps; s++, pj += kStripLanes, values += kRows) {
      F pv[kVecs];
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) pv[v] = Simd::load(pj + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; r++) {
        const F x = Simd::set1(values[r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; v++) acc[r][v] = mac<T>(x, pv[v], acc[r][v]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) Simd::store(o + r * kStripLanes + v * kLanes, acc[r][v]);
  }
}

}  // namespace
}  // namespace ba_sam::cpu
