// One band of a mask's rows, for what makes of them bitmaps, logits or runs. Contract: upsample_masks.h.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "../core/tensor.h"
#include "bilinear_axis.h"
#include "upsample_masks.h"

namespace ba_sam::upsampling {

// Rows of output that one work item makes. Fixed, so that the cut does not depend on the number of threads;
// large, because every band filters a few rows again that its neighbour had too.
inline constexpr int64_t kBandRows = 128;

inline void sample_row(float* out, const float* in, const BilinearAxis& axis) {
  const int64_t n = static_cast<int64_t>(axis.i0.size());
  const int32_t *i0 = axis.i0.data(), *i1 = axis.i1.data();
  const float *w0 = axis.w0.data(), *w1 = axis.w1.data();
  for (int64_t x = 0; x < n; ++x) out[x] = w0[x] * in[i0[x]] + w1[x] * in[i1[x]];
}

inline void blend(float* __restrict out, const float* a, const float* b, float wa, float wb, int64_t n) {
  for (int64_t x = 0; x < n; ++x) out[x] = wa * a[x] + wb * b[x];
}

inline int64_t blend_threshold(uint8_t* __restrict out, const float* a, const float* b, float wa, float wb, int64_t n,
                               float threshold) {
  // 4096 ones at a time fit an int; a 64-bit sum per pixel would not vectorise well.
  int64_t area = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t end = std::min(start + 4096, n);
    int32_t ones = 0;
    for (int64_t x = start; x < end; ++x) {
      const bool on = wa * a[x] + wb * b[x] > threshold;
      out[x] = on;
      ones += on;
    }
    area += ones;
  }
  return area;
}

struct Axes {
  BilinearAxis x1, y1, x2, y2;  // low → content of the input; content → photograph

  explicit Axes(const UpsampleParams& p)
      : x1(make_bilinear_axis(p.low_w, p.input_w, p.content_w)),
        y1(make_bilinear_axis(p.low_h, p.input_h, p.content_h)),
        x2(make_bilinear_axis(p.content_w, p.out_w, p.out_w)),
        y2(make_bilinear_axis(p.content_h, p.out_h, p.out_h)) {}
};

// Two buffered rows of a source that is asked for rows in non-decreasing order. Asking for i1 evicts whatever
// is neither i0 nor i1.
struct RowPair {
  float* row[2] = {nullptr, nullptr};
  int64_t index[2] = {-1, -1};

  template <class Fill>
  void want(int64_t i0, int64_t i1, const float*& a, const float*& b, Fill fill) {
    a = get(i0, i1, fill);
    b = i1 == i0 ? a : get(i1, i0, fill);
  }

 private:
  template <class Fill>
  const float* get(int64_t i, int64_t keep, Fill fill) {
    for (int s = 0; s < 2; ++s) {
      if (index[s] == i) return row[s];
    }
    const int s = index[0] == keep ? 1 : 0;
    fill(row[s], i);
    index[s] = i;
    return row[s];
  }
};

inline size_t scratch_floats(const UpsampleParams& p) {
  return static_cast<size_t>(3 * p.content_w + 2 * p.out_w);
}

// Output rows [y_begin, y_end) of one mask. Out: uint8_t (threshold) or float. A row is written where row_of(y) says and is
// complete when row_done(y) is called.
template <class Out, class RowOf, class RowDone>
void upsample_band(RowOf row_of, RowDone row_done, MaskStats* stats, const float* low, const UpsampleParams& p,
                   const Axes& axes, float threshold, int64_t y_begin, int64_t y_end, float* scratch,
                   const std::atomic<bool>* cancel) {
  RowPair low_rows, mid_rows;
  low_rows.row[0] = scratch;
  low_rows.row[1] = low_rows.row[0] + p.content_w;
  float* mid = low_rows.row[1] + p.content_w;
  mid_rows.row[0] = mid + p.content_w;
  mid_rows.row[1] = mid_rows.row[0] + p.out_w;

  const auto fill_low = [&](float* row, int64_t y) { sample_row(row, low + y * p.low_w, axes.x1); };
  const auto fill_mid = [&](float* row, int64_t y) {
    const float *a, *b;
    low_rows.want(axes.y1.i0[y], axes.y1.i1[y], a, b, fill_low);
    blend(mid, a, b, axes.y1.w0[y], axes.y1.w1[y], p.content_w);
    sample_row(row, mid, axes.x2);
  };

  int64_t x_min = p.out_w, x_max = -1, y_min = p.out_h, y_max = -1, area = 0;
  for (int64_t y = y_begin; y < y_end; ++y) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
    const float *a, *b;
    mid_rows.want(axes.y2.i0[y], axes.y2.i1[y], a, b, fill_mid);
    const float wa = axes.y2.w0[y], wb = axes.y2.w1[y];
    Out* row = row_of(y);
    if constexpr (std::is_same_v<Out, float>) {
      blend(row, a, b, wa, wb, p.out_w);
      row_done(y);
    } else {
      const int64_t ones = blend_threshold(row, a, b, wa, wb, p.out_w, threshold);
      row_done(y);
      if (ones == 0 || stats == nullptr) continue;
      area += ones;
      y_min = std::min(y_min, y);
      y_max = y;
      // Only what would widen the box is searched: in all, cheaper than one more pass over the mask.
      const void* left = std::memchr(row, 1, x_min);
      if (left != nullptr) x_min = static_cast<const uint8_t*>(left) - row;
      for (int64_t x = p.out_w - 1; x > x_max; --x) {
        if (row[x] != 0) x_max = x;
      }
    }
  }
  if (stats != nullptr && area > 0) *stats = {area, x_min, y_min, x_max - x_min + 1, y_max - y_min + 1};
}

inline void merge(MaskStats& into, const MaskStats& band) {
  if (band.area == 0) return;
  if (into.area == 0) {
    into = band;
    return;
  }
  const int64_t right = std::max(into.x + into.w, band.x + band.w);
  const int64_t bottom = std::max(into.y + into.h, band.y + band.h);
  into.area += band.area;
  into.x = std::min(into.x, band.x);
  into.y = std::min(into.y, band.y);
  into.w = right - into.x;
  into.h = bottom - into.y;
}

inline void check(const UpsampleParams& p) {
  constexpr int64_t kMax = int64_t{1} << 24;
  const auto side = [](const char* name, int64_t value) {
    if (value < 1 || value > kMax) {
      throw SamError("ERR_INVALID_ARGUMENT", "Expected integer between 1 and " + std::to_string(kMax) + " for " + name +
                                                 " but received " + std::to_string(value));
    }
  };
  side("low_h", p.low_h);
  side("low_w", p.low_w);
  side("input_h", p.input_h);
  side("input_w", p.input_w);
  side("out_h", p.out_h);
  side("out_w", p.out_w);
  if (p.masks < 0 || p.content_h < 1 || p.content_h > p.input_h || p.content_w < 1 || p.content_w > p.input_w) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected a content size between 1x1 and " + std::to_string(p.input_w) +
                                               "x" + std::to_string(p.input_h) + " but received " +
                                               std::to_string(p.content_w) + "x" + std::to_string(p.content_h) +
                                               " for " + std::to_string(p.masks) + " masks");
  }
}

}  // namespace ba_sam::upsampling
