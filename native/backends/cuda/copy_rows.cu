// copy_rows() of kernels.h.
//
// Split: one thread per 16 bytes, or as few as the rows' addresses allow; threads stride over what the grid leaves.
// Shared memory: none.
#include "elements.h"
#include "kernels.h"

namespace ba_sam::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(kBlockThreads) copy_rows_kernel(uint8_t* out, int64_t out_pitch, const uint8_t* in,
                                                                  int64_t in_pitch, int64_t per_row, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const int64_t row = i / per_row, column = i % per_row;
    reinterpret_cast<T*>(out + row * out_pitch)[column] = reinterpret_cast<const T*>(in + row * in_pitch)[column];
  }
}

}  // namespace

void copy_rows(void* out, int64_t out_pitch, const void* in, int64_t in_pitch, int64_t row_bytes, int64_t rows,
               cudaStream_t stream) {
  if (row_bytes == 0 || rows == 0) return;
  const uint64_t bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(in) |
                        static_cast<uint64_t>(out_pitch | in_pitch | row_bytes);
  const auto start = [&](auto kernel, int64_t unit) {
    const int64_t per_row = row_bytes / unit;
    launch("a launch of a copy", kernel, grid_for(per_row * rows), dim3(kBlockThreads), 0, stream,
           static_cast<uint8_t*>(out), out_pitch, static_cast<const uint8_t*>(in), in_pitch, per_row, per_row * rows);
  };
  if (bits % 16 == 0) return start(copy_rows_kernel<uint4>, 16);
  if (bits % 4 == 0) return start(copy_rows_kernel<uint32_t>, 4);
  if (bits % 2 == 0) return start(copy_rows_kernel<uint16_t>, 2);
  start(copy_rows_kernel<uint8_t>, 1);
}

}  // namespace ba_sam::cuda
