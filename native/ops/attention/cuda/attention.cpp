// See attention.h: checks, and the choice of a kernel.
#include "attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "../../../backends/cuda/runtime.h"
#include "hopper_attention.h"
#include "launch.h"

namespace ba_sam::cuda {
namespace {

constexpr int64_t kMaxTokens = INT32_MAX - 4096;  // token numbers are 32-bit in kernels

[[noreturn]] void refuse(const std::string& expected, const std::string& received) {
  throw SamError("ERR_INVALID_ARGUMENT", "Expected " + expected + " for attention on CUDA but received " + received);
}

bool aligned(const void* pointer, size_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

AttentionLayout layout_of(const AttentionParams& p) {
  AttentionLayout a = {};
  a.heads = static_cast<int>(p.heads);
  a.windows = a.windows_across = 1;
  a.window = static_cast<int>(p.window);
  if (p.window > 0) {
    a.windows_across = static_cast<int>((p.grid_w + p.window - 1) / p.window);
    a.windows = static_cast<int>((p.grid_h + p.window - 1) / p.window) * a.windows_across;
  }
  const bool grid = p.has_bias();  // without a bias a grid is a list like any other
  a.grid_h = static_cast<int>(grid ? p.grid_h : 1);
  a.grid_w = static_cast<int>(grid ? p.grid_w : p.k_tokens);
  a.rows = p.window > 0 ? a.window : a.grid_h;
  a.columns = p.window > 0 ? a.window : a.grid_w;
  a.q_count = static_cast<int>(p.window > 0 ? p.window * p.window : p.q_tokens);
  a.q_tokens = p.q_tokens;
  a.log_sum_exp = p.log_sum_exp;
  a.rel_h = p.has_rel_pos ? p.rel_h : nullptr;
  a.rel_w = p.has_rel_pos ? p.rel_w : nullptr;
  a.slopes = p.metric == DistanceMetric::none ? nullptr : p.slopes;
  a.start = p.start;
  a.fold_manhattan = p.metric == DistanceMetric::manhattan;
  a.euclidean = p.metric == DistanceMetric::euclidean;
  return a;
}

// Sizes of the f32 kernels: the next one that holds D, or 0.
int f32_head_dim(int64_t head_dim) {
  for (int d : {16, 32, 64, 80, 128}) {
    if (head_dim <= d) return d;
  }
  return 0;
}

// Splits of the keys that make enough blocks for a whole card, where a list of keys is long and queries are few.
// A fixed goal rather than the card's size: results are then the same everywhere.
int f32_splits(const AttentionParams& p) {
  if (p.has_bias()) return 1;
  constexpr int64_t kBlocks = 256, kTilesPerSplit = 4;
  const int64_t queries = f32_head_dim(p.head_dim) > 80 ? 32 : 64;
  const int64_t blocks = p.batch * p.heads * ((p.q_tokens + queries - 1) / queries);
  const int64_t tiles = (p.k_tokens + kTileKeys - 1) / kTileKeys;
  const int64_t wanted =
      std::clamp<int64_t>(std::min(kBlocks / std::max<int64_t>(blocks, 1), tiles / kTilesPerSplit), 1, 64);
  const int64_t per_split = (tiles + wanted - 1) / wanted;
  return static_cast<int>((tiles + per_split - 1) / per_split);  // none is empty
}

void check_operands(const AttentionParams& p) {
  const std::string problem = attention_problem(p);
  if (!problem.empty()) throw SamError("ERR_INVALID_ARGUMENT", "Expected " + problem);
  if (p.q_tokens > kMaxTokens || p.k_tokens > kMaxTokens) refuse("fewer than 2^31 tokens", std::to_string(p.k_tokens));
  if (p.dtype == DType::f32) {
    if (f32_head_dim(p.head_dim) == 0) refuse("a head size of at most 128", std::to_string(p.head_dim));
    return;
  }
  const int64_t strides[] = {p.q.batch_stride, p.q.token_stride, p.k.batch_stride,   p.k.token_stride,
                             p.v.batch_stride, p.v.token_stride, p.out.batch_stride, p.out.token_stride};
  for (int64_t stride : strides) {
    if (stride % 8 != 0) refuse("strides that are multiples of 8 elements in 16-bit dtypes", std::to_string(stride));
  }
  for (const void* pointer : {static_cast<const void*>(p.out.data), p.q.data, p.k.data, p.v.data, p.pad_k, p.pad_v}) {
    if (!aligned(pointer, 16)) refuse("operands aligned to 16 bytes in 16-bit dtypes", "one that is not");
  }
  for (const float* table : {p.rel_h, p.rel_w}) {
    if (!aligned(table, 8)) refuse("relative position tables aligned to 8 bytes", "one that is not");
  }
  if (p.k.token_stride != p.v.token_stride) refuse("keys and values with one token stride", "two");
  for (int64_t stride : {p.q.token_stride, p.k.token_stride, p.out.token_stride}) {
    if (stride > INT32_MAX) refuse("token strides below 2^31", std::to_string(stride));
  }
}

void run_f32(const AttentionParams& p, cudaStream_t stream) {
  F32Arguments a = {};
  static_cast<AttentionLayout&>(a) = layout_of(p);
  a.q = static_cast<const float*>(p.q.data);
  a.k = static_cast<const float*>(p.k.data);
  a.v = static_cast<const float*>(p.v.data);
  a.out = static_cast<float*>(p.out.data);
  a.partial = static_cast<float*>(p.workspace);
  a.q_batch = p.q.batch_stride;
  a.k_batch = p.k.batch_stride;
  a.v_batch = p.v.batch_stride;
  a.out_batch = p.out.batch_stride;
  a.q_token = p.q.token_stride;
  a.k_token = p.k.token_stride;
  a.v_token = p.v.token_stride;
  a.out_token = p.out.token_stride;
  a.head_dim = static_cast<int>(p.head_dim);
  a.biased = p.has_bias();
  const bool narrow = a.biased && (p.window > 0 || narrow_tiles_pay(a.rows, a.columns));
  a.columns_per_tile = !a.biased ? kTileKeys : narrow ? 16 : 32;
  a.rows_per_tile = kTileKeys / a.columns_per_tile;
  a.pad_k = static_cast<const float*>(p.pad_k);
  a.pad_v = static_cast<const float*>(p.pad_v);
  a.scale_log2 = p.scale * kLog2E;
  a.far = a.euclidean || p.metric == DistanceMetric::chebyshev;
  const int64_t rectangles = p.batch * a.windows * p.heads;
  const int splits = f32_splits(p);
  switch (f32_head_dim(p.head_dim)) {
    case 16:
      return launch_f32<16>(a, rectangles, splits, stream);
    case 32:
      return launch_f32<32>(a, rectangles, splits, stream);
    case 64:
      return launch_f32<64>(a, rectangles, splits, stream);
    case 80:
      return launch_f32<80>(a, rectangles, splits, stream);
    default:
      return launch_f32<128>(a, rectangles, splits, stream);
  }
}

int shared_bytes_per_sm() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device), "shared memory of an SM");
  return bytes;
}

// BA_SAM_CUDA_ATTENTION_ROWS, for benchmarks and tests of both kernels.
int forced_rows_per_warp() {
  const char* text = std::getenv("BA_SAM_CUDA_ATTENTION_ROWS");
  if (text == nullptr || *text == '\0') return 0;
  const std::string rows = text;
  if (rows != "16" && rows != "32") refuse("16 or 32 in BA_SAM_CUDA_ATTENTION_ROWS", rows);
  return rows == "16" ? 16 : 32;
}

// BA_SAM_CUDA_ATTENTION, for benchmarks and tests: "portable" or a name of kHopperSchedules; empty to choose.
std::string forced_kernel() {
  const char* text = std::getenv("BA_SAM_CUDA_ATTENTION");
  const std::string kernel = text == nullptr ? "" : text;
  if (kernel.empty() || kernel == "portable") return kernel;
  std::string names = "portable";
  for (const HopperScheduleRow& row : kHopperSchedules) {
    if (kernel == row.name) return kernel;
    names += std::string(", ") + row.name;
  }
  refuse("one of " + names + " in BA_SAM_CUDA_ATTENTION", kernel);
}

// Runs the kernel for sm_90a where it is to run. Where it is forced but cannot, the portable one serves: one setting can hold
// for a whole model.
bool run_hopper(const AttentionParams& params, cudaStream_t stream) {
  const std::string forced = forced_kernel();
  if (forced == "portable" || !hopper_takes(params) || !have_hopper_attention()) return false;
  if (forced.empty() && !hopper_pays(params)) return false;
  HopperSchedule schedule = kHopperSchedules[0].schedule;
  for (const HopperScheduleRow& row : kHopperSchedules) {
    if (forced == row.name) schedule = row.schedule;
  }
  hopper_forward(params, schedule, stream);
  return true;
}

void run_mma(const AttentionParams& p, cudaStream_t stream) {
  // The accumulators start at bias / scale: a scale that is zero for all purposes must not make that infinite.
  constexpr float kSmallestScale = 1e-30f;
  MmaProblem problem = {};
  MmaArguments& a = problem.arguments;
  static_cast<AttentionLayout&>(a) = layout_of(p);
  a.q = p.q.data;
  a.k = p.k.data;
  a.v = p.v.data;
  a.out = p.out.data;
  a.q_batch = p.q.batch_stride;
  a.k_batch = p.k.batch_stride;
  a.v_batch = p.v.batch_stride;
  a.out_batch = p.out.batch_stride;
  a.q_token = static_cast<int>(p.q.token_stride);
  a.kv_token = static_cast<int>(p.k.token_stride);
  a.out_token = static_cast<int>(p.out.token_stride);
  a.pad_k = p.pad_k;
  a.pad_v = p.pad_v;
  a.scale_log2 = std::max(std::fabs(p.scale), kSmallestScale) * kLog2E;
  a.negate_q = p.scale < 0;
  problem.dtype = p.dtype;
  problem.bias = a.euclidean || p.metric == DistanceMetric::chebyshev ? ScoreBias::distance
                 : p.has_bias()                                       ? ScoreBias::separable
                                                                      : ScoreBias::none;
  problem.rectangles = p.batch * a.windows * p.heads;
  problem.shared_bytes_per_sm = shared_bytes_per_sm();
  problem.rows_per_warp = forced_rows_per_warp();
  switch (p.head_dim) {
    case 16:
      return launch_mma<16>(problem, stream);
    case 32:
      return launch_mma<32>(problem, stream);
    case 64:
      return launch_mma<64>(problem, stream);
    case 80:
      return launch_mma<80>(problem, stream);
    case 128:
      return launch_mma<128>(problem, stream);
    default:
      refuse("a head size of 16, 32, 64, 80 or 128 in 16-bit dtypes", std::to_string(p.head_dim));
  }
}

}  // namespace

size_t attention_workspace_bytes(const AttentionParams& p) {
  if (p.dtype != DType::f32) return hopper_workspace_bytes(p);
  const int64_t splits = f32_splits(p), d = f32_head_dim(p.head_dim);
  if (splits == 1 || d == 0) return 0;
  const int64_t queries = d > 80 ? 32 : 64;
  const int64_t blocks = p.batch * p.heads * ((p.q_tokens + queries - 1) / queries);
  return static_cast<size_t>(splits * blocks * queries * (d + 2)) * sizeof(float);
}

void attention_forward(const AttentionParams& params, cudaStream_t stream) {
  check_operands(params);
  if (params.batch == 0 || params.q_tokens == 0) return;
  if (params.dtype == DType::f32) return run_f32(params, stream);
  if (!run_hopper(params, stream)) run_mma(params, stream);
}

}  // namespace ba_sam::cuda
