// One strip, start to finish: queries in, biases, all key tiles, normalised output.
//
// Memory: the scratch of strip_layout in tiling.h, nothing else. Results depend on the strip alone, so neither on the
// number of threads nor on who packed the keys.
#pragma once

#include "kernel_bias.h"

namespace ba_sam::cpu {
namespace {

// q [D][kStripLanes] from the rows of the strip's queries.
template <class T, int kVecs>
void load_queries(float* q, const typename T::In* const* rows, int head_dim) {
  for (int v = 0; v < kVecs; v++) {
    for (int d = 0; d < head_dim; d += kLanes) {
      const int n = static_cast<int>(lesser(kLanes, head_dim - d));
      F block[kLanes];
      for (int i = 0; i < kLanes; i++) block[i] = Simd::load_partial(rows[v * kLanes + i] + d, n);
      Simd::transpose(block);
      for (int i = 0; i < n; i++) Simd::store(q + (d + i) * kStripLanes + v * kLanes, block[i]);
    }
  }
}

template <class T, int kVecs>
void store_output(typename T::In* const* rows, const float* o, const float* row_sum, int lanes, int head_dim) {
  for (int v = 0; v < kVecs; v++) {
    const F inverse = Simd::div(Simd::set1(1.0f), Simd::load(row_sum + v * kLanes));
    const int count = static_cast<int>(lesser(kLanes, lanes - v * kLanes));
    for (int d = 0; d < head_dim; d += kLanes) {
      const int n = static_cast<int>(lesser(kLanes, head_dim - d));
      F block[kLanes];
      for (int i = 0; i < n; i++) block[i] = Simd::mul(inverse, Simd::load(o + (d + i) * kStripLanes + v * kLanes));
      for (int i = n; i < kLanes; i++) block[i] = Simd::zero();
      Simd::transpose(block);
      for (int i = 0; i < count; i++) Simd::store_partial(rows[v * kLanes + i] + d, block[i], n);
    }
  }
}

template <class T, Bias kBias, int kVecs>
void run_strip_vecs(const Tiling& tiling, const Unit& unit, int64_t strip, char* scratch) {
  typedef typename T::In In;
  const AttentionParams& p = tiling.params;
  const int head_dim = static_cast<int>(p.head_dim);
  const int64_t queries = unit.query_h * unit.query_w;
  const int64_t first_query = strip * kStripLanes;
  const int lanes = static_cast<int>(lesser(kStripLanes, queries - first_query));
  const StripLayout at = strip_layout(tiling);
  float* const f = reinterpret_cast<float*>(scratch);

  // Lanes past the last query repeat it, so that every lane is finite work on valid memory.
  StripBias bias;
  const In* q_rows[kStripLanes];
  In* out_rows[kStripLanes];
  for (int i = 0; i < kVecs * kLanes; i++) {
    const int64_t query = lesser(first_query + i, queries - 1);
    const int64_t y = query / unit.query_w, x = query % unit.query_w;
    const int64_t token = (unit.origin_y + y) * tiling.grid_w + unit.origin_x + x;
    q_rows[i] = token_row<In>(p.q, unit.batch, token, unit.head, p.head_dim);
    out_rows[i] = static_cast<In*>(p.out.data) + unit.batch * p.out.batch_stride + token * p.out.token_stride +
                  unit.head * p.head_dim;
    prefetch_row(q_rows[i], head_dim);
    bias.lane_y[i] = static_cast<int32_t>(y);
    bias.lane_x[i] = static_cast<int32_t>(x);
  }
  load_queries<T, kVecs>(f + at.q, q_rows, head_dim);
  const float* q_words = f + at.q;
  if constexpr (T::kBf16Pairs) {
    for (int w = 0; w < tiling.words; w++) {
      for (int v = 0; v < kVecs; v++) {
        const float* lo = f + at.q + 2 * w * kStripLanes + v * kLanes;
        const F hi = 2 * w + 1 < head_dim ? Simd::load(lo + kStripLanes) : Simd::zero();
        Simd::store(f + at.q_pairs + w * kStripLanes + v * kLanes, T::S::to_pairs(Simd::load(lo), hi));
      }
    }
    q_words = f + at.q_pairs;
  }

  if constexpr (kBias != Bias::none) {
    const float slope = p.metric != DistanceMetric::none ? p.slopes[unit.head] : 0.0f;
    const float separable_slope = p.metric == DistanceMetric::manhattan ? slope : 0.0f;
    const float* panels_h =
        p.has_rel_pos ? reinterpret_cast<const float*>(tiling.workspace + tiling.rel_h_offset) : nullptr;
    const float* panels_w =
        p.has_rel_pos ? reinterpret_cast<const float*>(tiling.workspace + tiling.rel_w_offset) : nullptr;
    strip_bias_axis<T, kVecs>(f + at.rel_h, f + at.products, tiling, panels_h, q_words, bias.lane_y, tiling.key_h,
                              separable_slope);
    strip_bias_axis<T, kVecs>(f + at.rel_w, f + at.products, tiling, panels_w, q_words, bias.lane_x, tiling.key_w,
                              separable_slope);
    bias.rel_h = f + at.rel_h;
    bias.rel_w = f + at.rel_w;
    bias.key_h = tiling.key_h;
    bias.key_w = tiling.key_w;
    bias.column_order = tiling.column_order;
    if constexpr (kBias == Bias::by_distance) {
      bias.distances = reinterpret_cast<const float*>(tiling.workspace + tiling.distances_offset);
      bias.distance_stride = tiling.distance_stride;
      bias.distance_zero = kLanes + tiling.key_w - 1;
      bias.slope_log2 = slope * kLog2E;
      bias.crowded = unit.query_w < kLanes;
      for (int v = 0; v < kVecs; v++) {
        bias.y[v] = bias.lane_y[v * kLanes];
        bias.x[v] = bias.lane_x[v * kLanes];
        bias.split[v] = static_cast<int32_t>(lesser(unit.query_w - bias.x[v], kLanes));
        bias.next_y[v] = static_cast<int32_t>(lesser(bias.y[v] + 1, unit.query_h - 1));
      }
    }
  }

  const int64_t value_width = static_cast<int64_t>(tiling.d_blocks) * kRows;
  const int64_t key_width = static_cast<int64_t>(tiling.chunks) * kChunkWords;
  for (int64_t key = 0; key < tiling.unit_keys; key += tiling.tile_keys) {
    const int count = static_cast<int>(lesser(tiling.tile_keys, tiling.unit_keys - key));
    const bool first = key == 0;
    score_tile<T, kBias, kVecs>(f + at.scores, f + at.rescale, unit.keys + key * key_width, q_words, tiling.words,
                                count, key_position(tiling, key), tiling.score_scale_log2, &bias);
    softmax_tile<T, kVecs>(f + at.scores, f + at.row_max, f + at.row_sum, f + at.rescale, count, first);
    value_tile<T, kVecs>(f + at.out, f + at.rescale, unit.values + (T::kBf16Pairs ? key / 2 : key) * value_width,
                         f + at.scores, T::kBf16Pairs ? (count + 1) / 2 : count, tiling.d_blocks, first);
  }
  if (p.log_sum_exp != nullptr) {
    float* lse = p.log_sum_exp + (unit.batch * p.heads + unit.head) * p.q_tokens;
    // Scores are in base 2: ln Σ exp(logit) = ln 2 · maximum + ln Σ 2^(score − maximum).
    for (int i = 0; i < lanes; i++) {
      const int64_t token = (unit.origin_y + bias.lane_y[i]) * tiling.grid_w + unit.origin_x + bias.lane_x[i];
      lse[token] = kLn2 * f[at.row_max + i] + std::log(f[at.row_sum + i]);
    }
  }
  store_output<T, kVecs>(out_rows, f + at.out, f + at.row_sum, lanes, head_dim);
}

template <class T, Bias kBias>
void run_strip_bias(const Tiling& tiling, const Unit& unit, int64_t strip, char* scratch) {
  const int64_t lanes = unit.query_h * unit.query_w - strip * kStripLanes;
  if (lanes > 2 * kLanes && Simd::kVecs >= 3) {
    run_strip_vecs<T, kBias, Simd::kVecs>(tiling, unit, strip, scratch);
  } else if (lanes > kLanes) {
    run_strip_vecs<T, kBias, 2>(tiling, unit, strip, scratch);
  } else {
    run_strip_vecs<T, kBias, 1>(tiling, unit, strip, scratch);
  }
}

template <class T>
void run_strip(const Tiling& tiling, const Unit& unit, int64_t strip, char* scratch) {
  if (tiling.by_distance) {
    run_strip_bias<T, Bias::by_distance>(tiling, unit, strip, scratch);
  } else if (tiling.separable) {
    run_strip_bias<T, Bias::separable>(tiling, unit, strip, scratch);
  } else {
    run_strip_bias<T, Bias::none>(tiling, unit, strip, scratch);
  }
}

template <class T>
constexpr KernelTable kernel_table() {
  static_assert(Simd::kVecs == 2 || Simd::kVecs == 3, "run_strip_bias covers these");
  return KernelTable{kRows, kLanes, Simd::kVecs, Simd::kTileKeys, T::kBf16Pairs, pack_tile<T>, run_strip<T>};
}

}  // namespace
}  // namespace ba_sam::cpu
