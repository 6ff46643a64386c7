// Sizes of the attention kernel for sm_90a, how it lays out shared memory, and its arguments.
//
// A tile of keys is a strip of kStrip columns × 2 rows of the key rectangle: down the strip, then on to the next one, so that
// column terms stay in registers for a whole strip. Columns and rows outside the rectangle arrive as zeros (TMA) and have
// terms of −∞. Each consumer warpgroup works on 64 consecutive queries.
//
// In a cluster (kCluster = 2) two blocks work on neighbouring queries of one head, in lock step over the same tiles: each
// multicasts one of the two rows of every tile of keys and values, so that either row is read once for 256 queries.
//
// Tables of relative positions travel through the pipeline of key tiles: G = Q · Rᵀ with 128 consecutive table rows R holds, for
// 64 queries, every value that 64 consecutive keys of an axis need, skewed (geometry.h): query i and key k meet at column
// (position of i − base) + kSpanKeys − 1 − k.
#pragma once

#include "../../../backends/cuda/hopper.h"
#include "tile.h"

namespace ba_sam::cuda {

constexpr int kGroupQueries = 64;  // of a warpgroup
constexpr int kTableRows = 128;    // of one table tile
constexpr int kRowChunk = 64;      // key rows whose row terms one table tile holds

// kIntraWarpgroup, kPingpong: see HopperSchedule (hopper_attention.h). kWraps: with distances, the 64 queries of a warpgroup may
// lie in two grid rows.
template <int kStrip_, int kConsumers_, bool kIntraWarpgroup_, bool kPingpong_, bool kWraps_ = false>
struct HopperConfig {
  static constexpr int kStrip = kStrip_;
  static constexpr int kConsumers = kConsumers_;
  static constexpr bool kIntraWarpgroup = kIntraWarpgroup_;
  static constexpr bool kPingpong = kPingpong_;
  static constexpr bool kWraps = kWraps_;
  static constexpr int kCluster = 1;  // blocks that multicast tiles of keys and values to each other
  static constexpr int kKeys = 2 * kStrip;
  static constexpr int kTiles = kKeys / 8;  // mma tiles of 8 keys
  static constexpr int kRowTiles = kTiles / 2;
  static constexpr int kThreads = 128 * (kConsumers + 1);
  static constexpr int kQueries = kGroupQueries * kConsumers;
  static constexpr int kStages = kConsumers == 2 ? 3 : 2;
  // Of 65536 on an SM; the numbers are setmaxnreg's.
  static constexpr int kProducerRegisters = 24;
  static constexpr int kConsumerRegisters = kConsumers == 2 ? 240 : 160;
  static_assert(kKeys % 16 == 0 && kKeys <= kTableRows);
};

template <int kStrip_>
struct HopperClusterConfig : HopperConfig<kStrip_, 2, true, true> {
  static constexpr int kCluster = 2;
  // With 24 the producer spills. The sum must be the same: 3 · 168, what the block has at its start.
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = 232;
  static_assert(kStrip_ % 8 == 0);  // a row of a tile begins where the swizzle does
};

// Tiles are split by columns into parts that one swizzle covers:
//   queries, keys, tables  [rows][64] with 128 bytes a row, and for D = 80 [rows][16] with 32 bytes a row after it
//   values                 [rows][64], or for D = 80 five parts [rows][16]: 80 columns are no multiple of 64, and a product
//                          of 80 columns reads parts of one size only
template <int D, typename Config>
struct HopperShared {
  static_assert(D == 64 || D == 80);
  static constexpr int kStageBytes = kTableRows * D * 2;  // a key, value or table tile
  static constexpr int kQueryTile = kGroupQueries * D * 2;
  static constexpr int kWidePart = 64 * 2;  // bytes a row
  static constexpr int kValueWidth = D == 64 ? 64 : 16;
  static constexpr int kValueParts = D / kValueWidth;
  static constexpr Swizzle kValueSwizzle = D == 64 ? Swizzle::bytes_128 : Swizzle::bytes_32;
  static constexpr int kValuePart = Config::kKeys * kValueWidth * 2;  // bytes
  // 8 more than a multiple of 32 floats: the rows of a store fall into different banks.
  static constexpr int kSkewPitch = kTableRows + 8;
  static constexpr int kSkew = kGroupQueries * kSkewPitch;  // floats of one warpgroup
  // Distances of one key row to the queries of one run: kStrip + 63 numbers, twice, the second copy one further (float2
  // loads).
  static constexpr int kDistances = 2 * kTableRows;
  static constexpr int kDistanceLists = Config::kWraps ? 4 : 2;  // runs × rows of a tile
  static constexpr int kDistanceBuffers = 2 * kDistanceLists;    // two tiles alternate

  static constexpr int kKeysAt = 0;
  static constexpr int kValuesAt = kKeysAt + Config::kStages * kStageBytes;
  static constexpr int kQueriesAt = kValuesAt + Config::kStages * kStageBytes;
  static constexpr int kSkewAt = kQueriesAt + Config::kConsumers * kQueryTile;
  static constexpr int kDistancesAt = kSkewAt + Config::kConsumers * kSkew * 4;
  static constexpr int kBarriersAt = kDistancesAt + Config::kConsumers * kDistanceBuffers * kDistances * 4;
  static constexpr int kBarriers = 4 * Config::kStages + 2 * Config::kConsumers;
  static constexpr int kBytes = kBarriersAt + kBarriers * 8;
  static_assert(kBytes <= 227 * 1024);
};

struct HopperArguments {
  // [0]: columns 0 … 63. [1]: the other 16 of D = 80. Dimensions: d, head, token, image; or d, head, column, row, image; or
  // d, table row.
  TensorMap q[2], k[2], rel_h[2], rel_w[2];
  TensorMap v;
  void* out;
  int64_t out_batch, work_tiles;  // work_tiles: images · heads · q_tiles
  int out_token;
  int heads, q_tiles, q_count;  // q_tiles: pieces of the queries, each for a block or for a cluster
  int rows, columns;            // of the rectangle of keys
  const float* slopes;
  float start, scale_log2, to_accumulator;  // the scale of exponents of 2, and 1 / that
  bool has_tables, fold_manhattan, euclidean;
};

// `queries` queries of one head, for a block or for a cluster. The last one may have none for a cluster's
// second block, which takes part all the same.
struct HopperWorkTile {
  int image = 0, head = 0, first_query = 0;

  HopperWorkTile() = default;
  BA_SAM_HOST_DEVICE HopperWorkTile(const HopperArguments& a, int64_t work, int queries) {
    first_query = static_cast<int>(work % a.q_tiles) * queries;
    work /= a.q_tiles;
    head = static_cast<int>(work % a.heads);
    image = static_cast<int>(work / a.heads);
  }
};

// The columns of 64 consecutive queries: one run of at most 64 positions, or two where they wrap around the end of a row.
struct HopperRuns {
  int first;  // queries of the first run
  int base;   // position that the first run's table tile starts from; the second one's is 0
  int count;  // 1 or 2

  BA_SAM_HOST_DEVICE HopperRuns(int first_query, int columns) {
    const int x = first_query % columns;
    count = columns > kGroupQueries && x + kGroupQueries > columns ? 2 : 1;
    first = count == 2 ? columns - x : kGroupQueries;
    base = columns <= kGroupQueries ? 0 : x;
  }
};

// Table row that column 0 of the skewed products stands for; `keys` of the axis from `first_key` on, of `length` in all.
BA_SAM_HOST_DEVICE int first_table_row(int base, int first_key, int keys, int length) {
  return base - (first_key + keys - 1) + length - 1;
}

}  // namespace ba_sam::cuda
