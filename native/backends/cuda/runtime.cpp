// See runtime.h.
#include "runtime.h"

namespace ba_sam::cuda {
namespace {

// Errors after which the context answers every call with the same error until the process ends.
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorCudartUnloading:
    case cudaErrorContextIsDestroyed:
      return true;
    default:
      return false;
  }
}

const char* code_of(cudaError_t error) {
  if (is_sticky(error)) return "ERR_DEVICE_LOST";
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "ERR_OUT_OF_MEMORY";
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "ERR_DEVICE_UNAVAILABLE";
    default:
      return "ERR_INTERNAL";
  }
}

}  // namespace

void fail(cudaError_t error, const std::string& what) {
  std::string message =
      "CUDA refused " + what + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  if (is_sticky(error)) message += "; the device cannot be used again before the process is restarted";
  throw SamError(code_of(error), message);
}

void use_device(int device) {
  check(cudaSetDevice(device), "the choice of a device");
}

DeviceScope::DeviceScope(int device) noexcept {
  if (cudaGetDevice(&previous_) != cudaSuccess || previous_ == device) {
    previous_ = -1;
    return;
  }
  if (cudaSetDevice(device) != cudaSuccess) cudaGetLastError();
}

DeviceScope::~DeviceScope() {
  if (previous_ >= 0 && cudaSetDevice(previous_) != cudaSuccess) cudaGetLastError();
}

}  // namespace ba_sam::cuda
