// Allocations of the emulated runtime.
#include "memory_registry.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

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

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Says what the address was, and lets the access happen again, without a handler.
void report_access(int, siginfo_t* info, void*) {
  static const char kText[] = "CUDA emulation: device memory was touched outside of work on its device\n";
  if (!MemoryRegistry::get().contains(info->si_addr)) return;
  const ssize_t written = write(2, kText, sizeof kText - 1);
  (void)written;
}
}  // namespace

MemoryRegistry& MemoryRegistry::get() {
  static auto* registry = new MemoryRegistry;  // outlives every static of its users
  return *registry;
}

void MemoryRegistry::protect_from_now_on(bool on) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (on && !protect_) {
    struct sigaction action = {};
    action.sa_sigaction = report_access;
    action.sa_flags = SA_SIGINFO | SA_RESETHAND;
    sigaction(SIGSEGV, &action, nullptr);
  }
  protect_ = on;
}

void MemoryRegistry::set_access(int device, int access) {
  for (const auto& entry : blocks_) {
    const MemoryBlock& block = entry.second;
    if (block.mapping && block.device == device) mprotect(block.mapping, block.mapping_bytes, access);
  }
}

void MemoryRegistry::open(int device) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (opened_[device]++ == 0) set_access(device, PROT_READ | PROT_WRITE);
}

void MemoryRegistry::close(int device) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--opened_[device] == 0) set_access(device, PROT_NONE);
}

// An inaccessible page follows; the block ends as near to it as its alignment allows.
void* MemoryRegistry::map_pages(size_t bytes, MemoryBlock& block) {
  const size_t page = page_bytes(), aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  block.mapping_bytes = (aligned + page - 1) / page * page;
  void* memory = mmap(nullptr, block.mapping_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* start = static_cast<uint8_t*>(memory) + block.mapping_bytes - aligned;
  mprotect(static_cast<uint8_t*>(memory) + block.mapping_bytes, page, PROT_NONE);
  fill_words(start, bytes, kUnwritten);
  mprotect(memory, block.mapping_bytes, PROT_NONE);
  block.mapping = memory;
  return start;
}

void* MemoryRegistry::allocate(size_t bytes, MemoryKind kind, int device) {
  if (protect_ && kind == MemoryKind::device) {
    MemoryBlock block{0, bytes, kind, device, nullptr, 0};
    void* start = map_pages(bytes, block);
    if (!start) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    block.start = reinterpret_cast<uintptr_t>(start);
    if (opened_[device] > 0) mprotect(block.mapping, block.mapping_bytes, PROT_READ | PROT_WRITE);
    blocks_[block.start] = block;
    return start;
  }
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
  blocks_[address] = {address, bytes, kind, device, nullptr, 0};
  return start;
}

std::string MemoryRegistry::damage_of(const MemoryBlock& block) {
  if (kGuard == 0 || block.kind == MemoryKind::registered || block.mapping) return "";
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
  if (freed.mapping) {
    munmap(freed.mapping, freed.mapping_bytes + page_bytes());
    return Released::yes;
  }
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
  blocks_[start] = {start, bytes, MemoryKind::registered, -1, nullptr, 0};
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
