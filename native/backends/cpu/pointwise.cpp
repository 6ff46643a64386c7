// Memory-bound ops: layerNorm, add, concat, slice, transpose, cast. Together about 2 % of an encode; the loops are
// plain and the compiler vectorises them once per instruction set (BA_SAM_CLONES).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../../core/bf16.h"
#include "backend.h"
#include "dnnl_compat.h"

// GCC emits one version per target and picks at load time. Not under sanitizers: their runtime is not ready when
// the picking code runs.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define BA_SAM_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define BA_SAM_CLONES
#endif

namespace ba_sam::cpu {
namespace {

struct F32 {
  using type = float;
  static float load(float v) { return v; }
  static float store(float v) { return v; }
};
struct Bf16 {
  using type = uint16_t;
  static float load(uint16_t v) { return bf16_to_f32(v); }
  static uint16_t store(float v) { return f32_to_bf16(v); }
};

// Calls f(In{}, Out{}) with the element types of the two dtypes.
template <typename F>
void dispatch(DType in, DType out, F f) {
  if (in == DType::f32 && out == DType::f32)
    f(F32{}, F32{});
  else if (in == DType::f32)
    f(F32{}, Bf16{});
  else if (out == DType::f32)
    f(Bf16{}, F32{});
  else
    f(Bf16{}, Bf16{});
}

constexpr int64_t kTransposeBlock = 16;  // floats of a cache line

constexpr int kLanes = 16;  // independent partial sums: vectorisable, and the same result on every machine

// Two passes over a row that sits in L1: mean, then variance around it (no cancellation).
template <typename In, typename Out>
inline __attribute__((always_inline)) void norm_row(typename Out::type* out, const typename In::type* x,
                                                    const float* weight, const float* bias, int64_t channels,
                                                    float eps) {
  float sums[kLanes] = {}, squares[kLanes] = {};
  const int64_t main = channels / kLanes * kLanes;
  for (int64_t i = 0; i < main; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) sums[l] += In::load(x[i + l]);
  }
  float total = 0;
  for (int l = 0; l < kLanes; ++l) total += sums[l];
  for (int64_t i = main; i < channels; ++i) total += In::load(x[i]);
  const float mean = total / static_cast<float>(channels);
  for (int64_t i = 0; i < main; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float d = In::load(x[i + l]) - mean;
      squares[l] += d * d;
    }
  }
  float variance = 0;
  for (int l = 0; l < kLanes; ++l) variance += squares[l];
  for (int64_t i = main; i < channels; ++i) variance += (In::load(x[i]) - mean) * (In::load(x[i]) - mean);
  const float inverse = 1.0f / std::sqrt(variance / static_cast<float>(channels) + eps);
  for (int64_t i = 0; i < channels; ++i) {
    out[i] = Out::store((In::load(x[i]) - mean) * inverse * weight[i] + bias[i]);
  }
}

BA_SAM_CLONES void norm_f32_f32(float* out, const float* x, const float* w, const float* b, int64_t c, float eps) {
  norm_row<F32, F32>(out, x, w, b, c, eps);
}
BA_SAM_CLONES void norm_f32_bf16(uint16_t* out, const float* x, const float* w, const float* b, int64_t c, float eps) {
  norm_row<F32, Bf16>(out, x, w, b, c, eps);
}
void norm_any(float* o, const float* x, const float* w, const float* b, int64_t c, float eps) {
  norm_f32_f32(o, x, w, b, c, eps);
}
void norm_any(uint16_t* o, const float* x, const float* w, const float* b, int64_t c, float eps) {
  norm_f32_bf16(o, x, w, b, c, eps);
}
void norm_any(float* o, const uint16_t* x, const float* w, const float* b, int64_t c, float eps) {
  norm_row<Bf16, F32>(o, x, w, b, c, eps);
}
void norm_any(uint16_t* o, const uint16_t* x, const float* w, const float* b, int64_t c, float eps) {
  norm_row<Bf16, Bf16>(o, x, w, b, c, eps);
}

// out = activation((x − mean) / sqrt(var + eps) · weight + bias) over the last axis.
// Reference: torch.nn.functional.layer_norm; SAM's LayerNorm2d is the same on channels-last data.
class LayerNorm final : public Kernel {
 public:
  explicit LayerNorm(const KernelContext& c)
      : rows_(rows_of(c.out().shape)),
        channels_(c.out().shape.back()),
        in_(c.in(0).dtype),
        out_(c.out().dtype),
        eps_(static_cast<float>(c.attribute(0))),
        threads_(c.threads) {
    const auto activation = static_cast<Activation>(c.integer(1));
    if (activation == Activation::none || rows_ == 0) return;
    const dnnl::memory::desc data({rows_, channels_}, dnnl_type(out_), dnnl::memory::format_tag::ab);
    activation_ = dnnl::eltwise_forward(activation_desc(data, activation));
    data_ = dnnl::memory(data, dnnl_engine(), nullptr);
    activated_ = true;
  }

  void run(const KernelIo& io) override {
    const auto* weight = static_cast<const float*>(io.in[1]);
    const auto* bias = static_cast<const float*>(io.in[2]);
    dispatch(in_, out_, [&](auto in, auto out) {
      const auto* x = static_cast<const typename decltype(in)::type*>(io.in[0]);
      auto* y = static_cast<typename decltype(out)::type*>(io.out);
#pragma omp parallel for num_threads(threads_) schedule(static)
      for (int64_t r = 0; r < rows_; ++r) {
        norm_any(y + r * channels_, x + r * channels_, weight, bias, channels_, eps_);
      }
    });
    if (activated_) {
      data_.set_data_handle(io.out);
      activation_.execute(dnnl_stream(), {{DNNL_ARG_SRC, data_}, {DNNL_ARG_DST, data_}});
      dnnl_stream().wait();
    }
  }

 private:
  int64_t rows_, channels_;
  DType in_, out_;
  float eps_;
  int threads_;
  bool activated_ = false;
  dnnl::eltwise_forward activation_;
  dnnl::memory data_;
};

// One output row of `add`; a step of 0 repeats a single element.
template <typename T>
void add_row(typename T::type* out, const typename T::type* a, const typename T::type* b, int64_t count, int64_t a_step,
             int64_t b_step) {
  if (a_step && b_step) {
    for (int64_t i = 0; i < count; ++i) out[i] = T::store(T::load(a[i]) + T::load(b[i]));
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = T::store(T::load(a[i * a_step]) + T::load(b[i * b_step]));
  }
}

// Element offset of output row `row` (all axes but the last) in an operand whose axes of size 1 are repeated.
int64_t broadcast_offset(int64_t row, const Shape& out, const Shape& operand) {
  int64_t offset = 0, stride = operand.back();
  for (size_t d = out.size() - 1; d-- > 0;) {
    const int64_t index = row % out[d];
    row /= out[d];
    if (operand[d] != 1) offset += index * stride;
    stride *= operand[d];
  }
  return offset;
}

}  // namespace

KernelPtr make_layer_norm(const KernelContext& c) {
  return std::make_unique<LayerNorm>(c);
}

// out = a + b, numpy broadcasting over equal ranks.
KernelPtr make_add(const KernelContext& c) {
  const Shape a = c.in(0).shape, b = c.in(1).shape, out = c.out().shape;
  const DType dtype = c.out().dtype;
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const int64_t rows = rows_of(out), count = out.back();
    dispatch(dtype, dtype, [&](auto type, auto) {
      using T = decltype(type);
      auto* target = static_cast<typename T::type*>(io.out);
      const auto* left = static_cast<const typename T::type*>(io.in[0]);
      const auto* right = static_cast<const typename T::type*>(io.in[1]);
#pragma omp parallel for num_threads(threads) schedule(static)
      for (int64_t r = 0; r < rows; ++r) {
        add_row<T>(target + r * count, left + broadcast_offset(r, out, a), right + broadcast_offset(r, out, b), count,
                   a.back() == 1 ? 0 : 1, b.back() == 1 ? 0 : 1);
      }
    });
  });
}

// out [B, ΣN, C] = inputs [B or 1, N, C] one after another along the tokens.
KernelPtr make_concat(const KernelContext& c) {
  std::vector<Shape> shapes;
  for (size_t i = 0; i < c.node.inputs.size(); ++i) shapes.push_back(c.in(i).shape);
  const Shape out = c.out().shape;
  const size_t row_bytes = static_cast<size_t>(out[2]) * dtype_bytes(c.out().dtype);
  return kernel([=](const KernelIo& io) {
    auto* target = static_cast<uint8_t*>(io.out);
    for (int64_t b = 0; b < out[0]; ++b) {
      for (size_t i = 0; i < shapes.size(); ++i) {
        const size_t bytes = static_cast<size_t>(shapes[i][1]) * row_bytes;
        if (!bytes) continue;
        std::memcpy(target, static_cast<const uint8_t*>(io.in[i]) + (shapes[i][0] == 1 ? 0 : b) * bytes, bytes);
        target += bytes;
      }
    }
  });
}

// out [B, count, C] = x [B, start … start + count, C].
KernelPtr make_slice(const KernelContext& c) {
  const Shape x = c.in(0).shape, out = c.out().shape;
  const size_t row_bytes = static_cast<size_t>(out[2]) * dtype_bytes(c.out().dtype);
  const auto start = static_cast<size_t>(c.integer(0));
  return kernel([=](const KernelIo& io) {
    const size_t in_bytes = static_cast<size_t>(x[1]) * row_bytes, out_bytes = static_cast<size_t>(out[1]) * row_bytes;
    for (int64_t b = 0; b < out[0]; ++b) {
      std::memcpy(static_cast<uint8_t*>(io.out) + b * out_bytes,
                  static_cast<const uint8_t*>(io.in[0]) + b * in_bytes + start * row_bytes, out_bytes);
    }
  });
}

// out [columns, rows] = in [rows, columns]ᵀ of one block. Through a copy: rows whose distance is a power of two, as in an
// embedding, share a few sets of the L1, which would lose a line before its second element is read.
template <typename E>
void transpose_block(E* out, const E* in, int64_t rows, int64_t columns, int64_t row_count, int64_t column_count) {
  constexpr int64_t kBlock = kTransposeBlock;
  E copy[kBlock * kBlock];
  if (row_count == kBlock && column_count == kBlock) {
    for (int64_t r = 0; r < kBlock; ++r) {
      for (int64_t c = 0; c < kBlock; ++c) copy[c * kBlock + r] = in[r * columns + c];
    }
    for (int64_t c = 0; c < kBlock; ++c) std::memcpy(out + c * rows, copy + c * kBlock, kBlock * sizeof(E));
    return;
  }
  for (int64_t r = 0; r < row_count; ++r) {
    for (int64_t c = 0; c < column_count; ++c) out[c * rows + r] = in[r * columns + c];
  }
}

// [B, …, C] ↔ [B, C, …].
KernelPtr make_transpose(const KernelContext& c) {
  constexpr int64_t kBlock = kTransposeBlock;
  const Shape& x = c.in(0).shape;
  const int64_t batch = x[0], channels = c.integer(0) ? x.back() : x[1];
  const int64_t elements = c.in(0).elements(), threads = c.threads;
  const int64_t other = elements ? elements / (batch * channels) : 0;
  const int64_t rows = c.integer(0) ? other : channels, columns = c.integer(0) ? channels : other;
  const DType dtype = c.out().dtype;
  return kernel([=](const KernelIo& io) {
    dispatch(dtype, dtype, [&](auto type, auto) {
      using E = typename decltype(type)::type;
      const auto* in = static_cast<const E*>(io.in[0]);
      auto* out = static_cast<E*>(io.out);
#pragma omp parallel for num_threads(threads) collapse(3) schedule(static)
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
          for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
            transpose_block(out + (b * columns + c0) * rows + r0, in + (b * rows + r0) * columns + c0, rows, columns,
                            std::min(kBlock, rows - r0), std::min(kBlock, columns - c0));
          }
        }
      }
    });
  });
}

// f32 ↔ bf16, rounding to nearest even.
KernelPtr make_cast(const KernelContext& c) {
  constexpr int64_t kChunk = 1 << 14;
  const DType in = c.in(0).dtype, out = c.out().dtype;
  const int64_t count = c.out().elements();
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i += kChunk) {
      convert_elements(static_cast<uint8_t*>(io.out) + i * dtype_bytes(out), out,
                       static_cast<const uint8_t*>(io.in[0]) + i * dtype_bytes(in), in,
                       static_cast<size_t>(std::min(kChunk, count - i)));
    }
  });
}

}  // namespace ba_sam::cpu
