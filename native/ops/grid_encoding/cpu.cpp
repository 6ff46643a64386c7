// gridEncoding on the CPU.
#include "../../backends/cpu/backend.h"
#include "../point_encoding/fourier.h"

namespace ba_sam::cpu {

// → [1, Gh, Gw, 2F]: the encoding of every cell's centre. Reference: dense_pe() of the PyTorch reference.
KernelPtr make_kernel(const KernelContext& c, const GridEncodingOp&) {
  const int64_t gh = c.out().shape[1], gw = c.out().shape[2], features = c.in(0).shape[1];
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t y = 0; y < gh; ++y) {
      for (int64_t x = 0; x < gw; ++x) {
        encode_point(static_cast<float*>(io.out[0]) + (y * gw + x) * 2 * features,
                     (static_cast<double>(x) + 0.5) / static_cast<double>(gw),
                     (static_cast<double>(y) + 0.5) / static_cast<double>(gh), static_cast<const float*>(io.in[0]),
                     features);
      }
    }
  });
}

}  // namespace ba_sam::cpu
