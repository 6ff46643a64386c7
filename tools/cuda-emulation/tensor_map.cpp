// The emulated driver's side of native/ops/attention/cuda/tensor_map.h: what cuTensorMapEncodeTiled takes and refuses.
#include "../../native/ops/attention/cuda/tensor_map.h"

#include <string>

#include "runtime_state.h"

namespace ba_sam::cuda {

namespace {

std::string problem(DType dtype, const TensorShape& shape) {
  if (!have_tensor_maps()) return "the driver has no tensor maps";
  if (dtype != DType::bf16 && dtype != DType::f16) return "the type has not 16 bits";
  if (shape.rank < 1 || shape.rank > kMaxTensorRank) return "the rank is not 1 … 5";
  if (shape.data == nullptr || reinterpret_cast<uintptr_t>(shape.data) % 16 != 0) {
    return "the data is not 16-byte aligned";
  }
  if (shape.swizzle != Swizzle::bytes_128 && shape.swizzle != Swizzle::bytes_32) return "no such swizzle";
  if (shape.strides[0] != 1) return "the innermost stride is not 1";
  for (int i = 0; i < shape.rank; ++i) {
    const std::string which = " of dimension " + std::to_string(i) + " is ";
    if (shape.sizes[i] < 1 || shape.sizes[i] > int64_t{1} << 32) {
      return "the size" + which + std::to_string(shape.sizes[i]) + ", not 1 … 2^32";
    }
    if (shape.box[i] < 1 || shape.box[i] > 256) {
      return "the box's side" + which + std::to_string(shape.box[i]) + ", not 1 … 256";
    }
    if (i > 0 && (shape.strides[i] < 0 || shape.strides[i] >= int64_t{1} << 39 || shape.strides[i] % 8 != 0)) {
      return "the stride" + which + std::to_string(shape.strides[i]) + ", not a multiple of 8 below 2^39";
    }
  }
  const auto row = static_cast<uint32_t>(shape.box[0]) * 2;
  if (row % 16 != 0) return "the box's rows are no multiple of 16 bytes";
  if (row > static_cast<uint32_t>(shape.swizzle)) return "the box's rows are longer than the swizzle";
  return "";
}

}  // namespace

bool have_tensor_maps() {
  emulation::Runtime& runtime = emulation::Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  return runtime.settings.driver >= 12000;
}

TensorMap make_tensor_map(DType dtype, const TensorShape& shape) {
  const std::string wrong = problem(dtype, shape);
  if (!wrong.empty()) throw SamError("ERR_INTERNAL", "The emulated driver refused a tensor map: " + wrong);
  TensorMap map{};
  map.data = static_cast<const uint8_t*>(shape.data);
  map.rank = shape.rank;
  map.swizzle = static_cast<uint32_t>(shape.swizzle);
  map.signature = emulation::kTensorMapSignature;
  for (int i = 0; i < shape.rank; ++i) {
    map.strides[i] = shape.strides[i] * 2;
    map.last_index[i] = static_cast<uint32_t>(shape.sizes[i] - 1);
    map.box[i] = shape.box[i];
  }
  return map;
}

}  // namespace ba_sam::cuda
