// What linear layers and convolutions share around their products (gemm.h).
#pragma once

#include <algorithm>

#include "backend.h"
#include "kernels.h"

namespace ba_sam::cuda {

// Rows that lie in scratch memory at once: a multiple of 128 keeps the addresses of parts aligned.
inline int64_t rows_per_part(const KernelContext& c, int64_t rows, int64_t row_bytes) {
  const int64_t fit = c.backend.options().limits.gathered_bytes / row_bytes;
  return std::min(rows, std::max<int64_t>(128, fit / 128 * 128));
}

// A bias [n] f32 in the dtype that the product wants it in.
class Bias {
 public:
  Bias(const KernelContext& c, size_t input, DType dtype)
      : input_(input), dtype_(dtype), stream_(c.backend.stream()), there_(c.has(input)) {
    if (!there_) return;
    count_ = c.in(input).elements();
    if (dtype == DType::f32 || !c.is_weight(input)) return;
    const auto plain = c.backend.weight(c.weights, c.weight_name(input));
    converted_ = c.backend.allocate(static_cast<size_t>(count_) * dtype_bytes(dtype), "a bias");
    convert(converted_->data(), dtype, plain->data(), DType::f32, count_, stream_);
    c.backend.finish();  // the plain form may go now
  }

  bool owned() const { return converted_ != nullptr; }
  // A bias that the graph computes is converted in every run.
  size_t scratch_bytes() const {
    return there_ && !owned() && dtype_ != DType::f32 ? align_up(static_cast<size_t>(count_) * dtype_bytes(dtype_)) : 0;
  }
  const void* get(const KernelIo& io, void* scratch) const {
    if (!there_) return nullptr;
    if (owned()) return converted_->data();
    if (dtype_ == DType::f32) return io.in[input_];
    convert(scratch, dtype_, io.in[input_], DType::f32, count_, stream_);
    return scratch;
  }

 private:
  size_t input_;
  DType dtype_;
  cudaStream_t stream_;
  bool there_;
  int64_t count_ = 0;
  std::shared_ptr<Memory> converted_;
};

// A convolution's weight with its axes in the order that its product wants: permuted once where it is frozen, in every run
// where the graph computes it or trains it. Layouts are {0, 1, 2}, {0, 2, 1} or {2, 1, 0}.
class Weight {
 public:
  Weight(const KernelContext& c, size_t input, const WeightLayout& layout)
      : input_(input), layout_(layout), stream_(c.backend.stream()), element_bytes_(dtype_bytes(c.in(input).dtype)) {
    if (c.is_weight(input)) {
      fixed_ = c.backend.weight(c.weights, c.weight_name(input), layout);
    } else if (!layout.is_plain()) {
      permuted_bytes_ = align_up(c.in(input).bytes());
    }
  }

  bool owned() const { return fixed_ != nullptr; }
  size_t scratch_bytes() const { return reversed() ? 2 * permuted_bytes_ : permuted_bytes_; }
  const void* get(const KernelIo& io, uint8_t* scratch) const {
    if (owned()) return fixed_->data();
    const void* plain = io.in[input_];
    if (layout_.is_plain()) return plain;
    const int64_t* d = layout_.dims;
    uint8_t* const swapped = reversed() ? scratch + permuted_bytes_ : scratch;
    transpose(swapped, plain, d[0], d[1], d[2], element_bytes_, stream_);
    if (reversed()) transpose(scratch, swapped, 1, d[0], d[1] * d[2], element_bytes_, stream_);
    return scratch;
  }

 private:
  bool reversed() const { return layout_.axes[0] == 2; }

  size_t input_;
  WeightLayout layout_;
  cudaStream_t stream_;
  size_t element_bytes_;
  size_t permuted_bytes_ = 0;
  std::shared_ptr<const Memory> fixed_;
};

// Row `row` of a matrix.
inline const void* at_row(const void* data, int64_t row, int64_t columns, DType dtype) {
  return static_cast<const uint8_t*>(data) + row * columns * static_cast<int64_t>(dtype_bytes(dtype));
}
inline void* at_row(void* data, int64_t row, int64_t columns, DType dtype) {
  return static_cast<uint8_t*>(data) + row * columns * static_cast<int64_t>(dtype_bytes(dtype));
}

}  // namespace ba_sam::cuda
