// See hopper_attention.h.
#include "hopper_attention.h"

#include <algorithm>

#include "../../../backends/cuda/runtime.h"
#include "hopper_launch.h"

namespace ba_sam::cuda {
namespace {

constexpr int64_t kAlignment = 256;  // of parts of the workspace

bool by_distance(const AttentionParams& p) {
  return p.metric == DistanceMetric::euclidean || p.metric == DistanceMetric::chebyshev;
}
bool biased(const AttentionParams& p) {
  return p.has_rel_pos || p.metric != DistanceMetric::none;
}
int64_t columns_of(const AttentionParams& p) {
  return biased(p) ? p.grid_w : 64;  // keys without a bias: a rectangle like any other
}

int64_t rounded_up(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}

int64_t table_bytes(const AttentionParams& p, int64_t length) {
  return rounded_up((2 * length - 1) * p.head_dim * 2, kAlignment);
}

// The width of strips that leaves the fewest columns empty; the widest one where there is a choice.
int best_strip(const AttentionParams& p) {
  if (!biased(p)) return 64;
  int best = 64;
  for (int strip : {56, 48, 40}) {
    if (rounded_up(p.grid_w, strip) < rounded_up(p.grid_w, best)) best = strip;
  }
  return best;
}

// Columns of `tensor` from `first` on: 64 of them with the wide swizzle, or 16.
TensorMap part_of(DType dtype, TensorShape tensor, int first_width) {
  tensor.box[0] = first_width;
  tensor.swizzle = first_width == 64 ? Swizzle::bytes_128 : Swizzle::bytes_32;
  return make_tensor_map(dtype, tensor);
}

void map_wide(TensorMap (&maps)[2], const AttentionParams& p, const TensorShape& tensor) {
  maps[0] = part_of(p.dtype, tensor, 64);
  maps[1] = p.head_dim == 80 ? part_of(p.dtype, tensor, 16) : maps[0];
}

// [image, row, column, head, d] in boxes; a batch stride that is never used may be anything.
TensorShape grid_shape(const AttentionParams& p, const TokenView& view, int64_t rows, int64_t columns, int box_columns,
                       int box_rows) {
  TensorShape s;
  s.data = view.data;
  s.rank = 5;
  const int64_t sizes[] = {p.head_dim, p.heads, columns, rows, p.batch};
  const int64_t image = p.batch > 1 ? view.batch_stride : view.token_stride * columns * rows;
  const int64_t strides[] = {1, p.head_dim, view.token_stride, view.token_stride * columns, image};
  const int box[] = {0, 1, box_columns, box_rows, 1};
  std::copy_n(sizes, 5, s.sizes);
  std::copy_n(strides, 5, s.strides);
  std::copy_n(box, 5, s.box);
  return s;
}

TensorShape query_shape(const AttentionParams& p, const TokenView& view) {
  TensorShape s;
  s.data = view.data;
  s.rank = 4;
  const int64_t sizes[] = {p.head_dim, p.heads, p.q_tokens, p.batch};
  const int64_t image = p.batch > 1 ? view.batch_stride : view.token_stride * p.q_tokens;
  const int64_t strides[] = {1, p.head_dim, view.token_stride, image};
  const int box[] = {0, 1, kGroupQueries, 1};
  std::copy_n(sizes, 4, s.sizes);
  std::copy_n(strides, 4, s.strides);
  std::copy_n(box, 4, s.box);
  return s;
}

TensorShape table_shape(const AttentionParams& p, const void* table, int64_t rows, int box_rows) {
  TensorShape s;
  s.data = table;
  s.rank = 2;
  s.sizes[0] = p.head_dim;
  s.sizes[1] = rows;
  s.strides[0] = 1;
  s.strides[1] = p.head_dim;
  s.box[1] = box_rows;
  return s;
}

int multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "the number of multiprocessors");
  return count;
}

// Whether blocks share tiles, each bringing one of a tile's two rows. There are kernels for it in bf16 only, and none with
// distances to queries that wrap (launch_hopper_distance).
bool in_clusters(const AttentionParams& p, HopperSchedule schedule) {
  const bool wraps = by_distance(p) && p.grid_w % kGroupQueries != 0;
  return schedule == HopperSchedule::cluster && p.dtype == DType::bf16 && !wraps;
}

// Whatever outputs are asked for.
bool takes_shape(const AttentionParams& p) {
  if (p.dtype != DType::bf16 && p.dtype != DType::f16) return false;
  if (p.head_dim != 64 && p.head_dim != 80) return false;
  if (!(p.scale > 0)) return false;
  if (p.window > 0) return p.window == kWindow && p.metric == DistanceMetric::none;
  if (!biased(p)) return p.k_tokens % 128 == 0;
  return !by_distance(p) || p.grid_w >= 64;  // lists of distances for at most two rows of queries
}

constexpr float kSmallestScale = 1e-30f;  // accumulators start at bias / scale

void windows_forward(const AttentionParams& p, cudaStream_t stream) {
  HopperWindowProblem problem = {};
  HopperWindowArguments& a = problem.arguments;
  const auto shape = [&](const TokenView& view) {
    return grid_shape(p, view, p.grid_h, p.grid_w, kWindowPitch, kWindow);
  };
  map_wide(a.q, p, shape(p.q));
  map_wide(a.k, p, shape(p.k));
  a.v = part_of(p.dtype, shape(p.v), p.head_dim == 64 ? 64 : 16);
  if (p.has_rel_pos) {
    round_window_tables(p.workspace, p.rel_h, p.rel_w, static_cast<int>(p.head_dim), p.dtype, stream);
    map_wide(a.table, p, table_shape(p, p.workspace, kWindowTable, kWindowTable));
    a.has_tables = true;
  }
  a.pad_k = p.pad_k;
  a.pad_v = p.pad_v;
  a.out = p.out.data;
  a.out_batch = p.out.batch_stride;
  a.out_token = static_cast<int>(p.out.token_stride);
  a.heads = static_cast<int>(p.heads);
  a.windows_across = static_cast<int>((p.grid_w + kWindow - 1) / kWindow);
  a.windows = a.windows_across * static_cast<int>((p.grid_h + kWindow - 1) / kWindow);
  a.grid_h = static_cast<int>(p.grid_h);
  a.grid_w = static_cast<int>(p.grid_w);
  a.scale_log2 = std::max(p.scale, kSmallestScale) * kLog2E;
  a.to_accumulator = 1.0f / a.scale_log2;
  problem.dtype = p.dtype;
  problem.images = p.batch;
  problem.multiprocessors = multiprocessors();
  if (p.head_dim == 64) {
    launch_hopper_window<64>(problem, stream);
  } else {
    launch_hopper_window<80>(problem, stream);
  }
}

}  // namespace

size_t hopper_workspace_bytes(const AttentionParams& p) {
  if (!takes_shape(p) || !p.has_rel_pos) return 0;
  if (p.window > 0) return static_cast<size_t>(rounded_up(kWindowTable * p.head_dim * 2, kAlignment));
  return static_cast<size_t>(table_bytes(p, p.grid_h) + table_bytes(p, p.grid_w));
}

bool have_hopper_attention() {
#if defined(BA_SAM_SM90A) || defined(BA_SAM_CUDA_EMULATION)
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "compute capability");
  return major == 9 && minor == 0 && have_tensor_maps();
#else
  return false;
#endif
}

bool hopper_takes(const AttentionParams& p) {
  return p.log_sum_exp == nullptr && takes_shape(p);
}

bool hopper_pays(const AttentionParams& p) {
  // Below these a block's start costs more than faster tiles save [estimated; gpu-check.sh measures both].
  constexpr int64_t kKeys = 1024, kQueries = 1024;
  if (p.k_tokens < kKeys || p.q_tokens < kQueries) return false;
  if (p.window > 0) return true;
  const int64_t columns = columns_of(p);
  return columns * 4 >= rounded_up(columns, best_strip(p)) * 3;
}

void hopper_forward(const AttentionParams& p, HopperSchedule schedule, cudaStream_t stream) {
  if (p.window > 0) return windows_forward(p, stream);
  const int strip = best_strip(p);
  const int64_t columns = columns_of(p), rows = p.k_tokens / columns;
  HopperProblem problem = {};
  HopperArguments& a = problem.arguments;
  map_wide(a.q, p, query_shape(p, p.q));
  const int box_rows = in_clusters(p, schedule) ? 1 : 2;
  map_wide(a.k, p, grid_shape(p, p.k, rows, columns, strip, box_rows));
  a.v = part_of(p.dtype, grid_shape(p, p.v, rows, columns, strip, box_rows), p.head_dim == 64 ? 64 : 16);
  if (p.has_rel_pos) {
    auto* table_h = static_cast<uint16_t*>(p.workspace);
    uint16_t* table_w = table_h + table_bytes(p, p.grid_h) / 2;
    round_table(table_h, p.rel_h, (2 * p.grid_h - 1) * p.head_dim, p.dtype, stream);
    round_table(table_w, p.rel_w, (2 * p.grid_w - 1) * p.head_dim, p.dtype, stream);
    map_wide(a.rel_h, p, table_shape(p, table_h, 2 * p.grid_h - 1, kTableRows));
    map_wide(a.rel_w, p, table_shape(p, table_w, 2 * p.grid_w - 1, kTableRows));
    a.has_tables = true;
  }
  a.out = p.out.data;
  a.out_batch = p.out.batch_stride;
  a.out_token = static_cast<int>(p.out.token_stride);
  a.heads = static_cast<int>(p.heads);
  a.q_count = static_cast<int>(p.q_tokens);
  a.rows = static_cast<int>(rows);
  a.columns = static_cast<int>(columns);
  a.slopes = p.metric == DistanceMetric::none ? nullptr : p.slopes;
  a.start = p.start;
  a.scale_log2 = std::max(p.scale, kSmallestScale) * kLog2E;
  a.to_accumulator = 1.0f / a.scale_log2;
  a.fold_manhattan = p.metric == DistanceMetric::manhattan;
  a.euclidean = p.metric == DistanceMetric::euclidean;
  problem.dtype = p.dtype;
  problem.bias = by_distance(p) ? ScoreBias::distance : biased(p) ? ScoreBias::separable : ScoreBias::none;
  problem.strip = strip;
  problem.schedule = schedule;
  problem.images = p.batch;
  problem.multiprocessors = multiprocessors();
  if (p.head_dim == 64) {
    launch_hopper<64>(problem, stream);
  } else {
    launch_hopper<80>(problem, stream);
  }
}

}  // namespace ba_sam::cuda
