// layerNorm on the CPU. With the other memory-bound ops about 2 % of an encode; the loops are plain.
#include <cmath>

#include "../../backends/cpu/dnnl_compat.h"
#include "../../backends/cpu/elements.h"
#include "../../backends/cpu/relu.h"

namespace ba_sam::cpu {
namespace {

constexpr int kLanes = 16;  // independent partial sums: vectorisable, and the same result on every machine

// Where a row's mean and 1 / sqrt(var + eps) go; null: nobody asks.
struct Statistics {
  float* mean = nullptr;
  float* rstd = nullptr;
};

// Two passes over a row that sits in L1: mean, then variance around it (no cancellation).
template <typename In, typename Out>
inline __attribute__((always_inline)) void norm_row(typename Out::type* out, const typename In::type* x,
                                                    const float* weight, const float* bias, int64_t channels, float eps,
                                                    Statistics statistics) {
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
  if (statistics.mean) *statistics.mean = mean;
  if (statistics.rstd) *statistics.rstd = inverse;
  for (int64_t i = 0; i < channels; ++i) {
    out[i] = Out::store((In::load(x[i]) - mean) * inverse * weight[i] + bias[i]);
  }
}

BA_SAM_CLONES void norm_f32_f32(float* out, const float* x, const float* w, const float* b, int64_t c, float eps,
                                Statistics s) {
  norm_row<F32, F32>(out, x, w, b, c, eps, s);
}
BA_SAM_CLONES void norm_f32_bf16(uint16_t* out, const float* x, const float* w, const float* b, int64_t c, float eps,
                                 Statistics s) {
  norm_row<F32, Bf16>(out, x, w, b, c, eps, s);
}
void norm_any(float* o, const float* x, const float* w, const float* b, int64_t c, float eps, Statistics s) {
  norm_f32_f32(o, x, w, b, c, eps, s);
}
void norm_any(uint16_t* o, const float* x, const float* w, const float* b, int64_t c, float eps, Statistics s) {
  norm_f32_bf16(o, x, w, b, c, eps, s);
}
void norm_any(float* o, const uint16_t* x, const float* w, const float* b, int64_t c, float eps, Statistics s) {
  norm_row<Bf16, F32>(o, x, w, b, c, eps, s);
}
void norm_any(uint16_t* o, const uint16_t* x, const float* w, const float* b, int64_t c, float eps, Statistics s) {
  norm_row<Bf16, Bf16>(o, x, w, b, c, eps, s);
}

// out = activation((x − mean) / sqrt(var + eps) · weight + bias) over the last axis.
// Reference: torch.nn.functional.layer_norm; SAM's LayerNorm2d is the same on channels-last data.
class LayerNorm final : public Kernel {
 public:
  LayerNorm(const KernelContext& c, const LayerNormOp& op)
      : rows_(rows_of(c.out().shape)),
        channels_(c.out().shape.back()),
        in_(c.in(0).dtype),
        out_(c.out().dtype),
        eps_(static_cast<float>(op.eps)),
        relu_(op.activation == Activation::relu),
        threads_(c.threads) {
    if (op.activation != Activation::gelu || rows_ == 0) return;
    const dnnl::memory::desc data({rows_, channels_}, dnnl_type(out_), dnnl::memory::format_tag::ab);
    gelu_ = dnnl::eltwise_forward(gelu_desc(data));
    data_ = dnnl::memory(data, dnnl_engine(), nullptr);
    has_gelu_ = true;
  }

  void run(const KernelIo& io) override {
    const auto* weight = static_cast<const float*>(io.in[1]);
    const auto* bias = static_cast<const float*>(io.in[2]);
    auto* mean = static_cast<float*>(io.out[LayerNormOp::mean]);
    auto* rstd = static_cast<float*>(io.out[LayerNormOp::rstd]);
    dispatch(in_, out_, [&](auto in, auto out) {
      const auto* x = static_cast<const typename decltype(in)::type*>(io.in[0]);
      auto* y = static_cast<typename decltype(out)::type*>(io.out[0]);
#pragma omp parallel for num_threads(threads_) schedule(static)
      for (int64_t r = 0; r < rows_; ++r) {
        const Statistics statistics = {mean ? mean + r : nullptr, rstd ? rstd + r : nullptr};
        norm_any(y + r * channels_, x + r * channels_, weight, bias, channels_, eps_, statistics);
      }
    });
    if (relu_) relu(io.out[0], out_, rows_ * channels_);
    if (has_gelu_) {
      data_.set_data_handle(io.out[0]);
      gelu_.execute(dnnl_stream(), {{DNNL_ARG_SRC, data_}, {DNNL_ARG_DST, data_}});
      dnnl_stream().wait();
    }
  }

 private:
  int64_t rows_, channels_;
  DType in_, out_;
  float eps_;
  bool relu_;
  int threads_;
  bool has_gelu_ = false;
  dnnl::eltwise_forward gelu_;
  dnnl::memory data_;
};

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const LayerNormOp& op) {
  return std::make_unique<LayerNorm>(c, op);
}

}  // namespace ba_sam::cpu
