// What the tests of the CUDA attention kernels share: one case through one kernel, compared with a float64 loop.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../native/backends/cuda/runtime.h"
#include "../../native/ops/attention/cuda/attention.h"
#include "../native/attention_cases.h"
#include "../native/support.h"

namespace ba_sam::test {

inline Counts counts;
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

struct Result {
  std::vector<unsigned char> out;
  std::vector<float> log_sum_exp;  // [B, H, Nq]; empty unless asked for
  bool intact = true;              // nothing was written between the rows of out
};

inline Result run_kernel(AttentionParams p, const Operands& o, bool with_log_sum_exp) {
  const int64_t width = p.heads * p.head_dim, stride = width + kOutGap, rows = p.batch * p.q_tokens;
  const size_t size = dtype_bytes(p.dtype);
  const DeviceCopy q(o.q_raw), k(o.k_raw), v(o.v_raw), pad_k(o.pad_k_raw), pad_v(o.pad_v_raw), rel_h(o.rel_h),
      rel_w(o.rel_w), slopes(o.slopes);
  Result result;
  result.out.assign(static_cast<size_t>(rows * stride) * size, kMark);
  if (with_log_sum_exp) result.log_sum_exp.assign(static_cast<size_t>(rows * p.heads), NAN);
  const DeviceCopy target(result.out), log_sum_exp(result.log_sum_exp);
  const std::vector<unsigned char> garbage(cuda::attention_workspace_bytes(p), 0xff);
  const DeviceCopy workspace(garbage);
  if (p.pad_k) p.pad_k = pad_k.get();
  if (p.pad_v) p.pad_v = pad_v.get();
  if (p.rel_h) p.rel_h = rel_h.floats();
  if (p.rel_w) p.rel_w = rel_w.floats();
  if (p.slopes) p.slopes = slopes.floats();
  const bool fused = o.qkv_stride == 3 * width;
  p.q = {q.get(), p.q_tokens * o.qkv_stride, o.qkv_stride};
  p.k = {fused ? q.get() + width * size : k.get(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  p.v = {fused ? q.get() + 2 * width * size : v.get(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  p.out = {target.get(), p.q_tokens * stride, stride};
  p.log_sum_exp = reinterpret_cast<float*>(log_sum_exp.get());
  p.workspace = workspace.get();
  cuda::attention_forward(p, nullptr);
  cuda::check(cudaDeviceSynchronize(), "attention");
  cuda::check(cudaMemcpy(result.out.data(), target.get(), result.out.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  if (with_log_sum_exp) {
    cuda::check(cudaMemcpy(result.log_sum_exp.data(), log_sum_exp.get(), result.log_sum_exp.size() * sizeof(float),
                           cudaMemcpyDeviceToHost),
                "cudaMemcpy");
  }
  for (int64_t i = 0; i < rows * stride; ++i) {
    if (i % stride < width) continue;
    for (size_t byte = 0; byte < size; ++byte) result.intact = result.intact && result.out[i * size + byte] == kMark;
  }
  return result;
}

// Against the float64 loop; and every one is there.
inline void check_log_sum_exp(const std::vector<float>& got, const Reference& ref, double tolerance,
                              const std::string& name) {
  double worst = 0;
  bool ok = true;
  for (size_t n = 0; n < ref.queries.size(); n++) {
    const double e = std::fabs(got[ref.queries[n]] - ref.log_sum_exp[n]);
    ok = ok && e <= tolerance;
    worst = std::max(worst, e);
  }
  for (float x : got) ok = ok && std::isfinite(x);
  char numbers[120];
  std::snprintf(numbers, sizeof numbers, ": log_sum_exp, worst %.2e of %.2e", worst, tolerance);
  counts.check(ok, name + numbers);
  if (std::getenv("VERBOSE") != nullptr) std::printf("%s%s\n", name.c_str(), numbers);
}

// kernel: as in BA_SAM_CUDA_ATTENTION; rows: queries per warp of the mma.sync kernels, as in BA_SAM_CUDA_ATTENTION_ROWS.
inline void check_case(const Case& c, DType t, uint32_t seed, const std::string& kernel = "",
                       const std::string& rows = "") {
  setenv("BA_SAM_CUDA_ATTENTION", kernel.c_str(), 1);
  setenv("BA_SAM_CUDA_ATTENTION_ROWS", rows.c_str(), 1);
  const Operands o = make_operands(c, t, seed, 8);
  const AttentionParams p = params_of(c, t, o);
  const Reference ref = make_reference(c, p, o, t);
  const auto [worst_tol, rms_tol, log_sum_exp_tol] = tolerance_of(ref, t);
  bool ok = true;
  const Result result = run_kernel(p, o, false);
  const int64_t D = c.head_dim, stride = c.heads * D + kOutGap;
  double worst = 0.0, squares = 0.0;
  for (size_t n = 0; n < ref.queries.size(); n++) {
    const int64_t i = ref.queries[n] % p.q_tokens, h = ref.queries[n] / p.q_tokens % c.heads,
                  b = ref.queries[n] / p.q_tokens / c.heads;
    for (int64_t d = 0; d < D; d++) {
      const float got = get(result.out, t, (b * p.q_tokens + i) * stride + h * D + d);
      const double e = std::fabs(static_cast<double>(got) - ref.exact[n * D + d]);
      if (!(e <= worst_tol)) ok = false;
      worst = std::max(worst, e);
      squares += e * e;
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(ref.exact.size()));
  const std::string name = c.name + " " + dtype_name(t) + " " + kernel + " " + rows;
  char numbers[120];
  std::snprintf(numbers, sizeof numbers, ": worst %.2e of %.2e, rms %.2e of %.2e%s", worst, worst_tol, rms, rms_tol,
                result.intact ? "" : ", wrote between rows");
  counts.check(ok && result.intact && rms <= rms_tol, name + numbers);
  if (std::getenv("VERBOSE") != nullptr) std::printf("%s%s\n", name.c_str(), numbers);
  if (seed % 4 != 0) return;
  counts.check(run_kernel(p, o, false).out == result.out, name + ": a second run differs");
  // The kernels for sm_90a are not chosen then: the output's last bits are another's.
  const bool same_kernel = t == DType::f32 || kernel == "portable";
  const Result asked = run_kernel(p, o, true);
  check_log_sum_exp(asked.log_sum_exp, ref, log_sum_exp_tol, name);
  if (same_kernel) counts.check(asked.out == result.out, name + ": log_sum_exp changes the output");
}

}  // namespace ba_sam::test
