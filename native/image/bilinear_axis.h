// Bilinear sampling along one side of an image, align_corners = false: which neighbours and how much of each. Worked out
// in f64 on the host for every backend, so that their masks agree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ba_sam {

// out[i] = w0[i] · in[i0[i]] + w1[i] · in[i1[i]].
struct BilinearAxis {
  std::vector<int32_t> i0, i1;
  std::vector<float> w0, w1;
};

// The first `count` samples of an axis in → out.
inline BilinearAxis make_bilinear_axis(int64_t in, int64_t out, int64_t count) {
  BilinearAxis a;
  a.i0.resize(count);
  a.i1.resize(count);
  a.w0.resize(count);
  a.w1.resize(count);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t i = 0; i < count; ++i) {
    const double src = std::max(scale * (static_cast<double>(i) + 0.5) - 0.5, 0.0);
    const int64_t i0 = std::min(static_cast<int64_t>(src), in - 1);
    const double lambda = std::min(std::max(src - static_cast<double>(i0), 0.0), 1.0);
    a.i0[i] = static_cast<int32_t>(i0);
    a.i1[i] = static_cast<int32_t>(std::min(i0 + 1, in - 1));
    a.w0[i] = static_cast<float>(1.0 - lambda);
    a.w1[i] = static_cast<float>(lambda);
  }
  return a;
}

}  // namespace ba_sam
