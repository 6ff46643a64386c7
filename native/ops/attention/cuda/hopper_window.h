// Windowed attention for sm_90a, warp-specialised: a work tile is a window of 14 × 14 tokens of one head.
//
// Queries, keys and values of a window arrive as boxes of 14 rows × 16 columns, straight from the fused projections: a grid
// row is 16 rows of a tile, of which the last two belong to the next window (terms of −∞, results not stored). So the
// 16 queries of a warp lie in one grid row, and one softmax over 224 scores in registers needs no second pass.
//
//   G = Q · [R_h; R_w]ᵀ (56 rows), un-skewed through shared memory → terms of 14 key rows and 16 key columns
//   S = (row term + column term) / scale; S += Q · Kᵀ;  P = exp2(c · (S − maximum));  O = P · V
//
// Two consumer warpgroups take the four tiles of 64 queries alternately: four grid rows each, the last tile two. One producer
// thread loads keys and values one window ahead. SAM pads a partial window with zeros before its projections: such keys are real and unmasked,
// with k = pad_k and v = pad_v. The TMA brings zeros there, and the consumers write the pads over them.
// Numeric hazards: as in mma_kernel.h.
#pragma once

#include <cmath>

#include "hopper_kernel.h"

namespace ba_sam::cuda {

constexpr int kWindow = 14, kWindowPitch = 16;
constexpr int kWindowKeys = kWindow * kWindowPitch;  // 224, with two columns too many a row
constexpr int kWindowTiles = kWindowKeys / 8;
constexpr int kWindowTable = 56;  // rows: 27 of rel_h, none, 27 of rel_w, none
constexpr int kWindowTableW = 28;

template <int D>
struct HopperWindowShared {
  static constexpr int kStages = 2;
  static constexpr int kTile = kWindowKeys * D * 2;  // bytes: a whole number of 1024
  static constexpr int kWide = kWindowKeys * 128;    // bytes of the first 64 columns
  static constexpr int kValueWidth = D == 64 ? 64 : 16;
  static constexpr int kValueParts = D / kValueWidth;
  static constexpr int kValuePart = kWindowKeys * kValueWidth * 2;
  static constexpr Swizzle kValueSwizzle = D == 64 ? Swizzle::bytes_128 : Swizzle::bytes_32;
  static constexpr int kSkewPitch = 72;  // floats; 8 more than a multiple of 32
  static constexpr int kTableBytes = kWindowTable * D * 2;

  // The last tile of queries reads 32 rows past the end of them: whatever lies there, in rows that are not stored.
  static constexpr int kQueriesAt = 0;
  static constexpr int kKeysAt = kQueriesAt + kTile;
  static constexpr int kValuesAt = kKeysAt + kStages * kTile;
  static constexpr int kTableAt = kValuesAt + kStages * kTile;
  static constexpr int kSkewAt = kTableAt + (kTableBytes + 1023) / 1024 * 1024;
  static constexpr int kBarriersAt = kSkewAt + 8 * 16 * kSkewPitch * 4;
  static constexpr int kBytes = kBarriersAt + (3 + 4 * kStages) * 8;
  static_assert(kTile % 1024 == 0 && kWide % 1024 == 0 && kBytes <= 227 * 1024);
};

struct HopperWindowArguments {
  // Dimensions: d, head, column, row, image; of the table d, row. [1]: the other 16 columns of D = 80.
  TensorMap q[2], k[2], table[2];
  TensorMap v;
  const void *pad_k, *pad_v;
  void* out;
  int64_t out_batch, work_tiles;
  int out_token;
  int heads, windows_across, windows;
  int grid_h, grid_w;
  float scale_log2, to_accumulator;  // the scale of exponents of 2, and 1 / that
  bool has_tables;
};

struct HopperWindowWorkTile {
  int image = 0, head = 0, y = 0, x = 0;  // y, x: of the window's first token

  HopperWindowWorkTile() = default;
  BA_SAM_HOST_DEVICE HopperWindowWorkTile(const HopperWindowArguments& a, int64_t work) {
    head = static_cast<int>(work % a.heads);
    work /= a.heads;
    const int window = static_cast<int>(work % a.windows);
    image = static_cast<int>(work / a.windows);
    y = window / a.windows_across * kWindow;
    x = window % a.windows_across * kWindow;
  }
  BA_SAM_HOST_DEVICE bool padded(const HopperWindowArguments& a) const {
    return y + kWindow > a.grid_h || x + kWindow > a.grid_w;
  }
};

struct HopperWindowBarriers {
  uint64_t *full_queries, *empty_queries, *full_table, *full_keys, *empty_keys, *full_values, *empty_values;
};

template <int D>
struct HopperWindowProducer {
  using Shared = HopperWindowShared<D>;
  const HopperWindowArguments& a;
  const HopperWindowBarriers& barriers;
  uint8_t* shared;

  __device__ void load_wide(uint8_t* to, const TensorMap (&maps)[2], uint64_t* full, const HopperWindowWorkTile& work) {
    tma_load(to, maps[0], full, 0, work.head, work.x, work.y, work.image);
    if constexpr (D == 80) tma_load(to + Shared::kWide, maps[1], full, 64, work.head, work.x, work.y, work.image);
  }

  __device__ void run() {
    if (a.has_tables) {
      mbarrier_arrive_expect_tx(barriers.full_table, Shared::kTableBytes);
      tma_load(shared + Shared::kTableAt, a.table[0], barriers.full_table, 0, 0);
      if constexpr (D == 80) {
        tma_load(shared + Shared::kTableAt + kWindowTable * 128, a.table[1], barriers.full_table, 64, 0);
      }
    }
    PipelineState<Shared::kStages> pipeline;
    uint32_t query_parity = 1;
    for (int64_t index = blockIdx.x; index < a.work_tiles; index += gridDim.x) {
      const HopperWindowWorkTile work(a, index);
      mbarrier_wait(barriers.empty_queries, query_parity);
      query_parity ^= 1;
      mbarrier_arrive_expect_tx(barriers.full_queries, Shared::kTile);
      load_wide(shared + Shared::kQueriesAt, a.q, barriers.full_queries, work);

      uint64_t* full = barriers.full_keys + pipeline.stage;
      mbarrier_wait(barriers.empty_keys + pipeline.stage, pipeline.parity ^ 1);
      mbarrier_arrive_expect_tx(full, Shared::kTile);
      load_wide(shared + Shared::kKeysAt + pipeline.stage * Shared::kTile, a.k, full, work);

      full = barriers.full_values + pipeline.stage;
      mbarrier_wait(barriers.empty_values + pipeline.stage, pipeline.parity ^ 1);
      mbarrier_arrive_expect_tx(full, Shared::kTile);
#pragma unroll
      for (int part = 0; part < Shared::kValueParts; ++part) {
        tma_load(shared + Shared::kValuesAt + pipeline.stage * Shared::kTile + part * Shared::kValuePart, a.v, full,
                 part * Shared::kValueWidth, work.head, work.x, work.y, work.image);
      }
      pipeline.advance();
    }
  }
};

template <typename T, int D>
struct HopperWindowConsumer {
  using Shared = HopperWindowShared<D>;
  const HopperWindowArguments& a;
  const HopperWindowBarriers& barriers;
  uint8_t* shared;
  int group, warp, g, t;
  float* skew;  // this warp's 16 rows
  HopperWindowWorkTile work;
  PipelineState<Shared::kStages> pipeline;

  __device__ HopperWindowConsumer(const HopperWindowArguments& arguments, const HopperWindowBarriers& all,
                                  uint8_t* memory)
      : a(arguments), barriers(all), shared(memory) {
    group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128, 0) - 1;  // see HopperConsumer
    warp = static_cast<int>(threadIdx.x) % 128 / 32;
    g = static_cast<int>(threadIdx.x) % 32 / 4;
    t = static_cast<int>(threadIdx.x) % 4;
    skew = reinterpret_cast<float*>(shared + Shared::kSkewAt) + (group * 4 + warp) * 16 * Shared::kSkewPitch;
  }

  __device__ __forceinline__ void release(uint64_t* barrier) const {
    __syncwarp();
    if (threadIdx.x % 32 == 0) mbarrier_arrive(barrier);
  }

  // s += (64 queries of tile `tile`) · rowsᵀ, or = where nothing was in it (kFirst); wide and rest: where the operand's two
  // parts begin.
  template <bool kFirst, int kCount>
  __device__ __forceinline__ void multiply(float (&s)[kCount][4], int tile, const uint8_t* wide,
                                           const uint8_t* rest) const {
    const uint8_t* queries = shared + Shared::kQueriesAt;
    const uint64_t q = matrix_descriptor(queries + tile * 64 * 128, 16, 1024, Swizzle::bytes_128);
    const uint64_t b = matrix_descriptor(wide, 16, 1024, Swizzle::bytes_128);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      if (kFirst && step == 0)
        wgmma_shared_first<T>(s, q, b);
      else
        wgmma_shared<T>(s, q + 2 * step, b + 2 * step);
    }
    if constexpr (D == 80) {
      wgmma_shared<T>(s, matrix_descriptor(queries + Shared::kWide + tile * 64 * 32, 16, 256, Swizzle::bytes_32),
                      matrix_descriptor(rest, 16, 256, Swizzle::bytes_32));
    }
  }

  // Start values of the scores: terms divided by the scale, −∞ for the columns of the next window.
  __device__ __forceinline__ void start(float (&s)[kWindowTiles][4], int tile) {
    float column_term[2][4];
    const int y = 4 * tile + warp;
    if (a.has_tables) {
      float products[kWindowTable / 8][4];
      const uint8_t* table = shared + Shared::kTableAt;
      wgmma_fence();
      multiply<true>(products, tile, table, table + kWindowTable * 128);
      wgmma_commit();
      wgmma_wait<0>();
      wgmma_pin(products);
      const float to_accumulator = kLog2E * a.to_accumulator;
      __syncwarp();  // what was here has been read
#pragma unroll
      for (int n = 0; n < kWindowTable / 8; ++n) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          *reinterpret_cast<float2*>(skew + (g + 8 * half) * Shared::kSkewPitch + 8 * n + 2 * t) =
              make_float2(products[n][2 * half] * to_accumulator, products[n][2 * half + 1] * to_accumulator);
        }
      }
      __syncwarp();
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = g + 8 * half;
      const int x = query < kWindow ? query : kWindow - 1;  // the others are of the next window
      const float* row = skew + query * Shared::kSkewPitch;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int key = 8 * n + 2 * t + e;
          float term = a.has_tables ? row[kWindowTableW + x + kWindow - 1 - (key < kWindow ? key : 0)] : 0.0f;
          if (key >= kWindow) term = -INFINITY;
          column_term[n][2 * half + e] = term;
        }
      }
    }
    // Queries past the last row have no terms; whatever is read for them stays inside the table's columns.
    const int last = (y < kWindow ? y : kWindow - 1) + kWindow - 1;
#pragma unroll
    for (int row = 0; row < kWindow; ++row) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float term = a.has_tables ? skew[(g + 8 * half) * Shared::kSkewPitch + last - row] : 0.0f;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          s[2 * row + n][2 * half] = term + column_term[n][2 * half];
          s[2 * row + n][2 * half + 1] = term + column_term[n][2 * half + 1];
        }
      }
    }
  }

  // SAM's pad tokens into the keys and values of this stage, by all consumers.
  __device__ void write_pads() {
    constexpr int kPieces = D / 8;
    const int thread = static_cast<int>(threadIdx.x) - 128;
    uint8_t* keys = shared + Shared::kKeysAt + pipeline.stage * Shared::kTile;
    uint8_t* values = shared + Shared::kValuesAt + pipeline.stage * Shared::kTile;
    for (int i = thread; i < kWindowKeys * kPieces; i += 256) {
      const int row = i / kPieces, piece = i % kPieces;
      const int y = row / kWindowPitch, x = row % kWindowPitch;
      if (x >= kWindow || (work.y + y < a.grid_h && work.x + x < a.grid_w)) continue;
      const int source = work.head * D + piece * 8;
      const uint4 k = *reinterpret_cast<const uint4*>(static_cast<const T*>(a.pad_k) + source);
      const uint4 v = *reinterpret_cast<const uint4*>(static_cast<const T*>(a.pad_v) + source);
      *reinterpret_cast<uint4*>(keys + wide_offset(row, piece)) = k;
      if constexpr (D == 64) {
        *reinterpret_cast<uint4*>(values + wide_offset(row, piece)) = v;
      } else {
        *reinterpret_cast<uint4*>(values + piece / 2 * Shared::kValuePart + narrow_offset(row, piece % 2)) = v;
      }
    }
    fence_proxy_async();
    named_barrier_sync(1, 256);
  }

  // Where piece `piece` of 16 bytes of a row lies: in a part with 128, in one with 32 bytes a row.
  static __device__ __forceinline__ int wide_offset(int row, int piece) {
    if (piece >= 8) return Shared::kWide + narrow_offset(row, piece - 8);
    return row * 128 + ((piece ^ (row & 7)) << 4);
  }
  static __device__ __forceinline__ int narrow_offset(int row, int piece) {
    return row * 32 + ((piece ^ (row >> 2 & 1)) << 4);
  }

  __device__ __forceinline__ void compute_tile(int tile, bool last_of_group) {
    float s[kWindowTiles][4];
    start(s, tile);
    const uint8_t* keys = shared + Shared::kKeysAt + pipeline.stage * Shared::kTile;
    wgmma_pin(s);
    wgmma_fence();
    multiply<false>(s, tile, keys, keys + Shared::kWide);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(s);
    if (last_of_group) {
      release(barriers.empty_queries);
      release(barriers.empty_keys + pipeline.stage);
    }

    float reciprocal[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high = -INFINITY;
#pragma unroll
      for (int n = 0; n < kWindowTiles; ++n) high = fmaxf(high, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
      const float shift = -high * a.scale_log2;
      float sums[4] = {};  // four chains of additions instead of one of 56
#pragma unroll
      for (int n = 0; n < kWindowTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = s[n][2 * half + e];
          score = exp2_fast(fmaf(score, a.scale_log2, shift));
          sums[n % 2 * 2 + e] += score;
        }
      }
      float total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      reciprocal[half] = reciprocal_fast(total);
    }
    uint32_t p[kWindow][4];
#pragma unroll
    for (int n = 0; n < kWindow; ++n) {
      p[n][0] = pack2<T>(s[2 * n][0], s[2 * n][1]);
      p[n][1] = pack2<T>(s[2 * n][2], s[2 * n][3]);
      p[n][2] = pack2<T>(s[2 * n + 1][0], s[2 * n + 1][1]);
      p[n][3] = pack2<T>(s[2 * n + 1][2], s[2 * n + 1][3]);
    }

    float out[D / 8][4];
    constexpr uint32_t kRowBytes = Shared::kValueWidth * 2;
    const uint64_t v = matrix_descriptor(shared + Shared::kValuesAt + pipeline.stage * Shared::kTile,
                                         Shared::kValuePart, 8 * kRowBytes, Shared::kValueSwizzle);
    wgmma_fence();
    wgmma_registers_first<T>(out, p[0], v);
#pragma unroll
    for (int step = 1; step < kWindow; ++step) wgmma_registers<T>(out, p[step], v + step * kRowBytes);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(out);
    if (last_of_group) release(barriers.empty_values + pipeline.stage);

    const int y = 4 * tile + warp;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int x = g + 8 * half;
      if (y >= kWindow || x >= kWindow || work.y + y >= a.grid_h || work.x + x >= a.grid_w) continue;
      const int64_t token = static_cast<int64_t>(work.y + y) * a.grid_w + work.x + x;
      T* row = static_cast<T*>(a.out) + work.image * a.out_batch + token * a.out_token + work.head * D + 2 * t;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
        *reinterpret_cast<uint32_t*>(row + 8 * d) =
            pack2<T>(out[d][2 * half] * reciprocal[half], out[d][2 * half + 1] * reciprocal[half]);
      }
    }
  }

  __device__ void run() {
    if (a.has_tables) mbarrier_wait(barriers.full_table, 0);
    uint32_t query_parity = 0;
    for (int64_t index = blockIdx.x; index < a.work_tiles; index += gridDim.x) {
      work = HopperWindowWorkTile(a, index);
      mbarrier_wait(barriers.full_queries, query_parity);
      query_parity ^= 1;
      mbarrier_wait(barriers.full_keys + pipeline.stage, pipeline.parity);
      mbarrier_wait(barriers.full_values + pipeline.stage, pipeline.parity);
      if (work.padded(a)) write_pads();
#pragma unroll 1
      for (int pass = 0; pass < 2; ++pass) compute_tile(2 * pass + group, pass == 1);
      pipeline.advance();
    }
  }
};

template <typename T, int D>
__global__ void __launch_bounds__(384, 1) hopper_mma_window_attention(const __grid_constant__ HopperWindowArguments a) {
  using Shared = HopperWindowShared<D>;
  uint8_t* const shared = dynamic_shared_1024();
  auto* first = reinterpret_cast<uint64_t*>(shared + Shared::kBarriersAt);
  constexpr int n = Shared::kStages;
  const HopperWindowBarriers barriers = {first,         first + 1,         first + 2,        first + 3,
                                         first + 3 + n, first + 3 + 2 * n, first + 3 + 3 * n};
  constexpr int kConsumerWarps = 8;
  if (threadIdx.x == 0) {
    mbarrier_init(barriers.full_queries, 1);
    mbarrier_init(barriers.empty_queries, kConsumerWarps);
    mbarrier_init(barriers.full_table, 1);
    for (int i = 0; i < n; ++i) {
      mbarrier_init(barriers.full_keys + i, 1);
      mbarrier_init(barriers.empty_keys + i, kConsumerWarps);
      mbarrier_init(barriers.full_values + i, 1);
      mbarrier_init(barriers.empty_values + i, kConsumerWarps);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    setmaxnreg_dec<24>();
    if (threadIdx.x == 0) {
      HopperWindowProducer<D> producer{a, barriers, shared};
      producer.run();
    }
  } else {
    setmaxnreg_inc<240>();
    HopperWindowConsumer<T, D> consumer(a, barriers, shared);
    consumer.run();
  }
}

}  // namespace ba_sam::cuda
