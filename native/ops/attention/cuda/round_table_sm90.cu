// Tables of relative positions in the operands' dtype, as the TMA copies them.
#include "../../../backends/cuda/elements.h"
#include "hopper_launch.h"

namespace ba_sam::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(kBlockThreads) round_elements(T* out, const float* in, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_step()) out[i] = from_float<T>(in[i]);
}

// Row r of rel_h is row r, row r of rel_w row kWindowTableW + r; the others are zeros.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    merge_window_tables(T* out, const float* rel_h, const float* rel_w, int head_dim) {
  constexpr int kRows = 2 * kWindow - 1;
  const int64_t count = static_cast<int64_t>(kWindowTable) * head_dim;
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const int row = static_cast<int>(i / head_dim);
    float x = 0.0f;
    if (row < kRows) x = rel_h[i];
    if (row >= kWindowTableW && row < kWindowTableW + kRows) x = rel_w[i - kWindowTableW * head_dim];
    out[i] = from_float<T>(x);
  }
}

}  // namespace

void round_window_tables(void* out, const float* rel_h, const float* rel_w, int head_dim, DType dtype,
                         cudaStream_t stream) {
  const dim3 grid = grid_for(static_cast<int64_t>(kWindowTable) * head_dim), block(kBlockThreads);
  if (dtype == DType::bf16) {
    launch("round_window_tables", &merge_window_tables<bf16>, grid, block, 0, stream, static_cast<bf16*>(out), rel_h,
           rel_w, head_dim);
  } else {
    launch("round_window_tables", &merge_window_tables<f16>, grid, block, 0, stream, static_cast<f16*>(out), rel_h,
           rel_w, head_dim);
  }
}

void round_table(void* out, const float* in, int64_t count, DType dtype, cudaStream_t stream) {
  if (dtype == DType::bf16) {
    launch("round_table", &round_elements<bf16>, grid_for(count), dim3(kBlockThreads), 0, stream,
           static_cast<bf16*>(out), in, count);
  } else {
    launch("round_table", &round_elements<f16>, grid_for(count), dim3(kBlockThreads), 0, stream, static_cast<f16*>(out),
           in, count);
  }
}

}  // namespace ba_sam::cuda
