// What the fused attention of every backend takes: one struct, filled once, passed whole.
//
//   logit(i, j) = scale · (q_i · k_j) + q_i · rel_h[yi − yj + Gh − 1] + q_i · rel_w[xi − xj + Gw − 1]
//                 − slope_h · dist(i, j)
//   out_i       = Σ_j softmax_j(logit(i, j)) · v_j
//   lse_i       = ln Σ_j exp(logit(i, j))
//
// Reference: attention() and token_distance() of test/reference/basam_ref.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "../op.h"

namespace ba_sam {

// One operand: element (b, token, head, d) lies at data[b·batch_stride + token·token_stride + head·head_dim + d].
// Strides are in elements, so that q, k and v can point into one fused [B, N, 3·H·D] buffer.
template <typename Data>
struct TokensAt {
  Data* data = nullptr;
  int64_t batch_stride = 0;
  int64_t token_stride = 0;
};
using TokenView = TokensAt<const void>;
using MutableTokenView = TokensAt<void>;

// Every pointer is in the memory of the backend that gets it. What a workspace depends on says so without them: shapes and
// settings are known when a plan is made, addresses when it runs.
struct AttentionParams {
  DType dtype = DType::f32;  // of q, k, v, pad_k, pad_v and out
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t head_dim = 64;  // D: 1 … 256
  int64_t q_tokens = 0;   // Nq
  int64_t k_tokens = 0;   // Nk ≥ 1
  float scale = 1.0f;     // multiplies q·k only, never a bias

  // Token grid, row-major, when the tokens form one; needed by every field below. Then q_tokens = k_tokens =
  // grid_h · grid_w. 0 = no grid (the decoder's attention).
  int64_t grid_h = 0;
  int64_t grid_w = 0;

  // Window side in tokens, 0 = global. Windows tile the grid from its top left; where the last ones reach over the
  // edge, their outside tokens are real, unmasked keys with k = pad_k and v = pad_v (SAM pads with zeros after
  // norm1, so that only the bias of the qkv projection is left). Queries outside the grid are not computed.
  int64_t window = 0;

  // Whether there are relative position tables, already resized and multiplied by the coefficient. Global:
  // [2·Gh−1, D] and [2·Gw−1, D]; windows: [2·window−1, D] both.
  bool has_rel_pos = false;

  // Distance penalty in tokens; per axis max(0, |d| − start) replaces |d|. Global only.
  DistanceMetric metric = DistanceMetric::none;
  float start = 0.0f;

  // Operands. Batch strides of 0 share one q, or one k and v, among the whole batch.
  TokenView q, k, v;
  const void* pad_k = nullptr;  // [H·D], with a window
  const void* pad_v = nullptr;  // [H·D]
  const float* rel_h = nullptr;
  const float* rel_w = nullptr;
  const float* slopes = nullptr;  // [H], ≥ 0, with a metric
  MutableTokenView out;
  float* log_sum_exp = nullptr;  // [B, H, Nq], or null: nobody asks
  void* workspace = nullptr;     // as many bytes as the backend's attention_workspace_bytes says, kAlignment aligned

  bool has_bias() const { return window > 0 || has_rel_pos || metric != DistanceMetric::none; }
};

// What is wrong with shapes and settings, as "an integer between … for …", empty when nothing is: what the graph's op,
// attention() and the C interface all ask.
// Of scale, start and slopes: beyond it their products overflow f32, and infinity less infinity is no number.
constexpr float kMaxFactor = 1e30f;

inline std::string attention_problem(const AttentionParams& p) {
  const auto in_range = [](int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; };
  const auto expected = [](int64_t low, int64_t high, const char* what, int64_t value) {
    return "an integer between " + std::to_string(low) + " and " + std::to_string(high) + " for " + what +
           " but received " + std::to_string(value);
  };
  if (!is_float(p.dtype)) return std::string("dtype f32, bf16 or f16 but received ") + dtype_name(p.dtype);
  if (!in_range(p.heads, 1, 4096)) return expected(1, 4096, "heads", p.heads);
  if (!in_range(p.head_dim, 1, 256)) return expected(1, 256, "the head size", p.head_dim);
  if (p.k_tokens < 1) return "at least one key but received " + std::to_string(p.k_tokens);
  if (!in_range(p.window, 0, 1024)) return expected(0, 1024, "window", p.window);
  if (!(std::fabs(p.scale) <= kMaxFactor)) return "a finite scale, of at most 1e30 either way";
  if (!(p.start >= 0 && p.start <= kMaxFactor)) return "start of at least 0 and at most 1e30";
  if (p.metric != DistanceMetric::none && p.window > 0) return "a distance penalty in global attention only";
  const bool grid = p.grid_h > 0 && p.grid_w > 0;
  if (!grid && p.has_bias()) return "a token grid with windows, relative positions or a distance penalty";
  constexpr int64_t kMaxSide = int64_t{1} << 20;
  if (grid && !(p.grid_h <= kMaxSide && p.grid_w <= kMaxSide)) return "a grid of at most 2^20 tokens a side";
  if (grid && !(p.grid_h * p.grid_w == p.q_tokens && p.q_tokens == p.k_tokens)) {
    return "as many queries and keys as the grid has tokens";
  }
  return "";
}

// The same of slopes in host memory, one per head: at least 0, or the penalty would be no penalty.
template <typename Number>
std::string slopes_problem(const Number* slopes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const auto slope = static_cast<float>(slopes[i]);
    if (!(slope >= 0 && slope <= kMaxFactor)) return "slopes of at least 0 and at most 1e30";
  }
  return "";
}

}  // namespace ba_sam
