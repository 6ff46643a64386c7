// Error codes of the CUDA runtime: names and numbers are NVIDIA's.
#pragma once

// X(name, number, text of cudaGetErrorString: NVIDIA's for common errors, our own words for the rest)
#define BA_SAM_CUDA_ERRORS(X)                                                                               \
  X(cudaSuccess, 0, "no error")                                                                             \
  X(cudaErrorInvalidValue, 1, "invalid argument")                                                           \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                                                          \
  X(cudaErrorInitializationError, 3, "initialization error")                                                \
  X(cudaErrorCudartUnloading, 4, "cudart unloading")                                                        \
  X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                                     \
  X(cudaErrorInvalidPitchValue, 12, "invalid pitch value")                                                  \
  X(cudaErrorInvalidSymbol, 13, "invalid symbol")                                                           \
  X(cudaErrorInvalidHostPointer, 16, "invalid host pointer")                                                \
  X(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                                            \
  X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                               \
  X(cudaErrorStubLibrary, 34, "stub library")                                                               \
  X(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")        \
  X(cudaErrorCallRequiresNewerDriver, 36, "call requires newer driver")                                     \
  X(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable")                   \
  X(cudaErrorIncompatibleDriverContext, 49, "incompatible driver context")                                  \
  X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                                          \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                           \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                                  \
  X(cudaErrorStartupFailure, 127, "startup failure")                                                        \
  X(cudaErrorInvalidKernelImage, 200, "invalid kernel image")                                               \
  X(cudaErrorDeviceUninitialized, 201, "device uninitialized")                                              \
  X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device")       \
  X(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                                  \
  X(cudaErrorPeerAccessUnsupported, 217, "peer access is not supported between these two devices")          \
  X(cudaErrorInvalidPtx, 218, "invalid ptx")                                                                \
  X(cudaErrorNvlinkUncorrectable, 220, "nvlink uncorrectable")                                              \
  X(cudaErrorUnsupportedPtxVersion, 222, "unsupported ptx version")                                         \
  X(cudaErrorContained, 226, "contained")                                                                   \
  X(cudaErrorSharedObjectInitFailed, 303, "shared object init failed")                                      \
  X(cudaErrorOperatingSystem, 304, "operating system")                                                      \
  X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                                         \
  X(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")                   \
  X(cudaErrorNotReady, 600, "device not ready")                                                             \
  X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                               \
  X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")                          \
  X(cudaErrorLaunchTimeout, 702, "launch timeout")                                                          \
  X(cudaErrorPeerAccessAlreadyEnabled, 704, "peer access already enabled")                                  \
  X(cudaErrorPeerAccessNotEnabled, 705, "peer access not enabled")                                          \
  X(cudaErrorContextIsDestroyed, 709, "context is destroyed")                                               \
  X(cudaErrorAssert, 710, "assert")                                                                         \
  X(cudaErrorHostMemoryAlreadyRegistered, 712, "host memory already registered")                            \
  X(cudaErrorHostMemoryNotRegistered, 713, "host memory not registered")                                    \
  X(cudaErrorHardwareStackError, 714, "hardware stack error")                                               \
  X(cudaErrorIllegalInstruction, 715, "illegal instruction")                                                \
  X(cudaErrorMisalignedAddress, 716, "misaligned address")                                                  \
  X(cudaErrorInvalidAddressSpace, 717, "invalid address space")                                             \
  X(cudaErrorInvalidPc, 718, "invalid pc")                                                                  \
  X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                              \
  X(cudaErrorCooperativeLaunchTooLarge, 720, "cooperative launch too large")                                \
  X(cudaErrorTensorMemoryLeak, 721, "tensor memory leak")                                                   \
  X(cudaErrorNotPermitted, 800, "not permitted")                                                            \
  X(cudaErrorNotSupported, 801, "operation not supported")                                                  \
  X(cudaErrorSystemNotReady, 802, "system not ready")                                                       \
  X(cudaErrorSystemDriverMismatch, 803, "system driver mismatch")                                           \
  X(cudaErrorCompatNotSupportedOnDevice, 804, "compat not supported on device")                             \
  X(cudaErrorMpsConnectionFailed, 805, "mps connection failed")                                             \
  X(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing")             \
  X(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture")      \
  X(cudaErrorStreamCaptureMerge, 902, "stream capture merge")                                               \
  X(cudaErrorStreamCaptureUnmatched, 903, "stream capture unmatched")                                       \
  X(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                              \
  X(cudaErrorStreamCaptureIsolation, 905, "stream capture isolation")                                       \
  X(cudaErrorStreamCaptureImplicit, 906,                                                                    \
    "operation would make the legacy stream depend on a capturing blocking stream")                         \
  X(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream") \
  X(cudaErrorStreamCaptureWrongThread, 908,                                                                 \
    "attempt to terminate a thread-local capture sequence from another thread")                             \
  X(cudaErrorTimeout, 909, "timeout")                                                                       \
  X(cudaErrorGraphExecUpdateFailure, 910, "graph exec update failure")                                      \
  X(cudaErrorExternalDevice, 911, "external device")                                                        \
  X(cudaErrorInvalidClusterSize, 912, "invalid cluster size")                                               \
  X(cudaErrorUnknown, 999, "unknown error")
