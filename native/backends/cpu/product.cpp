// See product.h.
#include "product.h"

#include <algorithm>
#include <cstring>

#include "relu.h"

namespace ba_sam::cpu {

using dnnl::memory;

dnnl::primitive_attr make_attr(Activation activation, bool accumulate) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops ops;
  if (accumulate) ops.append_sum(1.f);
  append_activation(ops, activation);
  attr.set_post_ops(ops);
  return attr;
}

ProductWeights ProductWeights::of(std::shared_ptr<const PackedWeights> packed) {
  const memory::desc plain = packed->plain_desc;
  return {std::move(packed), plain};
}
ProductWeights ProductWeights::rows_of_n(DType dtype, int64_t n, int64_t k) {
  return {nullptr, memory::desc({k, n}, dnnl_type(dtype), memory::format_tag::ba)};
}
ProductWeights ProductWeights::rows_of_k(DType dtype, int64_t n, int64_t k) {
  return {nullptr, memory::desc({k, n}, dnnl_type(dtype), memory::format_tag::ab)};
}

ProductWeights linear_weights(const KernelContext& c, size_t input, int64_t n, int64_t k) {
  const DType dtype = c.in(input).dtype;
  if (!c.is_weight(input)) return ProductWeights::rows_of_n(dtype, n, k);
  return ProductWeights::of(packed_linear(c.weights, c.weight_name(input), dtype, n, k));
}

Product::Product(int64_t rows, DType src_dtype, DType dst_dtype, ProductWeights weights, bool bias,
                 Activation activation, bool accumulate)
    : weights_(std::move(weights)), bias_(bias), relu_(activation == Activation::relu), dst_dtype_(dst_dtype) {
  const auto weights_desc = is_packed() ? weights_.packed->memory.get_desc() : weights_.plain;
  const auto dims = dims_of(weights_.plain);
  dst_elements_ = rows * dims[1];
  const memory::desc src({rows, dims[0]}, dnnl_type(src_dtype), memory::format_tag::ab);
  const memory::desc dst({rows, dims[1]}, dnnl_type(dst_dtype), memory::format_tag::ab);
  const memory::desc bias_desc =
      bias ? memory::desc({1, dims[1]}, memory::data_type::f32, memory::format_tag::ab) : memory::desc();
  const auto desc = matmul_desc(src, weights_desc, bias_desc, dst, make_attr(activation, accumulate));
  primitive_.init(desc);
  primitive_.set_primitive(dnnl::matmul(desc));
  primitive_.bind(DNNL_ARG_SRC, src);
  primitive_.bind(DNNL_ARG_DST, dst);
  if (is_packed()) {
    primitive_.bind(DNNL_ARG_WEIGHTS, weights_.packed->memory);
  } else {
    primitive_.bind(DNNL_ARG_WEIGHTS, weights_desc);
  }
  if (bias) primitive_.bind(DNNL_ARG_BIAS, bias_desc);
}

void Product::run(void* out, const void* src, const void* weights, const float* bias, void* scratch) {
  primitive_.point(DNNL_ARG_SRC, src);
  primitive_.point(DNNL_ARG_DST, out);
  if (!is_packed()) primitive_.point(DNNL_ARG_WEIGHTS, weights);
  if (bias_) primitive_.point(DNNL_ARG_BIAS, bias);
  primitive_.execute(scratch);
  if (relu_) relu(out, dst_dtype_, dst_elements_);
}

void copy_parallel(void* out, const void* in, size_t bytes, int threads) {
  constexpr size_t kChunk = size_t{256} << 10;
#pragma omp parallel for num_threads(threads) schedule(static) if (bytes > 2 * kChunk)
  for (size_t at = 0; at < bytes; at += kChunk) {
    std::memcpy(static_cast<uint8_t*>(out) + at, static_cast<const uint8_t*>(in) + at, std::min(kChunk, bytes - at));
  }
}

}  // namespace ba_sam::cpu
