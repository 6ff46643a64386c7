// Brings tiles of keys and values from global into shared memory with cp.async.
//
// A tile's 64 keys are rows of D / 8 pieces of 16 bytes. Piece p of thread i is number i + 128·p of the tile, so that
// neighbouring threads copy neighbouring bytes. Keys outside the rectangle become zeros (their scores are −∞; V must still
// be finite, since 0 · NaN is NaN). Keys inside a window but outside the grid are SAM's pad tokens and come from pad_k, pad_v.
#pragma once

#include "tile.h"

namespace ba_sam::cuda {

template <typename T, int D, typename TileT>
struct KeyLoader {
  using Layout = SharedLayout<D, TileT>;
  static constexpr int kPiecesPerRow = D / 8;
  static constexpr int kPieces = TileT::kKeys * kPiecesPerRow / TileT::kThreads;
  static_assert(kPieces * TileT::kThreads == TileT::kKeys * kPiecesPerRow);

  const T *k, *v;  // of this image and head

  __device__ KeyLoader(const MmaArguments& a, int64_t batch, int head)
      : k(static_cast<const T*>(a.k) + batch * a.k_batch + head * D),
        v(static_cast<const T*>(a.v) + batch * a.v_batch + head * D) {}

  // Queues the copies of the tile at `at`; the caller commits and waits.
  __device__ void load(T* k_tile, T* v_tile, const MmaArguments& a, const BlockCoordinates& where,
                       const TileCursor& at) const {
#pragma unroll 1
    for (int p = 0; p < kPieces; ++p) {
      const int piece = static_cast<int>(threadIdx.x) + p * TileT::kThreads;
      const int key = piece / kPiecesPerRow, chunk = piece % kPiecesPerRow;
      const int row = at.row + key / TileT::kColumns, column = at.column + key % TileT::kColumns;
      const bool valid = row < a.rows && column < a.columns;
      int64_t offset;
      const T *k_source = k, *v_source = v;
      if constexpr (TileT::kGroups < 4) {  // never windows
        offset = static_cast<int64_t>(row * a.grid_w + column) * a.kv_token;
      } else {
        const int y = where.window_y * a.window + row, x = where.window_x * a.window + column;
        offset = static_cast<int64_t>(y * a.grid_w + x) * a.kv_token;
        if (y >= a.grid_h || x >= a.grid_w) {
          k_source = static_cast<const T*>(a.pad_k) + where.head * D;
          v_source = static_cast<const T*>(a.pad_v) + where.head * D;
          offset = 0;
        }
      }
      const int target = key * Layout::kPitch + chunk * 8;
      copy_async_16(k_tile + target, k_source + offset + chunk * 8, valid);
      copy_async_16(v_tile + target, v_source + offset + chunk * 8, valid);
    }
  }
};

}  // namespace ba_sam::cuda
