// The graph's attention in terms of the fused kernel (cpu/attention.h).
#include "../../backends/cpu/backend.h"
#include "call.h"

namespace ba_sam::cpu {
namespace {

// Reference: attention() and mha() of the PyTorch reference, without their projections.
class Attention final : public Kernel {
 public:
  Attention(const KernelContext& c, const AttentionOp& op)
      : params_(attention_params(c, op)), threads_(c.threads), isa_(c.isa), slopes_(attention_slopes(op)) {
    params_.slopes = slopes_.data();
    if (params_.window == 0) return;
    // Without a pad row the tokens outside are zeros.
    pad_.assign(static_cast<size_t>(params_.heads * params_.head_dim) * dtype_bytes(params_.dtype), 0);
    params_.pad_k = params_.pad_v = pad_.data();
  }

  size_t scratch_bytes() const override { return attention_workspace_bytes(params_, threads_, isa_); }

  void run(const KernelIo& io) override {
    point_operands(params_, io.in, io.out);
    params_.workspace = io.scratch;
    attention_forward(params_, threads_, isa_, io.cancel);
  }

 private:
  AttentionParams params_;
  int threads_;
  Isa isa_;
  std::vector<float> slopes_;
  std::vector<uint8_t> pad_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const AttentionOp& op) {
  return std::make_unique<Attention>(c, op);
}

}  // namespace ba_sam::cpu
