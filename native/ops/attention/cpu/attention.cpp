// Plans one attention call and spreads its units, tiles and strips over threads; the kernels lie in kernel_*.h.
//
//   1. distance table and relative position panels      all threads
//   2. either whole units, packed and computed by one thread each (windows: many small units),
//      or for groups of units: pack tiles — barrier — strips (global attention: few large units)
//
// Which of the two it is depends on the number of threads, but no result does: both run the same tiles in the same
// order for every strip.
#include "attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "tiling.h"

namespace ba_sam::cpu {

namespace {

// Packs of one group. 32 MB hold all heads of ViT-B at 64x64 tokens, so that there is one group and threads wait
// for each other twice; for larger grids, where a wait costs little against the work, they bound the workspace.
constexpr int64_t kGroupPackBytes = int64_t{32} << 20;
// A unit whose packs stay in one core's L2.
constexpr int64_t kSmallUnitBytes = int64_t{512} << 10;

KernelTable kernels_for(DType dtype, Isa isa) {
  switch (isa) {
    case Isa::scalar:
      break;
    case Isa::avx2:
      return avx2_kernels(dtype);
    case Isa::avx512:
      return avx512_kernels(dtype);
    case Isa::avx512_bf16:
      return dtype == DType::bf16 ? avx512_bf16_kernels() : avx512_kernels(dtype);
  }
  return scalar_kernels(dtype);
}

// Bytes of a workspace part, padded so that the next one starts on a cache line.
int64_t part_bytes(int64_t floats) {
  return round_up(floats * static_cast<int64_t>(sizeof(float)), 64);
}

Tiling make_tiling(const AttentionParams& p, int threads, const KernelTable& kernels) {
  Tiling tiling{};
  tiling.params = p;
  tiling.rows = kernels.rows;
  tiling.lanes = kernels.lanes;
  tiling.strip_lanes = kernels.lanes * kernels.vecs;
  tiling.bf16_pairs = kernels.bf16_pairs;

  const bool grid = p.grid_h > 0 && p.grid_w > 0;
  tiling.grid_h = grid ? p.grid_h : 1;
  tiling.grid_w = grid ? p.grid_w : p.q_tokens;
  tiling.key_h = p.window > 0 ? p.window : tiling.grid_h;
  tiling.key_w = p.window > 0 ? p.window : grid ? p.grid_w : p.k_tokens;
  tiling.windows_h = p.window > 0 ? ceil_div(tiling.grid_h, p.window) : 1;
  tiling.windows_w = p.window > 0 ? ceil_div(tiling.grid_w, p.window) : 1;
  tiling.heads = p.heads;
  tiling.units = p.batch * tiling.windows_h * tiling.windows_w * p.heads;
  tiling.unit_keys = tiling.key_h * tiling.key_w;
  // Tiles of equal size: a short last one would load, rescale and store the whole output for little work. Up to
  // kMaxTileKeys keys (windows of 14: 196) in one tile, without any rescaling.
  const int64_t tiles = tiling.unit_keys <= kMaxTileKeys ? 1 : ceil_div(tiling.unit_keys, kernels.tile_keys);
  tiling.tile_keys = static_cast<int>(round_up(ceil_div(tiling.unit_keys, tiles), tiling.rows));
  const int64_t unit_queries =
      p.window > 0 ? std::min(p.window, tiling.grid_h) * std::min(p.window, tiling.grid_w) : p.q_tokens;
  tiling.unit_strips = ceil_div(unit_queries, tiling.strip_lanes);
  tiling.by_distance = p.metric == DistanceMetric::euclidean || p.metric == DistanceMetric::chebyshev;
  tiling.separable = p.has_rel_pos || p.metric == DistanceMetric::manhattan;
  tiling.column_order = (tiling.separable || tiling.by_distance) && tiling.key_w % tiling.rows == 0;
  tiling.score_scale_log2 = static_cast<float>(static_cast<double>(p.scale) * 1.4426950408889634074);

  tiling.words = static_cast<int>(tiling.bf16_pairs ? ceil_div(p.head_dim, 2) : p.head_dim);
  tiling.chunks = static_cast<int>(ceil_div(tiling.words, kChunkWords));
  tiling.d_blocks = static_cast<int>(ceil_div(p.head_dim, tiling.rows));
  tiling.key_floats = round_up(tiling.unit_keys, tiling.rows) * tiling.chunks * kChunkWords;
  tiling.value_floats =
      (tiling.bf16_pairs ? ceil_div(tiling.unit_keys, 2) : tiling.unit_keys) * tiling.d_blocks * tiling.rows;
  const int64_t unit_bytes = part_bytes(tiling.key_floats) + part_bytes(tiling.value_floats);
  tiling.unit_per_thread = unit_bytes <= kSmallUnitBytes && tiling.units >= int64_t{4} * threads;
  tiling.pack_slots = tiling.unit_per_thread
                          ? 0
                          : std::clamp<int64_t>(kGroupPackBytes / unit_bytes, 1, std::max<int64_t>(tiling.units, 1));

  int64_t at = 0;
  tiling.distances_offset = at;
  tiling.distance_stride = 2 * tiling.key_w - 1 + 2 * tiling.lanes;
  if (tiling.by_distance) at += part_bytes(tiling.key_h * tiling.distance_stride);
  const int64_t rel_row_floats = int64_t{tiling.chunks} * kChunkWords;
  tiling.rel_h_offset = at;
  if (p.has_rel_pos) at += part_bytes(round_up(2 * tiling.key_h - 1, tiling.rows) * rel_row_floats);
  tiling.rel_w_offset = at;
  if (p.has_rel_pos) at += part_bytes(round_up(2 * tiling.key_w - 1, tiling.rows) * rel_row_floats);
  // A strip that wraps around a grid row has queries at both ends of it and needs the whole table.
  tiling.rel_rows_max = 2 * std::max(tiling.key_h, tiling.key_w) - 1 + tiling.rows;
  tiling.packs_offset = at;
  at += tiling.pack_slots * unit_bytes;
  tiling.scratch_offset = at;
  tiling.scratch_pack_offset = part_bytes(strip_layout(tiling).floats);
  tiling.scratch_bytes = tiling.scratch_pack_offset + (tiling.unit_per_thread ? unit_bytes : 0);
  tiling.total_bytes = at + tiling.scratch_bytes * threads;
  return tiling;
}

Unit make_unit(const Tiling& tiling, int64_t index, char* packs) {
  Unit unit{};
  unit.head = index % tiling.heads;
  index /= tiling.heads;
  const int64_t window_x = index % tiling.windows_w;
  index /= tiling.windows_w;
  const int64_t window_y = index % tiling.windows_h;
  unit.batch = index / tiling.windows_h;
  unit.origin_y = window_y * tiling.key_h;
  unit.origin_x = window_x * tiling.key_w;
  unit.query_h = tiling.grid_h;
  unit.query_w = tiling.grid_w;
  if (tiling.params.window > 0) {
    unit.query_h = std::min(tiling.params.window, tiling.grid_h - unit.origin_y);
    unit.query_w = std::min(tiling.params.window, tiling.grid_w - unit.origin_x);
  }
  unit.keys = reinterpret_cast<float*>(packs);
  unit.values = reinterpret_cast<float*>(packs + part_bytes(tiling.key_floats));
  return unit;
}

void fill_distance_row(const Tiling& tiling, int64_t dy) {
  float* row = reinterpret_cast<float*>(tiling.workspace + tiling.distances_offset) + dy * tiling.distance_stride;
  const float start = tiling.params.start;
  const float y = std::max(0.0f, static_cast<float>(dy) - start);
  for (int64_t i = 0; i < tiling.distance_stride; i++) {
    const int64_t dx = std::abs(i - tiling.lanes - (tiling.key_w - 1));
    const float x = std::max(0.0f, static_cast<float>(dx) - start);
    row[i] = tiling.params.metric == DistanceMetric::euclidean ? std::sqrt(y * y + x * x) : std::max(y, x);
  }
}

// Row `row` of a [rows, D] table into its key panel, as words of q; rows past the end and words past D are zero.
void fill_rel_row(const Tiling& tiling, const float* table, int64_t table_rows, int64_t offset, int64_t row) {
  const int64_t head_dim = tiling.params.head_dim;
  float* panel = reinterpret_cast<float*>(tiling.workspace + offset) +
                 (row / tiling.rows * tiling.chunks * tiling.rows + row % tiling.rows) * kChunkWords;
  const float* src = table + row * head_dim;
  const int64_t words = row < table_rows ? tiling.words : 0;
  for (int64_t w = 0; w < int64_t{tiling.chunks} * kChunkWords; w++) {
    float* dst = panel + w / kChunkWords * tiling.rows * kChunkWords + w % kChunkWords;
    if (w >= words) {
      *dst = 0.0f;
    } else if (tiling.bf16_pairs) {
      const uint32_t hi = 2 * w + 1 < head_dim ? f32_to_bf16(src[2 * w + 1]) : 0;
      const uint32_t pair = f32_to_bf16(src[2 * w]) | hi << 16;
      std::memcpy(dst, &pair, sizeof pair);
    } else {
      *dst = src[w];
    }
  }
}

int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

}  // namespace

size_t attention_workspace_bytes(const AttentionParams& params, int threads, Isa isa) {
  return static_cast<size_t>(make_tiling(params, threads, kernels_for(params.dtype, isa)).total_bytes);
}

void attention_forward(const AttentionParams& params, int threads, Isa isa, const std::atomic<bool>* cancel) {
  const KernelTable kernels = kernels_for(params.dtype, isa);
  Tiling tiling = make_tiling(params, threads, kernels);
  tiling.workspace = static_cast<char*>(params.workspace);

  const int64_t tiles = ceil_div(tiling.unit_keys, tiling.tile_keys);
  const int64_t distance_rows = tiling.by_distance ? tiling.key_h : 0;
  const int64_t rel_rows_h = params.has_rel_pos ? round_up(2 * tiling.key_h - 1, tiling.rows) : 0;
  const int64_t rel_rows_w = params.has_rel_pos ? round_up(2 * tiling.key_w - 1, tiling.rows) : 0;
  const int64_t unit_bytes = part_bytes(tiling.key_floats) + part_bytes(tiling.value_floats);
  const auto cancelled = [cancel] { return cancel != nullptr && cancel->load(std::memory_order_relaxed); };

#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
#endif
  {
    char* const scratch = tiling.workspace + tiling.scratch_offset + thread_index() * tiling.scratch_bytes;

#if defined(_OPENMP)
#pragma omp for schedule(static)
#endif
    for (int64_t i = 0; i < distance_rows + rel_rows_h + rel_rows_w; i++) {
      if (i < distance_rows) {
        fill_distance_row(tiling, i);
      } else if (i < distance_rows + rel_rows_h) {
        fill_rel_row(tiling, params.rel_h, 2 * tiling.key_h - 1, tiling.rel_h_offset, i - distance_rows);
      } else {
        fill_rel_row(tiling, params.rel_w, 2 * tiling.key_w - 1, tiling.rel_w_offset, i - distance_rows - rel_rows_h);
      }
    }

    if (tiling.unit_per_thread) {
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
      for (int64_t u = 0; u < tiling.units; u++) {
        if (cancelled()) continue;
        const Unit unit = make_unit(tiling, u, scratch + tiling.scratch_pack_offset);
        for (int64_t t = 0; t < tiles; t++) kernels.pack_tile(tiling, unit, t);
        for (int64_t s = 0; s * tiling.strip_lanes < unit.query_h * unit.query_w; s++)
          kernels.run_strip(tiling, unit, s, scratch);
      }
    } else {
      for (int64_t group = 0; group < tiling.units; group += tiling.pack_slots) {
        const int64_t members = std::min(tiling.pack_slots, tiling.units - group);
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
        for (int64_t i = 0; i < members * tiles; i++) {
          if (cancelled()) continue;
          const int64_t slot = i / tiles;
          kernels.pack_tile(tiling,
                            make_unit(tiling, group + slot, tiling.workspace + tiling.packs_offset + slot * unit_bytes),
                            i % tiles);
        }
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
        for (int64_t i = 0; i < members * tiling.unit_strips; i++) {
          if (cancelled()) continue;
          const int64_t slot = i / tiling.unit_strips, strip = i % tiling.unit_strips;
          const Unit unit = make_unit(tiling, group + slot, tiling.workspace + tiling.packs_offset + slot * unit_bytes);
          if (strip * tiling.strip_lanes < unit.query_h * unit.query_w) kernels.run_strip(tiling, unit, strip, scratch);
        }
      }
    }
  }
}

}  // namespace ba_sam::cpu
