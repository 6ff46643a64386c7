// Fused attention on tensor cores with mma.sync, for sm_80 and every later architecture.
//
//   S = scale · q kᵀ + row(i, ky) + column(i, kx) − slope · distance;   out = softmax(S) · v
//
// q, k, v: [tokens, D] of one head, through strides; out likewise. Score biases: score_bias.h.
// Grid: one block per (image, window, head, tile of 64 · kMTiles queries), q tiles fastest, so that blocks which run at the
// same time share keys in L2. Four warps, each with 16 · kMTiles queries of its own; keys in tiles of 64, double buffered.
// Shared memory (D = 64): K and V 2 × 2 × 64 × 72 × 2 = 36.9 KB, skewed products 13.3 KB: three blocks on an SM of sm_80 or
// sm_90. Registers are bound by launch bounds; scripts/check-cuda-kernels.mts fails on any spill.
//
// One tile: scores start at the column term / scale (the C operand of the first mma: no extra instruction), then
//   m' = max over the row of (c · S + row term),  P = exp2(c · S + (row term − m')),  c = |scale| · log2(e)
// so the row term rides in the multiply-add that the exponent needs anyway. Masked columns start at −∞ and cost nothing.
// O is rescaled only when a row's maximum has grown by more than 2^8 (P then stays below 256, in range of f16 too).
//
// Numeric hazards: softmax in base 2 and f32; P rounded to the operands' dtype, as PyTorch's fused kernels do. Every tile
// holds at least one key that counts, so the maximum is finite after the first one.
// Reference: attention() of test/reference/basam_ref.py; host emulation: test/cuda/attention_test.cpp.
#pragma once

#include "key_loader.h"
#include "log_sum_exp.h"
#include "score_bias.h"

namespace ba_sam::cuda {

// State of the online softmax of one mma tile: this lane's two rows, g and g + 8.
struct OnlineSoftmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};  // of this lane's columns only, until finish()
};

constexpr float kRescaleThreshold = 8.0f;  // log2

__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Scores of 64 keys → P, packed as A operands; out and sums rescaled where a maximum grew.
// row_term[group][half]: of the grid row that the group's columns lie in; zeros without a bias.
template <typename T, int D, int kGroups>
__device__ __forceinline__ void softmax_tile(uint32_t (&p)[kTileKeys / 16][4], float (&s)[kTileKeys / 8][4],
                                             float (&out)[D / 8][4], OnlineSoftmax& state,
                                             const float (&row_term)[kGroups][2], float scale_log2) {
  constexpr int kTilesPerGroup = kTileKeys / 8 / kGroups;
  float highest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = -INFINITY;
#pragma unroll
      for (int n = group * kTilesPerGroup; n < (group + 1) * kTilesPerGroup; ++n) {
        high = fmaxf(high, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      }
      highest[half] = fmaxf(highest[half], fmaf(high, scale_log2, row_term[group][half]));
    }
  }
  bool grew = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    highest[half] = quad_max(highest[half]);
    grew = grew || highest[half] > state.maximum[half] + kRescaleThreshold;
  }
  if (__any_sync(0xffffffffu, grew)) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float maximum = fmaxf(state.maximum[half], highest[half]);
      const float factor = exp2_fast(state.maximum[half] - maximum);
      state.maximum[half] = maximum;
      state.sum[half] *= factor;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
        out[d][2 * half] *= factor;
        out[d][2 * half + 1] *= factor;
      }
    }
  }
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float shift = row_term[group][half] - state.maximum[half];
#pragma unroll
      for (int n = group * kTilesPerGroup; n < (group + 1) * kTilesPerGroup; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = s[n][2 * half + e];
          score = exp2_fast(fmaf(score, scale_log2, shift));
          state.sum[half] += score;
        }
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kTileKeys / 16; ++n) {
    p[n][0] = pack2<T>(s[2 * n][0], s[2 * n][1]);
    p[n][1] = pack2<T>(s[2 * n][2], s[2 * n][3]);
    p[n][2] = pack2<T>(s[2 * n + 1][0], s[2 * n + 1][1]);
    p[n][3] = pack2<T>(s[2 * n + 1][2], s[2 * n + 1][3]);
  }
}

// The queries of one warp as A operands: in registers, or in shared memory where registers are short.
template <typename T, int D, typename TileT>
struct Queries {
  static constexpr int kSteps = D / 16, kPitch = SharedLayout<D, TileT>::kPitch;
  uint32_t fragments[TileT::kQueriesInShared ? 1 : TileT::kMTiles][kSteps][4];
  T* tile;  // in shared memory, this warp's rows

  // Read once, straight from global memory; zeros where there is no query.
  __device__ void load(const MmaArguments& a, const BlockCoordinates& where, int first_query, T* shared) {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
    const T* head = static_cast<const T*>(a.q) + where.batch * a.q_batch + where.head * D;
    const uint32_t sign = a.negate_q ? 0x80008000u : 0u;
    tile = shared;
    if constexpr (TileT::kQueriesInShared) {
      for (int piece = lane; piece < TileT::kMTiles * kFragmentRows * (D / 8); piece += 32) {
        const int row = piece / (D / 8), chunk = piece % (D / 8);
        const int64_t token = where.query_token(a, first_query + row);
        uint4 x = make_uint4(0, 0, 0, 0);
        if (token >= 0) x = *reinterpret_cast<const uint4*>(head + token * a.q_token + chunk * 8);
        *reinterpret_cast<uint4*>(tile + row * kPitch + chunk * 8) =
            make_uint4(x.x ^ sign, x.y ^ sign, x.z ^ sign, x.w ^ sign);
      }
      __syncwarp();
    } else {
#pragma unroll
      for (int m = 0; m < TileT::kMTiles; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int64_t token = where.query_token(a, first_query + m * kFragmentRows + g + 8 * half);
          const T* row = head + (token < 0 ? 0 : token) * a.q_token + 2 * t;
#pragma unroll
          for (int step = 0; step < kSteps; ++step) {
            fragments[m][step][half] = token < 0 ? 0u : *reinterpret_cast<const uint32_t*>(row + 16 * step) ^ sign;
            fragments[m][step][half + 2] =
                token < 0 ? 0u : *reinterpret_cast<const uint32_t*>(row + 16 * step + 8) ^ sign;
          }
        }
      }
    }
  }

  __device__ __forceinline__ void fragment(uint32_t (&q)[4], int m, int step) const {
    if constexpr (TileT::kQueriesInShared) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      load_matrix_x4(q, tile + (m * kFragmentRows + lane % 16) * kPitch + 16 * step + lane / 16 * 8);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) q[i] = fragments[m][step][i];
    }
  }
};

template <typename T, int D, ScoreBias kBias, typename TileT>
__global__ void __launch_bounds__(TileT::kThreads, blocks_per_sm<D, kBias, TileT>())
    mma_attention(const MmaArguments a) {
  using Layout = SharedLayout<D, TileT>;
  constexpr int kMTiles = TileT::kMTiles, kSteps = D / 16;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4, t = lane % 4;
  const BlockCoordinates where(a, blockIdx.x, TileT::kQueries);

  auto* k_tiles = reinterpret_cast<T*>(dynamic_shared());
  T* v_tiles = k_tiles + 2 * Layout::kOperand;
  float* skew = reinterpret_cast<float*>(dynamic_shared() + Layout::kOperandBytes) + warp * kMTiles * Layout::kSkew;

  const KeyLoader<T, D, TileT> loader(a, where.batch, where.head);
  loader.load(k_tiles, v_tiles, a, where, TileCursor());
  copy_async_commit();

  const int first_query = where.first_query + warp * kFragmentRows * kMTiles;
  Queries<T, D, TileT> queries;
  queries.load(a, where, first_query, v_tiles + 2 * Layout::kOperand + warp * kMTiles * kFragmentRows * Layout::kPitch);

  const float slope = a.slopes == nullptr ? 0.0f : a.slopes[where.head];
  TileBias<T, D, kBias, TileT> bias[kMTiles];
#pragma unroll
  for (int m = 0; m < kMTiles; ++m) {
    bias[m].init(skew + m * Layout::kSkew, first_query + m * kFragmentRows, a.columns);
  }
  float out[kMTiles][D / 8][4] = {};
  OnlineSoftmax state[kMTiles];

  int stage = 0;  // offset of this tile's stage
  for (TileCursor at; at.column < a.columns; at.advance(a.rows, TileT::kGroups, TileT::kColumns)) {
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived for every thread, and nobody reads the other stage any more
    TileCursor next = at;
    next.advance(a.rows, TileT::kGroups, TileT::kColumns);
    if (next.column < a.columns) {
      const int other = Layout::kOperand - stage;
      loader.load(k_tiles + other, v_tiles + other, a, where, next);
      copy_async_commit();
    }

    if constexpr (kBias != ScoreBias::none) {
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        if (at.row == 0) bias[m].load_columns(a, queries, m, at.column, slope);
        if (at.row % TileT::kChunk == 0) bias[m].load_rows(a, queries, m, at.row, slope);
      }
    }

    // S = q kᵀ on top of the start values
    float s[kMTiles][kTileKeys / 8][4];
    float row_term[kMTiles][TileT::kGroups][2] = {};
#pragma unroll
    for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n) {
        if constexpr (kBias == ScoreBias::none) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            s[m][n][i] = at.column + 8 * n + 2 * t + i % 2 < a.columns ? 0.0f : -INFINITY;
          }
        } else {
          const int group = 8 * n / TileT::kColumns;
          bias[m].start(s[m][n], a, n % TileT::kColumnTiles, at.column, at.row + group, slope);
        }
      }
      if constexpr (kBias != ScoreBias::none) {
#pragma unroll
        for (int group = 0; group < TileT::kGroups; ++group) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const bool valid = TileT::kGroups == 1 || at.row + group < a.rows;
            row_term[m][group][half] = valid ? bias[m].row_term(half, at.row + group) : -INFINITY;
          }
        }
      }
    }
    const T* k_tile = k_tiles + stage;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t q[kMTiles][4];
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) queries.fragment(q[m], m, step);
#pragma unroll
      for (int n = 0; n < kTileKeys / 16; ++n) {
        uint32_t k[4];
        load_matrix_x4(k, k_tile + (16 * n + lane / 16 * 8 + lane % 8) * Layout::kPitch + 16 * step + lane / 8 % 2 * 8);
#pragma unroll
        for (int m = 0; m < kMTiles; ++m) {
          mma_16x8x16<T>(s[m][2 * n], q[m], k[0], k[1], s[m][2 * n]);
          mma_16x8x16<T>(s[m][2 * n + 1], q[m], k[2], k[3], s[m][2 * n + 1]);
        }
      }
    }

    uint32_t p[kMTiles][kTileKeys / 16][4];
#pragma unroll
    for (int m = 0; m < kMTiles; ++m) softmax_tile<T, D>(p[m], s[m], out[m], state[m], row_term[m], a.scale_log2);

    // out += P v
    const T* v_tile = v_tiles + stage;
#pragma unroll
    for (int n = 0; n < kTileKeys / 16; ++n) {
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        uint32_t v[4];
        load_matrix_x4_transposed(
            v, v_tile + (16 * n + lane / 8 % 2 * 8 + lane % 8) * Layout::kPitch + 16 * d + lane / 16 * 8);
#pragma unroll
        for (int m = 0; m < kMTiles; ++m) {
          mma_16x8x16<T>(out[m][2 * d], p[m][n], v[0], v[1], out[m][2 * d]);
          mma_16x8x16<T>(out[m][2 * d + 1], p[m][n], v[2], v[3], out[m][2 * d + 1]);
        }
      }
    }
    stage = Layout::kOperand - stage;
  }

  T* out_head = static_cast<T*>(a.out) + where.batch * a.out_batch + where.head * D;
#pragma unroll
  for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = quad_sum(state[m].sum[half]), reciprocal = 1.0f / sum;
      const int64_t token = where.query_token(a, first_query + m * kFragmentRows + g + 8 * half);
      if (token < 0) continue;
      if (a.log_sum_exp != nullptr && t == 0) {
        a.log_sum_exp[where.query_index(a, token)] = log_sum_exp(state[m].maximum[half], sum);
      }
      T* row = out_head + token * a.out_token + 2 * t;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
        *reinterpret_cast<uint32_t*>(row + 8 * d) =
            pack2<T>(out[m][d][2 * half] * reciprocal, out[m][d][2 * half + 1] * reciprocal);
      }
    }
  }
}

}  // namespace ba_sam::cuda
