// Fused attention in true f32 on the CUDA cores: for the mask decoder and for models loaded in f32.
//
//   out = softmax(scale · q kᵀ + row(i, ky) + column(i, kx) − slope · distance) · v
//
// q, k, v, out: [tokens, head_dim] of one head, through strides; head_dim ≤ D, missing channels are zeros. The terms are
// those of score_bias.h, but dot products in f32. Keys are walked in the tiles of geometry.h.
// Grid: x = one block per (image, window, head, tile of kQueries queries), y = splits of the keys. 128 threads: thread
// (ty, tx) = (thread / 16, thread % 16) scores queries ty·kRows … and keys tx + 16·j, then sums outputs of the same queries
// and channels tx + 16·i: all neighbours read neighbouring banks, or one address.
// Shared memory: q, one tile of keys (then of values), P, column terms, row terms: 86 KB at D = 80, so that it fits every
// card since sm_86 (99 KB).
//
// With few queries and many keys (the decoder's tokens look at the image) the keys are split over blocks: each writes its
// maximum, sum and unscaled output to the workspace, and combine_splits() merges them in a fixed order.
// Numeric hazards: softmax in base 2; sums run over keys in order, so results do not depend on anything but shapes.
// Reference: attention() of test/reference/basam_ref.py.
#pragma once

#include <cmath>

#include "../../../backends/cuda/primitives.h"
#include "geometry.h"
#include "log_sum_exp.h"

namespace ba_sam::cuda {

struct F32Arguments : AttentionLayout {
  const float *q, *k, *v;
  float* out;
  float* partial;  // [splits][blocks][kQueries][D + 2]: output, maximum, sum; null without splits
  int64_t q_batch, k_batch, v_batch, out_batch;
  int64_t q_token, k_token, v_token, out_token;
  int head_dim;
  int columns_per_tile, rows_per_tile;
  int tiles, tiles_per_split;
  const float *pad_k, *pad_v;
  float scale_log2;
  bool biased;  // there are row and column terms
  bool far;     // and a penalty that is not part of them
};

template <int D>
struct F32Tile {
  static constexpr int kThreads = 128;
  static constexpr int kQueries = D > 80 ? 32 : 64;
  static constexpr int kRows = kQueries / 8;  // queries of one thread
  static constexpr int kKeysOfThread = kTileKeys / 16;
  static constexpr int kChannels = D / 16;  // output channels of one thread
  static constexpr int kPitch = D + 4;      // floats; odd number of 16-byte units: no bank conflicts
  static constexpr int kScorePitch = kTileKeys + 4;
  static constexpr int kRowChunk = 32;  // key rows whose terms are kept at a time
  static constexpr int kRowPitch = kRowChunk + 1;
  static constexpr int kSharedBytes =
      4 * (kQueries * kPitch + kTileKeys * kPitch + 2 * kQueries * kScorePitch + kQueries * kRowPitch);
};

// One row of D channels from global to shared memory by the 16 threads with this tx; zeros for a null source.
template <int D>
__device__ void copy_row(float* target, const float* source, int head_dim, int tx) {
#pragma unroll
  for (int c = tx; c < D; c += 16) target[c] = source != nullptr && c < head_dim ? source[c] : 0.0f;
}

// A tile of keys or values; pad tokens of a window come from `pad`.
template <int D>
__device__ void load_tile(float* target, const F32Arguments& a, const BlockCoordinates& where, const TileCursor& at,
                          const float* base, int64_t token_stride, const float* pad) {
  const int tx = static_cast<int>(threadIdx.x) % 16;
  for (int key = static_cast<int>(threadIdx.x) / 16; key < kTileKeys; key += 8) {
    const int row = at.row + key / a.columns_per_tile, column = at.column + key % a.columns_per_tile;
    const float* source = nullptr;
    if (row < a.rows && column < a.columns) {
      const int64_t token = where.token(a, row, column);
      source = token < 0 ? pad : base + token * token_stride;
    }
    copy_row<D>(target + key * F32Tile<D>::kPitch, source, a.head_dim, tx);
  }
}

__device__ __forceinline__ float axis_distance(float d, float start) {
  return fmaxf(0.0f, fabsf(d) - start);
}

// out[i][j] = log2(e) · (q_i · table[position of i − (first + j) + length − 1] − slope · |distance| past start)
template <int D>
__device__ void axis_terms(float* out, int pitch, int count, const float* q, const float* table, const F32Arguments& a,
                           int first_query, int first, int length, bool columns, float slope) {
  for (int index = static_cast<int>(threadIdx.x); index < F32Tile<D>::kQueries * count; index += F32Tile<D>::kThreads) {
    const int i = index / count, j = index % count;
    const int query = min(first_query + i, a.q_count - 1);
    const int offset = (columns ? query % a.columns : query / a.columns) - (first + j);
    float sum = 0;
    if (table != nullptr && first + j < length) {
      const float* row = table + static_cast<int64_t>(offset + length - 1) * a.head_dim;
      for (int d = 0; d < a.head_dim; ++d) sum = fmaf(q[i * F32Tile<D>::kPitch + d], row[d], sum);
    }
    out[i * pitch + j] = kLog2E * (sum - slope * axis_distance(static_cast<float>(offset), a.start));
  }
}

__device__ __forceinline__ float max_of_16(float x) {
#pragma unroll
  for (int step = 1; step < 16; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
__device__ __forceinline__ float sum_of_16(float x) {
#pragma unroll
  for (int step = 1; step < 16; step *= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

template <int D>
__global__ void __launch_bounds__(128, 3) f32_attention(const F32Arguments a) {
  using Tile = F32Tile<D>;
  constexpr int kRows = Tile::kRows, kKeys = Tile::kKeysOfThread, kPitch = Tile::kPitch;
  const int ty = static_cast<int>(threadIdx.x) / 16, tx = static_cast<int>(threadIdx.x) % 16;
  const BlockCoordinates where(a, blockIdx.x, Tile::kQueries);
  float* q = reinterpret_cast<float*>(dynamic_shared());
  float* kv = q + Tile::kQueries * kPitch;
  float* p = kv + kTileKeys * kPitch;
  float* column_terms = p + Tile::kQueries * Tile::kScorePitch;
  float* row_terms = column_terms + Tile::kQueries * Tile::kScorePitch;

  const int64_t head = static_cast<int64_t>(where.head) * a.head_dim;
  for (int i = ty; i < Tile::kQueries; i += 8) {
    const int64_t token = where.query_token(a, where.first_query + i);
    const float* source = token < 0 ? nullptr : a.q + where.batch * a.q_batch + token * a.q_token + head;
    copy_row<D>(q + i * kPitch, source, a.head_dim, tx);
  }

  const float slope = a.slopes == nullptr ? 0.0f : a.slopes[where.head];
  const float folded = a.fold_manhattan ? slope : 0.0f;
  const float* k_head = a.k + where.batch * a.k_batch + head;
  const float* v_head = a.v + where.batch * a.v_batch + head;
  float out[kRows][Tile::kChannels] = {};
  float maximum[kRows], sum[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    maximum[i] = -INFINITY;
    sum[i] = 0;
  }

  const int first_tile = static_cast<int>(blockIdx.y) * a.tiles_per_split;
  const int last_tile = min(first_tile + a.tiles_per_split, a.tiles);
  TileCursor at;
  at.column = first_tile * a.columns_per_tile;  // splits are for plain lists of keys: one row
  for (int tile = first_tile; tile < last_tile; ++tile) {
    __syncthreads();  // the last tile's values are not needed any more; q has arrived
    load_tile<D>(kv, a, where, at, k_head, a.k_token, a.window == 0 ? nullptr : a.pad_k + head);
    if (a.biased && at.row == 0) {
      axis_terms<D>(column_terms, Tile::kScorePitch, a.columns_per_tile, q, a.rel_w, a, where.first_query, at.column,
                    a.columns, true, folded);
    }
    if (a.biased && at.row % Tile::kRowChunk == 0) {
      axis_terms<D>(row_terms, Tile::kRowPitch, Tile::kRowChunk, q, a.rel_h, a, where.first_query, at.row, a.rows,
                    false, folded);
    }
    __syncthreads();

    float score[kRows][kKeys] = {};
    for (int d = 0; d < D; d += 4) {
      float4 k4[kKeys];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) k4[j] = *reinterpret_cast<const float4*>(kv + (tx + 16 * j) * kPitch + d);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float4 q4 = *reinterpret_cast<const float4*>(q + (ty * kRows + i) * kPitch + d);
#pragma unroll
        for (int j = 0; j < kKeys; ++j) {
          score[i][j] = fmaf(q4.x, k4[j].x, score[i][j]);
          score[i][j] = fmaf(q4.y, k4[j].y, score[i][j]);
          score[i][j] = fmaf(q4.z, k4[j].z, score[i][j]);
          score[i][j] = fmaf(q4.w, k4[j].w, score[i][j]);
        }
      }
    }

#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int row = ty * kRows + i;
      float highest = -INFINITY;
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        const int key = tx + 16 * j, column = key % a.columns_per_tile, group = key / a.columns_per_tile;
        float bias = 0;
        if (a.biased) {
          bias = column_terms[row * Tile::kScorePitch + column] +
                 row_terms[row * Tile::kRowPitch + at.row % Tile::kRowChunk + group];
          if (a.far) {
            const int query = where.first_query + row;
            const float dx = axis_distance(static_cast<float>(query % a.columns - at.column - column), a.start);
            const float dy = axis_distance(static_cast<float>(query / a.columns - at.row - group), a.start);
            bias = fmaf(-slope * kLog2E, a.euclidean ? sqrtf(dx * dx + dy * dy) : fmaxf(dx, dy), bias);
          }
        }
        const bool valid = at.row + group < a.rows && at.column + column < a.columns;
        score[i][j] = valid ? fmaf(score[i][j], a.scale_log2, bias) : -INFINITY;
        highest = fmaxf(highest, score[i][j]);
      }
      const float m = fmaxf(maximum[i], max_of_16(highest));
      const float factor = exp2_fast(maximum[i] - m);
      maximum[i] = m;
      sum[i] *= factor;
#pragma unroll
      for (int c = 0; c < Tile::kChannels; ++c) out[i][c] *= factor;
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        const float weight = exp2_fast(score[i][j] - m);
        sum[i] += weight;
        p[row * Tile::kScorePitch + tx + 16 * j] = weight;
      }
    }
    __syncthreads();  // P is there, the keys are not needed any more
    load_tile<D>(kv, a, where, at, v_head, a.v_token, a.window == 0 ? nullptr : a.pad_v + head);
    __syncthreads();
    for (int key = 0; key < kTileKeys; key += 4) {
      float4 weight[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        weight[i] = *reinterpret_cast<const float4*>(p + (ty * kRows + i) * Tile::kScorePitch + key);
      }
#pragma unroll
      for (int c = 0; c < Tile::kChannels; ++c) {
        const float* column = kv + key * kPitch + tx + 16 * c;
        const float v0 = column[0], v1 = column[kPitch], v2 = column[2 * kPitch], v3 = column[3 * kPitch];
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          out[i][c] = fmaf(weight[i].x, v0, out[i][c]);
          out[i][c] = fmaf(weight[i].y, v1, out[i][c]);
          out[i][c] = fmaf(weight[i].z, v2, out[i][c]);
          out[i][c] = fmaf(weight[i].w, v3, out[i][c]);
        }
      }
    }
    at.advance(a.rows, a.rows_per_tile, a.columns_per_tile);
  }

#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const float total = sum_of_16(sum[i]);
    const int row = ty * kRows + i;
    if (a.partial != nullptr) {
      const int64_t block = static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;
      float* target = a.partial + (block * Tile::kQueries + row) * (D + 2);
#pragma unroll
      for (int c = 0; c < Tile::kChannels; ++c) target[tx + 16 * c] = out[i][c];
      if (tx == 0) {
        target[D] = maximum[i];
        target[D + 1] = total;
      }
      continue;
    }
    const int64_t token = where.query_token(a, where.first_query + row);
    if (token < 0) continue;
    if (a.log_sum_exp != nullptr && tx == 0) {
      a.log_sum_exp[where.query_index(a, token)] = log_sum_exp(maximum[i], total);
    }
    float* target = a.out + where.batch * a.out_batch + token * a.out_token + head;
#pragma unroll
    for (int c = 0; c < Tile::kChannels; ++c) {
      if (tx + 16 * c < a.head_dim) target[tx + 16 * c] = out[i][c] / total;
    }
  }
}

// Merges the splits of one query per block of D threads, in their order.
template <int D>
__global__ void __launch_bounds__(D) combine_splits(const F32Arguments a, int splits, int64_t blocks) {
  using Tile = F32Tile<D>;
  const int64_t block = blockIdx.x;
  const int row = static_cast<int>(blockIdx.y), channel = static_cast<int>(threadIdx.x);
  const int query = static_cast<int>(block % a.q_tiles) * Tile::kQueries + row;
  const int head = static_cast<int>(block / a.q_tiles % a.heads);
  const int64_t batch = block / a.q_tiles / a.heads;
  auto source = [&](int split) { return a.partial + ((split * blocks + block) * Tile::kQueries + row) * (D + 2); };
  float maximum = -INFINITY;
  for (int split = 0; split < splits; ++split) maximum = fmaxf(maximum, source(split)[D]);
  float total = 0, out = 0;
  for (int split = 0; split < splits; ++split) {
    const float factor = exp2_fast(source(split)[D] - maximum);
    total = fmaf(factor, source(split)[D + 1], total);
    out = fmaf(factor, source(split)[channel], out);
  }
  if (query < a.q_count && channel < a.head_dim) {
    a.out[batch * a.out_batch + query * a.out_token + static_cast<int64_t>(head) * a.head_dim + channel] = out / total;
    if (a.log_sum_exp != nullptr && channel == 0) {
      a.log_sum_exp[(batch * a.heads + head) * a.q_tokens + query] = log_sum_exp(maximum, total);
    }
  }
}

}  // namespace ba_sam::cuda
