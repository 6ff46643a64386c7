// See tensor_map.h. The driver's function is looked up at run time: the library is not linked with libcuda.
#include "tensor_map.h"

#if !defined(BA_SAM_CUDA_EMULATION)  // the emulation has its own

#include <string>

#include "../../../backends/cuda/runtime.h"

namespace ba_sam::cuda {
namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<EncodeTiled>(function) : nullptr;
}

EncodeTiled encode() {
  static const EncodeTiled function = find_encode();
  return function;
}

std::string describe(const TensorShape& shape) {
  std::string text = "[";
  for (int i = shape.rank - 1; i >= 0; --i) text += std::to_string(shape.sizes[i]) + (i > 0 ? ", " : "], strides [");
  for (int i = shape.rank - 1; i >= 0; --i) text += std::to_string(shape.strides[i]) + (i > 0 ? ", " : "], box [");
  for (int i = shape.rank - 1; i >= 0; --i) text += std::to_string(shape.box[i]) + (i > 0 ? ", " : "]");
  return text;
}

}  // namespace

bool have_tensor_maps() {
  return encode() != nullptr;
}

TensorMap make_tensor_map(DType dtype, const TensorShape& shape) {
  cuuint64_t sizes[kMaxTensorRank] = {}, bytes[kMaxTensorRank] = {};
  cuuint32_t box[kMaxTensorRank] = {}, steps[kMaxTensorRank] = {};
  for (int i = 0; i < shape.rank; ++i) {
    sizes[i] = static_cast<cuuint64_t>(shape.sizes[i]);
    bytes[i] = static_cast<cuuint64_t>(shape.strides[i]) * 2;
    box[i] = static_cast<cuuint32_t>(shape.box[i]);
    steps[i] = 1;
  }
  TensorMap map;
  const EncodeTiled function = encode();
  const CUresult result =
      function == nullptr
          ? CUDA_ERROR_NOT_SUPPORTED
          : function(&map, dtype == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                     static_cast<cuuint32_t>(shape.rank), const_cast<void*>(shape.data), sizes, bytes + 1, box, steps,
                     CU_TENSOR_MAP_INTERLEAVE_NONE,
                     shape.swizzle == Swizzle::bytes_128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_32B,
                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw SamError("ERR_INTERNAL", "The driver refused a tensor map of " + describe(shape) + " (error " +
                                       std::to_string(static_cast<int>(result)) + ")");
  }
  return map;
}

}  // namespace ba_sam::cuda
#endif
