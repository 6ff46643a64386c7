// transpose on the CPU.
#include <algorithm>
#include <cstring>

#include "../../backends/cpu/elements.h"

namespace ba_sam::cpu {
namespace {

constexpr int64_t kTransposeBlock = 16;  // floats of a cache line

// out [columns, rows] = in [rows, columns]ᵀ of one block. Through a copy: rows whose distance is a power of two, as in an
// embedding, share a few sets of the L1, which would lose a line before its second element is read.
template <typename E>
void transpose_block(E* out, const E* in, int64_t rows, int64_t columns, int64_t row_count, int64_t column_count) {
  constexpr int64_t kBlock = kTransposeBlock;
  E copy[kBlock * kBlock];
  if (row_count == kBlock && column_count == kBlock) {
    for (int64_t r = 0; r < kBlock; ++r) {
      for (int64_t c = 0; c < kBlock; ++c) copy[c * kBlock + r] = in[r * columns + c];
    }
    for (int64_t c = 0; c < kBlock; ++c) std::memcpy(out + c * rows, copy + c * kBlock, kBlock * sizeof(E));
    return;
  }
  for (int64_t r = 0; r < row_count; ++r) {
    for (int64_t c = 0; c < column_count; ++c) out[c * rows + r] = in[r * columns + c];
  }
}

}  // namespace

// [B, …, C] ↔ [B, C, …].
KernelPtr make_kernel(const KernelContext& c, const TransposeOp& op) {
  constexpr int64_t kBlock = kTransposeBlock;
  const Shape& x = c.in(0).shape;
  const bool first = op.to == ChannelOrder::channels_first;
  const int64_t batch = x[0], channels = first ? x.back() : x[1];
  const int64_t elements = c.in(0).elements(), threads = c.threads;
  const int64_t other = elements ? elements / (batch * channels) : 0;
  const int64_t rows = first ? other : channels, columns = first ? channels : other;
  const DType dtype = c.out().dtype;
  return kernel([=](const KernelIo& io) {
    dispatch(dtype, dtype, [&](auto type, auto) {
      using E = typename decltype(type)::type;
      const auto* in = static_cast<const E*>(io.in[0]);
      auto* out = static_cast<E*>(io.out[0]);
#pragma omp parallel for num_threads(threads) collapse(3) schedule(static)
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
          for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
            transpose_block(out + (b * columns + c0) * rows + r0, in + (b * rows + r0) * columns + c0, rows, columns,
                            std::min(kBlock, rows - r0), std::min(kBlock, columns - c0));
          }
        }
      }
    });
  });
}

}  // namespace ba_sam::cpu
