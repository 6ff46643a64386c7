// Position encodings and resizes: pointEncoding, gridEncoding, resizePositions, resizeRelPos, upsampleMasks.
// Small next to the rest, so they compute in double: their error never shows.
#include <algorithm>
#include <cmath>

#include "../../image/upsample_masks.h"
#include "backend.h"

namespace ba_sam::cpu {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Random Fourier features (Tancik et al. 2020) of a point in [0, 1]²: [sin(2π(2p − 1)·G), cos(…)].
// Reference: pe() of the PyTorch reference; SAM's PositionEmbeddingRandom._pe_encoding.
void encode_point(float* out, double x, double y, const float* gaussian, int64_t features) {
  for (int64_t f = 0; f < features; ++f) {
    const double angle = 2 * kPi * ((2 * x - 1) * gaussian[f] + (2 * y - 1) * gaussian[features + f]);
    out[f] = static_cast<float>(std::sin(angle));
    out[features + f] = static_cast<float>(std::cos(angle));
  }
}

// Weights of PyTorch's bicubic interpolation, a = −0.75, for the taps at −1, 0, 1, 2.
void cubic_weights(double t, double* w) {
  constexpr double a = -0.75;
  auto inner = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  auto outer = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  w[0] = outer(t + 1);
  w[1] = inner(t);
  w[2] = inner(1 - t);
  w[3] = outer(2 - t);
}

}  // namespace

// coords [P, n, 2] px, labels [P, n] → [P, n, 2F]. Label −1: not_a_point alone; 0 background, 1 foreground, 2 and 3
// box corners: the encoding of the pixel's centre plus the label's embedding; any other label: the encoding alone.
// Reference: prompt_encoder() of the PyTorch reference.
KernelPtr make_point_encoding(const KernelContext& c) {
  const int64_t points = c.in(0).shape[0] * c.in(0).shape[1], features = c.in(2).shape[1];
  const double width = c.attribute(0), height = c.attribute(1);
  return kernel([=](const KernelIo& io) {
    const auto* coords = static_cast<const float*>(io.in[0]);
    const auto* labels = static_cast<const int32_t*>(io.in[1]);
    for (int64_t p = 0; p < points; ++p) {
      float* out = static_cast<float*>(io.out) + p * 2 * features;
      const int32_t label = labels[p];
      if (label == -1) {
        std::copy_n(static_cast<const float*>(io.in[3]), 2 * features, out);
        continue;
      }
      encode_point(out, (coords[2 * p] + 0.5) / width, (coords[2 * p + 1] + 0.5) / height,
                   static_cast<const float*>(io.in[2]), features);
      if (label < 0 || label > 3) continue;
      const auto* embedding = static_cast<const float*>(io.in[4 + label]);
      for (int64_t f = 0; f < 2 * features; ++f) out[f] += embedding[f];
    }
  });
}

// → [1, Gh, Gw, 2F]: the encoding of every cell's centre. Reference: dense_pe() of the PyTorch reference.
KernelPtr make_grid_encoding(const KernelContext& c) {
  const int64_t gh = c.out().shape[1], gw = c.out().shape[2], features = c.in(0).shape[1];
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t y = 0; y < gh; ++y) {
      for (int64_t x = 0; x < gw; ++x) {
        encode_point(static_cast<float*>(io.out) + (y * gw + x) * 2 * features,
                     (static_cast<double>(x) + 0.5) / static_cast<double>(gw),
                     (static_cast<double>(y) + 0.5) / static_cast<double>(gh), static_cast<const float*>(io.in[0]),
                     features);
      }
    }
  });
}

// [1, S, S', C] → [1, Gh, Gw, C], bicubic, align_corners = false, no antialias.
// Reference: resize_pos() of the PyTorch reference.
KernelPtr make_resize_positions(const KernelContext& c) {
  const int64_t in_h = c.in(0).shape[1], in_w = c.in(0).shape[2], channels = c.in(0).shape[3];
  const int64_t out_h = c.out().shape[1], out_w = c.out().shape[2];
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    auto* out = static_cast<float*>(io.out);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t y = 0; y < out_h; ++y) {
      const double sy = (static_cast<double>(y) + 0.5) * static_cast<double>(in_h) / static_cast<double>(out_h) - 0.5;
      const double fy = std::floor(sy);
      double wy[4];
      cubic_weights(sy - fy, wy);
      for (int64_t x = 0; x < out_w; ++x) {
        const double sx = (static_cast<double>(x) + 0.5) * static_cast<double>(in_w) / static_cast<double>(out_w) - 0.5;
        const double fx = std::floor(sx);
        double wx[4];
        cubic_weights(sx - fx, wx);
        const float* taps[16];
        double weights[16];
        for (int j = 0; j < 4; ++j) {
          const int64_t yy = std::clamp<int64_t>(static_cast<int64_t>(fy) + j - 1, 0, in_h - 1);
          for (int i = 0; i < 4; ++i) {
            const int64_t xx = std::clamp<int64_t>(static_cast<int64_t>(fx) + i - 1, 0, in_w - 1);
            taps[4 * j + i] = in + (yy * in_w + xx) * channels;
            weights[4 * j + i] = wy[j] * wx[i];
          }
        }
        float* target = out + (y * out_w + x) * channels;
        for (int64_t ch = 0; ch < channels; ++ch) {
          double sum = 0;
          for (int t = 0; t < 16; ++t) sum += weights[t] * taps[t][ch];
          target[ch] = static_cast<float>(sum);
        }
      }
    }
  });
}

// [L, D] → coefficient · [L', D], linear, align_corners = false. Reference: rel_table() of the PyTorch reference.
KernelPtr make_resize_rel_pos(const KernelContext& c) {
  const int64_t in_length = c.in(0).shape[0], out_length = c.out().shape[0], channels = c.in(0).shape[1];
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    const double coefficient = io.in[1] ? *static_cast<const float*>(io.in[1]) : 1.0;
    for (int64_t i = 0; i < out_length; ++i) {
      const double s = std::max(
          0.0, (static_cast<double>(i) + 0.5) * static_cast<double>(in_length) / static_cast<double>(out_length) - 0.5);
      const int64_t low = std::min(static_cast<int64_t>(s), in_length - 1);
      const int64_t high = std::min(low + 1, in_length - 1);
      const double t = s - static_cast<double>(low);
      float* target = static_cast<float*>(io.out) + i * channels;
      for (int64_t d = 0; d < channels; ++d) {
        target[d] = static_cast<float>(coefficient * ((1 - t) * in[low * channels + d] + t * in[high * channels + d]));
      }
    }
  });
}

// lowRes [P, M, h, w] → [P, M, H, W]: u8 masks (logit > 0) or f32 logits; see image/upsample_masks.h.
KernelPtr make_upsample_masks(const KernelContext& c) {
  const Shape &low = c.in(0).shape, &out = c.out().shape;
  UpsampleParams params;
  params.masks = low[0] * low[1];
  params.low_h = low[2];
  params.low_w = low[3];
  params.input_w = c.integer(0);
  params.input_h = c.integer(1);
  params.content_w = c.integer(2);
  params.content_h = c.integer(3);
  params.out_h = out[2];
  params.out_w = out[3];
  const bool logits = c.out().dtype == DType::f32;
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    if (logits)
      upsample_logits(static_cast<float*>(io.out), in, params, threads, io.cancel);
    else
      upsample_masks(static_cast<uint8_t*>(io.out), nullptr, in, params, 0.0f, threads, io.cancel);
  });
}

}  // namespace ba_sam::cpu
