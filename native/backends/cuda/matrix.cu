// Matrix products and convolutions: linear, matmul, conv2d, convTranspose2d, patchEmbed, all through Gemm (gemm.h).
//
// Everything is channels-last, so that a convolution is a product with gathered rows: [pixels, taps · channels] for conv2d,
// [patches, channels · P · P] for patchEmbed; for convTranspose2d, whose kernel is as large as its stride, the product comes
// first and its columns are scattered.
// Split: gather and scatter take one thread per pack of up to 8 neighbouring channels; threads stride over what the grid
//   leaves. Gathered rows are made for at most 64 MB at a time, so that scratch stays bounded at any image size.
// Shared memory: none.
// Hazards: bias is f32 in a graph and has the output's dtype for cuBLASLt: converted once where it is a weight.
// Reference: torch.nn.functional.linear, conv2d, conv_transpose2d; image_encoder() of the PyTorch reference.
#include "elements.h"
#include "kernels.h"
#include "ops.h"
#include "product_parts.h"

namespace ba_sam::cuda {
namespace {

// ---- linear ----

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

// ---- conv2d ----

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
  explicit Conv2d(const KernelContext& c)
      : gemm_(c.backend.gemm()), stream_(c.backend.stream()), bias_(c, 2, c.out().dtype) {
    const Shape &x = c.in(0).shape, &w = c.in(1).shape, &out = c.out().shape;
    shape_ = {x[1], x[2], x[3], w[2], w[3], out[1], out[2], c.integer(0), c.integer(1)};
    const int64_t taps = w[2] * w[3];
    direct_ = taps == 1 && shape_.stride == 1 && shape_.padding == 0;
    WeightLayout layout;  // [O, I, taps] → [O, taps, I]
    if (taps > 1) layout = {{w[0], w[1], taps}, {0, 2, 1}};
    weight_ = c.backend.weight(c.weights, c.weight_name(1), layout);
    call_.in_dtype = c.in(0).dtype;
    call_.out_dtype = c.out().dtype;
    call_.n = w[0];
    call_.k = w[1] * taps;
    call_.w = weight_->data();
    call_.activation = static_cast<Activation>(c.integer(2));
    rows_ = rows_of(out);
    row_bytes_ = call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
    part_ = direct_ ? rows_ : rows_per_part(c, rows_, row_bytes_);
  }
  bool owns_weight(size_t input) const override { return input == 1 || (input == 2 && bias_.owned()); }
  size_t scratch_bytes() const override { return gathered_bytes() + bias_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    call_.bias = bias_.get(io, io.scratch + gathered_bytes());
    for (int64_t row = 0; row < rows_; row += part_) {
      call_.m = std::min(part_, rows_ - row);
      if (!direct_) dispatch(call_.in_dtype, [&](auto type) { gather<decltype(type)>(io, row); });
      call_.x = direct_ ? io.in[0] : io.scratch;
      call_.out = at_row(io.out, row, call_.n, call_.out_dtype);
      gemm_.run(call_);
    }
  }

 private:
  size_t gathered_bytes() const { return direct_ ? 0 : align_up(static_cast<size_t>(part_ * row_bytes_)); }

  template <typename T>
  void gather(const KernelIo& io, int64_t first) const {
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of conv2d", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream_,
             reinterpret_cast<T*>(io.scratch), static_cast<const T*>(io.in[0]), shape_, first, packs);
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
  Bias bias_;
  ConvShape shape_ = {};
  bool direct_ = false;
  int64_t rows_ = 0, row_bytes_ = 0, part_ = 0;
  std::shared_ptr<const Memory> weight_;
  GemmCall call_;
};

// ---- convTranspose2d ----

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
  explicit ConvTranspose2d(const KernelContext& c)
      : gemm_(c.backend.gemm()), stream_(c.backend.stream()), out_dtype_(c.out().dtype) {
    const Shape &x = c.in(0).shape, &w = c.in(1).shape;
    const int64_t taps = w[2] * w[3];
    shape_ = {x[1], x[2], w[1], w[2]};
    WeightLayout layout = {{w[0], w[1], taps}, {2, 1, 0}};  // [I, O, taps] → [taps, O, I]
    weight_ = c.backend.weight(c.weights, c.weight_name(1), layout);
    activation_ = static_cast<Activation>(c.integer(0));
    call_.in_dtype = c.in(0).dtype;
    call_.out_dtype = DType::f32;
    call_.n = taps * w[1];
    call_.k = w[0];
    call_.w = weight_->data();
    rows_ = rows_of(x);
    part_ = rows_per_part(c, rows_, call_.n * static_cast<int64_t>(sizeof(float)));
  }
  bool owns_weight(size_t input) const override { return input == 1; }
  size_t scratch_bytes() const override { return static_cast<size_t>(part_ * call_.n) * sizeof(float); }

  void run(const KernelIo& io) override {
    for (int64_t row = 0; row < rows_; row += part_) {
      call_.m = std::min(part_, rows_ - row);
      const auto* x = static_cast<const uint8_t*>(io.in[0]);
      call_.x = x + row * call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
      call_.out = io.scratch;
      gemm_.run(call_);
      dispatch(out_dtype_, [&](auto type) { scatter<decltype(type)>(io, row); });
    }
  }

 private:
  template <typename T>
  void scatter(const KernelIo& io, int64_t first) const {
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of convTranspose2d", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream_,
             static_cast<T*>(io.out), reinterpret_cast<const float*>(io.scratch), static_cast<const float*>(io.in[2]),
             shape_, first, packs, activation_);
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
  DType out_dtype_;
  ScatterShape shape_ = {};
  Activation activation_ = Activation::none;
  int64_t rows_ = 0, part_ = 0;
  std::shared_ptr<const Memory> weight_;
  GemmCall call_;
};

// ---- patchEmbed ----

struct PatchShape {
  int64_t channels, height, width, patch, grid_w;
};
struct Normalisation {
  float mean[3], deviation[3];
};

// Where in the image the element i of the rows that start with patch `first` lies; rows are in the weight's order (channel,
// row, column).
struct PatchElement {
  int64_t channel, y, x;
};
template <typename Index>
__device__ __forceinline__ PatchElement patch_element(const PatchShape& s, int64_t first, int64_t i) {
  const auto patch = static_cast<Index>(s.patch), grid_w = static_cast<Index>(s.grid_w);
  const Index per_row = static_cast<Index>(s.channels) * patch * patch;
  const Index column = static_cast<Index>(i) % per_row,
              token = static_cast<Index>(first) + static_cast<Index>(i) / per_row;
  return {static_cast<int64_t>(column / (patch * patch)),
          static_cast<int64_t>(token / grid_w) * s.patch + static_cast<int64_t>(column / patch % patch),
          static_cast<int64_t>(token % grid_w) * s.patch + static_cast<int64_t>(column % patch)};
}

// One image, [I, H, W] f32.
template <typename T, typename Index>
__global__ void __launch_bounds__(kBlockThreads)
    gather_patches_kernel(T* rows, const float* image, PatchShape s, int64_t first, int64_t elements) {
  for (int64_t i = first_item(); i < elements; i += item_step()) {
    const PatchElement e = patch_element<Index>(s, first, i);
    rows[i] = from_float<T>(image[(e.channel * s.height + e.y) * s.width + e.x]);
  }
}

// One image, [H, W, 3] u8, normalised here; exactly 0 outside its content, whose height and width are data.
template <typename T, typename Index>
__global__ void __launch_bounds__(kBlockThreads)
    gather_bytes_kernel(T* rows, const uint8_t* image, const int32_t* content, Normalisation n, PatchShape s,
                        int64_t first, int64_t elements) {
  const int64_t content_h = content[0], content_w = content[1];
  for (int64_t i = first_item(); i < elements; i += item_step()) {
    const PatchElement e = patch_element<Index>(s, first, i);
    float value = 0;
    if (e.y < content_h && e.x < content_w) {
      const float mean = e.channel == 0 ? n.mean[0] : e.channel == 1 ? n.mean[1] : n.mean[2];
      const float deviation = e.channel == 0 ? n.deviation[0] : e.channel == 1 ? n.deviation[1] : n.deviation[2];
      value = (static_cast<float>(image[(e.y * s.width + e.x) * 3 + e.channel]) - mean) / deviation;
    }
    rows[i] = from_float<T>(value);
  }
}

// pixels → tokens [B, Gh, Gw, C] f32: a P×P convolution with stride P; positions are what it is added to.
class PatchEmbed final : public Kernel {
 public:
  explicit PatchEmbed(const KernelContext& c)
      : gemm_(c.backend.gemm()), stream_(c.backend.stream()), bytes_(c.in(0).dtype == DType::u8) {
    const Shape &x = c.in(0).shape, &w = c.in(1).shape, &out = c.out().shape;
    c.weight_name(1);
    images_ = x[0];
    tokens_ = out[1] * out[2];
    shape_ = {w[1], bytes_ ? x[1] : x[2], bytes_ ? x[2] : x[3], w[2], out[2]};
    for (size_t i = 0; bytes_ && i < 3; ++i) {
      normalisation_.mean[i] = static_cast<float>(c.attribute(i));
      normalisation_.deviation[i] = static_cast<float>(c.attribute(i + 3));
    }
    call_.in_dtype = c.in(1).dtype;
    call_.out_dtype = DType::f32;
    call_.n = w[0];
    call_.k = w[1] * w[2] * w[3];
    row_bytes_ = call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
    part_ = rows_per_part(c, tokens_, row_bytes_);
  }
  size_t scratch_bytes() const override { return static_cast<size_t>(part_ * row_bytes_); }

  void run(const KernelIo& io) override {
    call_.x = io.scratch;
    call_.w = io.in[1];
    call_.bias = io.in[2];
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t token = 0; token < tokens_; token += part_) {
        call_.m = std::min(part_, tokens_ - token);
        dispatch(call_.in_dtype, [&](auto type) { gather<decltype(type)>(io, image, token); });
        call_.residual = io.in[3] ? static_cast<const float*>(io.in[3]) + token * call_.n : nullptr;
        call_.out = at_row(io.out, image * tokens_ + token, call_.n, DType::f32);
        gemm_.run(call_);
      }
    }
  }

 private:
  template <typename T>
  void gather(const KernelIo& io, int64_t image, int64_t first) const {
    const int64_t elements = call_.m * call_.k, pixels = shape_.channels * shape_.height * shape_.width;
    const bool small = std::max(elements, tokens_) < (int64_t{1} << 31);
    auto* rows = reinterpret_cast<T*>(io.scratch);
    const char* name = "a launch of patchEmbed";
    if (bytes_) {
      launch(name, small ? gather_bytes_kernel<T, uint32_t> : gather_bytes_kernel<T, uint64_t>, grid_for(elements),
             dim3(kBlockThreads), 0, stream_, rows, static_cast<const uint8_t*>(io.in[0]) + image * pixels,
             static_cast<const int32_t*>(io.in[4]) + 2 * image, normalisation_, shape_, first, elements);
    } else {
      launch(name, small ? gather_patches_kernel<T, uint32_t> : gather_patches_kernel<T, uint64_t>, grid_for(elements),
             dim3(kBlockThreads), 0, stream_, rows, static_cast<const float*>(io.in[0]) + image * pixels, shape_, first,
             elements);
    }
  }

  Gemm& gemm_;
  cudaStream_t stream_;
  bool bytes_;
  int64_t images_ = 0, tokens_ = 0, row_bytes_ = 0, part_ = 0;
  PatchShape shape_ = {};
  Normalisation normalisation_ = {};
  GemmCall call_;
};

}  // namespace

KernelPtr make_linear(const KernelContext& c) {
  if (linear_is_f8(c.node)) return make_linear_f8(c);
  return std::make_unique<Linear>(c);
}
KernelPtr make_conv2d(const KernelContext& c) {
  return std::make_unique<Conv2d>(c);
}
KernelPtr make_conv_transpose2d(const KernelContext& c) {
  return std::make_unique<ConvTranspose2d>(c);
}
KernelPtr make_patch_embed(const KernelContext& c) {
  return std::make_unique<PatchEmbed>(c);
}

// out [B, M, N] = a [B, M, K] · b [B, N, K]ᵀ. Reference: torch.matmul(a, b.transpose(1, 2)).
KernelPtr make_matmul(const KernelContext& c) {
  const Shape &a = c.in(0).shape, &b = c.in(1).shape;
  GemmCall call;
  call.in_dtype = c.in(0).dtype;
  call.out_dtype = c.out().dtype;
  call.batch = a[0];
  call.m = a[1];
  call.n = b[1];
  call.k = a[2];
  call.x_stride = a[1] * a[2];
  call.w_stride = b[1] * b[2];
  return kernel([=, &gemm = c.backend.gemm()](const KernelIo& io) mutable {
    call.x = io.in[0];
    call.w = io.in[1];
    call.out = io.out;
    gemm.run(call);
  });
}

}  // namespace ba_sam::cuda
