// convTranspose2d on the CPU: one oneDNN product and a scatter.
#include <algorithm>
#include <cstring>

#include "../../backends/cpu/backend.h"
#include "../../backends/cpu/product.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

// [I, O, k, k] → matrix [I, k·k·O].
void permute_taps(uint8_t* to, const uint8_t* from, const Shape& w, size_t bytes) {
  const int64_t taps = w[2] * w[3], columns = taps * w[1];
  for (int64_t i = 0; i < w[0]; ++i) {
    for (int64_t o = 0; o < w[1]; ++o) {
      for (int64_t t = 0; t < taps; ++t) {
        std::memcpy(to + static_cast<size_t>(i * columns + t * w[1] + o) * bytes,
                    from + static_cast<size_t>((i * w[1] + o) * taps + t) * bytes, bytes);
      }
    }
  }
}

// A weight [I, O, k, k] as the matrix [I, k·k·O] of a product. It may be seen with other taps, whose matrix has the same
// shape but another order, and oneDNN has no way back: the plain tensor is kept for whoever asks for it.
struct PermutedWeights final : PackedTensor {
  Shape seen_as;
  std::shared_ptr<const PackedWeights> product;
  std::shared_ptr<const Tensor> plain;

  size_t bytes() const override { return product->bytes() + plain->data.size(); }
  std::shared_ptr<const Tensor> unpack() const override { return plain; }
};

std::shared_ptr<const PackedWeights> permuted_weights(const KernelContext& c) {
  const Shape w = c.in(ConvTranspose2dOp::weight).shape;
  const int64_t columns = w[2] * w[3] * w[1];
  const auto type = dnnl_type(c.in(ConvTranspose2dOp::weight).dtype);
  const auto accepts = [&](const PackedTensor& packed) {
    const auto* permuted = dynamic_cast<const PermutedWeights*>(&packed);
    return permuted && permuted->seen_as == w;
  };
  const auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
    Buffer rows(tensor->data.size());
    permute_taps(rows.data(), tensor->data.data(), w, dtype_bytes(tensor->dtype));
    const memory::desc matrix({w[0], columns}, type, memory::format_tag::ab);
    const auto target = matmul_desc(memory::desc({4096, w[0]}, type, memory::format_tag::ab),
                                    memory::desc({w[0], columns}, type, memory::format_tag::any), {},
                                    memory::desc({4096, columns}, type, memory::format_tag::ab), {})
                            .weights_desc();
    auto out = std::make_shared<PermutedWeights>();
    out->seen_as = w;
    out->product = pack_weights(rows.data(), matrix, target);
    out->plain = std::move(tensor);
    return out;
  };
  const std::string& name = c.weight_name(ConvTranspose2dOp::weight);
  return std::static_pointer_cast<const PermutedWeights>(c.weights.packed(name, accepts, pack))->product;
}

// x [B, H, W, I] → [B, k·H, k·W, O], kernel = stride = k: no output pixel is written twice, so it is one product
// with [I, k·k·O] and a scatter. Reference: torch.nn.functional.conv_transpose2d(stride=k).
class ConvTranspose2d final : public Kernel {
 public:
  ConvTranspose2d(const KernelContext& c, const ConvTranspose2dOp& op)
      : in_(c.in(0).shape),
        out_(c.out().shape),
        k_(c.in(1).shape[2]),
        in_bytes_(dtype_bytes(c.in(0).dtype)),
        element_bytes_(dtype_bytes(c.out().dtype)),
        threads_(c.threads),
        chunk_rows_(rows_in_chunk(in_)),
        product_bytes_(align_up(c.out().bytes() / static_cast<size_t>(in_[0] * in_[1]) * chunk_rows_)),
        weight_(c.in(1).shape),
        bias_bytes_(c.has(2) ? align_up(static_cast<size_t>(k_ * k_ * out_[3]) * sizeof(float)) : 0),
        product_(chunk_rows_ * in_[2], c.in(0).dtype, c.out().dtype, matrix(c), c.has(2), op.activation, false) {}
  bool owns_weight(size_t input) const override { return input == ConvTranspose2dOp::weight && product_.is_packed(); }
  // Products of one chunk, the bias of every tap, and a weight that is not packed as a matrix.
  size_t scratch_bytes() const override {
    return product_bytes_ + bias_bytes_ + matrix_bytes() + product_.scratch_bytes();
  }

  void run(const KernelIo& io) override {
    const int64_t width = in_[2];
    const size_t pixel_bytes = static_cast<size_t>(out_[3]) * element_bytes_, run_bytes = pixel_bytes * k_;
    const size_t in_row_bytes = static_cast<size_t>(width * in_[3]) * in_bytes_;
    uint8_t* matrix = io.scratch + product_bytes_ + bias_bytes_;
    if (!product_.is_packed()) permute_taps(matrix, static_cast<const uint8_t*>(io.in[1]), weight_, in_bytes_);
    auto* bias = reinterpret_cast<float*>(io.scratch + product_bytes_);
    for (int64_t tap = 0; tap < k_ * k_ && io.in[2]; ++tap) {
      std::copy_n(static_cast<const float*>(io.in[2]), out_[3], bias + tap * out_[3]);
    }
    // Batch and height are one axis: out row k·y + ky belongs to in row y.
    for (int64_t y0 = 0; y0 < in_[0] * in_[1]; y0 += chunk_rows_) {
      product_.run(io.scratch, static_cast<const uint8_t*>(io.in[0]) + static_cast<size_t>(y0) * in_row_bytes, matrix,
                   bias, matrix + matrix_bytes());
      auto* out = static_cast<uint8_t*>(io.out[0]) + static_cast<size_t>(y0 * k_ * width) * run_bytes;
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

  size_t matrix_bytes() const {
    if (product_.is_packed()) return 0;
    return align_up(static_cast<size_t>(weight_[0] * weight_[1] * weight_[2] * weight_[3]) * in_bytes_);
  }

  static ProductWeights matrix(const KernelContext& c) {
    const Shape& w = c.in(ConvTranspose2dOp::weight).shape;
    if (c.is_weight(ConvTranspose2dOp::weight)) return ProductWeights::of(permuted_weights(c));
    return ProductWeights::rows_of_k(c.in(ConvTranspose2dOp::weight).dtype, w[2] * w[3] * w[1], w[0]);
  }

  Shape in_, out_;
  int64_t k_;
  size_t in_bytes_, element_bytes_;
  int threads_;
  int64_t chunk_rows_;
  size_t product_bytes_;
  Shape weight_;
  size_t bias_bytes_;
  Product product_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const ConvTranspose2dOp& op) {
  return std::make_unique<ConvTranspose2d>(c, op);
}

}  // namespace ba_sam::cpu
