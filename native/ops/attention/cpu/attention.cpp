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

#include "plan.h"

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

Plan make_plan(const AttentionParams& p, int threads, const KernelTable& kernels) {
  Plan plan{};
  plan.params = p;
  plan.rows = kernels.rows;
  plan.lanes = kernels.lanes;
  plan.strip_lanes = kernels.lanes * kernels.vecs;
  plan.pairs = kernels.pairs;

  const bool grid = p.grid_h > 0 && p.grid_w > 0;
  plan.grid_h = grid ? p.grid_h : 1;
  plan.grid_w = grid ? p.grid_w : p.q_tokens;
  plan.key_h = p.window > 0 ? p.window : plan.grid_h;
  plan.key_w = p.window > 0 ? p.window : grid ? p.grid_w : p.k_tokens;
  plan.windows_h = p.window > 0 ? ceil_div(plan.grid_h, p.window) : 1;
  plan.windows_w = p.window > 0 ? ceil_div(plan.grid_w, p.window) : 1;
  plan.heads = p.heads;
  plan.units = p.batch * plan.windows_h * plan.windows_w * p.heads;
  plan.unit_keys = plan.key_h * plan.key_w;
  // Tiles of equal size: a short last one would load, rescale and store the whole output for little work. Up to
  // kMaxTileKeys keys (windows of 14: 196) in one tile, without any rescaling.
  const int64_t tiles = plan.unit_keys <= kMaxTileKeys ? 1 : ceil_div(plan.unit_keys, kernels.tile_keys);
  plan.tile_keys = static_cast<int>(round_up(ceil_div(plan.unit_keys, tiles), plan.rows));
  const int64_t unit_queries =
      p.window > 0 ? std::min(p.window, plan.grid_h) * std::min(p.window, plan.grid_w) : p.q_tokens;
  plan.unit_strips = ceil_div(unit_queries, plan.strip_lanes);
  plan.by_distance =
      p.slopes != nullptr && (p.metric == DistanceMetric::euclidean || p.metric == DistanceMetric::chebyshev);
  plan.separable = p.rel_h != nullptr || (p.slopes != nullptr && p.metric == DistanceMetric::manhattan);
  plan.column_order = (plan.separable || plan.by_distance) && plan.key_w % plan.rows == 0;
  plan.score_scale_log2 = static_cast<float>(static_cast<double>(p.scale) * 1.4426950408889634074);

  plan.words = static_cast<int>(plan.pairs ? ceil_div(p.head_dim, 2) : p.head_dim);
  plan.chunks = static_cast<int>(ceil_div(plan.words, kChunkWords));
  plan.d_blocks = static_cast<int>(ceil_div(p.head_dim, plan.rows));
  plan.key_floats = round_up(plan.unit_keys, plan.rows) * plan.chunks * kChunkWords;
  plan.value_floats = (plan.pairs ? ceil_div(plan.unit_keys, 2) : plan.unit_keys) * plan.d_blocks * plan.rows;
  const int64_t unit_bytes = part_bytes(plan.key_floats) + part_bytes(plan.value_floats);
  plan.unit_per_thread = unit_bytes <= kSmallUnitBytes && plan.units >= int64_t{4} * threads;
  plan.pack_slots =
      plan.unit_per_thread ? 0 : std::clamp<int64_t>(kGroupPackBytes / unit_bytes, 1, std::max<int64_t>(plan.units, 1));

  int64_t at = 0;
  plan.distances_offset = at;
  plan.distance_stride = 2 * plan.key_w - 1 + 2 * plan.lanes;
  if (plan.by_distance) at += part_bytes(plan.key_h * plan.distance_stride);
  const int64_t rel_row_floats = int64_t{plan.chunks} * kChunkWords;
  plan.rel_h_offset = at;
  if (p.rel_h != nullptr) at += part_bytes(round_up(2 * plan.key_h - 1, plan.rows) * rel_row_floats);
  plan.rel_w_offset = at;
  if (p.rel_w != nullptr) at += part_bytes(round_up(2 * plan.key_w - 1, plan.rows) * rel_row_floats);
  // A strip that wraps around a grid row has queries at both ends of it and needs the whole table.
  plan.rel_rows_max = 2 * std::max(plan.key_h, plan.key_w) - 1 + plan.rows;
  plan.packs_offset = at;
  at += plan.pack_slots * unit_bytes;
  plan.scratch_offset = at;
  plan.scratch_pack_offset = part_bytes(strip_layout(plan).floats);
  plan.scratch_bytes = plan.scratch_pack_offset + (plan.unit_per_thread ? unit_bytes : 0);
  plan.total_bytes = at + plan.scratch_bytes * threads;
  return plan;
}

Unit make_unit(const Plan& plan, int64_t index, char* packs) {
  Unit unit{};
  unit.head = index % plan.heads;
  index /= plan.heads;
  const int64_t window_x = index % plan.windows_w;
  index /= plan.windows_w;
  const int64_t window_y = index % plan.windows_h;
  unit.batch = index / plan.windows_h;
  unit.origin_y = window_y * plan.key_h;
  unit.origin_x = window_x * plan.key_w;
  unit.query_h = plan.grid_h;
  unit.query_w = plan.grid_w;
  if (plan.params.window > 0) {
    unit.query_h = std::min(plan.params.window, plan.grid_h - unit.origin_y);
    unit.query_w = std::min(plan.params.window, plan.grid_w - unit.origin_x);
  }
  unit.keys = reinterpret_cast<float*>(packs);
  unit.values = reinterpret_cast<float*>(packs + part_bytes(plan.key_floats));
  return unit;
}

void fill_distance_row(const Plan& plan, int64_t dy) {
  float* row = reinterpret_cast<float*>(plan.workspace + plan.distances_offset) + dy * plan.distance_stride;
  const float start = plan.params.start;
  const float y = std::max(0.0f, static_cast<float>(dy) - start);
  for (int64_t i = 0; i < plan.distance_stride; i++) {
    const int64_t dx = std::abs(i - plan.lanes - (plan.key_w - 1));
    const float x = std::max(0.0f, static_cast<float>(dx) - start);
    row[i] = plan.params.metric == DistanceMetric::euclidean ? std::sqrt(y * y + x * x) : std::max(y, x);
  }
}

// Row `row` of a [rows, D] table into its key panel, as words of q; rows past the end and words past D are zero.
void fill_rel_row(const Plan& plan, const float* table, int64_t table_rows, int64_t offset, int64_t row) {
  const int64_t head_dim = plan.params.head_dim;
  float* panel = reinterpret_cast<float*>(plan.workspace + offset) +
                 (row / plan.rows * plan.chunks * plan.rows + row % plan.rows) * kChunkWords;
  const float* src = table + row * head_dim;
  const int64_t words = row < table_rows ? plan.words : 0;
  for (int64_t w = 0; w < int64_t{plan.chunks} * kChunkWords; w++) {
    float* dst = panel + w / kChunkWords * plan.rows * kChunkWords + w % kChunkWords;
    if (w >= words) {
      *dst = 0.0f;
    } else if (plan.pairs) {
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
  return static_cast<size_t>(make_plan(params, threads, kernels_for(params.dtype, isa)).total_bytes);
}

void attention_forward(void* out, int64_t out_batch_stride, int64_t out_token_stride, const TokenView& q,
                       const TokenView& k, const TokenView& v, const AttentionParams& params, void* workspace,
                       int threads, Isa isa, const std::atomic<bool>* cancel) {
  const KernelTable kernels = kernels_for(params.dtype, isa);
  Plan plan = make_plan(params, threads, kernels);
  plan.q = q;
  plan.k = k;
  plan.v = v;
  plan.out = static_cast<char*>(out);
  plan.out_batch_stride = out_batch_stride;
  plan.out_token_stride = out_token_stride;
  plan.workspace = static_cast<char*>(workspace);

  const int64_t tiles = ceil_div(plan.unit_keys, plan.tile_keys);
  const int64_t distance_rows = plan.by_distance ? plan.key_h : 0;
  const int64_t rel_rows_h = params.rel_h != nullptr ? round_up(2 * plan.key_h - 1, plan.rows) : 0;
  const int64_t rel_rows_w = params.rel_w != nullptr ? round_up(2 * plan.key_w - 1, plan.rows) : 0;
  const int64_t unit_bytes = part_bytes(plan.key_floats) + part_bytes(plan.value_floats);
  const auto cancelled = [cancel] { return cancel != nullptr && cancel->load(std::memory_order_relaxed); };

#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
#endif
  {
    char* const scratch = plan.workspace + plan.scratch_offset + thread_index() * plan.scratch_bytes;

#if defined(_OPENMP)
#pragma omp for schedule(static)
#endif
    for (int64_t i = 0; i < distance_rows + rel_rows_h + rel_rows_w; i++) {
      if (i < distance_rows) {
        fill_distance_row(plan, i);
      } else if (i < distance_rows + rel_rows_h) {
        fill_rel_row(plan, params.rel_h, 2 * plan.key_h - 1, plan.rel_h_offset, i - distance_rows);
      } else {
        fill_rel_row(plan, params.rel_w, 2 * plan.key_w - 1, plan.rel_w_offset, i - distance_rows - rel_rows_h);
      }
    }

    if (plan.unit_per_thread) {
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
      for (int64_t u = 0; u < plan.units; u++) {
        if (cancelled()) continue;
        const Unit unit = make_unit(plan, u, scratch + plan.scratch_pack_offset);
        for (int64_t t = 0; t < tiles; t++) kernels.pack_tile(plan, unit, t);
        for (int64_t s = 0; s * plan.strip_lanes < unit.query_h * unit.query_w; s++)
          kernels.run_strip(plan, unit, s, scratch);
      }
    } else {
      for (int64_t group = 0; group < plan.units; group += plan.pack_slots) {
        const int64_t members = std::min(plan.pack_slots, plan.units - group);
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
        for (int64_t i = 0; i < members * tiles; i++) {
          if (cancelled()) continue;
          const int64_t slot = i / tiles;
          kernels.pack_tile(plan, make_unit(plan, group + slot, plan.workspace + plan.packs_offset + slot * unit_bytes),
                            i % tiles);
        }
#if defined(_OPENMP)
#pragma omp for schedule(dynamic)
#endif
        for (int64_t i = 0; i < members * plan.unit_strips; i++) {
          if (cancelled()) continue;
          const int64_t slot = i / plan.unit_strips, strip = i % plan.unit_strips;
          const Unit unit = make_unit(plan, group + slot, plan.workspace + plan.packs_offset + slot * unit_bytes);
          if (strip * plan.strip_lanes < unit.query_h * unit.query_w) kernels.run_strip(plan, unit, strip, scratch);
        }
      }
    }
  }
}

}  // namespace ba_sam::cpu
