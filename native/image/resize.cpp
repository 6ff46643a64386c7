// Pillow's bilinear resize of RGB images, streamed. Contract: resize.h.
//
// Hazards: every rounding below is Pillow's (double coefficients, (int)(0.5 + k · 2^22), >> 22); -ffast-math
// would break it.
#include "resize.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <vector>

#include "../core/tensor.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace ba_sam {
namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;
// Pillow keeps lengths in float: beyond 2^24 they would no longer be exact.
constexpr int64_t kMaxSide = int64_t{1} << 24;

// The filter along one side. Output i = Σ_t weight[i · taps + t] · input[first[i] + t], t < count[i].
struct Filter {
  int64_t taps = 0;
  std::vector<int32_t> first, count, weight;
  bool identity = false;
};

int64_t filter_taps(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  return static_cast<int64_t>(std::ceil(std::max(scale, 1.0))) * 2 + 1;
}

// A call of its own, so that no compiler contracts the product and a following sum into one fused
// multiply-add: unrounded, it would move a coefficient by one now and then.
#if defined(__GNUC__)
__attribute__((noinline))
#endif
double
rounded_product(double a, double b) {
  return a * b;
}

Filter make_filter(int64_t in, int64_t out) {
  Filter f;
  f.identity = in == out;
  if (f.identity) return f;
  f.taps = filter_taps(in, out);
  f.first.resize(out);
  f.count.resize(out);
  f.weight.assign(static_cast<size_t>(out) * f.taps, 0);
  std::vector<double> k(f.taps);

  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_scale;  // the triangle's own support is 1
  const double inverse = 1.0 / filter_scale;
  for (int64_t i = 0; i < out; ++i) {
    const double center = rounded_product(static_cast<double>(i) + 0.5, scale);
    // Truncation of a negative number towards zero, then max: as in Pillow.
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t last = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), in);
    const int64_t count = last - first;
    double sum = 0.0;
    for (int64_t t = 0; t < count; ++t) {
      const double x = std::fabs(rounded_product(static_cast<double>(t + first) - center + 0.5, inverse));
      k[t] = x < 1.0 ? 1.0 - x : 0.0;
      sum += k[t];
    }
    int32_t* weight = f.weight.data() + i * f.taps;
    for (int64_t t = 0; t < count; ++t) {
      if (sum != 0.0) k[t] /= sum;
      weight[t] = static_cast<int32_t>(0.5 + k[t] * (1 << kPrecisionBits));
    }
    f.first[i] = static_cast<int32_t>(first);
    f.count[i] = static_cast<int32_t>(count);
  }
  return f;
}

// Sums are unsigned so that the far end of extreme ratios wraps as in Pillow's build instead of being
// undefined.
inline uint8_t clip8(uint32_t sum) {
  const int32_t v = static_cast<int32_t>(sum) >> kPrecisionBits;
  return static_cast<uint8_t>(std::min(std::max(v, 0), 255));
}

constexpr uint32_t kHalf = uint32_t{1} << (kPrecisionBits - 1);

void resize_row(uint8_t* out, int64_t out_w, const uint8_t* in, const Filter& f) {
  for (int64_t x = 0; x < out_w; ++x) {
    const int32_t* k = f.weight.data() + x * f.taps;
    const uint8_t* p = in + int64_t{3} * f.first[x];
    uint32_t r = kHalf, g = kHalf, b = kHalf;
    for (int32_t t = 0; t < f.count[x]; ++t) {
      const uint32_t weight = static_cast<uint32_t>(k[t]);
      r += weight * p[3 * t];
      g += weight * p[3 * t + 1];
      b += weight * p[3 * t + 2];
    }
    out[3 * x] = clip8(r);
    out[3 * x + 1] = clip8(g);
    out[3 * x + 2] = clip8(b);
  }
}

// One output row from rows[0 … count). Blocks keep the sums in the first-level cache.
void blend_rows(uint8_t* out, int64_t bytes, const uint8_t* const* rows, const int32_t* k, int32_t count) {
  constexpr int64_t kBlock = 512;
  uint32_t sum[kBlock];
  for (int64_t start = 0; start < bytes; start += kBlock) {
    const int64_t n = std::min(kBlock, bytes - start);
    std::fill(sum, sum + n, kHalf);
    for (int32_t t = 0; t < count; ++t) {
      const uint32_t weight = static_cast<uint32_t>(k[t]);
      const uint8_t* row = rows[t] + start;
      for (int64_t i = 0; i < n; ++i) sum[i] += weight * row[i];
    }
    for (int64_t i = 0; i < n; ++i) out[start + i] = clip8(sum[i]);
  }
}

bool cancelled(const std::atomic<bool>* cancel) {
  return cancel != nullptr && cancel->load(std::memory_order_relaxed);
}

void check_side(const char* name, int64_t value) {
  if (value >= 1 && value <= kMaxSide) return;
  throw SamError("ERR_INVALID_ARGUMENT", "Expected integer between 1 and " + std::to_string(kMaxSide) + " for " + name +
                                             " but received " + std::to_string(value));
}

int team_size(int threads, int64_t rows) {
#ifdef _OPENMP
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, rows)));
#else
  (void)threads;
  (void)rows;
  return 1;
#endif
}

// Rows and weights that one thread keeps: a ring of columns-filtered rows, indexed by input row modulo taps.
struct Band {
  std::vector<uint8_t> ring;
  std::vector<const uint8_t*> rows;
};

void resize_band(uint8_t* out, int64_t out_stride, int64_t out_w, int64_t y_begin, int64_t y_end, const uint8_t* in,
                 int64_t w, const Filter& fx, const Filter& fy, Band& band, const std::atomic<bool>* cancel) {
  const int64_t in_bytes = 3 * w, out_bytes = 3 * out_w;
  if (fy.identity) {
    for (int64_t y = y_begin; y < y_end; ++y) {
      if (cancelled(cancel)) return;
      if (fx.identity) {
        std::copy_n(in + y * in_bytes, in_bytes, out + y * out_stride);
      } else {
        resize_row(out + y * out_stride, out_w, in + y * in_bytes, fx);
      }
    }
    return;
  }
  int64_t ready = fy.first[y_begin];  // rows below this one are in the ring, or no longer needed
  for (int64_t y = y_begin; y < y_end; ++y) {
    const int64_t first = fy.first[y], count = fy.count[y];
    if (fx.identity) {
      for (int64_t t = 0; t < count; ++t) band.rows[t] = in + (first + t) * in_bytes;
    } else {
      for (; ready < first + count; ++ready) {
        if (cancelled(cancel)) return;
        if (ready < first) continue;
        resize_row(band.ring.data() + ready % fy.taps * out_bytes, out_w, in + ready * in_bytes, fx);
      }
      for (int64_t t = 0; t < count; ++t) {
        band.rows[t] = band.ring.data() + (first + t) % fy.taps * out_bytes;
      }
    }
    if (cancelled(cancel)) return;
    blend_rows(out + y * out_stride, out_bytes, band.rows.data(), fy.weight.data() + y * fy.taps,
               static_cast<int32_t>(count));
  }
}

}  // namespace

size_t resize_workspace_bytes(int64_t out_w, int64_t out_h, int64_t w, int64_t h, int threads) {
  size_t bytes = 0;
  const size_t team = team_size(threads, out_h);
  if (w != out_w) bytes += static_cast<size_t>(out_w) * (filter_taps(w, out_w) + 2) * sizeof(int32_t);
  if (h != out_h) {
    const size_t taps = filter_taps(h, out_h);
    bytes += static_cast<size_t>(out_h) * (taps + 2) * sizeof(int32_t) + team * taps * sizeof(void*);
    if (w != out_w) bytes += team * taps * static_cast<size_t>(out_w) * 3;
  }
  return bytes;
}

void resize_bilinear_rgb8(uint8_t* out, int64_t out_stride, int64_t out_w, int64_t out_h, const uint8_t* in, int64_t w,
                          int64_t h, int threads, const std::atomic<bool>* cancel) {
  check_side("width", w);
  check_side("height", h);
  check_side("output width", out_w);
  check_side("output height", out_h);
  if (out_stride < 3 * out_w) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected at least " + std::to_string(3 * out_w) +
                                               " bytes for the output's rows but received " +
                                               std::to_string(out_stride));
  }
  const int team = team_size(threads, out_h);
  Filter fx, fy;
  std::vector<Band> bands(team);
  try {
    fx = make_filter(w, out_w);
    fy = make_filter(h, out_h);
    for (Band& band : bands) {
      band.rows.resize(fy.taps);
      if (!fx.identity) band.ring.resize(static_cast<size_t>(fy.taps) * out_w * 3);
    }
  } catch (const std::bad_alloc&) {
    throw SamError("ERR_OUT_OF_MEMORY", "Cannot allocate " +
                                            std::to_string(resize_workspace_bytes(out_w, out_h, w, h, team)) +
                                            " bytes to resize an image");
  }
  // Contiguous bands: a thread computes the few rows that its neighbour also needs again, and shares nothing. The whole team:
  // a smaller region would end the threads it leaves out.
#ifdef _OPENMP
#pragma omp parallel for num_threads(team == 1 ? 1 : threads) schedule(static, 1)
#endif
  for (int i = 0; i < team; ++i) {
    const int64_t begin = out_h * i / team, end = out_h * (i + 1) / team;
    if (begin < end) resize_band(out, out_stride, out_w, begin, end, in, w, fx, fy, bands[i], cancel);
  }
}

}  // namespace ba_sam
