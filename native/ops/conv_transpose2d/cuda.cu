// convTranspose2d on CUDA, channels-last: its kernel is as large as its stride, so the product comes first and its columns
// are scattered.
//
// Split: scatter takes one thread per pack of up to 8 neighbouring channels; threads stride over what the grid leaves.
//   Products are made for at most 64 MB at a time, so that scratch stays bounded at any image size.
// Shared memory: none.
// Reference: torch.nn.functional.conv_transpose2d.
#include "../../backends/cuda/elements.h"
#include "../../backends/cuda/product_parts.h"

namespace ba_sam::cuda {
namespace {

struct ScatterShape {
  int64_t height, width, channels, kernel;
};

// products [pixels, k·k·O] f32, those of pixel `first` on → out [B, k·H, k·W, O], with bias and activation.
template <typename T, int kCount, typename Index>
__global__ void __launch_bounds__(kBlockThreads)
    scatter_taps_kernel(T* out, const float* products, const float* bias, ScatterShape s, int64_t first, int64_t packs,
                        Activation activation) {
  const auto per_tap = static_cast<Index>(s.channels / kCount), kernel = static_cast<Index>(s.kernel);
  const auto width = static_cast<Index>(s.width);
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    const Index pack = static_cast<Index>(i) % per_tap, rest = static_cast<Index>(i) / per_tap;
    const Index tap = rest % (kernel * kernel), pixel = static_cast<Index>(first) + rest / (kernel * kernel);
    const Index x = pixel % width, row = pixel / width;  // row: of the whole batch
    const int64_t out_y = static_cast<int64_t>(row) * s.kernel + tap / kernel;
    const int64_t out_x = static_cast<int64_t>(x) * s.kernel + tap % kernel;
    const int64_t channel = static_cast<int64_t>(pack) * kCount;
    const auto product = load_pack<kCount>(products + i * kCount);
    Pack<float, kCount> b = {};
    if (bias) b = load_pack<kCount>(bias + channel);
    Pack<T, kCount> y;
#pragma unroll
    for (int j = 0; j < kCount; ++j) y.v[j] = from_float<T>(activate(product.v[j] + b.v[j], activation));
    store_pack(out + (out_y * s.width * s.kernel + out_x) * s.channels + channel, y);
  }
}

// x [B, H, W, I] → [B, k·H, k·W, O], kernel = stride = k: no output pixel is written twice. The product stays in f32 until
// bias and activation are in: one rounding.
class ConvTranspose2d final : public Kernel {
 public:
  ConvTranspose2d(const KernelContext& c, const ConvTranspose2dOp& op)
      : gemm_(c.backend.gemm()),
        stream_(c.backend.stream()),
        weight_(c, ConvTranspose2dOp::weight, weight_layout(c.in(ConvTranspose2dOp::weight).shape)),
        out_dtype_(c.out().dtype),
        activation_(op.activation) {
    const Shape &x = c.in(ConvTranspose2dOp::x).shape, &w = c.in(ConvTranspose2dOp::weight).shape;
    const int64_t taps = w[2] * w[3];
    shape_ = {x[1], x[2], w[1], w[2]};
    call_.in_dtype = c.in(ConvTranspose2dOp::x).dtype;
    call_.out_dtype = DType::f32;
    call_.n = taps * w[1];
    call_.k = w[0];
    rows_ = rows_of(x);
    part_ = rows_per_part(c, rows_, call_.n * static_cast<int64_t>(sizeof(float)));
  }
  bool owns_weight(size_t input) const override { return input == ConvTranspose2dOp::weight && weight_.owned(); }
  size_t scratch_bytes() const override { return product_bytes() + weight_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    call_.w = weight_.get(io, io.scratch + product_bytes());
    for (int64_t row = 0; row < rows_; row += part_) {
      call_.m = std::min(part_, rows_ - row);
      const auto* x = static_cast<const uint8_t*>(io.in[ConvTranspose2dOp::x]);
      call_.x = x + row * call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
      call_.out = io.scratch;
      gemm_.run(call_);
      dispatch(out_dtype_, [&](auto type) { scatter<decltype(type)>(io, row); });
    }
  }

 private:
  // [I, O, taps] → [taps, O, I]
  static WeightLayout weight_layout(const Shape& w) { return {{w[0], w[1], w[2] * w[3]}, {2, 1, 0}}; }

  size_t product_bytes() const { return align_up(static_cast<size_t>(part_ * call_.n) * sizeof(float)); }

  template <typename T>
  void scatter(const KernelIo& io, int64_t first) const {
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of convTranspose2d", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream_,
             static_cast<T*>(io.out[0]), reinterpret_cast<const float*>(io.scratch),
             static_cast<const float*>(io.in[ConvTranspose2dOp::bias]), shape_, first, packs, activation_);
    };
    const int64_t elements = call_.m * call_.n;
    const bool small = std::max(elements, rows_) < (int64_t{1} << 31);
    if (shape_.channels % 8 == 0)
      start(small ? scatter_taps_kernel<T, 8, uint32_t> : scatter_taps_kernel<T, 8, uint64_t>, elements / 8);
    else
      start(small ? scatter_taps_kernel<T, 1, uint32_t> : scatter_taps_kernel<T, 1, uint64_t>, elements);
  }

  Gemm& gemm_;
  cudaStream_t stream_;
  Weight weight_;
  DType out_dtype_;
  Activation activation_;
  ScatterShape shape_ = {};
  int64_t rows_ = 0, part_ = 0;
  GemmCall call_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const ConvTranspose2dOp& op) {
  return std::make_unique<ConvTranspose2d>(c, op);
}

}  // namespace ba_sam::cuda
