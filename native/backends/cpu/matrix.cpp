// Matrix products and convolutions on oneDNN: linear, matmul, patchEmbed, convTranspose2d, conv2d.
//
// All are channels-last, so that a convolution's output is the next layer's [tokens, C] matrix. Bias, activation
// and residual are post-ops of the product; scratchpads come from the arena (no allocation during a run).
#include <algorithm>
#include <cstring>
#include <vector>

#include "../../core/bf16.h"
#include "backend.h"
#include "product.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

// out [..., N] = activation(x [..., K] · weightᵀ + bias) + residual. Reference: torch.nn.functional.linear.
class Linear final : public Kernel {
 public:
  explicit Linear(const KernelContext& c)
      : rows_(rows_of(c.in(0).shape)), residual_(c.has(3)), out_bytes_(c.out().bytes()), threads_(c.threads) {
    if (rows_ == 0) return;
    const Shape& w = c.in(1).shape;
    product_ = std::make_unique<Product>(rows_, c.in(0).dtype, c.out().dtype,
                                         packed_linear(c.weights, c.weight_name(1), c.in(1).dtype, w[0], w[1]),
                                         c.has(2), static_cast<Activation>(c.integer(0)), residual_);
  }
  bool owns_weight(size_t input) const override { return input == 1; }
  size_t scratch_bytes() const override { return product_ ? product_->scratch_bytes() : 0; }
  void run(const KernelIo& io) override {
    if (!product_) return;
    if (residual_ && io.in[3] != io.out) copy_parallel(io.out, io.in[3], out_bytes_, threads_);
    product_->run(io.out, io.in[0], static_cast<const float*>(io.in[2]), io.scratch);
  }

 private:
  int64_t rows_;
  bool residual_;
  size_t out_bytes_;
  int threads_;
  std::unique_ptr<Product> product_;
};

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
    primitive_.point(DNNL_ARG_DST, io.out);
    primitive_.execute(io.scratch);
  }

 private:
  Primitive primitive_;
};

// pixels → tokens [B, Gh, Gw, C] f32: a P×P convolution with stride P is a product with the patches as rows; positions
// are what it accumulates onto. Pixels are f32 [B, I, H, W], or u8 [B, H, W, 3], which become (x − mean) / std inside the
// content and 0 outside: SAM pads after normalising. Reference: image_encoder() and preprocess() of the PyTorch reference.
class PatchEmbed final : public Kernel {
 public:
  explicit PatchEmbed(const KernelContext& c)
      : out_(c.out().shape),
        channels_(c.in(1).shape[1]),
        patch_(c.in(1).shape[2]),
        dtype_(c.in(1).dtype),
        threads_(c.threads),
        positions_(c.has(3)),
        rows_bytes_(align_up(static_cast<size_t>(rows_of(out_) * c.in(1).elements() / out_[3]) * dtype_bytes(dtype_))),
        product_(rows_of(out_), dtype_, DType::f32,
                 packed_linear(c.weights, c.weight_name(1), dtype_, out_[3], c.in(1).elements() / out_[3]), c.has(2),
                 Activation::none, c.has(3)) {
    if (c.in(0).dtype != DType::u8) return;
    // A byte has 256 values: exact, and no division per pixel.
    normalised_.resize(3 * 256);
    for (int ch = 0; ch < 3; ++ch) {
      const auto mean = static_cast<float>(c.attribute(ch)), std = static_cast<float>(c.attribute(3 + ch));
      for (int v = 0; v < 256; ++v) normalised_[256 * ch + v] = (static_cast<float>(v) - mean) / std;
    }
  }
  bool owns_weight(size_t input) const override { return input == 1; }
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
        std::memcpy(static_cast<uint8_t*>(io.out) + static_cast<size_t>(b) * image_bytes, io.in[3], image_bytes);
      }
    }
    product_.run(io.out, io.scratch, static_cast<const float*>(io.in[2]), io.scratch + rows_bytes_);
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

// x [B, H, W, I] → [B, k·H, k·W, O], kernel = stride = k: no output pixel is written twice, so it is one product
// with [I, k·k·O] and a scatter. Reference: torch.nn.functional.conv_transpose2d(stride=k).
class ConvTranspose2d final : public Kernel {
 public:
  explicit ConvTranspose2d(const KernelContext& c)
      : in_(c.in(0).shape),
        out_(c.out().shape),
        k_(c.in(1).shape[2]),
        in_bytes_(dtype_bytes(c.in(0).dtype)),
        element_bytes_(dtype_bytes(c.out().dtype)),
        threads_(c.threads),
        chunk_rows_(rows_in_chunk(in_)),
        product_bytes_(align_up(c.out().bytes() / static_cast<size_t>(in_[0] * in_[1]) * chunk_rows_)),
        bias_(replicated_bias(c)),
        product_(chunk_rows_ * in_[2], c.in(0).dtype, c.out().dtype, packed(c), c.has(2),
                 static_cast<Activation>(c.integer(0)), false) {}
  bool owns_weight(size_t input) const override { return input >= 1; }
  size_t scratch_bytes() const override { return product_bytes_ + product_.scratch_bytes(); }

  void run(const KernelIo& io) override {
    const int64_t width = in_[2];
    const size_t pixel_bytes = static_cast<size_t>(out_[3]) * element_bytes_, run_bytes = pixel_bytes * k_;
    const size_t in_row_bytes = static_cast<size_t>(width * in_[3]) * in_bytes_;
    // Batch and height are one axis: out row k·y + ky belongs to in row y.
    for (int64_t y0 = 0; y0 < in_[0] * in_[1]; y0 += chunk_rows_) {
      product_.run(io.scratch, static_cast<const uint8_t*>(io.in[0]) + static_cast<size_t>(y0) * in_row_bytes,
                   bias_.data(), io.scratch + product_bytes_);
      auto* out = static_cast<uint8_t*>(io.out) + static_cast<size_t>(y0 * k_ * width) * run_bytes;
#pragma omp parallel for num_threads(threads_) schedule(static)
      for (int64_t y = 0; y < chunk_rows_; ++y) {
        for (int64_t x = 0; x < width; ++x) {
          const uint8_t* source = io.scratch + static_cast<size_t>((y * width + x) * k_) * run_bytes;
          for (int64_t ky = 0; ky < k_; ++ky) {
            std::memcpy(out + static_cast<size_t>((y * k_ + ky) * width + x) * run_bytes, source + ky * run_bytes,
                        run_bytes);
          }
        }
      }
    }
  }

 private:
  // Grid rows per product: about 1024 tokens, whose output is still in the L2 when it is scattered. A divisor of all rows,
  // so that one product serves every chunk.
  static int64_t rows_in_chunk(const Shape& in) {
    const int64_t rows = in[0] * in[1];
    int64_t chunk = std::clamp<int64_t>(1024 / std::max<int64_t>(in[2], 1), 1, rows);
    while (rows % chunk != 0) --chunk;
    return chunk;
  }

  static std::vector<float> replicated_bias(const KernelContext& c) {
    std::vector<float> bias;
    if (!c.has(2)) return bias;
    const auto tensor = c.weights.plain(c.weight_name(2));
    const auto* data = reinterpret_cast<const float*>(tensor->data.data());
    for (int64_t i = 0; i < c.in(1).shape[2] * c.in(1).shape[3]; ++i)
      bias.insert(bias.end(), data, data + c.out().shape[3]);
    return bias;
  }

  // [I, O, k, k] → matrix [I, k·k·O]
  static std::shared_ptr<const PackedWeights> packed(const KernelContext& c) {
    const Shape w = c.in(1).shape;
    const int64_t taps = w[2] * w[3], columns = taps * w[1];
    const auto type = dnnl_type(c.in(1).dtype);
    const memory::desc matrix({w[0], columns}, type, memory::format_tag::ab);
    auto accepts = [&](const PackedTensor& p) {
      const auto* weights = dynamic_cast<const PackedWeights*>(&p);
      return weights && weights->plain_desc == matrix;
    };
    auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
      const size_t bytes = dtype_bytes(tensor->dtype);
      Buffer permuted(tensor->data.size());
      for (int64_t i = 0; i < w[0]; ++i) {
        for (int64_t o = 0; o < w[1]; ++o) {
          for (int64_t t = 0; t < taps; ++t) {
            std::memcpy(permuted.data() + static_cast<size_t>(i * columns + t * w[1] + o) * bytes,
                        tensor->data.data() + static_cast<size_t>((i * w[1] + o) * taps + t) * bytes, bytes);
          }
        }
      }
      const auto target = matmul_desc(memory::desc({4096, w[0]}, type, memory::format_tag::ab),
                                      memory::desc({w[0], columns}, type, memory::format_tag::any), {},
                                      memory::desc({4096, columns}, type, memory::format_tag::ab), {})
                              .weights_desc();
      auto result = pack_weights(permuted.data(), matrix, target);
      result->dtype = tensor->dtype;
      result->shape = tensor->shape;
      result->kept = std::move(tensor);
      return result;
    };
    return std::dynamic_pointer_cast<const PackedWeights>(c.weights.packed(c.weight_name(1), accepts, pack));
  }

  Shape in_, out_;
  int64_t k_;
  size_t in_bytes_, element_bytes_;
  int threads_;
  int64_t chunk_rows_;
  size_t product_bytes_;
  std::vector<float> bias_;
  Product product_;
};

// x [B, H, W, I] → [B, H', W', O] with zero padding. Reference: torch.nn.functional.conv2d.
class Conv2d final : public Kernel {
 public:
  explicit Conv2d(const KernelContext& c) : bias_(c.has(2)) {
    const Shape &x = c.in(0).shape, &w = c.in(1).shape, &out = c.out().shape;
    const auto type = dnnl_type(c.in(0).dtype);
    const memory::desc src({x[0], x[3], x[1], x[2]}, type, memory::format_tag::nhwc);
    const memory::desc any({w[0], w[1], w[2], w[3]}, type, memory::format_tag::any);
    const memory::desc dst({out[0], out[3], out[1], out[2]}, dnnl_type(c.out().dtype), memory::format_tag::nhwc);
    const memory::desc bias =
        bias_ ? memory::desc({w[0]}, memory::data_type::f32, memory::format_tag::a) : memory::desc();
    const auto desc = convolution_desc(src, any, bias, dst, c.integer(0), c.integer(1),
                                       make_attr(static_cast<Activation>(c.integer(2)), false));
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
    primitive_.point(DNNL_ARG_DST, io.out);
    if (bias_) primitive_.point(DNNL_ARG_BIAS, io.in[2]);
    primitive_.execute(io.scratch);
  }

 private:
  bool bias_;
  std::shared_ptr<const PackedWeights> weights_;
  Primitive primitive_;
};

}  // namespace

KernelPtr make_linear(const KernelContext& c) {
  if (linear_is_f8(c.node)) return make_linear_f8(c);
  return std::make_unique<Linear>(c);
}
KernelPtr make_matmul(const KernelContext& c) {
  return std::make_unique<Matmul>(c);
}
KernelPtr make_patch_embed(const KernelContext& c) {
  return std::make_unique<PatchEmbed>(c);
}
KernelPtr make_conv_transpose2d(const KernelContext& c) {
  return std::make_unique<ConvTranspose2d>(c);
}
KernelPtr make_conv2d(const KernelContext& c) {
  return std::make_unique<Conv2d>(c);
}

}  // namespace ba_sam::cpu
