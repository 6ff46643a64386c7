// Every allocation of the emulated runtime: what a pointer is, and whether a range lies inside one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace ba_sam::emulation {

enum class MemoryKind { device, pinned, registered };

struct MemoryBlock {
  uintptr_t start = 0;
  size_t bytes = 0;
  MemoryKind kind = MemoryKind::device;
  int device = 0;
  void* mapping = nullptr;  // of its own, in protected mode
  size_t mapping_bytes = 0;
};

class MemoryRegistry {
 public:
  static MemoryRegistry& get();

  // Device memory allocated from now on lies in pages of its own that are inaccessible unless open() says otherwise: host
  // code that touches it, or a kernel of another device, ends the process with a line that says so.
  void protect_from_now_on(bool on);
  // Makes protected memory of a device accessible, until as many close() as open() were called.
  void open(int device);
  void close(int device);

  // Filled with kUnwritten. Null when the host has no memory. Under AddressSanitizer a heap block of exactly this size;
  // otherwise guarded by words that release() looks at.
  void* allocate(size_t bytes, MemoryKind kind, int device);
  enum class Released { yes, unknown, other_kind };
  // `freed` receives what the block was; `damage` what was written outside it, if anything.
  Released release(void* pointer, MemoryKind kind, MemoryBlock& freed, std::string& damage);
  bool add_registered(void* pointer, size_t bytes);  // false: overlaps another block
  // Damage to the guards of blocks that still live.
  std::string damage() const;

  // The block that has `address` inside, or ends there if `or_end`; false if there is none.
  bool find(const void* address, MemoryBlock& block, bool or_end = false) const;
  bool contains(const void* address) const;
  // Whether [address, address + bytes) lies inside one block.
  bool covers(const MemoryBlock& block, const void* address, size_t bytes) const;
  size_t count(MemoryKind kind) const;
  size_t device_bytes(int device) const;

 private:
  static std::string damage_of(const MemoryBlock& block);
  void* map_pages(size_t bytes, MemoryBlock& block);
  void set_access(int device, int access);

  bool protect_ = false;
  std::map<int, int> opened_;  // by device: how often
  mutable std::mutex mutex_;
  std::map<uintptr_t, MemoryBlock> blocks_;
};

}  // namespace ba_sam::emulation
