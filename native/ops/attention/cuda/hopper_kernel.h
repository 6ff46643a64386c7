// Fused attention for sm_90a, warp-specialised: one thread of the producer warpgroup loads tiles through the tensor memory
// accelerator (TMA) into a pipeline of stages, consumer warpgroups multiply them with wgmma; mbarriers say which stages are full
// and which empty. What is computed is what mma_kernel.h computes, in other tiles: hopper_tile.h.
//
//   for strips of columns:   column terms = skewed Q · R_wᵀ → registers, divided by the scale
//     for chunks of rows:    row terms    = skewed Q · R_hᵀ → shared memory
//       for tiles:           S = column terms (− penalty · distance); S += Q · Kᵀ
//                            P = exp2(c · S + (row term − maximum)); O += P · V
//
//  Without distances the row term, divided by the scale as well, is part of the start value of S instead.
//
// Persistent: a block takes every gridDim-th work tile, the producer runs ahead into the next one.
// Ping-pong scheduling (kPingpong): the consumer warpgroups issue their wgmmas in a fixed order, one after the other.
// Intra-warpgroup overlap (kIntraWarpgroup): S of tile j + 1 and O of tile j are in flight while nothing waits; the softmax of
// j + 1 then runs beside P(j) · V(j). O is rescaled after that product, only when a maximum has grown by more than 2^8.
//
// In a cluster the blocks' pipelines advance together: stage i of both holds the same tile, or in each block a table of its own.
// A producer multicasts to the other block's stage, too, hence
//   empty barriers count the consumers of both blocks, for tables as well;
//   full barriers expect the whole tile, half of it from the other block. That half may arrive before this block's producer
//     has announced the tile: the phase cannot end without the announcement. It cannot arrive a phase early: the other
//     producer has waited for this block's consumers, too;
//   blocks begin and end together (cluster_sync).
//
// Numeric hazards: as in mma_kernel.h. Tables are rounded to the operands' dtype (round_tables, before this kernel).
// Hazards of wgmma: between wgmma_fence and the wait, accumulators, P and the shared tiles must not be touched;
// scripts/check-cuda-kernels.mts fails when ptxas serialises.
#pragma once

#include <cmath>

#include "hopper_tile.h"

namespace ba_sam::cuda {

// The stage that comes next, and the parity of its mbarriers' phase; the same walk on both sides.
template <int kStages>
struct PipelineState {
  int stage = 0;
  uint32_t parity = 0;

  __device__ __forceinline__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

struct HopperBarriers {
  uint64_t *full_keys, *empty_keys, *full_values, *empty_values;  // [kStages]
  uint64_t *full_queries, *empty_queries;                         // [kConsumers]

  template <typename Config>
  __device__ static HopperBarriers at(uint8_t* memory) {
    auto* first = reinterpret_cast<uint64_t*>(memory);
    constexpr int n = Config::kStages;
    return {first, first + n, first + 2 * n, first + 3 * n, first + 4 * n, first + 4 * n + Config::kConsumers};
  }
};

// Which work tiles a cluster takes, and where a block is in its cluster.
template <typename Config>
struct HopperTileScheduler {
  static constexpr int kQueries = Config::kQueries * Config::kCluster;

  static __device__ __forceinline__ int64_t first() { return blockIdx.x / Config::kCluster; }
  static __device__ __forceinline__ int64_t step() { return gridDim.x / Config::kCluster; }
  static __device__ __forceinline__ HopperWorkTile work(const HopperArguments& a, int64_t index) {
    HopperWorkTile work(a, index, kQueries);
    if constexpr (Config::kCluster > 1) work.first_query += static_cast<int>(cluster_rank()) * Config::kQueries;
    return work;
  }
  // Tables of columns that the pipeline brings for a group: in a cluster as many for each, used or not.
  static __device__ __forceinline__ int column_tables(const HopperArguments& a, const HopperRuns& runs) {
    if constexpr (Config::kCluster == 1) return runs.count;
    return a.columns > kGroupQueries ? 2 : 1;
  }
};

// The producer: one thread.
template <int D, typename Config>
struct HopperProducer {
  using Shared = HopperShared<D, Config>;
  using Scheduler = HopperTileScheduler<Config>;
  const HopperArguments& a;
  const HopperBarriers& barriers;
  uint8_t* shared;
  PipelineState<Config::kStages> keys, values;
  uint32_t query_parity = 0;

  // `rows` rows of `maps`, 64 columns and, for D = 80, 16 more behind them; load(to, map, column) copies one part.
  template <typename Load>
  __device__ __forceinline__ void load_wide(uint8_t* to, const TensorMap (&maps)[2], int rows, const Load& load) {
    load(to, maps[0], 0);
    if constexpr (D == 80) load(to + rows * Shared::kWidePart, maps[1], 64);
  }

  __device__ void load_queries(const HopperWorkTile& work) {
#pragma unroll
    for (int group = 0; group < Config::kConsumers; ++group) {
      uint64_t* full = barriers.full_queries + group;
      mbarrier_wait(barriers.empty_queries + group, query_parity ^ 1);
      mbarrier_arrive_expect_tx(full, Shared::kQueryTile);
      load_wide(shared + Shared::kQueriesAt + group * Shared::kQueryTile, a.q, kGroupQueries,
                [&](uint8_t* to, const TensorMap& map, int d) {
                  tma_load(to, map, full, d, work.head, work.first_query + group * kGroupQueries, work.image);
                });
    }
    query_parity ^= 1;
  }

  // Multicasts this block's row of a part of a tile of keys or values, `width` columns, to all blocks of the cluster.
  __device__ __forceinline__ void load_row(uint8_t* to, const TensorMap& map, uint64_t* full, int d, int width,
                                           const HopperWorkTile& work, int row, int column) {
    const auto rank = static_cast<int>(cluster_rank());
    tma_load_multicast(to + rank * Config::kStrip * width * 2, map, full, d, work.head, column, row + rank, work.image,
                       (1 << Config::kCluster) - 1);
  }

  // A stage of the keys' pipeline that this block has no table for.
  __device__ void skip_table() {
    mbarrier_wait(barriers.empty_keys + keys.stage, keys.parity ^ 1);
    mbarrier_arrive(barriers.full_keys + keys.stage);
    keys.advance();
  }

  __device__ void load_table(const TensorMap (&maps)[2], int first_row) {
    uint64_t* full = barriers.full_keys + keys.stage;
    mbarrier_wait(barriers.empty_keys + keys.stage, keys.parity ^ 1);
    mbarrier_arrive_expect_tx(full, kTableRows * D * 2);
    load_wide(shared + Shared::kKeysAt + keys.stage * Shared::kStageBytes, maps, kTableRows,
              [&](uint8_t* to, const TensorMap& map, int d) { tma_load(to, map, full, d, first_row); });
    keys.advance();
  }

  __device__ void load_tile(const HopperWorkTile& work, int row, int column) {
    uint64_t* full = barriers.full_keys + keys.stage;
    mbarrier_wait(barriers.empty_keys + keys.stage, keys.parity ^ 1);
    mbarrier_arrive_expect_tx(full, Config::kKeys * D * 2);
    load_wide(shared + Shared::kKeysAt + keys.stage * Shared::kStageBytes, a.k, Config::kKeys,
              [&](uint8_t* to, const TensorMap& map, int d) {
                if constexpr (Config::kCluster == 1) {
                  tma_load(to, map, full, d, work.head, column, row, work.image);
                } else {
                  load_row(to, map, full, d, d == 0 ? 64 : 16, work, row, column);
                }
              });
    keys.advance();

    full = barriers.full_values + values.stage;
    mbarrier_wait(barriers.empty_values + values.stage, values.parity ^ 1);
    mbarrier_arrive_expect_tx(full, Config::kKeys * D * 2);
#pragma unroll
    for (int part = 0; part < Shared::kValueParts; ++part) {
      uint8_t* to = shared + Shared::kValuesAt + values.stage * Shared::kStageBytes + part * Shared::kValuePart;
      if constexpr (Config::kCluster == 1) {
        tma_load(to, a.v, full, part * Shared::kValueWidth, work.head, column, row, work.image);
      } else {
        load_row(to, a.v, full, part * Shared::kValueWidth, Shared::kValueWidth, work, row, column);
      }
    }
    values.advance();
  }

  __device__ void run() {
    prefetch_tensor_map(a.q[0]);
    prefetch_tensor_map(a.k[0]);
    prefetch_tensor_map(a.v);
    for (int64_t index = Scheduler::first(); index < a.work_tiles; index += Scheduler::step()) {
      const HopperWorkTile work = Scheduler::work(a, index);
      load_queries(work);
      for (int column = 0; column < a.columns; column += Config::kStrip) {
        if (a.has_tables) {
          for (int group = 0; group < Config::kConsumers; ++group) {
            const HopperRuns runs(work.first_query + group * kGroupQueries, a.columns);
            for (int run = 0; run < runs.count; ++run) {
              load_table(a.rel_w, first_table_row(run == 0 ? runs.base : 0, column, Config::kStrip, a.columns));
            }
            for (int run = runs.count; run < Scheduler::column_tables(a, runs); ++run) skip_table();
          }
        }
        for (int row = 0; row < a.rows; row += 2) {
          if (a.has_tables && row % kRowChunk == 0) {
            for (int group = 0; group < Config::kConsumers; ++group) {
              const int y = (work.first_query + group * kGroupQueries) / a.columns;
              load_table(a.rel_h, first_table_row(y, row, kRowChunk, a.rows));
            }
          }
          load_tile(work, row, column);
        }
      }
    }
  }
};

// A consumer warpgroup. Thread: rows g and g + 8 of its warp's 16 queries, columns 2t and 2t + 1 of every
// 8 (primitives.h).
template <typename T, int D, ScoreBias kBias, typename Config>
struct HopperConsumer {
  using Shared = HopperShared<D, Config>;
  using Scheduler = HopperTileScheduler<Config>;
  static constexpr int kTiles = Config::kTiles, kRowTiles = Config::kRowTiles;
  static constexpr bool kFromZero = kBias == ScoreBias::none;  // scores start from nothing

  const HopperArguments& a;
  const HopperBarriers& barriers;
  uint8_t* shared;
  int group, thread, warp, g, t;  // warp: of the group
  PipelineState<Config::kStages> keys, values;
  uint32_t query_parity = 0;
  uint64_t query_descriptor, query_rest;  // columns 0 … 63, and the others
  float* skew;                            // this warp's 16 rows
  float* distances;
  int distance_buffer = 0;

  HopperWorkTile work;
  int first_query;
  float slope;
  float out[D / 8][4];
  float maximum[2], sum[2];
  float column_term[kBias == ScoreBias::none ? 1 : kRowTiles][4];
  int row_offset[2];  // in skew: the term of a chunk's first key row
  int x0, y0;         // of the first query
  int first_run;      // queries in its grid row

  __device__ HopperConsumer(const HopperArguments& arguments, const HopperBarriers& all, uint8_t* memory)
      : a(arguments), barriers(all), shared(memory) {
    // Through a shuffle the compiler knows that a warp's threads agree: descriptors stay in uniform registers, and branches
    // around products need no votes. 17 to 21 instructions a tile (SASS of nvcc 13.0).
    group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128, 0) - 1;
    thread = static_cast<int>(threadIdx.x) % 128;
    warp = thread / 32;
    g = thread % 32 / 4;
    t = thread % 4;
    const uint8_t* queries = shared + Shared::kQueriesAt + group * Shared::kQueryTile;
    query_descriptor = matrix_descriptor(queries, 16, 1024, Swizzle::bytes_128);
    query_rest = matrix_descriptor(queries + kGroupQueries * Shared::kWidePart, 16, 256, Swizzle::bytes_32);
    skew = reinterpret_cast<float*>(shared + Shared::kSkewAt) + group * Shared::kSkew + warp * 16 * Shared::kSkewPitch;
    distances =
        reinterpret_cast<float*>(shared + Shared::kDistancesAt) + group * Shared::kDistanceBuffers * Shared::kDistances;
  }

  __device__ __forceinline__ void release(uint64_t* barrier) const {
    __syncwarp();
    if (thread % 32 == 0) mbarrier_arrive(barrier);
  }

  // The same for a stage, which the producers of all blocks of a cluster fill.
  __device__ __forceinline__ void release_stage(uint64_t* barrier) const {
    if constexpr (Config::kCluster == 1) return release(barrier);
    __syncwarp();
    if (thread % 32 < Config::kCluster) mbarrier_arrive_cluster(barrier, thread % 32);
  }

  // s += Q · tileᵀ, or s = Q · tileᵀ where nothing was in it (kFirst); not waited for.
  template <bool kFirst, int kCount>
  __device__ __forceinline__ void multiply_keys(float (&s)[kCount][4], int stage) const {
    const uint8_t* tile = shared + Shared::kKeysAt + stage * Shared::kStageBytes;
    const uint64_t wide = matrix_descriptor(tile, 16, 1024, Swizzle::bytes_128);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      if (kFirst && step == 0)
        wgmma_shared_first<T>(s, query_descriptor, wide);
      else
        wgmma_shared<T>(s, query_descriptor + 2 * step, wide + 2 * step);
    }
    if constexpr (D == 80) {
      wgmma_shared<T>(s, query_rest,
                      matrix_descriptor(tile + kCount * 8 * Shared::kWidePart, 16, 256, Swizzle::bytes_32));
    }
  }

  // out += P · V of the stage, not waited for.
  __device__ __forceinline__ void multiply_values(const uint32_t (&p)[kTiles / 2][4], int stage) {
    const uint8_t* tile = shared + Shared::kValuesAt + stage * Shared::kStageBytes;
    constexpr uint32_t kRowBytes = Shared::kValueWidth * 2;
    const uint64_t v = matrix_descriptor(tile, Shared::kValuePart, 8 * kRowBytes, Shared::kValueSwizzle);
#pragma unroll
    for (int step = 0; step < kTiles / 2; ++step) wgmma_registers<T>(out, p[step], v + step * (16 * kRowBytes / 16));
  }

  // Skewed products of this warp's queries with the next table tile into `skew`: log2(e) · (q · r − slope · max(0, |d| − start)).
  // With take = false only passes the tile on: it is another group's.
  __device__ void receive_table(bool take, int first_row, int length) {
    float products[kTableRows / 8][4] = {};
    if (a.has_tables) {
      mbarrier_wait(barriers.full_keys + keys.stage, keys.parity);
      if (take) {
        wgmma_fence();
        multiply_keys<true>(products, keys.stage);
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(products);
      }
      release_stage(barriers.empty_keys + keys.stage);
      keys.advance();
    }
    if (!take) return;
    if (a.fold_manhattan) {
#pragma unroll
      for (int n = 0; n < kTableRows / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const float offset = static_cast<float>(skew_offset(first_row, 8 * n + 2 * t + e, length));
          const float penalty = slope * fmaxf(0.0f, fabsf(offset) - a.start);
          products[n][e] -= penalty;
          products[n][2 + e] -= penalty;
        }
      }
    }
    __syncwarp();  // what was here has been read
#pragma unroll
    for (int n = 0; n < kTableRows / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        *reinterpret_cast<float2*>(skew + (g + 8 * half) * Shared::kSkewPitch + 8 * n + 2 * t) =
            make_float2(kLog2E * products[n][2 * half], kLog2E * products[n][2 * half + 1]);
      }
    }
    __syncwarp();
  }

  // Column terms of the strip at `column`, divided by the scale; −∞ where there is no column.
  __device__ void load_columns(int column) {
    for (int other = 0; other < Config::kConsumers; ++other) {
      if (!a.has_tables && other != group) continue;
      const HopperRuns runs(work.first_query + other * kGroupQueries, a.columns);
      for (int run = 0; run < Scheduler::column_tables(a, runs); ++run) {
        const int base = run == 0 ? runs.base : 0;
        const bool take = other == group && (Config::kCluster == 1 || run < runs.count);
        receive_table(take, first_table_row(base, column, Config::kStrip, a.columns), a.columns);
        if (!take) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int query = 16 * warp + g + 8 * half;
          if ((query < runs.first) != (run == 0)) continue;
          const float* row = skew + (g + 8 * half) * Shared::kSkewPitch + (first_query + query) % a.columns - base +
                             Config::kStrip - 1;
#pragma unroll
          for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int key = 8 * n + 2 * t + e;
              column_term[n][2 * half + e] = column + key < a.columns ? row[-key] * a.to_accumulator : -INFINITY;
            }
          }
        }
      }
    }
  }

  // Row terms of the chunk of key rows from `row` on.
  __device__ void load_rows(int row) {
    for (int other = 0; other < Config::kConsumers; ++other) {
      if (!a.has_tables && other != group) continue;
      const int y = (work.first_query + other * kGroupQueries) / a.columns;
      receive_table(other == group, first_table_row(y, row, kRowChunk, a.rows), a.rows);
    }
  }

  // max(0, |d| − start), squared for the Euclidean metric
  __device__ __forceinline__ float axis_distance(int d) const {
    const float distance = fmaxf(0.0f, fabsf(static_cast<float>(d)) - a.start);
    return a.euclidean ? distance * distance : distance;
  }

  // Term of key row `row` for the query g + 8 · half; −∞ where there is no row.
  __device__ __forceinline__ float row_term(int row, int half) const {
    return row < a.rows ? skew[row_offset[half] - row % kRowChunk] : -INFINITY;
  }

  // The start values of a tile's scores. Everything that biases need for this tile is made here.
  __device__ __forceinline__ void start_tile(float (&s)[kTiles][4], int row, int column) {
    if constexpr (kBias == ScoreBias::none) return;
    if (row == 0) load_columns(column);
    if (row % kRowChunk == 0) load_rows(row);
    if constexpr (kBias == ScoreBias::distance) {
      // Within one grid row distances depend on column − query alone: one list for all queries of a run. Number j stands for
      // key column − (position of the query − the run's base) = column + j − 63. Both copies: float2 loads start at an even
      // number.
      float* buffer = distances + distance_buffer * Shared::kDistanceLists * Shared::kDistances;
      distance_buffer ^= 1;
#pragma unroll
      for (int run = 0; run < (Config::kWraps ? 2 : 1); ++run) {
        const float dx = axis_distance((run == 0 ? x0 : 0) - column - (thread - (kGroupQueries - 1)));
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float dy = axis_distance(y0 + run - row - r);
          const float distance = a.euclidean ? sqrt_fast(dx + dy) : fmaxf(dx, dy);
          float* list = buffer + (2 * run + r) * Shared::kDistances;
          list[thread] = distance;
          if (thread + 1 < kTableRows) list[kTableRows + thread + 1] = distance;
        }
      }
      named_barrier_sync(1 + group, 128);
      const float penalty = slope * kLog2E * a.to_accumulator;
      if constexpr (Config::kWraps) {
        // Query i of a run meets key 8n + 2t + e at number 8n + (2t + e − i + 63).
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int query = 16 * warp + g + 8 * half, run = query < first_run ? 0 : 1;
          const int first = 2 * t - (query - run * first_run) + kGroupQueries - 1;
          const float* list = buffer + 2 * run * Shared::kDistances + (first & 1) * (kTableRows + 1) + first;
#pragma unroll
          for (int r = 0; r < 2; ++r) {
#pragma unroll
            for (int n = 0; n < kRowTiles; ++n) {
              const float2 d = *reinterpret_cast<const float2*>(list + r * Shared::kDistances + 8 * n);
              float(&start)[4] = s[r * kRowTiles + n];
              start[2 * half] = fmaf(-penalty, d.x, column_term[n][2 * half]);
              start[2 * half + 1] = fmaf(-penalty, d.y, column_term[n][2 * half + 1]);
            }
          }
        }
        return;
      }
      // Row 16·warp + g + 8·half meets key 8n + 2t + e at number 8(n − half) + (2t + e − 16·warp − g + 63): what one half
      // reads serves the other one tile later.
      const int first = 2 * t - 16 * warp - g + kGroupQueries - 1;
      const float* list = buffer + (first & 1) * (kTableRows + 1) + first;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float2 d[kRowTiles + 1];  // d[i]: of n − half = i − 1
#pragma unroll
        for (int i = 0; i <= kRowTiles; ++i) {
          d[i] = *reinterpret_cast<const float2*>(list + r * Shared::kDistances + 8 * (i - 1));
        }
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            s[r * kRowTiles + n][2 * half] = fmaf(-penalty, d[n + 1 - half].x, column_term[n][2 * half]);
            s[r * kRowTiles + n][2 * half + 1] = fmaf(-penalty, d[n + 1 - half].y, column_term[n][2 * half + 1]);
          }
        }
      }
    } else {
      // Both terms: an addition takes the place of a move, and the softmax has one term less.
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float term[2] = {row_term(row + r, 0) * a.to_accumulator, row_term(row + r, 1) * a.to_accumulator};
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) s[r * kRowTiles + n][i] = column_term[n][i] + term[i / 2];
        }
      }
    }
  }

  static __device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
  }

  // Scores → probabilities in place. factor: of older sums and of `out`, to be applied by rescale() when it returns true
  // (the same for the whole warp). Row terms are in the scores already, unless distances took their place.
  __device__ __forceinline__ bool softmax(float (&s)[kTiles][4], float (&factor)[2], int row) {
    constexpr int kParts = kBias == ScoreBias::distance ? 2 : 1;  // of a tile, each with a term of its own
    constexpr int kPartTiles = kTiles / kParts;
    float term[kParts][2] = {};
    if constexpr (kBias == ScoreBias::distance) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int half = 0; half < 2; ++half) term[r][half] = row_term(row + r, half);
      }
    }
    bool grew = false;
    float highest[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      highest[half] = -INFINITY;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        float high = -INFINITY;
#pragma unroll
        for (int n = part * kPartTiles; n < (part + 1) * kPartTiles; ++n) {
          high = fmaxf(high, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        }
        highest[half] = fmaxf(highest[half], fmaf(high, a.scale_log2, term[part][half]));
      }
      highest[half] = quad_max(highest[half]);
      grew = grew || highest[half] > maximum[half] + 8.0f;
    }
    grew = __any_sync(0xffffffffu, grew);
    if (grew) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float next = fmaxf(maximum[half], highest[half]);
        factor[half] = exp2_fast(maximum[half] - next);
        maximum[half] = next;
        sum[half] *= factor[half];
      }
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float shift = term[part][half] - maximum[half];
#pragma unroll
        for (int n = part * kPartTiles; n < (part + 1) * kPartTiles; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& score = s[n][2 * half + e];
            score = exp2_fast(fmaf(score, a.scale_log2, shift));
            sum[half] += score;
          }
        }
      }
    }
    return grew;
  }

  __device__ __forceinline__ void rescale(const float (&factor)[2]) {
#pragma unroll
    for (int d = 0; d < D / 8; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[d][i] *= factor[i / 2];
    }
  }

  static __device__ __forceinline__ void pack(uint32_t (&p)[kTiles / 2][4], const float (&s)[kTiles][4]) {
#pragma unroll
    for (int n = 0; n < kTiles / 2; ++n) {
      p[n][0] = pack2<T>(s[2 * n][0], s[2 * n][1]);
      p[n][1] = pack2<T>(s[2 * n][2], s[2 * n][3]);
      p[n][2] = pack2<T>(s[2 * n + 1][0], s[2 * n + 1][1]);
      p[n][3] = pack2<T>(s[2 * n + 1][2], s[2 * n + 1][3]);
    }
  }

  // Ping-pong: named barrier kFirstPingpongBarrier + group opens for a group when the one before it has issued its wgmmas.
  static constexpr int kFirstPingpongBarrier = 8;
  __device__ __forceinline__ void pingpong_wait() const {
    if constexpr (Config::kPingpong) named_barrier_sync(kFirstPingpongBarrier + group, 256);
  }
  __device__ __forceinline__ void pingpong_arrive() const {
    if constexpr (Config::kPingpong) {
      named_barrier_arrive(kFirstPingpongBarrier + (group + 1) % Config::kConsumers, 256);
    }
  }

  __device__ __forceinline__ void advance_tile(int& row, int& column) const {
    row += 2;
    if (row >= a.rows) {
      row = 0;
      column += Config::kStrip;
    }
  }

  // The first or only product of scores with the next tile of keys, waited for.
  __device__ __forceinline__ void score_tile(float (&s)[kTiles][4]) {
    mbarrier_wait(barriers.full_keys + keys.stage, keys.parity);
    if constexpr (!kFromZero) wgmma_pin(s);
    pingpong_wait();
    wgmma_fence();
    multiply_keys<kFromZero>(s, keys.stage);
    wgmma_commit();
    pingpong_arrive();
    wgmma_wait<0>();
    wgmma_pin(s);
    release_stage(barriers.empty_keys + keys.stage);
    keys.advance();
  }

  __device__ __forceinline__ void add_values(const uint32_t (&p)[kTiles / 2][4]) {
    mbarrier_wait(barriers.full_values + values.stage, values.parity);
    wgmma_pin(out);
    wgmma_fence();
    multiply_values(p, values.stage);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(out);
    release_stage(barriers.empty_values + values.stage);
    values.advance();
  }

  __device__ void run_tiles() {
    float s[kTiles][4];
    uint32_t p[kTiles / 2][4];
    float factor[2] = {1.0f, 1.0f};
    int row = 0, column = 0;
    if constexpr (Config::kIntraWarpgroup) {
      start_tile(s, row, column);
      score_tile(s);
      softmax(s, factor, row);  // nothing to rescale yet
      pack(p, s);
      advance_tile(row, column);
      if (column < a.columns) start_tile(s, row, column);
      // What stands where in this loop was read off the machine code (nvcc 13.0). The start values of the next tile are made
      // at its end, under its condition: at its beginning ptxas sinks them to between pingpong_wait and wgmma, 64 moves
      // that the other group waits for. Everything that may block comes before pingpong_wait.
      while (column < a.columns) {
        if constexpr (!kFromZero) wgmma_pin(s);
        wgmma_pin(out);
        mbarrier_wait(barriers.full_keys + keys.stage, keys.parity);
        mbarrier_wait(barriers.full_values + values.stage, values.parity);
        pingpong_wait();
        wgmma_fence();
        multiply_keys<kFromZero>(s, keys.stage);
        wgmma_commit();
        wgmma_fence();
        multiply_values(p, values.stage);
        wgmma_commit();
        pingpong_arrive();
        wgmma_wait<1>();
        wgmma_pin(s);
        release_stage(barriers.empty_keys + keys.stage);
        keys.advance();
        const bool grew = softmax(s, factor, row);
        wgmma_pin(s);
        // Has long been complete: the end of a basic block is what keeps ptxas from moving the wait for P · V up, above
        // the exponentials that are to run beside it.
        mbarrier_wait(barriers.full_values + values.stage, values.parity);
        wgmma_wait<0>();
        wgmma_pin(out);
        release_stage(barriers.empty_values + values.stage);
        values.advance();
        if (grew) rescale(factor);
        pack(p, s);
        advance_tile(row, column);
        if (column < a.columns) start_tile(s, row, column);
      }
      release(barriers.empty_queries + group);
      add_values(p);
    } else {
      for (; column < a.columns; advance_tile(row, column)) {
        start_tile(s, row, column);
        score_tile(s);
        if (softmax(s, factor, row)) rescale(factor);
        pack(p, s);
        add_values(p);
      }
      release(barriers.empty_queries + group);
    }
  }

  __device__ void store() const {
    T* head = static_cast<T*>(a.out) + work.image * a.out_batch + work.head * D;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sum[half];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      const float reciprocal = reciprocal_fast(total);
      const int token = first_query + 16 * warp + g + 8 * half;
      if (token >= a.q_count) continue;
      T* row = head + static_cast<int64_t>(token) * a.out_token + 2 * t;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
        *reinterpret_cast<uint32_t*>(row + 8 * d) =
            pack2<T>(out[d][2 * half] * reciprocal, out[d][2 * half + 1] * reciprocal);
      }
    }
  }

  __device__ void run() {
    if (group == Config::kConsumers - 1) pingpong_arrive();  // group 0 begins
    for (int64_t index = Scheduler::first(); index < a.work_tiles; index += Scheduler::step()) {
      work = Scheduler::work(a, index);
      first_query = work.first_query + group * kGroupQueries;
      slope = a.slopes == nullptr ? 0.0f : a.slopes[work.head];
      x0 = first_query % a.columns;
      y0 = first_query / a.columns;
      first_run = HopperRuns(first_query, a.columns).first;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = g + 8 * half;
        row_offset[half] = row * Shared::kSkewPitch + (first_query + 16 * warp + row) / a.columns - y0 + kRowChunk - 1;
        maximum[half] = -INFINITY;
        sum[half] = 0.0f;
      }
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out[d][i] = 0.0f;
      }
      mbarrier_wait(barriers.full_queries + group, query_parity);
      query_parity ^= 1;
      run_tiles();
      store();
    }
  }
};

template <typename T, int D, ScoreBias kBias, typename Config>
__global__ void __launch_bounds__(Config::kThreads, 1) hopper_mma_attention(const __grid_constant__ HopperArguments a) {
  using Shared = HopperShared<D, Config>;
  uint8_t* const shared = dynamic_shared_1024();
  const HopperBarriers barriers = HopperBarriers::at<Config>(shared + Shared::kBarriersAt);
  // Of a stage: one by each consumer warp of a cluster.
  constexpr uint32_t kReleases = 4 * Config::kConsumers * Config::kCluster;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Config::kStages; ++i) {
      mbarrier_init(barriers.full_keys + i, 1);
      mbarrier_init(barriers.empty_keys + i, kReleases);
      mbarrier_init(barriers.full_values + i, 1);
      mbarrier_init(barriers.empty_values + i, kReleases);
    }
    for (int i = 0; i < Config::kConsumers; ++i) {
      mbarrier_init(barriers.full_queries + i, 1);
      mbarrier_init(barriers.empty_queries + i, 4);
    }
    mbarrier_init_fence();
  }
  if constexpr (Config::kCluster == 1) {
    __syncthreads();
  } else {
    cluster_sync();
  }
  if (threadIdx.x < 128) {
    setmaxnreg_dec<Config::kProducerRegisters>();
    if (threadIdx.x == 0) {
      HopperProducer<D, Config> producer{a, barriers, shared};
      producer.run();
    }
  } else {
    setmaxnreg_inc<Config::kConsumerRegisters>();
    HopperConsumer<T, D, kBias, Config> consumer(a, barriers, shared);
    consumer.run();
  }
  if constexpr (Config::kCluster > 1) cluster_sync();  // the other block may still arrive at barriers of this one
}

}  // namespace ba_sam::cuda
