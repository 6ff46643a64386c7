// Relative positions and distance penalties inside the kernel: one term per key row and one per key column of a query.
//
//   row(i, ky)    = log2(e) · ( q_i · rel_h[yi − ky + rows − 1]    − slope · max(0, |yi − ky| − start) )
//   column(i, kx) = log2(e) · ( q_i · rel_w[xi − kx + columns − 1] − slope · max(0, |xi − kx| − start) )
//
// The penalty is part of them for the Manhattan metric only. Both are products of the queries with rows of a table: one
// mma product of 16 queries with a run of table rows holds every value, skewed (geometry.h); it goes through a small piece
// of shared memory that belongs to one mma tile of one warp. Cost: about 1 % of the MMAs of the keys they serve.
//
// The column terms of a strip stay in registers, divided by the scale, as start values of the score accumulators; the row
// terms stay in shared memory, 16 or 32 key rows at a time, and join the exponent's multiply-add.
// Numeric hazards: always the unscaled q. Tables are rounded to q's dtype, as PyTorch's are; sums stay f32.
#pragma once

#include <cmath>

#include "tile.h"

namespace ba_sam::cuda {

// out[i][j] = log2(e) · (q_i · table[first_row + j] − slope · max(0, |offset of j| − start)), j < kSpan, for one warp.
// Rows outside the table are never read by anybody: they are clamped, to stay inside its memory.
template <typename T, int D, int kSpan, int kPitch, typename QueriesT>
__device__ void skewed_products(float* out, const QueriesT& queries, int m, const float* table, int first_row,
                                int length, float sign, float slope, float start) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
#pragma unroll 1
  for (int n = 0; n < kSpan; n += 8) {
    float product[4] = {0, 0, 0, 0};
    if (table != nullptr) {
      const int row = min(max(first_row + n + g, 0), 2 * length - 2);
      const float* source = table + static_cast<int64_t>(row) * D + 2 * t;
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        const float2 low = *reinterpret_cast<const float2*>(source + 16 * step);
        const float2 high = *reinterpret_cast<const float2*>(source + 16 * step + 8);
        uint32_t q[4];
        queries.fragment(q, m, step);
        mma_16x8x16<T>(product, q, pack2<T>(low.x, low.y), pack2<T>(high.x, high.y), product);
      }
    }
    float penalty[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float offset = static_cast<float>(skew_offset(first_row, n + 2 * t + e, length));
      penalty[e] = slope * fmaxf(0.0f, fabsf(offset) - start);
    }
    float* target = out + g * kPitch + n + 2 * t;
    *reinterpret_cast<float2*>(target) =
        make_float2(kLog2E * (sign * product[0] - penalty[0]), kLog2E * (sign * product[1] - penalty[1]));
    *reinterpret_cast<float2*>(target + 8 * kPitch) =
        make_float2(kLog2E * (sign * product[2] - penalty[0]), kLog2E * (sign * product[3] - penalty[1]));
  }
}

// The terms of one mma tile's 16 queries. `skew` is this tile's piece of shared memory; no other warp touches it.
template <typename T, int D, ScoreBias kBias, typename TileT>
struct TileBias {
  using Layout = SharedLayout<D, TileT>;
  static constexpr int kPitch = Layout::kSkewPitch, kChunk = TileT::kChunk;

  float* skew;
  int first_query;
  bool one_row;       // all 16 queries lie in one grid row
  int row_offset[2];  // in skew: term of a chunk's first key row, for this lane's queries, rows g and g + 8 of the tile
  float column_term[TileT::kColumnTiles][4];  // start values of the accumulators
  // Column distances of row g, one mma tile to the left included: row g + 8 is eight columns further, so one list serves
  // both while they lie in one grid row. Squares for the Euclidean metric.
  float column_distance[kBias == ScoreBias::distance ? TileT::kColumnTiles + 1 : 1][2];

  __device__ void init(float* skew_memory, int first, int columns) {
    skew = skew_memory;
    first_query = first;
    one_row = first % columns + kFragmentRows <= columns;
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = g + 8 * half, y = (first_query + row) / columns;
      row_offset[half] = row * kPitch + skew_index(y - first_query / columns, 0, kChunk);
    }
  }

  // Terms of the strip that begins at `first_column`; columns outside the rectangle get −∞.
  template <typename QueriesT>
  __device__ void load_columns(const MmaArguments& a, const QueriesT& queries, int m, int first_column, float slope) {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
    const float to_accumulator = 1.0f / a.scale_log2;
    const QueryRun run(first_query, a.columns);
#pragma unroll
    for (int chunk = 0; chunk < TileT::kColumns; chunk += kChunk) {
      const int pieces = run.first_piece < kFragmentRows ? 2 : 1;
      for (int piece = 0; piece < pieces; ++piece) {
        const int base = piece == 0 ? run.base_x : 0;
        __syncwarp();
        skewed_products<T, D, kSkewSpan<kChunk>, kPitch>(
            skew, queries, m, a.rel_w, skew_first_row(base, first_column + chunk, kChunk, a.columns), a.columns,
            a.negate_q ? -1.0f : 1.0f, a.fold_manhattan ? slope : 0.0f, a.start);
        __syncwarp();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = g + 8 * half;
          if ((row < run.first_piece) != (piece == 0)) continue;
          const float* source = skew + row * kPitch + skew_index((first_query + row) % a.columns - base, 0, kChunk);
#pragma unroll
          for (int n = 0; n < kChunk / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int column = 8 * n + 2 * t + e;
              column_term[chunk / 8 + n][2 * half + e] =
                  first_column + chunk + column < a.columns ? source[-column] * to_accumulator : -INFINITY;
            }
          }
        }
      }
    }
    if constexpr (kBias == ScoreBias::distance) {
#pragma unroll
      for (int n = 0; n <= TileT::kColumnTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          column_distance[n][e] =
              axis_distance(a, (first_query + g) % a.columns - (first_column + 8 * (n - 1) + 2 * t + e));
        }
      }
    }
  }

  // Terms of the kChunk key rows from first_row on.
  template <typename QueriesT>
  __device__ void load_rows(const MmaArguments& a, const QueriesT& queries, int m, int first_row, float slope) {
    __syncwarp();
    skewed_products<T, D, kSkewSpan<kChunk>, kPitch>(
        skew, queries, m, a.rel_h, skew_first_row(first_query / a.columns, first_row, kChunk, a.rows), a.rows,
        a.negate_q ? -1.0f : 1.0f, a.fold_manhattan ? slope : 0.0f, a.start);
    __syncwarp();
  }

  __device__ float row_term(int half, int key_row) const {
    return skew[row_offset[half] - key_row % kChunk];
  }

  // Start values of the accumulators of the 8 columns of mma tile n in key row `key_row`.
  __device__ void start(float (&s)[4], const MmaArguments& a, int n, int first_column, int key_row, float slope) const {
    if constexpr (kBias == ScoreBias::distance) {
      const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
      const float penalty = slope * kLog2E / a.scale_log2;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = first_query + g + 8 * half;
        const float dy = axis_distance(a, query / a.columns - key_row);
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float dx = column_distance[n + 1 - half][e];
          if (half == 1 && !one_row) dx = axis_distance(a, query % a.columns - (first_column + 8 * n + 2 * t + e));
          const float distance = a.euclidean ? sqrt_fast(dx + dy) : fmaxf(dx, dy);
          s[2 * half + e] = fmaf(-penalty, distance, column_term[n][2 * half + e]);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) s[i] = column_term[n][i];
    }
  }

 private:
  // max(0, |d| − start), squared for the Euclidean metric
  static __device__ float axis_distance(const MmaArguments& a, int d) {
    const float distance = fmaxf(0.0f, fabsf(static_cast<float>(d)) - a.start);
    return a.euclidean ? distance * distance : distance;
  }
};

}  // namespace ba_sam::cuda
