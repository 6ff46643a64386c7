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

inline std::vector<unsigned char> run_kernel(AttentionParams p, const Operands& o, bool* intact) {
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

// kernel: as in BA_SAM_CUDA_ATTENTION; rows: queries per warp of the mma.sync kernels, as in BA_SAM_CUDA_ATTENTION_ROWS.
inline void check_case(const Case& c, DType t, uint32_t seed, const std::string& kernel = "",
                       const std::string& rows = "") {
  setenv("BA_SAM_CUDA_ATTENTION", kernel.c_str(), 1);
  setenv("BA_SAM_CUDA_ATTENTION_ROWS", rows.c_str(), 1);
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
  std::snprintf(numbers, sizeof numbers, "%s %s %s %s: worst %.2e of %.2e, rms %.2e of %.2e%s", c.name.c_str(),
                dtype_name(t), kernel.c_str(), rows.c_str(), worst, worst_tol, rms, rms_tol,
                intact ? "" : ", wrote between rows");
  counts.check(ok && intact && rms <= rms_tol, numbers);
  if (std::getenv("VERBOSE") != nullptr) std::printf("%s\n", numbers);
  if (seed % 4 != 0) return;
  bool again_intact = false;
  counts.check(run_kernel(p, o, &again_intact) == out, c.name + " " + dtype_name(t) + ": a second run differs");
}

}  // namespace ba_sam::test
