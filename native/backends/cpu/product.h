// One product or convolution of oneDNN with everything that a run of it needs; bias, gelu and residual are post-ops.
#pragma once

#include <memory>
#include <unordered_map>

#include "backend.h"
#include "packed_weights.h"

namespace ba_sam::cpu {

// One oneDNN primitive with its arguments; data pointers are set for each run.
class Primitive {
 public:
  template <typename Desc>
  void init(const Desc& desc) {
    scratch_bytes_ = desc.scratchpad_desc().get_size();
    if (scratch_bytes_) bind(DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc());
  }
  void set_primitive(dnnl::primitive primitive) { primitive_ = std::move(primitive); }
  void bind(int argument, const dnnl::memory::desc& desc) {
    arguments_[argument] = dnnl::memory(desc, dnnl_engine(), nullptr);
  }
  void bind(int argument, const dnnl::memory& fixed) { arguments_[argument] = fixed; }
  void point(int argument, const void* data) { arguments_.at(argument).set_data_handle(const_cast<void*>(data)); }
  size_t scratch_bytes() const { return scratch_bytes_; }

  void execute(void* scratch) {
    if (scratch_bytes_) point(DNNL_ARG_SCRATCHPAD, scratch);
    primitive_.execute(dnnl_stream(), arguments_);
    dnnl_stream().wait();
  }

 private:
  dnnl::primitive primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
  size_t scratch_bytes_ = 0;
};

// With gelu as post-op; relu is the caller's, see relu.h. Scratchpads of the caller's; accumulate: the product is added to what lies in the output.
dnnl::primitive_attr make_attr(Activation activation, bool accumulate);

// The matrix [K, N] of a product: packed, where it is frozen, or read in every run as it lies, row-major, as [N, K] or as
// [K, N]. Unpacked ones reach 86 to 99 % of the packed ones' speed with oneDNN 2.6.
struct ProductWeights {
  std::shared_ptr<const PackedWeights> packed;  // null: read as it lies
  dnnl::memory::desc plain;

  static ProductWeights of(std::shared_ptr<const PackedWeights> packed);
  static ProductWeights rows_of_n(DType dtype, int64_t n, int64_t k);  // [N, K]
  static ProductWeights rows_of_k(DType dtype, int64_t n, int64_t k);  // [K, N]
};

// The weight of a node, [N, K] seen as a matrix.
ProductWeights linear_weights(const KernelContext& c, size_t input, int64_t n, int64_t k);

// rows × [K, N], f32 bias [N] or none; dst += when accumulating.
class Product {
 public:
  Product(int64_t rows, DType src_dtype, DType dst_dtype, ProductWeights weights, bool bias, Activation activation,
          bool accumulate);

  bool is_packed() const { return weights_.packed != nullptr; }
  size_t scratch_bytes() const { return primitive_.scratch_bytes(); }
  // weights: unused where they are packed.
  void run(void* out, const void* src, const void* weights, const float* bias, void* scratch);

 private:
  ProductWeights weights_;
  bool bias_;
  bool relu_;
  DType dst_dtype_;
  int64_t dst_elements_;
  Primitive primitive_;
};

// A copy of `bytes` by a team of `threads`.
void copy_parallel(void* out, const void* in, size_t bytes, int threads);

}  // namespace ba_sam::cpu
