// The arguments of the addons' attention(): checked and copied, so that the work needs nothing of JavaScript but `out`.
#pragma once

#include <napi.h>

#include <memory>

#include "../core/attention_params.h"
#include "../core/buffer.h"
#include "js_value.h"

namespace ba_sam::node {

// Owns everything that `params` points to, in host memory. q, k, v and out are [B, N, H, D] without gaps.
struct AttentionCall {
  AttentionParams params;
  Buffer q, k, v, rel_h, rel_w, slopes, pad_k, pad_v;
  ArrayView out;  // info[3], to be kept alive

  int64_t channels() const { return params.heads * params.head_dim; }
};

// From attention(q, k, v, out, {dtype, batch, heads, headDim, qTokens, kTokens, scale, gridH, gridW, window, metric, start,
// relH?, relW?, slopes?, padK?, padV?}, …). Throws SamError ERR_INVALID_ARGUMENT; ERR_OUT_OF_MEMORY.
std::shared_ptr<AttentionCall> read_attention_call(const Napi::CallbackInfo& info);

}  // namespace ba_sam::node
