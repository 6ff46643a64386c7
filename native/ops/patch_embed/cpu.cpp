// patchEmbed on the CPU: patches gathered as rows, then one oneDNN product.
#include <algorithm>
#include <cstring>
#include <vector>

#include "../../backends/cpu/backend.h"
#include "../../backends/cpu/product.h"
#include "../../core/bf16.h"

namespace ba_sam::cpu {
namespace {

// pixels → tokens [B, Gh, Gw, C] f32: a P×P convolution with stride P is a product with the patches as rows; positions
// are what it accumulates onto. Pixels are f32 [B, I, H, W], or u8 [B, H, W, 3], which become (x − mean) / std inside the
// content and 0 outside: SAM pads after normalising. Reference: image_encoder() and preprocess() of the PyTorch reference.
class PatchEmbed final : public Kernel {
 public:
  PatchEmbed(const KernelContext& c, const PatchEmbedOp& op)
      : out_(c.out().shape),
        channels_(c.in(1).shape[1]),
        patch_(c.in(1).shape[2]),
        dtype_(c.in(1).dtype),
        threads_(c.threads),
        positions_(c.has(3)),
        rows_bytes_(align_up(static_cast<size_t>(rows_of(out_) * c.in(1).elements() / out_[3]) * dtype_bytes(dtype_))),
        product_(rows_of(out_), dtype_, DType::f32,
                 linear_weights(c, PatchEmbedOp::weight, out_[3], c.in(1).elements() / out_[3]), c.has(2),
                 Activation::none, c.has(3)) {
    if (c.in(0).dtype != DType::u8) return;
    // A byte has 256 values: exact, and no division per pixel.
    normalised_.resize(3 * 256);
    for (int ch = 0; ch < 3; ++ch) {
      const auto mean = static_cast<float>(op.pixel_mean[ch]), std = static_cast<float>(op.pixel_std[ch]);
      for (int v = 0; v < 256; ++v) normalised_[256 * ch + v] = (static_cast<float>(v) - mean) / std;
    }
  }
  bool owns_weight(size_t input) const override { return input == PatchEmbedOp::weight && product_.is_packed(); }
  size_t scratch_bytes() const override { return rows_bytes_ + product_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    if (dtype_ == DType::bf16) {
      gather(reinterpret_cast<uint16_t*>(io.scratch), io, f32_to_bf16);
    } else {
      gather(reinterpret_cast<float*>(io.scratch), io, [](float v) { return v; });
    }
    if (positions_) {
      const size_t image_bytes = static_cast<size_t>(out_[1] * out_[2] * out_[3]) * sizeof(float);
      for (int64_t b = 0; b < out_[0]; ++b) {
        std::memcpy(static_cast<uint8_t*>(io.out[0]) + static_cast<size_t>(b) * image_bytes, io.in[3], image_bytes);
      }
    }
    product_.run(io.out[0], io.scratch, io.in[1], static_cast<const float*>(io.in[2]), io.scratch + rows_bytes_);
  }

 private:
  // → rows [B·Gh·Gw, I·P·P] in the weight's order (channel, row, column).
  template <typename T, typename Convert>
  void gather(T* rows, const KernelIo& io, Convert convert) const {
    const int64_t batch = out_[0], gh = out_[1], band = out_[2] * channels_ * patch_ * patch_;
#pragma omp parallel for num_threads(threads_) collapse(2) schedule(static)
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t y = 0; y < gh; ++y) {
        T* target = rows + (b * gh + y) * band;
        if (normalised_.empty())
          gather_floats(target, static_cast<const float*>(io.in[0]), b, y, convert);
        else
          gather_bytes(target, static_cast<const uint8_t*>(io.in[0]), static_cast<const int32_t*>(io.in[4]), b, y,
                       convert);
      }
    }
  }

  // One row of patches.
  template <typename T, typename Convert>
  void gather_floats(T* rows, const float* pixels, int64_t b, int64_t y, Convert convert) const {
    const int64_t p = patch_, gw = out_[2], height = out_[1] * p, width = gw * p, row_length = channels_ * p * p;
    for (int64_t ch = 0; ch < channels_; ++ch) {
      for (int64_t py = 0; py < p; ++py) {
        const float* source = pixels + ((b * channels_ + ch) * height + y * p + py) * width;
        T* target = rows + (ch * p + py) * p;
        for (int64_t x = 0; x < gw; ++x) {
          for (int64_t px = 0; px < p; ++px) target[x * row_length + px] = convert(source[x * p + px]);
        }
      }
    }
  }

  template <typename T, typename Convert>
  void gather_bytes(T* rows, const uint8_t* pixels, const int32_t* content, int64_t b, int64_t y,
                    Convert convert) const {
    const int64_t p = patch_, gw = out_[2], height = out_[1] * p, width = gw * p, row_length = 3 * p * p;
    for (int64_t py = 0; py < p; ++py) {
      const uint8_t* source = pixels + (b * height + y * p + py) * width * 3;
      // Content is data, not shape: whatever it says, nothing outside of the image is read.
      const int64_t inside = y * p + py < content[2 * b] ? std::clamp<int64_t>(content[2 * b + 1], 0, width) : 0;
      for (int64_t ch = 0; ch < 3; ++ch) {
        const float* table = &normalised_[256 * ch];
        T* target = rows + (ch * p + py) * p;
        for (int64_t x = 0; x < gw; ++x) {
          const int64_t filled = std::clamp<int64_t>(inside - x * p, 0, p);
          for (int64_t px = 0; px < filled; ++px) {
            target[x * row_length + px] = convert(table[source[3 * (x * p + px) + ch]]);
          }
          std::fill(target + x * row_length + filled, target + x * row_length + p, T(0));
        }
      }
    }
  }

  Shape out_;
  int64_t channels_, patch_;
  DType dtype_;
  int threads_;
  bool positions_;
  size_t rows_bytes_;
  Product product_;
  std::vector<float> normalised_;  // [3, 256]; empty for f32 pixels
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const PatchEmbedOp& op) {
  return std::make_unique<PatchEmbed>(c, op);
}

}  // namespace ba_sam::cpu
