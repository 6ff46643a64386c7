// Memory-bound ops: add, concat, slice, transpose, cast.
//
// Split: one thread per pack of up to 16 bytes (add and cast: 8 elements), threads stride over what the grid leaves. Indices
//   are 32-bit where the tensor allows it, because add divides by every axis that broadcasts.
// Shared memory: transpose alone, one 32×32 tile per block, rows padded by 4 bytes so that columns meet all banks.
// Hazards: sizes above 2^31 elements are legal; packs need aligned rows, so odd widths go element by element.
// Reference: torch.
#include "elements.h"
#include "kernels.h"
#include "ops.h"

namespace ba_sam::cuda {
namespace {

// ---- cast ----

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

// ---- copies of rows ----

template <typename T>
__global__ void __launch_bounds__(kBlockThreads) copy_rows_kernel(uint8_t* out, int64_t out_pitch, const uint8_t* in,
                                                                  int64_t in_pitch, int64_t per_row, int64_t count) {
  for (int64_t i = first_item(); i < count; i += item_step()) {
    const int64_t row = i / per_row, column = i % per_row;
    reinterpret_cast<T*>(out + row * out_pitch)[column] = reinterpret_cast<const T*>(in + row * in_pitch)[column];
  }
}

// ---- add ----

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

// ---- transpose ----

constexpr int kTile = 32, kTileRows = 8;

// [batch, rows, columns] → [batch, columns, rows], elements as their bits.
template <typename T>
__global__ void __launch_bounds__(kTile* kTileRows)
    transpose_kernel(T* out, const T* in, int64_t rows, int64_t columns, int64_t tiles_down, int64_t tiles_across,
                     int64_t tiles) {
  __shared__ T tile[kTile][kTile + 4 / sizeof(T)];
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t across = t % tiles_across, down = t / tiles_across % tiles_down, b = t / (tiles_across * tiles_down);
    const T* from = in + b * rows * columns;
    T* to = out + b * rows * columns;
    const int64_t column = across * kTile + threadIdx.x, row0 = down * kTile;
    for (int r = threadIdx.y; r < kTile; r += kTileRows) {
      if (row0 + r < rows && column < columns) tile[r][threadIdx.x] = from[(row0 + r) * columns + column];
    }
    __syncthreads();
    const int64_t row = row0 + threadIdx.x, column0 = across * kTile;
    for (int c = threadIdx.y; c < kTile; c += kTileRows) {
      if (column0 + c < columns && row < rows) to[(column0 + c) * rows + row] = tile[threadIdx.x][c];
    }
    __syncthreads();  // the next tile goes where this one was read
  }
}

template <typename T>
void transpose(void* out, const void* in, int64_t batch, int64_t rows, int64_t columns, cudaStream_t stream) {
  const int64_t down = ceil_div<int64_t>(rows, kTile), across = ceil_div<int64_t>(columns, kTile);
  launch("a launch of transpose", transpose_kernel<T>, grid_for(batch * down * across, 1), dim3(kTile, kTileRows), 0,
         stream, static_cast<T*>(out), static_cast<const T*>(in), rows, columns, down, across, batch * down * across);
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

void copy_rows(void* out, int64_t out_pitch, const void* in, int64_t in_pitch, int64_t row_bytes, int64_t rows,
               cudaStream_t stream) {
  if (row_bytes == 0 || rows == 0) return;
  const uint64_t bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(in) |
                        static_cast<uint64_t>(out_pitch | in_pitch | row_bytes);
  const auto start = [&](auto kernel, int64_t unit) {
    const int64_t per_row = row_bytes / unit;
    launch("a launch of a copy", kernel, grid_for(per_row * rows), dim3(kBlockThreads), 0, stream,
           static_cast<uint8_t*>(out), out_pitch, static_cast<const uint8_t*>(in), in_pitch, per_row, per_row * rows);
  };
  if (bits % 16 == 0) return start(copy_rows_kernel<uint4>, 16);
  if (bits % 4 == 0) return start(copy_rows_kernel<uint32_t>, 4);
  if (bits % 2 == 0) return start(copy_rows_kernel<uint16_t>, 2);
  start(copy_rows_kernel<uint8_t>, 1);
}

// out = a + b, numpy broadcasting over equal ranks.
KernelPtr make_add(const KernelContext& c) {
  const BroadcastAxes axes = merged_axes(c.out().shape, c.in(0).shape, c.in(1).shape);
  const DType dtype = c.out().dtype;
  const int64_t count = c.out().elements();
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    dispatch(dtype, [&](auto type) { add<decltype(type)>(io.out, io.in[0], io.in[1], axes, count, stream); });
  });
}

// out [B, ΣN, C] = inputs [B or 1, N, C] one after another along the tokens.
KernelPtr make_concat(const KernelContext& c) {
  std::vector<Shape> shapes;
  for (size_t i = 0; i < c.node.inputs.size(); ++i) shapes.push_back(c.in(i).shape);
  const Shape out = c.out().shape;
  const int64_t row_bytes = out[2] * static_cast<int64_t>(dtype_bytes(c.out().dtype));
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    auto* target = static_cast<uint8_t*>(io.out);
    for (size_t i = 0; i < shapes.size(); ++i) {
      const int64_t bytes = shapes[i][1] * row_bytes;
      copy_rows(target, out[1] * row_bytes, io.in[i], shapes[i][0] == 1 ? 0 : bytes, bytes, out[0], stream);
      target += bytes;
    }
  });
}

// out [B, count, C] = x [B, start … start + count, C].
KernelPtr make_slice(const KernelContext& c) {
  const int64_t row_bytes = c.out().shape[2] * static_cast<int64_t>(dtype_bytes(c.out().dtype));
  const int64_t batch = c.out().shape[0], start = c.integer(0) * row_bytes;
  const int64_t in_bytes = c.in(0).shape[1] * row_bytes, out_bytes = c.out().shape[1] * row_bytes;
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    copy_rows(io.out, out_bytes, static_cast<const uint8_t*>(io.in[0]) + start, in_bytes, out_bytes, batch, stream);
  });
}

// [B, …, C] ↔ [B, C, …].
KernelPtr make_transpose(const KernelContext& c) {
  const Shape& x = c.in(0).shape;
  const int64_t batch = x[0], channels = c.integer(0) ? x.back() : x[1];
  const int64_t other = c.in(0).elements() / (batch * channels);
  const int64_t rows = c.integer(0) ? other : channels, columns = c.integer(0) ? channels : other;
  const bool wide = dtype_bytes(c.out().dtype) == 4;
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    if (wide)
      transpose<uint32_t>(io.out, io.in[0], batch, rows, columns, stream);
    else
      transpose<uint16_t>(io.out, io.in[0], batch, rows, columns, stream);
  });
}

// Between float dtypes, rounding to nearest even.
KernelPtr make_cast(const KernelContext& c) {
  const DType in = c.in(0).dtype, out = c.out().dtype;
  const int64_t count = c.out().elements();
  return kernel(
      [=, stream = c.backend.stream()](const KernelIo& io) { convert(io.out, out, io.in[0], in, count, stream); });
}

}  // namespace ba_sam::cuda
