// gridEncoding on CUDA.
//
// Split: one thread per cell and feature, sine and cosine; threads stride over what the grid leaves.
// Shared memory: none.
// Reference: dense_pe() of the PyTorch reference.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"
#include "../point_encoding/cuda_fourier.h"

namespace ba_sam::cuda {
namespace {

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

}  // namespace

// → [1, Gh, Gw, 2F]: the encoding of every cell's centre.
KernelPtr make_kernel(const KernelContext& c, const GridEncodingOp&) {
  const int64_t gh = c.out().shape[1], gw = c.out().shape[2], features = c.in(GridEncodingOp::gaussian).shape[1];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of gridEncoding", grid_encoding_kernel, grid_for(gh * gw * features), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out[0]), static_cast<const float*>(io.in[GridEncodingOp::gaussian]), gh, gw,
           features);
  });
}

}  // namespace ba_sam::cuda
