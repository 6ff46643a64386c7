// Index maps of the attention kernels: which key a tile's column is, and where its relative position lies. Shared by device
// code, host code and the test that enumerates them; integer arithmetic only.
//
// Keys form a rectangle of rows × columns: the whole grid, or one window of it. A tile takes 64 of them:
//   kGroups = 1:  64 columns of one row       (a plain list of keys)
//   kGroups = 2:  32 columns of two rows      (most grids)
//   kGroups = 4:  16 columns of four rows     (windows, and widths of which 32 would waste much)
// Tiles go down a strip of columns before they go on to the next strip, so that what belongs to columns is made once a strip.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define BA_SAM_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define BA_SAM_HOST_DEVICE inline
#endif

namespace ba_sam::cuda {

constexpr int kTileKeys = 64;
constexpr int kFragmentRows = 16;  // queries of one mma tile

// Coordinates in the rectangle of keys: the top left key of a tile.
struct TileCursor {
  int row = 0;
  int column = 0;

  // Down the strip by `rows_per_tile`, then to the top of the next one.
  BA_SAM_HOST_DEVICE void advance(int rows, int rows_per_tile, int columns_per_tile) {
    row += rows_per_tile;
    if (row >= rows) {
      row = 0;
      column += columns_per_tile;
    }
  }
};

BA_SAM_HOST_DEVICE int tile_count(int rows, int columns, int rows_per_tile, int columns_per_tile) {
  return ((rows + rows_per_tile - 1) / rows_per_tile) * ((columns + columns_per_tile - 1) / columns_per_tile);
}

// Which shape of tile costs less on a grid. A narrow tile reads four row terms instead of two, and every strip makes its row
// terms anew: about 1/16 more work for the same keys [estimated from instruction counts, not measured].
BA_SAM_HOST_DEVICE bool narrow_tiles_pay(int rows, int columns) {
  const int64_t wide = static_cast<int64_t>(tile_count(rows, columns, 2, 32)) * 16;
  const int64_t narrow = static_cast<int64_t>(tile_count(rows, columns, 4, 16)) * 17;
  return narrow < wide;
}

// The products of 16 consecutive queries with `span` consecutive rows of a relative position table are skewed: query i finds
// key k (counted from the chunk's first key) at column skew_index. A table of a side with `length` keys has 2·length − 1
// rows; row q − k + length − 1 belongs to query q and key k.
//
// base: position of the query that comes first on this axis; q − base ≤ 15, so a span of chunk + 15 holds every value.
BA_SAM_HOST_DEVICE int skew_first_row(int base, int chunk_start, int chunk, int length) {
  return base - (chunk_start + chunk - 1) + length - 1;
}
BA_SAM_HOST_DEVICE int skew_index(int q_from_base, int k_in_chunk, int chunk) {
  return q_from_base + chunk - 1 - k_in_chunk;
}
template <int kChunk>
inline constexpr int kSkewSpan = (kChunk + kFragmentRows - 1 + 7) / 8 * 8;  // whole mma tiles of 8
// Distance q − k that column j of the skewed products stands for.
BA_SAM_HOST_DEVICE int skew_offset(int first_row, int j, int length) {
  return first_row + j - (length - 1);
}

// Sixteen consecutive queries on a row-major rectangle `columns` wide. Their columns span at most 16 positions, unless they
// run over the end of a row of a wider rectangle: then they are two pieces, each with a base of its own.
struct QueryRun {
  int first_piece;  // queries before the wrap; 16 when one base serves all
  int base_x;       // of the first piece

  BA_SAM_HOST_DEVICE QueryRun(int first_query, int columns) {
    const int x0 = first_query % columns;
    const bool one_piece = columns <= kFragmentRows || x0 + kFragmentRows <= columns;
    first_piece = one_piece ? kFragmentRows : columns - x0;
    base_x = columns <= kFragmentRows ? 0 : x0;
  }
};

// What is where, the same for every kernel: which rectangle of keys a block walks over, and which terms its scores get.
struct AttentionLayout {
  int heads;
  int q_tiles;                  // per head and rectangle
  int windows, windows_across;  // rectangles of one image: 1, 1 without windows
  int window;                   // side, or 0
  int grid_h, grid_w;           // tokens; a plain list of keys is one row
  int rows, columns;            // of the rectangle of keys
  int q_count;                  // queries of one rectangle
  int64_t q_tokens;             // of one image
  float* log_sum_exp;           // [images, heads, q_tokens], or null
  const float *rel_h, *rel_w, *slopes;
  float start;
  bool fold_manhattan;  // into the row and column terms
  bool euclidean;       // else Chebyshev, where there is a penalty that cannot be folded
};

// What a block computes, in the tensors: blocks are numbered (image, window, head, tile of queries), the last fastest.
struct BlockCoordinates {
  int64_t batch;
  int head, window_y, window_x, first_query;

  BA_SAM_HOST_DEVICE BlockCoordinates(const AttentionLayout& a, int64_t block, int queries_per_block) {
    first_query = static_cast<int>(block % a.q_tiles) * queries_per_block;
    block /= a.q_tiles;
    head = static_cast<int>(block % a.heads);
    block /= a.heads;
    const int window = static_cast<int>(block % a.windows);
    batch = block / a.windows;
    window_y = window / a.windows_across;
    window_x = window % a.windows_across;
  }

  // Token at (row, column) of the rectangle, or −1 for a window's pad token.
  BA_SAM_HOST_DEVICE int64_t token(const AttentionLayout& a, int row, int column) const {
    const int y = window_y * a.window + row, x = window_x * a.window + column;
    return y < a.grid_h && x < a.grid_w ? static_cast<int64_t>(y) * a.grid_w + x : -1;
  }
  // Token of query `index` of the rectangle, or −1 when there is none: past the end, or a window's pad token.
  BA_SAM_HOST_DEVICE int64_t query_token(const AttentionLayout& a, int index) const {
    if (index >= a.q_count) return -1;
    return a.window == 0 ? index : token(a, index / a.window, index % a.window);
  }
  // Where a query's token lies in [images, heads, q_tokens].
  BA_SAM_HOST_DEVICE int64_t query_index(const AttentionLayout& a, int64_t token) const {
    return (batch * a.heads + head) * a.q_tokens + token;
  }
};

}  // namespace ba_sam::cuda
