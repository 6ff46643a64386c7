// Which CUDA devices there are, and why one cannot be used.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ba_sam::cuda {

struct DeviceInfo {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  size_t memory_bytes = 0;
  size_t free_bytes = 0;
  std::string reason;  // why it cannot be used; empty when it can
};

struct Devices {
  int driver = 0, runtime = 0;  // 13000 for 13.0; 0: none
  std::vector<DeviceInfo> devices;
  std::string reason;  // why none of them can be used; empty when one can
};

// Never throws SamError. with_free_memory: asks NVIDIA's management library, because the runtime would make a context of
// several hundred MB on every device to answer; it is asked only where that library is missing.
Devices list_devices(bool with_free_memory);

// Throws SamError ERR_DEVICE_UNAVAILABLE with the reason when the device cannot be used.
void require_device(int device);

}  // namespace ba_sam::cuda
