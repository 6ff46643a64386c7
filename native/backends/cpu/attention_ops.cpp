// The graph's two attention ops in terms of the fused kernel (attention/attention.h).
#include <vector>

#include "backend.h"

namespace ba_sam::cpu {
namespace {

// qkv [B, Gh, Gw, 3·H·D] → [B, Gh, Gw, H·D]: SAM's encoder attention, global or windowed, read straight from the
// fused projection. Reference: attention() of the PyTorch reference, without its two projections.
class GridAttention final : public Kernel {
 public:
  explicit GridAttention(const KernelContext& c)
      : params_(grid_attention_params(c)),
        channels_(c.in(0).shape[3] / 3),
        threads_(c.threads),
        isa_(c.isa),
        slopes_(grid_attention_slopes(c)) {
    if (!slopes_.empty()) params_.slopes = slopes_.data();
    if (params_.window > 0) {
      set_pad(c);
      params_.pad_k = pad_.data();
      params_.pad_v = pad_.data() + static_cast<size_t>(channels_) * dtype_bytes(params_.dtype);
    }
  }

  bool owns_weight(size_t input) const override { return input == 3; }
  size_t scratch_bytes() const override { return attention_workspace_bytes(params_, threads_, isa_); }

  void run(const KernelIo& io) override {
    params_.rel_h = static_cast<const float*>(io.in[1]);
    params_.rel_w = static_cast<const float*>(io.in[2]);
    const auto* qkv = static_cast<const uint8_t*>(io.in[0]);
    const size_t third = static_cast<size_t>(channels_) * dtype_bytes(params_.dtype);
    const int64_t token = 3 * channels_, batch = params_.q_tokens * token;
    attention_forward(io.out, params_.q_tokens * channels_, channels_, {qkv, batch, token}, {qkv + third, batch, token},
                      {qkv + 2 * third, batch, token}, params_, io.scratch, threads_, isa_, io.cancel);
  }

 private:
  // Pad tokens are zeros after norm1, so their keys and values are the projection's bias: a SAM trap.
  void set_pad(const KernelContext& c) {
    const size_t bytes = dtype_bytes(params_.dtype);
    pad_.assign(2 * static_cast<size_t>(channels_) * bytes, 0);
    if (!c.has(3)) return;
    const auto bias = c.weights.plain(c.weight_name(3));
    convert_elements(pad_.data(), params_.dtype, bias->data.data() + static_cast<size_t>(channels_) * sizeof(float),
                     DType::f32, 2 * static_cast<size_t>(channels_));
  }

  AttentionParams params_;
  int64_t channels_ = 0;
  int threads_;
  Isa isa_;
  std::vector<float> slopes_;
  std::vector<uint8_t> pad_;
};

// q [B, …, H·D], k, v [B, …, H·D] → as q: the decoder's self and cross attention, no biases. A batch of 1 on one side
// serves every item of the other: prompts of one image share its keys until their first update.
class Attention final : public Kernel {
 public:
  explicit Attention(const KernelContext& c) : threads_(c.threads), isa_(c.isa) {
    const Shape& q = c.in(0).shape;
    channels_ = q.back();
    params_.dtype = c.in(0).dtype;
    params_.batch = c.out().shape[0];
    params_.heads = c.integer(0);
    params_.head_dim = channels_ / params_.heads;
    params_.scale = static_cast<float>(c.attribute(1));
    shared_q_ = q[0] == 1;
    shared_k_ = c.in(1).shape[0] == 1;
    params_.q_tokens = q[0] ? c.in(0).elements() / (q[0] * channels_) : 0;
    params_.k_tokens = c.in(1).elements() / (c.in(1).shape[0] * channels_);
    empty_ = c.out().elements() == 0;
  }
  size_t scratch_bytes() const override { return empty_ ? 0 : attention_workspace_bytes(params_, threads_, isa_); }
  void run(const KernelIo& io) override {
    if (empty_) return;
    const int64_t q_batch = params_.q_tokens * channels_, k_batch = params_.k_tokens * channels_;
    const int64_t k_stride = shared_k_ ? 0 : k_batch;
    attention_forward(io.out, q_batch, channels_, {io.in[0], shared_q_ ? 0 : q_batch, channels_},
                      {io.in[1], k_stride, channels_}, {io.in[2], k_stride, channels_}, params_, io.scratch, threads_,
                      isa_, io.cancel);
  }

 private:
  AttentionParams params_;
  int64_t channels_ = 0;
  int threads_;
  Isa isa_;
  bool empty_ = false, shared_q_ = false, shared_k_ = false;
};

}  // namespace

KernelPtr make_grid_attention(const KernelContext& c) {
  return std::make_unique<GridAttention>(c);
}
KernelPtr make_attention(const KernelContext& c) {
  return std::make_unique<Attention>(c);
}

}  // namespace ba_sam::cpu
