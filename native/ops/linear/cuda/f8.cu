// linear with operands of e4m3 (core/f8.h) on CUDA: rows of x are rounded in every run, those of a frozen weight once, then
// cuBLASLt's product with one factor per row of either (gemm.h).
//
// Shapes: x [rows, K] in f32, bf16 or f16 → rounded [rows, K] e4m3 and scales [rows] f32; K a multiple of 16.
// Split: a warp takes a row, a lane 16 neighbours at a time; twice, first for the largest magnitude. The second pass finds the
//   row in a cache: it is at most 10 KB wide in ViT-H. Warps stride over rows.
// Shared memory: none.
// Hazards: a row with an infinity gets an infinite factor, and NaN stays NaN, so that both reach the output.
// Reference: torch.nn.functional.linear of x and weight rounded so; test/native/reference.h.
#include "../../../backends/cuda/elements.h"
#include "../../../core/f8.h"
#include "linear.h"

namespace ba_sam::cuda {
namespace {

constexpr int kLaneElements = 16;

template <typename T>
__device__ __forceinline__ uint32_t magnitude_bits(T x) {
  return __float_as_uint(to_float(x)) & 0x7fffffffu;
}

template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    round_rows_kernel(uint8_t* out, float* scales, const T* x, int64_t rows, int columns) {
  const int lane = threadIdx.x % 32;
  for (int64_t row = first_item() / 32; row < rows; row += item_step() / 32) {
    const T* in = x + row * columns;
    uint32_t largest = 0;  // of non-negative floats the bits have the same order; a NaN counts as nothing
    for (int c = lane * kLaneElements; c < columns; c += 32 * kLaneElements) {
      const auto pack = load_pack<kLaneElements>(in + c);
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) {
        const uint32_t bits = magnitude_bits(pack.v[i]);
        largest = max(largest, bits <= kInfinityBits ? bits : 0u);
      }
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
    }
    const float inverse = __uint_as_float(e4m3_inverse_scale_bits(largest));
    for (int c = lane * kLaneElements; c < columns; c += 32 * kLaneElements) {
      const auto pack = load_pack<kLaneElements>(in + c);
      Pack<uint32_t, kLaneElements / 4> rounded;
#pragma unroll
      for (int i = 0; i < kLaneElements / 4; ++i) {
        rounded.v[i] = pack4_e4m3(to_float(pack.v[4 * i]) * inverse, to_float(pack.v[4 * i + 1]) * inverse,
                                  to_float(pack.v[4 * i + 2]) * inverse, to_float(pack.v[4 * i + 3]) * inverse);
      }
      *reinterpret_cast<Pack<uint32_t, kLaneElements / 4>*>(out + row * columns + c) = rounded;
    }
    if (lane == 0) scales[row] = __uint_as_float(e4m3_scale_bits(largest));
  }
}

// Rows of e4m3 with their factors, in one piece of memory: numbers first.
struct RoundedRows {
  int64_t rows, columns;

  size_t scales_at() const { return align_up(static_cast<size_t>(rows * columns)); }
  size_t bytes() const { return scales_at() + align_up(static_cast<size_t>(rows) * sizeof(float)); }
  float* scales(uint8_t* data) const { return reinterpret_cast<float*>(data + scales_at()); }
  const float* scales(const uint8_t* data) const { return reinterpret_cast<const float*>(data + scales_at()); }

  void fill(uint8_t* data, const void* from, DType dtype, cudaStream_t stream) const {
    dispatch(dtype, [&](auto type) {
      using T = decltype(type);
      launch("a launch of linear's rounding", round_rows_kernel<T>, grid_for(rows, kBlockThreads / 32),
             dim3(kBlockThreads), 0, stream, data, scales(data), static_cast<const T*>(from), rows,
             static_cast<int>(columns));
    });
  }
};

// Rounding has no way back: the plain tensor is kept, on the host, for whoever asks for it.
struct RoundedWeight final : PackedTensor {
  const CudaBackend* backend;
  RoundedRows rows;
  std::shared_ptr<Memory> memory;
  std::shared_ptr<const Tensor> plain;

  size_t bytes() const override { return memory->size() + plain->data.size(); }
  std::shared_ptr<const Tensor> unpack() const override { return plain; }
};

std::shared_ptr<const Memory> rounded_weight(const KernelContext& c, const RoundedRows& rows) {
  const auto accepts = [&](const PackedTensor& packed) {
    const auto* weight = dynamic_cast<const RoundedWeight*>(&packed);
    // A weight may be seen as matrices of several shapes, whose rows are others.
    return weight && weight->backend == &c.backend && weight->rows.rows == rows.rows;
  };
  const auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
    auto weight = std::make_shared<RoundedWeight>();
    weight->backend = &c.backend;
    weight->rows = rows;
    weight->memory = c.backend.allocate(rows.bytes(), "a weight");
    const auto plain = c.backend.upload(tensor->data.data(), tensor->data.size(), "a weight");
    rows.fill(weight->memory->data(), plain->data(), tensor->dtype, c.backend.stream());
    c.backend.finish();  // the plain form on the device may go now
    weight->plain = std::move(tensor);
    return weight;
  };
  return std::static_pointer_cast<const RoundedWeight>(c.weights.packed(c.weight_name(LinearOp::weight), accepts, pack))
      ->memory;
}

class LinearF8 final : public Kernel {
 public:
  LinearF8(const KernelContext& c, const LinearOp& op)
      : gemm_(c.backend.gemm()),
        stream_(c.backend.stream()),
        bias_(c, LinearOp::bias, c.out().dtype),
        rows_(rows_of(c.in(LinearOp::x).shape)),
        weight_rows_{c.in(LinearOp::weight).shape[0], c.in(LinearOp::weight).shape[1]},
        part_{rows_per_part(c, rows_, weight_rows_.columns), weight_rows_.columns} {
    gemm_.require_f8();
    call_.in_dtype = c.in(LinearOp::x).dtype;
    call_.out_dtype = c.out().dtype;
    call_.n = weight_rows_.rows;
    call_.k = weight_rows_.columns;
    call_.activation = op.activation;
    if (c.is_weight(LinearOp::weight)) weight_ = rounded_weight(c, weight_rows_);
    if (call_.out_dtype == DType::f32) fused_bias_ = std::make_unique<Bias>(c, LinearOp::bias, DType::bf16);
  }
  bool owns_weight(size_t input) const override {
    return (input == LinearOp::weight && weight_) || (input == LinearOp::bias && bias_.owned());
  }
  size_t scratch_bytes() const override {
    return part_.bytes() + bias_.scratch_bytes() + (fused_bias_ ? fused_bias_->scratch_bytes() : 0) +
           (weight_ ? 0 : weight_rows_.bytes());
  }

  void run(const KernelIo& io) override {
    uint8_t* after = io.scratch + part_.bytes();
    call_.bias = bias_.get(io, after);
    after += bias_.scratch_bytes();
    if (fused_bias_) {
      call_.bias_bf16 = fused_bias_->get(io, after);
      after += fused_bias_->scratch_bytes();
    }
    if (!weight_) weight_rows_.fill(after, io.in[LinearOp::weight], call_.in_dtype, stream_);
    const uint8_t* weight = weight_ ? weight_->data() : after;
    call_.w = weight;
    call_.w_scales = weight_rows_.scales(weight);
    const void* residual = io.in[LinearOp::residual];
    for (int64_t row = 0; row < rows_; row += part_.rows) {
      const RoundedRows x{std::min(part_.rows, rows_ - row), call_.k};
      x.fill(io.scratch, at_row(io.in[LinearOp::x], row, call_.k, call_.in_dtype), call_.in_dtype, stream_);
      call_.m = x.rows;
      call_.x = io.scratch;
      call_.x_scales = x.scales(io.scratch);
      call_.residual = residual ? at_row(residual, row, call_.n, call_.out_dtype) : nullptr;
      call_.out = at_row(io.out[0], row, call_.n, call_.out_dtype);
      gemm_.run(call_);
    }
  }

 private:
  Gemm& gemm_;
  cudaStream_t stream_;
  Bias bias_;
  std::unique_ptr<Bias> fused_bias_;  // in bf16, where the output is f32
  int64_t rows_;
  RoundedRows weight_rows_, part_;
  std::shared_ptr<const Memory> weight_;  // null where the graph computes it: rounded in every run
  GemmCall call_;
};

}  // namespace

KernelPtr make_linear_f8(const KernelContext& c, const LinearOp& op) {
  return std::make_unique<LinearF8>(c, op);
}

}  // namespace ba_sam::cuda
