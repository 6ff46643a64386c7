// See memory.h.
#include "memory.h"

#include <map>
#include <mutex>

namespace ba_sam::cuda {

void MemoryCounter::add(size_t more) {
  const size_t now = bytes += more;
  size_t peak = peak_bytes;
  while (peak < now && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
}

MemoryCounter& memory_counter(int device) {
  static std::mutex mutex;
  static auto* counters = new std::map<int, MemoryCounter>();  // leaked: memory may be freed after static destructors
  const std::lock_guard<std::mutex> lock(mutex);
  return (*counters)[device];
}

DeviceMemory::DeviceMemory(int device, size_t bytes, const char* what) : device_(device) {
  if (bytes == 0) return;
  use_device(device);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this one is not sticky: smaller work may go on
    size_t free = 0, total = 0;
    std::string room;
    if (cudaMemGetInfo(&free, &total) == cudaSuccess) {
      room = ": " + std::to_string(free) + " of " + std::to_string(total) + " bytes are free";
    }
    throw SamError("ERR_OUT_OF_MEMORY", "Could not allocate " + std::to_string(bytes) + " bytes for " +
                                            std::string(what) + " on CUDA device " + std::to_string(device) + room);
  }
  check(error, what);
  data_ = static_cast<uint8_t*>(data);
  size_ = bytes;
  memory_counter(device).add(bytes);
}

DeviceMemory::~DeviceMemory() {
  if (!data_) return;
  const DeviceScope scope(device_);
  // After a lost device this fails, too, and there is nobody to tell.
  if (cudaFree(data_) != cudaSuccess) cudaGetLastError();
  memory_counter(device_).remove(size_);
}

}  // namespace ba_sam::cuda
