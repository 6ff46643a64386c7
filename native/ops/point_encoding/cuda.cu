// pointEncoding on CUDA.
//
// Split: one thread per point and feature, sine and cosine; threads stride over what the grid leaves.
// Shared memory: none.
// Reference: pe() and prompt_encoder() of the PyTorch reference.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"
#include "cuda_fourier.h"

namespace ba_sam::cuda {
namespace {

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

}  // namespace

// coords [P, n, 2] px, labels [P, n] → [P, n, 2F].
KernelPtr make_kernel(const KernelContext& c, const PointEncodingOp& op) {
  const int64_t points = c.out().shape[0] * c.out().shape[1], features = c.in(PointEncodingOp::gaussian).shape[1];
  const auto width = static_cast<double>(op.input.width), height = static_cast<double>(op.input.height);
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    const auto floats = [&io](size_t i) { return static_cast<const float*>(io.in[i]); };
    const Embeddings embeddings = {floats(PointEncodingOp::not_a_point),
                                   {floats(PointEncodingOp::background), floats(PointEncodingOp::foreground),
                                    floats(PointEncodingOp::box_top_left), floats(PointEncodingOp::box_bottom_right)}};
    launch("a launch of pointEncoding", point_encoding_kernel, grid_for(points * features), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out[0]), floats(PointEncodingOp::coords),
           static_cast<const int32_t*>(io.in[PointEncodingOp::labels]), floats(PointEncodingOp::gaussian), embeddings,
           points, features, width, height);
  });
}

}  // namespace ba_sam::cuda
