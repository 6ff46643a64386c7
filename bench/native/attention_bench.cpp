// Speed of the attention kernels by instruction set, dtype, shape and bias.
//   g++ -std=c++17 -O3 -fopenmp bench/native/attention_bench.cpp native/ops/attention/cpu/*.cpp -o attention_bench
//   ./attention_bench [threads=2] [isa] [f32|bf16] [shape]
// GFLOP/s count 4·Nq·Nk·D·H per image: both products, no softmax and no bias. Median of repeated calls, and the
// spread between the fastest and the slowest.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../../native/core/bf16.h"
#include "../../native/ops/attention/cpu/attention.h"

using ba_sam::DType;
using namespace ba_sam::cpu;

namespace {

struct Shape {
  const char* name;
  int64_t heads, head_dim, grid_h, grid_w, nq, nk, window;
};

struct BiasKind {
  const char* name;
  bool rel;
  DistanceMetric metric;
};

constexpr Shape kShapes[] = {
    {"global 64x64 D64", 12, 64, 64, 64, 0, 0, 0},        {"global 64x64 D80", 16, 80, 64, 64, 0, 0, 0},
    {"global 61x47 D64", 12, 64, 61, 47, 0, 0, 0},        {"window 14 of 64x64 D64", 12, 64, 64, 64, 0, 0, 14},
    {"window 14 of 64x64 D80", 16, 80, 64, 64, 0, 0, 14}, {"decoder 7 to 4096 D16", 8, 16, 0, 0, 7, 4096, 0},
    {"decoder 4096 to 7 D16", 8, 16, 0, 0, 4096, 7, 0},   {"decoder 7 to 7 D32", 8, 32, 0, 0, 7, 7, 0},
};
constexpr BiasKind kBiases[] = {
    {"none", false, DistanceMetric::none},
    {"rel", true, DistanceMetric::none},
    {"rel+manhattan", true, DistanceMetric::manhattan},
    {"rel+euclidean", true, DistanceMetric::euclidean},
    {"rel+chebyshev", true, DistanceMetric::chebyshev},
};

void run(const Shape& s, const BiasKind& bias, DType t, Isa isa, int threads) {
  AttentionParams p;
  p.dtype = t;
  p.heads = s.heads;
  p.head_dim = s.head_dim;
  p.grid_h = s.grid_h;
  p.grid_w = s.grid_w;
  p.q_tokens = s.grid_h > 0 ? s.grid_h * s.grid_w : s.nq;
  p.k_tokens = s.grid_h > 0 ? s.grid_h * s.grid_w : s.nk;
  p.window = s.window;
  p.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  const int64_t width = s.heads * s.head_dim;
  std::mt19937 rng(7);
  std::normal_distribution<float> normal;
  const size_t size = ba_sam::dtype_bytes(t);
  const auto fill = [&](int64_t n) {
    std::vector<unsigned char> raw(n * size);
    for (int64_t i = 0; i < n; i++) {
      const float x = normal(rng);
      const uint16_t h = ba_sam::f32_to_bf16(x);
      std::memcpy(&raw[i * size], t == DType::f32 ? static_cast<const void*>(&x) : &h, size);
    }
    return raw;
  };
  const bool fused = s.grid_h > 0;  // the encoder's q, k and v come from one product
  const int64_t stride = fused ? 3 * width : width;
  const auto q_raw = fill(p.q_tokens * stride), k_raw = fill(fused ? 0 : p.k_tokens * width),
             v_raw = fill(fused ? 0 : p.k_tokens * width), pad = fill(width);
  const unsigned char* base = q_raw.data();
  const TokenView q{base, 0, stride}, k{fused ? base + width * size : k_raw.data(), 0, stride},
      v{fused ? base + 2 * width * size : v_raw.data(), 0, stride};
  p.pad_k = p.pad_v = pad.data();
  const int64_t side_h = s.window > 0 ? s.window : s.grid_h, side_w = s.window > 0 ? s.window : s.grid_w;
  std::vector<float> rel_h(bias.rel ? (2 * side_h - 1) * s.head_dim : 0),
      rel_w(bias.rel ? (2 * side_w - 1) * s.head_dim : 0), slopes(s.heads, 0.05f);
  for (float& x : rel_h) x = normal(rng) * 0.1f;
  for (float& x : rel_w) x = normal(rng) * 0.1f;
  if (bias.rel) {
    p.rel_h = rel_h.data();
    p.rel_w = rel_w.data();
  }
  p.metric = bias.metric;
  p.slopes = slopes.data();
  std::vector<unsigned char> out(p.q_tokens * width * size), space(attention_workspace_bytes(p, threads, isa) + 64);
  void* workspace = space.data() + (64 - reinterpret_cast<uintptr_t>(space.data()) % 64) % 64;

  const int64_t keys = s.window > 0 ? s.window * s.window : p.k_tokens;
  const double flops = 4.0 * p.q_tokens * keys * s.head_dim * s.heads;
  std::vector<double> times;
  double total = 0.0;
  for (int i = 0; i < 201 && (i < 4 || total < 0.4); i++) {
    const auto start = std::chrono::steady_clock::now();
    attention_forward(out.data(), 0, width, q, k, v, p, workspace, threads, isa, nullptr);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    total += times.back();
  }
  times.erase(times.begin());  // page faults of the first call
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  std::printf("%-12s %-5s %-23s %-14s %8.3f ms %7.1f GFLOP/s  (%.3f … %.3f ms)  workspace %.1f MB\n", isa_name(isa),
              ba_sam::dtype_name(t), s.name, bias.name, median * 1e3, flops / median * 1e-9, times.front() * 1e3,
              times.back() * 1e3, space.size() * 1e-6);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const auto wanted = [&](int i, const char* name) {
    return argc <= i || std::strncmp(name, argv[i], std::strlen(argv[i])) == 0;
  };
  for (Isa isa : {Isa::avx512_bf16, Isa::avx512, Isa::avx2, Isa::scalar}) {
    if (!isa_supported(isa) || (argc > 2 && std::strcmp(isa_name(isa), argv[2]) != 0)) continue;
    for (DType t : {DType::f32, DType::bf16}) {
      if (!wanted(3, ba_sam::dtype_name(t)) || (t == DType::f32 && isa == Isa::avx512_bf16)) continue;
      for (const Shape& s : kShapes) {
        if (!wanted(4, s.name)) continue;
        for (const BiasKind& b : kBiases) {
          const bool allowed = b.metric == DistanceMetric::none || (s.window == 0 && s.grid_h > 0);
          if (allowed && (s.grid_h > 0 || !b.rel)) run(s, b, t, isa, threads);
        }
      }
    }
  }
}
