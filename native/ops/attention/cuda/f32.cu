// Attention in f32 for every head size up to 128.
#include "../../../backends/cuda/runtime.h"
#include "launch.h"

namespace ba_sam::cuda {

template <int D>
void launch_f32(F32Arguments a, int64_t rectangles, int splits, cudaStream_t stream) {
  using Tile = F32Tile<D>;
  a.q_tiles = ceil_div(a.q_count, Tile::kQueries);
  a.tiles = tile_count(a.rows, a.columns, a.rows_per_tile, a.columns_per_tile);
  a.tiles_per_split = ceil_div(a.tiles, splits);
  const int64_t blocks = rectangles * a.q_tiles;
  if (blocks > INT32_MAX) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected attention in at most 2^31 blocks but it takes " + std::to_string(blocks));
  }
  if (splits == 1) a.partial = nullptr;
  launch("attention", &f32_attention<D>, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(splits)),
         dim3(Tile::kThreads), Tile::kSharedBytes, stream, a);
  if (splits == 1) return;
  launch("attention's combine_splits", &combine_splits<D>, dim3(static_cast<unsigned>(blocks), Tile::kQueries), dim3(D),
         0, stream, a, splits, blocks);
}

template void launch_f32<16>(F32Arguments, int64_t, int, cudaStream_t);
template void launch_f32<32>(F32Arguments, int64_t, int, cudaStream_t);
template void launch_f32<64>(F32Arguments, int64_t, int, cudaStream_t);
template void launch_f32<80>(F32Arguments, int64_t, int, cudaStream_t);
template void launch_f32<128>(F32Arguments, int64_t, int, cudaStream_t);

}  // namespace ba_sam::cuda
