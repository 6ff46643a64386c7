// Speed of the CUDA attention kernels by shape, dtype and bias, without Python:
//   npm run build:cuda -- --tests && build-cuda/Release/tests/attention_bench [once|time=SECONDS] [part of a row's name]…
// Rows whose names hold every part given are run, all without one. TFLOP/s count 4·N·keys·D·H: both products, no softmax
// and no bias. Median of repeated calls between events, on random normal inputs. `once` runs each kernel twice and times
// nothing: what a profiler wants.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../../native/backends/cuda/memory.h"
#include "../../native/core/bf16.h"
#include "../../native/ops/attention/cuda/attention.h"

namespace {

using ba_sam::AttentionParams;
using ba_sam::DistanceMetric;
using ba_sam::DType;
using ba_sam::cuda::check;
using ba_sam::cuda::DeviceMemory;

struct Shape {
  const char* name;
  int64_t heads, head_dim, grid_h, grid_w, q_tokens, k_tokens, window;
};

struct Bias {
  const char* name;
  bool rel;
  DistanceMetric metric;
};

constexpr Shape kShapes[] = {
    {"global 64x64 D64", 12, 64, 64, 64, 0, 0, 0},        {"global 64x64 D80", 16, 80, 64, 64, 0, 0, 0},
    {"global 128x128 D64", 12, 64, 128, 128, 0, 0, 0},    {"global 128x128 D80", 16, 80, 128, 128, 0, 0, 0},
    {"global 128x86 D64", 12, 64, 128, 86, 0, 0, 0},      {"global 128x86 D80", 16, 80, 128, 86, 0, 0, 0},
    {"global 40x64 D64", 12, 64, 40, 64, 0, 0, 0},        {"window 14 of 64x64 D64", 12, 64, 64, 64, 0, 0, 14},
    {"window 14 of 64x64 D80", 16, 80, 64, 64, 0, 0, 14}, {"decoder 7 to 4096 D16", 8, 16, 0, 0, 7, 4096, 0},
    {"decoder 4096 to 7 D16", 8, 16, 0, 0, 4096, 7, 0},   {"tiny 6x5 D64", 2, 64, 6, 5, 0, 0, 0},
};

constexpr Bias kBiases[] = {
    {"none", false, DistanceMetric::none},
    {"rel", true, DistanceMetric::none},
    {"rel+manhattan", true, DistanceMetric::manhattan},
    {"rel+euclidean", true, DistanceMetric::euclidean},
    {"rel+chebyshev", true, DistanceMetric::chebyshev},
};

// Random normal numbers on the device; a fused buffer of 400 MB is filled with one block of them, repeated.
std::unique_ptr<DeviceMemory> random_block(int64_t count, DType dtype, float scale) {
  static std::vector<float> normals;
  if (normals.empty()) {
    std::mt19937 rng(7);
    std::normal_distribution<float> normal;
    normals.resize(1 << 20);
    for (float& x : normals) x = normal(rng);
  }
  const size_t size = ba_sam::dtype_bytes(dtype);
  std::vector<uint8_t> host(static_cast<size_t>(count) * size);
  for (int64_t i = 0; i < count; ++i) {
    const float x = normals[static_cast<size_t>(i) % normals.size()] * scale;
    const uint16_t bits = ba_sam::f32_to_bf16(x);
    std::memcpy(&host[static_cast<size_t>(i) * size], size == 4 ? static_cast<const void*>(&x) : &bits, size);
  }
  auto memory = std::make_unique<DeviceMemory>(0, std::max<size_t>(host.size(), 256), "benchmark inputs");
  check(cudaMemcpy(memory->data(), host.data(), host.size(), cudaMemcpyHostToDevice), "copying inputs");
  return memory;
}

struct Timing {
  double median_ms = 0, min_ms = 0, max_ms = 0;
};

template <typename Call>
Timing time(const Call& call, double seconds) {
  cudaEvent_t start, stop;
  check(cudaEventCreate(&start), "an event");
  check(cudaEventCreate(&stop), "an event");
  std::vector<float> times;
  double total_ms = 0;
  for (int i = 0; i < 203 && (i < 6 || total_ms < seconds * 1e3); ++i) {
    check(cudaEventRecord(start, nullptr), "an event");
    call();
    check(cudaEventRecord(stop, nullptr), "an event");
    check(cudaEventSynchronize(stop), "attention");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, start, stop), "an event");
    if (i >= 3) times.push_back(ms);  // warm by then
    total_ms += ms;
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

void run(const Shape& s, const Bias& bias, DType dtype, double seconds, const std::string& name) {
  AttentionParams p;
  p.dtype = dtype;
  p.heads = s.heads;
  p.head_dim = s.head_dim;
  const bool grid = s.grid_h > 0, fused = grid;  // the encoder's q, k and v come from one product
  if (grid && (bias.rel || bias.metric != DistanceMetric::none || s.window > 0)) {
    p.grid_h = s.grid_h;
    p.grid_w = s.grid_w;
  }
  p.q_tokens = grid ? s.grid_h * s.grid_w : s.q_tokens;
  p.k_tokens = grid ? p.q_tokens : s.k_tokens;
  p.window = s.window;
  p.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  p.metric = bias.metric;
  const int64_t width = s.heads * s.head_dim, stride = fused ? 3 * width : width;
  const size_t size = ba_sam::dtype_bytes(dtype);
  const auto q = random_block(p.q_tokens * stride, dtype, 1.0f);
  const auto kv = random_block(fused ? 0 : 2 * p.k_tokens * width, dtype, 1.0f);
  const auto pad = random_block(2 * width, dtype, 1.0f);
  const int64_t side_h = s.window > 0 ? s.window : s.grid_h, side_w = s.window > 0 ? s.window : s.grid_w;
  const auto rel_h = random_block((2 * std::max<int64_t>(side_h, 1) - 1) * s.head_dim, DType::f32, 0.1f);
  const auto rel_w = random_block((2 * std::max<int64_t>(side_w, 1) - 1) * s.head_dim, DType::f32, 0.1f);
  const std::vector<float> slope_values(static_cast<size_t>(s.heads), 0.05f);
  const DeviceMemory slopes(0, std::max<size_t>(slope_values.size() * 4, 256), "slopes");
  check(cudaMemcpy(slopes.data(), slope_values.data(), slope_values.size() * 4, cudaMemcpyHostToDevice), "slopes");
  if (s.window > 0) {
    p.pad_k = pad->data();
    p.pad_v = pad->data() + static_cast<size_t>(width) * size;
  }
  p.has_rel_pos = bias.rel;
  if (bias.rel) {
    p.rel_h = reinterpret_cast<const float*>(rel_h->data());
    p.rel_w = reinterpret_cast<const float*>(rel_w->data());
  }
  if (p.metric != DistanceMetric::none) p.slopes = reinterpret_cast<const float*>(slopes.data());
  const DeviceMemory out(0, static_cast<size_t>(p.q_tokens * width) * size, "output");
  const size_t workspace_bytes = ba_sam::cuda::attention_workspace_bytes(p);
  const DeviceMemory workspace(0, std::max<size_t>(workspace_bytes, 256), "workspace");
  const uint8_t* k = fused ? q->data() + static_cast<size_t>(width) * size : kv->data();
  const uint8_t* v = k + static_cast<size_t>(fused ? width : p.k_tokens * width) * size;
  p.q = {q->data(), 0, stride};
  p.k = {k, 0, stride};
  p.v = {v, 0, stride};
  p.out = {out.data(), 0, width};
  p.workspace = workspace.data();
  const auto call = [&] { ba_sam::cuda::attention_forward(p, nullptr); };
  if (seconds == 0) {
    call();
    call();
    check(cudaDeviceSynchronize(), "attention");
    std::printf("%s: ran\n", name.c_str());
    return;
  }
  const Timing t = time(call, seconds);
  const int64_t keys = s.window > 0 ? s.window * s.window : p.k_tokens;
  const double flops = 4.0 * static_cast<double>(p.q_tokens * keys) * static_cast<double>(width);
  std::printf("%-44s %9.4f ms %7.1f TFLOP/s  (%.4f … %.4f ms)  workspace %.1f MB\n", name.c_str(), t.median_ms,
              flops / t.median_ms * 1e-9, t.min_ms, t.max_ms, static_cast<double>(workspace_bytes) * 1e-6);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0.2;
  std::vector<std::string> parts;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "once") == 0) {
      seconds = 0;
    } else if (std::strncmp(argv[i], "time=", 5) == 0) {
      seconds = std::max(std::atof(argv[i] + 5), 1e-3);
    } else {
      parts.emplace_back(argv[i]);
    }
  }
  int passed = 0, failed = 0;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const Shape& s : kShapes) {
      for (const Bias& b : kBiases) {
        const bool possible = (s.grid_h > 0 || !b.rel) && (s.window == 0 || b.metric == DistanceMetric::none);
        const std::string name = std::string(s.name) + " " + ba_sam::dtype_name(dtype) + " " + b.name;
        const auto wanted = [&](const std::string& part) { return (name + " ").find(part) != std::string::npos; };
        if (!possible || !std::all_of(parts.begin(), parts.end(), wanted)) continue;
        try {
          run(s, b, dtype, seconds, name);
          ++passed;
        } catch (const std::exception& error) {
          std::printf("%s: %s\n", name.c_str(), error.what());
          ++failed;
        }
      }
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
