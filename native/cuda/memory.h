// Device memory with an owner.
#pragma once

#include "../core/backend.h"
#include "runtime.h"

namespace ba_sam::cuda {

// cudaMalloc'ed, 256-byte aligned. Freed on whatever thread drops it; never throws there.
class DeviceMemory final : public Memory {
 public:
  // Throws SamError ERR_OUT_OF_MEMORY naming `what`, the bytes asked for and the bytes free.
  DeviceMemory(int device, size_t bytes, const char* what);
  ~DeviceMemory() override;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

 private:
  int device_;
};

}  // namespace ba_sam::cuda
