// Handles, descriptors and their attributes.
#include <cstring>
#include <new>

#include "cublaslt.h"

using namespace ba_sam::emulation::lt;

#define BA_SAM_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <typename T, typename... Args>
Status create(T** target, Args... args) {
  if (!target) return kInvalidValue;
  *target = new (std::nothrow) T{args...};
  return *target ? kSuccess : kAllocFailed;
}

template <typename T>
Status destroy(T* object) {
  delete object;
  return kSuccess;
}

// An attribute takes exactly the bytes of its type.
template <typename T>
Status store(T& target, const void* value, size_t bytes) {
  if (!value || bytes != sizeof(T)) return kInvalidValue;
  std::memcpy(&target, value, sizeof(T));
  return kSuccess;
}

struct Context {
  uint64_t magic;
};

}  // namespace

BA_SAM_EXPORT size_t cublasLtGetVersion() {
  return 130101;
}

BA_SAM_EXPORT size_t cublasLtGetCudartVersion() {
  return 13010;
}

BA_SAM_EXPORT const char* cublasLtGetStatusName(Status status) {
  switch (status) {
    case kSuccess:
      return "CUBLAS_STATUS_SUCCESS";
    case kNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case kAllocFailed:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case kArchMismatch:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case kMappingError:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case kExecutionFailed:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case kInternalError:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case kLicenseError:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

BA_SAM_EXPORT const char* cublasLtGetStatusString(Status status) {
  return cublasLtGetStatusName(status);
}

BA_SAM_EXPORT Status cublasLtCreate(Context** handle) {
  return create(handle, uint64_t{1});
}
BA_SAM_EXPORT Status cublasLtDestroy(Context* handle) {
  return handle ? destroy(handle) : kNotInitialized;
}

BA_SAM_EXPORT Status cublasLtMatmulDescCreate(Desc** desc, int32_t compute, int32_t scale) {
  return create(desc, compute, scale);
}
BA_SAM_EXPORT Status cublasLtMatmulDescDestroy(Desc* desc) {
  return destroy(desc);
}

BA_SAM_EXPORT Status cublasLtMatmulDescSetAttribute(Desc* desc, int attribute, const void* value, size_t bytes) {
  if (!desc) return kInvalidValue;
  switch (attribute) {
    case 0:
      return store(desc->compute, value, bytes);
    case 1:
      return store(desc->scale, value, bytes);
    case 2:
      return store(desc->pointer_mode, value, bytes);
    case 3:
      return store(desc->transpose_a, value, bytes);
    case 4:
      return store(desc->transpose_b, value, bytes);
    case 5:
      return store(desc->transpose_c, value, bytes);
    case 7:
      return store(desc->epilogue, value, bytes);
    case 8:
      return store(desc->bias, value, bytes);
    case 10:
      return store(desc->bias_batch_stride, value, bytes);
    case 15:
      return store(desc->processors, value, bytes);
    case 17:
      return store(desc->scales_a, value, bytes);
    case 18:
      return store(desc->scales_b, value, bytes);
    case 25:
      return store(desc->fast_accumulation, value, bytes);
    case 26:
      return store(desc->bias_type, value, bytes);
    case 31:
      return store(desc->scale_mode_a, value, bytes);
    case 32:
      return store(desc->scale_mode_b, value, bytes);
  }
  return kNotSupported;  // not emulated
}

BA_SAM_EXPORT Status cublasLtMatrixLayoutCreate(Layout** layout, uint32_t type, uint64_t rows, uint64_t columns,
                                                int64_t leading) {
  return create(layout, type, static_cast<int32_t>(kColumns), rows, columns, leading);
}
BA_SAM_EXPORT Status cublasLtMatrixLayoutDestroy(Layout* layout) {
  return destroy(layout);
}

BA_SAM_EXPORT Status cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  if (!layout) return kInvalidValue;
  switch (attribute) {
    case 0:
      return store(layout->type, value, bytes);
    case 1:
      return store(layout->order, value, bytes);
    case 2:
      return store(layout->rows, value, bytes);
    case 3:
      return store(layout->columns, value, bytes);
    case 4:
      return store(layout->leading, value, bytes);
    case 5:
      return store(layout->batch_count, value, bytes);
    case 6:
      return store(layout->batch_stride, value, bytes);
  }
  return kNotSupported;
}

BA_SAM_EXPORT Status cublasLtMatmulPreferenceCreate(Preference** preference) {
  return create(preference);
}
BA_SAM_EXPORT Status cublasLtMatmulPreferenceDestroy(Preference* preference) {
  return destroy(preference);
}

BA_SAM_EXPORT Status cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value,
                                                          size_t bytes) {
  if (!preference) return kInvalidValue;
  switch (attribute) {
    case 0:
      return store(preference->search_mode, value, bytes);
    case 1:
      return store(preference->workspace_bytes, value, bytes);
    case 3:
      return store(preference->reduction_schemes, value, bytes);
    case 5:
    case 6:
    case 7:
    case 8:
      return store(preference->alignment[attribute - 5], value, bytes);
    case 9:
      return store(preference->waves, value, bytes);
    case 12:
      return store(preference->implementations, value, bytes);
  }
  return kNotSupported;
}
