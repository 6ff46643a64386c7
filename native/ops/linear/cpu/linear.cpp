// linear on the CPU: one oneDNN product; bias, activation and residual are its post-ops.
#include "linear.h"

namespace ba_sam::cpu {
namespace {

// out [..., N] = activation(x [..., K] · weightᵀ + bias) + residual. Reference: torch.nn.functional.linear.
class Linear final : public Kernel {
 public:
  Linear(const KernelContext& c, const LinearOp& op)
      : rows_(rows_of(c.in(0).shape)), residual_(c.has(3)), out_bytes_(c.out().bytes()), threads_(c.threads) {
    if (rows_ == 0) return;
    const Shape& w = c.in(1).shape;
    product_ =
        std::make_unique<Product>(rows_, c.in(0).dtype, c.out().dtype, linear_weights(c, LinearOp::weight, w[0], w[1]),
                                  c.has(2), op.activation, residual_);
  }
  bool owns_weight(size_t input) const override {
    return input == LinearOp::weight && product_ && product_->is_packed();
  }
  size_t scratch_bytes() const override { return product_ ? product_->scratch_bytes() : 0; }
  void run(const KernelIo& io) override {
    if (!product_) return;
    if (residual_ && io.in[3] != io.out[0]) copy_parallel(io.out[0], io.in[3], out_bytes_, threads_);
    product_->run(io.out[0], io.in[0], io.in[1], static_cast<const float*>(io.in[2]), io.scratch);
  }

 private:
  int64_t rows_;
  bool residual_;
  size_t out_bytes_;
  int threads_;
  std::unique_ptr<Product> product_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const LinearOp& op) {
  if (op.f8) return make_linear_f8(c, op);
  return std::make_unique<Linear>(c, op);
}

}  // namespace ba_sam::cpu
