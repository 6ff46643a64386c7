// The graph's two attention ops in terms of the fused kernels (attention/attention.h).
#include "../../ops/attention/cuda/attention.h"
#include "kernels.h"
#include "ops.h"

namespace ba_sam::cuda {
namespace {

// Head sizes that the tensor-core kernels know. 16-bit tensors of others are computed in f32, in scratch memory: right, at a
// fraction of the speed. No SAM has such heads.
class Widening {
 public:
  Widening(DType dtype, int64_t d, cudaStream_t stream) : dtype_(dtype), stream_(stream) {
    const bool known = d == 16 || d == 32 || d == 64 || d == 80 || d == 128;
    needed_ = dtype != DType::f32 && !known;
  }

  DType compute_dtype() const { return needed_ ? DType::f32 : dtype_; }

  // Scratch that read() or target() takes for one tensor.
  size_t bytes(int64_t elements) const { return needed_ ? align_up(static_cast<size_t>(elements) * sizeof(float)) : 0; }

  // The tensor in the dtype of the computation. Moves `scratch` on.
  const void* read(const void* tensor, int64_t elements, uint8_t*& scratch) const {
    if (!needed_) return tensor;
    void* wide = scratch;
    convert(wide, DType::f32, tensor, dtype_, elements, stream_);
    scratch += bytes(elements);
    return wide;
  }
  // Where the kernel is to write `tensor`.
  void* target(void* tensor, int64_t elements, uint8_t*& scratch) const {
    if (!needed_) return tensor;
    void* wide = scratch;
    scratch += bytes(elements);
    return wide;
  }
  void store(void* tensor, const void* wide, int64_t elements) const {
    if (needed_) convert(tensor, dtype_, wide, DType::f32, elements, stream_);
  }

 private:
  DType dtype_;
  cudaStream_t stream_;
  bool needed_;
};

// qkv [B, Gh, Gw, 3·H·D] → [B, Gh, Gw, H·D]: SAM's encoder attention, global or windowed, read straight from the fused
// projection. Reference: attention() of the PyTorch reference, without its two projections.
class GridAttention final : public Kernel {
 public:
  explicit GridAttention(const KernelContext& c)
      : stream_(c.backend.stream()),
        channels_(c.in(0).shape[3] / 3),
        in_elements_(c.in(0).elements()),
        out_elements_(c.out().elements()),
        widening_(c.in(0).dtype, channels_ / c.integer(0), stream_) {
    params_ = grid_attention_params(c);
    params_.dtype = widening_.compute_dtype();
    const std::vector<float> slopes = grid_attention_slopes(c);
    if (!slopes.empty()) {
      slopes_ = c.backend.upload(slopes.data(), slopes.size() * sizeof(float), "slopes");
      params_.slopes = reinterpret_cast<const float*>(slopes_->data());
    }
    if (params_.window > 0) set_pad(c);
  }

  bool owns_weight(size_t input) const override { return input == 3; }

  size_t scratch_bytes() const override {
    return widening_.bytes(in_elements_) + widening_.bytes(out_elements_) + attention_workspace_bytes(params_);
  }

  void run(const KernelIo& io) override {
    params_.rel_h = static_cast<const float*>(io.in[1]);
    params_.rel_w = static_cast<const float*>(io.in[2]);
    uint8_t* scratch = io.scratch;
    const auto* qkv = static_cast<const uint8_t*>(widening_.read(io.in[0], in_elements_, scratch));
    void* out = widening_.target(io.out, out_elements_, scratch);
    const size_t third = static_cast<size_t>(channels_) * dtype_bytes(params_.dtype);
    const int64_t token = 3 * channels_, batch = params_.q_tokens * token;
    attention_forward(out, params_.q_tokens * channels_, channels_, {qkv, batch, token}, {qkv + third, batch, token},
                      {qkv + 2 * third, batch, token}, params_, scratch, stream_);
    widening_.store(io.out, out, out_elements_);
  }

 private:
  // Pad tokens are zeros after norm1, so their keys and values are the projection's bias: a SAM trap. Rounded as the
  // projection's output is.
  void set_pad(const KernelContext& c) {
    const DType dtype = c.in(0).dtype;
    const int64_t elements = 2 * channels_;
    const size_t bytes = static_cast<size_t>(elements) * dtype_bytes(dtype);
    const auto rounded = c.backend.allocate(bytes, "keys and values of pad tokens");
    if (c.has(3)) {
      const auto bias = c.backend.weight(c.weights, c.weight_name(3));
      convert(rounded->data(), dtype, reinterpret_cast<const float*>(bias->data()) + channels_, DType::f32, elements,
              stream_);
      c.backend.finish();  // the plain bias may go now
    } else {
      check(cudaMemsetAsync(rounded->data(), 0, bytes, stream_), "pad tokens of zeros");
    }
    pad_ = rounded;
    if (params_.dtype != dtype) {
      pad_ = c.backend.allocate(widening_.bytes(elements), "keys and values of pad tokens");
      convert(pad_->data(), params_.dtype, rounded->data(), dtype, elements, stream_);
      c.backend.finish();
    }
    params_.pad_k = pad_->data();
    params_.pad_v = pad_->data() + static_cast<size_t>(channels_) * dtype_bytes(params_.dtype);
  }

  cudaStream_t stream_;
  AttentionParams params_;
  int64_t channels_, in_elements_, out_elements_;
  Widening widening_;
  std::shared_ptr<Memory> slopes_, pad_;
};

// q [B, …, H·D], k, v [B, …, H·D] → as q: the decoder's self and cross attention, no biases. A batch of 1 on one side
// serves every item of the other: prompts of one image share its keys until their first update.
class Attention final : public Kernel {
 public:
  explicit Attention(const KernelContext& c)
      : stream_(c.backend.stream()),
        channels_(c.in(0).shape.back()),
        q_elements_(c.in(0).elements()),
        k_elements_(c.in(1).elements()),
        out_elements_(c.out().elements()),
        shared_q_(c.in(0).shape[0] == 1),
        shared_k_(c.in(1).shape[0] == 1),
        widening_(c.in(0).dtype, channels_ / c.integer(0), stream_) {
    params_.dtype = widening_.compute_dtype();
    params_.batch = c.out().shape[0];
    params_.heads = c.integer(0);
    params_.head_dim = channels_ / params_.heads;
    params_.scale = static_cast<float>(c.attribute(1));
    params_.q_tokens = q_elements_ / (c.in(0).shape[0] * channels_);
    params_.k_tokens = k_elements_ / (c.in(1).shape[0] * channels_);
  }

  size_t scratch_bytes() const override {
    return widening_.bytes(q_elements_) + 2 * widening_.bytes(k_elements_) + widening_.bytes(out_elements_) +
           attention_workspace_bytes(params_);
  }

  void run(const KernelIo& io) override {
    uint8_t* scratch = io.scratch;
    const void* q = widening_.read(io.in[0], q_elements_, scratch);
    const void* k = widening_.read(io.in[1], k_elements_, scratch);
    const void* v = widening_.read(io.in[2], k_elements_, scratch);
    void* out = widening_.target(io.out, out_elements_, scratch);
    const int64_t q_batch = params_.q_tokens * channels_, k_batch = params_.k_tokens * channels_;
    const int64_t q_stride = shared_q_ ? 0 : q_batch, k_stride = shared_k_ ? 0 : k_batch;
    attention_forward(out, q_batch, channels_, {q, q_stride, channels_}, {k, k_stride, channels_},
                      {v, k_stride, channels_}, params_, scratch, stream_);
    widening_.store(io.out, out, out_elements_);
  }

 private:
  cudaStream_t stream_;
  AttentionParams params_;
  int64_t channels_, q_elements_, k_elements_, out_elements_;
  bool shared_q_, shared_k_;
  Widening widening_;
};

}  // namespace

KernelPtr make_grid_attention(const KernelContext& c) {
  return std::make_unique<GridAttention>(c);
}
KernelPtr make_attention(const KernelContext& c) {
  return std::make_unique<Attention>(c);
}

}  // namespace ba_sam::cuda
