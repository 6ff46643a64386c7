// Sizes of the tensor-core attention kernel for one head size, and how it lays out shared memory.
#pragma once

#include "../../../backends/cuda/primitives.h"
#include "geometry.h"

namespace ba_sam::cuda {

// What is added to scale · q·k.
enum class ScoreBias {
  none,       // nothing: keys are a plain list
  separable,  // relative positions and the Manhattan penalty: one term a row, one a column
  distance,   // separable terms and a Euclidean or Chebyshev penalty
};

// kGroups: grid rows in a tile of keys (geometry.h). kMTiles: mma tiles of 16 queries that one warp works on; two share
// every K and V fragment read from shared memory, at the price of twice the registers.
template <int kGroups_, int kMTiles_>
struct Tile {
  static constexpr int kGroups = kGroups_;
  static constexpr int kMTiles = kMTiles_;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kKeys = kTileKeys;
  static constexpr int kColumns = kKeys / kGroups;
  static constexpr int kColumnTiles = kColumns / 8;  // mma tiles of 8 columns with a column term of their own
  static constexpr int kQueries = kFragmentRows * kMTiles * kWarps;
  // Key rows, and columns, whose terms are made at a time. Two mma tiles a warp: less, so that two blocks fit sm_80's memory.
  static constexpr int kChunk = kMTiles == 1 && kColumns >= 32 ? 32 : 16;
  static constexpr bool kQueriesInShared = kMTiles > 1;  // their registers are needed for scores and sums
};

// K and V tiles [64][D + 8], two stages each; queries [kQueries][D + 8] where they do not stay in registers; then one skewed
// product [16][kSkewPitch] f32 per mma tile of queries.
// D + 8: rows start an odd number of 16-byte units apart, so that the eight rows of an ldmatrix hit different banks.
template <int D, typename TileT>
struct SharedLayout {
  static constexpr int kPitch = D + 8;                    // elements
  static constexpr int kOperand = TileT::kKeys * kPitch;  // elements of one K or V tile
  static constexpr int kQueries = TileT::kQueriesInShared ? TileT::kQueries * kPitch : 0;  // elements
  static constexpr int kSkewPitch = kSkewSpan<TileT::kChunk> + 4;      // floats; 4: rows in different banks
  static constexpr int kSkew = kFragmentRows * kSkewPitch;             // floats
  static constexpr int kOperandBytes = (4 * kOperand + kQueries) * 2;  // 2 stages × (K, V), 16-bit elements
  static constexpr int kSkewBytes = TileT::kWarps * TileT::kMTiles * kSkew * 4;
};

template <int D, ScoreBias kBias, typename TileT>
constexpr int shared_bytes() {
  using Layout = SharedLayout<D, TileT>;
  return Layout::kOperandBytes + (kBias == ScoreBias::none ? 0 : Layout::kSkewBytes);
}

// What the registers of an SM allow without spilling (scripts/check-cuda-kernels.mts): 168 a thread for three blocks, 255
// for two. Cards with 100 KB of shared memory an SM hold two anyway.
template <int D, ScoreBias kBias, typename TileT>
constexpr int blocks_per_sm() {
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
  return 2;
#else
  const bool fits_168 = D <= 64 && TileT::kMTiles == 1 && !(kBias == ScoreBias::distance && TileT::kGroups == 2);
  return fits_168 ? 3 : 2;
#endif
}

// Arguments of one launch. Strides in elements.
struct MmaArguments : AttentionLayout {
  const void *q, *k, *v;
  void* out;
  int64_t q_batch, k_batch, v_batch, out_batch;
  int q_token, kv_token, out_token;
  const void *pad_k, *pad_v;
  float scale_log2;  // |scale| · log2(e) > 0
  bool negate_q;     // the scale's sign: online softmax needs a positive factor
};

}  // namespace ba_sam::cuda
