// The differences between oneDNN 2.6 (Debian 12's libdnnl-dev) and 3.x, in one place.
//
// 2.x describes an operation in a separate desc, 3.x passes everything to the primitive descriptor; 3.x also moved
// the scale argument of post-ops away. Everything else that we use is the same.
#pragma once

#include <dnnl.hpp>

#include "../../core/tensor.h"
#include "../../ops/op.h"

namespace ba_sam::cpu {

inline dnnl::engine& dnnl_engine() {
  static dnnl::engine* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);  // leaked: outlives static destructors
  return *engine;
}

// One stream for the one compute thread.
inline dnnl::stream& dnnl_stream() {
  static dnnl::stream* stream = new dnnl::stream(dnnl_engine());
  return *stream;
}

inline dnnl::memory::data_type dnnl_type(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

inline dnnl::memory::dims dims_of(const dnnl::memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_dims();
#else
  return desc.dims();
#endif
}

// relu comes afterwards: see relu.h.
inline void append_activation(dnnl::post_ops& ops, Activation activation) {
  if (activation != Activation::gelu) return;
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(dnnl::algorithm::eltwise_gelu_erf, 0.f, 0.f);
#else
  ops.append_eltwise(1.f, dnnl::algorithm::eltwise_gelu_erf, 0.f, 0.f);
#endif
}

// bias may be a zero memory desc.
inline dnnl::matmul::primitive_desc matmul_desc(const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
                                                const dnnl::memory::desc& bias, const dnnl::memory::desc& dst,
                                                const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return !bias.is_zero() ? dnnl::matmul::primitive_desc(dnnl_engine(), src, weights, bias, dst, attr)
                         : dnnl::matmul::primitive_desc(dnnl_engine(), src, weights, dst, attr);
#else
  return !bias.is_zero() ? dnnl::matmul::primitive_desc({src, weights, bias, dst}, attr, dnnl_engine())
                         : dnnl::matmul::primitive_desc({src, weights, dst}, attr, dnnl_engine());
#endif
}

inline dnnl::convolution_forward::primitive_desc convolution_desc(const dnnl::memory::desc& src,
                                                                  const dnnl::memory::desc& weights,
                                                                  const dnnl::memory::desc& bias,
                                                                  const dnnl::memory::desc& dst, int64_t stride,
                                                                  int64_t padding, const dnnl::primitive_attr& attr) {
  using dnnl::convolution_forward;
  const dnnl::memory::dims strides = {stride, stride}, pads = {padding, padding};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return !bias.is_zero() ? convolution_forward::primitive_desc(dnnl_engine(), kind, algorithm, src, weights, bias, dst,
                                                               strides, pads, pads, attr)
                         : convolution_forward::primitive_desc(dnnl_engine(), kind, algorithm, src, weights, dst,
                                                               strides, pads, pads, attr);
#else
  return !bias.is_zero() ? convolution_forward::primitive_desc(
                               {kind, algorithm, src, weights, bias, dst, strides, pads, pads}, attr, dnnl_engine())
                         : convolution_forward::primitive_desc(
                               {kind, algorithm, src, weights, dst, strides, pads, pads}, attr, dnnl_engine());
#endif
}

inline dnnl::eltwise_forward::primitive_desc gelu_desc(const dnnl::memory::desc& data) {
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::eltwise_gelu_erf;
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::eltwise_forward::primitive_desc(dnnl_engine(), kind, algorithm, data, data, 0.f, 0.f);
#else
  return dnnl::eltwise_forward::primitive_desc({kind, algorithm, data, 0.f, 0.f}, dnnl_engine());
#endif
}

}  // namespace ba_sam::cpu
