// Allocations of the emulated runtime.
#include "memory_registry.h"

#include <cstdlib>
#include <cstring>

#include "executor.h"

namespace ba_sam::emulation {

namespace {
constexpr size_t kAlignment = 256;  // what cudaMalloc promises
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kGuard = 0;  // AddressSanitizer has its own
#else
constexpr size_t kGuard = 256;
#endif
constexpr uint8_t kGuardByte = 0xdb;
}  // namespace

MemoryRegistry& MemoryRegistry::get() {
  static auto* registry = new MemoryRegistry;  // outlives every static of its users
  return *registry;
}

void* MemoryRegistry::allocate(size_t bytes, MemoryKind kind, int device) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, kGuard + bytes + kGuard) != 0) return nullptr;
  auto* start = static_cast<uint8_t*>(memory) + kGuard;
  if (kGuard != 0) {
    std::memset(memory, kGuardByte, kGuard);
    std::memset(start + bytes, kGuardByte, kGuard);
  }
  fill_words(start, bytes, kUnwritten);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto address = reinterpret_cast<uintptr_t>(start);
  blocks_[address] = {address, bytes, kind, device};
  return start;
}

std::string MemoryRegistry::damage_of(const MemoryBlock& block) {
  if (kGuard == 0 || block.kind == MemoryKind::registered) return "";
  const auto* start = reinterpret_cast<const uint8_t*>(block.start);
  for (size_t i = 0; i < kGuard; ++i) {
    const bool behind = start[block.bytes + i] != kGuardByte;
    if (behind || start[-1 - static_cast<ptrdiff_t>(i)] != kGuardByte) {
      return "something wrote " + std::to_string(i) + " bytes " + (behind ? "behind the end" : "before the start") +
             " of an allocation of " + std::to_string(block.bytes) + " bytes";
    }
  }
  return "";
}

MemoryRegistry::Released MemoryRegistry::release(void* pointer, MemoryKind kind, MemoryBlock& freed,
                                                 std::string& damage) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = blocks_.find(reinterpret_cast<uintptr_t>(pointer));
    if (at == blocks_.end()) return Released::unknown;
    if (at->second.kind != kind) return Released::other_kind;
    freed = at->second;
    blocks_.erase(at);
  }
  damage = damage_of(freed);
  if (kind != MemoryKind::registered) {
    fill_words(pointer, freed.bytes, kUnwritten);
    std::free(static_cast<uint8_t*>(pointer) - kGuard);
  }
  return Released::yes;
}

bool MemoryRegistry::add_registered(void* pointer, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto start = reinterpret_cast<uintptr_t>(pointer);
  const auto next = blocks_.lower_bound(start);
  if (next != blocks_.end() && next->first < start + bytes) return false;
  if (next != blocks_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > start) return false;
  blocks_[start] = {start, bytes, MemoryKind::registered, -1};
  return true;
}

std::string MemoryRegistry::damage() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& entry : blocks_) {
    std::string text = damage_of(entry.second);
    if (!text.empty()) return text;
  }
  return "";
}

bool MemoryRegistry::find(const void* address, MemoryBlock& block, bool or_end) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto next = blocks_.upper_bound(at);
  if (next == blocks_.begin()) return false;
  const MemoryBlock& candidate = std::prev(next)->second;
  const uintptr_t end = candidate.start + candidate.bytes;
  if (at < end || (or_end && at == end)) {
    block = candidate;
    return true;
  }
  return false;
}

bool MemoryRegistry::contains(const void* address) const {
  MemoryBlock block;
  return find(address, block);
}

bool MemoryRegistry::covers(const MemoryBlock& block, const void* address, size_t bytes) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  return at >= block.start && bytes <= block.bytes && at - block.start <= block.bytes - bytes;
}

size_t MemoryRegistry::count(MemoryKind kind) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t found = 0;
  for (const auto& entry : blocks_) found += entry.second.kind == kind;
  return found;
}

size_t MemoryRegistry::device_bytes(int device) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t bytes = 0;
  for (const auto& entry : blocks_) {
    if (entry.second.kind == MemoryKind::device && entry.second.device == device) bytes += entry.second.bytes;
  }
  return bytes;
}

}  // namespace ba_sam::emulation
