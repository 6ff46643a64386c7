// Device memory with an owner.
#pragma once

#include <atomic>
#include <memory>

#include "../core/backend.h"
#include "runtime.h"

namespace ba_sam::cuda {

// Bytes that one backend holds, and the most it ever held.
struct MemoryCounter {
  std::atomic<size_t> bytes{0};
  std::atomic<size_t> peak_bytes{0};

  void add(size_t more);
  void remove(size_t less) { bytes -= less; }
};

// cudaMalloc'ed, 256-byte aligned; of no bytes: a null pointer. Freed on whatever thread drops it; never throws there.
class DeviceMemory final : public Memory {
 public:
  // Throws SamError ERR_OUT_OF_MEMORY naming `what`, the bytes asked for and the bytes free. `counter` may be null.
  DeviceMemory(int device, size_t bytes, const char* what, std::shared_ptr<MemoryCounter> counter = nullptr);
  ~DeviceMemory() override;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  int device() const { return device_; }

 private:
  int device_;
  std::shared_ptr<MemoryCounter> counter_;
};

}  // namespace ba_sam::cuda
