// Copies between ordinary host memory and a device through a bounded block of pinned memory.
//
// Why: cudaMemcpyAsync from pageable memory stops the host and runs at a fraction of the bus. Two halves take turns: while
// one is copied by the device, the other is filled or emptied by the host. They grow with what is copied, up to 16 MB each,
// so that pinned memory stays small whatever the image's size.
#pragma once

#include <atomic>
#include <vector>

#include "runtime.h"

namespace ba_sam::cuda {

class Staging {
 public:
  // The device must be current in every call; the destructor wants nothing queued any more.
  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Queues host → device; `host` has been read when this returns. Throws SamError ERR_ABORTED between two parts of a large
  // copy once *cancel (may be null) is true.
  void upload(void* device, const void* host, size_t bytes, const std::atomic<bool>* cancel = nullptr);

  // Queues device → host. `host` is complete after flush() at the latest.
  void download(void* host, const void* device, size_t bytes);

  // Waits for everything queued on the stream, and finishes the downloads.
  void flush();

  // The same after a failure: nothing is written to the hosts of unfinished downloads, which may be gone.
  void abandon() noexcept;

 private:
  struct Part {
    void* host;
    const uint8_t* pinned;
    size_t bytes;
  };
  struct Half {
    uint8_t* data = nullptr;
    size_t size = 0;
    size_t used = 0;
    Event copied{cudaEventDisableTiming};  // recorded when the halves take turns
    bool queued = false;                   // it has been recorded and not been waited for
    std::vector<Part> parts;               // downloads that lie here
  };

  // Room for up to `bytes` in the current half: how many there are.
  size_t reserve(size_t bytes);
  void turn();
  void finish(Half& half);
  void grow(Half& half, size_t bytes);

  cudaStream_t stream_;
  Half halves_[2];
  int current_ = 0;
};

}  // namespace ba_sam::cuda
