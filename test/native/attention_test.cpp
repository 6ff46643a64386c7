// Compares every instruction set and dtype of the attention kernels with a float64 loop written from the formula.
// Prints "N passed, N failed"; exits non-zero on failure.
//   g++ -std=c++17 -O2 -fopenmp test/native/attention_test.cpp native/cpu/attention/*.cpp -o attention_test
#include "../../native/cpu/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../../native/core/bf16.h"

using ba_sam::bf16_to_f32;
using ba_sam::DType;
using ba_sam::f32_to_bf16;
using namespace ba_sam::cpu;

namespace {

int g_passed = 0, g_failed = 0;

void report(bool ok, const std::string& what) {
  (ok ? g_passed : g_failed)++;
  if (!ok) std::printf("FAILED %s\n", what.c_str());
}

struct Case {
  std::string name;
  int64_t batch = 1, heads = 2, head_dim = 64;
  int64_t grid_h = 0, grid_w = 0;  // 0: no grid, then nq and nk
  int64_t nq = 0, nk = 0;
  int64_t window = 0;
  bool rel = false;
  DistanceMetric metric = DistanceMetric::none;
  float start = 0.0f;
  float scale = 0.0f;  // 0: 1 / sqrt(D)
  bool fused = false;  // q, k and v interleaved in one buffer
  float spread = 1.0f;
  int64_t sample = 0;  // check every sample-th query only (the float64 loop is slow); 0: all
};

constexpr int64_t kGuard = 64;  // sentinel elements around buffers

// A case's operands as floats that are exact in its dtype, and the same bits as the kernels get them.
struct Operands {
  int64_t width, qkv_stride;
  std::vector<float> q, k, v, pad_k, pad_v, rel_h, rel_w, slopes;  // q [B, Nq, H·D], k and v [B, Nk, H·D]
  std::vector<unsigned char> q_raw, k_raw, v_raw, pad_k_raw, pad_v_raw;
};

size_t bytes_of(DType t) {
  return ba_sam::dtype_bytes(t);
}

void put(std::vector<unsigned char>& raw, DType t, int64_t index, float x) {
  if (t == DType::f32) {
    std::memcpy(&raw[index * 4], &x, 4);
  } else {
    const uint16_t h = f32_to_bf16(x);
    std::memcpy(&raw[index * 2], &h, 2);
  }
}

float get(const std::vector<unsigned char>& raw, DType t, int64_t index) {
  if (t == DType::f32) {
    float x;
    std::memcpy(&x, &raw[index * 4], 4);
    return x;
  }
  uint16_t h;
  std::memcpy(&h, &raw[index * 2], 2);
  return bf16_to_f32(h);
}

AttentionParams params_of(const Case& c, DType t, const Operands& o) {
  AttentionParams p;
  p.dtype = t;
  p.batch = c.batch;
  p.heads = c.heads;
  p.head_dim = c.head_dim;
  const bool grid = c.grid_h > 0;
  p.q_tokens = grid ? c.grid_h * c.grid_w : c.nq;
  p.k_tokens = grid ? c.grid_h * c.grid_w : c.nk;
  p.scale = c.scale != 0.0f ? c.scale : 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  p.grid_h = c.grid_h;
  p.grid_w = c.grid_w;
  p.window = c.window;
  if (c.window > 0) {
    p.pad_k = o.pad_k_raw.data();
    p.pad_v = o.pad_v_raw.data();
  }
  if (c.rel) {
    p.rel_h = o.rel_h.data();
    p.rel_w = o.rel_w.data();
  }
  p.metric = c.metric;
  if (c.metric != DistanceMetric::none) p.slopes = o.slopes.data();
  p.start = c.start;
  return p;
}

Operands make_operands(const Case& c, DType t, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  const auto draw = [&](size_t n, float spread, bool round) {
    std::vector<float> x(n);
    for (float& e : x) {
      e = normal(rng) * spread;
      if (round && t == DType::bf16) e = bf16_to_f32(f32_to_bf16(e));
    }
    return x;
  };
  Operands o;
  o.width = c.heads * c.head_dim;
  const int64_t nq = c.grid_h > 0 ? c.grid_h * c.grid_w : c.nq;
  const int64_t nk = c.grid_h > 0 ? c.grid_h * c.grid_w : c.nk;
  o.q = draw(c.batch * nq * o.width, c.spread, true);
  o.k = draw(c.batch * nk * o.width, c.spread, true);
  o.v = draw(c.batch * nk * o.width, 1.0f, true);
  o.pad_k = draw(o.width, c.spread, true);
  o.pad_v = draw(o.width, 1.0f, true);
  const int64_t side_h = c.window > 0 ? c.window : c.grid_h, side_w = c.window > 0 ? c.window : c.grid_w;
  if (c.rel) {
    o.rel_h = draw((2 * side_h - 1) * c.head_dim, 0.3f, false);
    o.rel_w = draw((2 * side_w - 1) * c.head_dim, 0.3f, false);
  }
  for (int64_t h = 0; h < c.heads; h++) o.slopes.push_back(std::exp2(-8.0f * (h + 1) / c.heads) * 2.0f);

  // In the kernels' layout. What lies between is NaN, so that reading it shows.
  o.qkv_stride = c.fused ? 3 * o.width : o.width + 3;
  const size_t size = bytes_of(t);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto lay = [&](const std::vector<float>& x, int64_t tokens, int64_t offset, std::vector<unsigned char>& raw) {
    raw.assign(static_cast<size_t>(c.batch * tokens * o.qkv_stride) * size, 0);
    for (int64_t i = 0; i < c.batch * tokens * o.qkv_stride; i++) put(raw, t, i, nan);
    for (int64_t i = 0; i < c.batch * tokens; i++)
      for (int64_t d = 0; d < o.width; d++) put(raw, t, i * o.qkv_stride + offset + d, x[i * o.width + d]);
  };
  lay(o.q, nq, 0, o.q_raw);
  lay(o.k, nk, c.fused ? o.width : 0, o.k_raw);
  lay(o.v, nk, c.fused ? 2 * o.width : 0, o.v_raw);
  if (c.fused) {
    for (int64_t i = 0; i < c.batch * nq; i++)
      for (int64_t d = 0; d < o.width; d++) {
        put(o.q_raw, t, i * o.qkv_stride + o.width + d, o.k[i * o.width + d]);
        put(o.q_raw, t, i * o.qkv_stride + 2 * o.width + d, o.v[i * o.width + d]);
      }
  }
  o.pad_k_raw.resize(o.width * size);
  o.pad_v_raw.resize(o.width * size);
  for (int64_t d = 0; d < o.width; d++) {
    put(o.pad_k_raw, t, d, o.pad_k[d]);
    put(o.pad_v_raw, t, d, o.pad_v[d]);
  }
  return o;
}

// One query by the formula, all logits materialised, in arithmetic R. round_p: probabilities and output pass through
// bf16, as a plain bf16 implementation has it.
template <class R>
void reference_query(const Case& c, const AttentionParams& p, const Operands& o, int64_t b, int64_t h, int64_t i,
                     bool round_p, R* out) {
  const int64_t D = c.head_dim, W = o.width, nq = p.q_tokens, nk = p.k_tokens;
  const float* q = &o.q[(b * nq + i) * W + h * D];
  std::vector<const float*> ks, vs;
  std::vector<R> logits;
  const int64_t gw = std::max<int64_t>(c.grid_w, 1);
  const int64_t yi = i / gw, xi = i % gw;
  const int64_t oy = c.window > 0 ? yi / c.window * c.window : 0;
  const int64_t ox = c.window > 0 ? xi / c.window * c.window : 0;
  const int64_t kh = c.window > 0 ? c.window : std::max<int64_t>(c.grid_h, 1);
  const int64_t kw = c.window > 0 ? c.window : c.grid_h > 0 ? c.grid_w : nk;
  for (int64_t y = 0; y < kh; y++)
    for (int64_t x = 0; x < kw; x++) {
      const int64_t yj = oy + y, xj = ox + x;
      const bool pad = c.grid_h > 0 && (yj >= c.grid_h || xj >= c.grid_w);
      const int64_t j = c.grid_h > 0 ? yj * c.grid_w + xj : x;
      ks.push_back(pad ? &o.pad_k[h * D] : &o.k[(b * nk + j) * W + h * D]);
      vs.push_back(pad ? &o.pad_v[h * D] : &o.v[(b * nk + j) * W + h * D]);
      R dot = 0;
      for (int64_t d = 0; d < D; d++) dot += static_cast<R>(q[d]) * static_cast<R>(ks.back()[d]);
      R logit = static_cast<R>(p.scale) * dot;
      if (c.rel) {
        R rh = 0, rw = 0;
        const float* Rh = &o.rel_h[(yi - yj + kh - 1) * D];
        const float* Rw = &o.rel_w[(xi - xj + kw - 1) * D];
        for (int64_t d = 0; d < D; d++) rh += static_cast<R>(q[d]) * static_cast<R>(Rh[d]);
        for (int64_t d = 0; d < D; d++) rw += static_cast<R>(q[d]) * static_cast<R>(Rw[d]);
        logit += rh + rw;
      }
      if (c.metric != DistanceMetric::none) {
        const R dy = std::max<R>(0, static_cast<R>(std::abs(yi - yj)) - static_cast<R>(c.start));
        const R dx = std::max<R>(0, static_cast<R>(std::abs(xi - xj)) - static_cast<R>(c.start));
        const R dist = c.metric == DistanceMetric::manhattan   ? dy + dx
                       : c.metric == DistanceMetric::euclidean ? std::sqrt(dy * dy + dx * dx)
                                                               : std::max(dy, dx);
        logit -= static_cast<R>(o.slopes[h]) * dist;
      }
      logits.push_back(logit);
    }
  const R most = *std::max_element(logits.begin(), logits.end());
  R sum = 0;
  for (R& l : logits) {
    l = std::exp(l - most);
    sum += l;
  }
  for (R& l : logits) {
    l /= sum;
    if (round_p) l = bf16_to_f32(f32_to_bf16(static_cast<float>(l)));
  }
  for (int64_t d = 0; d < D; d++) {
    R acc = 0;
    for (size_t j = 0; j < logits.size(); j++) acc += logits[j] * static_cast<R>(vs[j][d]);
    if (round_p) acc = bf16_to_f32(f32_to_bf16(static_cast<float>(acc)));
    out[d] = acc;
  }
}

struct Reference {
  std::vector<int64_t> queries;  // flat (b, h, i)
  std::vector<double> exact;     // [queries, D]
  double worst = 0.0, squares = 0.0;
};

Reference make_reference(const Case& c, const AttentionParams& p, const Operands& o) {
  Reference r;
  const int64_t all = c.batch * c.heads * p.q_tokens;
  for (int64_t i = 0; i < all; i += std::max<int64_t>(1, c.sample)) r.queries.push_back(i);
  const int64_t D = c.head_dim;
  r.exact.resize(r.queries.size() * D);
  std::vector<float> plain(r.exact.size());
#if defined(_OPENMP)
#pragma omp parallel for schedule(dynamic, 8)
#endif
  for (int64_t n = 0; n < static_cast<int64_t>(r.queries.size()); n++) {
    const int64_t i = r.queries[n] % p.q_tokens, h = r.queries[n] / p.q_tokens % c.heads,
                  b = r.queries[n] / p.q_tokens / c.heads;
    reference_query<double>(c, p, o, b, h, i, false, &r.exact[n * D]);
    reference_query<float>(c, p, o, b, h, i, p.dtype == DType::bf16, &plain[n * D]);
  }
  for (size_t n = 0; n < plain.size(); n++) {
    const double e = std::fabs(plain[n] - r.exact[n]);
    r.worst = std::max(r.worst, e);
    r.squares += e * e;
  }
  return r;
}

struct Run {
  std::vector<unsigned char> out;  // guard, [B, Nq, stride], guard
  bool intact = true;
};

// One call, with sentinels around output rows, output and workspace.
Run run_kernel(const AttentionParams& p, const Operands& o, Isa isa, int threads) {
  const int64_t width = p.heads * p.head_dim, stride = width + 5, rows = p.batch * p.q_tokens;
  const size_t size = bytes_of(p.dtype);
  constexpr unsigned char kMark = 0x5a;
  Run run;
  run.out.assign(static_cast<size_t>(kGuard + rows * stride + kGuard) * size, kMark);
  const size_t bytes = attention_workspace_bytes(p, threads, isa);
  // Exactly as large as asked for, so that a sanitizer sees one byte more; filled with NaN, which must not matter.
  char* block = static_cast<char*>(std::aligned_alloc(64, (bytes + 128 + 63) / 64 * 64));
  std::memset(block, 0xff, bytes + 128);
  std::memset(block, kMark, 64);
  std::memset(block + 64 + bytes, kMark, 64);
  const TokenView q{o.q_raw.data(), p.q_tokens * o.qkv_stride, o.qkv_stride};
  const bool fused = o.qkv_stride == 3 * width;
  const unsigned char* base = o.q_raw.data();
  const TokenView k{fused ? base + width * size : o.k_raw.data(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  const TokenView v{fused ? base + 2 * width * size : o.v_raw.data(), p.k_tokens * o.qkv_stride, o.qkv_stride};
  attention_forward(run.out.data() + kGuard * size, p.q_tokens * stride, stride, q, k, v, p, block + 64, threads, isa,
                    nullptr);
  for (size_t i = 0; i < 64; i++)
    if (block[i] != kMark || block[64 + bytes + i] != kMark) run.intact = false;
  std::free(block);
  for (int64_t i = 0; i < static_cast<int64_t>(run.out.size() / size); i++) {
    const int64_t at = i - kGuard;
    const bool inside = at >= 0 && at < rows * stride && at % stride < width;
    for (size_t byte = 0; byte < size && !inside; byte++)
      if (run.out[i * size + byte] != kMark) run.intact = false;
  }
  return run;
}

std::string describe(const Case& c, DType t, Isa isa) {
  return c.name + " " + ba_sam::dtype_name(t) + " " + isa_name(isa);
}

void check_case(const Case& c, uint32_t seed, const std::vector<Isa>& isas) {
  for (DType t : {DType::f32, DType::bf16}) {
    const Operands o = make_operands(c, t, seed);
    const AttentionParams p = params_of(c, t, o);
    const Reference ref = make_reference(c, p, o);
    const int64_t D = c.head_dim, stride = c.heads * D + 5;
    double largest = 0.0;
    for (double e : ref.exact) largest = std::max(largest, std::fabs(e));
    // The floor covers results where the plain loop happens to be exact (one key, a saturated softmax).
    const double unit = t == DType::f32 ? 1.2e-7 : 3.9e-3;
    const double worst_tol = 2.0 * ref.worst + unit * largest;
    const double rms_tol = 2.0 * std::sqrt(ref.squares / ref.exact.size()) + 0.25 * unit * largest;
    for (Isa isa : isas) {
      const Run one = run_kernel(p, o, isa, 1);
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
      for (int threads : {2, 5}) {
        const Run more = run_kernel(p, o, isa, threads);
        report(more.intact && more.out == one.out,
               describe(c, t, isa) + ": " + std::to_string(threads) + " threads differ from one");
      }
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto global = [&](int64_t h, int64_t w, int64_t d, bool rel, DistanceMetric m, float start) {
    Case c;
    c.grid_h = h;
    c.grid_w = w;
    c.head_dim = d;
    c.rel = rel;
    c.metric = m;
    c.start = start;
    c.sample = h * w > 400 ? h * w / 40 + 1 : 0;
    c.name = "grid " + std::to_string(h) + "x" + std::to_string(w) + " D" + std::to_string(d) + (rel ? " rel" : "") +
             " metric" + std::to_string(static_cast<int>(m)) + (start > 0 ? " start" : "");
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
    Case c;
    c.grid_h = h;
    c.grid_w = w;
    c.window = s;
    c.head_dim = d;
    c.rel = rel;
    c.batch = 2;
    c.sample = h * w > 400 ? 7 : 0;
    c.fused = d % 32 == 0;
    c.name = "window " + std::to_string(s) + " of " + std::to_string(h) + "x" + std::to_string(w) + " D" +
             std::to_string(d) + (rel ? " rel" : "");
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
    Case c;
    c.nq = nq;
    c.nk = nk;
    c.head_dim = d;
    c.heads = 8;
    c.batch = batch;
    c.sample = nq * nk > 40000 ? 61 : 0;
    c.name = "tokens " + std::to_string(nq) + " to " + std::to_string(nk) + " D" + std::to_string(d);
    cases.push_back(c);
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
  const Operands o = make_operands(c, DType::f32, 1);
  const AttentionParams p = params_of(c, DType::f32, o);
  std::vector<float> out(p.q_tokens * o.width, 7.0f);
  std::vector<char> space(attention_workspace_bytes(p, 2, isa) + 64);
  char* aligned = space.data() + (64 - reinterpret_cast<uintptr_t>(space.data()) % 64) % 64;
  const std::atomic<bool> cancel{true};
  const TokenView q{o.q_raw.data(), 0, o.qkv_stride}, k{o.k_raw.data(), 0, o.qkv_stride},
      v{o.v_raw.data(), 0, o.qkv_stride};
  attention_forward(out.data(), 0, o.width, q, k, v, p, aligned, 2, isa, &cancel);
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
  const float slope = 0.0f, table = 0.0f;
  p.slopes = &slope;
  p.rel_h = p.rel_w = &table;
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
