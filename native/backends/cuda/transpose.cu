// transpose() of kernels.h.
//
// Split: a block makes tiles of 32×32, strides over what the grid leaves.
// Shared memory: one tile, rows padded by 4 bytes so that columns meet all banks.
#include "elements.h"
#include "kernels.h"

namespace ba_sam::cuda {
namespace {

constexpr int kTile = 32, kTileRows = 8;

// [batch, rows, columns] → [batch, columns, rows], elements as their bits.
template <typename T>
__global__ void __launch_bounds__(kTile* kTileRows)
    transpose_kernel(T* out, const T* in, int64_t rows, int64_t columns, int64_t tiles_down, int64_t tiles_across,
                     int64_t tiles) {
  __shared__ T tile[kTile][kTile + 4 / sizeof(T)];
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t across = t % tiles_across, down = t / tiles_across % tiles_down, b = t / (tiles_across * tiles_down);
    const T* from = in + b * rows * columns;
    T* to = out + b * rows * columns;
    const int64_t column = across * kTile + threadIdx.x, row0 = down * kTile;
    for (int r = threadIdx.y; r < kTile; r += kTileRows) {
      if (row0 + r < rows && column < columns) tile[r][threadIdx.x] = from[(row0 + r) * columns + column];
    }
    __syncthreads();
    const int64_t row = row0 + threadIdx.x, column0 = across * kTile;
    for (int c = threadIdx.y; c < kTile; c += kTileRows) {
      if (column0 + c < columns && row < rows) to[(column0 + c) * rows + row] = tile[threadIdx.x][c];
    }
    __syncthreads();  // the next tile goes where this one was read
  }
}

template <typename T>
void start(void* out, const void* in, int64_t batch, int64_t rows, int64_t columns, cudaStream_t stream) {
  const int64_t down = ceil_div<int64_t>(rows, kTile), across = ceil_div<int64_t>(columns, kTile);
  launch("a launch of transpose", transpose_kernel<T>, grid_for(batch * down * across, 1), dim3(kTile, kTileRows), 0,
         stream, static_cast<T*>(out), static_cast<const T*>(in), rows, columns, down, across, batch * down * across);
}

}  // namespace

void transpose(void* out, const void* in, int64_t batch, int64_t rows, int64_t columns, size_t element_bytes,
               cudaStream_t stream) {
  if (element_bytes == 4)
    start<uint32_t>(out, in, batch, rows, columns, stream);
  else
    start<uint16_t>(out, in, batch, rows, columns, stream);
}

}  // namespace ba_sam::cuda
