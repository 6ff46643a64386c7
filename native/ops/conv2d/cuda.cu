// conv2d on CUDA, channels-last: a product with gathered rows, [pixels, taps · channels].
//
// Split: gather takes one thread per pack of up to 8 neighbouring channels; threads stride over what the grid leaves. Gathered
//   rows are made for at most 64 MB at a time, so that scratch stays bounded at any image size.
// Shared memory: none.
// Reference: torch.nn.functional.conv2d.
#include "../../backends/cuda/elements.h"
#include "../../backends/cuda/product_parts.h"

namespace ba_sam::cuda {
namespace {

struct ConvShape {
  int64_t height, width, channels, kernel_h, kernel_w, out_h, out_w, stride, padding;
};

// Rows first … of [B·H'·W', kh·kw·I]: for each output pixel the input under the kernel, zeros beyond the edge.
template <typename T, int kCount, typename Index>
__global__ void __launch_bounds__(kBlockThreads)
    gather_taps_kernel(T* rows, const T* x, ConvShape s, int64_t first, int64_t packs) {
  const auto per_pixel = static_cast<Index>(s.channels / kCount), kernel_w = static_cast<Index>(s.kernel_w);
  const Index per_row = per_pixel * kernel_w * static_cast<Index>(s.kernel_h);
  const auto out_w = static_cast<Index>(s.out_w), out_h = static_cast<Index>(s.out_h);
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    const Index row = static_cast<Index>(i) / per_row, column = static_cast<Index>(i) % per_row;
    const Index pack = column % per_pixel, tap = column / per_pixel;
    const Index pixel = static_cast<Index>(first) + row;
    const Index b = pixel / (out_w * out_h), out_y = pixel / out_w % out_h, out_x = pixel % out_w;
    const int64_t y = static_cast<int64_t>(out_y) * s.stride + tap / kernel_w - s.padding;
    const int64_t xx = static_cast<int64_t>(out_x) * s.stride + tap % kernel_w - s.padding;
    Pack<T, kCount> value = {};
    if (y >= 0 && y < s.height && xx >= 0 && xx < s.width) {
      value = load_pack<kCount>(x + ((static_cast<int64_t>(b) * s.height + y) * s.width + xx) * s.channels +
                                static_cast<int64_t>(pack) * kCount);
    }
    store_pack(rows + i * kCount, value);
  }
}

// x [B, H, W, I] → [B, H', W', O] with zero padding.
class Conv2d final : public Kernel {
 public:
  Conv2d(const KernelContext& c, const Conv2dOp& op)
      : gemm_(c.backend.gemm()),
        stream_(c.backend.stream()),
        weight_(c, Conv2dOp::weight, weight_layout(c.in(Conv2dOp::weight).shape)),
        bias_(c, Conv2dOp::bias, c.out().dtype) {
    const Shape &x = c.in(Conv2dOp::x).shape, &w = c.in(Conv2dOp::weight).shape, &out = c.out().shape;
    shape_ = {x[1], x[2], x[3], w[2], w[3], out[1], out[2], op.stride, op.padding};
    const int64_t taps = w[2] * w[3];
    direct_ = taps == 1 && shape_.stride == 1 && shape_.padding == 0;
    call_.in_dtype = c.in(Conv2dOp::x).dtype;
    call_.out_dtype = c.out().dtype;
    call_.n = w[0];
    call_.k = w[1] * taps;
    call_.activation = op.activation;
    rows_ = rows_of(out);
    row_bytes_ = call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
    part_ = direct_ ? rows_ : rows_per_part(c, rows_, row_bytes_);
  }
  bool owns_weight(size_t input) const override {
    return (input == Conv2dOp::weight && weight_.owned()) || (input == Conv2dOp::bias && bias_.owned());
  }
  size_t scratch_bytes() const override { return gathered_bytes() + bias_.scratch_bytes() + weight_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    uint8_t* const after = io.scratch + gathered_bytes();
    call_.bias = bias_.get(io, after);
    call_.w = weight_.get(io, after + bias_.scratch_bytes());
    for (int64_t row = 0; row < rows_; row += part_) {
      call_.m = std::min(part_, rows_ - row);
      if (!direct_) dispatch(call_.in_dtype, [&](auto type) { gather<decltype(type)>(io, row); });
      call_.x = direct_ ? io.in[Conv2dOp::x] : io.scratch;
      call_.out = at_row(io.out[0], row, call_.n, call_.out_dtype);
      gemm_.run(call_);
    }
  }

 private:
  // [O, I, taps] → [O, taps, I]
  static WeightLayout weight_layout(const Shape& w) {
    const int64_t taps = w[2] * w[3];
    return taps > 1 ? WeightLayout{{w[0], w[1], taps}, {0, 2, 1}} : WeightLayout{};
  }

  size_t gathered_bytes() const { return direct_ ? 0 : align_up(static_cast<size_t>(part_ * row_bytes_)); }

  template <typename T>
  void gather(const KernelIo& io, int64_t first) const {
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of conv2d", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream_,
             reinterpret_cast<T*>(io.scratch), static_cast<const T*>(io.in[Conv2dOp::x]), shape_, first, packs);
    };
    const int64_t elements = call_.m * call_.k;
    const bool small = std::max(elements, rows_) < (int64_t{1} << 31);
    if (shape_.channels % 8 == 0)
      start(small ? gather_taps_kernel<T, 8, uint32_t> : gather_taps_kernel<T, 8, uint64_t>, elements / 8);
    else
      start(small ? gather_taps_kernel<T, 1, uint32_t> : gather_taps_kernel<T, 1, uint64_t>, elements);
  }

  Gemm& gemm_;
  cudaStream_t stream_;
  Weight weight_;
  Bias bias_;
  ConvShape shape_ = {};
  bool direct_ = false;
  int64_t rows_ = 0, row_bytes_ = 0, part_ = 0;
  GemmCall call_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const Conv2dOp& op) {
  return std::make_unique<Conv2d>(c, op);
}

}  // namespace ba_sam::cuda
