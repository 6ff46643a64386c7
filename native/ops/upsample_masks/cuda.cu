// upsampleMasks: logits [P, M, h, w] → bilinear to the encoder's input → without its padding → bilinear to the photograph:
// u8 masks (logit > 0) or f32 logits [P, M, H, W]. The intermediate image never exists.
//
// Split: a block makes 16 rows × 256 columns of one mask, a thread one column of them. What the first step and the horizontal
//   half of the second one give for a row of the intermediate image is kept while two rows of the output need it.
// Shared memory: none; the sampling tables (image/bilinear_axis.h) are made on the host and read through the caches.
// Hazards: every product and sum is rounded on its own, in the order of the CPU's code (image/upsample_masks.cpp): masks of
//   the two backends are the same bit for bit. NaN is not above 0.
// Reference: predict() of test/reference/make_predictions.py.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"
#include "../../image/bilinear_axis.h"

namespace ba_sam::cuda {
namespace {

constexpr int kRows = 16;

// One side: out[i] = w0[i] · in[i0[i]] + w1[i] · in[i1[i]].
struct AxisTable {
  const int32_t *i0, *i1;
  const float *w0, *w1;
};

struct Sizes {
  int64_t low_h, low_w, out_h, out_w;
};

__device__ __forceinline__ float blend(float wa, float a, float wb, float b) {
  return __fadd_rn(__fmul_rn(wa, a), __fmul_rn(wb, b));
}

// A column of the intermediate image: its two columns in the low-resolution one.
struct Column {
  int32_t i0, i1;
  float w0, w1;
};

__device__ __forceinline__ Column column_of(const AxisTable& axis, int32_t x) {
  return {axis.i0[x], axis.i1[x], axis.w0[x], axis.w1[x]};
}

__device__ __forceinline__ float sample_low(const float* row, const Column& column) {
  return blend(column.w0, row[column.i0], column.w1, row[column.i1]);
}

// Row y of the intermediate image at the output's column, which lies between `left` and `right`.
__device__ __forceinline__ float sample_row(const float* low, int64_t low_w, const AxisTable& y1, int32_t y,
                                            const Column& left, const Column& right, float w_left, float w_right) {
  const float* top = low + y1.i0[y] * low_w;
  const float* bottom = low + y1.i1[y] * low_w;
  const float w_top = y1.w0[y], w_bottom = y1.w1[y];
  const float a = blend(w_top, sample_low(top, left), w_bottom, sample_low(bottom, left));
  const float b = blend(w_top, sample_low(top, right), w_bottom, sample_low(bottom, right));
  return blend(w_left, a, w_right, b);
}

__device__ __forceinline__ void store(float* out, float value) {
  *out = value;
}
__device__ __forceinline__ void store(uint8_t* out, float value) {
  *out = value > 0.0f;
}

// x1, y1: low → intermediate; x2, y2: intermediate → out.
template <typename Out>
__global__ void __launch_bounds__(kBlockThreads)
    upsample_masks_kernel(Out* out, const float* low_masks, AxisTable x1, AxisTable y1, AxisTable x2, AxisTable y2,
                          Sizes sizes, int64_t across, int64_t down, int64_t tiles) {
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t x = tile % across * kBlockThreads + threadIdx.x, y_begin = tile / across % down * kRows;
    const int64_t mask = tile / (across * down);
    if (x >= sizes.out_w) continue;
    const float* low = low_masks + mask * sizes.low_h * sizes.low_w;
    Out* to = out + mask * sizes.out_h * sizes.out_w + x;
    const Column left = column_of(x1, x2.i0[x]), right = column_of(x1, x2.i1[x]);
    const float w_left = x2.w0[x], w_right = x2.w1[x];
    int32_t row_a = -1, row_b = -1;
    float a = 0, b = 0;
    for (int64_t y = y_begin; y < y_begin + kRows && y < sizes.out_h; ++y) {
      const int32_t i0 = y2.i0[y], i1 = y2.i1[y];
      if (i0 != row_a) {
        a = i0 == row_b ? b : sample_row(low, sizes.low_w, y1, i0, left, right, w_left, w_right);
        row_a = i0;
      }
      if (i1 != row_b) {
        b = i1 == row_a ? a : sample_row(low, sizes.low_w, y1, i1, left, right, w_left, w_right);
        row_b = i1;
      }
      store(to + y * sizes.out_w, blend(y2.w0[y], a, y2.w1[y], b));
    }
  }
}

class UpsampleMasks final : public Kernel {
 public:
  UpsampleMasks(const KernelContext& c, const UpsampleMasksOp& op)
      : stream_(c.backend.stream()), logits_(c.out().dtype == DType::f32) {
    const Shape &low = c.in(UpsampleMasksOp::low_res).shape, &out = c.out().shape;
    masks_ = low[0] * low[1];
    sizes_ = {low[2], low[3], out[2], out[3]};
    const BilinearAxis axes[4] = {make_bilinear_axis(low[3], op.input.width, op.content.width),
                                  make_bilinear_axis(low[2], op.input.height, op.content.height),
                                  make_bilinear_axis(op.content.width, out[3], out[3]),
                                  make_bilinear_axis(op.content.height, out[2], out[2])};
    std::vector<int32_t> words;  // all tables in one block; floats as their bits
    size_t starts[4];
    for (int i = 0; i < 4; ++i) {
      starts[i] = words.size();
      words.insert(words.end(), axes[i].i0.begin(), axes[i].i0.end());
      words.insert(words.end(), axes[i].i1.begin(), axes[i].i1.end());
      for (const auto* weights : {&axes[i].w0, &axes[i].w1}) {
        const size_t at = words.size();
        words.resize(at + weights->size());
        std::copy_n(reinterpret_cast<const unsigned char*>(weights->data()), weights->size() * sizeof(float),
                    reinterpret_cast<unsigned char*>(&words[at]));
      }
    }
    memory_ = c.backend.upload(words.data(), words.size() * sizeof(int32_t), "sampling tables");
    const auto* base = reinterpret_cast<const int32_t*>(memory_->data());
    for (int i = 0; i < 4; ++i) {
      const size_t n = axes[i].i0.size();
      const int32_t* at = base + starts[i];
      tables_[i] = {at, at + n, reinterpret_cast<const float*>(at + 2 * n), reinterpret_cast<const float*>(at + 3 * n)};
    }
  }

  void run(const KernelIo& io) override {
    if (logits_)
      start<float>(io);
    else
      start<uint8_t>(io);
  }

 private:
  template <typename Out>
  void start(const KernelIo& io) const {
    const int64_t across = ceil_div<int64_t>(sizes_.out_w, kBlockThreads),
                  down = ceil_div<int64_t>(sizes_.out_h, kRows);
    const int64_t tiles = across * down * masks_;
    launch("a launch of upsampleMasks", upsample_masks_kernel<Out>, grid_for(tiles, 1), dim3(kBlockThreads), 0, stream_,
           static_cast<Out*>(io.out[0]), static_cast<const float*>(io.in[UpsampleMasksOp::low_res]), tables_[0],
           tables_[1], tables_[2], tables_[3], sizes_, across, down, tiles);
  }

  cudaStream_t stream_;
  bool logits_;
  int64_t masks_ = 0;
  Sizes sizes_ = {};
  AxisTable tables_[4] = {};  // x1, y1, x2, y2
  std::shared_ptr<Memory> memory_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const UpsampleMasksOp& op) {
  return std::make_unique<UpsampleMasks>(c, op);
}

}  // namespace ba_sam::cuda
