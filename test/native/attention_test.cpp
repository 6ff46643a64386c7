// Compares every instruction set and dtype of the attention kernels with a float64 loop written from the formula.
// Prints "N passed, N failed"; exits non-zero on failure.
//   g++ -std=c++17 -O2 -fopenmp test/native/attention_test.cpp native/ops/attention/cpu/*.cpp -o attention_test
#include "../../native/ops/attention/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "attention_cases.h"

using namespace ba_sam;
using namespace ba_sam::cpu;
using namespace ba_sam::test;

namespace {

int g_passed = 0, g_failed = 0;

void report(bool ok, const std::string& what) {
  (ok ? g_passed : g_failed)++;
  if (!ok) std::printf("FAILED %s\n", what.c_str());
}

constexpr int64_t kGuard = 64;  // sentinel elements around buffers
constexpr float kUntouched = -12345.0f;

struct Run {
  std::vector<unsigned char> out;  // guard, [B, Nq, stride], guard
  std::vector<float> log_sum_exp;  // guard, [B, H, Nq], guard; empty when nobody asks
  bool intact = true;
};

// One call, with sentinels around output rows, outputs and workspace.
Run run_kernel(AttentionParams p, Isa isa, int threads, bool log_sum_exp) {
  const int64_t width = p.heads * p.head_dim, stride = width + 5, rows = p.batch * p.q_tokens;
  const size_t size = dtype_bytes(p.dtype);
  constexpr unsigned char kMark = 0x5a;
  Run run;
  run.out.assign(static_cast<size_t>(kGuard + rows * stride + kGuard) * size, kMark);
  p.out = {run.out.data() + kGuard * size, p.q_tokens * stride, stride};
  if (log_sum_exp) {
    run.log_sum_exp.assign(static_cast<size_t>(kGuard + rows * p.heads + kGuard), kUntouched);
    p.log_sum_exp = run.log_sum_exp.data() + kGuard;
  }
  const size_t bytes = attention_workspace_bytes(p, threads, isa);
  // Exactly as large as asked for, so that a sanitizer sees one byte more; filled with NaN, which must not matter.
  char* block = static_cast<char*>(std::aligned_alloc(64, (bytes + 128 + 63) / 64 * 64));
  std::memset(block, 0xff, bytes + 128);
  std::memset(block, kMark, 64);
  std::memset(block + 64 + bytes, kMark, 64);
  p.workspace = block + 64;
  attention_forward(p, threads, isa, nullptr);
  for (size_t i = 0; i < 64; i++)
    if (block[i] != kMark || block[64 + bytes + i] != kMark) run.intact = false;
  std::free(block);
  for (int64_t i = 0; i < static_cast<int64_t>(run.out.size() / size); i++) {
    const int64_t at = i - kGuard;
    const bool inside = at >= 0 && at < rows * stride && at % stride < width;
    for (size_t byte = 0; byte < size && !inside; byte++)
      if (run.out[i * size + byte] != kMark) run.intact = false;
  }
  for (int64_t i = 0; i < kGuard && log_sum_exp; i++) {
    if (run.log_sum_exp[i] != kUntouched || *(run.log_sum_exp.rbegin() + i) != kUntouched) run.intact = false;
  }
  return run;
}

std::string describe(const Case& c, DType t, Isa isa) {
  return c.name + " " + ba_sam::dtype_name(t) + " " + isa_name(isa);
}

void check_case(const Case& c, uint32_t seed, const std::vector<Isa>& isas) {
  for (DType t : {DType::f32, DType::bf16}) {
    const Operands o = make_operands(c, t, seed, 3);
    const AttentionParams p = params_of(c, t, o);
    const int64_t D = c.head_dim, stride = c.heads * D + 5;
    const Reference f32_tables = make_reference(c, p, o, DType::f32);
    const bool rounds_tables = t == DType::bf16 && c.rel;
    const Reference rounded_tables = rounds_tables ? make_reference(c, p, o, t) : f32_tables;
    for (Isa isa : isas) {
      // Only kernels that multiply pairs of bf16 round the tables.
      const Reference& ref = isa == Isa::avx512_bf16 ? rounded_tables : f32_tables;
      const auto [worst_tol, rms_tol, log_sum_exp_tol] = tolerance_of(ref, t);
      const Run one = run_kernel(p, isa, 1, false);
      double worst = 0.0, squares = 0.0;
      bool ok = one.intact;
      for (size_t n = 0; n < ref.queries.size(); n++) {
        const int64_t i = ref.queries[n] % p.q_tokens, h = ref.queries[n] / p.q_tokens % c.heads,
                      b = ref.queries[n] / p.q_tokens / c.heads;
        for (int64_t d = 0; d < D; d++) {
          const float got = get(one.out, t, kGuard + (b * p.q_tokens + i) * stride + h * D + d);
          const double e = std::fabs(static_cast<double>(got) - ref.exact[n * D + d]);
          if (!(e <= worst_tol)) ok = false;
          worst = std::max(worst, e);
          squares += e * e;
        }
      }
      const double rms = std::sqrt(squares / ref.exact.size());
      if (!(rms <= rms_tol)) ok = false;
      char numbers[160];
      std::snprintf(numbers, sizeof numbers, ": worst %.2e of %.2e, rms %.2e of %.2e%s", worst, worst_tol, rms, rms_tol,
                    one.intact ? "" : ", wrote outside its memory");
      report(ok, describe(c, t, isa) + numbers);
      if (std::getenv("VERBOSE") != nullptr) std::printf("%s%s\n", describe(c, t, isa).c_str(), numbers);
      const Run asked = run_kernel(p, isa, 1, true);
      double worst_log_sum_exp = 0.0;
      bool exact = true;
      for (size_t n = 0; n < ref.queries.size(); n++) {
        const double e = std::fabs(asked.log_sum_exp[kGuard + ref.queries[n]] - ref.log_sum_exp[n]);
        if (!(e <= log_sum_exp_tol)) exact = false;
        worst_log_sum_exp = std::max(worst_log_sum_exp, e);
      }
      std::snprintf(numbers, sizeof numbers, ": log-sum-exp, worst %.2e of %.2e%s", worst_log_sum_exp, log_sum_exp_tol,
                    asked.intact ? "" : ", wrote outside its memory");
      report(exact && asked.intact, describe(c, t, isa) + numbers);
      if (std::getenv("VERBOSE") != nullptr) std::printf("%s%s\n", describe(c, t, isa).c_str(), numbers);
      report(asked.out == one.out, describe(c, t, isa) + ": another output when somebody asks for the log-sum-exp");
      for (int threads : {2, 5}) {
        const Run more = run_kernel(p, isa, threads, true);
        report(more.log_sum_exp == asked.log_sum_exp,
               describe(c, t, isa) + ": log-sum-exp of " + std::to_string(threads) + " threads differs from one");
        report(more.intact && more.out == one.out,
               describe(c, t, isa) + ": " + std::to_string(threads) + " threads differ from one");
      }
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto global = [&](int64_t h, int64_t w, int64_t d, bool rel, DistanceMetric m, float start) {
    Case c = grid_case(h, w, d, rel, m, start);
    c.sample = h * w > 400 ? h * w / 40 + 1 : 0;
    cases.push_back(c);
    return &cases.back();
  };
  const DistanceMetric kMetrics[] = {DistanceMetric::none, DistanceMetric::manhattan, DistanceMetric::euclidean,
                                     DistanceMetric::chebyshev};
  for (DistanceMetric m : kMetrics)
    for (bool rel : {false, true}) {
      global(1, 1, 16, rel, m, 0.0f);
      global(1, 37, 32, rel, m, 0.0f);
      global(41, 1, 8, rel, m, 1.0f);
      global(5, 7, 4, rel, m, 0.0f);
      global(13, 11, 64, rel, m, 2.5f);
      global(9, 16, 20, rel, m, 0.0f);
      global(7, 33, 80, rel, m, 3.0f);
      global(19, 17, 31, rel, m, 0.0f)->fused = true;
    }
  global(97, 61, 64, true, DistanceMetric::euclidean, 0.0f)->heads = 1;
  global(64, 64, 64, true, DistanceMetric::manhattan, 32.0f)->heads = 1;
  global(32, 48, 128, true, DistanceMetric::chebyshev, 0.0f)->heads = 3;
  global(6, 9, 256, true, DistanceMetric::none, 0.0f);
  global(6, 9, 1, true, DistanceMetric::manhattan, 0.0f)->heads = 5;
  global(12, 20, 80, true, DistanceMetric::euclidean, 0.0f)->batch = 3;
  global(10, 13, 64, true, DistanceMetric::manhattan, 0.0f)->scale = 0.31f;
  global(10, 13, 64, true, DistanceMetric::none, 0.0f)->scale = 1e-20f;
  // Logits of ±1e4, from keys far apart and from one head that a single key dominates.
  for (float spread : {40.0f, 100.0f}) {
    Case* c = global(11, 13, 64, true, DistanceMetric::manhattan, 0.0f);
    c->spread = spread;
    c->name += " extreme";
  }

  const auto windows = [&](int64_t h, int64_t w, int64_t s, int64_t d, bool rel) {
    Case c = window_case(h, w, s, d, rel);
    c.sample = h * w > 400 ? 7 : 0;
    cases.push_back(c);
  };
  for (bool rel : {false, true}) {
    windows(14, 14, 14, 64, rel);
    windows(15, 29, 14, 80, rel);
    windows(5, 9, 14, 16, rel);
    windows(1, 1, 14, 64, rel);
    windows(20, 6, 7, 32, rel);
    windows(4, 4, 1, 8, rel);
    windows(9, 22, 3, 5, rel);
  }
  windows(64, 64, 14, 64, true);

  const auto tokens = [&](int64_t nq, int64_t nk, int64_t d, int64_t batch) {
    cases.push_back(token_case(nq, nk, d, 8, batch));
  };
  tokens(7, 7, 32, 1);
  tokens(5, 1, 16, 2);
  tokens(1, 5, 16, 2);
  tokens(7, 4096, 16, 1);
  tokens(4096, 7, 16, 1);
  tokens(6, 97, 16, 3);
  tokens(49, 95, 16, 1);
  tokens(33, 193, 32, 1);
  tokens(17, 256, 16, 1);  // the largest single tile
  tokens(17, 257, 16, 1);
  tokens(3, 30000, 64, 1);  // more packs than one group holds
  cases.back().heads = 4;
  return cases;
}

// A large window count with few threads packs per thread, with many threads it shares packs.
void check_cancel(Isa isa) {
  Case c;
  c.grid_h = c.grid_w = 20;
  c.name = "cancel";
  const Operands o = make_operands(c, DType::f32, 1, 3);
  AttentionParams p = params_of(c, DType::f32, o);
  std::vector<float> out(p.q_tokens * o.width, 7.0f), log_sum_exp(c.heads * p.q_tokens, 7.0f);
  std::vector<char> space(attention_workspace_bytes(p, 2, isa) + 64);
  char* aligned = space.data() + (64 - reinterpret_cast<uintptr_t>(space.data()) % 64) % 64;
  const std::atomic<bool> cancel{true};
  p.out = {out.data(), 0, o.width};
  p.log_sum_exp = log_sum_exp.data();
  p.workspace = aligned;
  attention_forward(p, 2, isa, &cancel);
  out.insert(out.end(), log_sum_exp.begin(), log_sum_exp.end());
  report(std::all_of(out.begin(), out.end(), [](float x) { return x == 7.0f; }),
         describe(c, DType::f32, isa) + ": computed although cancelled");
}

void check_workspace_size(Isa isa) {
  AttentionParams p;
  p.heads = 16;
  p.head_dim = 80;
  p.grid_h = p.grid_w = 256;
  p.q_tokens = p.k_tokens = 65536;
  p.metric = DistanceMetric::euclidean;
  p.has_rel_pos = true;
  const size_t n = attention_workspace_bytes(p, 64, isa);
  report(n > 0 && n < (size_t{512} << 20),
         std::string("workspace of a 256x256 grid on ") + isa_name(isa) + ": " + std::to_string(n) + " bytes");
  p.grid_h = p.grid_w = 1 << 15;  // 2^30 tokens: sizes far beyond 32 bits
  p.q_tokens = p.k_tokens = int64_t{1} << 30;
  report(attention_workspace_bytes(p, 64, isa) > (size_t{1} << 37), "workspace of 2^30 tokens");
}

void check_isa_choice() {
  setenv("BA_SAM_ISA", "sse9", 1);
  bool threw = false;
  try {
    best_isa();
  } catch (const ba_sam::SamError& error) {
    threw = error.code() == "ERR_INVALID_ARGUMENT" && std::strstr(error.what(), "sse9") != nullptr;
  }
  report(threw, "an unknown BA_SAM_ISA must throw");
  setenv("BA_SAM_ISA", "scalar", 1);
  report(best_isa() == Isa::scalar, "BA_SAM_ISA=scalar is obeyed");
}

}  // namespace

int main() {
  check_isa_choice();
  std::vector<Isa> isas;
  for (Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (isa_supported(isa)) {
      isas.push_back(isa);
    } else {
      std::printf("%s: not on this processor, skipped\n", isa_name(isa));
    }
  }
  uint32_t seed = 1;
  for (const Case& c : all_cases()) check_case(c, seed++, isas);
  for (Isa isa : isas) {
    check_cancel(isa);
    check_workspace_size(isa);
  }
  std::printf("%d passed, %d failed\n", g_passed, g_failed);
  return g_failed == 0 ? 0 : 1;
}
