// How one attention call is cut into units, tiles and workspace: everything that does not depend on a vector type.
//
// A unit is one (batch, window, head): Nq queries against Nk keys. A strip is kVecs·kLanes queries of a unit, a
// tile tile_keys keys. A word is 32 bits: one float or two bf16.
//
// Workspace, in this order, each part 64-byte aligned:
//   distances   [key_h][distance_stride]      distance of (|dy|, dx), only euclidean and chebyshev
//   rel_h rel_w [blocks][chunks][rows][16]    relative position tables as key panels
//   packs       [pack_slots] of {K panels [blocks][chunks][rows][16], V panels [tiles][d_blocks][steps][rows]}
//   scratch     [threads]
#pragma once

#include "../../../backends/cpu/simd/common.h"
#include "attention.h"

namespace ba_sam::cpu {

constexpr int kChunkWords = 16;  // words of one key in a panel: a cache line, so that rows lie at fixed offsets
constexpr int kMaxStripLanes = 64;
constexpr int kMaxVecs = 4;
constexpr int kMaxTileKeys = 256;
constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;

struct Tiling {
  AttentionParams params;
  char* workspace;  // params.workspace

  // Of the instruction set.
  int rows, lanes, strip_lanes, tile_keys;
  bool bf16_pairs;

  int64_t units, heads, windows_h, windows_w;
  int64_t grid_h, grid_w;  // of the tokens; 1 x Nq without a grid
  int64_t key_h, key_w;    // of a unit's keys: window, grid or 1 x Nk
  int64_t unit_keys;
  int64_t unit_strips;  // of the largest unit
  // Order of a unit's keys: row by row, or, with biases and where rows are whole blocks, in columns `rows` keys wide from
  // top to bottom, so that the column terms of a block serve all key rows from L1 (128x128 bf16: rel 4 % → 0.3 %).
  bool column_order;
  bool separable;    // a bias that is a sum of a row and a column term
  bool by_distance;  // a bias that needs a distance per pair
  float score_scale_log2;

  int words;     // of one key: D floats or ceil(D / 2) pairs of bf16
  int chunks;    // ceil(words / 16)
  int d_blocks;  // ceil(D / rows)
  int64_t distance_stride;
  int64_t key_floats, value_floats;  // of one unit's panels

  // true: a thread packs and computes whole units, in its own scratch. false: all threads pack pack_slots units,
  // wait for each other and share their strips.
  bool unit_per_thread;
  int64_t pack_slots;

  int64_t distances_offset, rel_h_offset, rel_w_offset, packs_offset, scratch_offset;
  int64_t rel_rows_max;   // of a strip's rel products
  int64_t scratch_bytes;  // of one thread
  int64_t scratch_pack_offset;
  int64_t total_bytes;
};

// One (batch, window, head).
struct Unit {
  int64_t batch, head;
  int64_t origin_y, origin_x;  // of its window in the grid
  int64_t query_h, query_w;    // its queries, all inside the grid
  float* keys;
  float* values;
};

// The functions of one instruction set and dtype.
struct KernelTable {
  int rows, lanes, vecs, tile_keys;
  bool bf16_pairs;
  void (*pack_tile)(const Tiling&, const Unit&, int64_t tile);
  void (*run_strip)(const Tiling&, const Unit&, int64_t strip, char* scratch);
};

KernelTable scalar_kernels(DType dtype);
KernelTable avx2_kernels(DType dtype);
KernelTable avx512_kernels(DType dtype);
KernelTable avx512_bf16_kernels();  // bf16 only: f32 has nothing to gain

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// Scratch of one strip, in floats from its start; see strip_layout.
struct StripLayout {
  int64_t q, q_pairs, out, scores, row_max, row_sum, rescale, rel_h, rel_w, products, floats;
};

inline StripLayout strip_layout(const Tiling& tiling) {
  const int64_t lanes = tiling.strip_lanes;
  StripLayout l{};
  int64_t at = 0;
  l.q = at;  // [D][lanes] f32, unscaled
  at += tiling.params.head_dim * lanes;
  l.q_pairs = at;  // [words][lanes] bf16 pairs
  at += tiling.bf16_pairs ? tiling.words * lanes : 0;
  l.out = at;  // [d_blocks · rows][lanes]
  at += static_cast<int64_t>(tiling.d_blocks) * tiling.rows * lanes;
  l.scores = at;  // [tile_keys][lanes], then probabilities in place
  at += tiling.tile_keys * lanes;
  l.row_max = at;
  at += lanes;
  l.row_sum = at;
  at += lanes;
  l.rescale = at;
  at += lanes;
  const bool biased = tiling.separable || tiling.by_distance;
  l.rel_h = at;  // [key_h][lanes], times log2(e)
  at += biased ? tiling.key_h * lanes : 0;
  l.rel_w = at;  // [key_w][lanes]
  at += biased ? tiling.key_w * lanes : 0;
  l.products = at;  // [rel_rows_max][lanes]
  at += tiling.params.has_rel_pos ? tiling.rel_rows_max * lanes : 0;
  l.floats = at;
  return l;
}

}  // namespace ba_sam::cpu
