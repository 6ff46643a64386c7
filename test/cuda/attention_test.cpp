// Compares the CUDA attention kernels with a float64 loop written from the formula: f32, bf16 and f16, every bias, windows
// with pads, odd grids. Runs on a GPU, or on the host emulation; prints "N passed, N failed".
#include "attention_check.h"

using namespace ba_sam;
using namespace ba_sam::test;

namespace {

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
    params.q = params.k = params.v = {memory, 0, stride};
    params.out = {out, 0, 64};
    return error_of([&] { cuda::attention_forward(params, nullptr); }, "ERR_INVALID_ARGUMENT");
  };
  p.head_dim = 129;
  counts.check(error(p, memory, 136).find("at most 128 ") != std::string::npos, "f32, D = 129");
  p.dtype = DType::bf16;
  p.head_dim = 24;
  counts.check(error(p, memory, 24).find("received 24") != std::string::npos, "bf16, D = 24");
  p.head_dim = 64;
  counts.check(error(p, memory + 2, 64).find("16 bytes") != std::string::npos, "bf16, misaligned output");
  counts.check(error(p, memory, 65).find("multiples of 8") != std::string::npos, "bf16, odd stride");
  p.window = 14;
  counts.check(error(p, memory, 64).find("token grid") != std::string::npos, "a window without a grid");
  p.window = 0;
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
      check_case(c, t, seed, "portable", t == DType::f32 ? "" : "16");
      if (t != DType::f32 && c.window == 0) check_case(c, t, seed, "portable", "32");
    }
  }
  for (const Case& c : f32_cases()) {
    ++seed;
    if (wanted(c)) check_case(c, DType::f32, seed);
  }
  check_refusals();
  return counts.finish();
}
