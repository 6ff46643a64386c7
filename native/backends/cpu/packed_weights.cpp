// See packed_weights.h.
#include "packed_weights.h"

namespace ba_sam::cpu {

using dnnl::memory;

namespace {
constexpr int64_t kTypicalRows = 4096;  // the token count of SAM's trained grid
}

std::shared_ptr<const Tensor> PackedWeights::unpack() const {
  auto tensor = std::make_shared<Tensor>();
  tensor->dtype = dtype;
  tensor->shape = shape;
  tensor->data = Buffer(plain_desc.get_size(), "a weight");
  dnnl::memory plain(plain_desc, dnnl_engine(), tensor->data.data());
  dnnl::memory source = this->memory;
  dnnl::reorder(source, plain).execute(dnnl_stream(), source, plain);
  dnnl_stream().wait();
  return tensor;
}

std::shared_ptr<PackedWeights> pack_weights(const void* plain, const memory::desc& plain_desc,
                                            const memory::desc& target) {
  auto packed = std::make_shared<PackedWeights>();
  packed->plain_desc = plain_desc;
  packed->memory = memory(target, dnnl_engine());
  memory source(plain_desc, dnnl_engine(), const_cast<void*>(plain));
  dnnl::reorder(source, packed->memory).execute(dnnl_stream(), source, packed->memory);
  dnnl_stream().wait();
  return packed;
}

std::shared_ptr<PackedWeights> pack_linear(const void* plain, DType dtype, int64_t n, int64_t k) {
  const auto type = dnnl_type(dtype);
  const memory::desc src({kTypicalRows, k}, type, memory::format_tag::ab);
  const memory::desc any({k, n}, type, memory::format_tag::any);
  const memory::desc dst({kTypicalRows, n}, type, memory::format_tag::ab);
  const auto chosen = matmul_desc(src, any, {}, dst, {}).weights_desc();
  auto packed = pack_weights(plain, memory::desc({k, n}, type, memory::format_tag::ba), chosen);
  packed->dtype = dtype;
  packed->shape = {n, k};
  return packed;
}

std::shared_ptr<const PackedWeights> packed_linear(WeightStore& weights, const std::string& name, DType dtype,
                                                   int64_t n, int64_t k) {
  const memory::desc plain({k, n}, dnnl_type(dtype), memory::format_tag::ba);
  auto accepts = [&](const PackedTensor& packed) {
    const auto* p = dynamic_cast<const PackedWeights*>(&packed);
    return p && p->plain_desc == plain;
  };
  auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
    auto packed = pack_linear(tensor->data.data(), dtype, n, k);
    packed->shape = tensor->shape;  // a reshaped weight has another than [N, K]
    return packed;
  };
  return std::dynamic_pointer_cast<const PackedWeights>(weights.packed(name, accepts, pack));
}

}  // namespace ba_sam::cpu
