// conv2d on the CPU, by oneDNN, channels-last.
#include "../../backends/cpu/backend.h"
#include "../../backends/cpu/product.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

// x [B, H, W, I] → [B, H', W', O] with zero padding. Reference: torch.nn.functional.conv2d.
class Conv2d final : public Kernel {
 public:
  Conv2d(const KernelContext& c, const Conv2dOp& op) : bias_(c.has(2)) {
    const Shape &x = c.in(0).shape, &w = c.in(1).shape, &out = c.out().shape;
    const auto type = dnnl_type(c.in(0).dtype);
    const memory::desc src({x[0], x[3], x[1], x[2]}, type, memory::format_tag::nhwc);
    const memory::desc any({w[0], w[1], w[2], w[3]}, type, memory::format_tag::any);
    const memory::desc dst({out[0], out[3], out[1], out[2]}, dnnl_type(c.out().dtype), memory::format_tag::nhwc);
    const memory::desc bias =
        bias_ ? memory::desc({w[0]}, memory::data_type::f32, memory::format_tag::a) : memory::desc();
    const auto desc = convolution_desc(src, any, bias, dst, op.stride, op.padding, make_attr(op.activation, false));
    const memory::desc plain({w[0], w[1], w[2], w[3]}, type, memory::format_tag::oihw);
    auto accepts = [&](const PackedTensor& p) {
      const auto* weights = dynamic_cast<const PackedWeights*>(&p);
      return weights && weights->plain_desc == plain && weights->memory.get_desc() == desc.weights_desc();
    };
    auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
      auto packed = pack_weights(tensor->data.data(), plain, desc.weights_desc());
      packed->dtype = tensor->dtype;
      packed->shape = tensor->shape;
      return packed;
    };
    weights_ = std::dynamic_pointer_cast<const PackedWeights>(c.weights.packed(c.weight_name(1), accepts, pack));
    primitive_.init(desc);
    primitive_.set_primitive(dnnl::convolution_forward(desc));
    primitive_.bind(DNNL_ARG_SRC, src);
    primitive_.bind(DNNL_ARG_DST, dst);
    primitive_.bind(DNNL_ARG_WEIGHTS, weights_->memory);
    if (bias_) primitive_.bind(DNNL_ARG_BIAS, bias);
  }
  bool owns_weight(size_t input) const override { return input == 1; }
  size_t scratch_bytes() const override { return primitive_.scratch_bytes(); }
  void run(const KernelIo& io) override {
    primitive_.point(DNNL_ARG_SRC, io.in[0]);
    primitive_.point(DNNL_ARG_DST, io.out[0]);
    if (bias_) primitive_.point(DNNL_ARG_BIAS, io.in[2]);
    primitive_.execute(io.scratch);
  }

 private:
  bool bias_;
  std::shared_ptr<const PackedWeights> weights_;
  Primitive primitive_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const Conv2dOp& op) {
  return std::make_unique<Conv2d>(c, op);
}

}  // namespace ba_sam::cpu
