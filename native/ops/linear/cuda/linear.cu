// linear on CUDA: one product; bias, activation and residual are its epilogue (../../../backends/cuda/gemm.h).
// Reference: torch.nn.functional.linear.
#include "linear.h"

namespace ba_sam::cuda {
namespace {

// out [..., N] = activation(x [..., K] · weightᵀ + bias) + residual.
class Linear final : public Kernel {
 public:
  Linear(const KernelContext& c, const LinearOp& op)
      : gemm_(c.backend.gemm()), bias_(c, LinearOp::bias, c.out().dtype) {
    call_.in_dtype = c.in(LinearOp::x).dtype;
    call_.out_dtype = c.out().dtype;
    call_.m = rows_of(c.in(LinearOp::x).shape);
    call_.n = c.in(LinearOp::weight).shape[0];
    call_.k = c.in(LinearOp::weight).shape[1];
    call_.activation = op.activation;
  }
  bool owns_weight(size_t input) const override { return input == LinearOp::bias && bias_.owned(); }
  size_t scratch_bytes() const override { return bias_.scratch_bytes(); }
  void run(const KernelIo& io) override {
    call_.x = io.in[LinearOp::x];
    call_.w = io.in[LinearOp::weight];
    call_.bias = bias_.get(io, io.scratch);
    call_.residual = io.in[LinearOp::residual];
    call_.out = io.out[0];
    gemm_.run(call_);
  }

 private:
  Gemm& gemm_;
  Bias bias_;
  GemmCall call_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const LinearOp& op) {
  if (op.f8) return make_linear_f8(c, op);
  return std::make_unique<Linear>(c, op);
}

}  // namespace ba_sam::cuda
