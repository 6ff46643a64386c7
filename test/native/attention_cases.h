// Cases of fused attention, their operands, and a float64 loop written from the formula: what the tests of every backend
// share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../../native/core/bf16.h"
#include "../../native/core/f16.h"
#include "../../native/ops/attention/params.h"

namespace ba_sam::test {

struct Case {
  std::string name;
  int64_t batch = 1, heads = 2, head_dim = 64;
  int64_t grid_h = 0, grid_w = 0;  // 0: no grid, then nq and nk
  int64_t nq = 0, nk = 0;
  int64_t window = 0;
  bool rel = false;
  DistanceMetric metric = DistanceMetric::none;
  float start = 0.0f;
  float scale = 0.0f;  // 0: 1 / sqrt(D)
  bool fused = false;  // q, k and v interleaved in one buffer
  float spread = 1.0f;
  int64_t sample = 0;  // check every sample-th query only (the float64 loop is slow); 0: all
};

inline Case grid_case(int64_t h, int64_t w, int64_t d, bool rel, DistanceMetric m, float start) {
  Case c;
  c.grid_h = h;
  c.grid_w = w;
  c.head_dim = d;
  c.rel = rel;
  c.metric = m;
  c.start = start;
  c.name = "grid " + std::to_string(h) + "x" + std::to_string(w) + " D" + std::to_string(d) + (rel ? " rel" : "") +
           " metric" + std::to_string(static_cast<int>(m)) + (start > 0 ? " start" : "");
  return c;
}

inline Case window_case(int64_t h, int64_t w, int64_t window, int64_t d, bool rel) {
  Case c;
  c.grid_h = h;
  c.grid_w = w;
  c.window = window;
  c.head_dim = d;
  c.rel = rel;
  c.batch = 2;
  c.fused = d % 32 == 0;
  c.name = "window " + std::to_string(window) + " of " + std::to_string(h) + "x" + std::to_string(w) + " D" +
           std::to_string(d) + (rel ? " rel" : "");
  return c;
}

inline Case token_case(int64_t nq, int64_t nk, int64_t d, int64_t heads, int64_t batch) {
  Case c;
  c.nq = nq;
  c.nk = nk;
  c.head_dim = d;
  c.heads = heads;
  c.batch = batch;
  c.sample = nq * nk > 40000 ? 61 : 0;
  c.name = "tokens " + std::to_string(nq) + " to " + std::to_string(nk) + " D" + std::to_string(d);
  return c;
}

// A case's operands as floats that are exact in its dtype, and the same bits as the kernels get them.
struct Operands {
  int64_t width, qkv_stride;
  std::vector<float> q, k, v, pad_k, pad_v, rel_h, rel_w, slopes;  // q [B, Nq, H·D], k and v [B, Nk, H·D]
  std::vector<unsigned char> q_raw, k_raw, v_raw, pad_k_raw, pad_v_raw;
};

// x as dtype t holds it.
inline float rounded(float x, DType t) {
  if (t == DType::bf16) return bf16_to_f32(f32_to_bf16(x));
  return t == DType::f16 ? f16_to_f32(f32_to_f16(x)) : x;
}

inline void put(std::vector<unsigned char>& raw, DType t, int64_t index, float x) {
  if (t == DType::f32) {
    std::memcpy(&raw[index * 4], &x, 4);
  } else {
    const uint16_t h = t == DType::bf16 ? f32_to_bf16(x) : f32_to_f16(x);
    std::memcpy(&raw[index * 2], &h, 2);
  }
}

inline float get(const std::vector<unsigned char>& raw, DType t, int64_t index) {
  if (t == DType::f32) {
    float x;
    std::memcpy(&x, &raw[index * 4], 4);
    return x;
  }
  uint16_t h;
  std::memcpy(&h, &raw[index * 2], 2);
  return t == DType::bf16 ? bf16_to_f32(h) : f16_to_f32(h);
}

// Everything but what the caller owns: where the outputs and the workspace lie.
inline AttentionParams params_of(const Case& c, DType t, const Operands& o) {
  AttentionParams p;
  p.dtype = t;
  p.batch = c.batch;
  p.heads = c.heads;
  p.head_dim = c.head_dim;
  const bool grid = c.grid_h > 0;
  p.q_tokens = grid ? c.grid_h * c.grid_w : c.nq;
  p.k_tokens = grid ? c.grid_h * c.grid_w : c.nk;
  p.scale = c.scale != 0.0f ? c.scale : 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  p.grid_h = c.grid_h;
  p.grid_w = c.grid_w;
  p.window = c.window;
  const size_t size = dtype_bytes(t);
  const unsigned char* fused = o.q_raw.data();
  p.q = {o.q_raw.data(), p.q_tokens * o.qkv_stride, o.qkv_stride};
  p.k = {c.fused ? fused + o.width * size : o.k_raw.data(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  p.v = {c.fused ? fused + 2 * o.width * size : o.v_raw.data(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  if (c.window > 0) {
    p.pad_k = o.pad_k_raw.data();
    p.pad_v = o.pad_v_raw.data();
  }
  p.has_rel_pos = c.rel;
  if (c.rel) {
    p.rel_h = o.rel_h.data();
    p.rel_w = o.rel_w.data();
  }
  p.metric = c.metric;
  if (c.metric != DistanceMetric::none) p.slopes = o.slopes.data();
  p.start = c.start;
  return p;
}

// gap: elements between the rows of operands that are not fused.
inline Operands make_operands(const Case& c, DType t, uint32_t seed, int64_t gap) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  const auto draw = [&](size_t n, float spread, bool round) {
    std::vector<float> x(n);
    for (float& e : x) {
      e = normal(rng) * spread;
      if (round) e = rounded(e, t);
    }
    return x;
  };
  Operands o;
  o.width = c.heads * c.head_dim;
  const int64_t nq = c.grid_h > 0 ? c.grid_h * c.grid_w : c.nq;
  const int64_t nk = c.grid_h > 0 ? c.grid_h * c.grid_w : c.nk;
  o.q = draw(c.batch * nq * o.width, c.spread, true);
  o.k = draw(c.batch * nk * o.width, c.spread, true);
  o.v = draw(c.batch * nk * o.width, 1.0f, true);
  o.pad_k = draw(o.width, c.spread, true);
  o.pad_v = draw(o.width, 1.0f, true);
  const int64_t side_h = c.window > 0 ? c.window : c.grid_h, side_w = c.window > 0 ? c.window : c.grid_w;
  if (c.rel) {
    o.rel_h = draw((2 * side_h - 1) * c.head_dim, 0.3f, false);
    o.rel_w = draw((2 * side_w - 1) * c.head_dim, 0.3f, false);
  }
  for (int64_t h = 0; h < c.heads; h++) o.slopes.push_back(std::exp2(-8.0f * (h + 1) / c.heads) * 2.0f);

  // In the kernels' layout. What lies between is NaN, so that reading it shows.
  o.qkv_stride = c.fused ? 3 * o.width : o.width + gap;
  const size_t size = dtype_bytes(t);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto lay = [&](const std::vector<float>& x, int64_t tokens, int64_t offset, std::vector<unsigned char>& raw) {
    raw.assign(static_cast<size_t>(c.batch * tokens * o.qkv_stride) * size, 0);
    for (int64_t i = 0; i < c.batch * tokens * o.qkv_stride; i++) put(raw, t, i, nan);
    for (int64_t i = 0; i < c.batch * tokens; i++)
      for (int64_t d = 0; d < o.width; d++) put(raw, t, i * o.qkv_stride + offset + d, x[i * o.width + d]);
  };
  lay(o.q, nq, 0, o.q_raw);
  lay(o.k, nk, c.fused ? o.width : 0, o.k_raw);
  lay(o.v, nk, c.fused ? 2 * o.width : 0, o.v_raw);
  if (c.fused) {
    for (int64_t i = 0; i < c.batch * nq; i++)
      for (int64_t d = 0; d < o.width; d++) {
        put(o.q_raw, t, i * o.qkv_stride + o.width + d, o.k[i * o.width + d]);
        put(o.q_raw, t, i * o.qkv_stride + 2 * o.width + d, o.v[i * o.width + d]);
      }
  }
  o.pad_k_raw.resize(o.width * size);
  o.pad_v_raw.resize(o.width * size);
  for (int64_t d = 0; d < o.width; d++) {
    put(o.pad_k_raw, t, d, o.pad_k[d]);
    put(o.pad_v_raw, t, d, o.pad_v[d]);
  }
  return o;
}

// One query by the formula, all logits materialised, in arithmetic R; returns its log-sum-exp. round_to: probabilities and
// output pass through that dtype, as in a plain implementation; tables: the dtype that relative position tables are held in.
template <class R>
R reference_query(const Case& c, const AttentionParams& p, const Operands& o, int64_t b, int64_t h, int64_t i,
                  DType round_to, DType tables, R* out) {
  const int64_t D = c.head_dim, W = o.width, nq = p.q_tokens, nk = p.k_tokens;
  const float* q = &o.q[(b * nq + i) * W + h * D];
  std::vector<const float*> ks, vs;
  std::vector<R> logits;
  const int64_t gw = std::max<int64_t>(c.grid_w, 1);
  const int64_t yi = i / gw, xi = i % gw;
  const int64_t oy = c.window > 0 ? yi / c.window * c.window : 0;
  const int64_t ox = c.window > 0 ? xi / c.window * c.window : 0;
  const int64_t kh = c.window > 0 ? c.window : std::max<int64_t>(c.grid_h, 1);
  const int64_t kw = c.window > 0 ? c.window : c.grid_h > 0 ? c.grid_w : nk;
  for (int64_t y = 0; y < kh; y++)
    for (int64_t x = 0; x < kw; x++) {
      const int64_t yj = oy + y, xj = ox + x;
      const bool pad = c.grid_h > 0 && (yj >= c.grid_h || xj >= c.grid_w);
      const int64_t j = c.grid_h > 0 ? yj * c.grid_w + xj : x;
      ks.push_back(pad ? &o.pad_k[h * D] : &o.k[(b * nk + j) * W + h * D]);
      vs.push_back(pad ? &o.pad_v[h * D] : &o.v[(b * nk + j) * W + h * D]);
      R dot = 0;
      for (int64_t d = 0; d < D; d++) dot += static_cast<R>(q[d]) * static_cast<R>(ks.back()[d]);
      R logit = static_cast<R>(p.scale) * dot;
      if (c.rel) {
        R rh = 0, rw = 0;
        const float* Rh = &o.rel_h[(yi - yj + kh - 1) * D];
        const float* Rw = &o.rel_w[(xi - xj + kw - 1) * D];
        for (int64_t d = 0; d < D; d++) rh += static_cast<R>(q[d]) * static_cast<R>(rounded(Rh[d], tables));
        for (int64_t d = 0; d < D; d++) rw += static_cast<R>(q[d]) * static_cast<R>(rounded(Rw[d], tables));
        logit += rh + rw;
      }
      if (c.metric != DistanceMetric::none) {
        const R dy = std::max<R>(0, static_cast<R>(std::abs(yi - yj)) - static_cast<R>(c.start));
        const R dx = std::max<R>(0, static_cast<R>(std::abs(xi - xj)) - static_cast<R>(c.start));
        const R dist = c.metric == DistanceMetric::manhattan   ? dy + dx
                       : c.metric == DistanceMetric::euclidean ? std::sqrt(dy * dy + dx * dx)
                                                               : std::max(dy, dx);
        logit -= static_cast<R>(o.slopes[h]) * dist;
      }
      logits.push_back(logit);
    }
  const R most = *std::max_element(logits.begin(), logits.end());
  R sum = 0;
  for (R& l : logits) {
    l = std::exp(l - most);
    sum += l;
  }
  for (R& l : logits) {
    l /= sum;
    if (round_to != DType::f32) l = rounded(static_cast<float>(l), round_to);
  }
  for (int64_t d = 0; d < D; d++) {
    R acc = 0;
    for (size_t j = 0; j < logits.size(); j++) acc += logits[j] * static_cast<R>(vs[j][d]);
    if (round_to != DType::f32) acc = rounded(static_cast<float>(acc), round_to);
    out[d] = acc;
  }
  return most + std::log(sum);
}

struct Reference {
  std::vector<int64_t> queries;  // flat (b, h, i)
  std::vector<double> exact;     // [queries, D]
  double worst = 0.0, squares = 0.0;
  std::vector<double> log_sum_exp;  // [queries]
  double worst_log_sum_exp = 0.0;
};

// tables: what the plain loop, whose errors set the tolerance, holds relative position tables in.
inline Reference make_reference(const Case& c, const AttentionParams& p, const Operands& o, DType tables) {
  Reference r;
  const int64_t all = c.batch * c.heads * p.q_tokens;
  for (int64_t i = 0; i < all; i += std::max<int64_t>(1, c.sample)) r.queries.push_back(i);
  const int64_t D = c.head_dim;
  r.exact.resize(r.queries.size() * D);
  r.log_sum_exp.resize(r.queries.size());
  std::vector<float> plain(r.exact.size()), plain_log_sum_exp(r.queries.size());
#if defined(_OPENMP)
#pragma omp parallel for schedule(dynamic, 8)
#endif
  for (int64_t n = 0; n < static_cast<int64_t>(r.queries.size()); n++) {
    const int64_t i = r.queries[n] % p.q_tokens, h = r.queries[n] / p.q_tokens % c.heads,
                  b = r.queries[n] / p.q_tokens / c.heads;
    r.log_sum_exp[n] = reference_query<double>(c, p, o, b, h, i, DType::f32, DType::f32, &r.exact[n * D]);
    plain_log_sum_exp[n] = reference_query<float>(c, p, o, b, h, i, p.dtype, tables, &plain[n * D]);
  }
  for (size_t n = 0; n < r.queries.size(); n++) {
    r.worst_log_sum_exp = std::max(r.worst_log_sum_exp, std::fabs(plain_log_sum_exp[n] - r.log_sum_exp[n]));
  }
  for (size_t n = 0; n < plain.size(); n++) {
    const double e = std::fabs(plain[n] - r.exact[n]);
    r.worst = std::max(r.worst, e);
    r.squares += e * e;
  }
  return r;
}

// The tolerances that an implementation has to keep: twice the errors of the plain loop in the same dtype, and a floor for
// results where that loop happens to be exact (one key, a saturated softmax).
struct Tolerance {
  double worst, rms, log_sum_exp;
};
inline Tolerance tolerance_of(const Reference& ref, DType t) {
  double largest = 0.0, largest_log_sum_exp = 1.0;
  for (double e : ref.exact) largest = std::max(largest, std::fabs(e));
  for (double e : ref.log_sum_exp) largest_log_sum_exp = std::max(largest_log_sum_exp, std::fabs(e));
  const double unit = t == DType::f32 ? 1.2e-7 : t == DType::bf16 ? 3.9e-3 : 4.9e-4;
  // Always f32, whatever the operands are.
  const double log_sum_exp = 2.0 * ref.worst_log_sum_exp + 4.0 * 1.2e-7 * largest_log_sum_exp;
  return {2.0 * ref.worst + unit * largest, 2.0 * std::sqrt(ref.squares / ref.exact.size()) + 0.25 * unit * largest,
          log_sum_exp};
}

}  // namespace ba_sam::test
