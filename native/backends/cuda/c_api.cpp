// The C interface: turns C structs into the kernels' parameters. Callers are not trusted: everything that can be checked
// without reading device memory is checked here, and no exception gets out.
#include "c_api.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "../../ops/attention/cuda/attention.h"

#ifndef BA_SAM_VERSION  // the package's; builds for tests may leave it out
#define BA_SAM_VERSION "0.0.0"
#endif

namespace {

using ba_sam::AttentionParams;
using ba_sam::DistanceMetric;
using ba_sam::DType;
using ba_sam::SamError;
using ba_sam::TokensAt;

constexpr int64_t kMaxSide = int64_t{1} << 20;
// Of any operand's extent: every offset that a kernel works out fits into 64 bits, times eight.
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr size_t kWorkspaceAlignment = 256;

thread_local char last_error[512] = "";

[[noreturn]] void refuse(const std::string& expected, const std::string& received) {
  throw SamError("ERR_INVALID_ARGUMENT", "Expected " + expected + " but received " + received);
}

void check_range(int64_t value, int64_t low, int64_t high, const char* name) {
  if (value < low || value > high) {
    refuse("integer between " + std::to_string(low) + " and " + std::to_string(high) + " for " + name,
           std::to_string(value));
  }
}

void check_address(const void* pointer, size_t alignment, const char* name) {
  if (pointer == nullptr) refuse(std::string("device pointer for ") + name, "null");
  if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", pointer);
    refuse(std::string(name) + " aligned to " + std::to_string(alignment) + " bytes", text);
  }
}

int64_t product(int64_t a, int64_t b, const char* name) {
  if (b > 0 && a > kMaxElements / b) {
    refuse(std::string("at most 2^40 elements for ") + name, std::to_string(a) + " × " + std::to_string(b));
  }
  return a * b;
}

// One operand of [batch, tokens, H·D]. Strides of outputs must keep elements apart.
template <typename Data>
void check_strides(const AttentionParams& p, const TokensAt<Data>& view, int64_t tokens, const std::string& name,
                   bool is_output) {
  const int64_t channels = p.heads * p.head_dim;
  const std::string token_name = name + "_token_stride", batch_name = name + "_batch_stride";
  check_range(view.token_stride, is_output && tokens > 1 ? channels : 0, kMaxElements, token_name.c_str());
  const int64_t image = product(tokens - 1, view.token_stride, name.c_str()) + channels;
  check_range(view.batch_stride, is_output && p.batch > 1 ? image : 0, kMaxElements, batch_name.c_str());
  const int64_t all = product(p.batch - 1, view.batch_stride, name.c_str()) + image;
  if (all > kMaxElements) refuse("at most 2^40 elements for " + name, std::to_string(all));
  if (p.dtype != DType::f32 && (view.token_stride % 8 != 0 || view.batch_stride % 8 != 0)) {
    refuse("strides that are multiples of 8 for " + name + " of a 16-bit dtype",
           std::to_string(view.batch_stride) + " and " + std::to_string(view.token_stride));
  }
}

// What C structs can hold and AttentionParams cannot, and sizes whose products would leave 64 bits.
void check_ranges(const BaSamAttention& a) {
  check_range(a.dtype, BA_SAM_F32, BA_SAM_F16, "dtype");
  check_range(a.metric, BA_SAM_METRIC_NONE, BA_SAM_METRIC_CHEBYSHEV, "metric");
  check_range(a.batch, 1, kMaxSide, "batch");
  check_range(a.q_tokens, 1, kMaxElements, "q_tokens");
  check_range(a.k_tokens, 1, kMaxElements, "k_tokens");
  if (a.grid_h != 0 || a.grid_w != 0) {
    check_range(a.grid_h, 1, kMaxSide, "grid_h");
    check_range(a.grid_w, 1, kMaxSide, "grid_w");
  }
  if ((a.rel_h == nullptr) != (a.rel_w == nullptr)) {
    refuse("both of rel_h and rel_w or none", a.rel_h ? "rel_h alone" : "rel_w alone");
  }
}

// Addresses that do not depend on the call.
void check_addresses(const AttentionParams& p) {
  if (p.window > 0) {
    const size_t alignment = p.dtype == DType::f32 ? 4 : 16;
    check_address(p.pad_k, alignment, "pad_k");
    check_address(p.pad_v, alignment, "pad_v");
  }
  if (p.has_rel_pos) {
    check_address(p.rel_h, 8, "rel_h");
    check_address(p.rel_w, 8, "rel_w");
  }
  if (p.metric != DistanceMetric::none) {
    check_address(p.slopes, alignof(float), "slopes");
  } else if (p.slopes) {
    refuse("slopes exactly when there is a metric", "slopes without a metric");
  }
}

// Everything but q, k, v, out and the workspace, whose strides are there.
AttentionParams checked(const BaSamAttention* attention) {
  if (attention == nullptr) refuse("BaSamAttention for params", "null");
  if (reinterpret_cast<uintptr_t>(attention) % alignof(BaSamAttention) != 0) {
    refuse("params aligned as a BaSamAttention", "an odd address");
  }
  // Read before the copy: a smaller struct of another version must not be read past its end.
  if (attention->struct_bytes != sizeof(BaSamAttention)) {
    refuse("struct_bytes of " + std::to_string(sizeof(BaSamAttention)), std::to_string(attention->struct_bytes));
  }
  const BaSamAttention a = *attention;  // what is checked and what is used are the same, whatever other threads do
  check_ranges(a);
  AttentionParams p;
  p.dtype = static_cast<DType>(a.dtype);
  p.batch = a.batch;
  p.heads = a.heads;
  p.head_dim = a.head_dim;
  p.q_tokens = a.q_tokens;
  p.k_tokens = a.k_tokens;
  p.scale = a.scale;
  p.grid_h = a.grid_h;
  p.grid_w = a.grid_w;
  p.window = a.window;
  p.pad_k = a.pad_k;
  p.pad_v = a.pad_v;
  p.has_rel_pos = a.rel_h != nullptr;
  p.rel_h = a.rel_h;
  p.rel_w = a.rel_w;
  p.metric = static_cast<DistanceMetric>(a.metric);
  p.slopes = a.slopes;
  p.start = a.start;
  p.out = {nullptr, a.out_batch_stride, a.out_token_stride};
  p.q = {nullptr, a.q_batch_stride, a.q_token_stride};
  p.k = {nullptr, a.k_batch_stride, a.k_token_stride};
  p.v = {nullptr, a.v_batch_stride, a.v_token_stride};

  const std::string problem = attention_problem(p);
  if (!problem.empty()) throw SamError("ERR_INVALID_ARGUMENT", "Expected " + problem);
  check_addresses(p);
  product(product(std::max(p.q_tokens, p.k_tokens), p.heads * p.head_dim, "one image"), p.batch, "an operand");
  check_strides(p, p.out, p.q_tokens, "out", true);
  check_strides(p, p.q, p.q_tokens, "q", false);
  check_strides(p, p.k, p.k_tokens, "k", false);
  check_strides(p, p.v, p.k_tokens, "v", false);
  return p;
}

void remember(const char* message) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", message);
}

int result_of(const std::string& code) noexcept {
  if (code == "ERR_INVALID_ARGUMENT") return BA_SAM_INVALID_ARGUMENT;
  if (code == "ERR_OUT_OF_MEMORY") return BA_SAM_OUT_OF_MEMORY;
  if (code == "ERR_DEVICE_LOST") return BA_SAM_DEVICE_LOST;
  if (code == "ERR_DEVICE_UNAVAILABLE") return BA_SAM_DEVICE_UNAVAILABLE;
  return BA_SAM_INTERNAL;
}

// Runs `action`; what it throws becomes a result and the thread's last error.
template <typename Action>
int guarded(const Action& action) noexcept {
  try {
    action();
    return BA_SAM_OK;
  } catch (const SamError& error) {
    remember(error.what());
    return result_of(error.code());
  } catch (const std::bad_alloc&) {
    remember("Out of host memory");
    return BA_SAM_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    remember(error.what());
  } catch (...) {
    remember("An exception that is no std::exception");
  }
  return BA_SAM_INTERNAL;
}

}  // namespace

static_assert(BA_SAM_F32 == static_cast<int>(DType::f32) && BA_SAM_BF16 == static_cast<int>(DType::bf16) &&
              BA_SAM_F16 == static_cast<int>(DType::f16));
static_assert(BA_SAM_METRIC_NONE == static_cast<int>(DistanceMetric::none) &&
              BA_SAM_METRIC_MANHATTAN == static_cast<int>(DistanceMetric::manhattan) &&
              BA_SAM_METRIC_EUCLIDEAN == static_cast<int>(DistanceMetric::euclidean) &&
              BA_SAM_METRIC_CHEBYSHEV == static_cast<int>(DistanceMetric::chebyshev));
// Other languages declare the struct by hand (bench/peers/attention.py): no hidden padding.
static_assert(sizeof(BaSamAttention) == 8 + 2 * 4 + (5 + 8 + 3) * 8 + 5 * 8 + 2 * 4);

const char* ba_sam_version(void) {
  return BA_SAM_VERSION;
}

const char* ba_sam_last_error(void) {
  return last_error;
}

size_t ba_sam_attention_workspace_bytes(const BaSamAttention* params) {
  size_t bytes = BA_SAM_INVALID;
  guarded([&] { bytes = ba_sam::cuda::attention_workspace_bytes(checked(params)); });
  return bytes;
}

int ba_sam_attention_forward(void* out, const void* q, const void* k, const void* v, const BaSamAttention* params,
                             void* workspace, size_t workspace_bytes, void* stream) {
  return guarded([&] {
    AttentionParams p = checked(params);
    const size_t alignment = p.dtype == DType::f32 ? 4 : 16;
    check_address(out, alignment, "out");
    check_address(q, alignment, "q");
    check_address(k, alignment, "k");
    check_address(v, alignment, "v");
    const size_t needed = ba_sam::cuda::attention_workspace_bytes(p);
    if (needed > 0) {
      check_address(workspace, kWorkspaceAlignment, "workspace");
      if (workspace_bytes < needed) {
        refuse("workspace of at least " + std::to_string(needed) + " bytes", std::to_string(workspace_bytes));
      }
    }
    p.out.data = out;
    p.q.data = q;
    p.k.data = k;
    p.v.data = v;
    p.workspace = workspace;
    ba_sam::cuda::attention_forward(p, static_cast<cudaStream_t>(stream));
  });
}
