// Device memory with an owner.
#pragma once

#include <atomic>

#include "../../core/backend.h"
#include "runtime.h"

namespace ba_sam::cuda {

// Bytes that this process's DeviceMemory takes on one device now, and took at most.
struct MemoryCounter {
  std::atomic<size_t> bytes{0};
  std::atomic<size_t> peak_bytes{0};

  void add(size_t more);
  void remove(size_t less) { bytes -= less; }
  void reset_peak() { peak_bytes = bytes.load(); }
};

// The same one for every call with this device.
MemoryCounter& memory_counter(int device);

// cudaMalloc'ed, 256-byte aligned; of no bytes: a null pointer. Freed on whatever thread drops it; never throws there.
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
