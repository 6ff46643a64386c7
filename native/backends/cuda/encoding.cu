// Position encodings and their resizes: pointEncoding, gridEncoding, resizePositions, resizeRelPos.
//
// Split: one thread per output element (encodings: per feature, sine and cosine), threads stride over what the grid leaves.
// Shared memory: none.
// Hazards: everything is computed in f64 and rounded once, as on the CPU, so that both backends agree to the last bit or
//   two: angles are many turns, where f32 would lose the digits that sine and cosine need. sincospi takes half turns: its
//   reduction is exact, and needs no local memory. These ops are small, and all but pointEncoding depend on weights alone:
//   they run once per plan.
// Reference: pe(), dense_pe(), resize_pos(), rel_table() of the PyTorch reference; native/backends/cpu/encoding.cpp.
#include "elements.h"
#include "ops.h"

namespace ba_sam::cuda {
namespace {

// Random Fourier features (Tancik et al. 2020) of a point in [0, 1]².
__device__ __forceinline__ void encode_point(float* sine, float* cosine, double x, double y, const float* gaussian,
                                             int64_t f, int64_t features) {
  const double turns = (2 * x - 1) * gaussian[f] + (2 * y - 1) * gaussian[features + f];
  double s, c;
  sincospi(2 * turns, &s, &c);
  *sine = static_cast<float>(s);
  *cosine = static_cast<float>(c);
}

struct Embeddings {
  const float* not_a_point;
  const float* point[4];
};

// Label −1: not_a_point alone; 0 background, 1 foreground, 2 and 3 box corners: the encoding of the pixel's centre plus the
// label's embedding; any other label: the encoding alone.
__global__ void __launch_bounds__(kBlockThreads)
    point_encoding_kernel(float* out, const float* coords, const int32_t* labels, const float* gaussian,
                          Embeddings embeddings, int64_t points, int64_t features, double width, double height) {
  for (int64_t i = first_item(); i < points * features; i += item_step()) {
    const int64_t p = i / features, f = i % features;
    float* to = out + p * 2 * features;
    const int32_t label = labels[p];
    if (label == -1) {
      to[f] = embeddings.not_a_point[f];
      to[features + f] = embeddings.not_a_point[features + f];
      continue;
    }
    float sine, cosine;
    encode_point(&sine, &cosine, (coords[2 * p] + 0.5) / width, (coords[2 * p + 1] + 0.5) / height, gaussian, f,
                 features);
    // Labels are data: compared before they choose a pointer.
    const float* embedding = nullptr;
#pragma unroll
    for (int l = 0; l < 4; ++l) embedding = label == l ? embeddings.point[l] : embedding;
    to[f] = embedding ? sine + embedding[f] : sine;
    to[features + f] = embedding ? cosine + embedding[features + f] : cosine;
  }
}

__global__ void __launch_bounds__(kBlockThreads)
    grid_encoding_kernel(float* out, const float* gaussian, int64_t grid_h, int64_t grid_w, int64_t features) {
  for (int64_t i = first_item(); i < grid_h * grid_w * features; i += item_step()) {
    const int64_t f = i % features, cell = i / features;
    const double x = (static_cast<double>(cell % grid_w) + 0.5) / static_cast<double>(grid_w);
    const double y = (static_cast<double>(cell / grid_w) + 0.5) / static_cast<double>(grid_h);
    float* to = out + cell * 2 * features;
    encode_point(to + f, to + features + f, x, y, gaussian, f, features);
  }
}

// Weights of PyTorch's bicubic interpolation, a = −0.75, for the taps at −1, 0, 1, 2.
__device__ __forceinline__ void cubic_weights(double t, double* w) {
  constexpr double a = -0.75;
  const auto inner = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto outer = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  w[0] = outer(t + 1);
  w[1] = inner(t);
  w[2] = inner(1 - t);
  w[3] = outer(2 - t);
}

__device__ __forceinline__ int64_t clamp_index(int64_t i, int64_t count) {
  return i < 0 ? 0 : i < count ? i : count - 1;
}

// [in_h, in_w, C] → [out_h, out_w, C], align_corners = false, no antialias.
__global__ void __launch_bounds__(kBlockThreads)
    resize_positions_kernel(float* out, const float* in, int64_t in_h, int64_t in_w, int64_t out_h, int64_t out_w,
                            int64_t channels) {
  for (int64_t i = first_item(); i < out_h * out_w * channels; i += item_step()) {
    const int64_t c = i % channels, x = i / channels % out_w, y = i / channels / out_w;
    const double sy = (static_cast<double>(y) + 0.5) * static_cast<double>(in_h) / static_cast<double>(out_h) - 0.5;
    const double sx = (static_cast<double>(x) + 0.5) * static_cast<double>(in_w) / static_cast<double>(out_w) - 0.5;
    const double fy = floor(sy), fx = floor(sx);
    double wy[4], wx[4];
    cubic_weights(sy - fy, wy);
    cubic_weights(sx - fx, wx);
    double sum = 0;
    for (int j = 0; j < 4; ++j) {
      const int64_t yy = clamp_index(static_cast<int64_t>(fy) + j - 1, in_h);
      for (int k = 0; k < 4; ++k) {
        const int64_t xx = clamp_index(static_cast<int64_t>(fx) + k - 1, in_w);
        sum += wy[j] * wx[k] * in[(yy * in_w + xx) * channels + c];
      }
    }
    out[i] = static_cast<float>(sum);
  }
}

// [L, D] → coefficient · [L', D], linear, align_corners = false.
__global__ void __launch_bounds__(kBlockThreads)
    resize_rel_pos_kernel(float* out, const float* in, const float* coefficient, int64_t in_length, int64_t out_length,
                          int64_t channels) {
  for (int64_t i = first_item(); i < out_length * channels; i += item_step()) {
    const int64_t d = i % channels, row = i / channels;
    const double s =
        (static_cast<double>(row) + 0.5) * static_cast<double>(in_length) / static_cast<double>(out_length) - 0.5;
    const double source = s > 0 ? s : 0;
    const int64_t low = clamp_index(static_cast<int64_t>(source), in_length), high = clamp_index(low + 1, in_length);
    const double t = source - static_cast<double>(low);
    const double value = (1 - t) * in[low * channels + d] + t * in[high * channels + d];
    out[i] = static_cast<float>((coefficient ? static_cast<double>(*coefficient) : 1.0) * value);
  }
}

const float* floats(const void* data) {
  return static_cast<const float*>(data);
}

}  // namespace

// coords [P, n, 2] px, labels [P, n] → [P, n, 2F].
KernelPtr make_point_encoding(const KernelContext& c) {
  const int64_t points = c.in(0).shape[0] * c.in(0).shape[1], features = c.in(2).shape[1];
  const double width = c.attribute(0), height = c.attribute(1);
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    const Embeddings embeddings = {floats(io.in[3]),
                                   {floats(io.in[4]), floats(io.in[5]), floats(io.in[6]), floats(io.in[7])}};
    launch("a launch of pointEncoding", point_encoding_kernel, grid_for(points * features), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out), floats(io.in[0]), static_cast<const int32_t*>(io.in[1]),
           floats(io.in[2]), embeddings, points, features, width, height);
  });
}

// → [1, Gh, Gw, 2F]: the encoding of every cell's centre.
KernelPtr make_grid_encoding(const KernelContext& c) {
  const int64_t gh = c.out().shape[1], gw = c.out().shape[2], features = c.in(0).shape[1];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of gridEncoding", grid_encoding_kernel, grid_for(gh * gw * features), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out), floats(io.in[0]), gh, gw, features);
  });
}

// [1, S, S', C] → [1, Gh, Gw, C].
KernelPtr make_resize_positions(const KernelContext& c) {
  const int64_t in_h = c.in(0).shape[1], in_w = c.in(0).shape[2], channels = c.in(0).shape[3];
  const int64_t out_h = c.out().shape[1], out_w = c.out().shape[2];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of resizePositions", resize_positions_kernel, grid_for(out_h * out_w * channels),
           dim3(kBlockThreads), 0, stream, static_cast<float*>(io.out), floats(io.in[0]), in_h, in_w, out_h, out_w,
           channels);
  });
}

KernelPtr make_resize_rel_pos(const KernelContext& c) {
  const int64_t in_length = c.in(0).shape[0], out_length = c.out().shape[0], channels = c.in(0).shape[1];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of resizeRelPos", resize_rel_pos_kernel, grid_for(out_length * channels), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out), floats(io.in[0]), floats(io.in[1]), in_length, out_length, channels);
  });
}

}  // namespace ba_sam::cuda
