// What the fused attention of every backend takes.
//
//   logit(i, j) = scale · (q_i · k_j) + q_i · rel_h[yi − yj + Gh − 1] + q_i · rel_w[xi − xj + Gw − 1]
//                 − slope_h · dist(i, j)
//   out_i       = Σ_j softmax_j(logit(i, j)) · v_j
//
// Reference: attention() and token_distance() of test/reference/basam_ref.py.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace ba_sam {

// Values are part of the graph's wire format (lib/graph/ops.ts): append only.
enum class DistanceMetric : uint8_t { none = 0, manhattan = 1, euclidean = 2, chebyshev = 3 };

// One operand: element (b, token, head, d) lies at data[b·batch_stride + token·token_stride + head·head_dim + d].
// Strides are in elements, so that q, k and v can point into one fused [B, N, 3·H·D] buffer.
struct TokenView {
  const void* data = nullptr;
  int64_t batch_stride = 0;
  int64_t token_stride = 0;
};

// Every pointer is in the memory of the backend that gets it.
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
  const void* pad_k = nullptr;  // [H·D]
  const void* pad_v = nullptr;  // [H·D]

  // Relative position tables, already resized and multiplied by the coefficient. Global: [2·Gh−1, D] and
  // [2·Gw−1, D]; windows: [2·window−1, D] both. Both null = none.
  const float* rel_h = nullptr;
  const float* rel_w = nullptr;

  // Distance penalty in tokens; per axis max(0, |d| − start) replaces |d|. Global only.
  DistanceMetric metric = DistanceMetric::none;
  const float* slopes = nullptr;  // [H], ≥ 0
  float start = 0.0f;
};

}  // namespace ba_sam
