// matmul on the CPU, by oneDNN.
#include "../../backends/cpu/backend.h"
#include "../../backends/cpu/product.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

// out [B, M, N] = a [B, M, K] · b [B, N, K]ᵀ. Reference: torch.matmul(a, b.transpose(1, 2)).
class Matmul final : public Kernel {
 public:
  explicit Matmul(const KernelContext& c) {
    const Shape &a = c.in(0).shape, &b = c.in(1).shape;
    const auto type = dnnl_type(c.in(0).dtype);
    const memory::desc src({a[0], a[1], a[2]}, type, memory::format_tag::abc);
    const memory::desc weights({b[0], b[2], b[1]}, type, memory::format_tag::acb);
    const memory::desc dst({a[0], a[1], b[1]}, dnnl_type(c.out().dtype), memory::format_tag::abc);
    const auto desc = matmul_desc(src, weights, {}, dst, make_attr(Activation::none, false));
    primitive_.init(desc);
    primitive_.set_primitive(dnnl::matmul(desc));
    primitive_.bind(DNNL_ARG_SRC, src);
    primitive_.bind(DNNL_ARG_WEIGHTS, weights);
    primitive_.bind(DNNL_ARG_DST, dst);
  }
  size_t scratch_bytes() const override { return primitive_.scratch_bytes(); }
  void run(const KernelIo& io) override {
    primitive_.point(DNNL_ARG_SRC, io.in[0]);
    primitive_.point(DNNL_ARG_WEIGHTS, io.in[1]);
    primitive_.point(DNNL_ARG_DST, io.out[0]);
    primitive_.execute(io.scratch);
  }

 private:
  Primitive primitive_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const MatmulOp&) {
  return std::make_unique<Matmul>(c);
}

}  // namespace ba_sam::cpu
