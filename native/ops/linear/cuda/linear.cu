// linear on CUDA: one product; bias, activation and residual are its epilogue (../../../backends/cuda/gemm.h).
// Reference: torch.nn.functional.linear.
#include "linear.h"

namespace ba_sam::cuda {
namespace {

// out [..., N] = activation(x [..., K] · weightᵀ + bias) + residual.
class Linear final : public Kernel {
 public:
  explicit Linear(const KernelContext& c) : gemm_(c.backend.gemm()), bias_(c, 2, c.out().dtype) {
    c.weight_name(1);  // a matrix that is no weight is refused, as on every backend
    call_.in_dtype = c.in(0).dtype;
    call_.out_dtype = c.out().dtype;
    call_.m = rows_of(c.in(0).shape);
    call_.n = c.in(1).shape[0];
    call_.k = c.in(1).shape[1];
    call_.activation = static_cast<Activation>(c.integer(0));
  }
  bool owns_weight(size_t input) const override { return input == 2 && bias_.owned(); }
  size_t scratch_bytes() const override { return bias_.scratch_bytes(); }
  void run(const KernelIo& io) override {
    call_.x = io.in[0];
    call_.w = io.in[1];
    call_.bias = bias_.get(io, io.scratch);
    call_.residual = io.in[3];
    call_.out = io.out;
    gemm_.run(call_);
  }

 private:
  Gemm& gemm_;
  Bias bias_;
  GemmCall call_;
};

}  // namespace

KernelPtr make_linear(const KernelContext& c) {
  if (linear_is_f8(c.node)) return make_linear_f8(c);
  return std::make_unique<Linear>(c);
}

}  // namespace ba_sam::cuda
