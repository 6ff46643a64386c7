// patchEmbed on CUDA: a product with gathered rows, [patches, channels · P · P].
//
// Split: gather takes one thread per element; threads stride over what the grid leaves. Gathered rows are made for at most
//   64 MB at a time, so that scratch stays bounded at any image size.
// Shared memory: none.
// Reference: image_encoder() and preprocess() of the PyTorch reference.
#include "../../backends/cuda/elements.h"
#include "../../backends/cuda/product_parts.h"

namespace ba_sam::cuda {
namespace {

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
  PatchEmbed(const KernelContext& c, const PatchEmbedOp& op)
      : gemm_(c.backend.gemm()), stream_(c.backend.stream()), bytes_(c.in(PatchEmbedOp::pixels).dtype == DType::u8) {
    const Shape &x = c.in(PatchEmbedOp::pixels).shape, &w = c.in(PatchEmbedOp::weight).shape, &out = c.out().shape;
    images_ = x[0];
    tokens_ = out[1] * out[2];
    shape_ = {w[1], bytes_ ? x[1] : x[2], bytes_ ? x[2] : x[3], w[2], out[2]};
    for (size_t i = 0; bytes_ && i < 3; ++i) {
      normalisation_.mean[i] = static_cast<float>(op.pixel_mean[i]);
      normalisation_.deviation[i] = static_cast<float>(op.pixel_std[i]);
    }
    call_.in_dtype = c.in(PatchEmbedOp::weight).dtype;
    call_.out_dtype = DType::f32;
    call_.n = w[0];
    call_.k = w[1] * w[2] * w[3];
    row_bytes_ = call_.k * static_cast<int64_t>(dtype_bytes(call_.in_dtype));
    part_ = rows_per_part(c, tokens_, row_bytes_);
  }
  size_t scratch_bytes() const override { return static_cast<size_t>(part_ * row_bytes_); }

  void run(const KernelIo& io) override {
    call_.x = io.scratch;
    call_.w = io.in[PatchEmbedOp::weight];
    call_.bias = io.in[PatchEmbedOp::bias];
    const auto* positions = static_cast<const float*>(io.in[PatchEmbedOp::positions]);
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t token = 0; token < tokens_; token += part_) {
        call_.m = std::min(part_, tokens_ - token);
        dispatch(call_.in_dtype, [&](auto type) { gather<decltype(type)>(io, image, token); });
        call_.residual = positions ? positions + token * call_.n : nullptr;
        call_.out = at_row(io.out[0], image * tokens_ + token, call_.n, DType::f32);
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
             dim3(kBlockThreads), 0, stream_, rows,
             static_cast<const uint8_t*>(io.in[PatchEmbedOp::pixels]) + image * pixels,
             static_cast<const int32_t*>(io.in[PatchEmbedOp::content]) + 2 * image, normalisation_, shape_, first,
             elements);
    } else {
      launch(name, small ? gather_patches_kernel<T, uint32_t> : gather_patches_kernel<T, uint64_t>, grid_for(elements),
             dim3(kBlockThreads), 0, stream_, rows,
             static_cast<const float*>(io.in[PatchEmbedOp::pixels]) + image * pixels, shape_, first, elements);
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

KernelPtr make_kernel(const KernelContext& c, const PatchEmbedOp& op) {
  return std::make_unique<PatchEmbed>(c, op);
}

}  // namespace ba_sam::cuda
