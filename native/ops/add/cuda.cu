// add on CUDA.
//
// Split: one thread per 8 elements, threads stride over what the grid leaves. Indices are 32-bit where the tensor allows it,
//   because every axis that broadcasts is divided by.
// Shared memory: none.
// Hazards: sizes above 2^31 elements are legal; packs need aligned rows, so odd widths go element by element.
// Reference: torch.add.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"

namespace ba_sam::cuda {
namespace {

// Axes of the output, those that need no distinction merged; steps of 0 repeat. The last axis counts packs.
struct BroadcastAxes {
  int rank = 0;
  int64_t dims[kMaxRank] = {};
  int64_t a_steps[kMaxRank] = {};
  int64_t b_steps[kMaxRank] = {};
};

template <typename T, int kCount, typename Index>
__global__ void __launch_bounds__(kBlockThreads)
    add_kernel(T* out, const T* a, const T* b, BroadcastAxes axes, int64_t packs) {
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    Index rest = static_cast<Index>(i);
    int64_t a_offset = 0, b_offset = 0;
    for (int d = axes.rank - 1; d >= 0; --d) {
      const auto dim = static_cast<Index>(axes.dims[d]);
      const Index index = rest % dim;
      rest /= dim;
      a_offset += static_cast<int64_t>(index) * axes.a_steps[d];
      b_offset += static_cast<int64_t>(index) * axes.b_steps[d];
    }
    const auto left = load_pack<kCount>(a + a_offset), right = load_pack<kCount>(b + b_offset);
    Pack<T, kCount> sum;
#pragma unroll
    for (int j = 0; j < kCount; ++j) sum.v[j] = from_float<T>(to_float(left.v[j]) + to_float(right.v[j]));
    store_pack(out + i * kCount, sum);
  }
}

BroadcastAxes merged_axes(const Shape& out, const Shape& a, const Shape& b) {
  BroadcastAxes axes;
  int64_t a_stride = 1, b_stride = 1;
  struct Axis {
    int64_t dim, a, b;
  };
  std::vector<Axis> found;  // the last axis first
  for (size_t d = out.size(); d-- > 0;) {
    const Axis axis = {out[d], a[d] == 1 ? 0 : a_stride, b[d] == 1 ? 0 : b_stride};
    a_stride *= a[d];
    b_stride *= b[d];
    if (axis.dim == 1) continue;
    if (!found.empty()) {
      Axis& inner = found.back();
      if (axis.a == inner.a * inner.dim && axis.b == inner.b * inner.dim) {
        inner.dim *= axis.dim;
        continue;
      }
    }
    found.push_back(axis);
  }
  if (found.empty()) found.push_back({1, 0, 0});
  for (size_t i = found.size(); i-- > 0; ++axes.rank) {
    axes.dims[axes.rank] = found[i].dim;
    axes.a_steps[axes.rank] = found[i].a;
    axes.b_steps[axes.rank] = found[i].b;
  }
  return axes;
}

template <typename T>
void add(void* out, const void* a, const void* b, BroadcastAxes axes, int64_t count, cudaStream_t stream) {
  const int last = axes.rank - 1;
  const auto start = [&](auto kernel, int64_t packs) {
    launch("a launch of add", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream, static_cast<T*>(out),
           static_cast<const T*>(a), static_cast<const T*>(b), axes, packs);
  };
  const bool small = count < (int64_t{1} << 31);
  if (axes.dims[last] % 8 == 0 && axes.a_steps[last] == 1 && axes.b_steps[last] == 1) {
    axes.dims[last] /= 8;
    axes.a_steps[last] = axes.b_steps[last] = 8;
    start(small ? add_kernel<T, 8, uint32_t> : add_kernel<T, 8, uint64_t>, count / 8);
  } else {
    start(small ? add_kernel<T, 1, uint32_t> : add_kernel<T, 1, uint64_t>, count);
  }
}

}  // namespace

// out = a + b, numpy broadcasting over equal ranks.
KernelPtr make_kernel(const KernelContext& c, const AddOp&) {
  const BroadcastAxes axes = merged_axes(c.out().shape, c.in(AddOp::a).shape, c.in(AddOp::b).shape);
  const DType dtype = c.out().dtype;
  const int64_t count = c.out().elements();
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    dispatch(dtype,
             [&](auto type) { add<decltype(type)>(io.out[0], io.in[AddOp::a], io.in[AddOp::b], axes, count, stream); });
  });
}

}  // namespace ba_sam::cuda
