// Every op as a naive float64 loop, written from the formulas in lib/graph/ops.ts: what plans are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../../native/core/bf16.h"
#include "../../native/core/f16.h"
#include "../../native/core/graph.h"

namespace ba_sam::test {

using Array = std::vector<double>;

// Stored values are rounded to their dtype, as in any implementation.
inline double rounded(double v, DType dtype) {
  if (dtype == DType::bf16) return bf16_to_f32(f32_to_bf16(static_cast<float>(v)));
  if (dtype == DType::f16) return f16_to_f32(f32_to_f16(static_cast<float>(v)));
  return dtype == DType::f32 ? static_cast<double>(static_cast<float>(v)) : v;
}

inline double activate(double v, double kind) {
  if (kind == 1) return v > 0 ? v : 0;
  return kind == 2 ? 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))) : v;
}

// A matrix with every row rounded to e4m3 (4 bits of significand from 2^-6 on, multiples of 2^-9 below), scaled by the least
// power of two that brings the row to 448 or below.
inline Array rounded_to_f8(const Array& matrix, int64_t columns) {
  Array out(matrix.size());
  for (size_t row = 0; row < matrix.size(); row += static_cast<size_t>(columns)) {
    double largest = 0;
    for (int64_t c = 0; c < columns; ++c) largest = std::max(largest, std::abs(matrix[row + c]));
    int exponent = -126;
    while (std::ldexp(448, exponent) < largest) ++exponent;
    for (int64_t c = 0; c < columns; ++c) {
      const double scaled = std::ldexp(matrix[row + c], -exponent);
      const double step = std::ldexp(1, std::max(-9, scaled == 0 ? -9 : std::ilogb(scaled) - 3));
      out[row + c] = std::ldexp(std::nearbyint(scaled / step) * step, exponent);
    }
  }
  return out;
}

// Bilinear sample of a plane at output pixel (y, x), align_corners = false.
struct Resample {
  int64_t low, high;
  double t;
  Resample(int64_t i, int64_t in, int64_t out) {
    const double s = std::max(0.0, (i + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5);
    low = std::min(static_cast<int64_t>(s), in - 1);
    high = std::min(low + 1, in - 1);
    t = s - static_cast<double>(low);
  }
};

inline Array resize_plane(const Array& in, int64_t h, int64_t w, int64_t out_h, int64_t out_w) {
  Array out(static_cast<size_t>(out_h * out_w));
  for (int64_t y = 0; y < out_h; ++y) {
    for (int64_t x = 0; x < out_w; ++x) {
      const Resample ry(y, h, out_h), rx(x, w, out_w);
      const double top = (1 - rx.t) * in[ry.low * w + rx.low] + rx.t * in[ry.low * w + rx.high];
      const double bottom = (1 - rx.t) * in[ry.high * w + rx.low] + rx.t * in[ry.high * w + rx.high];
      out[y * out_w + x] = (1 - ry.t) * top + ry.t * bottom;
    }
  }
  return out;
}

inline double cubic(double d) {
  constexpr double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? a * (((d - 5) * d + 8) * d - 4) : 0;
}

// One query's softmax(logits)·v, added up over `keys`; logit(j) and value(j, d) are given.
template <typename Logit, typename Value>
void attend(double* out, int64_t keys, int64_t head_dim, Logit logit, Value value) {
  Array weights(static_cast<size_t>(keys));
  double largest = -1e300, sum = 0;
  for (int64_t j = 0; j < keys; ++j) largest = std::max(largest, weights[j] = logit(j));
  for (double& w : weights) sum += w = std::exp(w - largest);
  for (int64_t d = 0; d < head_dim; ++d) {
    double total = 0;
    for (int64_t j = 0; j < keys; ++j) total += weights[j] * value(j, d);
    out[d] = total / sum;
  }
}

inline Array reference_grid_attention(const Graph& g, const Node& n, const std::vector<const Array*>& in) {
  const Shape& s = g.input(n, 0).shape;
  const int64_t gh = s[1], gw = s[2], channels = s[3] / 3, heads = static_cast<int64_t>(n.attributes[0]);
  const int64_t dim = channels / heads, window = static_cast<int64_t>(n.attributes[1]);
  const int64_t side_h = window ? window : gh, side_w = window ? window : gw;
  const double scale = n.attributes[2], start = n.attributes[4];
  const int metric = static_cast<int>(n.attributes[3]);
  Array out(static_cast<size_t>(s[0] * gh * gw * channels));
  for (int64_t b = 0; b < s[0]; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t yi = 0; yi < gh; ++yi) {
        for (int64_t xi = 0; xi < gw; ++xi) {
          const int64_t y0 = window ? yi / window * window : 0, x0 = window ? xi / window * window : 0;
          // Part 0, 1, 2 = q, k, v; outside the grid a token is what the projection makes of zeros: its bias.
          auto element = [&](int part, int64_t y, int64_t x, int64_t d) {
            const int64_t c = part * channels + h * dim + d;
            if (y < gh && x < gw) return (*in[0])[((b * gh + y) * gw + x) * s[3] + c];
            return in[3] ? rounded((*in[3])[c], g.input(n, 0).dtype) : 0.0;
          };
          auto logit = [&](int64_t j) {
            const int64_t yj = y0 + j / side_w, xj = x0 + j % side_w;
            double dot = 0, rel = 0;
            for (int64_t d = 0; d < dim; ++d) {
              const double q = element(0, yi, xi, d);
              dot += q * element(1, yj, xj, d);
              if (in[1])
                rel += q * ((*in[1])[(yi - yj + side_h - 1) * dim + d] + (*in[2])[(xi - xj + side_w - 1) * dim + d]);
            }
            const double dy = std::max(0.0, std::abs(static_cast<double>(yi - yj)) - start);
            const double dx = std::max(0.0, std::abs(static_cast<double>(xi - xj)) - start);
            const double distance = metric == 1 ? dy + dx : metric == 2 ? std::hypot(dy, dx) : std::max(dy, dx);
            return scale * dot + rel - (metric ? n.attributes[5 + h] * distance : 0.0);
          };
          attend(&out[((b * gh + yi) * gw + xi) * channels + h * dim], side_h * side_w, dim, logit,
                 [&](int64_t j, int64_t d) { return element(2, y0 + j / side_w, x0 + j % side_w, d); });
        }
      }
    }
  }
  return out;
}

inline Array reference_attention(const Graph& g, const Node& n, const std::vector<const Array*>& in) {
  const Shape &q = g.input(n, 0).shape, &k = g.input(n, 1).shape;
  const int64_t channels = q.back(), heads = static_cast<int64_t>(n.attributes[0]), dim = channels / heads;
  auto tokens = [&](const Shape& shape) {
    int64_t count = 1;
    for (size_t i = 1; i + 1 < shape.size(); ++i) count *= shape[i];
    return count;
  };
  const int64_t nq = tokens(q), nk = tokens(k), batch = g.output(n).shape[0];
  Array out(static_cast<size_t>(batch * nq * channels));
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t bq = q[0] == 1 ? 0 : b, bk = k[0] == 1 ? 0 : b;
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < nq; ++i) {
        auto logit = [&](int64_t j) {
          double dot = 0;
          for (int64_t d = 0; d < dim; ++d) {
            dot += (*in[0])[(bq * nq + i) * channels + h * dim + d] * (*in[1])[(bk * nk + j) * channels + h * dim + d];
          }
          return n.attributes[1] * dot;
        };
        attend(&out[(b * nq + i) * channels + h * dim], nk, dim, logit,
               [&](int64_t j, int64_t d) { return (*in[2])[(bk * nk + j) * channels + h * dim + d]; });
      }
    }
  }
  return out;
}

// in: one array per input, null when absent. Unrounded.
inline Array reference(const Graph& g, const Node& n, const std::vector<const Array*>& in) {
  const Shape& os = g.output(n).shape;
  const Shape& xs = g.input(n, 0).shape;
  const Array& x = *in[0];
  const int64_t elements = g.output(n).elements(), last = os.back();
  Array out(static_cast<size_t>(elements), 0.0);
  auto at = [&](size_t i) { return static_cast<int64_t>(n.attributes[i]); };
  switch (n.op) {
    case Op::linear: {
      const int64_t k = xs.back();
      const bool f8 = n.attributes.size() > 1 && n.attributes[1] == 1;
      const Array a = f8 ? rounded_to_f8(x, k) : x, w = f8 ? rounded_to_f8(*in[1], k) : *in[1];
      for (int64_t i = 0; i < elements; ++i) {
        double sum = in[2] ? (*in[2])[i % last] : 0;
        for (int64_t c = 0; c < k; ++c) sum += a[i / last * k + c] * w[i % last * k + c];
        out[i] = activate(sum, n.attributes[0]) + (in.size() > 3 && in[3] ? (*in[3])[i] : 0);
      }
      return out;
    }
    case Op::layer_norm:
      for (int64_t r = 0; r < elements / std::max<int64_t>(1, last); ++r) {
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < last; ++c) mean += x[r * last + c] / static_cast<double>(last);
        for (int64_t c = 0; c < last; ++c) variance += (x[r * last + c] - mean) * (x[r * last + c] - mean);
        variance /= static_cast<double>(last);
        for (int64_t c = 0; c < last; ++c) {
          const double y = (x[r * last + c] - mean) / std::sqrt(variance + n.attributes[0]);
          out[r * last + c] = activate(y * (*in[1])[c] + (*in[2])[c], n.attributes[1]);
        }
      }
      return out;
    case Op::grid_attention:
      return reference_grid_attention(g, n, in);
    case Op::attention:
      return reference_attention(g, n, in);
    case Op::conv2d: {
      const Shape& w = g.input(n, 1).shape;
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t o = i % last, ox = i / last % os[2], oy = i / last / os[2] % os[1], b = i / last / os[2] / os[1];
        double sum = in[2] ? (*in[2])[o] : 0;
        for (int64_t c = 0; c < w[1]; ++c) {
          for (int64_t ky = 0; ky < w[2]; ++ky) {
            for (int64_t kx = 0; kx < w[3]; ++kx) {
              const int64_t y = oy * at(0) + ky - at(1), xx = ox * at(0) + kx - at(1);
              if (y < 0 || y >= xs[1] || xx < 0 || xx >= xs[2]) continue;
              sum += x[((b * xs[1] + y) * xs[2] + xx) * xs[3] + c] * (*in[1])[((o * w[1] + c) * w[2] + ky) * w[3] + kx];
            }
          }
        }
        out[i] = activate(sum, n.attributes[2]);
      }
      return out;
    }
    case Op::conv_transpose2d: {
      const int64_t k = g.input(n, 1).shape[2];
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t o = i % last, ox = i / last % os[2], oy = i / last / os[2] % os[1], b = i / last / os[2] / os[1];
        double sum = in[2] ? (*in[2])[o] : 0;
        for (int64_t c = 0; c < xs[3]; ++c) {
          sum += x[((b * xs[1] + oy / k) * xs[2] + ox / k) * xs[3] + c] *
                 (*in[1])[((c * last + o) * k + oy % k) * k + ox % k];
        }
        out[i] = activate(sum, n.attributes[0]);
      }
      return out;
    }
    case Op::patch_embed: {
      const Shape& w = g.input(n, 1).shape;
      const int64_t p = w[2], height = os[1] * p, width = os[2] * p;
      auto pixel = [&](int64_t b, int64_t c, int64_t y, int64_t xx) {
        if (g.input(n, 0).dtype != DType::u8) return x[((b * w[1] + c) * height + y) * width + xx];
        const bool inside = y < (*in[4])[2 * b] && xx < (*in[4])[2 * b + 1];
        return inside ? (x[((b * height + y) * width + xx) * 3 + c] - n.attributes[c]) / n.attributes[3 + c] : 0.0;
      };
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t o = i % last, gx = i / last % os[2], gy = i / last / os[2] % os[1], b = i / last / os[2] / os[1];
        double sum = in[2] ? (*in[2])[o] : 0;
        for (int64_t c = 0; c < w[1]; ++c) {
          for (int64_t t = 0; t < p * p; ++t) {
            sum += rounded(pixel(b, c, gy * p + t / p, gx * p + t % p), g.input(n, 1).dtype) *
                   (*in[1])[(o * w[1] + c) * p * p + t];
          }
        }
        out[i] = sum + (in.size() > 3 && in[3] ? (*in[3])[(gy * os[2] + gx) * last + o] : 0);
      }
      return out;
    }
    case Op::add:
      for (int64_t i = 0; i < elements; ++i) {
        int64_t rest = i, offset[2] = {0, 0}, stride[2] = {1, 1};
        for (size_t d = os.size(); d-- > 0; rest /= os[d]) {
          for (int o = 0; o < 2; ++o) {
            const int64_t dim = g.input(n, o).shape[d];
            if (dim > 1) offset[o] += rest % os[d] * stride[o];
            stride[o] *= dim;
          }
        }
        out[i] = x[offset[0]] + (*in[1])[offset[1]];
      }
      return out;
    case Op::concat: {
      size_t to = 0;
      for (int64_t b = 0; b < os[0]; ++b) {
        for (size_t i = 0; i < in.size(); ++i) {
          const Shape& s = g.input(n, i).shape;
          const int64_t size = s[1] * s[2];
          for (int64_t e = 0; e < size; ++e) out[to++] = (*in[i])[(s[0] == 1 ? 0 : b) * size + e];
        }
      }
      return out;
    }
    case Op::slice:
      for (int64_t i = 0; i < elements; ++i) {
        out[i] = x[(i / last / os[1] * xs[1] + at(0) + i / last % os[1]) * last + i % last];
      }
      return out;
    case Op::matmul: {
      const int64_t k = xs[2];
      for (int64_t i = 0; i < elements; ++i) {
        for (int64_t c = 0; c < k; ++c)
          out[i] += x[i / last * k + c] * (*in[1])[(i / last / os[1] * last + i % last) * k + c];
      }
      return out;
    }
    case Op::transpose: {
      const int64_t channels = at(0) ? xs.back() : xs[1];
      const int64_t other = elements ? elements / xs[0] / channels : 0;
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t b = i / (channels * other), r = i % (channels * other);
        const int64_t c = at(0) ? r / other : r % channels, t = at(0) ? r % other : r / channels;
        out[i] = x[b * channels * other + (at(0) ? t * channels + c : c * other + t)];
      }
      return out;
    }
    case Op::reshape:
    case Op::cast:
      return x;
    case Op::point_encoding: {
      const int64_t features = last / 2;
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t p = i / last, f = i % last % features, label = static_cast<int64_t>((*in[1])[p]);
        if (label == -1) {
          out[i] = (*in[3])[i % last];
          continue;
        }
        const double px = 2 * (x[2 * p] + 0.5) / n.attributes[0] - 1,
                     py = 2 * (x[2 * p + 1] + 0.5) / n.attributes[1] - 1;
        const double angle = 2 * M_PI * (px * (*in[2])[f] + py * (*in[2])[features + f]);
        out[i] = (i % last < features ? std::sin(angle) : std::cos(angle)) +
                 (label >= 0 && label < 4 ? (*in[4 + label])[i % last] : 0);
      }
      return out;
    }
    case Op::grid_encoding: {
      const int64_t features = last / 2;
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t f = i % last % features;
        const double px = 2 * (i / last % os[2] + 0.5) / static_cast<double>(os[2]) - 1;
        const double py = 2 * (i / last / os[2] + 0.5) / static_cast<double>(os[1]) - 1;
        const double angle = 2 * M_PI * (px * x[f] + py * x[features + f]);
        out[i] = i % last < features ? std::sin(angle) : std::cos(angle);
      }
      return out;
    }
    case Op::resize_positions:
      for (int64_t i = 0; i < elements; ++i) {
        const double sy = (i / last / os[2] + 0.5) * xs[1] / static_cast<double>(os[1]) - 0.5;
        const double sx = (i / last % os[2] + 0.5) * xs[2] / static_cast<double>(os[2]) - 0.5;
        for (int64_t y = static_cast<int64_t>(std::floor(sy)) - 1; y <= std::floor(sy) + 2; ++y) {
          for (int64_t xx = static_cast<int64_t>(std::floor(sx)) - 1; xx <= std::floor(sx) + 2; ++xx) {
            const int64_t cy = std::clamp<int64_t>(y, 0, xs[1] - 1), cx = std::clamp<int64_t>(xx, 0, xs[2] - 1);
            out[i] += cubic(sy - y) * cubic(sx - xx) * x[(cy * xs[2] + cx) * last + i % last];
          }
        }
      }
      return out;
    case Op::resize_rel_pos:
      for (int64_t i = 0; i < elements; ++i) {
        const Resample r(i / last, xs[0], os[0]);
        out[i] = (in.size() > 1 && in[1] ? (*in[1])[0] : 1.0) *
                 ((1 - r.t) * x[r.low * last + i % last] + r.t * x[r.high * last + i % last]);
      }
      return out;
    case Op::upsample_masks: {
      const int64_t plane = xs[2] * xs[3], out_plane = os[2] * os[3];
      for (int64_t m = 0; m < os[0] * os[1]; ++m) {
        const Array low(x.begin() + m * plane, x.begin() + (m + 1) * plane);
        const Array mid = resize_plane(low, xs[2], xs[3], at(1), at(0));
        Array content;
        for (int64_t y = 0; y < at(3); ++y) content.insert(content.end(), &mid[y * at(0)], &mid[y * at(0)] + at(2));
        const Array full = resize_plane(content, at(3), at(2), os[2], os[3]);
        std::copy(full.begin(), full.end(), out.begin() + m * out_plane);
      }
      return out;  // logits, also for u8 masks: the comparison knows
    }
  }
  return out;
}

}  // namespace ba_sam::test
