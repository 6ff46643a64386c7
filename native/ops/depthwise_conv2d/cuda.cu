// depthwiseConv2d on CUDA, channels-last.
//
// Split: one thread per pack of up to 8 neighbouring channels of one output pixel; threads stride over what the grid leaves.
//   The weight lies as [taps, C], so that neighbours read neighbours; a pixel's taps are read by its neighbours, too, and come
//   from the caches.
// Shared memory: none.
// Hazards: sums are f32, in the order of the taps. Packs need channels that are a multiple of 8.
// Reference: torch.nn.functional.conv2d(groups=C).
#include "../../backends/cuda/elements.h"
#include "../../backends/cuda/product_parts.h"

namespace ba_sam::cuda {
namespace {

struct DepthwiseShape {
  int64_t height, width, channels, kernel_h, kernel_w, out_h, out_w, stride, padding;
};

template <typename In, typename Out, int kCount>
__global__ void __launch_bounds__(kBlockThreads)
    depthwise_kernel(Out* out, const In* x, const In* weight, const float* bias, DepthwiseShape s, int64_t packs,
                     Activation activation) {
  const int64_t per_pixel = s.channels / kCount;
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    const int64_t c = i % per_pixel * kCount, pixel = i / per_pixel;
    const int64_t out_x = pixel % s.out_w, row = pixel / s.out_w;  // row: of the whole batch
    const int64_t b = row / s.out_h, y0 = row % s.out_h * s.stride - s.padding, x0 = out_x * s.stride - s.padding;
    float sum[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) sum[j] = bias ? bias[c + j] : 0.0f;
    for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const int64_t y = y0 + ky;
      if (y < 0 || y >= s.height) continue;
      for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const int64_t column = x0 + kx;
        if (column < 0 || column >= s.width) continue;
        const auto value = load_pack<kCount>(x + ((b * s.height + y) * s.width + column) * s.channels + c);
        const auto tap = load_pack<kCount>(weight + (ky * s.kernel_w + kx) * s.channels + c);
#pragma unroll
        for (int j = 0; j < kCount; ++j) sum[j] = fmaf(to_float(value.v[j]), to_float(tap.v[j]), sum[j]);
      }
    }
    Pack<Out, kCount> result;
#pragma unroll
    for (int j = 0; j < kCount; ++j) result.v[j] = from_float<Out>(activate(sum[j], activation));
    store_pack(out + pixel * s.channels + c, result);
  }
}

class DepthwiseConv2d final : public Kernel {
 public:
  DepthwiseConv2d(const KernelContext& c, const DepthwiseConv2dOp& op)
      : stream_(c.backend.stream()),
        in_(c.in(DepthwiseConv2dOp::x).dtype),
        out_(c.out().dtype),
        activation_(op.activation),
        elements_(c.out().elements()),
        weight_(c, DepthwiseConv2dOp::weight, layout_of(c.in(DepthwiseConv2dOp::weight).shape)) {
    const Shape &x = c.in(DepthwiseConv2dOp::x).shape, &w = c.in(DepthwiseConv2dOp::weight).shape;
    shape_ = {x[1], x[2], x[3], w[2], w[3], c.out().shape[1], c.out().shape[2], op.stride, op.padding};
  }
  bool owns_weight(size_t input) const override { return input == DepthwiseConv2dOp::weight && weight_.owned(); }
  size_t scratch_bytes() const override { return weight_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    const void* weight = weight_.get(io, io.scratch);
    dispatch(in_, [&](auto in) {
      using In = decltype(in);
      if (out_ == DType::f32) return start<In, float>(io, weight);
      start<In, In>(io, weight);
    });
  }

 private:
  // [C, 1, taps] → [taps, 1, C]
  static WeightLayout layout_of(const Shape& w) {
    const int64_t taps = w[2] * w[3];
    return taps > 1 ? WeightLayout{{w[0], 1, taps}, {2, 1, 0}} : WeightLayout{};
  }

  template <typename In, typename Out>
  void start(const KernelIo& io, const void* weight) const {
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of depthwiseConv2d", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream_,
             static_cast<Out*>(io.out[DepthwiseConv2dOp::y]), static_cast<const In*>(io.in[DepthwiseConv2dOp::x]),
             static_cast<const In*>(weight), static_cast<const float*>(io.in[DepthwiseConv2dOp::bias]), shape_, packs,
             activation_);
    };
    if (shape_.channels % 8 == 0)
      start(depthwise_kernel<In, Out, 8>, elements_ / 8);
    else
      start(depthwise_kernel<In, Out, 1>, elements_);
  }

  cudaStream_t stream_;
  DType in_, out_;
  Activation activation_;
  int64_t elements_;
  Weight weight_;
  DepthwiseShape shape_ = {};
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const DepthwiseConv2dOp& op) {
  return std::make_unique<DepthwiseConv2d>(c, op);
}

}  // namespace ba_sam::cuda
