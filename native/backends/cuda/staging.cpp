// See staging.h.
#include "staging.h"

#include <algorithm>
#include <cstring>

#include "../../core/backend.h"
#include "../../core/buffer.h"

namespace ba_sam::cuda {
namespace {

constexpr size_t kHalfBytes = size_t{16} << 20;
constexpr size_t kFirstBytes = size_t{256} << 10;

}  // namespace

Staging::~Staging() {
  for (Half& half : halves_) {
    if (half.data && cudaFreeHost(half.data) != cudaSuccess) cudaGetLastError();
  }
}

void Staging::upload(void* device, const void* host, size_t bytes, const std::atomic<bool>* cancel) {
  auto* to = static_cast<uint8_t*>(device);
  const auto* from = static_cast<const uint8_t*>(host);
  while (bytes > 0) {
    if (cancel) check_cancel(*cancel);
    const size_t part = reserve(bytes);
    Half& half = halves_[current_];
    std::memcpy(half.data + half.used, from, part);
    check(cudaMemcpyAsync(to, half.data + half.used, part, cudaMemcpyHostToDevice, stream_), "a copy to the device");
    half.used += align_up(part);
    to += part;
    from += part;
    bytes -= part;
  }
}

void Staging::download(void* host, const void* device, size_t bytes) {
  auto* to = static_cast<uint8_t*>(host);
  const auto* from = static_cast<const uint8_t*>(device);
  while (bytes > 0) {
    const size_t part = reserve(bytes);
    Half& half = halves_[current_];
    check(cudaMemcpyAsync(half.data + half.used, from, part, cudaMemcpyDeviceToHost, stream_),
          "a copy from the device");
    half.parts.push_back({to, half.data + half.used, part});
    half.used += align_up(part);
    to += part;
    from += part;
    bytes -= part;
  }
}

void Staging::flush() {
  check(cudaStreamSynchronize(stream_), "the work that was queued");
  finish(halves_[1 - current_]);
  finish(halves_[current_]);
}

void Staging::abandon() noexcept {
  if (cudaStreamSynchronize(stream_) != cudaSuccess) cudaGetLastError();
  for (Half& half : halves_) {
    half.parts.clear();
    half.used = 0;
    half.queued = false;
  }
}

size_t Staging::reserve(size_t bytes) {
  if (halves_[current_].used == halves_[current_].size) {
    // A half that is full but small is replaced by a larger one only where it is empty: at its turn.
    turn();
    Half& half = halves_[current_];
    if (half.size < kHalfBytes && half.size < bytes) grow(half, bytes);
  }
  return std::min(bytes, halves_[current_].size - halves_[current_].used);
}

void Staging::turn() {
  Half& full = halves_[current_];
  if (full.data) {
    full.copied.record(stream_);
    full.queued = true;
  }
  current_ = 1 - current_;
  Half& next = halves_[current_];
  if (next.queued) next.copied.wait();
  finish(next);
}

// The device is done with this half: empty it.
void Staging::finish(Half& half) {
  for (const Part& part : half.parts) std::memcpy(part.host, part.pinned, part.bytes);
  half.parts.clear();
  half.used = 0;
  half.queued = false;
}

void Staging::grow(Half& half, size_t bytes) {
  size_t size = std::max(kFirstBytes, half.size);
  while (size < std::min(bytes, kHalfBytes)) size *= 2;
  if (half.data) {
    uint8_t* data = half.data;
    half.data = nullptr;
    half.size = 0;
    check(cudaFreeHost(data), "the end of pinned memory");
  }
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, size, cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw SamError("ERR_OUT_OF_MEMORY", "Could not allocate " + std::to_string(size) + " bytes of pinned memory");
  }
  check(error, "pinned memory");
  half.data = static_cast<uint8_t*>(data);
  half.size = size;
}

}  // namespace ba_sam::cuda
