// The graph's attention in terms of the fused kernels (cuda/attention.h), which are built without it, too.
#include <algorithm>
#include <array>

#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"
#include "call.h"
#include "cuda/attention.h"

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
    if (!needed_ || tensor == nullptr) return tensor;
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

// Operands in the dtype of the computation; the tables are f32 always.
constexpr AttentionOp::Input kOperands[] = {AttentionOp::q, AttentionOp::k, AttentionOp::v, AttentionOp::pad};

// Reference: attention() and mha() of the PyTorch reference, without their projections.
class Attention final : public Kernel {
 public:
  Attention(const KernelContext& c, const AttentionOp& op)
      : stream_(c.backend.stream()),
        params_(attention_params(c, op)),
        widening_(params_.dtype, params_.head_dim, stream_),
        out_elements_(c.out().elements()) {
    for (const auto i : kOperands) elements_[i] = c.has(i) ? c.in(i).elements() : 0;
    params_.dtype = widening_.compute_dtype();
    const std::vector<float> slopes = attention_slopes(op);
    if (!slopes.empty()) {
      slopes_ = c.backend.upload(slopes.data(), slopes.size() * sizeof(float), "slopes");
      params_.slopes = reinterpret_cast<const float*>(slopes_->data());
    }
    if (params_.window > 0 && !c.has(AttentionOp::pad)) {
      const size_t bytes = static_cast<size_t>(params_.heads * params_.head_dim) * dtype_bytes(params_.dtype);
      pad_ = c.backend.allocate(bytes, "keys and values of pad tokens");
      check(cudaMemsetAsync(pad_->data(), 0, bytes, stream_), "pad tokens of zeros");
      params_.pad_k = params_.pad_v = pad_->data();
    }
  }

  size_t scratch_bytes() const override {
    size_t bytes = widening_.bytes(out_elements_) + attention_workspace_bytes(params_);
    for (const int64_t elements : elements_) bytes += widening_.bytes(elements);
    return bytes;
  }

  void run(const KernelIo& io) override {
    std::array<const void*, kMaxInputs> in;
    std::array<void*, kMaxOutputs> out;
    std::copy_n(io.in, in.size(), in.begin());
    std::copy_n(io.out, out.size(), out.begin());
    uint8_t* scratch = io.scratch;
    for (const auto i : kOperands) in[i] = widening_.read(in[i], elements_[i], scratch);
    out[AttentionOp::y] = widening_.target(out[AttentionOp::y], out_elements_, scratch);
    point_operands(params_, in.data(), out.data());
    params_.workspace = scratch;
    attention_forward(params_, stream_);
    widening_.store(io.out[AttentionOp::y], out[AttentionOp::y], out_elements_);
  }

 private:
  cudaStream_t stream_;
  AttentionParams params_;
  Widening widening_;
  std::array<int64_t, kMaxInputs> elements_{};
  int64_t out_elements_;
  std::shared_ptr<Memory> slopes_, pad_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const AttentionOp& op) {
  return std::make_unique<Attention>(c, op);
}

}  // namespace ba_sam::cuda
