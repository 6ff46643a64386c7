// See convolution.h.
#include "convolution.h"

#include "product.h"
#include "relu.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

constexpr size_t kX = 0, kWeight = 1, kBias = 2;

class Convolution final : public Kernel {
 public:
  Convolution(const KernelContext& c, const ConvolutionSettings& s)
      : bias_(c.has(kBias)),
        relu_(s.activation == Activation::relu),
        out_dtype_(c.out().dtype),
        out_elements_(c.out().elements()) {
    const Shape &x = c.in(kX).shape, &w = c.in(kWeight).shape, &out = c.out().shape;
    const auto type = dnnl_type(c.in(kX).dtype);
    // oneDNN keeps the groups on an axis of their own.
    const memory::dims one = {w[0], w[1], w[2], w[3]}, many = {s.groups, w[0] / s.groups, w[1], w[2], w[3]};
    const memory::dims& taps = s.groups == 1 ? one : many;
    const memory::desc src({x[0], x[3], x[1], x[2]}, type, memory::format_tag::nhwc);
    const memory::desc any(taps, type, memory::format_tag::any);
    const memory::desc dst({out[0], out[3], out[1], out[2]}, dnnl_type(c.out().dtype), memory::format_tag::nhwc);
    const memory::desc bias =
        bias_ ? memory::desc({w[0]}, memory::data_type::f32, memory::format_tag::a) : memory::desc();
    const auto desc = convolution_desc(src, any, bias, dst, s.stride, s.padding, make_attr(s.activation, false));
    const memory::desc plain(taps, type, s.groups == 1 ? memory::format_tag::oihw : memory::format_tag::goihw);
    const memory::desc chosen = desc.weights_desc();
    primitive_.init(desc);
    primitive_.set_primitive(dnnl::convolution_forward(desc));
    primitive_.bind(DNNL_ARG_SRC, src);
    primitive_.bind(DNNL_ARG_DST, dst);
    if (bias_) primitive_.bind(DNNL_ARG_BIAS, bias);
    if (c.is_weight(kWeight)) {
      weights_ = packed(c, plain, chosen);
      primitive_.bind(DNNL_ARG_WEIGHTS, weights_->memory);
    } else {
      // A weight that changes is brought into the convolution's own order in every run.
      primitive_.bind(DNNL_ARG_WEIGHTS, chosen);
      plain_ = memory(plain, dnnl_engine(), nullptr);
      reordered_ = memory(chosen, dnnl_engine(), nullptr);
      reorder_ = dnnl::reorder(plain_, reordered_);
    }
  }
  bool owns_weight(size_t input) const override { return input == kWeight && weights_; }
  size_t scratch_bytes() const override { return reordered_bytes() + primitive_.scratch_bytes(); }
  void run(const KernelIo& io) override {
    if (!weights_) {
      plain_.set_data_handle(const_cast<void*>(io.in[kWeight]));
      reordered_.set_data_handle(io.scratch);
      reorder_.execute(dnnl_stream(), plain_, reordered_);
      primitive_.point(DNNL_ARG_WEIGHTS, io.scratch);
    }
    primitive_.point(DNNL_ARG_SRC, io.in[kX]);
    primitive_.point(DNNL_ARG_DST, io.out[0]);
    if (bias_) primitive_.point(DNNL_ARG_BIAS, io.in[kBias]);
    primitive_.execute(io.scratch + reordered_bytes());
    if (relu_) relu(io.out[0], out_dtype_, out_elements_);
  }

 private:
  size_t reordered_bytes() const { return weights_ ? 0 : align_up(reordered_.get_desc().get_size()); }

  static std::shared_ptr<const PackedWeights> packed(const KernelContext& c, const memory::desc& plain,
                                                     const memory::desc& chosen) {
    auto accepts = [&](const PackedTensor& p) {
      const auto* weights = dynamic_cast<const PackedWeights*>(&p);
      return weights && weights->plain_desc == plain && weights->memory.get_desc() == chosen;
    };
    auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
      auto packed = pack_weights(tensor->data.data(), plain, chosen);
      packed->dtype = tensor->dtype;
      packed->shape = tensor->shape;
      return packed;
    };
    const std::string& name = c.weight_name(kWeight);
    return std::dynamic_pointer_cast<const PackedWeights>(c.weights.packed(name, accepts, pack));
  }

  bool bias_;
  bool relu_;
  DType out_dtype_;
  int64_t out_elements_;
  std::shared_ptr<const PackedWeights> weights_;  // null when the weight is not frozen
  memory plain_, reordered_;
  dnnl::reorder reorder_;
  Primitive primitive_;
};

}  // namespace

KernelPtr make_convolution(const KernelContext& c, const ConvolutionSettings& settings) {
  return std::make_unique<Convolution>(c, settings);
}

}  // namespace ba_sam::cpu
