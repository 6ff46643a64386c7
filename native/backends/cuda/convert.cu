// convert() of kernels.h.
//
// Split: one thread per 8 elements, threads stride over what the grid leaves.
// Shared memory: none.
// Hazards: packs need aligned tensors, so others go element by element.
#include "elements.h"
#include "kernels.h"

namespace ba_sam::cuda {
namespace {

template <typename In, typename Out, int kCount>
__global__ void __launch_bounds__(kBlockThreads) convert_kernel(Out* out, const In* in, int64_t packs) {
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    const auto from = load_pack<kCount>(in + i * kCount);
    Pack<Out, kCount> to;
#pragma unroll
    for (int j = 0; j < kCount; ++j) to.v[j] = from_float<Out>(to_float(from.v[j]));
    store_pack(out + i * kCount, to);
  }
}

}  // namespace

void convert(void* out, DType out_dtype, const void* in, DType in_dtype, int64_t count, cudaStream_t stream) {
  dispatch(in_dtype, [&](auto from) {
    dispatch(out_dtype, [&](auto to) {
      using In = decltype(from);
      using Out = decltype(to);
      const auto start = [&](auto kernel, int64_t first, int64_t packs) {
        if (packs == 0) return;
        launch("a launch of cast", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream,
               static_cast<Out*>(out) + first, static_cast<const In*>(in) + first, packs);
      };
      const bool aligned = (reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(in)) % 16 == 0;
      const int64_t in_packs = aligned ? count / 8 * 8 : 0;
      start(convert_kernel<In, Out, 8>, 0, in_packs / 8);
      start(convert_kernel<In, Out, 1>, in_packs, count - in_packs);
    });
  });
}

}  // namespace ba_sam::cuda
