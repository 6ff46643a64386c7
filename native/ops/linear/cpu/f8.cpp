// linear with operands of e4m3 (core/f8.h), for what that does to results: the same rounding as on a CUDA device, then
// the product in the dtype of x, which holds every e4m3 times a power of two. Slower than without: processors have no such
// products.
#include "../../../core/f8.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../../../core/bf16.h"
#include "linear.h"

namespace ba_sam::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kPartRows = 1024;  // of x at a time: scratch stays bounded at any image size

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// The e4m3 next to x, |x| ≤ 448, as an f32: as e4m3_from_f32_bits, but vectors of it.
inline float rounded(float x) {
  constexpr float kShift = 0x1.8p14f;  // its last bit is worth 2^-9, the spacing below 2^-6
  const float coarse = (x + kShift) - kShift;
  const uint32_t bits = bits_of(x);
  const float fine = float_of((bits + 0x7ffffu + (bits >> 20 & 1)) & 0xfff00000u);
  return (bits & 0x7fffffffu) < 0x3c800000u ? coarse : fine;
}

float to_float(float x) {
  return x;
}
float to_float(uint16_t x) {
  return bf16_to_f32(x);
}
void store(float& to, float x) {
  to = x;
}
void store(uint16_t& to, float x) {
  to = static_cast<uint16_t>(bits_of(x) >> 16);  // 4 bits of significand at a power of two: exact
}

// out[i] = 2^e · rounded(2^-e · in[i]), f32 or bf16. A row that is not finite becomes NaN.
template <typename T>
void round_row(T* out, const T* in, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, bits_of(to_float(in[i])) & 0x7fffffffu);
  const bool finite = largest < kInfinityBits;
  const float scale = finite ? float_of(e4m3_scale_bits(largest)) : __builtin_nanf("");
  const float inverse = float_of(e4m3_inverse_scale_bits(finite ? largest : 0));
  for (int64_t i = 0; i < count; ++i) store(out[i], rounded(to_float(in[i]) * inverse) * scale);
}

template <typename T>
void round_rows(void* out, const void* in, int64_t rows, int64_t count, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    round_row(static_cast<T*>(out) + r * count, static_cast<const T*>(in) + r * count, count);
  }
}
void round_rows(void* out, const void* in, DType dtype, int64_t rows, int64_t count, int threads) {
  if (dtype == DType::bf16)
    round_rows<uint16_t>(out, in, rows, count, threads);
  else
    round_rows<float>(out, in, rows, count, threads);
}

// A weight [N, K] with its rows rounded, as the matrix of a product. Rounding has no way back: the plain tensor is
// kept for whoever asks for it.
struct RoundedWeights final : PackedTensor {
  std::shared_ptr<const PackedWeights> product;
  std::shared_ptr<const Tensor> plain;

  size_t bytes() const override { return product->bytes() + plain->data.size(); }
  std::shared_ptr<const Tensor> unpack() const override { return plain; }
};

std::shared_ptr<const PackedWeights> rounded_linear(const KernelContext& c, int64_t n, int64_t k) {
  // A weight may be seen as matrices of several shapes, whose rows are others.
  const auto accepts = [&](const PackedTensor& packed) {
    const auto* rounded = dynamic_cast<const RoundedWeights*>(&packed);
    return rounded && rounded->product->shape == Shape{n, k};
  };
  const auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
    Buffer rows(tensor->data.size(), "a rounded weight");
    round_rows(rows.data(), tensor->data.data(), tensor->dtype, n, k, c.threads);
    auto out = std::make_shared<RoundedWeights>();
    out->product = pack_linear(rows.data(), tensor->dtype, n, k);
    out->plain = std::move(tensor);
    return out;
  };
  return std::static_pointer_cast<const RoundedWeights>(c.weights.packed(c.weight_name(1), accepts, pack))->product;
}

class LinearF8 final : public Kernel {
 public:
  LinearF8(const KernelContext& c, const LinearOp& op)
      : rows_(rows_of(c.in(0).shape)),
        n_(c.in(1).shape[0]),
        k_(c.in(1).shape[1]),
        in_dtype_(c.in(0).dtype),
        out_dtype_(c.out().dtype),
        residual_(c.has(3)),
        threads_(c.threads) {
    const bool frozen = c.is_weight(LinearOp::weight);
    const ProductWeights weights =
        frozen ? ProductWeights::of(rounded_linear(c, n_, k_)) : ProductWeights::rows_of_n(in_dtype_, n_, k_);
    weight_bytes_ = frozen ? 0 : align_up(static_cast<size_t>(n_ * k_) * dtype_bytes(in_dtype_));
    for (const int64_t rows : {std::min(rows_, kPartRows), rows_ % kPartRows}) {
      if (rows == 0) continue;
      parts_.push_back(
          std::make_unique<Product>(rows, in_dtype_, out_dtype_, weights, c.has(2), op.activation, residual_));
    }
  }
  bool owns_weight(size_t input) const override { return input == LinearOp::weight && weight_bytes_ == 0; }
  size_t scratch_bytes() const override {
    size_t product = 0;
    for (const auto& part : parts_) product = std::max(product, part->scratch_bytes());
    return rounded_bytes() + weight_bytes_ + product;
  }

  void run(const KernelIo& io) override {
    if (residual_ && io.in[3] != io.out[0]) {
      copy_parallel(io.out[0], io.in[3], static_cast<size_t>(rows_ * n_) * dtype_bytes(out_dtype_), threads_);
    }
    // A weight that changes is rounded in every run.
    uint8_t* const weight = io.scratch + rounded_bytes();
    if (weight_bytes_) round_rows(weight, io.in[LinearOp::weight], in_dtype_, n_, k_, threads_);
    for (int64_t row = 0; row < rows_; row += kPartRows) {
      const int64_t rows = std::min(kPartRows, rows_ - row);
      const auto at = [row](int64_t columns, DType dtype) {
        return static_cast<size_t>(row * columns) * dtype_bytes(dtype);
      };
      round_rows(io.scratch, static_cast<const uint8_t*>(io.in[0]) + at(k_, in_dtype_), in_dtype_, rows, k_, threads_);
      Product& product = rows == kPartRows ? *parts_.front() : *parts_.back();
      product.run(static_cast<uint8_t*>(io.out[0]) + at(n_, out_dtype_), io.scratch, weight,
                  static_cast<const float*>(io.in[2]), weight + weight_bytes_);
    }
  }

 private:
  size_t rounded_bytes() const {
    return align_up(static_cast<size_t>(std::min(rows_, kPartRows) * k_) * dtype_bytes(in_dtype_));
  }

  int64_t rows_, n_, k_;
  DType in_dtype_, out_dtype_;
  bool residual_;
  int threads_;
  size_t weight_bytes_ = 0;                      // of a rounded weight that is not frozen
  std::vector<std::unique_ptr<Product>> parts_;  // a whole part's and the last one's
};

}  // namespace

KernelPtr make_linear_f8(const KernelContext& c, const LinearOp& op) {
  return std::make_unique<LinearF8>(c, op);
}

}  // namespace ba_sam::cpu
