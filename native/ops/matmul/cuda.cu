// matmul on CUDA: one batched product (../../backends/cuda/gemm.h).
#include "../../backends/cuda/backend.h"

namespace ba_sam::cuda {

// out [B, M, N] = a [B, M, K] · b [B, N, K]ᵀ. Reference: torch.matmul(a, b.transpose(1, 2)).
KernelPtr make_kernel(const KernelContext& c, const MatmulOp&) {
  const Shape &a = c.in(MatmulOp::a).shape, &b = c.in(MatmulOp::b).shape;
  GemmCall call;
  call.in_dtype = c.in(MatmulOp::a).dtype;
  call.out_dtype = c.out().dtype;
  call.batch = a[0];
  call.m = a[1];
  call.n = b[1];
  call.k = a[2];
  call.x_stride = a[1] * a[2];
  call.w_stride = b[1] * b[2];
  return kernel([=, &gemm = c.backend.gemm()](const KernelIo& io) mutable {
    call.x = io.in[MatmulOp::a];
    call.w = io.in[MatmulOp::b];
    call.out = io.out[0];
    gemm.run(call);
  });
}

}  // namespace ba_sam::cuda
