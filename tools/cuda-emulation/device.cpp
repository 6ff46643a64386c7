// Errors, devices and what is known of kernels before they run.
#include <cstdio>
#include <cstring>

#include "runtime_state.h"

using namespace ba_sam::emulation;

namespace ba_sam::emulation {

// Dynamic shared memory that a block can have at most, by compute capability (CUDA C++ Programming Guide).
int opt_in_shared_limit(int sm) {
  switch (sm) {
    case 75:
      return 64 * 1024;
    case 80:
    case 87:
      return 163 * 1024;
    case 86:
    case 89:
    case 120:
      return 99 * 1024;
    default:
      return 227 * 1024;
  }
}

namespace {

int processors(int sm) {
  return sm >= 90 ? 132 : sm == 80 ? 108 : 84;
}
int threads_per_processor(int sm) {
  return sm == 86 || sm == 89 || sm == 120 ? 1536 : sm == 75 ? 1024 : 2048;
}

bool attribute_value(int sm, cudaDeviceAttr attribute, int device, int& value) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      value = 1024;
      return true;
    case cudaDevAttrMaxBlockDimZ:
      value = 64;
      return true;
    case cudaDevAttrMaxGridDimX:
      value = 2147483647;
      return true;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      value = 65535;
      return true;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      value = kDefaultSharedLimit;
      return true;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      value = opt_in_shared_limit(sm);
      return true;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      value = opt_in_shared_limit(sm) + 1024;
      return true;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      value = 1024;
      return true;
    case cudaDevAttrTotalConstantMemory:
      value = 65536;
      return true;
    case cudaDevAttrWarpSize:
      value = 32;
      return true;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      value = 65536;
      return true;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      value = 1000000;
      return true;
    case cudaDevAttrMultiProcessorCount:
      value = processors(sm);
      return true;
    case cudaDevAttrL2CacheSize:
      value = 40 << 20;
      return true;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      value = threads_per_processor(sm);
      return true;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      value = 32;
      return true;
    case cudaDevAttrGlobalMemoryBusWidth:
      value = 5120;
      return true;
    case cudaDevAttrAsyncEngineCount:
      value = 3;
      return true;
    case cudaDevAttrComputeCapabilityMajor:
      value = sm / 10;
      return true;
    case cudaDevAttrComputeCapabilityMinor:
      value = sm % 10;
      return true;
    case cudaDevAttrPciBusId:
      value = device + 1;
      return true;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
      value = 1;
      return true;
    case cudaDevAttrIntegrated:
    case cudaDevAttrComputeMode:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrMemoryPoolsSupported:
      value = 0;
      return true;
  }
  return false;
}

// Kernels are compiled for compute capability 8.0 and later.
cudaError_t image_for(int sm) {
  return sm >= 80 ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}

}  // namespace
}  // namespace ba_sam::emulation

extern "C" {

cudaError_t cudaGetLastError() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  if (runtime.availability() == cudaSuccess && runtime.current().lost != cudaSuccess) return runtime.current().lost;
  return last_error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define BA_SAM_NAME(name, number, text) \
  case name:                            \
    return #name;
    BA_SAM_CUDA_ERRORS(BA_SAM_NAME)
#undef BA_SAM_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure || error == cudaErrorIllegalAddress) {
    const std::string failure = last_failure();
    if (!failure.empty()) {
      static thread_local std::string text;
      text = (error == cudaErrorLaunchFailure ? "unspecified launch failure (emulation: "
                                              : "an illegal memory access was encountered (emulation: ") +
             failure + ")";
      return text.c_str();
    }
  }
  switch (error) {
#define BA_SAM_TEXT(name, number, text) \
  case name:                            \
    return text;
    BA_SAM_CUDA_ERRORS(BA_SAM_TEXT)
#undef BA_SAM_TEXT
  }
  return "unrecognized error code";
}

cudaError_t cudaDriverGetVersion(int* version) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  if (!version) return noted(cudaErrorInvalidValue);
  *version = runtime.settings.driver;  // 0 without a driver, and no error
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (!version) return noted(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (!count) return noted(cudaErrorInvalidValue);
  *count = 0;
  return api(Needs::driver, [&](Runtime& runtime) {
    *count = static_cast<int>(runtime.devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api(Needs::driver, [&](Runtime& runtime) {
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    current_device = device;
    return runtime.current().lost;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api(Needs::driver, [&](Runtime&) {
    if (!device) return cudaErrorInvalidValue;
    *device = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDeviceFlags(unsigned int) {
  return api(Needs::device, [](Runtime&) { return cudaSuccess; });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api(Needs::driver, [&](Runtime& runtime) {
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    if (!value || !attribute_value(runtime.settings.sm, attribute, device, *value)) return cudaErrorInvalidValue;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api(Needs::driver, [&](Runtime& runtime) {
    if (!properties) return cudaErrorInvalidValue;
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    const int sm = runtime.settings.sm;
    const auto value = [&](cudaDeviceAttr attribute) {
      int found = 0;
      attribute_value(sm, attribute, device, found);
      return found;
    };
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Emulated GPU %d", device);
    properties->uuid.bytes[15] = static_cast<char>(device + 1);
    properties->totalGlobalMem = runtime.settings.memory;
    properties->sharedMemPerBlock = kDefaultSharedLimit;
    properties->regsPerBlock = value(cudaDevAttrMaxRegistersPerBlock);
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    for (int axis = 0; axis < 3; ++axis) {
      properties->maxThreadsDim[axis] = value(static_cast<cudaDeviceAttr>(cudaDevAttrMaxBlockDimX + axis));
      properties->maxGridSize[axis] = value(static_cast<cudaDeviceAttr>(cudaDevAttrMaxGridDimX + axis));
    }
    properties->totalConstMem = 65536;
    properties->major = sm / 10;
    properties->minor = sm % 10;
    properties->multiProcessorCount = value(cudaDevAttrMultiProcessorCount);
    properties->canMapHostMemory = 1;
    properties->concurrentKernels = 1;
    properties->pciBusID = value(cudaDevAttrPciBusId);
    properties->asyncEngineCount = value(cudaDevAttrAsyncEngineCount);
    properties->unifiedAddressing = 1;
    properties->memoryBusWidth = value(cudaDevAttrGlobalMemoryBusWidth);
    properties->l2CacheSize = value(cudaDevAttrL2CacheSize);
    properties->maxThreadsPerMultiProcessor = value(cudaDevAttrMaxThreadsPerMultiProcessor);
    properties->sharedMemPerMultiprocessor = static_cast<size_t>(value(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
    properties->regsPerMultiprocessor = value(cudaDevAttrMaxRegistersPerMultiprocessor);
    properties->sharedMemPerBlockOptin = static_cast<size_t>(opt_in_shared_limit(sm));
    properties->maxBlocksPerMultiProcessor = value(cudaDevAttrMaxBlocksPerMultiprocessor);
    properties->reservedSharedMemPerBlock = 1024;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return api(Needs::driver, [&](Runtime& runtime) {
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    if (!text || length < 13) return cudaErrorInvalidValue;
    std::snprintf(text, static_cast<size_t>(length), "0000:%02X:00.0", static_cast<unsigned>(device + 1) & 0xffu);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return api(Needs::driver, [&](Runtime& runtime) {
    const auto count = static_cast<int>(runtime.devices.size());
    if (device < 0 || device >= count || peer < 0 || peer >= count) return cudaErrorInvalidDevice;
    if (!can) return cudaErrorInvalidValue;
    *can = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned int) {
  return api(Needs::device, [](Runtime&) { return cudaErrorPeerAccessUnsupported; });
}

cudaError_t cudaDeviceSynchronize() {
  return api(Needs::device, [](Runtime& runtime) {
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    runtime.drain_device(current_device);
    return runtime.current().lost;
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!function) return cudaErrorInvalidDeviceFunction;
    if (const cudaError_t error = image_for(runtime.settings.sm)) return error;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > opt_in_shared_limit(runtime.settings.sm)) {
      return cudaErrorInvalidValue;
    }
    runtime.shared_limits[function] = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!attributes) return cudaErrorInvalidValue;
    if (!function) return cudaErrorInvalidDeviceFunction;
    if (const cudaError_t error = image_for(runtime.settings.sm)) return error;
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 64;
    attributes->ptxVersion = attributes->binaryVersion = runtime.settings.sm;
    const auto limit = runtime.shared_limits.find(function);
    attributes->maxDynamicSharedSizeBytes =
        limit == runtime.shared_limits.end() ? static_cast<int>(kDefaultSharedLimit) : limit->second;
    attributes->preferredShmemCarveout = -1;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int block_size,
                                                          size_t dynamic_shared_bytes) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!blocks || block_size <= 0) return cudaErrorInvalidValue;
    if (!function) return cudaErrorInvalidDeviceFunction;
    const int sm = runtime.settings.sm;
    if (const cudaError_t error = image_for(sm)) return error;
    const auto limit = static_cast<size_t>(opt_in_shared_limit(sm));
    *blocks = 0;
    if (block_size > 1024 || dynamic_shared_bytes > limit) return cudaSuccess;
    const int by_threads = threads_per_processor(sm) / ((block_size + 31) / 32 * 32);
    const auto by_shared = static_cast<int>((limit + 1024) / (dynamic_shared_bytes + 1024));
    *blocks = by_threads < by_shared ? by_threads : by_shared;
    if (*blocks > 32) *blocks = 32;
    return cudaSuccess;
  });
}

}  // extern "C"
