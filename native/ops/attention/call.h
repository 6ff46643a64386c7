// From a node of the graph to AttentionParams, for every backend.
#pragma once

#include <vector>

#include "../../core/backend.h"
#include "../op_view.h"
#include "params.h"

namespace ba_sam {

// q alone is the fused projection [B, Gh, Gw, 3·H·D] of an encoder's block; else q, k and v are [B, …, H·D].
inline bool is_fused(const OpView& n) {
  return !n.has(AttentionOp::k);
}

// Channels of one token of q: H·D.
inline int64_t attention_channels(const OpView& n) {
  return n.in(AttentionOp::q).shape.back() / (is_fused(n) ? 3 : 1);
}

// Shapes, settings and strides of a node; the addresses come with point_operands.
inline AttentionParams attention_params(const OpView& n, const AttentionOp& op) {
  const bool fused = is_fused(n);
  const Value& q = n.in(AttentionOp::q);
  const Value& k = fused ? q : n.in(AttentionOp::k);
  const int64_t channels = attention_channels(n);
  const auto tokens = [](const Value& value) {
    int64_t count = 1;
    for (size_t i = 1; i + 1 < value.shape.size(); ++i) count *= value.shape[i];
    return count;
  };
  AttentionParams p;
  p.dtype = q.dtype;
  p.batch = n.out().shape[0];
  p.heads = op.heads;
  p.head_dim = channels / op.heads;
  p.q_tokens = tokens(q);
  p.k_tokens = tokens(k);
  p.scale = static_cast<float>(op.scale);
  p.window = op.window;
  p.has_rel_pos = n.has(AttentionOp::rel_pos_h);
  p.metric = op.metric;
  p.start = static_cast<float>(op.start);
  // Without a bias a grid is a list of tokens like any other.
  if (fused || p.has_bias()) {
    p.grid_h = q.shape[1];
    p.grid_w = q.shape[2];
  }
  const int64_t stride = fused ? 3 * channels : channels;
  p.q = {nullptr, q.shape[0] == 1 && p.batch > 1 ? 0 : p.q_tokens * stride, stride};
  p.k = p.v = {nullptr, k.shape[0] == 1 && p.batch > 1 ? 0 : p.k_tokens * stride, stride};
  p.out = {nullptr, p.q_tokens * channels, channels};
  return p;
}

// One per head; empty without a penalty.
inline std::vector<float> attention_slopes(const AttentionOp& op) {
  return {op.slopes.begin(), op.slopes.end()};
}

// Sets the addresses of a run. dtype of p: of q, k, v and pad as they lie there.
inline void point_operands(AttentionParams& p, const void* const* in, void* const* out) {
  const size_t channels_bytes = static_cast<size_t>(p.heads * p.head_dim) * dtype_bytes(p.dtype);
  const auto* q = static_cast<const uint8_t*>(in[AttentionOp::q]);
  const bool fused = in[AttentionOp::k] == nullptr;
  p.q.data = q;
  p.k.data = fused ? q + channels_bytes : in[AttentionOp::k];
  p.v.data = fused ? q + 2 * channels_bytes : in[AttentionOp::v];
  p.rel_h = static_cast<const float*>(in[AttentionOp::rel_pos_h]);
  p.rel_w = static_cast<const float*>(in[AttentionOp::rel_pos_w]);
  if (const auto* pad = static_cast<const uint8_t*>(in[AttentionOp::pad])) {
    p.pad_k = pad + channels_bytes;
    p.pad_v = pad + 2 * channels_bytes;
  }
  p.out.data = out[AttentionOp::y];
  p.log_sum_exp = static_cast<float*>(out[AttentionOp::log_sum_exp]);
}

}  // namespace ba_sam
