// Compares the CUDA attention kernels with a float64 loop written from the formula: f32, bf16 and f16, every bias, windows
// with pads, odd grids. Runs on a GPU, or on the host emulation; prints "N passed, N failed".
#include "../../native/cuda/attention/attention.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../native/cuda/runtime.h"
#include "../native/attention_cases.h"
#include "../native/support.h"

using namespace ba_sam;
using namespace ba_sam::test;

namespace {

Counts counts;
constexpr unsigned char kMark = 0x5a;
constexpr int64_t kOutGap = 8;  // elements between output rows that must stay untouched

// Device memory filled with a copy, exactly as large as asked for.
class DeviceCopy {
 public:
  DeviceCopy(const void* host, size_t bytes) {
    if (bytes == 0) return;
    cuda::check(cudaMalloc(&data_, bytes), "cudaMalloc");
    cuda::check(cudaMemcpy(data_, host, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  template <typename T>
  explicit DeviceCopy(const std::vector<T>& host) : DeviceCopy(host.data(), host.size() * sizeof(T)) {}
  ~DeviceCopy() { cudaFree(data_); }
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;
  uint8_t* get() const { return static_cast<uint8_t*>(data_); }
  const float* floats() const { return static_cast<const float*>(data_); }

 private:
  void* data_ = nullptr;
};

std::vector<unsigned char> run_kernel(AttentionParams p, const Operands& o, bool* intact) {
  const int64_t width = p.heads * p.head_dim, stride = width + kOutGap, rows = p.batch * p.q_tokens;
  const size_t size = dtype_bytes(p.dtype);
  const DeviceCopy q(o.q_raw), k(o.k_raw), v(o.v_raw), pad_k(o.pad_k_raw), pad_v(o.pad_v_raw), rel_h(o.rel_h),
      rel_w(o.rel_w), slopes(o.slopes);
  std::vector<unsigned char> out(static_cast<size_t>(rows * stride) * size, kMark);
  const DeviceCopy target(out);
  const std::vector<unsigned char> garbage(cuda::attention_workspace_bytes(p), 0xff);
  const DeviceCopy workspace(garbage);
  if (p.pad_k) p.pad_k = pad_k.get();
  if (p.pad_v) p.pad_v = pad_v.get();
  if (p.rel_h) p.rel_h = rel_h.floats();
  if (p.rel_w) p.rel_w = rel_w.floats();
  if (p.slopes) p.slopes = slopes.floats();
  const bool fused = o.qkv_stride == 3 * width;
  const TokenView qv{q.get(), p.q_tokens * o.qkv_stride, o.qkv_stride};
  const TokenView kv{fused ? q.get() + width * size : k.get(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  const TokenView vv{fused ? q.get() + 2 * width * size : v.get(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  cuda::attention_forward(target.get(), p.q_tokens * stride, stride, qv, kv, vv, p, workspace.get(), nullptr);
  cuda::check(cudaDeviceSynchronize(), "attention");
  cuda::check(cudaMemcpy(out.data(), target.get(), out.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  *intact = true;
  for (int64_t i = 0; i < rows * stride; ++i) {
    if (i % stride < width) continue;
    for (size_t byte = 0; byte < size; ++byte) *intact = *intact && out[i * size + byte] == kMark;
  }
  return out;
}

// rows: queries per warp, 16 or 32, of the tensor-core kernels.
void check_case(const Case& c, DType t, uint32_t seed, const char* rows = "") {
  setenv("BA_SAM_CUDA_ATTENTION_ROWS", rows, 1);
  const Operands o = make_operands(c, t, seed, 8);
  const AttentionParams p = params_of(c, t, o);
  const Reference ref = make_reference(c, p, o, t);
  const auto [worst_tol, rms_tol] = tolerance_of(ref, t);
  bool intact = false, ok = true;
  const std::vector<unsigned char> out = run_kernel(p, o, &intact);
  const int64_t D = c.head_dim, stride = c.heads * D + kOutGap;
  double worst = 0.0, squares = 0.0;
  for (size_t n = 0; n < ref.queries.size(); n++) {
    const int64_t i = ref.queries[n] % p.q_tokens, h = ref.queries[n] / p.q_tokens % c.heads,
                  b = ref.queries[n] / p.q_tokens / c.heads;
    for (int64_t d = 0; d < D; d++) {
      const float got = get(out, t, (b * p.q_tokens + i) * stride + h * D + d);
      const double e = std::fabs(static_cast<double>(got) - ref.exact[n * D + d]);
      if (!(e <= worst_tol)) ok = false;
      worst = std::max(worst, e);
      squares += e * e;
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(ref.exact.size()));
  char numbers[200];
  std::snprintf(numbers, sizeof numbers, "%s %s%s%s: worst %.2e of %.2e, rms %.2e of %.2e%s", c.name.c_str(),
                dtype_name(t), *rows ? " rows " : "", rows, worst, worst_tol, rms, rms_tol,
                intact ? "" : ", wrote between rows");
  counts.check(ok && intact && rms <= rms_tol, numbers);
  if (std::getenv("VERBOSE") != nullptr) std::printf("%s\n", numbers);
  if (seed % 4 != 0) return;
  bool again_intact = false;
  counts.check(run_kernel(p, o, &again_intact) == out, c.name + " " + dtype_name(t) + ": a second run differs");
}

std::vector<Case> tensor_core_cases() {
  std::vector<Case> cases;
  const auto global = [&](int64_t h, int64_t w, int64_t d, bool rel, DistanceMetric m, float start = 0.0f) -> Case& {
    Case c = grid_case(h, w, d, rel, m, start);
    c.heads = d >= 64 ? 1 : 2;
    c.sample = h * w > 300 ? h * w / 60 + 1 : 0;
    cases.push_back(c);
    return cases.back();
  };
  const auto windows = [&](int64_t h, int64_t w, int64_t s, int64_t d, bool rel) {
    Case c = window_case(h, w, s, d, rel);
    c.heads = d >= 64 ? 1 : 2;
    c.batch = h * w < 300 ? 2 : 1;
    c.sample = h * w > 300 ? 7 : 0;
    cases.push_back(c);
  };
  const auto tokens = [&](int64_t nq, int64_t nk, int64_t d, int64_t batch) {
    cases.push_back(token_case(nq, nk, d, 2, batch));
  };

  const DistanceMetric kMetrics[] = {DistanceMetric::none, DistanceMetric::manhattan, DistanceMetric::euclidean,
                                     DistanceMetric::chebyshev};
  for (DistanceMetric m : kMetrics) {
    for (bool rel : {false, true}) {
      global(1, 1, 16, rel, m);
      global(3, 37, 32, rel, m);        // narrow tiles; runs that wrap
      global(41, 1, 16, rel, m, 1.0f);  // sixteen grid rows in one run of queries
      global(13, 11, 64, rel, m, 2.5f);
      global(5, 64, 64, rel, m);        // wide tiles, no wrap
      global(9, 63, 80, rel, m, 3.0f);  // wide tiles, masked column, wraps
      global(6, 60, 32, rel, m).fused = true;
      global(35, 61, 16, rel, m);   // wide tiles over two chunks of rows
      global(37, 20, 128, rel, m);  // narrow tiles over two chunks of rows and two strips
    }
  }
  global(3, 125, 64, true, DistanceMetric::manhattan);  // two wide strips
  global(4, 126, 80, true, DistanceMetric::euclidean);
  global(64, 64, 64, true, DistanceMetric::manhattan, 32.0f);
  global(12, 20, 80, true, DistanceMetric::euclidean).batch = 3;
  global(10, 13, 64, true, DistanceMetric::manhattan).scale = 0.31f;
  global(10, 13, 64, true, DistanceMetric::none).scale = 1e-20f;
  global(10, 13, 64, true, DistanceMetric::chebyshev).scale = -0.2f;
  for (float spread : {40.0f, 100.0f}) {  // logits of ±1e4
    Case& c = global(11, 13, 64, true, DistanceMetric::manhattan);
    c.spread = spread;
    c.name += " extreme";
  }
  for (bool rel : {false, true}) {
    windows(14, 14, 14, 64, rel);
    windows(15, 29, 14, 80, rel);
    windows(5, 9, 14, 16, rel);
    windows(1, 1, 14, 64, rel);
    windows(20, 6, 7, 32, rel);
    windows(4, 4, 1, 16, rel);
    windows(9, 22, 3, 128, rel);
    windows(30, 40, 20, 32, rel);  // wider than a narrow tile
  }
  tokens(7, 7, 32, 1);
  tokens(5, 1, 16, 2);
  tokens(1, 5, 16, 2);
  tokens(7, 1000, 16, 1);
  tokens(500, 7, 16, 1);
  tokens(6, 97, 80, 3);
  tokens(65, 128, 64, 1);
  tokens(33, 193, 128, 1);
  return cases;
}

// f32 kernels also take head sizes that no tensor-core kernel has, and split long lists of keys.
std::vector<Case> f32_cases() {
  std::vector<Case> cases;
  for (int64_t d : {1, 8, 20, 31, 72, 127}) {
    Case c;
    c.grid_h = 9;
    c.grid_w = 16;
    c.head_dim = d;
    c.rel = true;
    c.metric = DistanceMetric::manhattan;
    c.name = "grid 9x16 D" + std::to_string(d);
    cases.push_back(c);
  }
  for (int64_t nk : {255, 256, 257, 513, 4096}) {
    for (int64_t d : {16, 32, 128}) {
      Case c;
      c.nq = 9;
      c.nk = nk;
      c.head_dim = d;
      c.heads = 4;
      c.batch = nk == 513 ? 3 : 1;
      c.name = "tokens 9 to " + std::to_string(nk) + " D" + std::to_string(d);
      cases.push_back(c);
    }
  }
  return cases;
}

void check_refusals() {
  AttentionParams p;
  p.q_tokens = p.k_tokens = 4;
  alignas(16) char memory[64] = {};
  const auto error = [&](AttentionParams params, void* out, int64_t stride) {
    const TokenView view{memory, 0, stride};
    return error_of([&] { cuda::attention_forward(out, 0, 64, view, view, view, params, nullptr, nullptr); },
                    "ERR_INVALID_ARGUMENT");
  };
  p.head_dim = 129;
  counts.check(error(p, memory, 136).find("at most 128 ") != std::string::npos, "f32, D = 129");
  p.dtype = DType::bf16;
  p.head_dim = 24;
  counts.check(error(p, memory, 24).find("received 24") != std::string::npos, "bf16, D = 24");
  p.head_dim = 64;
  counts.check(error(p, memory + 2, 64).find("16 bytes") != std::string::npos, "bf16, misaligned output");
  counts.check(error(p, memory, 65).find("multiples of 8") != std::string::npos, "bf16, odd stride");
  p.dtype = DType::u8;
  counts.check(error(p, memory, 64).find("u8") != std::string::npos, "u8");
}

}  // namespace

int main() {
  uint32_t seed = 1;
  const char* filter = std::getenv("CASE");
  const auto wanted = [&](const Case& c) { return filter == nullptr || c.name.find(filter) != std::string::npos; };
  for (const Case& c : tensor_core_cases()) {
    ++seed;
    if (!wanted(c)) continue;
    for (DType t : {DType::f32, DType::bf16, DType::f16}) {
      // The products of spread-out inputs leave f16's range, in PyTorch as well.
      if (t == DType::f16 && c.spread > 1.0f) continue;
      check_case(c, t, seed, t == DType::f32 ? "" : "16");
      if (t != DType::f32 && c.window == 0) check_case(c, t, seed, "32");
    }
  }
  for (const Case& c : f32_cases()) {
    ++seed;
    if (wanted(c)) check_case(c, DType::f32, seed);
  }
  check_refusals();
  return counts.finish();
}
